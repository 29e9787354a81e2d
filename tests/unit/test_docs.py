"""The documentation says what is there: generated pages are fresh, everything has its place, commands and links are real."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from titlebout.cli.commands import cli
from titlebout.core.errors import ExitCode
from titlebout.settings.load import settings_schema
from titlebout.settings.params import Params

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
COMMANDS = {name: command for name, command in cli.commands.items() if not command.hidden}


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """The part of a reference page under a heading of the second level."""
    return re.split(r"^## ", page(name).partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key of a configuration file, with the tables it stands in."""
    kinds = schema.get("$defs", {})
    for key, given in schema["properties"].items():
        reference = given.get("$ref", "").rpartition("/")[2]
        yield from keys({**kinds[reference], "$defs": kinds}, f"{prefix}{key}.") if reference else [f"{prefix}{key}"]


def anchors(text: str) -> set[str]:
    """What a link can name within a page: GitHub's form of its headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown_commands() -> Iterator[tuple[Path, str]]:
    """Every `titlebout …` line that a console block tells the reader to type."""
    for path in PAGES:
        for block in re.findall(r"^ *```console\n(.*?)^ *```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in re.findall(r"^ *\$ (.+)$", block, re.MULTILINE):
                for part in re.split(r"&&|\|\||\||;", line.partition(" #")[0]):
                    if part.split()[:1] == ["titlebout"]:
                        yield path, part.strip()


def test_the_generated_pages_are_what_the_script_would_write() -> None:
    ran = subprocess.run(
        [sys.executable, "scripts/make_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr


def test_a_stale_page_is_found_and_named(tmp_path: Path) -> None:
    for name in ("src", "scripts", "docs", ".github", "cookiecutter"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    pages = tmp_path / "docs" / "reference"
    pages.mkdir(parents=True)
    for path in (DOCS / "reference").iterdir():
        (pages / path.name).write_text(path.read_text("utf-8").replace("Benjamini", "Bonferroni"), encoding="utf-8")
    script = tmp_path / "make_reference.py"
    text = (ROOT / "scripts" / "make_reference.py").read_text("utf-8")
    script.write_text(text.replace("parents[1]", "parent"), encoding="utf-8")

    ran = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)

    assert ran.returncode == 1
    assert (
        "stale: docs/reference/configuration.md, docs/reference/results.md, docs/reference/titlebout.schema.json"
        in ran.stderr
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_in_the_reference(name: str) -> None:
    told = section("cli.md", f"titlebout {name}")

    for option in COMMANDS[name].params:
        assert option.opts[0] in told or option.human_readable_name.upper() in told


def test_every_configuration_key_is_explained() -> None:
    known = [*keys(settings_schema()), *keys(Params.model_json_schema())]
    told = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.*) \|$", page("configuration.md"), re.MULTILINE))

    assert len(known) > 25
    assert [key for key in known if not told.get(key)] == []


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_has_a_row(code: ExitCode) -> None:
    assert f"\n| {code.value} | `{code.name}` | " in page("exit-codes.md")


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_every_input_and_output_of_an_action_is_explained(path: Path) -> None:
    action, told = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader), section("actions.md", path.parent.name)

    for name in [*action["inputs"], *action["outputs"]]:
        assert f"\n| `{name}` | " in told


@pytest.mark.parametrize(("path", "line"), [*shown_commands()], ids=lambda given: str(given).removeprefix(str(ROOT)))
def test_a_command_that_is_shown_has_only_options_that_exist(path: Path, line: str) -> None:
    context = click.Context(cli, info_name="titlebout")
    words = shlex.split(line)[1:]

    if words[0].startswith("-"):
        cli.make_parser(context).parse_args(words)
    else:
        COMMANDS[words[0]].make_parser(context).parse_args(words[1:])


def test_there_are_commands_to_look_at() -> None:
    assert {line.split()[1] for _, line in shown_commands()} >= {
        "new",
        "adopt",
        "train",
        "evaluate",
        "retrain",
        "drift",
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS)]

    assert [name for name in pages if f"({name})" not in index and not name.startswith(("README", "decisions/"))] == []
