"""Rows: columns of a known kind, identified by hashes that depend on their values only."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import DataError

# 48 bits: small enough to store per training row, large enough that a million rows against
# a hundred thousand collide by chance once in 2,800 comparisons.
ROW_HASH_BITS = 48

Column: TypeAlias = "pd.Series[Any]"

KINDS = ("number", "integer", "boolean", "text", "datetime")
# What a column of Python objects holds, as pandas names it; everything else is text.
_OBJECTS = {
    "boolean": "boolean",
    "integer": "integer",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "datetime": "datetime",
    "date": "datetime",
}
_MISSING = np.uint64(0x9E3779B97F4A7C15)


def column_kind(column: Column) -> str:
    """Return which of `KINDS` a column is: by its dtype, and for objects and categories by what they hold."""
    types = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column_kind(column.cat.categories.to_series())
    if column.dtype == object:
        return _OBJECTS.get(types.infer_dtype(column), "text")
    asked = (
        ("boolean", types.is_bool_dtype),
        ("integer", types.is_integer_dtype),
        ("number", types.is_numeric_dtype),
        ("datetime", types.is_datetime64_any_dtype),
    )
    return next((kind for kind, is_it in asked if is_it(column)), "text")


def conform(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """Give every column the dtype of its kind, so that a CSV, a parquet file and a JSON request mean the same.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Must have all columns of `kinds`; others are dropped.
    kinds : dict of str to str
        Column name to kind.

    Returns
    -------
    DataFrame of shape (n_rows, len(kinds))
        number, integer and boolean as float64 (finite, missing as NaN), text as object (str, missing as None),
        datetime as datetime64[ns, UTC].

    Raises
    ------
    DataError
        If a column is missing or a value does not fit its kind.
    """
    missing = [name for name in kinds if name not in frame.columns]
    if missing:
        raise DataError(
            f"missing columns: {', '.join(missing)}",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="add the columns, or retrain on data without them",
        )
    return pd.DataFrame({name: _conform_column(frame[name], kind) for name, kind in kinds.items()}, index=frame.index)


def row_hashes(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return one 48-bit hash per row that depends on the values only, not on dtypes, column order or file.

    A missing value has the same hash in every column: a column without any value has no kind to tell it by.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)

    Returns
    -------
    ndarray of shape (n_rows,), dtype uint64
    """
    combined = np.zeros(len(frame), dtype=np.uint64)
    for name in sorted(frame.columns):
        column = _conform_column(frame[name], column_kind(frame[name]))
        hashed = pd.util.hash_pandas_object(column, index=False, categorize=True).to_numpy(dtype=np.uint64)
        combined = combined * np.uint64(1_000_003) + np.where(column.isna(), _MISSING, hashed)
    return np.right_shift(combined, np.uint64(64 - ROW_HASH_BITS)).astype(np.uint64)


def alike(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Give every column the kind it has in `known`, whatever kind of file it came from.

    Parameters
    ----------
    frame, known : DataFrame
        `known` must have all columns of `frame`.

    Returns
    -------
    DataFrame of the shape of `frame`

    Raises
    ------
    DataError
        If a value does not fit the kind of its column.
    """
    return pd.DataFrame({name: _like(frame[name], known[name]) for name in frame.columns}, index=frame.index)


def timestamps(frame: pd.DataFrame, time: str) -> Column:
    """Return the time column as UTC timestamps.

    Raises
    ------
    DataError
        If the column is not there or a value is missing or no time.
    """
    if time not in frame.columns:
        raise DataError(f"time column {time!r} is missing", fix="add it, or change data.time in params.yaml")
    if column_kind(frame[time]) in {"number", "integer", "boolean"} and frame[time].notna().any():
        raise DataError(
            f"time column {time!r} has numbers", fix="write times as ISO 8601, for example 2024-03-01T12:00:00Z"
        )
    stamps = _conform_column(frame[time], "datetime")
    if stamps.isna().any():
        row = int(np.flatnonzero(stamps.isna())[0])
        raise DataError(f"time column {time!r} has missing values", where=f"row {row}", fix="fill or drop these rows")
    return stamps


def _conform_column(column: Column, kind: str) -> Column:
    try:
        if kind == "datetime" and isinstance(
            column.dtype, pd.DatetimeTZDtype
        ):  # to_datetime would look for repeated values first, one by one
            return column.astype("datetime64[ns, UTC]")
        if kind == "datetime":
            return pd.to_datetime(column, utc=True, format="ISO8601").astype("datetime64[ns, UTC]")
        if kind == "text":
            return _as_text(column)
        return _as_boolean(column) if kind == "boolean" else _as_number(column)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {column.name!r} is not of kind {kind}",
            why=str(error),
            fix="correct the values or the column's type",
        ) from error


def _like(column: Column, known: Column) -> Column:
    """Give a column the kind of a known one: not every kind of file can say that a text is a time or a truth."""
    kind = column_kind(known)
    if kind == column_kind(column) or known.isna().all():
        return column
    conformed = _conform_column(column, kind)
    return conformed.map({1.0: True, 0.0: False}) if kind == "boolean" else conformed


def _as_number(column: Column) -> Column:
    numbers = pd.to_numeric(column.astype(object) if column.dtype == "category" else column).astype("float64")
    if np.isinf(numbers).any():
        raise ValueError("infinite values")
    return numbers + 0.0  # -0.0 is the same number as 0.0


def _as_text(column: Column) -> Column:
    # Every value as str: among words, a CSV cannot tell the number 1 from the text "1".
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype(object).where(column.notna(), None)
    if any(isinstance(value, list | dict | np.ndarray) for value in column):
        raise ValueError("lists or objects inside a cell")
    words = [str(value) if there else None for value, there in zip(column, column.notna(), strict=True)]
    return pd.Series(words, index=column.index, name=column.name, dtype=object)


def _as_boolean(column: Column) -> Column:
    words = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    mapped = column.astype(object).map(lambda value: words.get(str(value).lower()) if pd.notna(value) else np.nan)
    if mapped.isna().sum() > column.isna().sum():
        raise ValueError("values other than true and false")
    return mapped.astype("float64")


def recent(frame: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    """Return the rows of the last `days` days in order of time; all rows as they are without a time column."""
    if not time or frame.empty:
        return frame
    stamps = timestamps(frame, time)
    order = np.argsort(stamps.to_numpy(), kind="stable")
    kept = (stamps > stamps.max() - pd.Timedelta(days=days)).to_numpy()
    rows: pd.DataFrame = frame.iloc[order[kept[order]]]
    return rows
