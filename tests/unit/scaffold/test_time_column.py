"""The column that orders the rows is chosen by what it does."""

import numpy as np
import pandas as pd
import pytest

from titlebout.scaffold.time_column import time_candidates

ROWS = 300
GENERATOR = np.random.default_rng(0)
ARRIVED = pd.Series(pd.date_range("2025-01-01", periods=ROWS, freq="h", tz="UTC"))
BORN = pd.Series(pd.Timestamp("1950-01-01", tz="UTC") + pd.to_timedelta(GENERATOR.integers(0, 20_000, ROWS), "D"))


def names(**columns: object) -> list[str]:
    return [one.name for one in time_candidates(pd.DataFrame(columns), "target")]


@pytest.mark.parametrize(
    "arrived", [ARRIVED, ARRIVED[::-1].reset_index(drop=True)], ids=["oldest first", "newest first"]
)
def test_the_column_that_advances_with_the_rows_is_the_first(arrived: "pd.Series[pd.Timestamp]") -> None:
    assert names(born=BORN, arrived=arrived) == ["arrived", "born"]


def test_of_two_that_advance_the_finer_one_is_the_first() -> None:
    assert names(day=ARRIVED.dt.floor("D"), arrived=ARRIVED) == ["arrived", "day"]


def test_a_column_that_does_not_cover_its_period_is_the_last() -> None:
    order = GENERATOR.permutation(ROWS)
    valid_to = (
        pd.Series(pd.Timestamp("9999-12-31", tz="UTC"))
        .repeat(ROWS)
        .reset_index(drop=True)
        .astype("datetime64[us, UTC]")
    )
    valid_to.iloc[:5] = pd.Timestamp("2025-06-01", tz="UTC")

    assert names(valid_to=valid_to, arrived=ARRIVED.iloc[order].reset_index(drop=True)) == ["arrived", "valid_to"]


def test_one_mistyped_year_does_not_hide_the_column() -> None:
    wrong = ARRIVED.astype("datetime64[us, UTC]")
    wrong.iloc[7] = pd.Timestamp("2205-01-01", tz="UTC")
    (found,) = time_candidates(pd.DataFrame({"arrived": wrong}), "target")

    assert found.advances
    assert found.coverage == 1


def test_a_column_with_gaps_is_used_where_no_complete_one_advances() -> None:
    gaps, shuffled = ARRIVED.where(ARRIVED.index > 0), ARRIVED.sample(frac=1, random_state=0).to_numpy()

    assert names(gaps=gaps) == ["gaps"]
    assert names(gaps=gaps, complete=ARRIVED) == ["complete"]
    assert names(gaps=gaps, complete=shuffled) == ["gaps", "complete"]


def test_columns_with_many_gaps_constants_and_the_target_are_no_candidates() -> None:
    gaps = ARRIVED.where(ARRIVED.index > len(ARRIVED) / 9)

    assert names(gaps=gaps, same=pd.Timestamp("2025-01-01", tz="UTC"), target=ARRIVED, word="x") == []
