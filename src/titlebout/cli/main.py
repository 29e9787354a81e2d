"""Every failure becomes one message and one exit code."""

import signal
import sys
from types import FrameType

import click

from titlebout.cli.commands import cli
from titlebout.cli.console import say_error
from titlebout.core.errors import (
    ConfigError,
    DiskError,
    ExitCode,
    InterruptionError,
    TerminationError,
    TitleboutError,
)

_AGAIN = "run the command again"
_STOPPED = "child processes were ended; every file is as before or as after"


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], command: click.Command = cli, name: str = "titlebout") -> int:
    """Run one command and return its exit code; never raises for what a user can meet.

    Parameters
    ----------
    arguments : list of str
        What stands after ``titlebout`` on the command line.
    command : click.Command
    name : str
        What the help calls the program.

    Raises
    ------
    SystemExit
        If the reader of the output is gone.
    """
    as_json = "--json" in arguments
    try:
        return int(command.main(arguments, prog_name=name, standalone_mode=False) or ExitCode.OK)
    except click.ClickException as error:
        return _usage(error, as_json)
    except (click.Abort, KeyboardInterrupt):
        failure: TitleboutError = InterruptionError("interrupted", fix=_AGAIN, state=_STOPPED)
    except SystemExit as ended:
        if ended.code != ExitCode.TERMINATED:
            raise
        failure = TerminationError("terminated", fix=_AGAIN, state=_STOPPED)
    except TitleboutError as error:
        failure = error
    except OSError as error:
        what, fix = f"cannot use a file: {error.strerror or error}", "free some space or check the permissions"
        failure = DiskError(what, where=error.filename, why=str(error), fix=fix)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is told as one, with what to send us
        failure = _bug(error)
    say_error(failure, as_json)
    return int(failure.exit_code)


def _bug(error: Exception) -> TitleboutError:
    import traceback

    why = "".join(traceback.format_exception(error)[-3:]).strip()
    fix = "this is a bug in titlebout: please report it with the lines above"
    return TitleboutError(f"{type(error).__name__}: {error}", why=why, fix=fix, state="unknown")


def _usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        say_error(ConfigError(error.format_message(), fix="see `titlebout --help`"), as_json)
    else:
        error.show()
    return ExitCode.USAGE


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)
