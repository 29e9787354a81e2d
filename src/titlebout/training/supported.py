"""Refuse a model that cannot work, by name and with the remedy, before it is fitted.

A model must be storable (:mod:`titlebout.models.trusted`), fit the task, predict one target, predict probabilities if it
classifies, and ask for nothing but inputs and target. What can only be known from the fitted model is left to its ``fit``.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import ConfigError
from titlebout.models import archive
from titlebout.models.own_formats import parts

KINDS = {"classification": "classifier", "regression": "regressor"}


def require_supported(estimator: Any, X: pd.DataFrame, y: npt.NDArray[Any], task: str, package: str) -> None:
    """Check an unfitted estimator.

    Parameters
    ----------
    estimator : object
        What the team's model function returned.
    X : DataFrame of shape (n_rows, n_columns)
        Inputs.
    y : ndarray of shape (n_rows,)
        Labels or values.
    task : {"classification", "regression"}
    package : str
        Import name of the team's code, whose types may be part of the model.

    Raises
    ------
    ConfigError
        If the estimator cannot be used for the task or the data, or a part of it cannot be stored.
    UnsafeError
        If it contains types that are not trusted.
    """
    _require_interface(estimator)
    tags = _tags(estimator)
    if tags is not None:
        _require_task(estimator, tags, task)
        _require_one_target(estimator, tags)
        _require_positive(estimator, tags, X, y)
    _require_no_requests(estimator)
    if task == "classification":
        _require_probabilities(estimator)
        _require_numbered_classes(estimator, y)
    archive.dump(estimator, package, "train.model in params.yaml")


def _require_interface(estimator: Any) -> None:
    final = _final(estimator)
    if final is not estimator and not hasattr(final, "__sklearn_tags__"):
        raise _refusal(
            f"{type(final).__name__} is inside a {type(estimator).__name__}, but not a scikit-learn estimator",
            why="it has no tags (__sklearn_tags__), which scikit-learn asks for when it predicts",
            fix="let the class inherit from ClassifierMixin or RegressorMixin, and from BaseEstimator",
        )


def _tags(estimator: Any) -> Any:
    """Return the tags of a scikit-learn estimator; None for an object that only has its methods."""
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator)
    except (AttributeError, TypeError):
        return None


def _require_task(estimator: Any, tags: Any, task: str) -> None:
    kind = tags.estimator_type
    if kind is not None and kind != KINDS[task]:
        article = "an" if kind == "outlier_detector" else "a"
        raise _refusal(
            f"{_final_name(estimator)} is {article} {kind.replace('_', ' ')}, but the task is {task}",
            why="data.task in params.yaml says which task it is",
            fix=f"return a {KINDS[task]} from the model function, or correct data.task",
        )


def _require_one_target(estimator: Any, tags: Any) -> None:
    if not tags.target_tags.single_output:
        raise _refusal(
            f"{_final_name(estimator)} predicts several targets",
            why="a pipeline has one target, data.target in params.yaml",
            fix="use the estimator for a single target, and one pipeline for each target",
        )


def _require_positive(estimator: Any, tags: Any, X: pd.DataFrame, y: npt.NDArray[Any]) -> None:
    if tags.target_tags.positive_only and (y.astype(np.float64) < 0).any():
        raise _refusal(
            f"{_final_name(estimator)} needs a target without negative values",
            why=f"the smallest value in the training rows is {y.min():g}",
            fix="use a loss for any value, such as the squared error, or correct the target",
        )
    negative = [name for name in X.select_dtypes("number") if (X[name] < 0).any()]
    if tags.input_tags.positive_only and negative:
        raise _refusal(
            f"{type(estimator).__name__} needs inputs without negative values",
            why=f"column {negative[0]!r} has negative values",
            fix="put a transformer such as MinMaxScaler(clip=True) before it, or use another estimator",
        )


def _require_no_requests(estimator: Any) -> None:
    # An estimator that asks for sample weights or groups would be fitted without them.
    for part in parts(estimator):
        requested = getattr(getattr(part, "_metadata_request", None), "fit", None)
        names = [name for name, alias in getattr(requested, "requests", {}).items() if alias not in {None, False}]
        if names:
            raise _refusal(
                f"{type(part).__name__} requests {names[0]} for its fit",
                why="titlebout calls fit(X, y) and passes no weights or groups",
                fix="remove set_fit_request; to weight classes, use class_weight",
            )


def _require_probabilities(estimator: Any) -> None:
    if _predicts_probabilities(estimator):
        return
    final = _final(estimator)
    name = type(final).__name__
    if name == "VotingClassifier":
        remedy = 'use VotingClassifier(..., voting="soft")'
    elif hasattr(final, "decision_function"):
        remedy = f"wrap it: CalibratedClassifierCV({name}(...))"
        remedy += ', or use SGDClassifier(loss="log_loss")' if name == "SGDClassifier" else ""
    else:
        remedy = "use a classifier that has predict_proba, such as LogisticRegression"
    raise _refusal(
        f"{name} predicts no probabilities",
        why="classifiers are compared, calibrated and served by the probability of each class (predict_proba)",
        fix=remedy,
    )


def _require_numbered_classes(estimator: Any, y: npt.NDArray[Any]) -> None:
    name = _final_name(estimator)
    if name in {"XGBClassifier", "XGBRFClassifier"} and set(y.tolist()) != set(range(len(set(y.tolist())))):
        raise _refusal(
            f"{name} needs classes that are numbered from 0",
            why=f"the training rows have: {', '.join(sorted(map(repr, set(y.tolist()))))}",
            fix=f'let scikit-learn number them: VotingClassifier([("xgboost", {name}(...))], voting="soft")',
        )


def _predicts_probabilities(estimator: Any) -> bool:
    final = _final(estimator)
    if type(final).__name__ == "StackingClassifier" and not hasattr(final, "predict_proba"):
        # Before it is fitted, it has only the methods of its final estimator, which is a logistic regression by default.
        return final.final_estimator is None or _predicts_probabilities(final.final_estimator)
    return hasattr(estimator, "predict_proba") or hasattr(final, "predict_proba")


def _final(estimator: Any) -> Any:
    """Return the estimator that predicts: the last step of a pipeline, or what a search searches for."""
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        return _final(estimator.steps[-1][1])
    return _final(estimator.estimator) if isinstance(estimator, BaseSearchCV) else estimator


def _final_name(estimator: Any) -> str:
    return type(_final(estimator)).__name__


def _refusal(what: str, *, why: str, fix: str) -> ConfigError:
    return ConfigError(what, where="train.model in params.yaml", why=why, fix=fix)
