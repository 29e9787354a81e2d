"""Column kinds, conversion between them, and row hashes that depend on the values only."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import DataError

# 48 bits are small enough to store one hash per training row, and large enough that comparing a million rows with
# a hundred thousand gives a chance collision in one of 2,800 comparisons: 10^6 * 10^5 / 2^48 = 1 / 2,800.
ROW_HASH_BITS = 48

Column: TypeAlias = "pd.Series[Any]"

# From the names that pandas' infer_dtype gives to columns of Python objects; all other names mean text.
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
    """Return the kind of a column, one of `KINDS`: from its dtype, or from the values of objects and categories."""
    types = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column_kind(column.cat.categories.to_series())
    if column.dtype == object:
        return _OBJECTS.get(types.infer_dtype(column), "text")
    dtype_tests = (
        ("boolean", types.is_bool_dtype),
        ("integer", types.is_integer_dtype),
        ("number", types.is_numeric_dtype),
        ("datetime", types.is_datetime64_any_dtype),
    )
    return next((kind for kind, has_kind in dtype_tests if has_kind(column)), "text")


def conform(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    """Convert every column to the dtype of its kind, so that CSV, Parquet and JSON give the same table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Must have all columns of `kinds`; other columns are dropped.
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
        If a column is missing or a value cannot be converted to the kind of its column.
    """
    missing = [name for name in kinds if name not in frame.columns]
    if missing:
        raise DataError(
            f"the data lacks columns that the model needs: {', '.join(missing)}",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="add the columns, or train a model on data without them",
        )
    return pd.DataFrame({name: _conform_column(frame[name], kind) for name, kind in kinds.items()}, index=frame.index)


def row_hashes(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return one 48-bit hash per row that depends on the values only, not on dtypes, column order or file format.

    A missing value has the same hash in every column, because the kind of a column without values is unknown.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)

    Returns
    -------
    ndarray of shape (n_rows,), dtype uint64
    """
    combined: npt.NDArray[np.uint64] = np.zeros(len(frame), dtype=np.uint64)
    for name in sorted(frame.columns):
        column = frame[name]
        hashed = np.where(column.isna().to_numpy(dtype=bool), _MISSING, _value_hashes(column))
        combined = combined * np.uint64(1_000_003) + hashed
    return combined >> np.uint64(64 - ROW_HASH_BITS)


def _value_hashes(column: Column) -> npt.NDArray[np.uint64]:
    """Return a hash of every value that is the same in every dtype: the integer 1 and 1.0, a time in any unit and zone."""
    kind = column_kind(column)
    if kind in {"integer", "number", "boolean"}:
        return _number_hashes(column)
    if kind == "datetime":
        # In microseconds: a column has no nanoseconds if one of its times is in a year that they do not reach.
        seconds, nanoseconds = epoch_parts(column)
        return _hash(seconds) * np.uint64(1_000_003) + _hash(nanoseconds // 1000)
    texts = column.map(str, na_action="ignore").astype(object)
    return np.asarray(pd.util.hash_pandas_object(texts, index=False, categorize=True), dtype=np.uint64)


def _number_hashes(column: Column) -> npt.NDArray[np.uint64]:
    """Hash whole numbers as integers, which are exact beyond the 53 bits of a float, and all others as floats."""
    if pd.api.types.is_integer_dtype(column.dtype):
        return _hash(column.fillna(0).to_numpy(dtype=np.int64))
    if column_kind(column) == "integer":  # Python objects
        return _hash(np.array([0 if pd.isna(value) else int(value) for value in column], dtype=np.int64))
    present = column.notna()
    plain = column if pd.api.types.is_float_dtype(column.dtype) else column.astype(object)
    numbers = plain.where(present, 0).to_numpy(dtype=np.float64) + 0.0  # turns -0.0 into 0.0
    whole = np.isfinite(numbers) & (np.abs(numbers) < 2.0**63) & (np.floor(numbers) == numbers)
    return np.where(whole, _hash(np.where(whole, numbers, 0.0).astype(np.int64)), _hash(numbers))


def _hash(values: "npt.NDArray[np.int64] | npt.NDArray[np.float64]") -> npt.NDArray[np.uint64]:
    return pd.util.hash_array(values)


def epoch_parts(times: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return seconds since 1970 and the nanoseconds after them: the same for a time in any unit and zone."""
    stamps = times if pd.api.types.is_datetime64_any_dtype(times.dtype) else pd.to_datetime(times, utc=True)
    if isinstance(stamps.dtype, pd.DatetimeTZDtype):
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    values = stamps.to_numpy()
    seconds = values.astype("datetime64[s]")
    rest = (values - seconds).astype("timedelta64[ns]")
    return seconds.astype(np.int64), rest.astype(np.int64)


def epoch_microseconds(times: Column) -> npt.NDArray[np.int64]:
    """Return microseconds since 1970, which, unlike nanoseconds, reach all years from 1 to 9999.

    Parameters
    ----------
    times : Series of shape (n_rows,)
        Without missing values.
    """
    seconds, nanoseconds = epoch_parts(times)
    return seconds * 10**6 + nanoseconds // 1000


def conform_like(frame: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Convert every column to its kind in `reference`, whatever file format it was read from.

    Parameters
    ----------
    frame, reference : DataFrame
        `reference` must have all columns of `frame`.

    Returns
    -------
    DataFrame of the shape of `frame`

    Raises
    ------
    DataError
        If a value cannot be converted to the kind of its column.
    """
    return pd.DataFrame({name: _like(frame[name], reference[name]) for name in frame.columns}, index=frame.index)


def timestamps(frame: pd.DataFrame, time: str) -> Column:
    """Return the time column as UTC timestamps.

    Raises
    ------
    DataError
        If the column does not exist, or a value is missing or not a time.
    """
    times = present_timestamps(frame, time)
    if times.isna().any():
        row = int(np.flatnonzero(times.isna())[0])
        raise DataError(
            f"time column {time!r} has missing values",
            where=f"first in row {row}",
            fix="fill in the missing times, or drop the rows without one",
        )
    return times


def present_timestamps(frame: pd.DataFrame, time: str) -> Column:
    """Return the time column as UTC timestamps, missing ones as NaT.

    Raises
    ------
    DataError
        If the column does not exist, or a value is not a time.
    """
    if time not in frame.columns:
        raise DataError(f"the data has no time column {time!r}", fix="add it, or change data.time in params.yaml")
    if column_kind(frame[time]) in {"number", "integer", "boolean"} and frame[time].notna().any():
        raise DataError(
            f"time column {time!r} contains numbers instead of times",
            fix="write times in ISO 8601, for example 2024-03-01T12:00:00Z",
        )
    return _conform_column(frame[time], "datetime")


def _conform_column(column: Column, kind: str) -> Column:
    try:
        # to_datetime is slow on columns that already have a time zone: it searches for duplicates first
        if kind == "datetime" and isinstance(column.dtype, pd.DatetimeTZDtype):
            return _in_nanoseconds(column.dt.tz_convert("UTC"))
        if kind == "datetime":
            return _in_nanoseconds(_as_times(column))
        if kind == "text":
            return _as_text(column)
        return _as_boolean(column) if kind == "boolean" else _as_number(column)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {column.name!r} cannot be read as {kind}",
            why=str(error),
            fix=f"correct the values, or convert the column to {kind}",
        ) from error


def _as_times(column: Column) -> Column:
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except pd.errors.OutOfBoundsDatetime:  # a time with nanoseconds and a distant year in one column
        rounded = [None if pd.isna(value) else pd.Timestamp(value).as_unit("us") for value in column]
        return pd.to_datetime(pd.Series(rounded, index=column.index, name=column.name, dtype=object), utc=True)
    except ValueError:
        _require_read(column, pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce"), "times")
        raise


def _require_read(values: Column, read: Column, what: str) -> None:
    """Refuse values that could not be read; pandas' own message would show one of them in a log.

    Raises
    ------
    ValueError
        If a value that is present became a missing one.
    """
    lost = np.flatnonzero((values.notna() & read.isna()).to_numpy())
    if len(lost):
        verb = "value is" if len(lost) == 1 else "values are"
        raise ValueError(f"{len(lost):,} {verb} no {what}, first in row {lost[0]}")


def _in_nanoseconds(times: Column) -> Column:
    """Return times with nanoseconds, or with microseconds if a year is outside 1678 to 2262, such as 9999."""
    try:
        return times.astype("datetime64[ns, UTC]")
    except pd.errors.OutOfBoundsDatetime:
        return times.astype("datetime64[us, UTC]")


def _like(column: Column, reference: Column) -> Column:
    """Convert a column to the kind of a reference column: some file formats store times and booleans as text."""
    kind = column_kind(reference)
    if kind == column_kind(column) or reference.isna().all():
        return column
    conformed = _conform_column(column, kind)
    return conformed.map({1.0: True, 0.0: False}) if kind == "boolean" else conformed


def _as_number(column: Column) -> Column:
    values = column.astype(object) if column.dtype == "category" else column
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    _require_read(values, numbers, "numbers")
    if np.isinf(numbers).any():
        raise ValueError("the column contains infinite values")
    return numbers + 0.0  # turns -0.0 into 0.0, which is equal but has another hash


def _as_text(column: Column) -> Column:
    # Every value becomes a str, because a CSV file cannot distinguish the number 1 from the text "1" in a text column.
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype(object).where(column.notna(), None)
    if any(isinstance(value, list | dict | np.ndarray) for value in column):
        raise ValueError("the column contains a list or an object")
    texts = [str(value) if present else None for value, present in zip(column, column.notna(), strict=True)]
    return pd.Series(texts, index=column.index, name=column.name, dtype=object)


def _as_boolean(column: Column) -> Column:
    texts = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    mapped = column.astype(object).map(lambda value: texts.get(str(value).lower()) if pd.notna(value) else np.nan)
    if mapped.isna().sum() > column.isna().sum():
        raise ValueError("the column contains values other than true and false")
    return mapped.astype("float64")


def recent(frame: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    """Return the rows of the last `days` days sorted by time; without a time column, all rows unchanged."""
    if not time or frame.empty:
        return frame
    times = timestamps(frame, time)
    order = np.argsort(times.to_numpy(), kind="stable")
    kept = (times > times.max() - pd.Timedelta(days=days)).to_numpy()
    rows: pd.DataFrame = frame.iloc[order[kept[order]]]
    return rows
