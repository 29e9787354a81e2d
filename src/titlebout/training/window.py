"""How far back to learn from: after a change of the world old rows teach the wrong thing, without one they are worth having.

Each candidate is fitted on what came before the newest training rows and asked about these. The longest that is within
one standard error of the best is taken, so that rows are dropped for a reason only. Holdout rows have no part in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import InconclusiveError
from titlebout.data.columns import timestamps
from titlebout.settings.params import Params

MIN_ROWS = 30  # to compare on; with fewer the question is not asked

Losses = Callable[[pd.DataFrame, pd.DataFrame], FloatArray]


@dataclass(frozen=True)
class Window:
    """The training rows that are used.

    Attributes
    ----------
    days : int
        How far back they reach; 0: all.
    tried : tuple of mapping
        Per candidate, the longest first: days, rows it was fitted on, mean loss, and se: the standard error of what it
        loses more than the best.
    """

    days: int = 0
    tried: tuple[Mapping[str, Any], ...] = ()

    def of(self, rows: pd.DataFrame, time: str) -> pd.DataFrame:
        """Return the rows in the window, which ends at the newest of them."""
        return _last(rows, time, self.days)


def choose(rows: pd.DataFrame, params: Params, losses: Losses) -> Window:
    """Choose among the candidates of ``split.windows``; without any, all rows are used and nothing is fitted.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Training rows.
    params : Params
    losses : callable
        Fits on its first argument and returns the loss of every row of its second.
    """
    if not params.split.windows:
        return Window()
    time = params.data.time
    newest = _last(rows, time, params.split.window_test_days)
    before = rows.drop(index=newest.index)
    if min(len(newest), len(before)) < MIN_ROWS:
        return Window()
    found = {days: found for days in _lengths(before, params) if (found := _losses(before, newest, days, time, losses))}
    if not found:
        return Window()
    best = min((lost for _, lost in found.values()), key=lambda lost: float(lost.mean()))
    tried = tuple(_told(days, fitted, lost, best) for days, (fitted, lost) in found.items())
    good = (one["days"] for one in tried if one["loss"] - float(best.mean()) <= one["se"])
    return Window(int(next(good)), tried)


def _lengths(before: pd.DataFrame, params: Params) -> list[int]:
    """Return the candidates, the longest first; one that holds all rows is the same as all."""
    shorter = [
        days
        for days in sorted(set(params.split.windows), reverse=True)
        if len(_last(before, params.data.time, days)) < len(before)
    ]
    return [0, *shorter]


def _losses(
    before: pd.DataFrame, newest: pd.DataFrame, days: int, time: str, losses: Losses
) -> tuple[int, FloatArray] | None:
    """Return on how many rows a candidate was fitted, and what it loses; None when there is too little in it."""
    kept = _last(before, time, days)
    try:
        return len(kept), losses(kept, newest)
    except InconclusiveError:  # one class only
        return None


def _told(days: int, rows: int, lost: FloatArray, best: FloatArray) -> dict[str, Any]:
    se = float((lost - best).std(ddof=1) / np.sqrt(len(lost)))
    return {"days": days, "rows": rows, "loss": float(lost.mean()), "se": se}


def _last(rows: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    if not days:
        return rows
    stamps = timestamps(rows, time)
    kept: pd.DataFrame = rows[stamps > stamps.max() - pd.Timedelta(days=days)]
    return kept
