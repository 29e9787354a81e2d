"""Find the metric that the configuration names: built-in, a scikit-learn scorer, or a custom function."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError
from titlebout.metrics.catalogue import ABSOLUTE_MARGIN, PRIMARY, RELATIVE_MARGIN, Metric, built_in_metric
from titlebout.metrics.estimates import Estimate, GroundTruth, mean_loss
from titlebout.metrics.inference import Dependence

BLOCKS = 50
# scikit-learn has no attribute for the task of a scorer; only the module of its score function shows it.
_TASKS = {
    "sklearn.metrics._classification": "classification",
    "sklearn.metrics._ranking": "classification",
    "sklearn.metrics._scorer": "classification",
    "sklearn.metrics._regression": "regression",
}


def find_metric(name: str, task: str) -> Metric:
    """Return a metric by name.

    Parameters
    ----------
    name : str
        A built-in metric (``log_loss``, ``pinball@0.9``), a scikit-learn scorer (``balanced_accuracy``), or
        ``module:function``. Such a function takes the true labels or values of shape (n_rows,), the predictions of
        shape (n_rows, n_classes) or (n_rows,), and the class labels; it returns one loss per row, or one number for
        all rows; smaller is better.
    task : {"classification", "regression"}
        Task that the metric must be for.

    Raises
    ------
    ConfigError
        If the metric does not exist, or is for the other task.
    """
    metric = built_in_metric(name, task)
    if metric is not None:
        return metric
    return _custom_metric(name) if ":" in name else _scorer(name, task)


def jackknife(value_of: Callable[[IntArray], float], rows: int, dependence: Dependence) -> Estimate:
    """Return the estimate of a metric without known influences, with delete-a-group jackknife replicates.

    Parameters
    ----------
    value_of : callable
        Takes positions of rows, returns the metric on those rows.
    rows : int
        Number of rows.
    dependence : Dependence
        Rows of one entity are left out together, and so are rows that follow each other in time.
    """
    all_rows = np.arange(rows)
    value = value_of(all_rows)
    if not np.isfinite(value):
        return Estimate(float("nan"))

    def replicates(block_numbers: IntArray) -> FloatArray:
        blocks = [number for number in range(BLOCKS) if 0 < np.count_nonzero(block_numbers == number) < rows]
        return np.array([value_of(all_rows[block_numbers != number]) for number in blocks])

    in_time = None if dependence.times is None else replicates(_stretches(dependence.times))
    if dependence.units is None and in_time is not None:
        return Estimate(value, replicates_in_time=in_time)
    units = all_rows if dependence.units is None else dependence.units
    return Estimate(value, replicates=replicates(units % BLOCKS), replicates_in_time=in_time)


def _stretches(times: IntArray | FloatArray) -> IntArray:
    """Return the number of its stretch of time for every row: about equal numbers of rows, equal times together."""
    _, position, counts = np.unique(times, return_inverse=True, return_counts=True)
    stretches: IntArray = ((np.cumsum(counts) - counts) * BLOCKS // len(times))[position]
    return stretches


def _custom_metric(name: str) -> Metric:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"metric {name!r} cannot be imported",
            where="titlebout.toml: gate",
            why=f"{type(error).__name__}: {error}",
            fix="write module:function, with the module under src/",
        ) from error

    def call_metric(labels: Any, predicted: FloatArray, classes: tuple[object, ...]) -> FloatArray:
        try:
            return np.asarray(function(labels, predicted, classes), dtype=np.float64)
        except Exception as error:
            raise ConfigError(
                f"the function of metric {name!r} raised an error when it was called with {len(labels)} rows",
                where="titlebout.toml: gate",
                why=f"{type(error).__name__}: {error}",
                fix="correct the function; its arguments are the true values, the predictions and the list of classes",
            ) from error

    def estimate(truth: GroundTruth, predicted: FloatArray, dependence: Dependence) -> Estimate:
        labels = truth.labels
        result = call_metric(labels, predicted, truth.classes)
        if result.shape == (len(labels),) and np.isfinite(result).all():
            return mean_loss(result)
        if result.shape != ():
            finite = "" if np.isfinite(result).all() else ", with values that are not finite"
            raise ConfigError(
                f"metric {name!r} must return one number, or one finite number per row",
                where="titlebout.toml: gate",
                why=f"it returned an array of shape {result.shape} for {len(labels)} rows{finite}",
                fix="return the loss of every row, or one number for all rows; smaller is better",
            )
        return jackknife(
            lambda rows: float(call_metric(labels[rows], predicted[rows], truth.classes)), len(labels), dependence
        )

    return Metric(name, "smaller", estimate, RELATIVE_MARGIN, relative=True)


def _scorer(name: str, task: str) -> Metric:
    from sklearn.metrics import get_scorer, get_scorer_names

    if name not in get_scorer_names():
        suggestions = difflib.get_close_matches(name, [*get_scorer_names(), "log_loss", "brier", "rmse", "mae"], n=1)
        raise ConfigError(
            f"unknown metric {name!r}",
            where="titlebout.toml: gate",
            fix=f"did you mean {suggestions[0]!r}?" if suggestions else "use a scikit-learn scorer, or module:function",
        )
    scorer = get_scorer(name)
    if _TASKS.get(scorer._score_func.__module__) != task:  # noqa: SLF001 - scikit-learn has no public attribute for it
        raise ConfigError(
            f"metric {name!r} is not a {task} metric",
            where="titlebout.toml: gate",
            fix=f"use a {task} metric, for example {PRIMARY[task]}, or a function of your own (module:function)",
        )

    def estimate(truth: GroundTruth, predicted: FloatArray, dependence: Dependence) -> Estimate:
        predictor, y = _PredictionStub(truth, predicted), truth.y
        return jackknife(lambda rows: _value(scorer, predictor, rows, y[rows]), len(y), dependence)

    # scikit-learn negates losses and prefixes their names with neg_, so larger (closer to zero) is better.
    relative = name.startswith("neg_")
    return Metric(name, "larger", estimate, RELATIVE_MARGIN if relative else ABSOLUTE_MARGIN, relative)


def _value(scorer: Any, predictor: "_PredictionStub", rows: IntArray, y: Any) -> float:
    """Return the score, or NaN if it is undefined, for example with a single class."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about undefined metrics; here NaN marks them
        try:
            return float(scorer(predictor, rows, y))
        except ValueError:
            return float("nan")


class _PredictionStub:
    """Estimator for scorers that returns stored predictions; its input is the positions of the rows.

    Scorers call ``predict`` or ``predict_proba`` of a fitted estimator; with this one, a block of rows can be left out
    without predicting again. Classes are encoded as positions, because scorers take 1 for the positive class and expect
    columns sorted by label.
    """

    def __init__(self, truth: GroundTruth, predicted: FloatArray) -> None:
        self._predicted = predicted
        self.classes_ = np.arange(len(truth.classes)) if truth.classes else None
        self._estimator_type = "classifier" if truth.classes else "regressor"

    def fit(self) -> None:
        """Do nothing; scorers only check that the method exists."""

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator
        from sklearn.utils import ClassifierTags, RegressorTags

        tags = BaseEstimator().__sklearn_tags__()
        tags.estimator_type = self._estimator_type
        tags.classifier_tags = ClassifierTags() if self.classes_ is not None else None
        tags.regressor_tags = RegressorTags() if self.classes_ is None else None
        return tags

    def predict(self, rows: IntArray) -> Any:
        """Return the most probable class, or the value, of the rows."""
        return self._predicted[rows] if self.classes_ is None else self.classes_[self._predicted[rows].argmax(axis=1)]

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Return the probabilities of the rows."""
        return self._predicted[rows]
