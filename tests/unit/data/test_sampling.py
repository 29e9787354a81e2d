"""Which rows stand for a long table."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from titlebout.data.sampling import evenly_spaced


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_spread_positions_are_even_and_inside(rows: int, most: int) -> None:
    positions = evenly_spaced(rows, most)
    assert len(positions) == min(rows, most)
    assert positions[0] == 0
    assert positions[-1] <= rows - 1
    assert len({after - before for before, after in pairwise(positions.tolist())}) <= 2
