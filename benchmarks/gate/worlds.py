"""Synthetic worlds in which it is known which model is better, and by how much.

Classification: every row has a hidden signal about its class, seen by both models through the same irreducible noise;
each model adds noise of its own. Its probabilities are the exact posterior given what it sees, so it is calibrated, and
its expected log loss is an integral over one dimension: the truth has no Monte Carlo error. Two models with the same
amount of own noise are exchangeable: their true difference is exactly 0 in every metric.

Regression: the same with a number as the hidden signal; the best prediction shrinks what the model sees.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.estimates import GroundTruth

BASE_RATE = 0.19
SEPARATION = 1.263  # between the classes' mean signals, in sds of the common noise: AUC 0.81
OWN = 0.04  # variance of a model's own noise: two of them correlate with 0.97, as a retrained pair does
MARGIN = 0.02  # the gate's default: 2% of the champion's log loss or mean absolute error
UNEXPLAINED = 1.0  # regression: variance of the target given the hidden signal, whose own variance is 1
ZIPF = 1 / np.arange(1, 9) / np.sum(1 / np.arange(1, 9))  # shares of eight slices: 37%, 18%, ... 5%
BROKEN = 1  # the slice of 18%

_Z = np.linspace(-9, 9, 4001)
_WEIGHT = norm.pdf(_Z) / norm.pdf(_Z).sum()


@dataclass(frozen=True)
class Pair:
    """Own noise (variances) of the two models that are compared, and what else is wrong with the challenger.

    Attributes
    ----------
    champion, challenger : float
    in_slice : float or None
        The challenger's own noise in the slice of 18%, instead of `challenger`; it does not know of it.
    sharpened : float
        Factor on the challenger's log odds: above 1 it is overconfident.
    """

    champion: float = OWN
    challenger: float = OWN
    in_slice: float | None = None
    sharpened: float = 1.0


def log_loss(own: float, believed: float | None = None) -> float:
    """Return the expected log loss, by quadrature; a model is calibrated when it believes in the noise that it has."""
    sd, total = np.sqrt(1 + own), 0.0
    for y, share in ((0, 1 - BASE_RATE), (1, BASE_RATE)):
        odds = _log_odds(SEPARATION * y + sd * _Z, own if believed is None else believed)
        total += share * float(_WEIGHT @ np.logaddexp(0, (1 - 2 * y) * odds))
    return total


def auc(own: float) -> float:
    """Return the true area under the ROC curve."""
    return float(norm.cdf(SEPARATION / np.sqrt(2 * (1 + own))))


def absolute_error(own: float) -> float:
    """Return the expected absolute error of the regression model (errors are normal)."""
    return float(np.sqrt(2 / np.pi * (UNEXPLAINED + own / (1 + own))))


def noise_for(loss: float, of: Callable[[float], float] = log_loss) -> float:
    """Return the own noise with which a model has this expected loss."""
    return float(brentq(lambda own: of(own) - loss, 0, 1e4, xtol=1e-12))


def worse(share: float = MARGIN, of: Callable[[float], float] = log_loss) -> Pair:
    """Return a challenger whose true loss is larger than the champion's by a share of it."""
    return Pair(OWN, noise_for(of(OWN) * (1 + share), of))


def better(share: float = MARGIN, of: Callable[[float], float] = log_loss) -> Pair:
    """Return a challenger whose true loss is smaller than the champion's by a share of it."""
    return Pair(noise_for(of(OWN) / (1 - share), of), OWN)


def broken(growth: float, gain: float = MARGIN) -> Pair:
    """Return a challenger that is better overall by `gain`, and whose loss in the slice of 18% is larger by `growth`."""
    share = ZIPF[BROKEN]
    champion = log_loss(OWN) * (1 - share) / (1 - gain - share * (1 + growth))
    in_slice = noise_for(champion * (1 + growth), lambda own: log_loss(own, OWN))
    return Pair(noise_for(champion), OWN, in_slice)


def classification(rng: np.random.Generator, n: int, pair: Pair = Pair(), entities: int = 0) -> HoldoutPredictions:
    """Return holdout predictions of two classes; rows of one of the `entities` share the models' noise, and half of them the class."""
    y = (rng.random(n) < BASE_RATE).astype(np.int64)
    units = None if not entities else rng.permutation(np.arange(n) % entities)
    if units is not None:
        y = np.where(rng.random(n) < 0.5, (rng.random(entities) < BASE_RATE)[units], y).astype(np.int64)
    column = rng.choice(len(ZIPF), n, p=ZIPF)
    seen = SEPARATION * y + rng.normal(size=n)
    noise = pair.challenger if pair.in_slice is None else np.where(column == BROKEN, pair.in_slice, pair.challenger)
    odds = {
        "challenger": pair.sharpened * _log_odds(seen + _own(rng, noise, n, units), pair.challenger),
        "champion": _log_odds(seen + _own(rng, pair.champion, n, units), pair.champion),
        "dummy": np.full(n, np.log(BASE_RATE / (1 - BASE_RATE))),
    }
    predicted = {model_name: _two(1 / (1 + np.exp(-given))) for model_name, given in odds.items()}
    return HoldoutPredictions(GroundTruth("classification", y, (0, 1)), predicted, _slices(column), units)


def multiclass(
    rng: np.random.Generator, n: int, shares: Sequence[float] = (0.5, 0.3, 0.15, 0.05)
) -> HoldoutPredictions:
    """Return holdout predictions of several classes and equal models: one signal for each class, the posterior by Bayes."""
    k, prior = len(shares), np.asarray(shares)
    y = rng.choice(k, n, p=prior).astype(np.int64)
    seen = 1.5 * np.eye(k)[y] + rng.normal(size=(n, k))

    def posterior() -> FloatArray:
        own = seen + np.sqrt(OWN) * rng.normal(size=(n, k))
        raised = prior * np.exp(1.5 * own / (1 + OWN))
        return raised / raised.sum(axis=1, keepdims=True)

    predicted = {"challenger": posterior(), "champion": posterior(), "dummy": np.tile(prior, (n, 1))}
    return HoldoutPredictions(GroundTruth("classification", y, tuple(range(k))), predicted)


def regression(
    rng: np.random.Generator, n: int, pair: Pair = Pair(), entities: int = 0, heavy: bool = False
) -> HoldoutPredictions:
    """Return holdout predictions of a number; `heavy`: Student errors (3 degrees of freedom) with a spread that varies by row."""
    signal, spread = rng.normal(size=n), np.exp(0.8 * rng.normal(size=n)) if heavy else 1.0
    errors = rng.standard_t(3, size=n) if heavy else rng.normal(size=n)
    units = None if not entities else rng.permutation(np.arange(n) % entities)
    y = signal + np.sqrt(UNEXPLAINED) * spread * errors
    predicted = {
        model_name: (signal + spread * _own(rng, own, n, units)) / (1 + own)
        for model_name, own in (("challenger", pair.challenger), ("champion", pair.champion))
    }
    return HoldoutPredictions(
        GroundTruth("regression", y), {**predicted, "dummy": np.zeros(n)}, _slices(rng.choice(8, n, p=ZIPF)), units
    )


def _own(rng: np.random.Generator, variance: float | FloatArray, n: int, units: IntArray | None) -> FloatArray:
    drawn = rng.normal(size=n) if units is None else rng.normal(size=int(units.max()) + 1)[units]
    return np.sqrt(variance) * drawn


def _log_odds(seen: FloatArray, own: float) -> FloatArray:
    return np.log(BASE_RATE / (1 - BASE_RATE)) + SEPARATION / (1 + own) * (seen - SEPARATION / 2)


def _two(positive: FloatArray) -> FloatArray:
    return np.column_stack([1 - positive, positive])


def _slices(column: IntArray) -> pd.DataFrame:
    return pd.DataFrame({"slice": np.array(list("abcdefgh"), dtype=object)[column]})


def several_models(rng: np.random.Generator, n: int, own: Mapping[str, float]) -> HoldoutPredictions:
    """Return holdout predictions of two classes by any number of models, given the own noise of each."""
    y = (rng.random(n) < BASE_RATE).astype(np.int64)
    seen = SEPARATION * y + rng.normal(size=n)
    predicted = {
        model: _two(1 / (1 + np.exp(-_log_odds(seen + _own(rng, variance, n, None), variance))))
        for model, variance in own.items()
    }
    predicted["dummy"] = np.tile([1 - BASE_RATE, BASE_RATE], (n, 1))
    return HoldoutPredictions(GroundTruth("classification", y, (0, 1)), predicted)
