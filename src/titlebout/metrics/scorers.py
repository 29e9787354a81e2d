"""The metric that a configuration names: one of ours, one of scikit-learn's scorers, or the team's own function."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError
from titlebout.metrics.catalogue import ABSOLUTE_MARGIN, RELATIVE_MARGIN, Metric, built_in
from titlebout.metrics.estimates import Estimate, Truth, of_losses

BLOCKS = 50
# What a scorer is for, only the module of its function tells.
_TASKS = {
    "sklearn.metrics._classification": "classification",
    "sklearn.metrics._ranking": "classification",
    "sklearn.metrics._scorer": "classification",
    "sklearn.metrics._regression": "regression",
}


def find_metric(name: str, task: str) -> Metric:
    """Return the metric of a name.

    Parameters
    ----------
    name : str
        A built-in metric (``log_loss``, ``pinball@0.9``), a scorer of scikit-learn (``balanced_accuracy``), or
        ``module:function``. Such a function takes the true labels or values of shape (n_rows,), the predictions of
        shape (n_rows, n_classes) or (n_rows,), and the class labels; it returns one loss per row, or one number for
        all; smaller is better.
    task : {"classification", "regression"}

    Raises
    ------
    ConfigError
        If there is none of that name, or it is for another task.
    """
    found = built_in(name, task)
    if found is not None:
        return found
    return _own(name) if ":" in name else _scorer(name, task)


def blocked(value_of: Callable[[IntArray], float], rows: int, units: IntArray | None) -> Estimate:
    """Return a metric of which only the value is known, with its values when one block of rows is left out.

    Parameters
    ----------
    value_of : callable
        Takes positions of rows, returns the metric of those rows.
    rows : int
    units : ndarray of shape (n_rows,), dtype int, optional
        Number of the entity of every row; rows of one entity are left out together.
    """
    everything = np.arange(rows)
    block = (everything if units is None else units) % BLOCKS
    value = value_of(everything)
    if not np.isfinite(value):
        return Estimate(float("nan"))
    used = [one for one in range(BLOCKS) if 0 < np.count_nonzero(block == one) < rows]
    return Estimate(value, replicates=np.array([value_of(everything[block != one]) for one in used]))


def _own(name: str) -> Metric:
    module, _, function = name.partition(":")
    try:
        score = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"metric {name!r} cannot be imported",
            where="titlebout.toml: gate",
            why=f"{type(error).__name__}: {error}",
            fix="name it module:function, with the module under src/",
        ) from error

    def asked(labels: Any, predicted: FloatArray, classes: tuple[object, ...]) -> FloatArray:
        try:
            return np.asarray(score(labels, predicted, classes), dtype=np.float64)
        except Exception as error:
            raise ConfigError(
                f"metric {name!r} failed on {len(labels)} rows",
                where="titlebout.toml: gate",
                why=f"{type(error).__name__}: {error}",
                fix="correct the function; it takes labels, predictions and the class labels",
            ) from error

    def estimate(truth: Truth, predicted: FloatArray, units: IntArray | None) -> Estimate:
        labels = truth.labels
        answer = asked(labels, predicted, truth.classes)
        if answer.shape == (len(labels),) and np.isfinite(answer).all():
            return of_losses(answer)
        if answer.shape != ():
            raise ConfigError(
                f"metric {name!r} did not give one number, or one finite number per row",
                where="titlebout.toml: gate",
                why=f"it gave an array of shape {answer.shape} for {len(labels)} rows",
                fix="return the loss of every row, or one number for all; smaller is better",
            )
        return blocked(lambda at: float(asked(labels[at], predicted[at], truth.classes)), len(labels), units)

    return Metric(name, "smaller", estimate, RELATIVE_MARGIN, relative=True)


def _scorer(name: str, task: str) -> Metric:
    from sklearn.metrics import get_scorer, get_scorer_names

    if name not in get_scorer_names():
        close = difflib.get_close_matches(name, [*get_scorer_names(), "log_loss", "brier", "rmse", "mae"], n=1)
        raise ConfigError(
            f"there is no metric {name!r}",
            where="titlebout.toml: gate",
            fix=f"did you mean {close[0]!r}?" if close else "name a scorer of scikit-learn, or module:function",
        )
    scorer = get_scorer(name)
    if _TASKS.get(scorer._score_func.__module__) != task:  # noqa: SLF001 - there is no public way
        raise ConfigError(f"metric {name!r} is not one of a {task}", where="titlebout.toml: gate", fix="name another")

    def estimate(truth: Truth, predicted: FloatArray, units: IntArray | None) -> Estimate:
        answers, y = _Answers(truth, predicted), truth.y
        return blocked(lambda at: _value(scorer, answers, at, y[at]), len(y), units)

    # A loss has a name that starts with neg_ there, and is larger (nearer to zero) when it is better.
    relative = name.startswith("neg_")
    return Metric(name, "larger", estimate, RELATIVE_MARGIN if relative else ABSOLUTE_MARGIN, relative)


def _value(scorer: Any, answers: "_Answers", at: IntArray, y: Any) -> float:
    """Return the score, or NaN where it is not defined (one class only, for example)."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a metric is not defined for these rows; NaN says so
        try:
            return float(scorer(answers, at, y))
        except ValueError:
            return float("nan")


class _Answers:
    """Stands where a scorer expects a fitted estimator; its input is which rows are asked for.

    Its classes are their positions: scorers take 1 for the positive class, and columns for sorted by label.
    """

    def __init__(self, truth: Truth, predicted: FloatArray) -> None:
        self._predicted = predicted
        self.classes_ = np.arange(len(truth.classes)) if truth.classes else None
        self._estimator_type = "classifier" if truth.classes else "regressor"

    def fit(self) -> None:
        """Nothing: scorers only look whether there is such a method."""

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator
        from sklearn.utils import ClassifierTags, RegressorTags

        tags = BaseEstimator().__sklearn_tags__()
        tags.estimator_type = self._estimator_type
        tags.classifier_tags = ClassifierTags() if self.classes_ is not None else None
        tags.regressor_tags = RegressorTags() if self.classes_ is None else None
        return tags

    def predict(self, at: IntArray) -> Any:
        """Return the likeliest class, or the value, of the rows."""
        return self._predicted[at] if self.classes_ is None else self.classes_[self._predicted[at].argmax(axis=1)]

    def predict_proba(self, at: IntArray) -> FloatArray:
        """Return the probabilities of the rows."""
        return self._predicted[at]
