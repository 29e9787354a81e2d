"""Metric values with the influence of every row, from which standard errors follow.

The influence of a row is n times the derivative of the metric with respect to the weight of the row: the loss minus the
mean loss for a mean, DeLong's structural components for the area under the ROC curve, and the delta method for a ratio
or a root. From it, the difference of two models on the same rows has a standard error in closed form
(:mod:`titlebout.metrics.inference`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from titlebout.core.arrays import FloatArray, IntArray

# The log loss of probability 0 would be infinite, so probabilities are clipped, at the same value as in scikit-learn.
SMALLEST = float(np.finfo(np.float64).eps)
# By how much one model ranks a row higher than another, in shares of the other class and in precision, for the rows that a
# sample of few positives happens not to have. With five positives in 200 rows the bounds hold from these values on.
RANK_STEP, PRECISION_STEP = 0.1, 0.25


@dataclass(frozen=True)
class GroundTruth:
    """True classes or values of some rows.

    Attributes
    ----------
    task : {"classification", "regression"}
        Decides the meaning of `y`.
    y : ndarray of shape (n_rows,)
        Position in `classes` (int64), or the value (float64).
    classes : tuple
        Class labels; of two, the second is the positive class. Empty for regression.
    """

    task: str
    y: npt.NDArray[np.int64] | FloatArray
    classes: tuple[object, ...] = ()

    @property
    def labels(self) -> npt.NDArray[np.object_]:
        """Class labels or values, shape (n_rows,)."""
        return np.array(self.classes, dtype=object)[self.y] if self.classes else self.y.astype(object)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "GroundTruth":
        """Return the ground truth of a subset of the rows, given by position or as a mask."""
        return GroundTruth(self.task, self.y[rows], self.classes)


@dataclass(frozen=True)
class Estimate:
    """A metric of one model on some rows; NaN where it is undefined.

    Attributes
    ----------
    value : float
        In units of the metric.
    influence : ndarray of shape (n_rows,) or None
        Influence of each row on the value; None if it is unknown, as for scorers and custom metrics.
    replicates, replicates_in_time : ndarray of shape (n_blocks,) or None
        Jackknife replicates: values with one block of independent rows or whole entities left out, and values with one
        stretch of time left out, in order of time.
    step : float
        Change of the value by one more row that only one of two models predicts well, for metrics that few rows can
        decide; 0 for all others.
    df : int or None
        Degrees of freedom of the standard error if the rows of one class decide; None if all rows do.
    is_mean : bool
        True if value + influence is the loss of every row, so that the metric can be computed on subsets of the rows.
    """

    value: float
    influence: FloatArray | None = None
    replicates: FloatArray | None = None
    replicates_in_time: FloatArray | None = None
    step: float = 0.0
    df: int | None = None
    is_mean: bool = False


def mean_loss(losses: FloatArray) -> Estimate:
    """Return the estimate of the mean of losses of shape (n_rows,)."""
    value = float(losses.mean())
    return Estimate(value, losses - value, is_mean=True)


def log_losses(truth: GroundTruth, predicted: FloatArray) -> FloatArray:
    """Return the log loss of every row, in nats."""
    losses: FloatArray = -np.log(np.clip(predicted[np.arange(len(truth.y)), truth.y], SMALLEST, 1))
    return losses


def absolute_errors(truth: GroundTruth, predicted: FloatArray) -> FloatArray:
    """Return the absolute error of every row, in units of the target."""
    return np.abs(truth.y - predicted)


def brier(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Brier score: squared distance to the one-hot true class; halved for two classes, as in scikit-learn."""
    p_actual = predicted[np.arange(len(truth.y)), truth.y]
    losses = (predicted**2).sum(axis=1) - 2 * p_actual + 1
    return mean_loss(losses / 2 if len(truth.classes) == 2 else losses)


def accuracy(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Fraction of rows whose most probable class is the true one."""
    return replace(mean_loss((predicted.argmax(axis=1) == truth.y).astype(np.float64)), step=1 / len(truth.y))


def f1(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """F1 of the positive class, or its mean over the classes (macro) if there are more than two."""
    predicted_class = predicted.argmax(axis=1)
    labels = [1] if len(truth.classes) == 2 else range(len(truth.classes))
    return _macro_average([_binary_f1(truth.y == label, predicted_class == label) for label in labels])


def _binary_f1(actual: npt.NDArray[np.bool_], predicted_class: npt.NDArray[np.bool_]) -> Estimate:
    """F1 = 2 TP / (P + Q), a ratio of two means: P rows of the class, Q rows predicted to be of the class.

    Influence of a ratio a / b by the delta method: (a_i - (a / b) b_i) / b. It changes most if a row of the class is
    found that was not: by (2 - F1) / (P + Q).
    """
    actual_plus_predicted = actual.astype(np.float64) + predicted_class
    if not actual_plus_predicted.any():
        return Estimate(float("nan"))
    twice_true_positives = 2.0 * (actual & predicted_class)
    value = float(twice_true_positives.sum() / actual_plus_predicted.sum())
    influence = (twice_true_positives - value * actual_plus_predicted) / actual_plus_predicted.mean()
    return Estimate(value, influence, step=(2 - value) / float(actual_plus_predicted.sum()))


def roc_auc(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Area under the ROC curve of the positive class, or its mean over the classes, one versus rest.

    A class with a single row has no standard error and is left out of that mean.
    """
    return _per_class(truth, predicted, _binary_roc_auc)


def _binary_roc_auc(positive: npt.NDArray[np.bool_], score: FloatArray) -> Estimate:
    """Mann-Whitney statistic with its structural components (DeLong 1988; ties count one half)."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return Estimate(float("nan"))
    order = np.argsort(score, kind="stable")
    ties = _tie_numbers(score[order])
    hits = positive[order]
    of_positives, of_negatives = (np.bincount(ties[side], minlength=ties[-1] + 1) for side in (hits, ~hits))
    # Per group of equal scores: the fraction of the other side with a lower (above: higher) score, ties counted half.
    below = (np.cumsum(of_negatives) - of_negatives / 2) / n_negative
    above = 1 - (np.cumsum(of_positives) - of_positives / 2) / n_positive
    value = float((below * of_positives).sum() / n_positive)
    if min(n_positive, n_negative) < 2:
        return Estimate(value)
    # The structural components are averages over one side (positives or negatives). n / n_side turns them into averages
    # over all n rows; the square root turns the variance of each side into the unbiased one, as in DeLong (1988).
    weight_positive, weight_negative = (
        len(positive) / side * np.sqrt(side / (side - 1)) for side in (n_positive, n_negative)
    )
    influence = np.empty(len(positive))
    influence[order] = np.where(hits, weight_positive * (below[ties] - value), weight_negative * (above[ties] - value))
    fewer = min(n_positive, n_negative)
    return Estimate(value, influence, step=RANK_STEP / fewer, df=fewer - 1)


def average_precision(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Average precision of the positive class, or its mean over the classes, one versus rest."""
    return _per_class(truth, predicted, _binary_average_precision)


def _binary_average_precision(positive: npt.NDArray[np.bool_], score: FloatArray) -> Estimate:
    """Mean over the positives of the precision at their score, with its derivative by the weight of every row.

    AP = sum over tie groups of (hits in the group / n_positive) * precision, where precision = hits so far / rows so far
    in decreasing order of score.
    """
    n_positive = int(positive.sum())
    if not n_positive:
        return Estimate(float("nan"))
    order = np.argsort(-score, kind="stable")
    ties, hits = _tie_numbers(score[order]), positive[order]
    hits_per_tie = np.bincount(ties, weights=hits)
    ranks, cumulative_hits = np.cumsum(np.bincount(ties)), np.cumsum(hits_per_tie)
    precision = cumulative_hits / ranks
    value = float((precision * hits_per_tie).sum() / n_positive)
    # A row enters the precision at its own score and at every lower score: d precision / d weight is
    # (1 - precision) / rows so far for a hit, and -precision / rows so far for a miss.
    by_hit = _reverse_cumsum(hits_per_tie * (1 - precision) / ranks)[ties]
    by_miss = _reverse_cumsum(hits_per_tie * -precision / ranks)[ties]
    derivative = np.where(hits, precision[ties] - value + by_hit, by_miss) / n_positive
    influence = np.empty(len(positive))
    influence[order] = len(positive) * derivative
    return Estimate(value, influence, step=PRECISION_STEP / n_positive, df=max(n_positive - 1, 1))


def mean_squared(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Mean squared error."""
    return mean_loss((truth.y - predicted) ** 2)


def rmse(truth: GroundTruth, predicted: FloatArray) -> Estimate:
    """Root mean squared error; influence by the delta method, d sqrt(m) = dm / (2 sqrt(m))."""
    squared = mean_squared(truth, predicted)
    value = float(np.sqrt(squared.value))
    if squared.influence is None or value == 0:
        return Estimate(value, np.zeros(len(truth.y)))
    return Estimate(value, squared.influence / (2 * value))


def pinball(share: float) -> Callable[[GroundTruth, FloatArray], Estimate]:
    """Pinball loss of the quantile at level `share`: slope `share` below the true value, 1 - `share` above it."""

    def estimate(truth: GroundTruth, predicted: FloatArray) -> Estimate:
        shortfall = truth.y - predicted
        return mean_loss(np.maximum(share * shortfall, (share - 1) * shortfall))

    return estimate


def _per_class(
    truth: GroundTruth, predicted: FloatArray, binary_metric: Callable[[npt.NDArray[np.bool_], FloatArray], Estimate]
) -> Estimate:
    labels = [1] if len(truth.classes) == 2 else np.unique(truth.y)
    return _macro_average([binary_metric(truth.y == label, predicted[:, label]) for label in labels])


def _macro_average(estimates: list[Estimate]) -> Estimate:
    """Return the mean over the classes with a defined metric; over those with a standard error, if there are any."""
    defined = [estimate for estimate in estimates if np.isfinite(estimate.value)]
    if not defined:
        return Estimate(float("nan"))
    known = [estimate for estimate in defined if estimate.influence is not None]
    value = float(np.mean([estimate.value for estimate in known or defined]))
    if not known:
        return Estimate(value)
    return Estimate(
        value,
        np.mean([estimate.influence for estimate in known if estimate.influence is not None], axis=0),
        step=float(np.linalg.norm([estimate.step for estimate in known])) / len(known),
        df=min((estimate.df for estimate in known if estimate.df is not None), default=None),
    )


def _tie_numbers(ordered: FloatArray) -> IntArray:
    """Return the number of its group of equal values, 0, 1, 2, ..., for every value of a sorted array."""
    return np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])


def _reverse_cumsum(values: FloatArray) -> FloatArray:
    return np.cumsum(values[::-1])[::-1]
