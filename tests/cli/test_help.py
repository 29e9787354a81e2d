"""Help: complete, with an example, and as quick as the parser alone."""

import logging
import shlex

import click
import pytest

from titlebout.cli.commands import cli
from titlebout.cli.main import run

WITHOUT_VERDICT = {"new", "adopt", "promote", "doctor", "act"}
COMMANDS = [name for name, command in cli.commands.items() if not command.hidden]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    completed = capsys.readouterr().out

    assert completed.startswith(f"Usage: titlebout {name} [OPTIONS]")
    assert len(str(cli.commands[name].get_short_help_str())) > 20
    examples = completed[completed.index("Example:") : completed.index("Options:")].splitlines()[1:]
    assert f"titlebout {name}" in examples[0]
    assert all(len(line) <= 120 for line in completed.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_of_its_own(name: str) -> None:
    options = [parameter for parameter in cli.commands[name].params if isinstance(parameter, click.Option)]

    assert {option.name for option in options} >= {"as_json", "verbose"}
    assert ("no_fail" in {option.name for option in options}) == (name not in WITHOUT_VERDICT)
    for option in options:
        assert option.help, option.name
        assert option.help.endswith("."), option.name
        assert option.secondary_opts == []
        assert all(spelling.startswith("--") for spelling in option.opts if spelling != "-v"), option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_is_understood(name: str) -> None:
    """What stands in the help is parsed by the parser it describes."""
    text = str(cli.commands[name].help).partition("Example:")[2]
    lines = [part.strip() for line in text.splitlines() for part in line.split("#")[0].split("&&")]
    for line in filter(None, lines):
        program, command, *arguments = shlex.split(line)
        assert program == "titlebout"
        context = cli.commands[command].make_context(command, arguments, resilient_parsing=False)
        assert context.info_name == command


def test_the_overview_lists_every_command_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    completed = capsys.readouterr().out

    listed = [
        line.split()[0] for line in completed[completed.index("Commands:") :].splitlines()[1:] if line.startswith("  ")
    ]
    assert [name for name in listed if name in COMMANDS] == COMMANDS
    assert "stage" not in listed
    assert completed.rstrip().endswith("/docs")


def test_no_summary_is_cut_on_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["--help"]) == 0

    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert "..." not in listed


def test_details_can_be_asked_for_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().level
    try:
        run(["check-data", "-v", "--pipeline", "nowhere"])
        assert logging.getLogger().level == logging.DEBUG
    finally:
        logging.getLogger().setLevel(before)
    capsys.readouterr()


def test_no_command_at_all_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    run([])
    completed = capsys.readouterr()

    assert "Commands:" in completed.out + completed.err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from titlebout import __version__

    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
