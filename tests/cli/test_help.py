"""Help: complete, with an example, and as quick as the parser alone."""

import json
import resource
import shlex
import statistics
import sys
from collections.abc import Callable

import click
import pytest

from titlebout.cli.commands import cli
from titlebout.cli.main import run
from titlebout.core import process

COMMANDS = [name for name, command in cli.commands.items() if not command.hidden]
HEAVY = {
    "bentoml",
    "dvc",
    "evidently",
    "great_expectations",
    "httpx",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "rich",
    "scipy",
    "skops",
    "sklearn",
    "yaml",
}


def python(*arguments: str) -> str:
    return process.run([sys.executable, *arguments]).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out

    assert said.startswith(f"Usage: titlebout {name} [OPTIONS]")
    assert len(str(cli.commands[name].get_short_help_str())) > 20
    examples = said[said.index("Example:") : said.index("Options:")].splitlines()[1:]
    assert f"titlebout {name}" in examples[0]
    assert all(len(line) <= 120 for line in said.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_of_its_own(name: str) -> None:
    options = [parameter for parameter in cli.commands[name].params if isinstance(parameter, click.Option)]

    assert {option.name for option in options} >= {"as_json", "no_fail"}
    for option in options:
        assert option.help, option.name
        assert option.help.endswith("."), option.name
        assert option.secondary_opts == []
        assert all(spelling.startswith("--") for spelling in option.opts), option.name


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
    said = capsys.readouterr().out

    listed = [line.split()[0] for line in said[said.index("Commands:") :].splitlines()[1:] if line.startswith("  ")]
    assert [name for name in listed if name in COMMANDS] == COMMANDS
    assert "stage" not in listed


def test_no_command_at_all_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    run([])
    said = capsys.readouterr()

    assert "Commands:" in said.out + said.err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from titlebout import __version__

    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["trian"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import json, sys
from titlebout.cli.main import run
run({arguments!r})
print()
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))
"""
    loaded = set(json.loads(python("-c", script).splitlines()[-1]))

    assert "click" in loaded
    assert loaded & HEAVY == set()


def cost(*arguments: str) -> float:
    """Return the processor seconds of one run of the interpreter: a busy machine does not change them much."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_costs_little_more_than_click() -> None:
    ways: dict[str, Callable[[], float]] = {
        "help": lambda: cost("-m", "titlebout", "--help"),
        "click": lambda: cost("-c", "import click"),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(9):
        for name, way in ways.items():
            found[name].append(way())

    assert statistics.median(found["help"]) <= 2.5 * statistics.median(found["click"])
