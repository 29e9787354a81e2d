"""Features of a flight: what is known when it is scheduled, and the weather of its hour."""

import pandas as pd

CATEGORICAL = ["carrier", "origin", "dest"]
NUMERIC = ["distance", "temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
CALENDAR = ["departure_minute", "arrival_minute", "weekday"]


def add_calendar(flights: pd.DataFrame) -> pd.DataFrame:
    """Add the minutes of the day of departure and arrival, and the weekday in New York (Monday is 0).

    Parameters
    ----------
    flights : DataFrame of shape (n_flights, n_columns)
        With ``time_hour`` (UTC), ``sched_dep_time`` and ``sched_arr_time`` (local time as HHMM).

    Returns
    -------
    DataFrame of shape (n_flights, n_columns + 3)
    """
    return flights.assign(
        departure_minute=_minutes(flights["sched_dep_time"]),
        arrival_minute=_minutes(flights["sched_arr_time"]),
        weekday=flights["time_hour"].dt.tz_convert("America/New_York").dt.dayofweek.astype("float64"),
    )


def _minutes(hhmm: pd.Series) -> pd.Series:
    return hhmm // 100 * 60 + hhmm % 100
