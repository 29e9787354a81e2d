"""Every failure a user can meet, each with the exit code that tells a workflow what to do next.

A "no" (data refused, challenger lost, drift found) is not here: it is an answer, kept in the step's result.
"""

from enum import IntEnum


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
