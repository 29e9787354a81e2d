"""The documentation says what is there: generated pages are fresh, everything has its place, commands and links are real."""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
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
    """Every `titlebout …` line in a console block."""
    for path in PAGES:
        for block in re.findall(r"^ *```console\n(.*?)^ *```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for line in re.findall(r"^ *\$ (.+)$", block, re.MULTILINE):
                for part in re.split(r"&&|\|\||\||;", line.partition(" #")[0]):
                    if part.split()[:1] == ["titlebout"]:
                        yield path, part.strip()


@pytest.fixture
def make_reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that writes the reference pages, as a module that is asked to check only."""
    script = ROOT / "scripts" / "make_reference.py"
    spec = spec_from_file_location("make_reference", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(script), "--check"])
    return module


def test_the_generated_pages_are_what_the_script_would_write(make_reference: ModuleType) -> None:
    make_reference.main()


def test_a_stale_page_is_found_and_named(
    make_reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = tmp_path / "docs" / "reference"
    pages.mkdir(parents=True)
    for path in (DOCS / "reference").iterdir():
        (pages / path.name).write_text(path.read_text("utf-8").replace("Benjamini", "Bonferroni"), encoding="utf-8")
    for name, place in (("ROOT", tmp_path), ("REFERENCE", pages), ("SCHEMA", pages / make_reference.SCHEMA.name)):
        monkeypatch.setattr(make_reference, name, place)

    with pytest.raises(
        SystemExit,
        match=r"out of date: docs/reference/configuration\.md, docs/reference/results\.md, docs/reference/titlebout\.schema",
    ):
        make_reference.main()


def test_every_option_of_a_command_is_in_the_reference() -> None:
    missing = [
        f"{name} {option.opts[0]}"
        for name, command in COMMANDS.items()
        for option in command.params
        if not any(
            word in section("cli.md", f"titlebout {name}")
            for word in (option.opts[0], option.human_readable_name.upper())
        )
    ]

    assert missing == []


def test_every_configuration_key_is_explained() -> None:
    known = [*keys(settings_schema()), *keys(Params.model_json_schema())]
    explained = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.*) \|$", page("configuration.md"), re.MULTILINE))

    assert len(known) > 25
    assert [key for key in known if not explained.get(key)] == []


def test_every_exit_code_has_a_row() -> None:
    rows = page("exit-codes.md")

    assert [code.name for code in ExitCode if f"\n| {code.value} | `{code.name}` | " not in rows] == []


def test_every_input_and_output_of_an_action_is_explained() -> None:
    missing = []
    for path in ACTIONS:
        action = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
        rows = section("actions.md", path.parent.name)
        names = [*action["inputs"], *action["outputs"]]
        missing += [f"{path.parent.name}: {name}" for name in names if f"\n| `{name}` | " not in rows]

    assert len(ACTIONS) > 5
    assert missing == []


def usage_error(line: str) -> str:
    """What click finds wrong with a command line; empty when it is understood."""
    context = click.Context(cli, info_name="titlebout")
    name, *arguments = shlex.split(line)[1:]
    if name.startswith("-"):
        parser, words = cli.make_parser(context), [name, *arguments]
    elif name in COMMANDS:
        parser, words = COMMANDS[name].make_parser(context), arguments
    else:
        return f"no command {name}"
    try:
        parser.parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    return ""


def test_every_shown_command_has_only_options_that_exist() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line}: {why}" for path, line in shown_commands() if (why := usage_error(line))
    ]

    assert {line.split()[1] for _, line in shown_commands()} >= {"new", "adopt", "train", "evaluate", "retrain"}
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "why"), [("titlebout trian", "no command"), ("titlebout train --fast", "No such option")]
)
def test_a_shown_command_that_is_wrong_is_found(line: str, why: str) -> None:
    assert why in usage_error(line)


def dead_links(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Every link of a page to a file or a heading that is not below the root."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        here = target.exists() and target.is_relative_to(root)
        if not here or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            yield f"{path.name}: {link}"


def test_every_link_leads_somewhere() -> None:
    assert len(PAGES) > 30
    assert [link for path in PAGES for link in dead_links(path)] == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Heading\n\n[a](#heading) [b](#other) [c](gone.md) [d](https://example.org) `[e](gone.md)`\n")

    assert [*dead_links(page, tmp_path)] == ["page.md: #other", "page.md: gone.md"]


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS)]

    assert [name for name in pages if f"({name})" not in index and not name.startswith(("README", "decisions/"))] == []
