"""Fixture with synthetic flights, so that the tests do not need `dvc pull`."""

import pandas as pd
import pytest


@pytest.fixture
def flights() -> pd.DataFrame:
    """Forty flights on four days; flights from EWR are late."""
    rows = range(40)
    return pd.DataFrame(
        {
            "time_hour": pd.date_range("2013-01-07 10:00", periods=40, freq="2h", tz="UTC"),
            "carrier": ["AA", "UA"] * 20,
            "origin": ["EWR", "JFK", "EWR", "LGA"] * 10,
            "dest": ["ORD", "LAX", "BOS", "MIA"] * 10,
            "sched_dep_time": [600 + row % 12 * 100 for row in rows],
            "sched_arr_time": [730 + row % 12 * 100 for row in rows],
            "distance": [200.0 + 50 * row for row in rows],
            "temp": 40.0,
            "humid": 60.0,
            "wind_dir": 180.0,
            "wind_speed": 8.0,
            "precip": 0.0,
            "pressure": [float("nan"), 1012.0] * 20,
            "visib": 10.0,
            "late": [1, 0] * 20,
        }
    )
