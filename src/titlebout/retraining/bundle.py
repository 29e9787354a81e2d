"""Git bundle that carries an attempt's outcome from the job that trains to the job that has write access.

It holds the retrain branch or the text of an issue, and the attempt log.
"""

from dataclasses import dataclass
from pathlib import Path

from titlebout.core.errors import NotFoundError
from titlebout.policy.attempts import log_ref
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project

COMMIT_REF, LOG_REF, REPORT_REF = (f"refs/titlebout/bundle/{name}" for name in ("commit", "log", "report"))
REPORT = "report.md"


@dataclass(frozen=True)
class BundleContents:
    """Outcome of an attempt, as a bundle carries it.

    Attributes
    ----------
    commit : str
        The retrain commit; empty when nothing was committed.
    log : str
        Revision of the attempt log; it may not exist.
    title, body : str
        Text of the issue when nothing was committed (Markdown); empty when there is nothing new to report.
    """

    commit: str
    log: str
    title: str = ""
    body: str = ""


def pack(project: Project, git: Git, bundle: Path, base: str, contents: BundleContents) -> None:
    """Write the attempt log, and the commits of the retrain branch since `base` or else the report, into a bundle."""
    refs = [contents.log] if git.resolve(contents.log) else []
    if contents.commit:
        refs.append(f"{base}..refs/heads/{retrain_branch(project, git)}")
    elif contents.title:
        report = git.commit_file(REPORT, contents.body, contents.title, None)
        git.run("update-ref", REPORT_REF, report)
        refs.append(REPORT_REF)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    git.run("bundle", "create", "--quiet", str(bundle.resolve()), *refs)


def unpack(project: Project, git: Git, bundle: Path) -> BundleContents:
    """Fetch the contents of a bundle into separate refs, so that no branch of this repository changes.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    """
    if not bundle.is_file():
        raise NotFoundError(
            "the git bundle does not exist", where=str(bundle), fix="run `titlebout retrain --bundle FILE` first"
        )
    available = {line.split()[-1] for line in git.output("bundle", "list-heads", str(bundle.resolve())).splitlines()}
    targets = {
        f"refs/heads/{retrain_branch(project, git)}": COMMIT_REF,
        log_ref(pipeline_name(project, git)): LOG_REF,
        REPORT_REF: REPORT_REF,
    }
    for ref, local_ref in targets.items():
        git.run("update-ref", "-d", local_ref)
        if ref in available:
            git.run("fetch", "--quiet", str(bundle.resolve()), f"+{ref}:{local_ref}")
    report = git.resolve(REPORT_REF)
    title = git.message(report).partition("\n")[0].strip() if report else ""
    body = git.show(report, REPORT) or "" if report else ""
    return BundleContents(git.resolve(COMMIT_REF) or "", LOG_REF, title, body)
