"""Dummy model: the best constant prediction for a metric, which a model must beat to be worth anything.

Which constant is best depends on the metric: the median for absolute errors, the mean for squared ones, a quantile for
pinball losses, class shares for proper scores, one class for accuracy or F1. It is searched on the training rows, so that
the metrics of scikit-learn and of the project have theirs too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from titlebout.core.arrays import FloatArray
from titlebout.data.sampling import evenly_spaced
from titlebout.metrics.catalogue import Metric, built_in_metric
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.inference import INDEPENDENT

ROWS, ROWS_OF_SCORER = 20_000, 2000  # training rows on which constants are compared; scorers are slow
# Relative difference up to which the mean or the median is taken: the sample decides it, not the metric.
TIE = 0.0001
MAX_CLASSES = 20  # most frequent classes that are tried as constants
Statistic: TypeAlias = Callable[[FloatArray], FloatArray]
_COARSE, _FINE = 0.05, 0.01  # steps between the quantiles that are tried, first everywhere, then around the best


def dummy_predictions(metric: Metric, trained: GroundTruth, truth: GroundTruth) -> FloatArray:
    """Return the best constant prediction for every row of `truth`.

    Parameters
    ----------
    metric : Metric
        Metric that decides which constant is best.
    trained : GroundTruth
        Training rows; classes that only they have are ignored.
    truth : GroundTruth
        Rows to predict.

    Returns
    -------
    ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities in the order of ``truth.classes``, or values.
    """
    sample = _sample(metric, trained, truth.classes)
    if truth.classes:
        constants = _class_constants(trained, len(truth.classes))
        return _repeated(constants[_best(metric, sample, constants)], len(truth.y))
    statistics = _statistics(metric, sample)
    chosen = statistics[_best(metric, sample, [statistic(_values(sample)) for statistic in statistics])]
    return _repeated(chosen(_values(trained)), len(truth.y))


def _sample(metric: Metric, trained: GroundTruth, classes: tuple[object, ...]) -> GroundTruth:
    """Return the training rows on which constants are compared."""
    rows = evenly_spaced(len(trained.y), ROWS if built_in_metric(metric.name, trained.task) else ROWS_OF_SCORER)
    if classes:
        rows = rows[trained.y[rows] < len(classes)]
    return GroundTruth(trained.task, trained.y[rows], classes)


def _best(metric: Metric, sample: GroundTruth, constants: Sequence[FloatArray]) -> int:
    """Return the position of the best constant; of the first two if they are as good."""
    scores = [_score(metric, sample, constant) for constant in constants]
    best = int(np.argmax(scores))
    usual = [at for at, score in enumerate(scores[:2]) if score >= scores[best] - TIE * abs(scores[best])]
    return usual[0] if usual else best


def _class_constants(trained: GroundTruth, classes: int) -> list[FloatArray]:
    """Return the class shares, and each frequent class with certainty."""
    counts = np.bincount(trained.y.astype(np.int64), minlength=classes)
    shares = counts[:classes] / counts.sum()
    shares = shares + (1 - shares.sum()) / classes  # classes that only the training rows have
    frequent = np.argsort(-shares, kind="stable")[:MAX_CLASSES]
    return [shares, *np.eye(classes)[frequent]]


def _statistics(metric: Metric, sample: GroundTruth) -> list[Statistic]:
    """Return the mean, the median, the best of some quantiles, and those around it, as functions of the training rows.

    The sample decides which one is best, and all training rows give its value: the mean of all rows is not quite the best
    constant for the sample, and a quantile that is would be a worse one for all rows.
    """
    coarse = [float(level) for level in np.arange(1, round(1 / _COARSE)) * _COARSE]
    best = max(coarse, key=lambda level: _score(metric, sample, _quantile(_values(sample), level)))
    return [_mean, *(partial(_quantile, level=level) for level in (0.5, best, *_around(best)))]


def _values(rows: GroundTruth) -> FloatArray:
    return rows.y.astype(np.float64)


def _mean(values: FloatArray) -> FloatArray:
    return np.asarray(values.mean())


def _quantile(values: FloatArray, level: float) -> FloatArray:
    return np.asarray(np.quantile(values, level))


def _around(level: float) -> Iterator[float]:
    for step in range(1, round(_COARSE / _FINE)):
        yield level - step * _FINE
        yield level + step * _FINE


def _score(metric: Metric, sample: GroundTruth, constant: FloatArray) -> float:
    """Return the metric of a constant; larger is better, -inf if it is undefined."""
    value = metric.estimate(sample, _repeated(constant, len(sample.y)), INDEPENDENT).value
    return (-value if metric.better == "smaller" else value) if np.isfinite(value) else -np.inf


def _repeated(constant: FloatArray, rows: int) -> FloatArray:
    return np.tile(constant, (rows, 1)) if constant.ndim else np.full(rows, float(constant))
