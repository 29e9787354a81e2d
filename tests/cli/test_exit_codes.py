"""Exit codes and JSON: what a workflow reads, for every way a command can end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import click
import pytest

from sample import CommandResult
from titlebout.cli.commands import cli
from titlebout.cli.console import REFUSALS, step
from titlebout.cli.main import run
from titlebout.core import errors
from titlebout.core.errors import ExitCode, TitleboutError
from titlebout.core.process import Completed, ProcessError
from titlebout.core.results import StepResult

CODES = {
    "BUG": 1,
    "CHALLENGER_LOST": 11,
    "CONFLICT": 6,
    "DATA_REFUSED": 10,
    "DISK": 74,
    "DRIFT_FOUND": 12,
    "INCONCLUSIVE": 3,
    "INTERRUPTED": 130,
    "MALFORMED": 65,
    "NOT_FOUND": 5,
    "OK": 0,
    "PERMISSION": 4,
    "TEMPORARY": 75,
    "TERMINATED": 143,
    "UNSAFE": 7,
    "USAGE": 2,
}
CLASSES = {
    "ConfigError": 2,
    "ConflictError": 6,
    "DataError": 65,
    "DataRefusedError": 10,
    "DiskError": 74,
    "InconclusiveError": 3,
    "InterruptionError": 130,
    "ChallengerLostError": 11,
    "NotFoundError": 5,
    "PermissionRefusedError": 4,
    "TemporaryError": 75,
    "TerminationError": 143,
    "TitleboutError": 1,
    "UnsafeError": 7,
}
Failing = Callable[[BaseException], CommandResult]


class TryResult(StepResult):
    """The result of the tests' own command."""

    step: Literal["try"] = "try"

    def to_markdown(self) -> str:
        return "### Try\n"


@pytest.fixture
def failing(
    command: Callable[..., CommandResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Failing]:
    """Run a command of the tests' own that ends with the given exception."""
    monkeypatch.chdir(tmp_path)

    def end_with(error: BaseException) -> CommandResult:
        @step(cli, "try", in_project=False)
        def trying() -> TryResult:
            raise error

        assert trying
        return command("try")

    yield end_with
    cli.commands.pop("try", None)


@pytest.fixture
def ending(
    command: Callable[..., CommandResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., CommandResult]]:
    """Run a command of the tests' own that ends with the given exit code as its answer."""
    monkeypatch.chdir(tmp_path)

    def end_with(code: ExitCode, *options: str) -> CommandResult:
        class EndedResult(TryResult):
            @property
            def exit_code(self) -> ExitCode:
                return code

        @step(cli, "try", in_project=False)
        def trying() -> TryResult:
            return EndedResult(passed=code is ExitCode.OK, reasons=("because",))

        assert trying
        return command("try", *options)

    yield end_with
    cli.commands.pop("try", None)


def test_every_code_is_the_documented_one() -> None:
    assert {code.name: int(code) for code in ExitCode} == CODES


def test_every_error_class_has_its_code() -> None:
    found = {
        name: int(value.exit_code)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, TitleboutError)
    }

    assert found == CLASSES


@pytest.mark.parametrize(("name", "code"), CLASSES.items())
def test_an_error_ends_with_its_code_and_all_it_knows(name: str, code: int, failing: Failing) -> None:
    error = getattr(errors, name)("what\nhappened", where="a.csv:3", why="because", fix="do this", state="half done")
    completed = failing(error)

    assert completed.code == code
    assert completed.document == {
        "error": {
            "type": name,
            "exit_code": code,
            "what": "what\nhappened",
            "where": "a.csv:3",
            "why": "because",
            "fix": "do this",
            "state": "half done",
        }
    }
    for line in ("error: what", "  where: a.csv:3", "  why: because", "  fix: do this", "  state: half done"):
        assert line in completed.errors.splitlines()


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (ProcessError(Completed(("git", "push"), 128, "", "fatal: no")), 1, "git ended with exit code 128"),
        (PermissionError(13, "Permission denied", "a.csv"), 74, "cannot use a file: Permission denied"),
        (OSError(28, "No space left on device"), 74, "cannot use a file: No space left on device"),
        (ZeroDivisionError("division by zero"), 1, "unexpected error: ZeroDivisionError: division by zero"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), 1, "unexpected error: UnicodeEncodeError"),
    ],
)
def test_every_other_failure_has_no_bare_traceback(error: Exception, code: int, what: str, failing: Failing) -> None:
    completed = failing(error)

    assert completed.code == code
    assert completed.error["what"].startswith(what)
    assert completed.errors.startswith(f"error: {what}")
    assert completed.error["fix"]


def test_a_bug_says_that_it_is_one_and_what_to_send(failing: Failing) -> None:
    completed = failing(ZeroDivisionError("division by zero"))

    assert "report" in completed.error["fix"]
    assert "test_exit_codes.py" in completed.error["why"]
    assert completed.error["state"].startswith("unknown")


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (KeyboardInterrupt(), 130, "interrupted (Ctrl-C)"),
        (click.Abort(), 130, "interrupted (Ctrl-C)"),
        (SystemExit(ExitCode.TERMINATED), 143, "terminated by a signal (SIGTERM)"),
    ],
)
def test_a_command_that_is_stopped_says_so(error: BaseException, code: int, what: str, failing: Failing) -> None:
    completed = failing(error)

    assert (completed.code, completed.error["exit_code"], completed.error["what"]) == (code, code, what)
    assert "Traceback" not in completed.errors


@pytest.mark.parametrize("code", [ExitCode.OK, *REFUSALS, ExitCode.INCONCLUSIVE])
def test_an_answer_is_a_result_and_its_code(code: ExitCode, ending: Callable[..., CommandResult]) -> None:
    completed = ending(code)

    assert completed.code == code
    assert completed.document == {
        "schema_version": 1,
        "step": "try",
        "passed": code == 0,
        "reasons": ["because"],
    }


@pytest.mark.parametrize("code", [ExitCode.OK, *REFUSALS, ExitCode.INCONCLUSIVE])
def test_no_fail_turns_a_no_into_zero_and_leaves_the_verdict(
    code: ExitCode, ending: Callable[..., CommandResult]
) -> None:
    completed = ending(code, "--no-fail")

    assert (completed.code, completed.document["passed"]) == (0, code == 0)


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.TEMPORARY])
def test_no_fail_hides_no_failure(code: ExitCode, ending: Callable[..., CommandResult]) -> None:
    assert ending(code, "--no-fail").code == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian"],
        ["train", "--fast"],
        ["check-data", "--on", "yesterday"],
        ["check-data", "--on"],
        ["train", "now"],
        ["adopt"],
        ["retrain", "--forge", "gitlab"],
        ["stage", "deploy"],
        ["--fast"],
    ],
)
def test_a_command_line_that_is_not_understood_is_a_usage_error(
    arguments: list[str], command: Callable[..., CommandResult], capsys: pytest.CaptureFixture[str]
) -> None:
    completed = command(*arguments)

    assert completed.code == 2
    assert completed.error["exit_code"] == 2
    assert "--help" in completed.error["fix"]
    assert run(arguments) == 2
    plain = capsys.readouterr()
    assert plain.out == ""
    assert "Error: " in plain.err


def test_text_from_outside_is_no_workflow_command(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    completed = failing(errors.DataError("two columns are named 'a\n::set-output name=verdict::promote\n##[error]x'"))
    annotations = [line for line in completed.errors.splitlines() if line.startswith("::")]

    assert len(annotations) == 1
    assert annotations[0].startswith("::error title=titlebout::two columns")
    assert "%0A::set-output" in annotations[0]
    assert "##[" not in completed.errors.replace(annotations[0], "")
