"""Self-contained HTML pages: one file, no scripts, no external resources."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

LONG = 24  # characters; longer text in a cell wraps

_NUMBER = re.compile(r"-|[-+±]?\d[\d,.]*\s?%?")
_TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Headline:
    """A paragraph that stands out: the outcome in numbers."""

    kind: ClassVar[str] = "headline"
    text: str


@dataclass(frozen=True)
class Heading:
    """Title of a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Link:
    """A paragraph that links to another page; ``file`` is its path, relative to this one."""

    kind: ClassVar[str] = "link"
    text: str
    file: str


@dataclass(frozen=True)
class Figure:
    """An SVG figure with a caption; its elements are from :mod:`titlebout.core.figures`.

    Attributes
    ----------
    svg, narrow : str
        ``<svg>`` elements; the narrow one is shown on a narrow screen, such as that of a phone.
    caption : str
        Text below it.
    """

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str
    narrow: str = ""


@dataclass(frozen=True)
class Cell:
    """A table cell; ``classes`` are CSS classes."""

    text: str
    classes: str


@dataclass(frozen=True)
class Table:
    """A table of plain text: the header cells, and the cells of every row."""

    kind: ClassVar[str] = "table"
    headers: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] = (), colored: str = "") -> Table:
    """Return a table with columns of numbers aligned at the right.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str
    kinds : sequence of str
        CSS class of one cell of each row.
    colored : str
        Header of the column of these cells; by default the last one.
    """
    at = headers.index(colored) if colored else len(headers) - 1
    columns = list(zip(*rows, strict=True)) or [()] * len(headers)
    styles = [
        "n"
        if column and all(map(_NUMBER.fullmatch, column))
        else "t"
        if any(len(cell) > LONG for cell in column)
        else ""
        for column in columns
    ]
    cells = [
        [
            Cell(
                text, " ".join(filter(None, (style, kind if place == at else "", "none" if text in {"", "-"} else "")))
            )
            for place, (text, style) in enumerate(zip(row, styles, strict=True))
        ]
        for row, kind in zip(rows, kinds or [""] * len(rows), strict=True)
    ]
    return Table([Cell(text, style) for text, style in zip(headers, styles, strict=True)], cells)


def page(title: str, lead: str, *parts: Paragraph | Headline | Heading | Link | Figure | Table) -> str:
    """Return a complete HTML document. All text is escaped; only the SVG of figures is inserted unchanged.

    Parameters
    ----------
    title, lead : str
        Heading, and the sentence below it.
    *parts : Paragraph, Headline, Heading, Link, Figure or Table
        Content, in display order.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, lead=lead, parts=parts)
