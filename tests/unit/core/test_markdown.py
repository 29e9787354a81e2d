"""Untrusted text in Markdown is shown as it is and has no effect."""

import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from titlebout.core.markdown import Markdown, code, escape, folded, format_number, plain, table, truncate, unfolded

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NASTY = [
    "<script>alert(1)</script>",
    "<!-- hidden",
    "&lt;b&gt; &#64;",
    "[click](http://evil.example)",
    "![x](javascript:alert)",
    "http://evil.example www.evil.example mailto:a@b.cc",
    "@octocat #1 GH-1 acme/model#2",
    "a|b\\|c\\\\|d",
    "`a``b`",
    "``` ```",
    "# heading",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "12) item",
    "> quote",
    "---",
    "===",
    "~~gone~~ **bold** __bold__ _it_",
    "$x$",
    "line\n\n# two\r\n| a |",
    "\tcode",
    "right\u202eleft \u2066x\u2069 \ufeff \u200b@me",
    "\x1b[31mred\x00",
    "trailing \\",
    "lone \ud800 surrogate",
    "[^1] [ref]: x",
    "::error::workflow command",
]
markdown_like = st.lists(
    st.sampled_from([*"\\`*_{}[]()<>#+-.!|~&@:=$^'\"/ \n\t1aw", "://", "www.", "GH-", "\u202e"])
).map("".join)
anything = st.one_of(st.sampled_from(NASTY), markdown_like, st.text())


def flatten(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flatten(token.children or [])


def token_types(markdown: str) -> set[str]:
    return {token.type for token in flatten(PARSER.parse(markdown))}


def rendered_text(markdown: str) -> str:
    tokens = flatten(PARSER.parse(markdown))
    leaves = [token.content for token in tokens if token.type in {"text", "text_special", "code_inline"}]
    return "".join(leaves).replace("\u200b", "")


def without_invisible(text: str) -> str:
    kept = (c for c in text if c.isspace() or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return " ".join("".join(kept).split())


@pytest.mark.parametrize("text", NASTY)
@given(around=st.sampled_from(["{}", "## {}", "- {}", "see {} there"]))
def test_hostile_text_parses_as_text_only(text: str, around: str) -> None:
    assert token_types(around.format(escape(text))) <= {
        "inline", "text", "text_special", "paragraph_open", "paragraph_close", "heading_open", "heading_close",
        "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
    }  # fmt: skip


@given(anything)
def test_escaped_text_renders_as_the_original(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    assert token_types(escaped) <= {"inline", "text", "text_special", "paragraph_open", "paragraph_close"}
    assert rendered_text(escaped) == without_invisible(text)


@given(anything)
@example("`")
@example(" ` a")
def test_code_renders_as_one_span_with_the_text(text: str) -> None:
    span = code(text)
    assert "\n" not in span
    assert token_types(span) <= {"inline", "text", "text_special", "code_inline", "paragraph_open", "paragraph_close"}
    assert rendered_text(span) == without_invisible(text)


@given(st.lists(st.tuples(anything, anything.map(code)), max_size=4))
def test_no_cell_breaks_its_table(rows: list[tuple[str, Markdown]]) -> None:
    tokens = PARSER.parse("before\n\n" + table(["a|b", "`c`"], rows) + "\nafter")
    paragraph = ["paragraph_open", "inline", "paragraph_close"]
    outside = [token.type for token in tokens if token.level == 0 or (token.type == "inline" and token.level == 1)]
    assert outside == [*paragraph, "table_open", "table_close", *paragraph]
    assert sum(t.type == "td_open" for t in tokens) == 2 * len(rows)
    assert sum(t.type == "th_open" for t in tokens) == 2


@pytest.mark.parametrize("text", [*NASTY, "GH-1", "gh-1", "WWW.evil.example"])
@given(more=anything)
def test_escaped_text_has_nothing_that_github_would_link(text: str, more: str) -> None:
    escaped = escape(text + more)
    assert not re.search(r"[@#](?!\u200b)", escaped)
    assert not re.search(r"\bgh-\d|www\.|(?<!\\)://", escaped, re.IGNORECASE)


@given(anything)
def test_escaped_text_can_be_encoded_as_utf8(text: str) -> None:
    escape(text).encode("utf-8")
    code(text).encode("utf-8")


def test_table_cells_are_formatted_by_type() -> None:
    assert table(
        ["n", "x", "flag", "safe"], [[82002, 0.12345, True, Markdown("**b**")], [None, float("nan"), "a|b", 0]]
    ) == (
        "| n | x | flag | safe |\n| --- | --- | --- | --- |\n| 82,002 | 0.123 | True | **b** |\n| - | - | a\\|b | 0 |\n"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"), (82002, "82,002"), (-5, "-5"), (0.0, "0"), (0.5, "0.5"), (0.123456, "0.123"), (999.4, "999"),
        (1234.5, "1,234"), (1.5e-9, "1.5e-09"), (-2e-5, "-2.0e-05"), (float("inf"), "∞"), (float("-inf"), "-∞"),
        (float("nan"), "-"), (None, "-"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, expected: str) -> None:
    assert format_number(value) == expected


@given(st.text(), st.integers(1, 20))
def test_truncated_text_has_at_most_the_limit_and_an_ellipsis(text: str, limit: int) -> None:
    short = truncate(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else short == text[: limit - 1] + "…"


# --- where nothing renders it

NOTE = "### Title\n\n" + folded("More", "- a\n- b") + "\n\nEnd"


def test_folded_parts_become_sections() -> None:
    assert NOTE == "### Title\n\n<details><summary>More</summary>\n\n- a\n- b\n\n</details>\n\nEnd"
    assert unfolded(NOTE) == "### Title\n\n**More**\n\n- a\n- b\n\nEnd"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_shows_what_was_escaped(text: str) -> None:
    shown = " ".join(text.split())

    assert plain(escape(text)) == shown


def test_plain_text_keeps_a_backslash_of_a_path() -> None:
    assert plain(escape(r"C:\_data\new")) == r"C:\_data\new"
