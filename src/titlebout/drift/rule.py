"""The drift rule: which columns of what arrived differ from the reference, and whether they go on doing so.

A column has drifted when the difference is significant among all columns tested (false discovery rate) and large: larger
than a floor, and larger than between the windows of the reference itself. Rows that come in groups, or depend on those
before, make any test fire; so rows count as no more than they are worth (:func:`titlebout.drift.distances.clumping`), and a
column has drifted only when both halves of the window, each on its own, confirm it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.results import Record
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import (
    LEAST_BLOCKS,
    LEAST_WINDOWS,
    MOST_BLOCKS,
    SAMPLE,
    Distance,
    Kind,
    Usual,
    Values,
    clumping,
    distance,
    null_share,
    usual,
)
from titlebout.settings.drift import DriftSettings

MIN_NULL_DELTA = 0.05  # a smaller change of the share of missing values does not count
LEAST_SHOWN = 10  # rows; a level that is rarer could be one person, so it is not named
CONFIRMING = 0.05  # p of each half, for a column that differs in the whole window
FAR = 2  # times what is usual between windows of the reference
METHODS: dict[Kind, str] = {"number": "Wasserstein", "level": "Jensen-Shannon"}

_SHOWN_LEVELS = 3

Status = Literal["drift", "suspect", "stable"]


class ColumnSummary(Record):
    """One side of a column.

    Attributes
    ----------
    missing : float
        Share of missing values.
    mean : float or str or None
        Of numbers, or of times (ISO 8601); None of levels and without a value.
    levels : dict of str to float or None
        The most frequent levels with their shares; None of numbers.
    """

    missing: float
    mean: float | str | None = None
    levels: dict[str, float] | None = None


class ColumnDrift(Record):
    """What the rule says about one column.

    Attributes
    ----------
    name, kind : str
        Column, and its kind in the reference: number, integer, boolean, text, datetime.
    role : {"input", "target", "prediction", "joint"}
        What the column is for; joint: all columns together.
    status : {"drift", "suspect", "stable"}
        Drift: differs in the whole window, and each half confirms it.
    method : str
        Wasserstein for numbers, Jensen-Shannon for levels, or AUC of a classifier.
    effect, threshold : float
        The distance, and from where on it counts.
    p, q : float
        p-value, and the same after Benjamini-Hochberg over all columns.
    null_delta, null_threshold, null_q : float
        The same for the share of missing values.
    reference, current : ColumnSummary
        Each side.
    importance : float or None
        Share in the champion's permutation importance; None when it is unknown.
    decides : bool
        False when the importance is too small to count.
    since : str
        From which time on the column looks changed (ISO 8601); empty when it is stable or without a time column.
    """

    name: str
    role: Literal["input", "target", "prediction", "joint"]
    kind: str
    status: Status
    method: str
    effect: float
    threshold: float
    p: float
    q: float
    null_delta: float
    null_threshold: float
    null_q: float
    reference: ColumnSummary
    current: ColumnSummary
    importance: float | None = None
    decides: bool = True
    since: str = ""


@dataclass(frozen=True)
class _Judged:
    """What one comparison says about one column: its values and its gaps, each with what counts."""

    found: Distance
    q: float
    null_q: float
    floor: float
    usual: Usual
    far: tuple[bool, bool]

    @property
    def threshold(self) -> float:
        """Smallest effect that counts."""
        return max(self.floor, self.usual.effect)

    @property
    def null_threshold(self) -> float:
        """Smallest change of the share of missing values that counts."""
        return max(MIN_NULL_DELTA, self.usual.null_delta)

    def differs(self, level: float) -> tuple[bool, bool]:
        """Return whether values and gaps differ, significantly among all columns and by more than is usual."""
        found = self.found
        by_values = (self.q <= level or self.far[0]) and found.effect >= self.threshold
        by_gaps = (self.null_q <= level or self.far[1]) and abs(found.null_delta) >= self.null_threshold
        return by_values, by_gaps

    def confirms(self) -> tuple[bool, bool]:
        """Return whether values and gaps differ, for one column that is asked again."""
        found = self.found
        by_values = (found.p <= CONFIRMING or self.far[0]) and found.effect >= self.floor
        by_gaps = (found.null_p <= CONFIRMING or self.far[1]) and abs(found.null_delta) >= MIN_NULL_DELTA
        return by_values, by_gaps


def compare(columns: Sequence[Pair], settings: DriftSettings, *, in_time: bool) -> list[ColumnDrift]:
    """Apply the rule to the whole window, and ask each of its halves again.

    Parameters
    ----------
    columns : sequence of Pair
        Rows in the order in which they came.
    settings : DriftSettings
    in_time : bool
        True when that order is one of time; else it may be one that somebody sorted by.

    Returns
    -------
    list of ColumnDrift
        One per column, with its status: ``drift`` (differs in the whole, and each half confirms it), ``suspect``
        (differs in the whole or, in order of time, in the newer half), ``stable``.
    """
    level = settings.false_discovery_rate
    whole, older, newer = (_judge(columns, part, settings, in_time) for part in ((0, 2), (0, 1), (1, 2)))
    found = []
    for column, *judged in zip(columns, whole, older, newer, strict=True):
        differs = judged[0].differs(level)
        confirmed = (all(three) for three in zip(differs, judged[1].confirms(), judged[2].confirms(), strict=True))
        again = in_time and any(judged[2].differs(level))
        status: Status = "drift" if any(confirmed) else "suspect" if any(differs) or again else "stable"
        found.append(_record(column, judged[0], status))
    return found


def _judge(columns: Sequence[Pair], part: tuple[int, int], settings: DriftSettings, in_time: bool) -> list[_Judged]:
    """Compare one part of the window, from `part[0]` halves to `part[1]` halves, with the reference."""
    floors = {"number": settings.min_effect_numeric, "level": settings.min_effect_categorical}
    rows = [_part(one.current, part) for one in columns]
    found = [_distance(one, now, in_time) for one, now in zip(columns, rows, strict=True)]
    q = _false_discoveries(np.array([[one.p, one.null_p] for one in found]))
    judged = []
    for column, now, one, (value_q, null_q) in zip(columns, rows, found, q.tolist(), strict=True):
        limit = usual(column.method, column.reference, len(now))
        level = settings.false_discovery_rate / (2 * len(columns))
        most = max(1, len(column.reference) // LEAST_WINDOWS)
        shown = limit if len(now) <= most else usual(column.method, column.reference, most)
        far = _far(column, now, one, shown, level, in_time)
        judged.append(_Judged(one, value_q, null_q, floors[column.method], limit, far))
    return judged


def _far(column: Pair, now: Values, found: Distance, limit: Usual, level: float, in_time: bool) -> tuple[bool, bool]:
    """Return whether values and gaps are far from anything that windows of the reference show, whatever its rows are worth.

    Where every window of the reference differs, no test on as few rows as those are worth can ever be significant.
    `limit` is of windows as long as `now`, or of shorter ones where the reference has too few of these.
    """
    by_values = found.effect >= FAR * limit.effect > 0
    by_gaps = abs(found.null_delta) >= FAR * limit.null_delta > 0
    if not (by_values or by_gaps):
        return False, False
    new = _sample(now)
    own = clumping(column.method, new, LEAST_BLOCKS, in_time=in_time)
    plain = distance(column.method, _sample(column.reference), new, new=own)
    return by_values and plain.p <= level, by_gaps and plain.null_p <= level


def _false_discoveries(p: Values) -> Values:
    """Return q-values (Benjamini-Hochberg); what cannot differ at all, as gaps where there are none, is no test."""
    from scipy.stats import false_discovery_control

    q = np.ones_like(p)
    tested = p < 1
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _part(values: Values, part: tuple[int, int]) -> Values:
    return values[part[0] * len(values) // 2 : part[1] * len(values) // 2]


def _distance(column: Pair, now: Values, in_time: bool) -> Distance:
    old, new = _sample(column.reference), _sample(now)
    blocks = int(np.clip(len(column.reference) // len(now), LEAST_BLOCKS, MOST_BLOCKS))
    past = clumping(column.method, old, blocks, in_time=in_time)
    present = clumping(column.method, new, LEAST_BLOCKS, in_time=in_time)
    return distance(column.method, old, new, past, present.at_least(past))


def _sample(values: Values) -> Values:
    return values[evenly_spaced(len(values), SAMPLE)]


def _record(column: Pair, judged: _Judged, status: Status) -> ColumnDrift:
    found = judged.found
    return ColumnDrift(
        name=column.name,
        role=column.role,
        kind=column.kind,
        status=status,
        method=METHODS[column.method],
        effect=found.effect,
        threshold=judged.threshold,
        p=found.p,
        q=judged.q,
        null_delta=found.null_delta,
        null_threshold=judged.null_threshold,
        null_q=judged.null_q,
        reference=_summary(column, column.reference),
        current=_summary(column, column.current),
    )


def _summary(column: Pair, values: Values) -> ColumnSummary:
    """Describe one side: share of missing values, and the mean or the most frequent levels with their shares."""
    present = values[np.isfinite(values)]
    missing = null_share(values)
    if column.method == "level":
        counts: npt.NDArray[np.int64] = np.bincount(present.astype(np.int64), minlength=len(column.labels))
        top = [code for code in np.argsort(-counts, kind="stable")[:_SHOWN_LEVELS] if counts[code] >= LEAST_SHOWN]
        levels = {column.labels[code]: counts[code] / len(present) for code in top}
        return ColumnSummary(missing=missing, levels=levels)
    mean = float(present.mean()) if len(present) else None
    if column.kind == "datetime" and mean is not None:
        time = pd.Timestamp(mean, unit="s", tz="UTC").isoformat(timespec="seconds")
        return ColumnSummary(missing=missing, mean=time)
    return ColumnSummary(missing=missing, mean=mean)
