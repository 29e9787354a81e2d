"""Aspects of a column that are compared apart, because the comparison of all its values would hide their change."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from titlebout.core.arrays import BoolArray
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import MIN_BLOCKS, Counts, Values

NEW_LEVELS = "levels not seen before"
FREQUENT_VALUE = "most frequent value"
OTHER_VALUES = "other values"

MIN_FREQUENT_SHARE = 0.3  # of the most frequent number, from which it and the other values are compared apart


def aspects(column: Pair) -> Iterator[Pair]:
    """Yield the aspects of a column, each as a column of its own.

    Parameters
    ----------
    column : Pair
        Text: rows with a level that no earlier row has. Numbers with one frequent value, such as 0: whether a row has it,
        and the other values.
    """
    if column.method == "level":
        if column.kind == "text":
            yield _new_levels(column)
        return
    values, counts = np.unique(column.reference[np.isfinite(column.reference)], return_counts=True)
    if not len(values) or counts.max() < MIN_FREQUENT_SHARE * counts.sum():
        return
    frequent = float(values[counts.argmax()])
    old, new = (np.where(np.isfinite(side), side == frequent, np.nan) for side in (column.reference, column.current))
    labels = ("other", f"{frequent:g}")
    yield replace(column, aspect=FREQUENT_VALUE, method="level", reference=old, current=new, labels=labels)
    old, new = (np.where(side == frequent, np.nan, side) for side in (column.reference, column.current))
    yield replace(column, aspect=OTHER_VALUES, reference=old, current=new)


def _new_levels(column: Pair) -> Pair:
    """Return which rows have a level that is in no earlier row of the reference.

    For the reference these are the rows of its later half, in blocks: a level is new if it is in no block before the last
    two. In a column of many levels, or whose levels come and go, a share of the rows always has one. Rows of a group are in
    one block, because all groups of the current data may be new.
    """
    order = np.argsort(column.groups[0][0], kind="stable") if column.groups else np.arange(len(column.reference))
    old, new = (
        np.where(np.isfinite(side), side, -1).astype(np.int64) for side in (column.reference[order], column.current)
    )
    block = np.arange(len(old)) * MIN_BLOCKS // len(old)
    first = np.full(int(max(old.max(), new.max())) + 2, MIN_BLOCKS)  # the last is for missing values
    np.minimum.at(first, old, block)
    later = block >= MIN_BLOCKS // 2
    return replace(
        column,
        aspect=NEW_LEVELS,
        reference=_flags(old[later], first[old[later]] >= block[later] - 1),
        current=_flags(new, first[new] == MIN_BLOCKS),
        labels=("known", "new"),
        groups=tuple((one[order][later], other) for one, other in column.groups),
    )


def _flags(codes: Counts, new: BoolArray) -> Values:
    return np.where(codes < 0, np.nan, new)
