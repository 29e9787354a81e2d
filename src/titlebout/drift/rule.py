"""Drift rule: which columns of the current data differ from the reference, and whether the difference persists.

A column has drifted if the difference is significant after correction for all columns (false discovery rate), and larger
than both a floor and the natural variation between windows of the reference. Clustered or autocorrelated rows would make
any test fire, so sample sizes are divided by the design effect (:func:`titlebout.drift.distances.design_effect`), and both
halves of the window must confirm the difference on their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.results import Record
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair
from titlebout.drift.aspects import NEW_LEVELS, aspects
from titlebout.drift.distances import (
    MAX_BLOCKS,
    MIN_BLOCKS,
    MIN_WINDOWS,
    SAMPLE,
    Counts,
    DesignEffect,
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
MIN_FIRST_NULLS = 0.01  # the same for a column without missing values in the reference
MIN_SHOWN_COUNT = 10  # rows; a rarer level could identify a person, so its name is not shown
CONFIRMATION_LEVEL = 0.05  # level of the test of each half, for a column that differs in the whole window
EXTREME_FACTOR = 2  # multiple of the natural variation of the reference
METHODS: dict[Kind, str] = {"number": "Wasserstein", "level": "Jensen-Shannon"}

_SHOWN_LEVELS = 3

AnyArray = TypeVar("AnyArray", Values, Counts)

Status = Literal["drift", "suspect", "stable"]
STATUSES: tuple[Status, ...] = ("drift", "suspect", "stable")  # worst first


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


class AspectDrift(Record):
    """Result of the drift rule for one aspect of a column, which is compared apart.

    Attributes
    ----------
    name : {"levels not seen before", "most frequent value", "other values"}
        Rows with a level that no earlier row has; rows with the most frequent number; all other numbers.
    status : {"drift", "suspect", "stable"}
        As that of a column.
    method : str
        Wasserstein for numbers, Jensen-Shannon for levels.
    effect, threshold : float
        Distance, and the smallest distance that counts as drift.
    p, q : float
        p-value, and its Benjamini-Hochberg correction over all columns and aspects.
    reference, current : ColumnSummary
        Summary of each side.
    """

    name: str
    status: Status
    method: str
    effect: float
    threshold: float
    p: float
    q: float
    reference: ColumnSummary
    current: ColumnSummary


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
    aspects : tuple of AspectDrift
        Aspects of the column that are compared apart; the status of the column is the worst of its own and theirs.
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
    aspects: tuple[AspectDrift, ...] = ()


@dataclass(frozen=True)
class _Comparison:
    """Comparison of one column: values and missing values, with their thresholds."""

    found: Distance
    q: float
    null_q: float
    floor: float
    null_floor: float
    natural_variation: NaturalVariation
    extreme: tuple[bool, bool]

    @property
    def threshold(self) -> float:
        """Smallest effect that counts."""
        return max(self.floor, self.natural_variation.effect)

    @property
    def null_threshold(self) -> float:
        """Smallest change of the share of missing values that counts."""
        return max(self.null_floor, self.natural_variation.null_delta)

    def differs(self, level: float) -> tuple[bool, bool]:
        """Return whether values and missing values differ, significantly and by more than the natural variation."""
        found = self.found
        by_values = (self.q <= level or self.extreme[0]) and found.effect >= self.threshold
        by_gaps = (self.null_q <= level or self.extreme[1]) and abs(found.null_delta) >= self.null_threshold
        return by_values, by_gaps

    def confirms(self) -> tuple[bool, bool]:
        """Return whether one half of the window confirms a difference of values and of missing values."""
        found = self.found
        by_values = (_value_p(found) <= CONFIRMATION_LEVEL or self.extreme[0]) and found.effect >= self.floor
        by_gaps = (found.null_p <= CONFIRMATION_LEVEL or self.extreme[1]) and abs(found.null_delta) >= self.null_floor
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
    # A column, then its aspects, and so on.
    apart = [list(aspects(column)) for column in columns]
    compared = [one for column, others in zip(columns, apart, strict=True) for one in (column, *others)]
    rule = _Rule(compared, settings, in_time)
    whole, older, newer = (rule.compare_part(part) for part in ((0, 2), (0, 1), (1, 2)))
    statuses = [_status(*three, level, in_time=in_time) for three in zip(whole, older, newer, strict=True)]
    results = iter(zip(compared, whole, statuses, strict=True))
    return [_to_record(*next(results), tuple(_to_aspect(*next(results)) for _ in others)) for others in apart]


def _status(whole: "_Comparison", older: "_Comparison", newer: "_Comparison", level: float, *, in_time: bool) -> Status:
    """Return the status of a column or an aspect, from the whole window and its halves."""
    differs = whole.differs(level)
    if any(all(three) for three in zip(differs, older.confirms(), newer.confirms(), strict=True)):
        return "drift"
    return "suspect" if any(differs) or (in_time and any(newer.differs(level))) else "stable"


@dataclass(frozen=True)
class _Rule:
    """Compares parts of the window; what belongs to the reference alone is computed once for all parts."""

    columns: Sequence[Pair]
    settings: DriftSettings
    in_time: bool
    past: dict[tuple[int, int], DesignEffect] = field(default_factory=dict)
    variations: dict[tuple[int, int], NaturalVariation] = field(default_factory=dict)

    def compare_part(self, part: tuple[int, int]) -> list[_Comparison]:
        """Compare a part of the window, from `part[0]` to `part[1]` in units of half a window, with the reference."""
        settings, columns = self.settings, self.columns
        floors = {"number": settings.min_effect_numeric, "level": settings.min_effect_categorical}
        found = [self.distance(position, part) for position in range(len(columns))]
        q = _false_discoveries(np.array([[_value_p(one), one.null_p] for one in found]))
        level = settings.false_discovery_rate / (2 * len(columns))
        comparisons = []
        for position, (one, (value_q, null_q)) in enumerate(zip(found, q.tolist(), strict=True)):
            column = columns[position]
            rows, most = len(_window_part(column.current, part)), max(1, len(column.reference) // MIN_WINDOWS)
            limit, shown = self.variation(position, rows), self.variation(position, min(rows, most))
            extreme = _extreme(column, part, one, shown, level, self.in_time)
            null_floor = MIN_NULL_DELTA if null_share(column.reference) else MIN_FIRST_NULLS
            comparisons.append(_Comparison(one, value_q, null_q, floors[column.method], null_floor, limit, extreme))
        return comparisons

    def variation(self, position: int, rows: int) -> NaturalVariation:
        """Return the natural variation of the reference of one column."""
        if (position, rows) not in self.variations:
            column = self.columns[position]
            self.variations[position, rows] = natural_variation(column.method, column.reference, rows)
        return self.variations[position, rows]

    def distance(self, position: int, part: tuple[int, int]) -> Distance:
        """Return the distance of one column, corrected for dependent rows."""
        column = self.columns[position]
        old, new = _sample(column, part)
        rows = max(len(_window_part(column.current, part)), 1)
        blocks = int(np.clip(len(column.reference) // rows, MIN_BLOCKS, MAX_BLOCKS))
        if (position, blocks) not in self.past:
            self.past[position, blocks] = design_effect(
                column.method, old.values, blocks, in_time=self.in_time, groups=old.groups
            )
        past = self.past[position, blocks]
        present = design_effect(column.method, new.values, MIN_BLOCKS, in_time=self.in_time, groups=new.groups)
        found = distance(column.method, old.values, new.values, past, present.at_least(past))
        if not column.aspect:
            return found
        found = replace(found, null_delta=0.0, null_p=1.0)
        fewer = column.aspect == NEW_LEVELS and _mean(new.values) <= _mean(old.values)
        return replace(found, effect=0.0, p=1.0) if fewer else found


def _value_p(found: Distance) -> float:
    """Return the p-value of the values, of which numbers have two: of their distribution and of their spread."""
    return min(1.0, 2 * min(found.p, found.spread_p)) if found.spread_p < 1 else found.p


def _extreme(
    column: Pair, part: tuple[int, int], found: Distance, limit: NaturalVariation, level: float, in_time: bool
) -> tuple[bool, bool]:
    """Return whether values and missing values are far outside the natural variation of the reference.

    This second criterion ignores the design effect of the reference. If all its windows differ, the effective sample size is
    so small that no test can be significant. `limit` is for windows as long as the part, or for shorter ones if the
    reference has too few of these.
    """
    by_values = found.effect >= EXTREME_FACTOR * limit.effect > 0
    by_gaps = abs(found.null_delta) >= EXTREME_FACTOR * limit.null_delta > 0
    if not (by_values or by_gaps):
        return False, False
    old, new = _sample(column, part)
    own = design_effect(column.method, new.values, MIN_BLOCKS, in_time=in_time, groups=new.groups)
    plain = distance(column.method, old.values, new.values, _of_groups(column.method, old), own)
    return by_values and _value_p(plain) <= level, by_gaps and plain.null_p <= level


def _false_discoveries(p: Values) -> Values:
    """Return Benjamini-Hochberg q-values; p-values of 1, as without missing values on both sides, are not counted as tests."""
    from scipy.stats import false_discovery_control

    q = np.ones_like(p)
    tested = p < 1
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _window_part(values: AnyArray, part: tuple[int, int]) -> AnyArray:
    return values[part[0] * len(values) // 2 : part[1] * len(values) // 2]


@dataclass(frozen=True)
class _Rows:
    """Values of one side of a column, with the groups of its rows."""

    values: Values
    groups: tuple[Counts, ...]


def _sample(column: Pair, part: tuple[int, int]) -> tuple[_Rows, _Rows]:
    """Return up to 20,000 rows of the reference and of a part of the window."""
    old, new = (evenly_spaced(len(side), SAMPLE) for side in (column.reference, _window_part(column.current, part)))
    return (
        _Rows(column.reference[old], tuple(side[old] for side, _ in column.groups)),
        _Rows(
            _window_part(column.current, part)[new], tuple(_window_part(side, part)[new] for _, side in column.groups)
        ),
    )


def _mean(values: Values) -> float:
    """Return the mean of the present values; 0 without any."""
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else 0.0


def _of_groups(kind: Kind, rows: _Rows) -> DesignEffect:
    """Return the design effect of the groups alone."""
    return design_effect(kind, rows.values, 0, groups=rows.groups)


def _to_aspect(column: Pair, comparison: _Comparison, status: Status) -> AspectDrift:
    return AspectDrift(
        name=column.aspect,
        status=status,
        method=METHODS[column.method],
        effect=comparison.found.effect,
        threshold=comparison.threshold,
        p=_value_p(comparison.found),
        q=comparison.q,
        reference=_summary(column, column.reference),
        current=_summary(column, column.current),
    )


def _to_record(column: Pair, comparison: _Comparison, status: Status, others: tuple[AspectDrift, ...]) -> ColumnDrift:
    found = comparison.found
    return ColumnDrift(
        name=column.name,
        role=column.role,
        kind=column.kind,
        status=min((status, *(one.status for one in others)), key=STATUSES.index),
        method=METHODS[column.method],
        effect=found.effect,
        threshold=comparison.threshold,
        p=_value_p(found),
        q=comparison.q,
        null_delta=found.null_delta,
        null_threshold=comparison.null_threshold,
        null_q=comparison.null_q,
        reference=_summary(column, column.reference),
        current=_summary(column, column.current),
        aspects=others,
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
