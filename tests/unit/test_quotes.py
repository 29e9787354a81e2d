"""The how-to guides quote what titlebout writes; a quote (in italics) that the code no longer writes misleads."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
# Menus of the forge and figures of speech are in italics, too.
NOT_QUOTED = {"a server with pull requests", "Gate: promote"}


def written() -> str:
    """All text in the code and the workflows that users may meet, on one line and without emphasis."""
    parts = [
        node.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    parts += [path.read_text(encoding="utf-8") for path in (ROOT / "cookiecutter").rglob("*.yml")]
    return re.sub(r"[*`]", "", " ".join(" ".join(parts).split()))


def quotes(page: str) -> list[str]:
    """The phrases of a page in italics, without code and without paths through a menu."""
    prose = re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page, flags=re.DOTALL | re.MULTILINE)
    found = [" ".join(phrase.split()) for phrase in re.findall(r"(?<![*\w])\*(?=\S)([^*]+)(?<=\S)\*(?![*\w])", prose)]
    return [phrase for phrase in found if "→" not in phrase and phrase not in NOT_QUOTED]


def fragments(quote: str) -> list[str]:
    """The parts of a quote between what differs from case to case: numbers and omissions."""
    parts = [part.strip(" ,.:;±()") for part in re.split(r"…|\d[\d,.%]*", quote)]
    return [part for part in parts if len(part) > 3]


@pytest.fixture(scope="module")
def text() -> str:
    return written()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_what_a_guide_quotes_is_written_by_the_code(page: Path, text: str) -> None:
    stale = [
        quote
        for quote in quotes(page.read_text(encoding="utf-8"))
        if any(fragment not in text for fragment in fragments(quote))
    ]
    assert stale == []


def test_quotes_are_found_in_a_page() -> None:
    page = (
        "See *Retraining …: the challenger\nwas not promoted*, **bold**, *Settings → Actions*, 2 * 3 * 4 and `*code*`."
    )
    assert quotes(page) == ["Retraining …: the challenger was not promoted"]
    assert fragments("It has 11,082 rows, …, and more") == ["It has", "rows", "and more"]
    assert sum(len(quotes(path.read_text(encoding="utf-8"))) for path in GUIDES) > 20
