"""Every failure a user can meet, each with the exit code that tells a workflow what to do next.

A "no" (data refused, challenger lost, drift found) is an answer, kept in the step's result. Only within the pipeline
refused data is an error, because a stage has no other way to stop it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What the process says to the workflow; documented in ``docs/reference/exit-codes.md``."""

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
    """A failure told in four parts, so that its reader never has to open the source.

    Parameters
    ----------
    what : str
        What happened, as one sentence.
    where : str, optional
        The file, row, column, URL or key it happened at.
    why : str, optional
        The likely cause.
    fix : str, optional
        What to do now, best as a command.
    state : str, optional
        What was left behind; "nothing was changed" unless said otherwise.
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
        """Return the error that another process reported, of the class that it was there.

        A class that is not of this module becomes the one with its exit code.

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
    """There is too little to decide on: too few rows, one class only, no baseline."""

    exit_code = ExitCode.INCONCLUSIVE


class PermissionRefusedError(TitleboutError):
    """A server did not accept who we are or what we may do."""

    exit_code = ExitCode.PERMISSION


class NotFoundError(TitleboutError):
    """A file, object, revision or model is not there."""

    exit_code = ExitCode.NOT_FOUND


class ConflictError(TitleboutError):
    """Somebody else changed the same thing meanwhile; running again decides on the new state."""

    exit_code = ExitCode.CONFLICT


class UnsafeError(TitleboutError):
    """Refused for safety: an untrusted type, a path outside its root, a digest that does not match."""

    exit_code = ExitCode.UNSAFE


class DataError(TitleboutError):
    """Data that cannot be read as what it claims to be."""

    exit_code = ExitCode.MALFORMED


class DiskError(TitleboutError):
    """The disk is full, read-only or failing."""

    exit_code = ExitCode.DISK


class TemporaryError(TitleboutError):
    """A passing fault; running the same command again is safe."""

    exit_code = ExitCode.TEMPORARY


class DataRefusedError(TitleboutError):
    """The data check of the pipeline refused the tracked data."""

    exit_code = ExitCode.DATA_REFUSED


class InterruptionError(TitleboutError):
    """Ended by Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED


class TerminationError(TitleboutError):
    """Ended by SIGTERM."""

    exit_code = ExitCode.TERMINATED


_KINDS: list[type[TitleboutError]] = [TitleboutError, *TitleboutError.__subclasses__()]
_CLASSES = {kind.__name__: kind for kind in _KINDS}


def error_class(code: int) -> type[TitleboutError]:
    """Return the class of errors that end with an exit code; :class:`TitleboutError` where there is none."""
    return next((kind for kind in _KINDS if kind.exit_code == code), TitleboutError)
