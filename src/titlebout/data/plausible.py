"""Times that are missing or cannot be right, such as a mistyped year: their rows are set aside, so that one does not stop the loop.

A row in the year 2205 would otherwise be the newest row: every later row is too late, and the newest two weeks are this row. What is
far away is measured by the pace of the data itself and never by a clock, so that the same data always gives the same rows.
"""

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray, FloatArray
from titlebout.data.columns import Column, epoch_parts

SHORTEST_PAUSE = 28.0  # days; a shorter pause is never implausible
PACE = 12.0  # a pause is long if it is as many times as long as nearly all pauses of the data
NEARLY_ALL = 0.95
FEWEST_TIMES = 3  # distinct times; with fewer, the pace of the data is unknown
FEW_TIMES = 20  # distinct times; with fewer, the usual pause is known, but not nearly all of them
FEW_ROWS = 0.01  # share of rows, at either end of the data, that can be a mistake
MISSING = (
    0.1  # largest share of rows without a time, or with one time that stands for a missing one, such as 1900-01-01
)
LONGEST_PAUSE = (
    366.0  # days between the tracked and the current data; longer than two times the tracked span is implausible too
)


def implausible_tracked(times: Column, pause_days: float = 0) -> BoolArray:
    """Return which times of tracked data are missing or far from all others.

    Parameters
    ----------
    times : Series of shape (n_rows,)
    pause_days : float
        Longest plausible pause, in days; 0 derives it from the data.

    Returns
    -------
    ndarray of shape (n_rows,), dtype bool
        True for missing times, and for those at the beginning or end that are separated from the rest by a long pause, and
        belong to few rows or are one time that stands for a missing one.
    """
    days = _days(times)
    present = np.sort(days[np.isfinite(days)])
    missing: BoolArray = ~np.isfinite(days)
    limit = pause_days or _long_pause(present)
    if not np.isfinite(limit):
        return missing
    few, most = max(1, int(FEW_ROWS * len(present))), int(MISSING * len(present))
    breaks = np.flatnonzero(np.diff(present) > limit) + 1  # positions of the first row after a long pause
    heads = [at for at in breaks if at <= (most if present[0] == present[at - 1] else few)]
    tails = [at for at in breaks if len(present) - at <= (most if present[at] == present[-1] else few)]
    first = present[heads[-1]] if heads else -np.inf
    last = present[tails[0] - 1] if tails else np.inf
    return missing | (days < first) | (days > last)


def implausible_current(times: Column, tracked: Column, pause_days: float = 0) -> BoolArray:
    """Return which times of current data are missing, too far after the tracked data, or after most of the current data.

    Parameters
    ----------
    times : Series of shape (n_rows,)
        Times of current data.
    tracked : Series of shape (n_tracked,)
        Plausible times of the tracked data.
    pause_days : float
        Longest plausible pause, in days; 0 derives it from the tracked data.
    """
    days, known = _days(times), np.sort(_days(tracked))
    known = known[np.isfinite(known)]
    missing: BoolArray = ~np.isfinite(days)
    limit = pause_days or _long_pause(known)
    if not len(known) or not np.isfinite(limit):
        return missing
    newest, span = known[-1], known[-1] - known[0]
    later = np.sort(days[days > newest])
    pauses = np.diff(later, prepend=newest)
    numbers = np.arange(len(later))
    # After a pause of the whole loop, all rows come later; a few rows after a pause within the rows are a mistake.
    few_after_pause = (pauses > limit) & (len(later) - numbers < numbers)
    impossible = pauses > max(limit, LONGEST_PAUSE, 2 * span)
    cut = np.flatnonzero(few_after_pause | impossible)
    return missing | (days >= later[cut[0]]) if len(cut) else missing


def _days(times: Column) -> FloatArray:
    """Return times as days since 1970; missing ones as NaN."""
    present = times.notna().to_numpy(dtype=bool)
    seconds, _ = epoch_parts(times.where(times.notna(), pd.Timestamp(0, tz="UTC")))
    return np.where(present, seconds / 86_400, np.nan)


def _long_pause(ordered: FloatArray) -> float:
    """Return from how many days on a pause is long; infinite if there are too few times to know."""
    distinct = np.unique(ordered)
    if len(distinct) < FEWEST_TIMES:
        return float("inf")
    if len(distinct) < FEW_TIMES:  # such as a year of months: one of the pauses may be the mistake
        return max(LONGEST_PAUSE, PACE * float(np.quantile(np.diff(distinct), 0.5, method="lower")))
    return max(SHORTEST_PAUSE, PACE * float(np.quantile(np.diff(distinct), NEARLY_ALL)))
