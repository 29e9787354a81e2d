"""What the champion makes of the data: the rows it learned from, how much each column matters to it, what it predicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import InconclusiveError
from titlebout.data.columns import row_hashes
from titlebout.data.holdout import target_values
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair, levels
from titlebout.metrics.catalogue import row_losses
from titlebout.models.interfaces import Predictor, TracedPredictor
from titlebout.settings.params import Params

ROWS = 2_000  # that importance is measured on; every column costs one more prediction of them
PREDICTION = "champion's prediction"

_CERTAIN = 2  # standard errors; a smaller loss from shuffling a column is none


@dataclass(frozen=True)
class Outlook:
    """How the champion looks at the columns.

    Attributes
    ----------
    importance : mapping of str to float
        Share of each column in what the champion loses when a column is shuffled; empty when nothing is known.
    model : Predictor, optional
    fresh : DataFrame
        Tracked rows that it was not trained on: on its own training rows it is more certain than on any others.
    """

    importance: Mapping[str, float] = field(default_factory=dict)
    model: Predictor | None = None
    fresh: pd.DataFrame = field(default_factory=pd.DataFrame)

    def prediction(self, current: pd.DataFrame) -> Pair | None:
        """Return what the champion predicts for rows it was not trained on, and for current ones; None without such rows."""
        if self.model is None or self.fresh.empty:
            return None
        classes = self.model.classes
        old, new = (self.model.predict(side) for side in (self.fresh, current))
        if len(classes) > 2:
            named = (pd.Series(np.array(classes, dtype=object)[side.argmax(axis=1)]) for side in (old, new))
            return levels(PREDICTION, "text", "prediction", *named)
        if classes:
            old, new = old[:, -1], new[:, -1]
        return Pair(PREDICTION, "number", "prediction", "number", old, new)


NOTHING_KNOWN = Outlook()


def trained_on(known: pd.DataFrame, champion: TracedPredictor) -> npt.NDArray[np.bool_]:
    """Say which tracked rows the champion was trained on.

    Raises
    ------
    InconclusiveError
        If there are none: the data was rewritten since.
    """
    trained: npt.NDArray[np.bool_] = np.isin(row_hashes(known), champion.trained_rows)
    if not trained.any():
        raise InconclusiveError(
            "none of the tracked rows is one that the champion was trained on",
            where="data.dvc",
            why="the data was rewritten since it won, or titlebout tells rows apart in another way now",
            fix="train a challenger on the data that is there: `titlebout train && titlebout evaluate && titlebout promote`",
        )
    return trained


def importances(model: TracedPredictor, rows: pd.DataFrame, params: Params) -> dict[str, float]:
    """Return the permutation importance of every column of the data, as shares that sum to 1.

    Parameters
    ----------
    model : TracedPredictor
    rows : DataFrame of shape (n_rows, n_columns)
        Rows that it was trained on, so that what counts is what it looks at; up to 2,000 of those with a label are used.
    params : Params

    Returns
    -------
    dict of str to float
        0 for columns that the model does not look at; empty when no column matters, so that nothing is known.
    """
    known = rows[rows[params.data.target].notna()]
    sample = known.iloc[evenly_spaced(len(known), ROWS)]
    y = target_values(sample, params)
    base = row_losses(params.data.task, y, model.predict(sample), model.classes)
    order = np.random.default_rng(0).permutation(len(sample))
    found = {str(name): 0.0 for name in rows.columns if name != params.data.target}
    for name in model.kinds:
        shuffled = sample.assign(**{name: sample[name].to_numpy()[order]})
        lost = row_losses(params.data.task, y, model.predict(shuffled), model.classes) - base
        certain = lost.mean() > _CERTAIN * lost.std() / np.sqrt(len(lost))
        found[name] = float(lost.mean()) if certain else 0.0
    total = sum(found.values())
    return {name: lost / total for name, lost in found.items()} if total > 0 else {}
