"""Self-contained HTML pages: one file, no scripts, no external resources."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

_NUMBER = re.compile(r"-|[-+±]?\d[\d,.]*\s?%?")
_TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Link:
    """A paragraph that links to another page in the same folder; ``file`` is its name."""

    kind: ClassVar[str] = "link"
    text: str
    file: str


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
    """A table of plain text; ``numeric`` says for each column whether it has numbers, which are aligned at the right."""

    kind: ClassVar[str] = "table"
    headers: Sequence[str]
    rows: Sequence[Row]
    numeric: Sequence[bool]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] = ()) -> Table:
    """Return a table; `kinds` has the CSS class of the last cell of each row."""
    numeric = [all(_NUMBER.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)]
    styled = [Row(cells, kind) for cells, kind in zip(rows, kinds or [""] * len(rows), strict=True)]
    return Table(headers, styled, numeric or [False] * len(headers))


def page(title: str, lead: str, *parts: Paragraph | Link | Figure | Table) -> str:
    """Return a complete HTML document. All text is escaped; only the SVG of figures is inserted unchanged.

    Parameters
    ----------
    title, lead : str
        Heading, and the sentence below it.
    *parts : Paragraph, Link, Figure or Table
        Content, in display order.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, lead=lead, parts=parts)
