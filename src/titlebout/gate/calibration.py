"""Calibration of predictions: slope and bias, with standard errors.

Binary probabilities: slope of a logistic regression of the outcome on the logit of the prediction (Cox 1958). A slope of
1 is ideal, less means overconfident. More than two classes: the same for the most probable class and whether it is right.
Regression: slope of a linear regression of the outcome on the prediction. Standard errors come from influence functions
(:mod:`titlebout.metrics.inference`), so they hold under heteroscedasticity (White 1980) and for clustered rows.
"""

from dataclasses import replace

import numpy as np

from titlebout.core.arrays import FloatArray
from titlebout.core.results import Record
from titlebout.metrics.estimates import SMALLEST, GroundTruth
from titlebout.metrics.inference import INDEPENDENT, Dependence, Difference, from_influence
from titlebout.settings.gate import CalibrationSettings

BINS = 10
CHAMPION_ALLOWANCE = 1.25  # tolerance factor over a miscalibrated champion: equal models differ by chance
_STEPS = 25
_NEGLIGIBLE = 1e-8


class Calibration(Record):
    """Agreement of predictions and outcomes.

    Attributes
    ----------
    slope, slope_lower, slope_upper : float or None
        Calibration slope with its one-sided confidence bounds; None if it is not defined.
    bias, bias_lower, bias_upper : float
        Mean prediction minus mean outcome: a difference of probabilities, or, in a regression, in standard deviations
        of the outcome.
    predicted, observed : tuple of float
        Means in ten equal groups of rows, ordered by prediction.
    """

    slope: float | None
    slope_lower: float | None
    slope_upper: float | None
    bias: float
    bias_lower: float
    bias_upper: float
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


def calibration(
    truth: GroundTruth, predicted: FloatArray, alpha: float, dependence: Dependence = INDEPENDENT
) -> Calibration:
    """Return the calibration of one model's predictions.

    Parameters
    ----------
    truth : GroundTruth
        True labels of at least two rows.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities or values.
    alpha : float
        Level of the one-sided confidence bounds.
    dependence : Dependence
        Times and entities of the rows.
    """
    given, happened = _one_dimensional(truth, predicted)
    slope, influence = (_logistic_slope if truth.classes else _linear_slope)(given, happened)
    found = from_influence(slope, influence, dependence) if np.isfinite(slope) else None
    off = (given - happened) / (1.0 if truth.classes else float(happened.std()) or 1.0)
    bias = from_influence(float(off.mean()), off - off.mean(), dependence)
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


def calibration_gains(
    truth: GroundTruth, challenger: FloatArray, champion: FloatArray, dependence: Dependence = INDEPENDENT
) -> dict[str, Difference]:
    """Return how much better calibrated the challenger is than the champion on the same rows, by kind of problem.

    Returns
    -------
    dict of str to Difference
        ``slope``: gain in the distance of the slope from 1 on the log scale; missing if a slope is not defined.
        ``bias``: gain in the absolute bias.
    """
    pairs = [_one_dimensional(truth, predicted) for predicted in (challenger, champion)]
    scale = 1.0 if truth.classes else float(pairs[0][1].std()) or 1.0
    biases = [_distance_from_zero((given - happened) / scale) for given, happened in pairs]
    slopes = [_distance_of_slope(*(_logistic_slope if truth.classes else _linear_slope)(*pair)) for pair in pairs]
    found = {
        kind: from_influence(old - new, old_influence - new_influence, dependence)
        for kind, ((new, new_influence), (old, old_influence)) in {"slope": slopes, "bias": biases}.items()
        if np.isfinite(old - new)
    }
    rarer = int(min(np.bincount(truth.y.astype(np.int64)))) if len(truth.classes) == 2 else len(truth.y)
    return {kind: replace(gain, df=max(1, min(gain.df, rarer - 1))) for kind, gain in found.items()}


def calibration_problems(
    found: Calibration, champion: Calibration | None, settings: CalibrationSettings
) -> dict[str, str]:
    """Return significant problems of a challenger's calibration by kind, except those that the champion has as well.

    Kinds are ``slope`` and ``bias``, as in :func:`calibration_gains`.
    """
    problems = {}
    if found.slope is not None and found.slope_lower is not None and found.slope_upper is not None:
        out = found.slope_upper < settings.min_slope or found.slope_lower > settings.max_slope
        if out and not (
            champion
            and champion.slope is not None
            and CHAMPION_ALLOWANCE * _distance_from_one(champion.slope) >= _distance_from_one(found.slope)
        ):
            problems["slope"] = "overconfident" if found.slope < 1 else "underconfident"
    # Compare the bound with the tolerance, not the estimate: with few rows a large bias can be chance.
    shown = max(found.bias_lower, -found.bias_upper) > settings.max_bias
    if shown and not (champion and CHAMPION_ALLOWANCE * abs(champion.bias) >= abs(found.bias)):
        problems["bias"] = f"predicts too {'much' if found.bias > 0 else 'little'} on average"
    return problems


def is_within(found: Calibration, settings: CalibrationSettings) -> bool:
    """Return whether slope and bias are within the limits, as far as they are defined."""
    steep = found.slope is not None and not settings.min_slope <= found.slope <= settings.max_slope
    return not steep and abs(found.bias) <= settings.max_bias


def describe(found: Calibration, champion: Calibration | None, settings: CalibrationSettings) -> str:
    """Return slope and bias with their limits and the champion's values."""
    slopes = (f"{one.slope:.2f}" if one and one.slope is not None else "not defined" for one in (found, champion))
    slope, before = slopes
    of_champion = (f", champion {before}", f", champion {champion.bias:+.3f}") if champion else ("", "")
    return (
        f"slope {slope} (limits {settings.min_slope:g} to {settings.max_slope:g}{of_champion[0]}), "
        f"bias {found.bias:+.3f} (limit {settings.max_bias:g}{of_champion[1]})"
    )


def _distance_from_one(slope: float) -> float:
    """Return the distance of a slope from 1 on the log scale, where 1/2 and 2 are equally far; linear below 1/e."""
    return abs(float(np.log(slope))) if slope > 1 / np.e else 2 - np.e * slope


def _distance_of_slope(slope: float, influence: FloatArray) -> tuple[float, FloatArray]:
    """Return the distance of a slope from 1 and the influence of every row on it, by the delta method."""
    derivative = float(np.sign(slope - 1)) / slope if slope > 1 / np.e else -np.e
    return _distance_from_one(slope), derivative * influence


def _distance_from_zero(off: FloatArray) -> tuple[float, FloatArray]:
    """Return the absolute mean and the influence of every row on it."""
    mean = float(off.mean())
    return abs(mean), float(np.sign(mean)) * (off - mean)


def _one_dimensional(truth: GroundTruth, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return one prediction and one outcome per row."""
    if not truth.classes:
        return predicted, truth.y.astype(np.float64)
    if len(truth.classes) == 2:
        return predicted[:, 1], (truth.y == 1).astype(np.float64)
    return predicted.max(axis=1), (predicted.argmax(axis=1) == truth.y).astype(np.float64)


def _logistic_slope(given: FloatArray, happened: FloatArray) -> tuple[float, FloatArray]:
    """Return the slope of the logistic regression on the logit, and the influence of every row on it.

    Newton's method starts at a slope of 0. From 1 it diverges for strongly overconfident predictions, which matter most.
    """
    clipped = np.clip(given, SMALLEST, 1 - SMALLEST)
    logit = np.log(clipped / (1 - clipped))
    spread = float(logit.std())
    if spread == 0 or np.ptp(happened) == 0:
        return _undefined(given)
    # Centered and scaled, so that the condition number does not depend on the location of the logits.
    x = np.column_stack([np.ones(len(logit)), (logit - logit.mean()) / spread])
    weights = np.array([np.log(happened.mean() / (1 - happened.mean())), 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))
        information = x.T @ (x * (p * (1 - p))[:, None])
        if np.linalg.cond(information) > 1 / SMALLEST:
            return _undefined(given)  # complete separation: no finite slope exists
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
