"""Context from the champion: its training rows, the permutation importance of each column, its predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import InconclusiveError
from titlebout.data.holdout import target_values
from titlebout.data.identity import identity_hashes
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair, levels
from titlebout.metrics.catalogue import row_losses
from titlebout.models.held_out import predict_unseen
from titlebout.models.interfaces import Predictor, TracedPredictor
from titlebout.settings.params import Params

ROWS = 2_000  # used to measure importance; each column costs one more prediction of all of them
PREDICTION = "champion's prediction"

_CERTAIN = 2  # standard errors; a smaller loss increase counts as zero


@dataclass(frozen=True)
class ChampionContext:
    """What drift uses of the champion.

    Attributes
    ----------
    importance : mapping of str to float
        Permutation importance of each column as a share of the total; empty when unknown.
    model : Predictor, optional
        The champion.
    unseen : DataFrame
        Tracked rows outside its training data, or with held-out predictions. Predictions on training rows would be
        overconfident and look like drift.
    """

    importance: Mapping[str, float] = field(default_factory=dict)
    model: Predictor | None = None
    unseen: pd.DataFrame = field(default_factory=pd.DataFrame)

    def prediction(self, current: pd.DataFrame) -> Pair | None:
        """Return the predictions for rows outside the training data and for current rows; None without such rows."""
        if self.model is None or self.unseen.empty:
            return None
        classes = self.model.classes
        old = predict_unseen(self.model, self.unseen, identity_hashes(self.unseen))
        new = self.model.predict(current)
        if len(classes) > 2:
            named = (pd.Series(np.array(classes, dtype=object)[side.argmax(axis=1)]) for side in (old, new))
            return levels(PREDICTION, "text", "prediction", *named)
        if classes:
            old, new = old[:, -1], new[:, -1]
        return Pair(PREDICTION, "number", "prediction", "number", old, new)


NO_CHAMPION = ChampionContext()


def trained_rows_mask(known: pd.DataFrame, champion: TracedPredictor) -> npt.NDArray[np.bool_]:
    """Return which tracked rows the champion was trained on.

    Raises
    ------
    InconclusiveError
        If there are none, because the data was rewritten since.
    """
    trained: npt.NDArray[np.bool_] = np.isin(identity_hashes(known), champion.trained_rows)
    if not trained.any():
        raise InconclusiveError(
            "none of the rows that the champion was trained on is in the tracked data",
            where="data.dvc",
            why="the data was rewritten after the training, or this version of titlebout computes row hashes differently",
            fix="train a challenger on the tracked data: `titlebout train && titlebout evaluate && titlebout promote`",
        )
    return trained


def permutation_importance(model: TracedPredictor, rows: pd.DataFrame, params: Params) -> dict[str, float]:
    """Return the permutation importance of every column of the data, as shares that sum to 1.

    Parameters
    ----------
    model : TracedPredictor
        Model to explain.
    rows : DataFrame of shape (n_rows, n_columns)
        Its training rows, because the question is which columns the model uses; at most 2,000 labeled rows are used.
    params : Params
        Task and target.

    Returns
    -------
    dict of str to float
        0 for columns that the model does not use; empty if no column matters.
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
