"""Times that cannot be right are set aside, by the pace of the data itself; all others are kept."""

import numpy as np
import pandas as pd
import pytest

from titlebout.data.plausible import implausible_current, implausible_tracked

HOURS = pd.Series(pd.date_range("2025-01-01", periods=1200, freq="h", tz="UTC").as_unit("us"))


def times(*values: str | None) -> "pd.Series[pd.Timestamp]":
    return pd.Series(pd.to_datetime(list(values), utc=True)).astype("datetime64[us, UTC]")


def join(*parts: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("wrong", ["2205-03-01", "9999-12-31", "1905-03-01", "0001-01-01", "2026-01-05"])
def test_a_mistyped_year_is_set_aside(wrong: str) -> None:
    assert implausible_tracked(join(times(wrong), HOURS)).tolist() == [True] + [False] * 1200
    assert implausible_tracked(join(HOURS, times(wrong, None))).tolist() == [False] * 1200 + [True, True]


def test_mistakes_at_both_ends_are_set_aside() -> None:
    assert implausible_tracked(join(times("1970-01-01"), HOURS, times("2205-01-01", "2300-01-01"))).sum() == 3


@pytest.mark.parametrize(
    "kept",
    [
        pd.Series(pd.date_range("2000-01-01", periods=120, freq="MS", tz="UTC")),
        join(HOURS, HOURS + pd.Timedelta(days=400)),
        pd.Series(pd.date_range("2025-01-01", periods=60, freq="B", tz="UTC")),
        pd.Series(
            pd.Timestamp("2025-01-01", tz="UTC")
            + pd.to_timedelta(np.cumsum(np.random.default_rng(0).exponential(1, 500)), "D")
        ),
        times("2025-01-01", "2125-01-01"),
    ],
    ids=["months", "two seasons", "business days", "random arrivals", "too few to know"],
)
def test_the_pace_of_the_data_decides(kept: "pd.Series[pd.Timestamp]") -> None:
    assert not implausible_tracked(kept).any()


def test_missing_times_are_set_aside_whatever_the_pace() -> None:
    assert implausible_tracked(times(None, None)).tolist() == [True, True]
    assert implausible_tracked(times("2025-01-01", None)).tolist() == [False, True]
    assert implausible_current(times("2025-01-01", None), times("2025-01-01", "2025-01-02")).tolist() == [False, True]
    assert implausible_current(join(NEXT, times("2205-01-01", None)), HOURS).tolist() == [False] * 1200 + [True, True]


def test_a_configured_pause_replaces_the_pace() -> None:
    late = join(HOURS, times("2025-04-15"))

    assert implausible_tracked(late).sum() == 1
    assert not implausible_tracked(late, pause_days=90).any()


NEXT = HOURS + pd.Timedelta(hours=1200)


def test_one_row_far_after_the_others_is_set_aside() -> None:
    arrived = join(NEXT, times("2205-01-01"))

    assert implausible_current(arrived, HOURS).tolist() == [False] * 1200 + [True]


def test_a_single_row_two_centuries_later_is_set_aside() -> None:
    assert implausible_current(times("2205-01-01"), HOURS).all()


def test_rows_after_a_pause_of_the_loop_are_plausible() -> None:
    assert not implausible_current(NEXT + pd.Timedelta(days=90), HOURS).any()
    assert not implausible_current(join(NEXT.iloc[:1], NEXT + pd.Timedelta(days=90)), HOURS).any()


def test_old_rows_are_too_late_and_not_implausible() -> None:
    assert not implausible_current(join(NEXT, times("1905-01-01")), HOURS).any()


def test_the_order_of_rows_does_not_matter() -> None:
    arrived = join(NEXT, times("2205-01-01")).sample(frac=1, random_state=1)

    assert arrived[implausible_current(arrived, HOURS)].tolist() == [pd.Timestamp("2205-01-01", tz="UTC")]


def test_a_mistyped_year_among_few_months_is_set_aside() -> None:
    months = pd.Series(pd.date_range("2024-01-01", periods=12, freq="MS", tz="UTC").as_unit("us")).repeat(150)
    arrived = join(times("2205-01-01"), times("2025-01-01").repeat(599))

    assert implausible_tracked(join(months, times("2204-07-01"))).sum() == 1
    assert implausible_current(arrived, months).tolist() == [True] + [False] * 599
    assert not implausible_tracked(months).any()
    assert not implausible_current(times("2025-03-01"), months).any()


@pytest.mark.parametrize("placeholder", ["1900-01-01", "1970-01-01", "9999-12-31"])
def test_a_time_that_stands_for_a_missing_one_is_set_aside(placeholder: str) -> None:
    stands = times(placeholder).repeat(60)

    assert implausible_tracked(join(stands, HOURS)).tolist() == [True] * 60 + [False] * 1200
    assert not implausible_tracked(join(stands + pd.to_timedelta(np.arange(60), "h"), HOURS)).any()
