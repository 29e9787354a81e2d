"""Exit codes and exception classes: one class per kind of failure, each with its exit code.

Negative results (data refused, challenger lost, drift found) are not exceptions: they are part of the step's result.
Only inside the pipeline, refused data is an exception, because a stage has no other way to stop the pipeline.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit code of the process; documented in ``docs/reference/exit-codes.md``."""

    OK = 0
    BUG = 1
    USAGE = 2
    INCONCLUSIVE = 3
    PERMISSION = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNSAFE = 7
    DATA_REFUSED = 10
    CHALLENGER_LOST = 11
    DRIFT_FOUND = 12
    MALFORMED = 65
    DISK = 74
    TEMPORARY = 75
    INTERRUPTED = 130
    TERMINATED = 143


class TitleboutError(Exception):
    """Base class of all errors: a failure described by its place, cause, fix and effect.

    Parameters
    ----------
    what : str
        What happened, as one sentence.
    where : str, optional
        File, row, column, URL or key where it happened.
    why : str, optional
        Likely cause.
    fix : str, optional
        What to do next, preferably a command.
    state : str, optional
        What the failed operation left behind.
    """

    exit_code = ExitCode.BUG

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        state: str = "nothing was changed",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        self.state = state

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "TitleboutError":
        """Return the error that another process reported, as an instance of the same class.

        If the class is not defined in this module, the class with the same exit code is used.

        Parameters
        ----------
        document : mapping
            What :meth:`to_dict` returned.
        """
        kind = _CLASSES.get(document["type"]) or error_class(document["exit_code"])
        parts = {name: document[name] for name in ("where", "why", "fix", "state")}
        return kind(document["what"], **parts)

    def to_dict(self) -> dict[str, object]:
        """Return the error as the ``error`` object of the ``--json`` output."""
        return {
            "type": type(self).__name__,
            "exit_code": int(self.exit_code),
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "fix": self.fix,
            "state": self.state,
        }


class ConfigError(TitleboutError):
    """The configuration, the parameters or the repository's state do not allow the command."""

    exit_code = ExitCode.USAGE


class InconclusiveError(TitleboutError):
    """Insufficient evidence for a decision: too few rows, only one class, no baseline."""

    exit_code = ExitCode.INCONCLUSIVE


class PermissionRefusedError(TitleboutError):
    """Authentication failed, or a permission is missing."""

    exit_code = ExitCode.PERMISSION


class NotFoundError(TitleboutError):
    """A file, object, revision or model does not exist."""

    exit_code = ExitCode.NOT_FOUND


class ConflictError(TitleboutError):
    """A concurrent change was detected. Running the command again uses the new state."""

    exit_code = ExitCode.CONFLICT


class UnsafeError(TitleboutError):
    """Refused for safety: an untrusted type, a path outside its root, a digest mismatch."""

    exit_code = ExitCode.UNSAFE


class DataError(TitleboutError):
    """A file is malformed: its content does not match its format."""

    exit_code = ExitCode.MALFORMED


class DiskError(TitleboutError):
    """The disk is full, read-only or failing."""

    exit_code = ExitCode.DISK


class TemporaryError(TitleboutError):
    """A transient failure. Running the same command again is safe."""

    exit_code = ExitCode.TEMPORARY


class DataRefusedError(TitleboutError):
    """Data was refused: the data check rejected it, or data that has arrived cannot be read."""

    exit_code = ExitCode.DATA_REFUSED


class ChallengerLostError(TitleboutError):
    """The challenger was evaluated, and the champion stays."""

    exit_code = ExitCode.CHALLENGER_LOST


class InterruptionError(TitleboutError):
    """The command was interrupted (SIGINT, Ctrl-C)."""

    exit_code = ExitCode.INTERRUPTED


class TerminationError(TitleboutError):
    """The command was terminated (SIGTERM)."""

    exit_code = ExitCode.TERMINATED


@dataclass(frozen=True)
class Cause:
    """A known cause of a failure in an outside tool, recognized by the tool's output.

    Attributes
    ----------
    pattern : str
        Regular expression that the output contains.
    error : type of TitleboutError
        Class of the error to raise.
    what, fix : str
        Parts of that error.
    """

    pattern: str
    error: type[TitleboutError]
    what: str
    fix: str


def first_cause(text: str, causes: Iterable[Cause]) -> Cause | None:
    """Return the first cause whose pattern occurs in `text`, or None; the order of `causes` is the priority."""
    return next((cause for cause in causes if re.search(cause.pattern, text)), None)


_KINDS: list[type[TitleboutError]] = [TitleboutError, *TitleboutError.__subclasses__()]
_CLASSES = {kind.__name__: kind for kind in _KINDS}


def error_class(code: int) -> type[TitleboutError]:
    """Return the class of errors that end with an exit code; :class:`TitleboutError` for any other code."""
    return next((kind for kind in _KINDS if kind.exit_code == code), TitleboutError)
