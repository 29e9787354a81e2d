"""Figures as SVG: one style, the same bytes for the same values, text that stays text."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "challenger": "#0969da",
    "champion": "#8c959f",
    "current": "#0969da",
    "reference": "#8c959f",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "open": "#9a6700",
    "axis": "#57606a",
}
LEGEND_WIDTH = 100  # characters in one row of a legend below a plot
# The salt makes ids, and with them the bytes, the same in every run. Text stays text: readers can search it, programs can
# read it aloud, and it is drawn in a font that the reader has.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "titlebout", "text.parse_math": False}


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    label : str
    values : sequence of float
        One per position on the x axis.
    color, style : str
        In matplotlib's notation.
    """

    label: str
    values: Sequence[float]
    color: str
    style: str = "-"


@contextmanager
def drawing(width: float, height: float, font_size: float = 9) -> "Iterator[tuple[Figure, Axes]]":
    """Provide an empty figure with one pair of axes in the common style.

    Parameters
    ----------
    width, height : float
        In inches.
    font_size : float
        In points.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), mpl.rc_context({**_STYLE, "font.size": font_size}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield figure, axes


def to_svg(figure: "Figure") -> str:
    """Return the figure as an ``<svg>`` element, without the date that would make every file different."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def line_plot(
    x: Sequence[str], lines: Sequence[Line], ylabel: str, marked: Mapping[str, Sequence[tuple[int, int]]]
) -> str:
    """Return an SVG with several lines over the same positions.

    Parameters
    ----------
    x : sequence of str
        Labels of the positions.
    lines : sequence of Line
    ylabel : str
    marked : mapping of str to sequence of (int, int)
        Legend text of a marker ("^" first, then "x") to the lines, counted from 0, and the positions that it marks.
    """
    with drawing(9, 4.8, font_size=10) as (figure, axes):
        for line in lines:
            axes.plot(range(len(x)), line.values, line.style, color=line.color, label=line.label, linewidth=2)
        for (label, places), marker in zip(marked.items(), "^x", strict=False):
            _mark(axes, lines, label, places, marker)
        axes.set_xticks(range(len(x)), x)
        axes.set_ylabel(ylabel)
        axes.grid(axis="y", alpha=0.3)
        longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
        columns = min(max(LEGEND_WIDTH // (longest + 6), 1), 4)
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
        return to_svg(figure)


def _mark(axes: "Axes", lines: Sequence[Line], label: str, places: Sequence[tuple[int, int]], marker: str) -> None:
    for index, position in places:
        line = lines[index]
        axes.scatter(position, line.values[position], marker=marker, s=70, color=line.color, zorder=3)
    color = lines[0].color if len({index for index, _ in places}) < 2 else COLORS["axis"]
    axes.scatter([], [], marker=marker, s=70, color=color, label=label)
