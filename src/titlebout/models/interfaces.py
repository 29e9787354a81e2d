"""Protocols of fitted models, whether loaded from a folder or held in memory by a backtest."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.models.held_out import HeldOut


class Predictor(Protocol):
    """A fitted model that predicts."""

    @property
    def classes(self) -> tuple[object, ...]:
        """Class labels in the order of the probabilities; empty for regression."""

    @property
    def held_out(self) -> HeldOut:
        """Predictions for its training rows by models that were fitted without them."""

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        """Return class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,)."""


class TracedPredictor(Predictor, Protocol):
    """A fitted model with its input columns and the hashes of its training rows."""

    @property
    def kinds(self) -> dict[str, str]:
        """Input columns and their kinds, in order."""

    @property
    def trained_rows(self) -> npt.NDArray[np.uint64]:
        """Hashes of the rows it was trained on, shape (n_rows,)."""
