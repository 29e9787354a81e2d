"""Align reference and current data: find the columns that can be compared, and encode them for the distances.

The kind of a column is inferred from the reference alone, so that new data never changes how a column is compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from titlebout.core.errors import DataError
from titlebout.core.results import Record
from titlebout.data.canonical import canonical
from titlebout.data.columns import Column, column_kind, conform
from titlebout.drift.distances import Counts, Kind, Values

Role = Literal["input", "target", "prediction"]

_FEW_LEVELS, _FEW_CLASSES = 2, 20
_CERTAIN = 1e-6
# Kinds in which current data may have a column of a given kind; `conform` decides whether the values fit.
_ARRIVES_AS = {
    "number": {"number", "integer", "boolean"},
    "integer": {"number", "integer", "boolean"},
    "boolean": {"number", "integer", "boolean", "text"},
    "text": {"text"},
    "datetime": {"datetime", "text"},
}


class ColumnProblem(Record):
    """A column that cannot be compared.

    Attributes
    ----------
    name, kind : str
        Column, and its kind in the reference.
    status : {"repeated", "missing", "new", "retyped", "empty"}
        Retyped: its values are of another kind than in the reference. Empty: it has no values in the current data.
    """

    name: str
    kind: str
    status: Literal["repeated", "missing", "new", "retyped", "empty"]


@dataclass(frozen=True)
class Pair:
    """One column of reference and current data, encoded for the distances.

    Attributes
    ----------
    name, kind : str
        Column, and its kind in the reference.
    role : {"input", "target", "prediction"}
    method : {"number", "level"}
    reference, current : ndarray of shape (n_reference,) and (n_current,), dtype float64
    labels : tuple of str
        Level of each code; empty for numbers.
    groups : tuple of (ndarray of shape (n_reference,), ndarray of shape (n_current,)), dtype int64
        Partitions of the rows into groups that depend on each other (:mod:`titlebout.drift.entities`).
    aspect : str
        What of the column is compared (:mod:`titlebout.drift.aspects`); empty for all of it.
    """

    name: str
    kind: str
    role: Role
    method: Kind
    reference: Values
    current: Values
    labels: tuple[str, ...] = ()
    groups: tuple[tuple[Counts, Counts], ...] = ()
    aspect: str = ""


def one_per_group(frame: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    """Return one row of every group, drawn with a fixed seed, in the original order.

    Parameters
    ----------
    frame : DataFrame
    group : sequence of str
        Columns that together identify the group; a row with a missing value in one of them is its own group.
    """
    drawn = np.random.default_rng(0).permutation(len(frame))
    keys = frame[list(group)].iloc[drawn]
    kept = ~keys.astype(str).duplicated().to_numpy() | keys.isna().any(axis=1).to_numpy()
    rows: pd.DataFrame = frame.iloc[np.sort(drawn[kept])]
    return rows


def schema_problems(
    reference: pd.DataFrame, current: pd.DataFrame, time: str, target: str | None
) -> Iterator[ColumnProblem]:
    """Yield the columns that cannot be compared.

    Parameters
    ----------
    reference, current : DataFrame
        Without ignored columns.
    time : str
        Time column, of kind datetime even if a file stores it as text; may be empty.
    target : str, optional
        Column that may be missing in `current`.
    """
    for side in (current, reference):
        for name in side.columns[side.columns.duplicated()].unique():
            yield ColumnProblem(name=str(name), kind="", status="repeated")
    kinds = kinds_of(reference.loc[:, ~reference.columns.duplicated()]) | (
        {time: "datetime"} if time in reference.columns else {}
    )
    for name in sorted(set(current.columns) - set(kinds), key=str):
        yield ColumnProblem(name=str(name), kind="", status="new")
    for name, kind in kinds.items():
        if name not in current.columns:
            if name != target:
                yield ColumnProblem(name=str(name), kind=kind, status="missing")
        elif max(list(side.columns).count(name) for side in (current, reference)) == 1:
            status = _column_status(reference[name], current[name], kind)
            if status:
                yield ColumnProblem(name=str(name), kind=kind, status=status)


def kinds_of(frame: pd.DataFrame) -> dict[str, str]:
    """Return the kind of every column, whatever dtype it is stored as."""
    plain = _plain(frame)
    return {name: column_kind(plain[name]) for name in plain.columns}


def pairs(reference: pd.DataFrame, current: pd.DataFrame, names: Sequence[str], target: str | None) -> Iterator[Pair]:
    """Yield the columns to compare, encoded by their kind in the reference."""
    kinds = kinds_of(reference[list(names)])
    for name, kind in kinds.items():
        old, new = _as_kind(reference[name], kind), _as_kind(current[name], kind)
        role: Role = "target" if name == target else "input"
        few = _FEW_CLASSES if role == "target" else _FEW_LEVELS
        if kind in {"text", "boolean"} or old.nunique() <= few:
            yield levels(str(name), kind, role, old, new)
        else:
            yield Pair(str(name), kind, role, "number", _numbers(old), _numbers(new))


def _column_status(reference: Column, current: Column, kind: str) -> str:
    """Return ``empty`` if the current column has no values, ``retyped`` if its kind changed, else an empty string."""
    if current.isna().all():
        by_chance = float(reference.isna().mean()) ** len(current)
        return "empty" if by_chance < _CERTAIN else ""
    if reference.isna().all():
        return ""
    if column_kind(_plain(current.to_frame()).iloc[:, 0]) not in _ARRIVES_AS[kind]:
        return "retyped"
    try:
        _as_kind(current, kind)
    except DataError:
        return "retyped"
    return ""


def _as_kind(column: Column, kind: str) -> Column:
    """Convert values to a kind as `conform` does, but keep values that it rejects: infinite numbers, lists in cells."""
    plain = _plain(column.to_frame("column"))
    if kind in {"number", "integer"}:
        return plain.iloc[:, 0].astype("float64")
    if kind == "text":
        return plain.iloc[:, 0].map(str, na_action="ignore")
    return conform(plain, {"column": kind})["column"]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with few dtypes; time differences become seconds."""
    plain = canonical(frame)
    spans = plain.select_dtypes("timedelta").columns
    return plain.assign(**{name: plain[name].dt.total_seconds() for name in spans}) if len(spans) else plain


def levels(name: str, kind: str, role: Role, old: Column, new: Column) -> Pair:
    """Encode the levels of a column on both sides, in order of first occurrence."""
    codes, labels = pd.factorize(pd.concat([old, new], ignore_index=True))
    values = np.where(codes < 0, np.nan, codes.astype(np.float64))
    named = {0.0: "False", 1.0: "True"} if kind == "boolean" else {}
    shown = tuple(named.get(label, f"{label:g}" if isinstance(label, float) else str(label)) for label in labels)
    return Pair(name, kind, role, "level", values[: len(old)], values[len(old) :], shown)


def _numbers(column: Column) -> Values:
    """Return numbers, or times as seconds since 1970."""
    if column_kind(column) == "datetime":
        column = (column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return column.to_numpy(dtype=np.float64)
