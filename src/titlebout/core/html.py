"""Self-contained HTML pages: one file, no script, nothing loaded from elsewhere."""

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
    """A picture, an ``<svg>`` element that this library drew, with its caption."""

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str


@dataclass(frozen=True)
class Row:
    """A row of a table; its kind is the CSS class that colors the last cell."""

    cells: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of plain text."""

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Row]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] = ()) -> Table:
    """Return a table whose rows have the given kinds, or none."""
    return Table(headers, [Row(cells, kind) for cells, kind in zip(rows, kinds or [""] * len(rows), strict=True)])


def page(title: str, lead: str, *parts: Paragraph | Figure | Table) -> str:
    """Return a whole HTML document. All text is escaped; only the SVG of figures is taken as it is.

    Parameters
    ----------
    title, lead : str
        Heading, and the sentence below it.
    *parts : Paragraph, Figure or Table
        In the order in which they are shown.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, lead=lead, parts=parts)
