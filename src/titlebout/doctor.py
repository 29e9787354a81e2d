"""Diagnosis of the machine and the repository: what is missing, and how to fix it. Nothing here uses the network."""

import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from titlebout import __version__
from titlebout.checks.suites import COLUMN_SET
from titlebout.core import process
from titlebout.core.errors import ConfigError, ExitCode, NotFoundError, TitleboutError
from titlebout.core.markdown import code, table
from titlebout.core.names import REASONS
from titlebout.core.results import Record, StepResult, read_json
from titlebout.data.current import describe_source
from titlebout.data.tables import is_data_file, read_raw
from titlebout.forge.workflow_files import unplaced
from titlebout.models.champion import champion_in_work_tree
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_config import default_remote, in_tree_remotes
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.git import Git
from titlebout.repository.origin import ORIGIN_FILE, RELEASE_LOCK, VENDORED, check_library
from titlebout.repository.project import Project

MAX_REMOTE_BYTES = 100_000_000  # every clone downloads the in-tree remote
COMMITTED = (
    "data.dvc",
    "requirements.lock",
    "titlebout.toml",
    ORIGIN_FILE,
    RELEASE_LOCK,
    f"{VENDORED}/pyproject.toml",
    ".dvc/config",
)
WORKFLOWS = ("ci.yml", "drift.yml", "retrain.yml", "deliver.yml")
QUIET_DAYS = 45  # GitHub disables the schedules of a public repository after 60 days without activity
ALLOW_PULL_REQUESTS = (
    "gh api --method PUT repos/{owner}/{repo}/actions/permissions/workflow -F can_approve_pull_request_reviews=true"
)
_EXTRAS = {"http": "http", "https": "http", "webdavs": "webdav"}  # DVC's support for a scheme, where the name differs


class Finding(Record):
    """Outcome of one check.

    Attributes
    ----------
    name : str
        Name of the check.
    ok, required : bool
        Whether the check passed, and whether the command fails if it did not; other findings are advice.
    what : str
        What was found.
    fix : str
        What to do about it; empty if `ok`.
    is_unsafe : bool
        Whether files are not those that were recorded.
    """

    name: str
    ok: bool
    required: bool
    what: str
    fix: str = ""
    is_unsafe: bool = False


class DoctorResult(StepResult):
    """Result of `titlebout doctor`.

    Attributes
    ----------
    findings : tuple of Finding
        In the order in which to fix them.
    """

    step: Literal["doctor"] = "doctor"
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        if self.passed:
            return ExitCode.OK
        return ExitCode.UNSAFE if any(finding.is_unsafe for finding in self.findings) else ExitCode.USAGE

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        rows = [(finding.name, _state(finding), code(finding.what)) for finding in self.findings]
        fixes = [f"- {finding.name}: {finding.fix}" for finding in self.findings if finding.fix]
        return "\n".join(["### Doctor", "", table(["check", "state", "found"], rows), *fixes]).rstrip() + "\n"


def doctor(start: Path, *, only_library: bool = False) -> DoctorResult:
    """Check the machine and the repository; problems are findings, never exceptions.

    Parameters
    ----------
    start : Path
        A folder of the repository.
    only_library : bool
        Check only the library that the repository uses, as its CI does.
    """
    checks = _LIBRARY if only_library else _PROJECT
    findings = (*(() if only_library else _run_checks(_MACHINE, start)), *_check_project(start, checks))
    failed = [finding for finding in findings if not finding.ok and finding.required]
    advice = [finding for finding in findings if not finding.ok and not finding.required]
    problems = tuple(f"{finding.name}: {finding.what}" for finding in (*failed, *advice))
    return DoctorResult(passed=not failed, reasons=problems or ("everything is in place",), findings=findings)


def _state(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    if finding.is_unsafe:
        return "changed"
    return "missing" if finding.required else "advice"


def _run_checks(checks: "tuple[_Check, ...]", subject: Any) -> Iterator[Finding]:
    for name, required, check in checks:
        try:
            yield Finding(name=name, ok=True, required=required, what=check(subject))
        except TitleboutError as error:
            what = f"{error.what}: {error.why}" if error.why else error.what
            is_unsafe = error.exit_code == ExitCode.UNSAFE
            yield Finding(name=name, ok=False, required=required, what=what, fix=error.fix or "", is_unsafe=is_unsafe)
        except Exception as error:  # noqa: BLE001 - an unexpected error is a finding; the other checks run
            yield Finding(name=name, ok=False, required=required, what=f"{type(error).__name__}: {error}")


def _check_project(start: Path, checks: "tuple[_Check, ...]") -> Iterator[Finding]:
    try:
        project = Project.find(start)
    except TitleboutError as error:
        yield Finding(name="settings", ok=False, required=True, what=error.what, fix=error.fix or "")
        return
    yield Finding(name="settings", ok=True, required=True, what=f"titlebout.toml of {project.settings.project.name}")
    yield from _run_checks(checks, project)


def _python(_start: Path) -> str:
    return f"Python {platform.python_version()} at {sys.prefix}"


def _uv(_start: Path) -> str:
    try:
        return process.run(["uv", "--version"]).stdout.strip()
    except NotFoundError as error:
        raise ConfigError(
            "uv is not installed; `make setup` and `make lock` need it", fix="run `pip install uv`"
        ) from error


def _repository(start: Path) -> str:
    git = Git.find(start)
    if git.resolve("HEAD") is None:
        raise ConfigError("the repository has no commits yet", fix="run `git add -A && git commit -m 'First commit'`")
    return f"a git repository at {git.output('rev-parse', '--short', 'HEAD')}"


def _identity(start: Path) -> str:
    git = Git(start)
    git.require_identity()
    return git.output("var", "GIT_AUTHOR_IDENT").rpartition(">")[0] + ">"


def _library(project: Project) -> str:
    return check_library(project.root, __version__)


def _params(project: Project) -> str:
    data = project.params.data
    target, known = data.target, () if data.target in data.columns else _columns(project) or _expected(project)
    if known and target not in known:
        raise ConfigError(
            f"the data has no column {target!r}, the target",
            why=f"it has: {', '.join(known)}",
            fix="correct data.target in params.yaml",
        )
    return f"{project.params.data.task} of {project.params.data.target}"


def _columns(project: Project) -> tuple[str, ...]:
    """Return the columns of the first file of the data; none if it is not on this machine."""
    files = sorted(path for path in project.data_dir.glob("*") if path.is_file() and is_data_file(path.name))
    return tuple(map(str, read_raw(files[0]).frame.columns)) if files else ()


def _expected(project: Project) -> tuple[str, ...]:
    """Return the columns that the suite expects; none if it does not say."""
    suite = read_json(project.suite_path) if project.suite_path.is_file() else {}
    sets = (one["kwargs"]["column_set"] for one in suite.get("expectations", []) if one["type"] == COLUMN_SET)
    return tuple(next(sets, ()))


def _suite(project: Project) -> str:
    if not project.suite_path.is_file():
        raise NotFoundError(
            f"{project.settings.checks.suite} does not exist",
            fix="restore it from git, or set checks.suite in titlebout.toml to a different file",
        )
    expectations = read_json(project.suite_path).get("expectations", [])
    return f"{len(expectations)} expectations in {project.settings.checks.suite}, and a built-in one: there are rows"


def _lock(project: Project) -> str:
    path = project.root / "requirements.lock"
    if not path.is_file():
        raise NotFoundError("requirements.lock does not exist", fix="restore it from git, or run `make lock`")
    locked = _locked(path)
    differing = [
        f"{name} {installed} is installed, {' or '.join(sorted(versions))} is locked"
        for name, versions in locked.items()
        if (installed := _installed_version(name)) not in {*versions, ""}
    ]
    if differing:
        what = f"{len(differing)} packages differ from requirements.lock"
        raise ConfigError(what, why=differing[0], fix="run `make setup`")
    return f"{len(locked)} locked packages"


def _locked(path: Path) -> dict[str, set[str]]:
    """Return the versions of each package of a lock file: it may have two, for two versions of Python."""
    locked: dict[str, set[str]] = {}
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for name, locked_version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE):
        locked.setdefault(name, set()).add(locked_version)
    return locked


def _storage(project: Project) -> str:
    url = default_remote(project.root)
    if "://" not in url:
        return f"the folder {url}"
    scheme = url.partition("://")[0]
    extra = _EXTRAS.get(scheme, scheme)
    if f"dvc-{extra}" in _locked(project.root / "requirements.lock"):
        if _installed_version(f"dvc-{extra}"):
            return url
        raise ConfigError(f"dvc-{extra}, which {url} needs, is not installed", fix="run `make setup`")
    named = f'"dvc[{extra}]'
    unnamed = (
        ""
        if named in (project.root / "pyproject.toml").read_text(encoding="utf-8")
        else f'add {named}" to the group storage in pyproject.toml, and '
    )
    raise ConfigError(
        f"requirements.lock does not have dvc-{extra}, DVC's support for {url}",
        fix=f"{unnamed}run `make lock setup`, then `dvc push`",
    )


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _data(project: Project) -> str:
    output = Dvc(project).data_output()
    return f"{output.nfiles} files, {output.size / 1e6:.1f} MB, {_location(project, output)}"


def _champion(project: Project) -> str:
    champion = champion_in_work_tree(project)
    if champion is None:
        raise NotFoundError(
            "there is no champion yet", fix="run `titlebout train`, `titlebout evaluate` and `titlebout promote`"
        )
    return f"{champion.name[:12]}, {_location(project, champion.output)}"


def _remote_size(project: Project) -> str:
    folder = project.root / "dvc-remote"
    if not folder.is_dir():
        return "no dvc-remote/ in git"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_REMOTE_BYTES:
        raise ConfigError(
            f"dvc-remote/ is {size / 1e6:.0f} MB, which every clone downloads",
            fix="move to an object store: `dvc remote add storage s3://bucket/path`, `dvc push --remote storage`, "
            "`dvc remote default storage`, `git rm -r dvc-remote`, `git commit`; the history keeps the old objects",
        )
    return f"dvc-remote/ is {size / 1e6:.1f} MB"


def _workflows(project: Project) -> str:
    folder = project.root / ".github" / "workflows"
    missing = [name for name in WORKFLOWS if not (folder / name).is_file()]
    if missing:
        raise NotFoundError(f"{', '.join(missing)} missing from .github/workflows", fix="restore them from git")
    return f"{len(WORKFLOWS)} workflows"


def _place(project: Project) -> str:
    top = Git.find(project.root).root
    if top == project.root:
        return "in the top folder, where GitHub reads them"
    different = unplaced(project.root, top)
    if not different:
        return f"copied to {top}"
    own, theirs = shlex.quote(str(project.root / ".github")), shlex.quote(str(top / ".github"))
    taken = [name for name in different if (top / ".github" / name).exists()]
    first = f"rename {taken[0]} there if it is a file of your own, then " if taken else ""
    raise ConfigError(
        f"{different[0]} has no identical copy in .github of {top}, the only one that GitHub reads",
        fix=f"{first}run `mkdir -p {theirs} && cp -R {own}/workflows {own}/actions {theirs}`",
    )


def _schedule(project: Project) -> str:
    git = Git.find(project.root)
    paths = [*(git.root / ".github" / "workflows").glob("*.yml")]
    scheduled = sorted(
        path.name for path in paths if re.search(r"^  schedule:", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    if not scheduled:
        return "no workflow has one"
    base = project.settings.retrain.base
    newest = ("for-each-ref", "--sort=-committerdate", "--count=1", "--format=%(committerdate:iso-strict)")
    committed = git.output(*newest, f"refs/heads/{base}", f"refs/remotes/*/{base}")
    if not committed:
        return f"{', '.join(scheduled)}; no commit of {base} yet"
    days = (datetime.now(UTC) - datetime.fromisoformat(committed)).days
    if days <= QUIET_DAYS:
        return f"{', '.join(scheduled)}; last commit {days} days ago"
    raise ConfigError(
        f"the last commit of {base} is {days} days old",
        why="GitHub disables the schedules of a public repository after 60 days without activity",
        fix="if this clone is out of date, run `git pull`; to keep the schedule, push a commit; to start it again, run "
        f"`gh workflow enable {scheduled[0]}`",
    )


def _approvals(project: Project) -> str:
    # The setting itself can be read with an administrator's token only; a merged pull request proves it.
    git, champion = Git.find(project.root), champion_in_work_tree(project)
    url = git.output("remote", "get-url", git.remote) if git.remote else ""
    if "github" not in url:
        return "no remote repository on GitHub"
    if champion and champion.promotion.reason in REASONS:
        return "a retrain pull request was merged"
    raise ConfigError(
        "GitHub may refuse the retrain pull request, because it lets workflows open none by default",
        fix=f"run `{ALLOW_PULL_REQUESTS}`, or select Settings → Actions → General → Workflow permissions → Allow GitHub "
        "Actions to create and approve pull requests; its checks start with the button Approve workflows to run",
    )


def _base_branch(project: Project) -> str:
    git, base = Git.find(project.root), project.settings.retrain.base
    commit = git.base_commit(base)
    if git.remote != "upstream" and "upstream" in git.output("remote").splitlines():
        raise ConfigError(
            f"champions are read from the branch {base} of {git.remote}, and the remote upstream is not used",
            fix="if this is a clone of a fork, run `git config checkout.defaultRemote upstream`",
        )
    return f"{base}{f' of {git.remote}' if git.remote else ''} at {commit[:7]}"


def _ignored(project: Project) -> str:
    git = Git.find(project.root)
    files = [project.root / name for name in COMMITTED]
    files += [project.pipeline_dir / "dvc.lock", project.stage_reports / "metrics.json"]
    files += [folder / "files" for folder in in_tree_remotes(project.root, git.root)]
    ignored = git.ignored(*files)
    if ignored:
        raise ConfigError(
            f"git ignores {ignored[0]}, which has to be committed",
            fix="add an exception to the .gitignore with the rule, which `git check-ignore --no-index --verbose PATH` shows",
        )
    return "nothing that has to be committed"


def _location(project: Project, output: DvcOutput) -> str:
    """Describe where the objects of a tracked folder are stored.

    Raises
    ------
    NotFoundError
        If the remote is a local folder, and an object is neither in it nor in the cache.
    """
    url = default_remote(project.root)
    if "://" in url:
        return f"stored at {url}, which was not checked"
    if missing := Dvc(project).missing_file(output):
        raise NotFoundError(
            f"the DVC object of {missing} is missing from both {Path(url).name}/ and the local cache",
            fix="run `git checkout HEAD -- dvc-remote`, or `dvc push` on a machine that has it, and commit dvc-remote/",
        )
    return "all on this machine"


_Check = tuple[str, bool, Callable[[Any], str]]
_MACHINE: tuple[_Check, ...] = (
    ("python", True, _python),
    ("uv", False, _uv),
    ("git", True, _repository),
    ("identity", True, _identity),
)
_LIBRARY: tuple[_Check, ...] = (("library", True, _library),)
_PROJECT: tuple[_Check, ...] = (
    *_LIBRARY,
    ("parameters", True, _params),
    ("suite", True, _suite),
    ("lock", False, _lock),
    ("storage", True, _storage),
    ("data", True, _data),
    ("current data", False, describe_source),
    ("remote size", False, _remote_size),
    ("champion", False, _champion),
    ("base branch", False, _base_branch),
    ("ignored files", False, _ignored),
    ("workflows", False, _workflows),
    ("place of workflows", True, _place),
    ("schedule", False, _schedule),
    ("approvals", False, _approvals),
)
