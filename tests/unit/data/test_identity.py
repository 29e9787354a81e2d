"""Identity of rows: equal rows are counted, and the hash of a row depends on its values only."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from titlebout.data.columns import ROW_HASH_BITS, row_hashes
from titlebout.data.identity import has_equal_rows, identity_hashes, occurrences

VALUES = st.lists(st.integers(0, 3), min_size=1, max_size=12)


def table(values: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"a": np.array(values, dtype=np.int64)})


@given(VALUES)
def test_equal_rows_are_numbered(values: list[int]) -> None:
    numbers = occurrences(row_hashes(table(values)))

    assert numbers.tolist() == [values[:at].count(value) for at, value in enumerate(values)]


@given(VALUES, st.randoms())
def test_equal_rows_have_different_hashes_in_any_order(values: list[int], random: "np.random.Generator") -> None:
    hashes = identity_hashes(table(values))
    shuffled = list(values)
    random.shuffle(shuffled)

    assert len(set(hashes.tolist())) == len(values)
    assert sorted(identity_hashes(table(shuffled)).tolist()) == sorted(hashes.tolist())
    assert int(hashes.max()) < 2**ROW_HASH_BITS


@given(VALUES, VALUES)
def test_more_rows_do_not_change_the_hashes_of_earlier_ones(values: list[int], more: list[int]) -> None:
    before, after = identity_hashes(table(values)), identity_hashes(table(values + more))

    assert set(before.tolist()) <= set(after.tolist())


def test_hashes_of_many_equal_rows_do_not_collide() -> None:
    assert len(np.unique(identity_hashes(table([1] * 100_000)))) == 100_000


def test_two_equal_rows_of_a_hundred_are_taken_for_copies() -> None:
    assert not has_equal_rows(table([*range(98), 0, 1]))
    assert has_equal_rows(table([*range(97), 0, 1, 2]))
    assert not has_equal_rows(table([]))
