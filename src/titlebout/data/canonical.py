"""One dtype per kind of column, so that int8 and int64 mean the same to every check and comparison."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from titlebout.data.columns import Column, column_kind

# Whole numbers with gaps arrive as floats, and pandas 2 and 3 name text differently.
CANONICAL_TYPES = {
    "integer": ["int64", "float64"],
    "number": ["int64", "float64"],
    "boolean": ["bool"],
    "datetime": ["datetime64[ns]"],
    "text": ["str", "object"],
}


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Give every column the one dtype of its kind: int8 and int64 mean the same, and only some dtypes are fast.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Without repeated column names.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        int64 or, with missing values, float64; bool; datetime64[ns] in UTC; object for text, for columns without any
        value, and for boolean columns with missing ones. Other dtypes are kept.
    """
    return pd.DataFrame({name: _canonical_column(frame[name]) for name in frame.columns}, index=frame.index)


def canonical_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the type names and times of an expectation the way :func:`canonical` translates columns."""
    changed = dict(kwargs)
    for key in ("min_value", "max_value"):
        if isinstance(changed.get(key), str):
            changed[key] = _canonical_time(changed[key])
    if isinstance(changed.get("type_list"), list):
        changed["type_list"] = list(dict.fromkeys(_canonical_type(name) for name in changed["type_list"]))
    if "type_" in changed:
        changed["type_"] = _canonical_type(changed["type_"])
    return changed


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
    """Return times in UTC without a zone, the one form that has a name in Great Expectations' type lists."""
    aware = isinstance(column.dtype, pd.DatetimeTZDtype)  # then to_datetime would only look for repeated values
    naive = (column.dt.tz_convert("UTC") if aware else pd.to_datetime(column, utc=True)).dt.tz_localize(None)
    try:
        return naive.astype("datetime64[ns]")
    except pd.errors.OutOfBoundsDatetime:  # such as the year 9999: just as right, only slower to compare
        return naive


def _canonical_time(text: str) -> str:
    """Return a time in UTC without zone, a date as its midnight: Great Expectations cannot compare a bare date."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).isoformat()


def _canonical_type(name: str) -> str:
    try:
        dtype = pd.api.types.pandas_dtype(name)
    except (TypeError, ValueError):
        return name  # a Python type, such as Timestamp
    kind = column_kind(pd.Series(dtype=dtype))
    if kind == "text":
        return "str" if isinstance(dtype, pd.StringDtype) else name
    return "float64" if kind == "number" else CANONICAL_TYPES[kind][0]
