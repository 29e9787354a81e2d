"""What the job that trains hands to the one that may write, in a git bundle: branch or report, and the log of attempts."""

from dataclasses import dataclass
from pathlib import Path

from titlebout.core.errors import NotFoundError
from titlebout.policy.attempts import log_ref
from titlebout.repository.git import Git
from titlebout.repository.project import Project

PROPOSAL_REF, LOG_REF, REPORT_REF = (f"refs/titlebout/handed/{name}" for name in ("proposal", "log", "report"))
REPORT = "report.md"


@dataclass(frozen=True)
class Handed:
    """What came of an attempt.

    Attributes
    ----------
    commit : str
        The retrain commit; empty when nothing is proposed.
    log : str
        The revision that holds the log of attempts, if there is one.
    title, body : str
        Text of the issue when nothing is proposed (Markdown); empty when there is nothing new to tell.
    """

    commit: str
    log: str
    title: str = ""
    body: str = ""


def pack(project: Project, git: Git, bundle: Path, base: str, handed: Handed) -> None:
    """Write the log and what the retrain branch has beyond `base`, or else the report."""
    refs = [handed.log] if git.resolve(handed.log) else []
    if handed.commit:
        refs.append(f"{base}..refs/heads/{project.retrain_branch}")
    elif handed.title:
        report = git.commit_file(REPORT, handed.body, handed.title, None)
        git.run("update-ref", REPORT_REF, report)
        refs.append(REPORT_REF)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    git.run("bundle", "create", "--quiet", str(bundle.resolve()), *refs)


def unpack(project: Project, git: Git, bundle: Path) -> Handed:
    """Fetch what a bundle holds under refs of its own: nothing of this repository is touched.

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
    wanted = {
        f"refs/heads/{project.retrain_branch}": PROPOSAL_REF,
        log_ref(project.pipeline): LOG_REF,
        REPORT_REF: REPORT_REF,
    }
    for ref, here in wanted.items():
        git.run("update-ref", "-d", here)
        if ref in held:
            git.run("fetch", "--quiet", str(bundle.resolve()), f"+{ref}:{here}")
    report = git.resolve(REPORT_REF)
    title = git.message(report).partition("\n")[0].strip() if report else ""
    body = git.show(report, REPORT) or "" if report else ""
    return Handed(git.resolve(PROPOSAL_REF) or "", LOG_REF, title, body)
