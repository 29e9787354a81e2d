"""Child processes: started without a shell, terminated as a group, failures reported with their last output lines."""

import logging
import os
import re
import shlex
import signal
import subprocess  # noqa: TID251 - the one owner of child processes
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from titlebout.core.errors import NotFoundError, TemporaryError, TitleboutError

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]

GRACE_SECONDS = 5.0
# An error of titlebout on standard error, its annotation in a workflow, and DVC's own line about it.
_ERROR = re.compile(r"error: |::error |ERROR: failed to reproduce ")
TAIL_LINES = 20


@dataclass(frozen=True)
class Completed:
    """A finished child process.

    Attributes
    ----------
    command : tuple of str
        Program and arguments.
    returncode : int
        Exit code; negative for a signal.
    stdout, stderr : str
        Decoded as UTF-8, with replacement characters for invalid bytes.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of standard error, or of standard output if standard error is empty."""
        output = self.stderr.strip() or self.stdout.strip()
        return "\n".join(output.splitlines()[-lines:])


class ProcessError(TitleboutError):
    """A child process failed for a reason that the caller does not recognize."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(
            f"{Path(completed.command[0]).name} ended with exit code {completed.returncode}",
            where=shlex.join(completed.command),
            why=completed.tail() or "it wrote no output",
            fix="run the command above by hand to see its full output",
            state="changes made by the command before it failed are kept",
        )
        self.completed = completed


def without_errors(on_line: Progress | None) -> Progress | None:
    """Return a progress callback that leaves out errors of titlebout: the command that runs the child reports them, once."""
    if on_line is None:
        return None
    inside = False

    def report(line: str) -> None:
        nonlocal inside
        inside = _ERROR.match(line) is not None or (inside and line.startswith("  "))
        if not inside:
            on_line(line)

    return report


def run(  # noqa: PLR0913 - a thin wrapper around subprocess.Popen
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = None,
    on_line: Progress | None = None,
    on_output: Progress | None = None,
) -> Completed:
    """Run a program until it exits and return its output.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; never interpreted by a shell.
    cwd : Path, optional
        Working directory; by default that of this process.
    env : mapping of str to str, optional
        Variables added to the inherited environment.
    check : bool
        Raise when the exit code is not 0.
    timeout : float, optional
        Seconds after which the child and all its descendants are terminated.
    on_line : callable, optional
        Progress callback, called with each line of standard error while the child runs.
    on_output : callable, optional
        The same for standard output, for programs that report their progress there.

    Raises
    ------
    ProcessError
        If `check` is set and the child fails.
    TemporaryError
        If it does not finish within `timeout`.
    NotFoundError
        If the program is not installed.
    """
    output: list[str] = []
    errors: list[str] = []
    with start(command, cwd=cwd, env=env) as child:
        readers = [_read(child.stdout, output, on_output), _read(child.stderr, errors, on_line)]
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TemporaryError(
                f"{Path(command[0]).name} did not finish within {timeout:g} seconds",
                where=shlex.join(command),
                fix="run it again; if it hangs again, check the network or the remote that it connects to",
                state="the process and its children were terminated",
            ) from error
        finally:
            _end_group(child)  # before the readers: a surviving descendant would keep the pipes open
            for reader in readers:
                reader.join()
    completed = Completed(tuple(command), child.returncode, "".join(output), "".join(errors))
    logger.debug("%s -> %d", shlex.join(command), completed.returncode)
    if check and completed.returncode != 0:
        raise ProcessError(completed)
    return completed


@contextmanager
def start(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a program in its own process group and terminate the whole group when the context exits.

    Raises
    ------
    NotFoundError
        If the program is not installed.
    """
    try:
        child = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=child_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise NotFoundError(
            f"cannot start {command[0]}",
            where=str(cwd or Path.cwd()),
            why=str(error),
            fix=f"install {command[0]}, or run `titlebout doctor` to check this machine",
        ) from error
    try:
        yield child
    finally:
        _end_group(child)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: UTF-8, this interpreter's programs first on PATH, no token, then `extra`."""
    environment = dict(os.environ)  # noqa: TID251 - passed on, not read
    environment.pop("TITLEBOUT_TOKEN", None)  # children run user code; git receives its authorization header in `extra`
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    environment["PYTHONUTF8"] = "1"
    return environment | dict(extra or {})


def _read(stream: Iterable[str] | None, lines: list[str], on_line: Progress | None) -> threading.Thread:
    """Start a thread that reads a stream to its end, even if the progress callback fails."""

    def collect() -> None:
        callback = on_line
        with suppress(ValueError):  # an interrupt can close the stream before its first line is read
            for line in stream or ():
                lines.append(line)
                try:
                    if callback is not None:
                        callback(line.rstrip("\n"))
                except Exception as error:  # noqa: BLE001 - an unread pipe would block the child forever
                    logger.warning("progress output failed and was turned off: %s", error)
                    callback = None

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    return thread


def _end_group(child: subprocess.Popen[str]) -> None:
    """Terminate, then kill, the remaining processes of the child's group; they could still write to the results."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        with suppress(ProcessLookupError, PermissionError):  # the group is empty; macOS raises PermissionError then
            os.killpg(child.pid, signal_number)
        while child.poll() is None or _is_alive(child.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    child.wait()


def _is_alive(group: int) -> bool:
    """Return whether a process group has a member that is not a zombie.

    Containers often have no init process that reaps orphans, so signal 0 succeeds for a group of zombies. Their state
    is read from /proc, which macOS does not have: there every member counts as alive.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    states = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, entry_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
            states += [state] if int(entry_group) == group else []
    return any(state != "Z" for state in states) or not Path("/proc/self").exists()
