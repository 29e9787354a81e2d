"""Deterministic samples of the rows of a long table."""

import numpy as np

from titlebout.core.arrays import IntArray


def evenly_spaced(n_rows: int, most: int) -> IntArray:
    """Return up to `most` evenly spaced row positions; the same arguments give the same positions."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.int64)
