"""Entities without a named column: columns whose values repeat in groups of rows that depend on each other.

Rows of one customer carry less information than independent rows, even if they are spread over the file. Such a column is
recognized by its values: none is frequent, they repeat within one side, and they recur on the other side less often than
the values of independent rows would. If the other columns are alike within the groups, the groups enter the design effect.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import MIN_BLOCKS, SAMPLE, Counts, Values, design_effect

MIN_GROUPS = 50  # fewer groups are the levels of an ordinary column
MATTERS = 1.5  # design effect of another column from which the groups matter

_MIN_ROWS_EACH = 1.2  # mean size of a group
_LARGEST_SHARE = 0.05  # of the rows; the largest group of an entity is smaller
_LARGEST_RATIO = 30  # of the largest to the mean group
_SMOOTH = 0.3  # correlation of the frequencies of neighboring numbers, above which they are quantities
_RECURRENCE = 0.6  # share of the expected recurrences, at most
_CERTAIN = 4  # standard deviations of the number of recurrences
_COUNTER_GAP = 5  # mean step between the values of a counter, at most
_MOST = 3  # entities per comparison
_TUPLE_COLUMNS, _TUPLE_STARTS = 6, 3


@dataclass(frozen=True)
class Entity:
    """Columns that identify a group of dependent rows.

    Attributes
    ----------
    names : tuple of str
        One column, or columns that identify the group together.
    reference, current : ndarray of shape (n_reference,) and (n_current,), dtype int64
        Group of each row.
    same : frozenset of str
        Columns each of which identifies the same groups.
    """

    names: tuple[str, ...]
    reference: Counts
    current: Counts
    same: frozenset[str] = frozenset()

    @property
    def rows_each(self) -> float:
        """Mean number of rows of a group in the reference, weighted by rows."""
        sizes = np.bincount(self.reference)
        return float(sizes @ sizes / sizes.sum())


def find_entities(columns: Sequence[Pair]) -> list[Entity]:
    """Return the columns that identify dependent rows, at most three: those that recur least, then the largest groups.

    Parameters
    ----------
    columns : sequence of Pair
        Columns of the same rows.
    """
    keys = _keys(columns)
    found = [key for key in keys if _recurs_rarely(key) and _is_identity(key, _by_name(columns))]
    if not found:
        found = [key for key in _tuples(keys) if _recurs_rarely(key)]
    partitions: dict[int, list[Entity]] = {}
    for key in sorted(found, key=lambda one: (_recurrence(one)[0], _group_count(one.current))):
        partitions.setdefault(_group_count(key.reference), []).append(key)
    kept = [
        replace(keys[0], same=frozenset(key.names[0] for key in keys if len(key.names) == 1 and _equal(key, keys[0])))
        for keys in partitions.values()
        if _matters(keys[0], columns)
    ]
    return kept[:_MOST]


def candidates(columns: Sequence[Pair]) -> list[Entity]:
    """Return the columns that may identify dependent rows, judged by the reference alone."""
    keys = _keys(columns)
    found = [key for key in keys if _is_identity(key, _by_name(columns))] or list(_tuples(keys))
    many = (key for key in found if _group_count(key.reference) >= 2 * MIN_GROUPS and _matters(key, columns))
    return sorted(many, key=lambda key: -key.rows_each)[:_MOST]


def with_groups(columns: Sequence[Pair], entities: Sequence[Entity]) -> list[Pair]:
    """Return the columns with the groups of their rows, without text and counters that identify a group."""
    if not entities:
        return list(columns)
    same = frozenset[str]().union(*(entity.same for entity in entities))
    groups = tuple((entity.reference, entity.current) for entity in entities)
    return [
        replace(column, groups=groups)
        for column in columns
        if not (column.name in same and (column.method == "level" or _is_counter(column)))
    ]


def _by_name(columns: Sequence[Pair]) -> dict[str, Pair]:
    return {column.name: column for column in columns}


def _keys(columns: Sequence[Pair]) -> list[Entity]:
    """Return the groups of equal values of every input whose values repeat."""
    inputs = [column for column in columns if column.role == "input"]
    inputs.sort(key=lambda column: column.kind not in {"text", "integer"})  # a name or a number identifies better
    keys = [_numbered((column.name,), column.reference, column.current) for column in inputs]
    return [key for key in keys if 2 <= _group_count(key.reference) <= len(key.reference) / _MIN_ROWS_EACH]


def _numbered(names: tuple[str, ...], reference: Values | Counts, current: Values | Counts) -> Entity:
    """Return groups of equal values, numbered over both sides; a missing value is a group of its own."""
    both = np.concatenate([reference, current])
    found, distinct = pd.factorize(np.where(np.isfinite(both), both, np.nan))
    codes = found.astype(np.int64)
    codes[codes < 0] = len(distinct) + np.arange(int((codes < 0).sum()))
    return Entity(names, codes[: len(reference)], codes[len(reference) :])


def _group_count(codes: Counts) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _equal(one: Entity, other: Entity) -> bool:
    """Return whether two columns with the same number of groups have the same groups."""
    return one.names == other.names or _group_count(_joined(one, other).reference) == _group_count(one.reference)


def _recurs_rarely(key: Entity) -> bool:
    """Return whether far fewer groups are on both sides than if each row were drawn independently."""
    found, expected = _recurrence(key)
    enough = min(_group_count(key.reference), _group_count(key.current)) >= MIN_BLOCKS
    return enough and found <= _RECURRENCE * expected and expected - found >= _CERTAIN * np.sqrt(expected)


def _recurrence(key: Entity) -> tuple[int, float]:
    """Return the number of groups on both sides, and its expectation if each row were drawn independently.

    Given the number of rows of a group on both sides, independent rows are distributed over the sides at random. Groups of a
    single row, such as those of missing values, do not count.
    """
    size = int(max(key.reference.max(), key.current.max())) + 1
    old, new = (np.bincount(side, minlength=size) for side in (key.reference, key.current))
    repeated = old + new > 1
    rows = (old + new)[repeated]
    share = old[repeated].sum() / max(rows.sum(), 1)
    expected = float(np.sum(1 - share**rows - (1 - share) ** rows))
    return int(np.count_nonzero((old > 0) & (new > 0))), expected


def _is_identity(key: Entity, columns: dict[str, Pair]) -> bool:
    """Return whether values look like identities: none is frequent, and neighboring numbers are not equally frequent."""
    if not _repeats(key):
        return False
    column = columns[key.names[0]]
    if column.method == "level":
        return True
    _, sizes = np.unique(column.reference[np.isfinite(column.reference)], return_counts=True)  # in order of the numbers
    return bool(sizes.std() == 0) or float(np.corrcoef(sizes[1:], sizes[:-1])[0, 1]) < _SMOOTH


def _repeats(key: Entity) -> bool:
    """Return whether there are many groups of more than one row, none of them large."""
    sizes = np.bincount(key.reference)
    sizes = sizes[sizes > 0]
    largest = min(_LARGEST_SHARE * len(key.reference), _LARGEST_RATIO * float(sizes.mean()))
    return len(sizes) >= MIN_GROUPS and sizes.mean() >= _MIN_ROWS_EACH and sizes.max() <= largest


def _tuples(keys: Sequence[Entity]) -> Iterator[Entity]:
    """Yield groups of rows that are equal in two or three columns, of those with the most values."""
    pool = sorted(keys, key=lambda key: -_group_count(key.reference))[:_TUPLE_COLUMNS]
    pairs = [_joined(one, other) for one, other in combinations(pool, 2)]
    yield from (pair for pair in pairs if _repeats(pair))
    for pair in sorted(pairs, key=lambda pair: -_group_count(pair.reference))[:_TUPLE_STARTS]:
        triples = (_joined(pair, one) for one in pool if one.names[0] not in pair.names)
        yield from (triple for triple in triples if _repeats(triple))


def _joined(one: Entity, other: Entity) -> Entity:
    many = int(max(other.reference.max(), other.current.max())) + 1
    return _numbered(
        (*one.names, *other.names), one.reference * many + other.reference, one.current * many + other.current
    )


def _matters(key: Entity, columns: Sequence[Pair]) -> bool:
    """Return whether another column is alike within the groups of the reference."""
    rows = evenly_spaced(len(key.reference), SAMPLE)
    for column in columns:
        if column.name not in key.names and len(column.reference) == len(key.reference):
            values = column.reference[rows]
            alone = design_effect(column.method, values, MIN_BLOCKS).values
            if design_effect(column.method, values, MIN_BLOCKS, groups=[key.reference[rows]]).values >= MATTERS * alone:
                return True
    return False


def _is_counter(column: Pair) -> bool:
    """Return whether a column of numbers counts on: whole numbers without large steps, all larger on one side."""
    old, new = (side[np.isfinite(side)] for side in (column.reference, column.current))
    if column.kind != "integer" or not len(new) or not (old.max() < new.min() or new.max() < old.min()):
        return False
    return all(float(np.ptp(side)) <= _COUNTER_GAP * len(np.unique(side)) for side in (old, new))
