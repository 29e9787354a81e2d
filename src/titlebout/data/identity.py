"""Identity of a row: its values, and which of several equal rows it is.

Equal rows are counted, not merged: the third equal answer of a survey is a third answer. The hash of a row depends on its
values only. Of equal rows, the first has this hash, and each further one a hash of its own, so that a set of hashes counts
them. Equal rows are interchangeable, so the set does not depend on the order of the rows.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import IntArray
from titlebout.data.columns import ROW_HASH_BITS, row_hashes

HashArray = npt.NDArray[np.uint64]

COPIES = 0.02  # share of rows that equal an earlier one, up to which they are taken for copies by mistake
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, as in Fibonacci hashing (Knuth, TAOCP 3, 6.4)
_SHIFT = np.uint64(64 - ROW_HASH_BITS)


def occurrences(hashes: HashArray) -> IntArray:
    """Return which of its equals each row is: 0 for the first, 1 for the second, ...

    Parameters
    ----------
    hashes : ndarray of shape (n_rows,), dtype uint64
    """
    return np.asarray(pd.Series(hashes).groupby(hashes).cumcount(), dtype=np.int64)


def identity_hashes(frame: pd.DataFrame) -> HashArray:
    """Return one 48-bit hash per row that identifies it among all rows, also among rows of equal values.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)

    Returns
    -------
    ndarray of shape (n_rows,), dtype uint64
        The hash of :func:`titlebout.data.columns.row_hashes` for the first of equal rows.
    """
    hashes = row_hashes(frame)
    return mixed(hashes, occurrences(hashes))


def mixed(hashes: HashArray, numbers: IntArray) -> HashArray:
    """Return a hash of each hash and its number; the hash itself for the number 0.

    Parameters
    ----------
    hashes : ndarray of shape (n_rows,), dtype uint64
        Hashes of 48 bits.
    numbers : ndarray of shape (n_rows,), dtype int64
        Nonnegative.
    """
    value = hashes + _MIX * numbers.astype(np.uint64)
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)  # finalizer of SplitMix64 (Steele, Lea, Flood 2014)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return np.where(numbers == 0, hashes, value >> _SHIFT)


def has_equal_rows(frame: pd.DataFrame) -> bool:
    """Return whether equal rows are common in a table, so that they are rows of their own and not copies of each other."""
    hashes = row_hashes(frame)
    return len(hashes) - len(np.unique(hashes)) > COPIES * len(hashes)
