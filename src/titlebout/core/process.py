"""Child processes: argument lists only, the whole group ended with its parent, failures told with their last lines."""

import logging
import os
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

OnLine = Callable[[str], None]

GRACE_SECONDS = 5.0
TAIL_LINES = 20


@dataclass(frozen=True)
class Completed:
    """A finished child process.

    Attributes
    ----------
    command : tuple of str
    returncode : int
    stdout, stderr : str
        Decoded as UTF-8; bytes that are not are shown as replacement characters.
    """

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of what the child said, its errors before its output."""
        said = self.stderr.strip() or self.stdout.strip()
        return "\n".join(said.splitlines()[-lines:])


class ProcessError(TitleboutError):
    """A child process failed in a way its caller has no better word for."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(
            f"{Path(completed.command[0]).name} ended with exit code {completed.returncode}",
            where=shlex.join(completed.command),
            why=completed.tail() or "it said nothing",
            fix="run the command above by hand to see all of its output",
            state="whatever the command had done before it failed",
        )
        self.completed = completed


def run(  # noqa: PLR0913 - a thin cover of subprocess.Popen
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = None,
    on_line: OnLine | None = None,
    on_output: OnLine | None = None,
) -> Completed:
    """Run a program to its end and return what it said.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; never interpreted by a shell.
    cwd : Path, optional
    env : mapping of str to str, optional
        Variables added to the inherited environment.
    check : bool
        Raise when the exit code is not 0.
    timeout : float, optional
        Seconds after which the child and all its descendants are ended.
    on_line : callable, optional
        Called with every line of standard error while the child runs, for progress.
    on_output : callable, optional
        The same for standard output, of programs that report their progress there.

    Raises
    ------
    ProcessError
        If `check` is set and the child fails.
    TemporaryError
        If it does not end in time.
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
                f"{Path(command[0]).name} did not end within {timeout:g} seconds",
                where=shlex.join(command),
                fix="run it again; if it hangs again, look at the network or the remote it talks to",
                state="the process and its children were ended",
            ) from error
        finally:
            _end_group(child)  # before the readers: a descendant that lives on would keep the pipes open
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
    """Start a program in a process group of its own and end the whole group on the way out.

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
            fix="install it, or run `titlebout doctor`",
        ) from error
    try:
        yield child
    finally:
        _end_group(child)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child: this interpreter's programs first on PATH, UTF-8, no token, then `extra`."""
    environment = dict(os.environ)  # noqa: TID251 - handed on, not read
    environment.pop("TITLEBOUT_TOKEN", None)  # children run the team's code; git gets its header in `extra`
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    environment["PYTHONUTF8"] = "1"
    return environment | dict(extra or {})


def _read(stream: Iterable[str] | None, lines: list[str], on_line: OnLine | None) -> threading.Thread:
    """Start a thread that reads a stream to its end, whatever becomes of who watches."""

    def collect() -> None:
        show = on_line
        for line in stream or ():
            lines.append(line)
            try:
                if show is not None:
                    show(line.rstrip("\n"))
            except Exception as error:  # noqa: BLE001 - a pipe that nobody reads would stop the child for ever
                logger.warning("progress cannot be shown any more: %s", error)
                show = None

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    return thread


def _end_group(child: subprocess.Popen[str]) -> None:
    """Ask what is left of the child's group to end, then make it: a survivor would go on writing into the results."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says so in the second way
            os.killpg(child.pid, signal_number)
        while child.poll() is None or _lives(child.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return
    child.wait()


def _lives(group: int) -> bool:
    """Return whether a group has a member that is not dead; in containers, often nobody buries the orphans."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, its_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
            members += [state] if int(its_group) == group else []
    return any(state != "Z" for state in members) or not Path("/proc/self").exists()
