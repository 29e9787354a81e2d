"""Read tables from Parquet, CSV and JSONL files; malformed files are errors, never repaired."""

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
    """Read one Parquet, CSV or JSONL file.

    Parameters
    ----------
    path : Path
        The suffix decides how it is read.
    end : int, optional
        Read only this many bytes of a JSONL file.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns), n_rows >= 1
        With the dtypes of the file; text is UTF-8, and ISO 8601 times in CSV and JSONL are read as times (UTC).

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If the file is empty, has no rows, is not UTF-8, is ragged or malformed, or has duplicate column names.
    """
    if not path.is_file():
        raise NotFoundError(f"{path.name} does not exist", where=str(path), fix="check the path, or run `dvc pull`")
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".jsonl": partial(_read_jsonl, end=end),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"unsupported file type: {path.suffix or 'no file name extension'}",
            where=str(path),
            fix=f"convert the file to one of {', '.join(SUFFIXES)}",
        )
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="check the job that exported it")
    frame = reader(path)
    if len(frame) == 0:
        raise DataError("the file has a header but no rows", where=str(path), fix="check the job that exported it")
    return frame


def find_tables(root: Path, pattern: str) -> tuple[Path, ...]:
    """Return the table files in and below a folder, or those of a glob, sorted by name, without hidden files."""
    folder, anchor = root / pattern, Path(pattern).anchor
    paths = folder.rglob("*") if folder.is_dir() else (root / anchor).glob(pattern.removeprefix(anchor))
    return tuple(sorted(path for path in paths if path.suffix.lower() in SUFFIXES and _is_visible_file(path, folder)))


def is_empty_folder(root: Path, pattern: str) -> bool:
    """Return whether a folder exists but has no tables yet; a missing folder is a configuration error instead."""
    return (root / pattern).is_dir() and not find_tables(root, pattern)


def read_tables(root: Path, pattern: str) -> pd.DataFrame:
    """Read all tables of a folder or glob and concatenate them in the order of their names.

    Raises
    ------
    NotFoundError
        If there are no tables.
    DataError
        If a table cannot be read, or has other columns than the first.
    """
    paths = _require_tables(root, pattern)
    return _concatenate(paths, [read_table(path) for path in paths])


def read_growing(root: Path, pattern: str) -> tuple[pd.DataFrame, int]:
    """Read tables that may still be written to, up to the last complete line.

    Parameters
    ----------
    root : Path
        Folder that `pattern` is relative to.
    pattern : str
        Folder or glob.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns)
        Without rows and columns if the folder has no tables yet.
    unfinished : int
        Number of JSONL files whose last line is incomplete; these lines are ignored.

    Raises
    ------
    NotFoundError
        If the folder does not exist, or no file matches the glob.
    DataError
        As :func:`read_tables`.
    """
    if is_empty_folder(root, pattern):
        return pd.DataFrame(), 0
    paths = _require_tables(root, pattern)
    log_sizes = {path: _whole_lines(path) for path in paths if path.suffix.lower() == ".jsonl"}
    unfinished = sum(unfinished for _, unfinished in log_sizes.values())
    readable = [path for path in paths if path not in log_sizes or log_sizes[path][0]]
    if not readable:
        return pd.DataFrame(), unfinished
    return _concatenate(
        readable, [read_table(path, log_sizes.get(path, (None, False))[0]) for path in readable]
    ), unfinished


def _require_tables(root: Path, pattern: str) -> tuple[Path, ...]:
    """Return the table files of a folder or glob.

    Raises
    ------
    NotFoundError
        If there are no tables.
    """
    paths = find_tables(root, pattern)
    if not paths:
        raise NotFoundError(
            f"no data files were found at {pattern}",
            where=str(root / pattern),
            fix="put Parquet, CSV or JSONL files at this path, or run `dvc pull`",
        )
    return paths


def _whole_lines(path: Path) -> tuple[int, bool]:
    """Return how many bytes of a JSONL file are complete lines, and whether an incomplete line follows.

    A last line without a line break is complete if it parses, because a prefix of a JSON object never does.
    """
    raw = path.read_bytes()
    start = raw.rfind(b"\n") + 1
    try:
        json.loads(raw[start:].strip() or b"null")
        whole = len(raw)
    except (ValueError, RecursionError):
        whole = start
    return whole if raw[:whole].strip() else 0, whole < len(raw)


def _concatenate(paths: Sequence[Path], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all files, with columns in the order of the first file.

    Raises
    ------
    DataError
        If a file has other columns.
    """
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        mismatched = set(frame.columns) ^ set(frames[0].columns)
        if mismatched:
            raise DataError(
                f"{path.name} and {paths[0].name} have different columns",
                where=str(path),
                why=f"in only one of the files: {', '.join(sorted(map(str, mismatched)))}",
                fix="rename or add the columns, or remove the file from the folder",
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
            "the file is not valid Parquet",
            where=str(path),
            why=str(error),
            fix="export it again, or restore it with `dvc pull`",
        ) from error
    if frame.index.name is not None:  # the file was written by pandas with a column as the index
        frame = frame.reset_index()
    _require_names(path, list(frame.columns))
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, and require that each row has as many fields as the header.

    pandas alone fills short rows with NaN, and reads the first column as the index if all rows are too long.

    Raises
    ------
    DataError
        If a row has more or fewer fields.
    """
    text = _decode(path)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        _require_names(path, header)
        for row in rows:
            if row and len(row) != len(header):
                raise DataError(
                    f"line {rows.line_num} has {len(row)} fields, but the header has {len(header)}",
                    where=f"{path}:{rows.line_num}",
                    why="common causes: an unquoted comma, a truncated line, or a column added upstream",
                    fix="correct the line, or fix the job that exported the file",
                )
        # pandas' default float parser is not exact: it can differ from the written number in the last bit.
        return parse_times(pd.read_csv(io.StringIO(text), float_precision="round_trip"))
    except (csv.Error, ValueError) as error:
        raise DataError(
            "the file is not valid CSV",
            where=f"{path}:{rows.line_num}",
            why=str(error),
            fix="correct the line, or fix the job that exported the file",
        ) from error


def _read_jsonl(path: Path, end: int | None) -> pd.DataFrame:
    """Read one JSON object per line without converting values; pandas.read_json would turn the text "00501" into 501."""
    lines = _decode(path, end).split("\n")
    frame = pd.DataFrame([_json_object(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()])
    _require_names(path, list(frame.columns))
    return parse_times(frame)


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "a line is not valid JSON",
            where=where,
            why=str(error),
            fix="correct the line, or fix the job that exported the file",
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            "a line is not a JSON object",
            where=where,
            why=f"it is a {type(record).__name__}",
            fix="correct the line, or fix the job that exported the file",
        )
    return record


def parse_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert text columns that hold only ISO 8601 times to datetimes: CSV, JSON and SQLite store times as text."""
    return pd.DataFrame({name: _times(frame[name]) for name in frame.columns}, index=frame.index)


def _times(column: Column) -> Column:
    present = column.dropna()
    if column_kind(column) != "text" or present.empty or not present.astype(str).str.fullmatch(_ISO_TIME).all():
        return column
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except ValueError:  # the pattern matches but the date does not exist, such as 2024-03-45
        return column


def _decode(path: Path, end: int | None = None) -> str:
    raw = path.read_bytes()[:end]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the file is not UTF-8",
            where=f"{path}, byte {error.start}",
            fix="convert it to UTF-8, for example with `iconv -f latin1 -t utf-8 FILE > NEW_FILE`",
        ) from error
    if "\x00" in text:
        raise DataError(
            "the file contains NUL characters",
            where=str(path),
            why="it is probably binary or UTF-16",
            fix="export it as UTF-8",
        )
    return text


def _require_names(path: Path, names: Sequence[object]) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        label = str(name).strip()
        if not label:
            raise DataError(f"column {position} has no name", where=str(path), fix="give every column a name")
        if label.casefold() in seen:
            raise DataError(f"two columns are named {label!r}", where=str(path), fix="rename one of them")
        seen.add(label.casefold())
