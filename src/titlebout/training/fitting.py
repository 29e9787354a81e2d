"""Fit the team's model on rows of a table, in memory."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import DataError, InconclusiveError
from titlebout.data.columns import column_kind, conform
from titlebout.data.holdout import Split, target_values
from titlebout.data.identity import HashArray
from titlebout.metrics.catalogue import row_losses, validate_predictions
from titlebout.models.artifact import class_labels, predict, select_inputs
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut, hold_out
from titlebout.repository.project import Project
from titlebout.training.supported import require_supported
from titlebout.training.window import Window, select_window


@dataclass(frozen=True)
class FittedModel:
    """A fitted model that is not saved to disk.

    Attributes
    ----------
    project : Project
        Whose code it uses.
    estimator : object
    X : DataFrame of shape (n_rows, n_columns)
        Inputs that it was fitted on.
    rows : DataFrame of shape (n_rows, n_columns)
        The same rows with all their columns.
    trained_rows : ndarray of shape (n_rows,), dtype uint64
        Hashes of these rows.
    window : Window
        Training window.
    held_out : HeldOut
        Predictions for its training rows by models that were fitted without them.
    """

    project: Project
    estimator: Any
    X: pd.DataFrame
    rows: pd.DataFrame
    trained_rows: HashArray
    window: Window
    held_out: HeldOut = NOTHING_HELD_OUT

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Input columns and their kinds, in order."""
        return {name: column_kind(self.rows[name]) for name in self.X.columns}

    @cached_property
    def classes(self) -> tuple[object, ...]:
        """Class labels in the order of the probabilities and as they are in the data; empty for regression."""
        return predicted_classes(self.project, self.estimator, self.rows)

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        """Return class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,)."""
        with self.project.team_code("predicting with the model"):
            return predict(self.estimator, conform(frame, self.kinds), self.project.params.data.task)


def fit_split(project: Project, frame: pd.DataFrame, rows_split: Split) -> FittedModel:
    """Fit the model on the training rows of a split and, with folds, a model for every fold.

    Parameters
    ----------
    project : Project
    frame : DataFrame of shape (n_rows, n_columns)
        All labeled rows.
    rows_split : Split
        Division of these rows.

    Raises
    ------
    InconclusiveError
        If the rows on which a model is fitted have only one class.
    ConfigError
        If the model does not fit the task or the data, or cannot be stored.
    UnsafeError
        If it contains types that are not trusted.
    DataError
        If a held-out prediction is not finite, or no probability: it would count as none, and the row as seen.
    """
    model = _fit_model(project, frame[rows_split.training], rows_split.hashes[rows_split.training])
    no_hashes = np.zeros(0, dtype=np.uint64)  # nothing is evaluated with the models of the folds
    held_out = hold_out(frame, rows_split, model.classes, lambda rows: _fit_model(project, rows, no_hashes))
    problem = (
        validate_predictions(held_out.predictions, len(held_out.rows), model.classes) if rows_split.folds else None
    )
    if problem:
        raise DataError(
            problem,
            where="held-out rows of the folds (params.yaml: split.folds)",
            fix="check the model for overflow and for missing values in its inputs",
        )
    return replace(model, held_out=held_out)


def _fit_model(project: Project, rows: pd.DataFrame, hashes: HashArray) -> FittedModel:
    """Choose the training window among some rows, and fit the model on the rows of the window."""
    window = _choose_window(project, rows)
    used = window.of(rows, project.params.data.time)
    estimator, X = fit_estimator(project, used)
    inside = rows.index.isin(used.index) if len(hashes) else slice(0)
    return FittedModel(project, estimator, X, used, hashes[inside], window)


def _choose_window(project: Project, rows: pd.DataFrame) -> Window:
    """Choose the training window from the candidates of ``split.windows``; see :func:`titlebout.training.window.select_window`."""
    data = project.params.data

    def losses(fit_rows: pd.DataFrame, validation_rows: pd.DataFrame) -> FloatArray:
        estimator, X = fit_estimator(project, fit_rows)
        inputs = select_inputs(validation_rows, data.target, data.drop)[list(X.columns)]
        with project.team_code("predicting with a candidate for the training window"):
            predictions = predict(estimator, inputs, data.task)
        classes = predicted_classes(project, estimator, fit_rows)
        return row_losses(data.task, target_values(validation_rows, project.params), predictions, classes)

    return select_window(rows, project.params, losses)


def fit_estimator(project: Project, rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Fit the model of the user, and return it with its inputs; a model that cannot work is refused before.

    Parameters
    ----------
    project : Project
        Its parameter ``train.model`` names the function that builds the model.
    rows : DataFrame of shape (n_rows, n_columns)
        Labeled training rows.

    Raises
    ------
    InconclusiveError
        If the rows have only one class.
    ConfigError
        If the model does not fit the task or the data, or cannot be stored.
    UnsafeError
        If it contains types that are not trusted.
    """
    data = project.params.data
    y = _target(rows, project)
    if data.task == "classification" and len(set(y)) < 2:
        raise InconclusiveError(
            f"the training rows have only one class: {y[0]}",
            where=f"column {data.target}",
            fix="add rows of a different class",
        )
    X = select_inputs(rows, data.target, data.drop)
    estimator = project.build_model()
    require_supported(estimator, X, y, data.task, project.settings.project.package)
    with project.team_code("fitting the model"):
        return estimator.fit(X, np.asarray(y.tolist())), X


def predicted_classes(project: Project, estimator: Any, rows: pd.DataFrame) -> tuple[object, ...]:
    """Return the class labels of a fitted model, in its order and as they are in the data; empty for regression.

    Parameters
    ----------
    project : Project
    estimator : object
        Fitted.
    rows : DataFrame of shape (n_rows, n_columns)
        Rows that it was fitted on.
    """
    if project.params.data.task == "regression":
        return ()
    with project.team_code("reading the classes of the model"):
        return class_labels(estimator, _target(rows, project).tolist())


def _target(rows: pd.DataFrame, project: Project) -> npt.NDArray[np.object_]:
    """Return the target; whole-number labels are integers, also if a file with gaps has made them floats."""
    y = target_values(rows, project.params)
    if project.params.data.task == "classification" and all(isinstance(label, float) for label in set(y.tolist())):
        whole = all(label.is_integer() for label in set(y.tolist()))
        return y.astype(np.int64).astype(object) if whole else y
    return y
