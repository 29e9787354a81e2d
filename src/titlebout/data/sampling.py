"""Which rows stand for a table that is too long to look at whole."""

import numpy as np

from titlebout.core.arrays import IntArray


def evenly_spaced(n_rows: int, most: int) -> IntArray:
    """Return up to `most` positions spread evenly over the rows, the same ones every time."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.int64)
