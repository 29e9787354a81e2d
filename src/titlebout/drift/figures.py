"""Small pictures of how a column changed, the same bytes for the same data."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from titlebout.core.markdown import cut
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import Values
from titlebout.drift.rule import LEAST_SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS, _BARS = 30, 10
_TAIL = 0.005  # share of the values on either side that the picture leaves out
_COLORS = {"reference": "#8c959f", "current": "#0969da"}
# Text stays text: readable by programs, and drawn in a font that the reader has.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "titlebout", "font.size": 8, "text.parse_math": False}


def change_svg(column: Pair) -> str:
    """Return an SVG that shows the shares of the values of both sides of a column.

    Parameters
    ----------
    column : Pair
        With at least one value on one side.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), mpl.rc_context(_STYLE):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names may be in any script
        figure = Figure(figsize=(4, 2), layout="constrained")
        axes = figure.subplots()
        draw = _histogram if column.method == "number" else _bars
        draw(axes, column)
        axes.set_title(cut(column.name, 40))
        axes.set_ylabel("share of rows")
        figure.legend(loc="outside right upper", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _histogram(axes: "Axes", column: Pair) -> None:
    sides = {"reference": _present(column.reference), "current": _present(column.current)}
    low, high = np.quantile(np.concatenate(list(sides.values())), [_TAIL, 1 - _TAIL])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for side, values in sides.items():
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(shares, edges, color=_COLORS[side], fill=side == "reference", label=side)


def _bars(axes: "Axes", column: Pair) -> None:
    counts = {
        side: np.bincount(_present(values).astype(np.int64), minlength=len(column.labels))
        for side, values in (("reference", column.reference), ("current", column.current))
    }
    both = counts["reference"] + counts["current"]
    shown = [code for code in np.argsort(-both, kind="stable")[:_BARS] if both[code] >= LEAST_SHOWN]
    for offset, (side, count) in zip((-0.2, 0.2), counts.items(), strict=True):
        axes.bar(
            np.arange(len(shown)) + offset, count[shown] / max(count.sum(), 1), 0.4, color=_COLORS[side], label=side
        )
    axes.set_xticks(np.arange(len(shown)), [cut(column.labels[code], 12) for code in shown], rotation=45, ha="right")


def _present(values: Values) -> Values:
    return values[np.isfinite(values)]
