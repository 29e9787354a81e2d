"""What the job that trains hands to the one that may write: the retrain branch and the log of attempts, in a git bundle."""

from pathlib import Path

from titlebout.errors import NotFoundError
from titlebout.git import Git
from titlebout.logbook import log_ref
from titlebout.project import Project

PROPOSAL_REF, LOG_REF = "refs/titlebout/handed/proposal", "refs/titlebout/handed/log"


def pack(project: Project, git: Git, bundle: Path, base: str, commit: str) -> None:
    """Write the log and, unless `commit` is empty, what the retrain branch has beyond `base`."""
    log = log_ref(project.pipeline)
    refs = [f"{base}..refs/heads/{project.retrain_branch}"] if commit else []
    refs += [log] if git.resolve(log) else []
    bundle.parent.mkdir(parents=True, exist_ok=True)
    git.run("bundle", "create", "--quiet", str(bundle.resolve()), *refs)


def unpack(project: Project, git: Git, bundle: Path) -> tuple[str | None, str]:
    """Fetch what a bundle holds under refs of its own: nothing of this repository is touched.

    Returns
    -------
    tuple of (str or None) and str
        The commit that is proposed, if one is, and the ref of the log, which may not be there.

    Raises
    ------
    NotFoundError
        If there is no such file.
    """
    if not bundle.is_file():
        raise NotFoundError(
            "the bundle is not there", where=str(bundle), fix="run `titlebout retrain --bundle FILE` first"
        )
    held = {line.split()[-1] for line in git.output("bundle", "list-heads", str(bundle.resolve())).splitlines()}
    wanted = {f"refs/heads/{project.retrain_branch}": PROPOSAL_REF, log_ref(project.pipeline): LOG_REF}
    for ref, here in wanted.items():
        git.run("update-ref", "-d", here)
        if ref in held:
            git.run("fetch", "--quiet", str(bundle.resolve()), f"+{ref}:{here}")
    return git.resolve(PROPOSAL_REF), LOG_REF
