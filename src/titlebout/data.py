"""Tables: read strictly, typed by column kind, identified by row hashes."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.errors import DataError, NotFoundError

SUFFIXES = (".parquet", ".csv", ".jsonl")
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
_ISO_TIME = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"


def read_table(path: Path) -> pd.DataFrame:
    """Read one parquet, CSV or JSONL file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    DataFrame of shape (n_rows, n_columns), n_rows >= 1
        With the dtypes that the file has; text is UTF-8, and in CSV and JSONL ISO 8601 times are read as times (UTC).

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If the file is empty, has no rows, is not UTF-8, is ragged or malformed, or repeats a column name.
    """
    if not path.is_file():
        raise NotFoundError(f"{path.name} is not there", where=str(path), fix="check the path, or run `dvc pull`")
    reader = {".parquet": _read_parquet, ".csv": _read_csv, ".jsonl": _read_jsonl}.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"cannot read a {path.suffix or 'file without ending'}",
            where=str(path),
            fix=f"use one of {', '.join(SUFFIXES)}",
        )
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="check the export that wrote it")
    frame = reader(path)
    if len(frame) == 0:
        raise DataError("the file has a header but no rows", where=str(path), fix="check the export that wrote it")
    return frame


def find_tables(root: Path, pattern: str) -> tuple[Path, ...]:
    """Return the table files in and below a folder, or those of a glob, sorted by name; hidden ones are left out."""
    folder, anchor = root / pattern, Path(pattern).anchor
    paths = folder.rglob("*") if folder.is_dir() else (root / anchor).glob(pattern.removeprefix(anchor))
    return tuple(sorted(path for path in paths if path.suffix.lower() in SUFFIXES and _is_visible_file(path, folder)))


def nothing_arrived(root: Path, pattern: str) -> bool:
    """Return whether a folder is there and holds no table yet; a folder that is not there is a mistake, not a wait."""
    return (root / pattern).is_dir() and not find_tables(root, pattern)


def read_tables(root: Path, pattern: str) -> pd.DataFrame:
    """Read every table of a folder or glob and stack them in the order of their names.

    Raises
    ------
    NotFoundError
        If there is none.
    DataError
        If one cannot be read, or has other columns than the first.
    """
    paths = find_tables(root, pattern)
    if not paths:
        raise NotFoundError(
            f"no data in {pattern}",
            where=str(root / pattern),
            fix="put parquet, CSV or JSONL files there, or run `dvc pull`",
        )
    frames = [read_table(path) for path in paths]
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        different = set(frame.columns) ^ set(frames[0].columns)
        if different:
            raise DataError(
                f"{path.name} has other columns than {paths[0].name}",
                where=str(path),
                why=f"only one of them has: {', '.join(sorted(map(str, different)))}",
                fix="rename or add the columns, or move the file away",
            )
    return pd.concat([frame[frames[0].columns] for frame in frames], ignore_index=True)


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


def new_rows(current: pd.DataFrame, known: pd.DataFrame, time: str) -> pd.DataFrame:
    """Return the rows of `current` that `known` has not: later than its newest row, or, without time, not in it.

    Parameters
    ----------
    current, known : DataFrame
    time : str
        Time column; empty when rows have no order. The watermark is the data's own newest time, never a clock.

    Returns
    -------
    DataFrame of shape (n_new, n_columns)
        Columns of the kinds that `known` has, whatever kind of file `current` came from.

    Raises
    ------
    DataError
        If a value does not fit the kind of its column.
    """
    current = pd.DataFrame({name: _like(current[name], known[name]) for name in current.columns})
    fresh = ~np.isin(row_hashes(current), row_hashes(known[list(current.columns)]))
    if time:
        fresh &= (timestamps(current, time) > timestamps(known, time).max()).to_numpy()
    return current[fresh].drop_duplicates().reset_index(drop=True)


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


def _is_visible_file(path: Path, folder: Path) -> bool:
    inner = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
    return path.is_file() and not any(part.startswith(".") for part in inner)


def _conform_column(column: Column, kind: str) -> Column:
    try:
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


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            "this is not a readable parquet file",
            where=str(path),
            why=str(error),
            fix="write it again, or pull it with `dvc pull`",
        ) from error
    if frame.index.name is not None:  # pandas had a column as its index when it wrote the file
        frame = frame.reset_index()
    _require_names(path, list(frame.columns))
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV whose every row has as many fields as its header.

    pandas alone fills short rows with NaN and shifts columns when all rows are long.

    Raises
    ------
    DataError
        If a row has more or fewer.
    """
    text = _decode(path)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        _require_names(path, header)
        for row in rows:
            if row and len(row) != len(header):
                raise DataError(
                    f"line {rows.line_num} has {len(row)} fields, the header has {len(header)}",
                    where=f"{path}:{rows.line_num}",
                    why="an unquoted comma, a cut line, or a column that was added upstream",
                    fix="correct the line or the export that wrote it",
                )
        # The default reader of numbers is wrong in the last bit now and then.
        return _with_times(pd.read_csv(io.StringIO(text), float_precision="round_trip"))
    except (csv.Error, ValueError) as error:
        raise DataError(
            "this is not a readable CSV file", where=f"{path}:{rows.line_num}", why=str(error), fix="correct the export"
        ) from error


def _read_jsonl(path: Path) -> pd.DataFrame:
    """Read one JSON object per line, every value as it is written: pandas' own reader makes numbers of texts."""
    lines = _decode(path).split("\n")
    frame = pd.DataFrame([_json_object(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()])
    _require_names(path, list(frame.columns))
    return _with_times(frame)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "a line is not a JSON object", where=where, why=str(error), fix="correct the line or its export"
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            "a line is not a JSON object",
            where=where,
            why=f"it is a {type(record).__name__}",
            fix="correct the line or its export",
        )
    return record


def _with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Read columns of ISO 8601 times as times: CSV and JSON have no other way to say so."""
    return pd.DataFrame({name: _times(frame[name]) for name in frame.columns}, index=frame.index)


def _times(column: Column) -> Column:
    present = column.dropna()
    if column_kind(column) != "text" or present.empty or not present.astype(str).str.fullmatch(_ISO_TIME).all():
        return column
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except ValueError:  # such as the 45th of a month
        return column


def _decode(path: Path) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the file is not UTF-8",
            where=f"{path}, byte {error.start}",
            fix="export it as UTF-8, for example with `iconv -t utf-8`",
        ) from error
    if "\x00" in text:
        raise DataError(
            "the file has NUL characters", where=str(path), fix="it is probably binary or UTF-16: export it as UTF-8"
        )
    return text


def _require_names(path: Path, names: Sequence[object]) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        label = str(name).strip()
        if not label:
            raise DataError(f"column {position} has no name", where=str(path), fix="name every column")
        if label.casefold() in seen:
            raise DataError(f"two columns are called {label!r}", where=str(path), fix="rename one of them")
        seen.add(label.casefold())
