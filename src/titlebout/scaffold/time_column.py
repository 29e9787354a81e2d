"""Choose the column whose times order the rows: by what it does, not by its name or position."""

import numpy as np
import pandas as pd

from titlebout.core.results import Record
from titlebout.data.columns import column_kind, epoch_parts
from titlebout.data.plausible import MISSING, implausible_tracked

ADVANCES = 0.9  # rank correlation with the order of the rows, from which on a column advances with them
_BINS = 20


class TimeCandidate(Record):
    """A column of times that could order the rows.

    Attributes
    ----------
    name : str
        Name of the column.
    order : float
        Rank correlation of its times with the order of the rows, between 0 and 1; a file with the newest rows first counts as one
        with the oldest first.
    coverage : float
        Share of equally long parts of its period in which there are rows.
    distinct : float
        Number of distinct times per row.
    is_complete : bool
        Whether every row has a time; those without one are set aside.
    """

    name: str
    order: float
    coverage: float
    distinct: float
    is_complete: bool = True

    @property
    def advances(self) -> bool:
        """Whether its times advance with the rows."""
        return self.order >= ADVANCES

    @property
    def rank(self) -> tuple[bool, bool, float, float]:
        """What decides between candidates; the largest is the best."""
        return self.advances, self.coverage > 1 / 2, round(self.order, 1), self.distinct


def time_candidates(frame: pd.DataFrame, target: str) -> tuple[TimeCandidate, ...]:
    """Return the columns that could order the rows, the best first.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    target : str
        Column that is never a candidate.

    Returns
    -------
    tuple of TimeCandidate
        One with gaps only if no complete one advances with the rows.
    """
    names = [
        str(name)
        for name in frame.columns
        if name != target and column_kind(frame[name]) == "datetime" and frame[name].isna().mean() <= MISSING
    ]
    found = [_candidate(name, frame) for name in names if frame[name].nunique() > 1]
    if any(one.is_complete and one.advances for one in found):
        found = [one for one in found if one.is_complete]
    return tuple(sorted(found, key=lambda one: one.rank, reverse=True))


def _candidate(name: str, frame: pd.DataFrame) -> TimeCandidate:
    times = frame.loc[~implausible_tracked(frame[name]), name]
    seconds, rest = epoch_parts(times)
    values = seconds + rest / 1e9
    ranks = pd.Series(values).rank().to_numpy()
    order = abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])) if np.ptp(ranks) else 0.0
    filled = np.histogram(values, bins=_BINS)[0] > 0
    return TimeCandidate(
        name=name,
        order=order,
        coverage=float(filled.mean()),
        distinct=float(times.nunique() / len(times)),
        is_complete=bool(frame[name].notna().all()),
    )
