"""Workflows on this machine: nektos/act in host mode, without Docker, GitHub or network.

act skips the checkout (it copies the repository), so only the other third-party actions need a stand-in; the ones
here do the same with local means. An action without a stand-in is an error, never a silent skip. What act itself
ignores (event filters, permissions, concurrency, job timeouts) is not shown by running it.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from titlebout.core import process
from titlebout.core.errors import NotFoundError, UnsafeError

STANDINS = Path(__file__).parent / "standins"
# What act does by itself.
BUILT_IN = ("actions/checkout",)
RUNNER = "ubuntu-24.04=-self-hosted"

SHOWN_LINES = 40

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class WorkflowRun:
    """What happened in one run of a workflow.

    Attributes
    ----------
    jobs : dict of str to str
        Result (``success``, ``failure``) of every job that ran, by its id; called workflows as ``caller/job``.
    outputs : dict of str to dict
        Outputs of steps, by job id: later steps overwrite earlier ones of the same name.
    summaries : tuple of str
        Job summaries in the order they were written.
    log : str
        Everything the steps said.
    failure : str
        The last lines of the jobs that failed; of the whole log when no job did.
    """

    jobs: dict[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summaries: tuple[str, ...] = ()
    log: str = ""
    failure: str = ""

    @property
    def passed(self) -> bool:
        """True when jobs ran and all of them succeeded; act exits 0 also when no job ran at all."""
        return bool(self.jobs) and set(self.jobs.values()) == {"success"}


def available() -> bool:
    """Return whether act is installed beside this interpreter or on PATH."""
    return shutil.which("act", path=process.child_environment()["PATH"]) is not None


def run_workflow(
    repository: Path,
    workflow: str,
    event: str = "push",
    *,
    payload: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    on_line: OnLine | None = None,
) -> WorkflowRun:
    """Run one workflow of a repository and return what ran.

    Parameters
    ----------
    repository : Path
        A git repository with ``.github/workflows``; it is copied, never written to.
    workflow : str
        File name, as ``ci.yml``.
    event : str
        Name of the event.
    payload : mapping, optional
        The event's document (``github.event``).
    variables : mapping of str to str, optional
        Environment of the steps, added to a clean one; ``GITHUB_TOKEN`` becomes the token.
    on_line : callable, optional
        Called with the name of each step as it starts.

    Raises
    ------
    UnsafeError
        If the workflow uses an action that has no stand-in here.
    NotFoundError
        If act is not installed, or there is no such workflow.
    """
    path = repository / ".github" / "workflows" / workflow
    if not path.is_file():
        raise NotFoundError(
            f"no workflow {workflow}", where=str(path), fix="generate the repository again with `titlebout new`"
        )
    with tempfile.TemporaryDirectory(prefix="titlebout-act-") as folder:
        command = [
            *_command(repository, path, event, Path(folder)),
            *_arguments(Path(folder), payload, variables or {}),
        ]
        events = _Events(on_line)
        with process.start(command, cwd=repository, env=_home(Path(folder))) as child:
            for line in child.stdout or ():
                events.take(line)
            errors = child.stderr.read() if child.stderr else ""
            child.wait()
        log = "".join(events.said) + errors
        return WorkflowRun(events.jobs, events.outputs, tuple(events.summaries), log, events.failure() or _tail(log))


def third_party(repository: Path) -> tuple[str, ...]:
    """Return every ``owner/name@ref`` that the repository's workflows and actions use."""
    files = [*(repository / ".github").rglob("*.yml"), *(repository / ".github").rglob("*.yaml")]
    found = {
        match
        for file in files
        for match in re.findall(r"uses:\s*['\"]?([\w.-]+/[\w./-]+@[\w.-]+)", file.read_text("utf-8"))
    }
    return tuple(sorted(found))


def _home(folder: Path) -> dict[str, str]:
    """Return an empty home, so that no setting of the user's changes a run, but with uv's own cache of packages."""
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
                f"no stand-in for {used}",
                where=str(workflow),
                why="running the real action would need the network",
                fix=f"write one in {STANDINS / name / 'action.yml'}",
            )
        mapped += ["--local-repository", f"{used}={STANDINS / name}"]
    options = ["--json", "--no-cache-server", "--action-offline-mode", "--pull=false", "-P", RUNNER]
    return ["act", event, "-W", str(workflow), "--action-cache-path", str(folder / "actions"), *options, *mapped]


def _arguments(folder: Path, payload: Mapping[str, Any] | None, variables: Mapping[str, str]) -> list[str]:
    """Hand over the event and the steps' environment in files: arguments are visible to every process."""
    event = folder / "event.json"
    event.write_text(json.dumps(payload or {}), encoding="utf-8")
    steps = {"TITLEBOUT_ARTIFACTS": str(folder / "artifacts"), **variables}
    secrets = folder / "secrets"
    secrets.write_text(f"GITHUB_TOKEN={steps.pop('GITHUB_TOKEN', '')}\n", encoding="utf-8")
    environment = folder / "env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in steps.items()), encoding="utf-8")
    return ["-e", str(event), "--env-file", str(environment), "--secret-file", str(secrets)]


def _tail(log: str) -> str:
    return "".join(log.splitlines(keepends=True)[-SHOWN_LINES:])


class _Events:
    """Reads act's JSON lines."""

    def __init__(self, on_line: OnLine | None) -> None:
        self.jobs: dict[str, str] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self.summaries: list[str] = []
        self.said: list[str] = []
        self._said_in: dict[str, list[str]] = {}
        self._on_line = on_line
        self._announced: set[str] = set()

    def take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            self.said.append(line)
            return
        job = str(event.get("jobID", ""))
        if "jobResult" in event:
            self.jobs[job] = event["jobResult"]
        # A composite action reports the summary of its inner step once more as its own.
        if event.get("command") == "summary" and event["content"] not in self.summaries[-1:]:
            self.summaries.append(event["content"])
        if event.get("command") == "set-output":
            self.outputs.setdefault(job, {})[event["name"]] = event["arg"]
        message = str(event.get("msg", ""))
        self.said.append(message if message.endswith("\n") else f"{message}\n")
        self._said_in.setdefault(job, []).append(self.said[-1])
        self._announce(job, event)

    def failure(self) -> str:
        """Return how the jobs that failed ended."""
        failed = [job for job, result in self.jobs.items() if result == "failure"]
        return "".join(f"{job} failed:\n{_tail(''.join(self._said_in[job]))}" for job in failed)

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
