"""Change point: the row of the window at which a column changed."""

import numpy as np
import numpy.typing as npt

from titlebout.drift.alignment import Pair
from titlebout.drift.distances import Values

Flags = npt.NDArray[np.bool_]


def find_change_point(column: Pair) -> int:
    """Return the position in the current rows at which a change most likely began (maximum likelihood).

    Parameters
    ----------
    column : Pair
        A column that differs, in order of time.
    """
    old, new = _most_different_flags(column)
    newer = new[len(new) // 2 :]
    before, after = ((side.sum() + 0.5) / (len(side) + 1) for side in (old, newer))
    gains = np.where(new, np.log(after / before), np.log((1 - after) / (1 - before)))
    return int(np.argmax(np.cumsum(gains[::-1])[::-1]))


def _most_different_flags(column: Pair) -> tuple[Flags, Flags]:
    """Return the binary feature that separates both sides best: missing, below a value, or in a grown level."""
    old, new = column.reference, column.current
    missing = ~np.isfinite(old), ~np.isfinite(new)
    newer = new[len(new) // 2 :]
    split = _below_split if column.method == "number" else _in_grown_levels
    valued = split(old, newer, old), split(old, newer, new)
    half = len(new) // 2
    return max((missing, valued), key=lambda flags: abs(float(flags[0].mean()) - float(flags[1][half:].mean())))


def _below_split(old: Values, newer: Values, values: Values) -> Flags:
    """Return which values lie below the point where the distribution functions differ most."""
    grid = np.sort(np.concatenate([side[np.isfinite(side)] for side in (old, newer)]))
    if not len(grid):
        return np.zeros(len(values), dtype=np.bool_)
    below = [np.searchsorted(np.sort(side), grid, side="right") / len(side) for side in (old, newer)]
    return np.asarray(values <= grid[np.argmax(np.abs(below[0] - below[1]))])


def _in_grown_levels(old: Values, newer: Values, values: Values) -> Flags:
    """Return which values belong to a level that became more frequent."""
    present = [side[np.isfinite(side)].astype(np.int64) for side in (old, newer)]
    size = max((int(side.max()) + 1 for side in present if len(side)), default=1)
    shares = [np.bincount(side, minlength=size) / max(len(side), 1) for side in present]
    return np.isin(values, np.flatnonzero(shares[1] > shares[0]))
