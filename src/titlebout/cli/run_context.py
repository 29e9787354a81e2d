"""What a command takes from the run that it is part of: who may be asked, with which token, and against what."""

from pathlib import Path

from titlebout.forge.actions import Ci
from titlebout.forge.client import Forge
from titlebout.repository.git import Git


def connected() -> Forge:
    """Return the forge that the environment names; see :meth:`titlebout.forge.client.Forge.connect`.

    Raises
    ------
    ConfigError
        If its address or the repository's name is none.
    PermissionRefusedError
        If there is no token.
    """
    ci = Ci.from_environ()
    return Forge.connect(ci.api_url, ci.repository, ci.token)


def authorized(root: Path) -> Git:
    """Return the repository around a folder, with the token of the environment if there is one."""
    ci = Ci.from_environ()
    return Git.authorized(Git.find(root).root, ci.server_url, ci.token)


def run_url() -> str | None:
    """Return the page of this workflow run."""
    return Ci.from_environ().run_url


def event_base() -> str | None:
    """Return what the event measures against: after a push the main branch of origin is the pushed commit itself."""
    ci = Ci.from_environ()
    return f"origin/{ci.base_ref}" if ci.base_ref else ci.before
