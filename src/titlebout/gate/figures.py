"""Figures of an evaluation: gains by metric and slice, and a calibration plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from titlebout.core.figures import COLORS, drawing, to_svg
from titlebout.core.markdown import truncate
from titlebout.gate.calibration import Calibration

_MEANINGS = {"good": "better", "bad": "worse", "open": "not significantly different"}


@dataclass(frozen=True)
class Interval:
    """A gain with its bounds, relative to the champion's value.

    Attributes
    ----------
    label : str
        Metric or slice.
    gain, lower, upper : float
        Estimate and one-sided confidence bounds.
    """

    label: str
    gain: float
    lower: float
    upper: float

    @property
    def color(self) -> str:
        """Green if the interval is above zero, red if it is below, amber if it contains zero."""
        return COLORS[self.kind]

    @property
    def kind(self) -> str:
        """``good`` if the interval is above zero, ``bad`` if it is below, ``open`` if it contains zero."""
        return "good" if self.lower > 0 else "bad" if self.upper < 0 else "open"


def gains_svg(intervals: Sequence[Interval], margin: float | None) -> str:
    """Return an SVG of gains with their bounds, the first one on top.

    Parameters
    ----------
    intervals : sequence of Interval
        At least one.
    margin : float or None
        Margin relative to the champion's value, drawn on both sides of zero.
    """
    with drawing(6, 1.8 + 0.32 * len(intervals)) as (figure, axes):
        for position, one in enumerate(reversed(intervals)):
            axes.plot([100 * one.lower, 100 * one.upper], [position] * 2, color=one.color, linewidth=2)
            axes.plot(100 * one.gain, position, "o", color=one.color, markersize=5)
        axes.axvline(0, color=COLORS["axis"], linewidth=1)
        for side in (-1, 1) if margin else ():
            named = "margin" if side > 0 else None
            axes.axvline(side * 100 * (margin or 0), color=COLORS["axis"], linewidth=0.8, linestyle=":", label=named)
        for kind, meaning in _MEANINGS.items():
            if any(one.kind == kind for one in intervals):
                axes.plot([], [], "o-", color=COLORS[kind], linewidth=2, markersize=5, label=meaning)
        axes.set_yticks(range(len(intervals)), [truncate(one.label, 40) for one in reversed(intervals)])
        axes.set_xlabel("gain over the champion, in % of its value")
        axes.set_title("Gain of the challenger, with its interval")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return to_svg(figure)


def calibration_svg(found: Mapping[str, Calibration], values: bool) -> str:
    """Return an SVG of mean outcome against mean prediction in ten equal groups of rows.

    Parameters
    ----------
    found : mapping of str to Calibration
        By model.
    values : bool
        True for a regression's values, False for probabilities.
    """
    with drawing(6, 3.4) as (figure, axes):
        ends = np.array([(min(one.predicted), max(one.predicted)) for one in found.values()])
        line = [float(ends[:, 0].min()), float(ends[:, 1].max())]
        axes.plot(line, line, color=COLORS["axis"], linewidth=0.8, linestyle=":", label="ideal")
        for model in sorted(found):
            axes.plot(
                found[model].predicted, found[model].observed, "o-", markersize=4, color=COLORS[model], label=model
            )
        axes.set_xlabel("mean prediction" if values else "predicted probability")
        axes.set_ylabel("mean outcome" if values else "observed frequency")
        axes.set_title("Calibration, in ten equal groups of rows")
        axes.legend(frameon=False)
        return to_svg(figure)
