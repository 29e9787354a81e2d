"""Choose the length of the training window: after concept drift, old rows can hurt; without it, they help.

Each candidate window is fitted on rows before the newest training rows and scored on these. The longest window within
one standard error of the best is chosen (the one-standard-error rule), so that rows are dropped only if that clearly
helps. Holdout rows are not used.
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

MIN_ROWS = 30  # to fit and to score on; with fewer, all rows are used

Losses = Callable[[pd.DataFrame, pd.DataFrame], FloatArray]


@dataclass(frozen=True)
class Window:
    """A training window, with the candidates it was chosen from.

    Attributes
    ----------
    days : int
        Length in days; 0 for all rows.
    tried : tuple of mapping
        Per candidate, longest first: days, rows it was fitted on, mean loss, and se: the standard error of the
        difference of its loss from the smallest one.
    """

    days: int = 0
    tried: tuple[Mapping[str, Any], ...] = ()

    def of(self, rows: pd.DataFrame, time: str) -> pd.DataFrame:
        """Return the rows in the window, which ends at the newest row."""
        return _last_days(rows, time, self.days)


def select_window(rows: pd.DataFrame, params: Params, losses: Losses) -> Window:
    """Choose one of the candidates in ``split.windows``; without candidates, all rows are used and nothing is fitted.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Training rows.
    params : Params
        Names the candidates and the number of days to score on.
    losses : callable
        Fits on its first argument and returns the loss of every row of its second.
    """
    if not params.split.windows:
        return Window()
    time = params.data.time
    newest = _last_days(rows, time, params.split.window_test_days)
    older = rows.drop(index=newest.index)
    if min(len(newest), len(older)) < MIN_ROWS:
        return Window()
    candidates: dict[int, tuple[int, FloatArray]] = {}
    for days in _candidate_days(older, params):
        fitted = _fit_candidate(older, newest, days, time, losses)
        if fitted is not None:
            candidates[days] = fitted
    if not candidates:
        return Window()
    best = min((row_losses for _, row_losses in candidates.values()), key=lambda row_losses: float(row_losses.mean()))
    tried = tuple(_summarize(days, n_rows, row_losses, best) for days, (n_rows, row_losses) in candidates.items())
    # The longest window comes first, so the first within one standard error of the best is the longest one.
    within_one_se = (summary["days"] for summary in tried if summary["loss"] - float(best.mean()) <= summary["se"])
    return Window(int(next(within_one_se)), tried)


def _candidate_days(older: pd.DataFrame, params: Params) -> list[int]:
    """Return the candidates, longest first: 0 for all rows, then those that contain fewer than all rows."""
    shorter = [
        days
        for days in sorted(set(params.split.windows), reverse=True)
        if len(_last_days(older, params.data.time, days)) < len(older)
    ]
    return [0, *shorter]


def _fit_candidate(
    older: pd.DataFrame, newest: pd.DataFrame, days: int, time: str, losses: Losses
) -> tuple[int, FloatArray] | None:
    """Return the number of rows of a candidate, and its loss on the newest rows; None if it cannot be fitted."""
    window = _last_days(older, time, days)
    try:
        return len(window), losses(window, newest)
    except InconclusiveError:  # the window has a single class
        return None


def _summarize(days: int, rows: int, row_losses: FloatArray, best: FloatArray) -> dict[str, Any]:
    se = float((row_losses - best).std(ddof=1) / np.sqrt(len(row_losses)))
    return {"days": days, "rows": rows, "loss": float(row_losses.mean()), "se": se}


def _last_days(rows: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    if not days:
        return rows
    stamps = timestamps(rows, time)
    window: pd.DataFrame = rows[stamps > stamps.max() - pd.Timedelta(days=days)]
    return window
