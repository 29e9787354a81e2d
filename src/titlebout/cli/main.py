"""Entry point of the command line: every failure becomes one error message and one exit code."""

import signal
import sys
from types import FrameType

import click

from titlebout.cli.commands import cli
from titlebout.cli.console import report_error
from titlebout.core.errors import (
    ConfigError,
    DiskError,
    ExitCode,
    InterruptionError,
    TerminationError,
    TitleboutError,
)

_RERUN = "run the command again"
_STOPPED = "child processes were stopped; no file was written in part"


def main() -> None:
    """Run the command line and exit with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], command: click.Command = cli, name: str = "titlebout") -> int:
    """Run one command and return its exit code; every error is reported instead of raised.

    Parameters
    ----------
    arguments : list of str
        Arguments after ``titlebout`` on the command line.
    command : click.Command
        Command to run.
    name : str
        Name of the program in the help.

    Raises
    ------
    SystemExit
        If standard output is a closed pipe.
    """
    as_json = "--json" in arguments
    try:
        return int(command.main(arguments, prog_name=name, standalone_mode=False) or ExitCode.OK)
    except click.ClickException as error:
        return _usage(error, as_json)
    except (click.Abort, KeyboardInterrupt):
        failure: TitleboutError = InterruptionError("interrupted (Ctrl-C)", fix=_RERUN, state=_STOPPED)
    except SystemExit as ended:
        if ended.code != ExitCode.TERMINATED:
            raise
        failure = TerminationError("terminated by a signal (SIGTERM)", fix=_RERUN, state=_STOPPED)
    except TitleboutError as error:
        failure = error
    except OSError as error:
        what, fix = f"cannot use a file: {error.strerror or error}", "free some disk space, or check the permissions"
        failure = DiskError(what, where=error.filename, why=str(error), fix=fix)
    except Exception as error:  # noqa: BLE001 - a bug is reported as a bug, with the traceback
        failure = _bug(error)
    report_error(failure, as_json)
    return int(failure.exit_code)


def _bug(error: Exception) -> TitleboutError:
    import traceback

    why = "".join(traceback.format_exception(error)[-3:]).strip()
    fix = "this is a bug in titlebout: please report it with the lines above"
    state = "unknown; `git status` shows which files have changed"
    return TitleboutError(f"unexpected error: {type(error).__name__}: {error}", why=why, fix=fix, state=state)


def _usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        report_error(ConfigError(error.format_message(), fix="see `titlebout --help`"), as_json)
    else:
        error.show()
    return ExitCode.USAGE


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)
