"""SVG figures in a common style, with reproducible bytes and searchable text."""

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
# A fixed salt makes the ids, and so the file, reproducible. Text is not converted to paths, so that it is searchable,
# accessible to screen readers and shown in a font of the reader.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "titlebout", "text.parse_math": False}


@dataclass(frozen=True)
class Size:
    """Size of a plot: in inches, in tick labels of the x axis, and in characters of a legend row."""

    width: float
    height: float
    ticks: int
    legend: int


WIDE, NARROW = Size(9, 4.8, 10, 100), Size(4.2, 5, 4, 46)


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    label : str
        Legend text.
    values : sequence of float
        One value per position on the x axis.
    color, style : str
        Matplotlib color and line style.
    """

    label: str
    values: Sequence[float]
    color: str
    style: str = "-"


@contextmanager
def drawing(width: float, height: float, font_size: float = 9) -> "Iterator[tuple[Figure, Axes]]":
    """Create an empty figure with one pair of axes in the common style.

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
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # labels may use any script
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield figure, axes


def to_svg(figure: "Figure") -> str:
    """Return the figure as an ``<svg>`` element, without the date, which would make every file different."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]  # without the XML declaration, which is not valid inside HTML


def line_plot(
    x: Sequence[str],
    lines: Sequence[Line],
    ylabel: str,
    markers: Mapping[str, Sequence[tuple[int, int]]],
    size: Size = WIDE,
) -> str:
    """Return an SVG plot of several lines over the same x positions.

    Parameters
    ----------
    x : sequence of str
        Tick labels of the x axis; some are left out where there is no room for all.
    lines : sequence of Line
        Lines to draw, each with one value per tick label.
    ylabel : str
        Label of the y axis.
    markers : mapping of str to sequence of (int, int)
        Legend text of each marker symbol (first "^", then "x") mapped to the points where it is drawn, as
        (index of the line, index of the x position).
    size : Size
        `WIDE`, or `NARROW` for the screen of a phone.
    """
    with drawing(size.width, size.height, font_size=10) as (figure, axes):
        for line in lines:
            over = 3 if line.style == "-" else 2  # the solid line is the one that the plot is about
            axes.plot(
                range(len(x)), line.values, line.style, color=line.color, label=line.label, linewidth=2, zorder=over
            )
        for (label, points), symbol in zip(markers.items(), "^x", strict=False):
            _draw_markers(axes, lines, label, points, symbol)
        step = -(-len(x) // size.ticks)
        axes.set_xticks(range(0, len(x), step), x[::step])
        axes.set_ylabel(ylabel)
        axes.grid(axis="y", alpha=0.3)
        longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
        columns = min(max(size.legend // (longest + 6), 1), 4)
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
        return to_svg(figure)


def _draw_markers(
    axes: "Axes", lines: Sequence[Line], label: str, points: Sequence[tuple[int, int]], symbol: str
) -> None:
    """Draw one symbol on several lines, and its legend entry: gray if the lines have different colors."""
    for index, position in points:
        line = lines[index]
        axes.scatter(position, line.values[position], marker=symbol, s=70, color=line.color, zorder=4)
    color = lines[0].color if len({index for index, _ in points}) < 2 else COLORS["axis"]
    axes.scatter([], [], marker=symbol, s=70, color=color, label=label)
