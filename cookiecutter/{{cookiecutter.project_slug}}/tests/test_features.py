"""Feature engineering."""

import pandas as pd

from flights_delay.features import CALENDAR, CATEGORICAL, NUMERIC, add_calendar


def test_clock_times_become_minutes_of_the_day(flights: pd.DataFrame) -> None:
    flights["sched_dep_time"] = 1545
    assert set(add_calendar(flights)["departure_minute"]) == {15 * 60 + 45}


def test_the_weekday_is_in_new_york_time(flights: pd.DataFrame) -> None:
    flights["time_hour"] = pd.Timestamp("2013-01-08 03:00", tz="UTC")  # Tuesday in London, still Monday in New York
    assert set(add_calendar(flights)["weekday"]) == {0.0}


def test_features_are_columns_without_the_target(flights: pd.DataFrame) -> None:
    features = [*CATEGORICAL, *NUMERIC, *CALENDAR]
    assert len(set(features)) == len(features)
    assert set(features) <= set(add_calendar(flights).columns) - {"late"}
