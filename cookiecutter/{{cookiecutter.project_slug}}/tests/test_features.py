"""What the features say of a flight."""

import pandas as pd

from flights_delay.features import CALENDAR, CATEGORICAL, NUMERIC, add_calendar


def test_times_on_the_clock_become_minutes_of_the_day(flights: pd.DataFrame) -> None:
    flights["sched_dep_time"] = 1545
    assert set(add_calendar(flights)["departure_minute"]) == {15 * 60 + 45}


def test_the_weekday_is_the_one_in_new_york(flights: pd.DataFrame) -> None:
    flights["time_hour"] = pd.Timestamp("2013-01-08 03:00", tz="UTC")  # Tuesday in London, still Monday in New York
    assert set(add_calendar(flights)["weekday"]) == {0.0}


def test_every_feature_is_a_column_and_none_is_the_target(flights: pd.DataFrame) -> None:
    features = [*CATEGORICAL, *NUMERIC, *CALENDAR]
    assert len(set(features)) == len(features)
    assert set(features) <= set(add_calendar(flights).columns) - {"late"}
