"""Markdown for reports, with untrusted text escaped.

Column names, categories, branch names and error messages appear in job summaries and pull requests. They are escaped
so that GitHub renders exactly that text: no HTML, no links, no mentions, no issue references, no broken tables.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

_SPACES = re.compile(r"\s+")
# Characters that can open or close a Markdown construct anywhere in a line.
_ACTIVE = re.compile(r"[\\`*_\[\]<>|~&$#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# Characters that form a list item, a heading underline or a thematic break at the start of a line.
_AT_START = re.compile(r"\A(\d*)([-+.)](?=\s|\Z)|[-=](?=[-=\s]*\Z))")
# GitHub links mentions and issue references after rendering, so a backslash has no effect; a zero-width space does.
_REFERENCE = re.compile(r"@|#|\bGH-(?=\d)", re.IGNORECASE)
_INVISIBLE = "\N{ZERO WIDTH SPACE}"
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_FOLD, _FOLD_END = re.compile(r"<details><summary>(.*)</summary>"), re.compile(r"\n\n</details>")


class Markdown(str):
    """Text that can be inserted into a line of Markdown without escaping."""

    __slots__ = ()


def escape(text: object) -> Markdown:
    """Return one line of Markdown that renders as exactly `text`.

    Parameters
    ----------
    text : object
        Untrusted value, converted with ``str``.

    Returns
    -------
    Markdown
        Safe in a paragraph, a heading, a list item and a table cell. Control, bidirectional-formatting and surrogate
        characters are removed; whitespace, line breaks included, is collapsed.
    """
    escaped = _ACTIVE.sub(lambda match: "\\" + match[0], _single_line(text))
    escaped = _AT_START.sub(lambda match: f"{match[1]}\\{match[2]}", escaped)
    return Markdown(_REFERENCE.sub(lambda match: match[0] + _INVISIBLE, escaped))


def code(text: object) -> Markdown:
    """Return text as a code span, for names that readers copy.

    Text with ``|`` is escaped instead: inside a table, ``|`` ends the cell even in a code span, and a backslash before
    it would be visible outside a table.
    """
    line = _single_line(text)
    if not line or "|" in line:
        return escape(line)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    padding = " " if "`" in (line[0], line[-1]) else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}")


def table(headers: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table.

    Parameters
    ----------
    headers : sequence of object
        Column headers, formatted like cells.
    rows : iterable of sequences, each as long as `headers`
        Numbers are formatted, :class:`Markdown` is kept, everything else is escaped.

    Returns
    -------
    str
        Lines with a trailing newline. Markdown requires an empty line before a table.
    """
    lines = [[_cell(cell) for cell in headers], ["---"] * len(headers)]
    lines += [[_cell(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def folded(summary: str, text: str) -> str:
    """Return Markdown that is shown only when the reader unfolds it.

    Parameters
    ----------
    summary : str
        What is shown instead; trusted.
    text : str
        Markdown.
    """
    return f"<details><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>"


def unfolded(markdown: str) -> str:
    """Return Markdown with folded parts as sections with a heading, for where nothing can be folded."""
    return _FOLD_END.sub("", _FOLD.sub(r"**\1**", markdown))


def plain(markdown: str) -> str:
    """Return Markdown as it is read where nothing renders it: unfolded, without escapes and invisible characters."""
    return _ESCAPED.sub(r"\1", unfolded(markdown)).replace(_INVISIBLE, "")


def format_number(value: float | None) -> str:
    """Format a number: integers with thousands separators, others with three significant digits, missing as a dash."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"


def format_score(value: float | None) -> Markdown:
    """Format a score with four decimals, so that the values of a column align; missing as a dash."""
    return Markdown("-" if value is None or math.isnan(value) else f"{value:.4f}")


def truncate(text: str, limit: int) -> str:
    """Truncate to `limit` characters, with … at the end if text is missing; truncate first, then escape."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cell(value: object) -> str:
    if isinstance(value, Markdown):
        return value
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return format_number(value)
    return escape(value)


def _single_line(text: object) -> str:
    """Collapse whitespace and strip control, bidirectional-formatting and surrogate characters."""
    # Unicode categories: Cc control, Cf format (bidirectional marks, zero-width characters), Cs surrogate.
    kept = (char for char in str(text) if char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Cs"})
    return _SPACES.sub(" ", "".join(kept)).strip()
