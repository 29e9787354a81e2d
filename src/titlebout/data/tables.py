"""Read tables from Parquet, CSV and JSONL files; malformed files are errors, never repaired."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from titlebout.core.errors import DataError, NotFoundError
from titlebout.data.pandas_index import index_as_columns
from titlebout.data.schema import NO_TYPES, RawTable, Schema, Unreadable, infer_schema, read_as, read_readable

_TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
SUFFIXES = (".parquet", *_TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in _TEXT_SUFFIXES))
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # of a pair that stands for one character


def read_table(path: Path, schema: Schema = NO_TYPES, end: int | None = None) -> pd.DataFrame:
    """Read one Parquet, CSV, TSV or JSONL file; the text formats may be compressed with gzip.

    Parameters
    ----------
    path : Path
        The suffix decides how it is read.
    schema : Schema
        Recorded types of columns; the type of any other column is inferred from its values.
    end : int, optional
        Read only this many bytes of a JSONL file.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns), n_rows >= 1
        See :func:`titlebout.data.schema.read_as`.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If the file is empty, has no rows, is not UTF-8, is ragged or malformed, has duplicate column names, or has a value
        that is not of the type of its column.
    """
    raw = read_raw(path, end)
    require_rows([raw])
    return read_as(raw, infer_schema([raw], schema))


def read_raw(path: Path, end: int | None = None) -> RawTable:
    """Read one file without converting its values; the parameters are those of :func:`read_table`.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If the file cannot be read as :func:`read_table` says; one with a header alone has no rows.
    """
    if path.is_symlink() and not path.exists():
        raise DataError("the link leads nowhere", where=str(path), fix="remove it, or restore the file that it names")
    if not path.is_file():
        raise NotFoundError(f"{path.name} does not exist", where=str(path), fix="check the path, or run `dvc pull`")
    suffix = table_suffix(path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="check the job that exported it")
    readers: dict[str, Callable[[], RawTable]] = {
        ".parquet": lambda: _read_parquet(path),
        ".csv": lambda: _read_delimited(path, ","),
        ".tsv": lambda: _read_delimited(path, "\t"),
        ".jsonl": lambda: _read_jsonl(path, end),
        ".ndjson": lambda: _read_jsonl(path, end),
    }
    return readers[suffix.removesuffix(".gz")]()


def table_suffix(path: Path) -> str:
    """Return the suffix of a table file, such as ``.csv.gz``.

    Raises
    ------
    DataError
        If files of this name are not read.
    """
    found = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if found is None:
        raise DataError(
            f"unsupported file type: {path.suffix or 'no file name extension'}",
            where=str(path),
            fix=f"convert the file to one of {', '.join(SUFFIXES)}, or move it to another folder",
        )
    return found


def find_tables(root: Path, pattern: str) -> tuple[Path, ...]:
    """Return the data files in and below a folder, or those of a glob, sorted by name.

    Hidden files, and files whose name is that of a note (:func:`is_data_file`), are left out. Every other file is returned, so
    that one that cannot be read is an error and is not left out without a word.
    """
    folder, anchor = root / pattern, Path(pattern).anchor
    paths = folder.rglob("*") if folder.is_dir() else (root / anchor).glob(pattern.removeprefix(anchor))
    return tuple(sorted(path for path in paths if _is_visible_file(path, folder) and is_data_file(path.name)))


def is_data_file(name: str) -> bool:
    """Return whether a file holds data by its name: not hidden or a lock, and not a marker such as ``_SUCCESS`` or a README.

    A file that ends like a table is one, such as ``_2025-05.csv``.
    """
    is_table = name.lower().endswith(SUFFIXES)
    return not name.startswith((".", "~$")) and (is_table or not name.upper().startswith(("_", "README")))


def is_empty_folder(root: Path, pattern: str) -> bool:
    """Return whether a folder exists but has no data files yet; a missing folder is a configuration error instead."""
    return (root / pattern).is_dir() and not find_tables(root, pattern)


def read_tables(root: Path, pattern: str, schema: Schema = NO_TYPES) -> pd.DataFrame:
    """Read all tables of a folder or glob and concatenate them in the order of their names.

    Raises
    ------
    NotFoundError
        If there are no tables.
    DataError
        If a table cannot be read, or has other columns than the first.
    """
    stored = [read_raw(path) for path in _require_tables(root, pattern)]
    require_rows(stored)
    tables = _same_columns(stored)
    complete, columns = infer_schema(tables, schema), list(tables[0].frame.columns)
    return _concatenate([read_as(table, complete)[columns] for table in tables])


class SourceFile(NamedTuple):
    """A file that was read: its name, the SHA-256 of its content, empty if it is unfinished, and its number of rows."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class GrowingTables:
    """Tables that may still be written to, up to the last complete line.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Without rows and columns if there are no tables yet.
    unfinished : int
        Number of JSONL files whose last line is incomplete; these lines are ignored.
    unreadable : tuple of Unreadable
        Columns with values that are not of their type; they have the stored values.
    files : tuple of SourceFile
        In the order of the rows.
    taken_in : int
        Number of files that were not read, because they are taken in.
    """

    frame: pd.DataFrame
    unfinished: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    files: tuple[SourceFile, ...] = ()
    taken_in: int = 0


def read_growing(
    root: Path, pattern: str, schema: Schema = NO_TYPES, late: str = "", taken_in: frozenset[str] = frozenset()
) -> GrowingTables:
    """Read tables that may still be written to, up to the last complete line.

    Parameters
    ----------
    root : Path
        Folder that `pattern` is relative to.
    pattern : str
        Folder or glob.
    schema : Schema
        Recorded types of columns.
    late : str
        Column that some of the files may not have yet: the target.
    taken_in : frozenset of str
        SHA-256 of files that are not read.

    Raises
    ------
    NotFoundError
        If the folder does not exist, or no file matches the glob.
    DataError
        If a file cannot be read, or has other columns than the first.
    """
    if is_empty_folder(root, pattern):
        return GrowingTables(pd.DataFrame())
    found = {path: _digest(path) for path in _require_tables(root, pattern)}
    paths = [path for path, digest in found.items() if digest not in taken_in]
    skipped = len(found) - len(paths)
    log_sizes = {path: _whole_lines(path) for path in paths if table_suffix(path) in {".jsonl", ".ndjson"}}
    unfinished = [path for path, (_, is_unfinished) in log_sizes.items() if is_unfinished]
    readable = [path for path in paths if path not in log_sizes or log_sizes[path][0]]
    if not readable:
        return GrowingTables(pd.DataFrame(), len(unfinished), taken_in=skipped)
    tables = [read_raw(path, log_sizes.get(path, (None, False))[0]) for path in readable]
    require_rows(tables)
    frame, unreadable = as_types(tables, schema, late)
    files = [
        SourceFile(path.name, "" if path in unfinished else found[path], len(table.frame))
        for path, table in zip(readable, tables, strict=True)
    ]
    return GrowingTables(frame, len(unfinished), unreadable, tuple(files), skipped)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty for a link that leads nowhere, which is an error where it is read."""
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def as_types(tables: Sequence[RawTable], schema: Schema, late: str = "") -> tuple[pd.DataFrame, tuple[Unreadable, ...]]:
    """Return the rows of all tables, as far as their values can be read as the types of their columns.

    Raises
    ------
    DataError
        If a table has other columns than the first.
    """
    tables = _same_columns(tables, late)
    complete = infer_schema(tables, schema)
    read = [read_readable(table, complete) for table in tables]
    columns = list(tables[0].frame.columns)
    frame = _concatenate([frame[columns] for frame, _ in read])
    return frame, tuple(found for _, unreadable in read for found in unreadable)


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


def _concatenate(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate rows; times get microseconds in all frames if one has a year that nanoseconds cannot hold."""
    try:
        return pd.concat(frames, ignore_index=True)
    except pd.errors.OutOfBoundsDatetime:
        times = [name for name in frames[0].columns if pd.api.types.is_datetime64_any_dtype(frames[0][name].dtype)]
        return pd.concat(
            [frame.astype(dict.fromkeys(times, "datetime64[us, UTC]")) for frame in frames], ignore_index=True
        )


def require_rows(tables: Sequence[RawTable]) -> None:
    """Require a row in any of the tables: distributed jobs write parts without rows.

    Raises
    ------
    DataError
        If there is none.
    """
    if all(table.frame.empty for table in tables):
        where, fix = tables[0].where, "check the job that exported it"
        raise DataError("the file has a header but no rows", where=where, fix=fix)


def _same_columns(tables: Sequence[RawTable], late: str = "") -> Sequence[RawTable]:
    """Return the tables that have rows, each with the columns of the first, in any order; the late one may be missing in some.

    Raises
    ------
    DataError
        If a table has other columns.
    """
    tables = [table for table in tables if len(table.frame)] or tables
    if any(late in table.frame for table in tables):
        tables = [
            table if late in table.frame else replace(table, frame=table.frame.assign(**{late: None}))
            for table in tables
        ]
    first = tables[0]
    for table in tables[1:]:
        mismatched = set(table.frame.columns) ^ set(first.frame.columns)
        if mismatched:
            raise DataError(
                f"{Path(table.where).name} and {Path(first.where).name} have different columns",
                where=table.where,
                why=f"in only one of the files: {', '.join(sorted(map(str, mismatched)))}",
                fix="rename or add the columns, or remove the file from the folder",
            )
    return tables


def _is_visible_file(path: Path, folder: Path) -> bool:
    inner = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
    # A link that leads nowhere, or to a folder, is not a file, but must not count as nothing.
    return (path.is_file() or path.is_symlink()) and not any(part.startswith(".") for part in inner)


def _read_parquet(path: Path) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Integers with gaps stay integers: as floats, ids of more than 15 digits would be rounded.
        frame = pq.read_table(path).to_pandas(integer_object_nulls=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            "the file is not valid Parquet",
            where=str(path),
            why=str(error),
            fix="export it again, or restore it with `dvc pull`",
        ) from error
    frame, notes = index_as_columns(frame, str(path))
    _require_names(path, list(frame.columns))
    return RawTable(frame, typed=True, where=str(path), notes=notes)


def _read_delimited(path: Path, delimiter: str) -> RawTable:
    """Read a CSV or TSV file as text, and require that each row has as many fields as the header.

    pandas would fill short rows with NaN, and guess the type of a column from each part of the file.

    Raises
    ------
    DataError
        If a row has more or fewer fields.
    """
    csv.field_size_limit(2**31 - 1)  # a long text is not an error
    lines = csv.reader(io.StringIO(_decode(path), newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        header = next(lines, [])
        _require_delimiter(path, header, delimiter)
        _require_names(path, header)
        for row in lines:
            if row and len(row) != len(header):
                raise DataError(
                    f"line {lines.line_num} has {len(row)} fields, but the header has {len(header)}",
                    where=f"{path}:{lines.line_num}",
                    why="common causes: an unquoted comma, a truncated line, or a column added upstream",
                    fix="correct the line, or fix the job that exported the file",
                )
            if row:
                rows.append(row)
    except csv.Error as error:
        raise DataError(
            "the file is not valid CSV",
            where=f"{path}:{lines.line_num}",
            why=str(error),
            fix="correct the line, or fix the job that exported the file",
        ) from error
    return RawTable(pd.DataFrame(rows, columns=header, dtype=object), typed=False, where=str(path))


def _require_delimiter(path: Path, header: Sequence[str], delimiter: str) -> None:
    """Require that a header of one column is not a header of several with another delimiter.

    Raises
    ------
    DataError
        If it is; the numbers of such a file may have decimal commas, so it is not read by a guess.
    """
    other = (
        next((mark for mark in ";\t|," if mark != delimiter and mark in header[0]), None) if len(header) == 1 else None
    )
    if other:
        raise DataError(
            f"the columns are separated by {other!r}, not by {delimiter!r}",
            where=f"{path}:1",
            fix="export the file with commas (or with tabs, as .tsv) and with decimal points",
        )


def _read_jsonl(path: Path, end: int | None) -> RawTable:
    """Read one JSON object per line without converting values; pandas.read_json would turn the text "00501" into 501."""
    lines = _decode(path, end).split("\n")
    records = [_json_object(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
    frame = pd.DataFrame(records, dtype=object)
    _require_names(path, list(frame.columns))
    return RawTable(frame, typed=True, where=str(path))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return record


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_unique_keys)
        if _HALF_CHARACTER.search(line):
            json.dumps(record, ensure_ascii=False).encode()  # a ValueError, if the other half is missing
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


def _decode(path: Path, end: int | None = None) -> str:
    raw = _decompress(path) if path.name.lower().endswith(".gz") else path.read_bytes()[:end]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "the file is not UTF-8",
            where=f"{path}, byte {error.start}",
            fix=_encoding_fix(raw),
        ) from error
    if "\x00" in text:
        raise DataError(
            "the file contains NUL characters",
            where=str(path),
            why="it is probably binary or UTF-16",
            fix="export it as UTF-8",
        )
    return text


def _encoding_fix(raw: bytes) -> str:
    if raw.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip: add .gz to its name"
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "cp1252"
    return f"convert it to UTF-8, for example with `iconv -f {encoding} -t utf-8 FILE > NEW_FILE`"


def _require_names(path: Path, names: Sequence[object]) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        label = str(name).strip()
        if not label:
            fix = "give every column a name; pandas writes one without a name: to_csv(..., index=False) leaves it out"
            raise DataError(f"column {position} has no name", where=str(path), fix=fix)
        if label.casefold() in seen:
            raise DataError(f"two columns are named {label!r}", where=str(path), fix="rename one of them")
        seen.add(label.casefold())


def _decompress(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            "the file cannot be decompressed",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="check whether it was copied completely, and export it again",
        ) from error
