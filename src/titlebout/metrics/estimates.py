"""Metrics as functions of the rows: their value, and how much every row moves them.

The influence of a row is n times the derivative of the metric by the row's weight: for a mean loss the loss less its
mean, for the area under the ROC curve DeLong's structural components, for a ratio or a root the delta method. With it
a difference of two models on the same rows has a standard error in closed form (:mod:`titlebout.metrics.inference`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from titlebout.core.arrays import FloatArray, IntArray

# A probability of exactly 0 for what happened would cost infinitely much; scikit-learn clips at the same place.
SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Truth:
    """What really happened in some rows.

    Attributes
    ----------
    task : {"classification", "regression"}
    y : ndarray of shape (n_rows,)
        Position in `classes` (int64), or the value (float64).
    classes : tuple
        Class labels; the second of two is the positive one. Empty for regression.
    """

    task: str
    y: npt.NDArray[np.int64] | FloatArray
    classes: tuple[object, ...] = ()

    @property
    def labels(self) -> npt.NDArray[np.object_]:
        """Class labels or values, shape (n_rows,)."""
        return np.array(self.classes, dtype=object)[self.y] if self.classes else self.y.astype(object)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Truth":
        """Return what happened in some of the rows."""
        return Truth(self.task, self.y[rows], self.classes)


@dataclass(frozen=True)
class Estimate:
    """A metric of one model on some rows; NaN where it is not defined.

    Attributes
    ----------
    value : float
    influence : ndarray of shape (n_rows,) or None
        What each row contributes; None when only leaving out blocks of rows can tell.
    replicates : ndarray of shape (n_blocks,) or None
        Values with one block of rows left out.
    is_mean : bool
        True when value + influence is the loss of every row, so that parts of the rows can be looked at alone.
    """

    value: float
    influence: FloatArray | None = None
    replicates: FloatArray | None = None
    is_mean: bool = False


def of_losses(losses: FloatArray) -> Estimate:
    """Return the mean of the losses of every row, shape (n_rows,)."""
    value = float(losses.mean())
    return Estimate(value, losses - value, is_mean=True)


def log_losses(truth: Truth, predicted: FloatArray) -> FloatArray:
    """Return the log loss of every row, in nats."""
    losses: FloatArray = -np.log(np.clip(predicted[np.arange(len(truth.y)), truth.y], SMALLEST, 1))
    return losses


def absolute(truth: Truth, predicted: FloatArray) -> FloatArray:
    """Return the absolute error of every row, in units of the target."""
    return np.abs(truth.y - predicted)


def brier(truth: Truth, predicted: FloatArray) -> Estimate:
    """Squared distance to what happened; of two classes only one is counted, as scikit-learn does."""
    of_true = predicted[np.arange(len(truth.y)), truth.y]
    losses = (predicted**2).sum(axis=1) - 2 * of_true + 1
    return of_losses(losses / 2 if len(truth.classes) == 2 else losses)


def accuracy(truth: Truth, predicted: FloatArray) -> Estimate:
    """Share of rows whose likeliest class happened."""
    return of_losses((predicted.argmax(axis=1) == truth.y).astype(np.float64))


def f1(truth: Truth, predicted: FloatArray) -> Estimate:
    """F1 of the positive class, or its mean over the classes that occur (macro)."""
    answered = predicted.argmax(axis=1)
    which = [1] if len(truth.classes) == 2 else range(len(truth.classes))
    return _mean_of([_f1_of(truth.y == one, answered == one) for one in which])


def _f1_of(happened: npt.NDArray[np.bool_], answered: npt.NDArray[np.bool_]) -> Estimate:
    """F1 = 2 TP / (P + Q), the ratio of two means: P rows of the class, Q answers that say so."""
    either = happened.astype(np.float64) + answered
    if not either.any():
        return Estimate(float("nan"))
    both = 2.0 * (happened & answered)
    value = float(both.sum() / either.sum())
    return Estimate(value, (both - value * either) / either.mean())


def roc_auc(truth: Truth, predicted: FloatArray) -> Estimate:
    """Area under the ROC curve of the positive class, or its mean over the classes, each against the others.

    A class of which only one row is known tells nothing about chance and is left out of that mean.
    """
    return _per_class(truth, predicted, _auc_of)


def _auc_of(positive: npt.NDArray[np.bool_], score: FloatArray) -> Estimate:
    """Mann-Whitney statistic with its structural components (DeLong 1988; ties count one half)."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return Estimate(float("nan"))
    order = np.argsort(score, kind="stable")
    ties = _tie_numbers(score[order])
    hits = positive[order]
    of_positives, of_negatives = (np.bincount(ties[side], minlength=ties[-1] + 1) for side in (hits, ~hits))
    # Per group of equal scores: the share of the other side that stands below, those that tie counting one half.
    below = (np.cumsum(of_negatives) - of_negatives / 2) / n_negative
    above = 1 - (np.cumsum(of_positives) - of_positives / 2) / n_positive
    value = float((below * of_positives).sum() / n_positive)
    if min(n_positive, n_negative) < 2:
        return Estimate(value)
    # n / n_side turns a mean over one side into one over all rows; the root makes each side's variance unbiased.
    weight_positive, weight_negative = (
        len(positive) / side * np.sqrt(side / (side - 1)) for side in (n_positive, n_negative)
    )
    influence = np.empty(len(positive))
    influence[order] = np.where(hits, weight_positive * (below[ties] - value), weight_negative * (above[ties] - value))
    return Estimate(value, influence)


def average_precision(truth: Truth, predicted: FloatArray) -> Estimate:
    """Average precision of the positive class, or its mean over the classes, each against the others."""
    return _per_class(truth, predicted, _average_precision_of)


def _average_precision_of(positive: npt.NDArray[np.bool_], score: FloatArray) -> Estimate:
    """Mean over the positives of the precision at their score, and its derivative by the weight of every row."""
    n_positive = int(positive.sum())
    if not n_positive:
        return Estimate(float("nan"))
    order = np.argsort(-score, kind="stable")
    ties, hits = _tie_numbers(score[order]), positive[order]
    found = np.bincount(ties, weights=hits)
    listed, hit = np.cumsum(np.bincount(ties)), np.cumsum(found)
    precision = hit / listed
    value = float((precision * found).sum() / n_positive)
    # A row counts in the precision at its own score and at every lower one.
    by_hit = _from_here_on(found * (1 - precision) / listed)[ties]
    by_miss = _from_here_on(found * -precision / listed)[ties]
    derivative = np.where(hits, precision[ties] - value + by_hit, by_miss) / n_positive
    influence = np.empty(len(positive))
    influence[order] = len(positive) * derivative
    return Estimate(value, influence)


def mean_squared(truth: Truth, predicted: FloatArray) -> Estimate:
    """Mean squared error."""
    return of_losses((truth.y - predicted) ** 2)


def rmse(truth: Truth, predicted: FloatArray) -> Estimate:
    """Root of the mean squared error."""
    squared = mean_squared(truth, predicted)
    value = float(np.sqrt(squared.value))
    if squared.influence is None or value == 0:
        return Estimate(value, np.zeros(len(truth.y)))
    return Estimate(value, squared.influence / (2 * value))


def pinball(share: float) -> Callable[[Truth, FloatArray], Estimate]:
    """Loss of a quantile: a shortfall costs its level, an excess one minus its level."""

    def estimate(truth: Truth, predicted: FloatArray) -> Estimate:
        short = truth.y - predicted
        return of_losses(np.maximum(share * short, (share - 1) * short))

    return estimate


def _per_class(
    truth: Truth, predicted: FloatArray, of_one: Callable[[npt.NDArray[np.bool_], FloatArray], Estimate]
) -> Estimate:
    which = [1] if len(truth.classes) == 2 else np.unique(truth.y)
    return _mean_of([of_one(truth.y == one, predicted[:, one]) for one in which])


def _mean_of(estimates: list[Estimate]) -> Estimate:
    """Return the mean over the classes for which the metric is defined, and of which there are rows enough to tell."""
    defined = [one for one in estimates if np.isfinite(one.value)]
    if not defined:
        return Estimate(float("nan"))
    influences = [one.influence for one in defined if one.influence is not None]
    if not influences:
        return Estimate(float(np.mean([one.value for one in defined])))
    values = [one.value for one in defined if one.influence is not None]
    return Estimate(float(np.mean(values)), np.mean(influences, axis=0))


def _tie_numbers(ordered: FloatArray) -> IntArray:
    """Return numbers 0, 1, 2, ... of the groups of equal values of a sorted array."""
    return np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])


def _from_here_on(values: FloatArray) -> FloatArray:
    return np.cumsum(values[::-1])[::-1]
