"""Figures of drifted columns: histograms or bars of reference and current values."""

from typing import TYPE_CHECKING

import numpy as np

from titlebout.core.figures import COLORS, drawing, to_svg
from titlebout.core.markdown import truncate
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import Values
from titlebout.drift.rule import MIN_SHOWN_COUNT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS, _BARS = 30, 10
_TAIL = 0.005  # share of the values cut off on either side


def change_svg(column: Pair) -> str:
    """Return an SVG with the distributions of a column in reference and current data.

    Parameters
    ----------
    column : Pair
        With at least one value on one side.
    """
    with drawing(4, 2, font_size=8) as (figure, axes):
        draw = _histogram if column.method == "number" else _bars
        draw(axes, column)
        axes.set_title(truncate(column.name, 40))
        axes.set_ylabel("share of rows")
        figure.legend(loc="outside right upper", frameon=False)
        return to_svg(figure)


def _histogram(axes: "Axes", column: Pair) -> None:
    sides = {"reference": _present(column.reference), "current": _present(column.current)}
    low, high = np.quantile(np.concatenate(list(sides.values())), [_TAIL, 1 - _TAIL])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for side, values in sides.items():
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(shares, edges, color=COLORS[side], fill=side == "reference", label=side)


def _bars(axes: "Axes", column: Pair) -> None:
    counts = {
        side: np.bincount(_present(values).astype(np.int64), minlength=len(column.labels))
        for side, values in (("reference", column.reference), ("current", column.current))
    }
    both = counts["reference"] + counts["current"]
    shown = [code for code in np.argsort(-both, kind="stable")[:_BARS] if both[code] >= MIN_SHOWN_COUNT]
    for offset, (side, count) in zip((-0.2, 0.2), counts.items(), strict=True):
        axes.bar(
            np.arange(len(shown)) + offset, count[shown] / max(count.sum(), 1), 0.4, color=COLORS[side], label=side
        )
    axes.set_xticks(
        np.arange(len(shown)), [truncate(column.labels[code], 12) for code in shown], rotation=45, ha="right"
    )


def _present(values: Values) -> Values:
    return values[np.isfinite(values)]
