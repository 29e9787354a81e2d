"""How often what was predicted happens, and whether predicted values come true on average.

Binary probabilities: the slope of a logistic regression of what happened on the logit of the prediction (Cox 1958); 1
is right, less is overconfident. Of more than two classes, the likeliest one and whether it happened. Values: the slope
of a linear regression of what happened on the prediction. Standard errors come from the influence of every row
(:mod:`titlebout.metrics.inference`), so that they hold for uneven noise (White 1980) and for rows that belong together.
"""

import numpy as np

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.results import Record
from titlebout.metrics.estimates import SMALLEST, GroundTruth
from titlebout.metrics.inference import from_influence
from titlebout.settings.gate import CalibrationSettings

BINS = 10
MORE = 1.25  # how much worse than a champion that is off already a challenger may be: two equal models are never equal
_STEPS = 25
_NEGLIGIBLE = 1e-8


class Calibration(Record):
    """How predictions and outcomes agree.

    Attributes
    ----------
    slope, slope_lower, slope_upper : float or None
        With its one-sided bounds at the level asked for; None where it is not defined.
    bias, bias_lower, bias_upper : float
        Mean prediction less mean outcome: a difference of probabilities or, of values, in sds of the outcome.
    predicted, observed : tuple of float
        Means in ten equal parts of the rows, by prediction.
    """

    slope: float | None
    slope_lower: float | None
    slope_upper: float | None
    bias: float
    bias_lower: float
    bias_upper: float
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


def calibration(truth: GroundTruth, predicted: FloatArray, alpha: float, units: IntArray | None = None) -> Calibration:
    """Return how one model's predictions agree with what happened.

    Parameters
    ----------
    truth : GroundTruth
        Of n_rows rows, at least two.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
    alpha : float
        Level of the one-sided bounds.
    units : ndarray of shape (n_rows,), dtype int, optional
        Number of the entity of every row.
    """
    given, happened = _one_number(truth, predicted)
    slope, influence = (_logistic_slope if truth.classes else _linear_slope)(given, happened)
    found = from_influence(slope, influence, units) if np.isfinite(slope) else None
    off = (given - happened) / (1.0 if truth.classes else float(happened.std()) or 1.0)
    bias = from_influence(float(off.mean()), off - off.mean(), units)
    groups = [part for part in np.array_split(np.argsort(given, kind="stable"), BINS) if len(part)]
    return Calibration(
        slope=slope if found else None,
        slope_lower=found.lower(alpha) if found else None,
        slope_upper=found.upper(alpha) if found else None,
        bias=bias.gain,
        bias_lower=bias.lower(alpha),
        bias_upper=bias.upper(alpha),
        predicted=tuple(float(given[part].mean()) for part in groups),
        observed=tuple(float(happened[part].mean()) for part in groups),
    )


def faults(found: Calibration, champion: Calibration | None, settings: CalibrationSettings) -> list[str]:
    """Return what is shown to be wrong with a challenger's calibration, unless the champion's is at least as wrong."""
    said = []
    if found.slope is not None and found.slope_lower is not None and found.slope_upper is not None:
        out = found.slope_upper < settings.min_slope or found.slope_lower > settings.max_slope
        if out and not (champion and champion.slope is not None and MORE * _off(champion.slope) >= _off(found.slope)):
            kind = "overconfident" if found.slope < 1 else "underconfident"
            said.append(f"{kind}: calibration slope {found.slope:.2f}")
    # Beyond the tolerance by its bound, not by its value: a significant bias is a large one where rows are few.
    shown = max(found.bias_lower, -found.bias_upper) > settings.max_bias
    if shown and not (champion and MORE * abs(champion.bias) >= abs(found.bias)):
        said.append(f"predicts {'too much' if found.bias > 0 else 'too little'} on average: bias {found.bias:+.3f}")
    return said


def _off(slope: float) -> float:
    """Return how far a slope is from 1, the same for one half and two; a slope of 0 or less is the farthest."""
    return abs(float(np.log(slope))) if slope > 0 else float("inf")


def _one_number(truth: GroundTruth, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return one prediction and one outcome per row."""
    if not truth.classes:
        return predicted, truth.y.astype(np.float64)
    if len(truth.classes) == 2:
        return predicted[:, 1], (truth.y == 1).astype(np.float64)
    return predicted.max(axis=1), (predicted.argmax(axis=1) == truth.y).astype(np.float64)


def _logistic_slope(given: FloatArray, happened: FloatArray) -> tuple[float, FloatArray]:
    """Return the slope of the logistic regression on the logit, and the influence of every row on it.

    Newton's method from a slope of 0: from 1 it runs away for the very predictions that matter, the far too sure ones.
    """
    clipped = np.clip(given, SMALLEST, 1 - SMALLEST)
    logit = np.log(clipped / (1 - clipped))
    spread = float(logit.std())
    if spread == 0 or np.ptp(happened) == 0:
        return _undefined(given)
    # Centred and scaled, so that whether the equations can be solved does not depend on where the logits lie.
    x = np.column_stack([np.ones(len(logit)), (logit - logit.mean()) / spread])
    weights = np.array([np.log(happened.mean() / (1 - happened.mean())), 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))
        information = x.T @ (x * (p * (1 - p))[:, None])
        if np.linalg.cond(information) > 1 / SMALLEST:
            return _undefined(given)  # the prediction separates the outcomes: there is no finite slope
        steps = np.linalg.solve(information, (x * (happened - p)[:, None]).T)
        weights = weights + steps.sum(axis=1)
        if np.abs(steps.sum(axis=1)).max() < _NEGLIGIBLE:
            return float(weights[1]) / spread, len(x) * steps[1] / spread
    return _undefined(given)


def _linear_slope(given: FloatArray, happened: FloatArray) -> tuple[float, FloatArray]:
    centred = given - given.mean()
    total = float(centred @ centred)
    if total == 0:
        return _undefined(given)
    slope = float(centred @ happened) / total
    return slope, len(given) * centred * (happened - happened.mean() - slope * centred) / total


def _undefined(given: FloatArray) -> tuple[float, FloatArray]:
    return float("nan"), np.zeros(len(given))
