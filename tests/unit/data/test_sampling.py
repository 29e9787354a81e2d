"""Deterministic samples of row positions."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from titlebout.data.sampling import evenly_spaced


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_evenly_spaced_positions_are_even_and_in_range(rows: int, max_rows: int) -> None:
    positions = evenly_spaced(rows, max_rows)
    assert len(positions) == min(rows, max_rows)
    assert positions[0] == 0
    assert positions[-1] <= rows - 1
    assert len({following - previous for previous, following in pairwise(positions.tolist())}) <= 2
