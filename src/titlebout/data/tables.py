"""Files of tables, read strictly: what cannot be read as what it claims to be is refused, never guessed."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from titlebout.core.errors import DataError, NotFoundError
from titlebout.data.columns import Column, column_kind

SUFFIXES = (".parquet", ".csv", ".jsonl")
_ISO_TIME = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"


def read_table(path: Path, end: int | None = None) -> pd.DataFrame:
    """Read one parquet, CSV or JSONL file.

    Parameters
    ----------
    path : Path
    end : int, optional
        Read so many bytes of a JSONL file only.

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
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".jsonl": partial(_read_jsonl, end=end),
    }
    reader = readers.get(path.suffix.lower())
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
    paths = _existing(root, pattern)
    return _stacked(paths, [read_table(path) for path in paths])


def read_growing(root: Path, pattern: str) -> tuple[pd.DataFrame, int]:
    """Read what is there of tables that may still be written to.

    Parameters
    ----------
    root : Path
    pattern : str
        Folder or glob.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns)
        Without rows and columns when a folder is there and holds nothing yet.
    unfinished : int
        JSONL files whose last line is not whole yet; it is left out.

    Raises
    ------
    NotFoundError
        If there is no such folder, or no file that a glob means.
    DataError
        As :func:`read_tables`.
    """
    if nothing_arrived(root, pattern):
        return pd.DataFrame(), 0
    paths = _existing(root, pattern)
    logs = {path: _whole_lines(path) for path in paths if path.suffix.lower() == ".jsonl"}
    unfinished = sum(torn for _, torn in logs.values())
    begun = [path for path in paths if path not in logs or logs[path][0]]
    if not begun:
        return pd.DataFrame(), unfinished
    return _stacked(begun, [read_table(path, logs.get(path, (None, False))[0]) for path in begun]), unfinished


def _existing(root: Path, pattern: str) -> tuple[Path, ...]:
    """Return the tables of a folder or glob.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    paths = find_tables(root, pattern)
    if not paths:
        raise NotFoundError(
            f"no data in {pattern}",
            where=str(root / pattern),
            fix="put parquet, CSV or JSONL files there, or run `dvc pull`",
        )
    return paths


def _whole_lines(path: Path) -> tuple[int, bool]:
    """Return how many bytes of a JSONL file are whole lines, and whether more of one follows.

    A line without its end is whole when it can be read: no part of a JSON object is one.
    """
    raw = path.read_bytes()
    start = raw.rfind(b"\n") + 1
    try:
        json.loads(raw[start:].strip() or b"null")
        whole = len(raw)
    except (ValueError, RecursionError):
        whole = start
    return whole if raw[:whole].strip() else 0, whole < len(raw)


def _stacked(paths: Sequence[Path], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all files, with the columns in the order of the first.

    Raises
    ------
    DataError
        If a file has other columns.
    """
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


def _is_visible_file(path: Path, folder: Path) -> bool:
    inner = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
    return path.is_file() and not any(part.startswith(".") for part in inner)


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
        return with_times(pd.read_csv(io.StringIO(text), float_precision="round_trip"))
    except (csv.Error, ValueError) as error:
        raise DataError(
            "this is not a readable CSV file", where=f"{path}:{rows.line_num}", why=str(error), fix="correct the export"
        ) from error


def _read_jsonl(path: Path, end: int | None) -> pd.DataFrame:
    """Read one JSON object per line, every value as it is written: pandas' own reader makes numbers of texts."""
    lines = _decode(path, end).split("\n")
    frame = pd.DataFrame([_json_object(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()])
    _require_names(path, list(frame.columns))
    return with_times(frame)


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


def with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Read columns of ISO 8601 times as times: CSV, JSON and SQLite have no other way to say so."""
    return pd.DataFrame({name: _times(frame[name]) for name in frame.columns}, index=frame.index)


def _times(column: Column) -> Column:
    present = column.dropna()
    if column_kind(column) != "text" or present.empty or not present.astype(str).str.fullmatch(_ISO_TIME).all():
        return column
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except ValueError:  # such as the 45th of a month
        return column


def _decode(path: Path, end: int | None = None) -> str:
    raw = path.read_bytes()[:end]
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
