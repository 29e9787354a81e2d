"""Drift rule: which columns of the current data differ from the reference, and whether the difference persists.

A column has drifted if the difference is significant after correction for all columns (false discovery rate), and larger
than both a floor and the natural variation between windows of the reference. Clustered or autocorrelated rows would make
any test fire, so sample sizes are divided by the design effect (:func:`titlebout.drift.distances.design_effect`), and both
halves of the window must confirm the difference on their own.
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
    MAX_BLOCKS,
    MIN_BLOCKS,
    MIN_WINDOWS,
    SAMPLE,
    Distance,
    Kind,
    NaturalVariation,
    Values,
    design_effect,
    distance,
    natural_variation,
    null_share,
)
from titlebout.settings.drift import DriftSettings

MIN_NULL_DELTA = 0.05  # a smaller change of the share of missing values does not count
MIN_SHOWN_COUNT = 10  # rows; a rarer level could identify a person, so its name is not shown
CONFIRMATION_LEVEL = 0.05  # level of the test of each half, for a column that differs in the whole window
EXTREME_FACTOR = 2  # multiple of the natural variation of the reference
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
        Mean of numbers, or of times (ISO 8601); None for levels and without values.
    levels : dict of str to float or None
        The most frequent levels with their shares; None for numbers.
    """

    missing: float
    mean: float | str | None = None
    levels: dict[str, float] | None = None


class ColumnDrift(Record):
    """Result of the drift rule for one column.

    Attributes
    ----------
    name, kind : str
        Column, and its kind in the reference: number, integer, boolean, text, datetime.
    role : {"input", "target", "prediction", "joint"}
        Role of the column; joint: all inputs together.
    status : {"drift", "suspect", "stable"}
        Drift: differs in the whole window, and each half confirms it. Suspect: differs, but is not confirmed.
    method : str
        Wasserstein for numbers, Jensen-Shannon for levels, or AUC of a classifier.
    effect, threshold : float
        Distance, and the smallest distance that counts as drift.
    p, q : float
        p-value, and its Benjamini-Hochberg correction over all columns.
    null_delta, null_threshold, null_q : float
        Change of the share of missing values, its threshold and its corrected p-value.
    reference, current : ColumnSummary
        Summary of each side.
    importance : float or None
        Share of the champion's permutation importance; None if unknown.
    decides : bool
        False if the importance is below ``drift.min_importance``.
    since : str
        Estimated time of the change (ISO 8601); empty if the column is stable or there is no time column.
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
class _Comparison:
    """Comparison of one column: values and missing values, with their thresholds."""

    found: Distance
    q: float
    null_q: float
    floor: float
    natural_variation: NaturalVariation
    extreme: tuple[bool, bool]

    @property
    def threshold(self) -> float:
        """Smallest effect that counts."""
        return max(self.floor, self.natural_variation.effect)

    @property
    def null_threshold(self) -> float:
        """Smallest change of the share of missing values that counts."""
        return max(MIN_NULL_DELTA, self.natural_variation.null_delta)

    def differs(self, level: float) -> tuple[bool, bool]:
        """Return whether values and missing values differ, significantly and by more than the natural variation."""
        found = self.found
        by_values = (self.q <= level or self.extreme[0]) and found.effect >= self.threshold
        by_gaps = (self.null_q <= level or self.extreme[1]) and abs(found.null_delta) >= self.null_threshold
        return by_values, by_gaps

    def confirms(self) -> tuple[bool, bool]:
        """Return whether one half of the window confirms a difference of values and of missing values."""
        found = self.found
        by_values = (found.p <= CONFIRMATION_LEVEL or self.extreme[0]) and found.effect >= self.floor
        by_gaps = (found.null_p <= CONFIRMATION_LEVEL or self.extreme[1]) and abs(found.null_delta) >= MIN_NULL_DELTA
        return by_values, by_gaps


def compare(columns: Sequence[Pair], settings: DriftSettings, *, in_time: bool) -> list[ColumnDrift]:
    """Apply the rule to the whole window and to each of its halves.

    Parameters
    ----------
    columns : sequence of Pair
        Rows in order of arrival.
    settings : DriftSettings
        Thresholds.
    in_time : bool
        True if the order is one of time; otherwise the rows may be sorted by some column.

    Returns
    -------
    list of ColumnDrift
        One per column, with its status: ``drift`` (differs in the whole window, and each half confirms it), ``suspect``
        (differs in the whole window or, in order of time, in the newer half), ``stable``.
    """
    level = settings.false_discovery_rate
    whole, older, newer = (_compare_part(columns, part, settings, in_time) for part in ((0, 2), (0, 1), (1, 2)))
    found = []
    for column, *parts in zip(columns, whole, older, newer, strict=True):
        differs = parts[0].differs(level)
        confirmed = (all(three) for three in zip(differs, parts[1].confirms(), parts[2].confirms(), strict=True))
        again = in_time and any(parts[2].differs(level))
        status: Status = "drift" if any(confirmed) else "suspect" if any(differs) or again else "stable"
        found.append(_to_record(column, parts[0], status))
    return found


def _compare_part(
    columns: Sequence[Pair], part: tuple[int, int], settings: DriftSettings, in_time: bool
) -> list[_Comparison]:
    """Compare a part of the window, from `part[0]` to `part[1]` in units of half a window, with the reference."""
    floors = {"number": settings.min_effect_numeric, "level": settings.min_effect_categorical}
    rows = [_window_part(one.current, part) for one in columns]
    found = [_column_distance(one, now, in_time) for one, now in zip(columns, rows, strict=True)]
    q = _false_discoveries(np.array([[one.p, one.null_p] for one in found]))
    comparisons = []
    for column, now, one, (value_q, null_q) in zip(columns, rows, found, q.tolist(), strict=True):
        limit = natural_variation(column.method, column.reference, len(now))
        level = settings.false_discovery_rate / (2 * len(columns))
        most = max(1, len(column.reference) // MIN_WINDOWS)
        shown = limit if len(now) <= most else natural_variation(column.method, column.reference, most)
        extreme = _extreme(column, now, one, shown, level, in_time)
        comparisons.append(_Comparison(one, value_q, null_q, floors[column.method], limit, extreme))
    return comparisons


def _extreme(
    column: Pair, now: Values, found: Distance, limit: NaturalVariation, level: float, in_time: bool
) -> tuple[bool, bool]:
    """Return whether values and missing values are far outside the natural variation of the reference.

    This second criterion ignores the design effect of the reference. If all its windows differ, the effective sample size is
    so small that no test can be significant. `limit` is for windows as long as `now`, or for shorter ones if the reference
    has too few of these.
    """
    by_values = found.effect >= EXTREME_FACTOR * limit.effect > 0
    by_gaps = abs(found.null_delta) >= EXTREME_FACTOR * limit.null_delta > 0
    if not (by_values or by_gaps):
        return False, False
    new = _subsample(now)
    own = design_effect(column.method, new, MIN_BLOCKS, in_time=in_time)
    plain = distance(column.method, _subsample(column.reference), new, new=own)
    return by_values and plain.p <= level, by_gaps and plain.null_p <= level


def _false_discoveries(p: Values) -> Values:
    """Return Benjamini-Hochberg q-values; p-values of 1, as without missing values on both sides, are not counted as tests."""
    from scipy.stats import false_discovery_control

    q = np.ones_like(p)
    tested = p < 1
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _window_part(values: Values, part: tuple[int, int]) -> Values:
    return values[part[0] * len(values) // 2 : part[1] * len(values) // 2]


def _column_distance(column: Pair, now: Values, in_time: bool) -> Distance:
    old, new = _subsample(column.reference), _subsample(now)
    blocks = int(np.clip(len(column.reference) // len(now), MIN_BLOCKS, MAX_BLOCKS))
    past = design_effect(column.method, old, blocks, in_time=in_time)
    present = design_effect(column.method, new, MIN_BLOCKS, in_time=in_time)
    return distance(column.method, old, new, past, present.at_least(past))


def _subsample(values: Values) -> Values:
    return values[evenly_spaced(len(values), SAMPLE)]


def _to_record(column: Pair, comparison: _Comparison, status: Status) -> ColumnDrift:
    found = comparison.found
    return ColumnDrift(
        name=column.name,
        role=column.role,
        kind=column.kind,
        status=status,
        method=METHODS[column.method],
        effect=found.effect,
        threshold=comparison.threshold,
        p=found.p,
        q=comparison.q,
        null_delta=found.null_delta,
        null_threshold=comparison.null_threshold,
        null_q=comparison.null_q,
        reference=_summary(column, column.reference),
        current=_summary(column, column.current),
    )


def _summary(column: Pair, values: Values) -> ColumnSummary:
    """Describe one side: share of missing values, and the mean or the most frequent levels with their shares."""
    present = values[np.isfinite(values)]
    missing = null_share(values)
    if column.method == "level":
        counts: npt.NDArray[np.int64] = np.bincount(present.astype(np.int64), minlength=len(column.labels))
        top = [code for code in np.argsort(-counts, kind="stable")[:_SHOWN_LEVELS] if counts[code] >= MIN_SHOWN_COUNT]
        levels = {column.labels[code]: counts[code] / len(present) for code in top}
        return ColumnSummary(missing=missing, levels=levels)
    mean = float(present.mean()) if len(present) else None
    if column.kind == "datetime" and mean is not None:
        time = pd.Timestamp(mean, unit="s", tz="UTC").isoformat(timespec="seconds")
        return ColumnSummary(missing=missing, mean=time)
    return ColumnSummary(missing=missing, mean=mean)
