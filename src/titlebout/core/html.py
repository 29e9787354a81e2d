"""Self-contained HTML pages: one file, no scripts, no external resources."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

_TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Figure:
    """An SVG figure with a caption; ``svg`` is an ``<svg>`` element from :mod:`titlebout.core.figures`."""

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str


@dataclass(frozen=True)
class Row:
    """A table row; ``kind`` is the CSS class of its last cell."""

    cells: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of plain text."""

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Row]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] = ()) -> Table:
    """Return a table; `kinds` has the CSS class of the last cell of each row."""
    return Table(headers, [Row(cells, kind) for cells, kind in zip(rows, kinds or [""] * len(rows), strict=True)])


def page(title: str, lead: str, *parts: Paragraph | Figure | Table) -> str:
    """Return a complete HTML document. All text is escaped; only the SVG of figures is inserted unchanged.

    Parameters
    ----------
    title, lead : str
        Heading, and the sentence below it.
    *parts : Paragraph, Figure or Table
        Content, in display order.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, lead=lead, parts=parts)
