"""Every page of the documentation with commands can be played by scripts/play_docs.py, and its table has nothing else."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from play_docs import SHELLS, TABLE, difference, merged, steps

ROOT = Path(__file__).parents[2]
TEXT = TABLE.read_text("utf-8")
PAGES: dict[str, Any] = tomllib.loads(TEXT)["pages"]
KINDS = ("before", "after", "values", "codes", "not_run", "blocks")


def test_the_table_has_the_pages_that_a_newcomer_reads() -> None:
    guides = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/how-to/*.md"))]

    assert sorted(PAGES) == sorted(["README.md", "docs/tutorial/first-retraining.md", *guides])


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_is_played_or_listed(name: str) -> None:
    notes, found = PAGES[name], [*steps((ROOT / name).read_text("utf-8"))]
    blocks = [step.text for step in found if step.language not in SHELLS]
    contents = [step.content for step in found]
    keys = [key for kind in KINDS for key in notes.get(kind, {})] + notes.get("follow", [])

    assert [block for block in blocks if not any(key in block for key in notes.get("blocks", {}))] == []
    assert [key for key in keys if not any(key in content for content in contents)] == []


def test_a_block_is_split_into_commands_and_their_outputs() -> None:
    page = "1. Do:\n\n    ```console\n    $ curl -d '{\n        \"a\": 1}'\n    one\n    $ echo $?\n    0\n    ```\n\n```toml\nx = 1\n```\n"
    first, second, block = steps(page)

    assert (first.line, first.text, first.shown) == (4, "curl -d '{\n    \"a\": 1}'", "one")
    assert (second.line, second.shown, first.asked) == (7, "0", True)
    assert (block.line, block.language, block.text) == (12, "toml", "x = 1\n")


def test_only_a_block_with_an_output_promises_any() -> None:
    (silent, *_) = steps("```console\n$ git add -A\n$ git commit\n```\n")
    (first, second) = steps("```console\n$ git add -A\n$ git log\n…\n```\n")

    assert silent.shown is None
    assert (first.shown, second.shown) == ("", "…")


def test_a_changed_number_would_be_noticed() -> None:
    shown = "log loss 0.4819\n…\ncommit c8db48e by …\n"

    assert difference(shown, "log loss 0.4819\nany\nlines\ncommit 0123456 by me") == ""
    assert "+log loss 0.4818" in difference(shown, "log loss 0.4818\nany\nlines\ncommit 0123456 by me")
    assert difference("0.26830931696831145", "0.26830931696831146") != ""


def test_a_block_replaces_the_keys_that_it_has(tmp_path: Path) -> None:
    toml, yaml = tmp_path / "a.toml", tmp_path / "a.yaml"
    toml.write_text("[gate]\nmargin = 1 # mine\nentity = 'a'\n")
    yaml.write_text("split:\n  by: time\n  days: 14\n")

    assert merged(toml, "[gate]\nmargin = 2\n") == "[gate]\nmargin = 2 # mine\nentity = 'a'\n"
    assert merged(yaml, "split:\n  days: 7\n") == "split:\n  by: time\n  days: 7\n"
