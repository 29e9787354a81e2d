"""Canonical dtypes: one per column kind, so that checks and drift metrics treat int8 and int64 alike."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from titlebout.data.columns import Column, column_kind

# Integer columns with missing values are read as floats, and pandas 2 and 3 name the text dtype differently.
CANONICAL_TYPES = {
    "integer": ["int64", "float64"],
    "number": ["int64", "float64"],
    "boolean": ["bool"],
    "datetime": ["datetime64[us]"],  # holds the year 9999, which nanoseconds do not
    "text": ["str", "object"],
}


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert every column to the canonical dtype of its kind.

    Great Expectations compares dtypes by name, so int8 and int64 would be two types; it is also slow on some dtypes,
    such as categories and Arrow types.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Must not have duplicate column names.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        int64 or, with missing values, float64; bool; datetime64[us] in UTC; object for text, for columns without
        values, and for boolean columns with missing values. Other dtypes are kept.
    """
    return pd.DataFrame({name: _canonical_column(frame[name]) for name in frame.columns}, index=frame.index)


def canonical_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the type names and times in the arguments of an expectation as :func:`canonical` converts columns."""
    converted = dict(kwargs)
    for key in ("min_value", "max_value"):
        if isinstance(converted.get(key), str):
            converted[key] = _canonical_time(converted[key])
    if isinstance(converted.get("type_list"), list):
        converted["type_list"] = list(dict.fromkeys(_canonical_type(name) for name in converted["type_list"]))
    if "type_" in converted:
        converted["type_"] = _canonical_type(converted["type_"])
    return converted


def _canonical_column(column: Column) -> Column:
    if column.isna().all():
        return pd.Series([None] * len(column), index=column.index, dtype=object)
    if isinstance(column.dtype, pd.CategoricalDtype | pd.ArrowDtype):
        column = column.astype(object).where(column.notna(), None)
    column = column.infer_objects()
    kind = column_kind(column)
    if kind in {"integer", "number"}:
        whole = kind == "integer" and not column.hasnans and column.max() < 2**63
        return column.astype("int64" if whole else "float64")
    if kind == "datetime":
        return _naive_utc(column)
    if kind == "boolean" and not column.hasnans:
        return column.astype(bool)
    textual = kind == "boolean" or pd.api.types.is_string_dtype(column.dtype)
    return column.astype(object).where(column.notna(), None) if textual else column


def _naive_utc(column: Column) -> Column:
    """Return times in UTC without a time zone, the only datetime dtype with a name in Great Expectations' type lists."""
    # to_datetime is slow on columns that already have a time zone: it searches for duplicates first
    has_zone = isinstance(column.dtype, pd.DatetimeTZDtype)
    naive = (column.dt.tz_convert("UTC") if has_zone else pd.to_datetime(column, utc=True)).dt.tz_localize(None)
    return naive.astype("datetime64[us]")


def _canonical_time(text: str) -> str:
    """Return a time in UTC without a time zone, and a date as midnight: Great Expectations cannot compare dates."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).isoformat()


def _canonical_type(name: str) -> str:
    try:
        dtype = pd.api.types.pandas_dtype(name)
    except (TypeError, ValueError):
        return name  # the name of a Python type, such as Timestamp
    kind = column_kind(pd.Series(dtype=dtype))
    if kind == "text":
        return "str" if isinstance(dtype, pd.StringDtype) else name
    return "float64" if kind == "number" else CANONICAL_TYPES[kind][0]
