"""Child processes: argument lists only, the whole group ended with its parent, failures told with their last lines."""

import logging
import os
import shlex
import signal
import subprocess  # noqa: TID251 - the one owner of child processes
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from titlebout.errors import NotFoundError, TemporaryError, TitleboutError

logger = logging.getLogger(__name__)

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


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
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

    Raises
    ------
    ProcessError
        If `check` is set and the child fails.
    TemporaryError
        If it does not end in time.
    NotFoundError
        If the program is not installed.
    """
    with start(command, cwd=cwd, env=env) as child:
        errors: list[str] = []
        reader = threading.Thread(target=_collect, args=(child.stderr, errors, on_line), daemon=True)
        reader.start()
        try:
            output = _read_to_end(child, timeout)
        except subprocess.TimeoutExpired as error:
            raise TemporaryError(
                f"{Path(command[0]).name} did not end within {timeout:g} seconds",
                where=shlex.join(command),
                fix="run it again; if it hangs again, look at the network or the remote it talks to",
                state="the process and its children were ended",
            ) from error
        reader.join()
    completed = Completed(tuple(command), child.returncode, output, "".join(errors))
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
    """Return the environment for a child: this interpreter's programs first on PATH, UTF-8, then `extra`."""
    environment = dict(os.environ)  # noqa: TID251 - handed on, not read
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([programs, environment.get("PATH", os.defpath)])
    environment["PYTHONUTF8"] = "1"
    return environment | dict(extra or {})


def _read_to_end(child: subprocess.Popen[str], timeout: float | None) -> str:
    chunks: list[str] = []
    reader = threading.Thread(target=_collect, args=(child.stdout, chunks, None), daemon=True)
    reader.start()
    child.wait(timeout)
    reader.join()
    return "".join(chunks)


def _collect(stream: "Iterator[str] | None", lines: list[str], on_line: Callable[[str], None] | None) -> None:
    for line in stream or ():
        lines.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))


def _end_group(child: subprocess.Popen[str]) -> None:
    """Ask the child's whole group to end, then make it: a survivor would go on writing into the results."""
    if child.poll() is not None:
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signal_number)
            child.wait(GRACE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
