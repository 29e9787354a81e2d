"""Does a paired bootstrap of 1,000 draws say the same, and how much longer does it take; what a whole decision costs.

The bootstrap is the plain one: rows are drawn with replacement, the same for both models, and the metric is
computed on the drawn rows. For a mean loss that is the mean of the rows' differences, which were computed once; for ROC
AUC it is scikit-learn's function on the drawn rows. The *fast* one for AUC sorts once and draws weights.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import worlds
from sklearn.metrics import log_loss, roc_auc_score

from titlebout.core.arrays import FloatArray
from titlebout.gate.decision import decide
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.inference import INDEPENDENT, Difference
from titlebout.metrics.scorers import find_metric

ALPHA, DRAWS = 0.05, 1000
METRICS = ("log_loss", "brier", "accuracy", "roc_auc", "mae")
AGREEMENT_ROWS, AGREEMENT_TIMES = (500, 2000), 120
TIMED = {10_000: 1000, 100_000: 50, 1_000_000: 4}  # rows, and bootstrap draws that are really timed
ROUNDS, CALLS = 3, 5
ALLOWED = 5.0

Row = dict[str, Any]
BOOTSTRAPPED = {"log_loss": ("mean",), "mae": ("mean",), "roc_auc": ("plain", "fast")}


def agreement(seed: int, rows: tuple[int, ...] = AGREEMENT_ROWS, times: int = AGREEMENT_TIMES) -> list[Row]:
    """Return how often closed form and bootstrap give the same verdict, in worlds from worse to better by 1.5 margins."""
    found = []
    for n in rows:
        for at, name in enumerate(METRICS):
            rng = np.random.default_rng([seed, 5, n, at])
            same = widths = themselves = 0.0
            for _ in range(times):
                predictions = _predictions(rng, n, name)
                gain = _closed(predictions, name)
                (lower, upper), again = (
                    np.quantile(_draws(rng, predictions, name), [ALPHA, 1 - ALPHA]) for _ in range(2)
                )
                same += _verdict(gain.lower(ALPHA), gain.upper(ALPHA)) == _verdict(lower, upper)
                themselves += _verdict(lower, upper) == _verdict(*again)
                widths += 2 * gain.half_width(ALPHA) / float(upper - lower)
            shares = {"agreed": same / times, "bootstraps_agreed": themselves / times, "width_ratio": widths / times}
            found.append({"metric": name, "n": n, "repetitions": times, **shares})
    return found


def times(seed: int, timed: Mapping[int, int] = TIMED, rounds: int = ROUNDS) -> list[Row]:
    """Return times of closed form and bootstrap; the two are taken in turn, and ratios are made within a round."""
    found = []
    for n, draws in timed.items():
        rng = np.random.default_rng([seed, 6, n])
        for name, kinds in BOOTSTRAPPED.items():
            predictions = _predictions(rng, n, name)
            for kind in kinds:
                pairs = [
                    (
                        _seconds(partial(_closed, predictions, name), CALLS),
                        _seconds(partial(_resampled, rng, predictions, name, draws, kind)),
                    )
                    for _ in range(rounds)
                ]
                cell = {"metric": name, "bootstrap": kind, "n": n, "draws_timed": draws, "rounds": rounds}
                closed, scaled = [p[0] for p in pairs], [p[1] * DRAWS / draws for p in pairs]
                ratio = median(b / a for a, b in zip(closed, scaled, strict=True))
                found.append(
                    {**cell, "closed_ms": 1e3 * median(closed), "bootstrap_ms": 1e3 * median(scaled), "ratio": ratio}
                )
    return found


def whole(seed: int, n: int, settings: Any, rounds: int = ROUNDS) -> Row:
    """Return the time of a whole decision against one ROC AUC and one log loss of scikit-learn per model."""
    predictions = worlds.classification(np.random.default_rng([seed, 7]), n)
    y, given = (
        predictions.truth.y,
        [predictions.predicted[model_name][:, 1] for model_name in ("challenger", "champion")],
    )
    pairs = [
        (
            _seconds(lambda: decide(predictions, settings, "change")),
            _seconds(lambda: [(roc_auc_score(y, p), log_loss(y, p)) for p in given]),
        )
        for _ in range(rounds)
    ]
    ours, theirs = (median(pair[at] for pair in pairs) for at in (0, 1))
    return {"n": n, "slices": 8, "decide_s": ours, "scikit_learn_s": theirs, "ratio": median(a / b for a, b in pairs)}


def _predictions(rng: np.random.Generator, n: int, name: str) -> HoldoutPredictions:
    of = worlds.absolute_error if name == "mae" else worlds.log_loss
    share = float(rng.uniform(-1.5, 1.5)) * worlds.MARGIN
    pair = worlds.worse(share, of) if share > 0 else worlds.better(-share, of)
    return (worlds.regression if name == "mae" else worlds.classification)(rng, n, pair)


def _closed(predictions: HoldoutPredictions, name: str) -> Difference:
    metric = find_metric(name, predictions.truth.task)
    one, other = (
        metric.estimate(predictions.truth, predictions.predicted[model_name], INDEPENDENT)
        for model_name in ("challenger", "champion")
    )
    gain = metric.gain(one, other)
    assert gain is not None
    return gain


def _draws(rng: np.random.Generator, predictions: HoldoutPredictions, name: str) -> FloatArray:
    return _resampled(rng, predictions, name, DRAWS, "fast" if name == "roc_auc" else "mean")


def _resampled(
    rng: np.random.Generator, predictions: HoldoutPredictions, name: str, draws: int, kind: str
) -> FloatArray:
    if kind == "mean":
        gains, n = _row_gains(predictions, name), len(predictions.truth.y)
        return np.array([gains[rng.integers(0, n, n)].mean() for _ in range(draws)])
    y, given = (
        predictions.truth.y,
        [predictions.predicted[model_name][:, 1] for model_name in ("challenger", "champion")],
    )
    return _plain_auc(rng, y, given, draws) if kind == "plain" else _fast_auc(rng, y, given, draws)


def _row_gains(predictions: HoldoutPredictions, name: str) -> FloatArray:
    metric = find_metric(name, predictions.truth.task)
    one, other = (
        metric.estimate(predictions.truth, predictions.predicted[model_name], INDEPENDENT)
        for model_name in ("challenger", "champion")
    )
    sign = -1 if metric.better == "smaller" else 1
    return sign * (one.influence + one.value - other.influence - other.value)


def _plain_auc(rng: np.random.Generator, y: Any, given: list[FloatArray], draws: int) -> FloatArray:
    found = []
    for _ in range(draws):
        rows = rng.integers(0, len(y), len(y))
        found.append(roc_auc_score(y[rows], given[0][rows]) - roc_auc_score(y[rows], given[1][rows]))
    return np.array(found)


def _fast_auc(rng: np.random.Generator, y: Any, given: list[FloatArray], draws: int) -> FloatArray:
    """Return draws of the difference; how often a row is drawn is its weight, and scores have no ties here."""
    n, orders = len(y), [np.argsort(p) for p in given]
    found = np.empty(draws)
    for at in range(draws):
        weights = np.bincount(rng.integers(0, n, n), minlength=n)
        found[at] = np.subtract(*(_weighted_auc(y[order], weights[order]) for order in orders))
    return found


def _weighted_auc(y: Any, weights: Any) -> float:
    negatives = weights * (1 - y)
    positives = weights * y
    below = np.cumsum(negatives)
    return float(positives @ below) / (float(positives.sum()) * float(below[-1]))


def _verdict(lower: float, upper: float) -> str:
    return "promote" if lower > 0 else "keep" if upper < 0 else "inconclusive"


def _seconds(action: Callable[[], object], calls: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - began) / calls
