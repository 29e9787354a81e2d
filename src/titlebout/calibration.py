"""How often what was predicted happens, and whether predicted values come true on average.

Binary probabilities: the slope of a logistic regression of what happened on the logit of the prediction (Cox 1958); 1
is right, less is overconfident. Of more than two classes, the likeliest one and whether it happened. Values: the slope
of a linear regression of what happened on the prediction, with a heteroscedasticity-consistent error (White 1980).
"""

from dataclasses import dataclass

import numpy as np

from titlebout.config import CalibrationSettings
from titlebout.estimates import SMALLEST, Truth
from titlebout.inference import FloatArray, quantile

BINS = 10
_STEPS = 25


@dataclass(frozen=True)
class Calibration:
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


def calibration(truth: Truth, predicted: FloatArray, alpha: float) -> Calibration:
    """Return how one model's predictions agree with what happened.

    Parameters
    ----------
    truth : Truth
        Of n_rows rows, at least two.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
    alpha : float
        Level of the one-sided bounds.
    """
    given, happened = _one_number(truth, predicted)
    slope, error = _logistic_slope(given, happened) if truth.classes else _linear_slope(given, happened)
    wide = quantile(1 - alpha, max(len(given) - 2, 1))
    scale = 1.0 if truth.classes else float(happened.std()) or 1.0
    off = (given - happened) / scale
    bias, half = float(off.mean()), wide * float(off.std(ddof=1) / np.sqrt(len(off)))
    known = bool(np.isfinite(slope) and np.isfinite(error))
    groups = [part for part in np.array_split(np.argsort(given, kind="stable"), BINS) if len(part)]
    return Calibration(
        slope if known else None,
        slope - wide * error if known else None,
        slope + wide * error if known else None,
        bias,
        bias - half,
        bias + half,
        tuple(float(given[part].mean()) for part in groups),
        tuple(float(happened[part].mean()) for part in groups),
    )


def faults(found: Calibration, champion: Calibration | None, settings: CalibrationSettings) -> list[str]:
    """Return what is shown to be wrong with a challenger's calibration, unless the champion's is at least as wrong."""
    said = []
    if found.slope is not None and found.slope_lower is not None and found.slope_upper is not None:
        out = found.slope_upper < settings.min_slope or found.slope_lower > settings.max_slope
        if out and not (champion and champion.slope is not None and _off(champion.slope) >= _off(found.slope)):
            kind = "overconfident" if found.slope < 1 else "underconfident"
            said.append(f"{kind}: calibration slope {found.slope:.2f}")
    # Beyond the tolerance by its bound, not by its value: a significant bias is a large one where rows are few.
    shown = max(found.bias_lower, -found.bias_upper) > settings.bias
    if shown and not (champion and abs(champion.bias) >= abs(found.bias)):
        said.append(f"predicts {'too much' if found.bias > 0 else 'too little'} on average: bias {found.bias:+.3f}")
    return said


def _off(slope: float) -> float:
    """Return how far a slope is from 1, the same for one half and two; a slope of 0 or less is the farthest."""
    return abs(float(np.log(slope))) if slope > 0 else float("inf")


def _one_number(truth: Truth, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return one prediction and one outcome per row."""
    if not truth.classes:
        return predicted, truth.y.astype(np.float64)
    if len(truth.classes) == 2:
        return predicted[:, 1], (truth.y == 1).astype(np.float64)
    return predicted.max(axis=1), (predicted.argmax(axis=1) == truth.y).astype(np.float64)


def _logistic_slope(given: FloatArray, happened: FloatArray) -> tuple[float, float]:
    """Return slope and standard error of the logistic regression on the logit, by Newton's method."""
    clipped = np.clip(given, SMALLEST, 1 - SMALLEST)
    x = np.log(clipped / (1 - clipped))
    if np.ptp(x) == 0 or np.ptp(happened) == 0:
        return float("nan"), float("nan")
    weights = np.array([0.0, 1.0])
    information = np.eye(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(weights[0] + weights[1] * x, -50, 50)))
        curve = p * (1 - p)
        cross = float(curve @ x)
        information = np.array([[curve.sum(), cross], [cross, float(curve @ (x * x))]])
        if np.linalg.cond(information) > 1 / SMALLEST:
            return float("nan"), float("nan")  # the outcome is separated by the prediction: there is no finite slope
        left = happened - p
        step = np.linalg.solve(information, np.array([left.sum(), float(left @ x)]))
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            return float(weights[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))
    return float("nan"), float("nan")


def _linear_slope(given: FloatArray, happened: FloatArray) -> tuple[float, float]:
    centred = given - given.mean()
    total = float(centred @ centred)
    if total == 0:
        return float("nan"), float("nan")
    slope = float(centred @ happened) / total
    left = happened - happened.mean() - slope * centred
    return slope, float(np.sqrt(np.sum((centred * left) ** 2))) / total
