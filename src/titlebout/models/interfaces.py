"""What the loop asks of a fitted model, wherever that comes from: a folder, or the memory of a backtest."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray


class Fitted(Protocol):
    """A model that answers."""

    @property
    def classes(self) -> tuple[object, ...]:
        """Class labels in the order of the probabilities; empty for regression."""

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        """Return class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,)."""


class Documented(Fitted, Protocol):
    """A model that also says what it was made of."""

    @property
    def kinds(self) -> dict[str, str]:
        """Input columns and their kinds, in order."""

    @property
    def trained_rows(self) -> npt.NDArray[np.uint64]:
        """Hashes of the rows it was trained on, shape (n_rows,)."""
