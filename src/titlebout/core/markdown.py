"""Markdown for people: every report is built from text that somebody else may have written.

Column names, categories, branch names and error messages end up in job summaries and pull requests. Here they
become text that GitHub shows as it is: no HTML, no links, no mentions, no references, no broken tables.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

_SPACES = re.compile(r"\s+")
# What can open or close a construct in the middle of a line.
_ACTIVE = re.compile(r"[\\`*_\[\]<>|~&$#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
# What makes a list, a heading or a rule at the start of one.
_AT_START = re.compile(r"\A(\d*)([-+.)](?=\s|\Z)|[-=](?=[-=\s]*\Z))")
# GitHub looks for these in the rendered text, so a backslash does not stop them; an invisible space does.
_REFERENCE = re.compile(r"@|#|\bGH-(?=\d)", re.IGNORECASE)
_INVISIBLE = "\N{ZERO WIDTH SPACE}"


class Markdown(str):
    """Text that is safe to put into a line of Markdown as it is."""

    __slots__ = ()


def escape(text: object) -> Markdown:
    """Return text as one line of Markdown that shows exactly this text and does nothing else.

    Parameters
    ----------
    text : object
        Anything with a ``str``; from anyone.

    Returns
    -------
    Markdown
        Safe in a paragraph, a heading, a list item and a table cell. Control, format and direction-changing
        characters are removed, line ends become spaces.
    """
    escaped = _ACTIVE.sub(lambda found: "\\" + found[0], _line(text))
    escaped = _AT_START.sub(lambda found: f"{found[1]}\\{found[2]}", escaped)
    return Markdown(_REFERENCE.sub(lambda found: found[0] + _INVISIBLE, escaped))


def code(text: object) -> Markdown:
    """Return text as a code span, in which nothing is interpreted; for names that people copy.

    A text with ``|`` cannot be one in a table and outside alike, so it is escaped instead.
    """
    line = _line(text)
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
    rows : iterable of sequences, each as long as `headers`
        Numbers are formatted, :class:`Markdown` is kept, anything else is escaped.

    Returns
    -------
    str
        Lines that end with a line end; a table needs an empty line before it.
    """
    lines = [[_cell(cell) for cell in headers], ["---"] * len(headers)]
    lines += [[_cell(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float | None) -> str:
    """Return a number for people: whole numbers with separators, others with three digits, a dash for none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"


def score(value: float | None) -> Markdown:
    """Return a score with four decimals, so that a column of them can be compared, or a dash for none."""
    return Markdown("-" if value is None or math.isnan(value) else f"{value:.4f}")


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters, ending in … when some are missing; cut first, then escape."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cell(value: object) -> str:
    if isinstance(value, Markdown):
        return value
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return number(value)
    return escape(value)


def _line(text: object) -> str:
    """Put text on one line, without characters that are invisible, turn its direction or are no characters."""
    kept = (c for c in str(text) if c.isspace() or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return _SPACES.sub(" ", "".join(kept)).strip()
