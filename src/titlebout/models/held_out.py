"""Cross-fitting: predictions for training rows, by models that were fitted without them.

A model that is fitted on all rows cannot be scored on any of them. So the rows of the holdout are divided into folds, and each
fold is predicted by a model that was fitted without it, by the same code. These predictions stand for those of the model in
every evaluation (Stone 1974, Cross-validatory choice and assessment of statistical predictions). The model itself has seen
more rows than any of those that are scored, so its own score is at least as good on average, and unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray, FloatArray
from titlebout.data.holdout import Split
from titlebout.data.identity import HashArray

if TYPE_CHECKING:
    from titlebout.models.interfaces import Predictor


def _no_hashes() -> HashArray:
    return np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True)
class HeldOut:
    """Predictions for training rows by models that were fitted without them; none unless the split has folds.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), dtype uint64
        Row hashes, each once.
    predictions : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities in the order of the classes of the model, or values.
    """

    rows: HashArray = field(default_factory=_no_hashes)
    predictions: FloatArray = field(default_factory=lambda: np.zeros(0))

    def contains(self, hashes: HashArray) -> BoolArray:
        """Return which rows have such a prediction, shape (n_rows,)."""
        found: BoolArray = np.isin(hashes, self.rows)
        return found

    def seen(self, trained: HashArray) -> HashArray:
        """Return the training rows that have no such prediction; on these the model cannot be evaluated."""
        return trained[~self.contains(trained)]

    def replace_in(self, predictions: FloatArray, hashes: HashArray) -> FloatArray:
        """Return predictions of the model with those for its training rows replaced.

        Parameters
        ----------
        predictions : ndarray of shape (n_rows, n_classes) or (n_rows,)
            Of the model that was fitted on all rows.
        hashes : ndarray of shape (n_rows,), dtype uint64
            Hashes of the rows.
        """
        if not len(self.rows):
            return predictions
        replaced, known, order = predictions.copy(), self.contains(hashes), np.argsort(self.rows)
        stored = self.predictions.reshape(len(self.rows), *predictions.shape[1:])
        replaced[known] = stored[order[np.searchsorted(self.rows, hashes[known], sorter=order)]]
        return replaced


NOTHING_HELD_OUT = HeldOut()


def predict_unseen(model: "Predictor", frame: pd.DataFrame, hashes: HashArray) -> FloatArray:
    """Return predictions for rows none of which the predicting model was fitted on.

    Parameters
    ----------
    model : Predictor
        It was fitted on no row without a held-out prediction.
    frame : DataFrame of shape (n_rows, n_columns)
    hashes : ndarray of shape (n_rows,), dtype uint64
        Hashes of the rows among all rows of the data.
    """
    return model.held_out.replace_in(model.predict(frame), hashes)


def hold_out(
    frame: pd.DataFrame,
    rows_split: Split,
    classes: tuple[object, ...],
    fit: Callable[[pd.DataFrame], "Predictor"],
) -> HeldOut:
    """Fit a model for every fold, and return the predictions for its rows; nothing for a split without folds.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        All labeled rows.
    rows_split : Split
        Division of these rows.
    classes : tuple
        Classes of the model that is fitted on all rows, a class of which may be unknown to the model of a fold.
    fit : callable
        Fits a model on some of the rows.
    """
    rows, predictions = [], []
    for fold in rows_split.folds:
        model = fit(frame[fold.fitted])
        rows.append(rows_split.hashes[fold.held_out])
        predictions.append(_in_order(model.predict(frame[fold.held_out]), model.classes, classes))
    return HeldOut(np.concatenate(rows), np.concatenate(predictions)) if rows else NOTHING_HELD_OUT


def _in_order(predicted: FloatArray, own: tuple[object, ...], classes: tuple[object, ...]) -> FloatArray:
    """Return probabilities in the order of the classes; those unknown to the model get probability 0."""
    if own == classes:
        return predicted
    ordered = np.zeros((len(predicted), len(classes)))
    ordered[:, [classes.index(label) for label in own]] = predicted
    return ordered
