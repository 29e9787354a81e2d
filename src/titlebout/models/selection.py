"""Choose among candidate models inside the training rows, by cross-validation and the one-standard-error rule.

The first model of a new repository is a choice between a regularized linear model and gradient boosting: on small,
noisy or imbalanced tables the first is often better, and it cannot be known in advance. The rule (Breiman et al. 1984,
Hastie et al., The Elements of Statistical Learning, 7.10) takes the simplest candidate whose loss is within one standard
error of the smallest, so that a more complex model is used only if it is clearly better.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from titlebout.core.arrays import BoolArray, FloatArray, IntArray
from titlebout.data.sampling import evenly_spaced

SMALLEST = 1e-15  # probability or mean below which a loss counts as if it were this
BLOCKS = 4  # number of blocks of consecutive rows in a fold


def _predicts_classes(search: "OneStandardErrorSearch") -> bool:
    return hasattr(search.estimators[0][1], "predict_proba")


class OneStandardErrorSearch(BaseEstimator):  # type: ignore[misc] # sklearn is not followed by mypy
    """The simplest of several models whose cross-validated loss is within one standard error of the smallest.

    Folds are made of blocks of consecutive rows, the same in every run, because neighboring rows of a table are often
    alike. Each class is divided by itself, so that a rare class is in every fold that it has rows for.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Candidates with their names, the simplest one first.
    loss : {"log_loss", "squared_error", "absolute_error", "poisson"}
        Loss by which they are compared; log_loss for classifiers. Poisson is the deviance of a nonnegative target.
    folds : int
        Number of folds.
    max_rows : int
        Cross-validation uses at most this many evenly spaced rows, so that its time is bounded; the chosen model is
        fitted on all rows.

    Attributes
    ----------
    estimator_ : estimator
        The chosen candidate, fitted on all rows.
    chosen_ : str
        Its name.
    losses_ : dict of str to float
        Mean loss of every candidate; empty if the rows are too few for cross-validation.
    classes_ : ndarray of shape (n_classes,)
        Class labels; classifiers only.
    """

    def __init__(
        self, estimators: list[tuple[str, Any]], loss: str = "log_loss", folds: int = 5, max_rows: int = 10_000
    ) -> None:
        self.estimators = estimators
        self.loss = loss
        self.folds = folds
        self.max_rows = max_rows

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Choose a candidate and fit it on all rows.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,)
        """
        target = np.asarray(y)
        losses = self._losses(X, target)
        self.losses_ = {name: float(loss.mean()) for name, loss in losses.items()}
        self.chosen_ = _simplest(losses) if losses else self.estimators[0][0]
        self.estimator_ = _fit(dict(self.estimators)[self.chosen_], X, target)
        if _predicts_classes(self):
            self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the predicted labels or values, shape (n_rows,)."""
        return np.asarray(self.estimator_.predict(X))

    @available_if(_predicts_classes)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: pd.DataFrame) -> FloatArray:
        """Return the probabilities of the classes, shape (n_rows, n_classes)."""
        return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimators[0][1])

    def _losses(self, X: pd.DataFrame, y: npt.NDArray[Any]) -> dict[str, FloatArray]:
        """Return the loss of every candidate for every row that is in a usable fold."""
        rows = evenly_spaced(len(y), self.max_rows)
        X, y = X.iloc[rows], y[rows]
        folds = list(_usable(y, _folds(y, self.folds, stratified=_predicts_classes(self))))
        if not folds:
            return {}
        return {
            name: np.concatenate([self._loss(_fit(candidate, X[~fold], y[~fold]), X[fold], y[fold]) for fold in folds])
            for name, candidate in self.estimators
        }

    def _loss(self, fitted: Any, X: pd.DataFrame, y: npt.NDArray[Any]) -> FloatArray:
        if self.loss == "log_loss":
            return _log_loss(fitted.predict_proba(X), list(fitted.classes_), y)
        return _LOSSES[self.loss](y.astype(np.float64), np.asarray(fitted.predict(X), dtype=np.float64))


def _simplest(losses: dict[str, FloatArray]) -> str:
    """Return the first candidate whose mean loss is within one standard error, of the difference, of the smallest."""
    best = min(losses.values(), key=lambda loss: float(loss.mean()))
    return next(name for name, loss in losses.items() if _excess(loss, best) <= _standard_error(loss - best))


def _excess(loss: FloatArray, best: FloatArray) -> float:
    return float(loss.mean() - best.mean())


def _standard_error(difference: FloatArray) -> float:
    return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else 0.0


def _fit(candidate: Any, X: pd.DataFrame, y: npt.NDArray[Any]) -> Any:
    with warnings.catch_warnings():
        # A linear model that has not fully converged is a candidate like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(candidate).fit(X, y)


def _folds(y: npt.NDArray[Any], n_folds: int, *, stratified: bool) -> Iterator[BoolArray]:
    """Yield the rows of each fold, shape (n_rows,), dtype bool."""
    number = np.empty(len(y), dtype=np.int64)
    groups: Iterable[IntArray] = (
        (np.flatnonzero(y == label) for label in np.unique(y)) if stratified else [np.arange(len(y))]
    )
    for rows in groups:
        number[rows] = np.arange(len(rows)) * BLOCKS * n_folds // len(rows) % n_folds
    return (number == fold for fold in range(n_folds))


def _usable(y: npt.NDArray[Any], folds: Iterable[BoolArray]) -> Iterator[BoolArray]:
    """Yield the folds that have rows, and without which the target is not constant."""
    return (fold for fold in folds if fold.any() and len(np.unique(y[~fold])) > 1)


def _log_loss(probabilities: FloatArray, classes: list[object], y: npt.NDArray[Any]) -> FloatArray:
    """Return minus the logarithm of the probability of the true class; 0 for a class that the model does not know."""
    position = {label: column for column, label in enumerate(classes)}
    known = np.column_stack([probabilities, np.zeros(len(y))])
    columns = [position.get(label, len(classes)) for label in y.tolist()]
    return -np.log(np.maximum(known[np.arange(len(y)), columns], SMALLEST))


def _squared_error(y: FloatArray, predicted: FloatArray) -> FloatArray:
    return (y - predicted) ** 2


def _absolute_error(y: FloatArray, predicted: FloatArray) -> FloatArray:
    return np.abs(y - predicted)


def _poisson_deviance(y: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return half the unit deviance of the Poisson distribution, without the terms that depend on `y` only."""
    mean = np.maximum(predicted, SMALLEST)
    return mean - y * np.log(mean)


_LOSSES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "poisson": _poisson_deviance,
}
