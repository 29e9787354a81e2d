"""Context of the current workflow run, from environment variables: the forge, its token, and the base revision."""

from pathlib import Path

from titlebout.forge.actions import Ci
from titlebout.forge.client import Forge
from titlebout.repository.git import Git


def connected() -> Forge:
    """Return the forge configured by the environment; see :meth:`titlebout.forge.client.Forge.connect`.

    Raises
    ------
    ConfigError
        If the address of its API or the name of the repository is missing or not valid.
    PermissionRefusedError
        If the token is missing.
    """
    ci = Ci.from_environ()
    return Forge.connect(ci.api_url, ci.repository, ci.token)


def authorized(root: Path) -> Git:
    """Return the git repository that contains a folder, with the token of the environment if it is set."""
    ci = Ci.from_environ()
    return Git.authorized(Git.find(root).root, ci.server_url, ci.token)


def run_url() -> str | None:
    """Return the URL of this workflow run, or None outside of a workflow."""
    return Ci.from_environ().run_url


def event_base() -> str | None:
    """Return the base revision of the event: the base branch of a pull request, or the commit before a push.

    After a push to main, origin/main is the pushed commit itself and cannot be the base.
    """
    ci = Ci.from_environ()
    return f"origin/{ci.base_ref}" if ci.base_ref else ci.before
