"""Read current data and its labels from files, object storage or a database; used by every step."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray
from titlebout.core.errors import ConfigError, DataError, DataRefusedError, NotFoundError, TitleboutError
from titlebout.data.added import read_added, read_taken_in
from titlebout.data.columns import column_kind, timestamps
from titlebout.data.database import Query, open_engine, read_rows
from titlebout.data.identity import has_equal_rows
from titlebout.data.new_rows import NewRows, NewRowsRule, RowCounts, join_labels, select_new_rows
from titlebout.data.object_store import fetch, is_bucket, require_package
from titlebout.data.plausible import implausible_current
from titlebout.data.schema import RawTable, Schema, Unreadable, require_readable, schema_of
from titlebout.data.tables import (
    GrowingTables,
    SourceFile,
    as_types,
    find_tables,
    is_data_file,
    read_growing,
    table_suffix,
)
from titlebout.repository.project import Project
from titlebout.settings.addresses import Address, address

CURRENT, LABELS = "drift.current", "sources.labels"
NO_NEW_DATA = "no new data has arrived yet"


@dataclass(frozen=True)
class CurrentData:
    """Rows that a source holds now.

    Attributes
    ----------
    frame : DataFrame
        All rows; from a database, only those that may be new. Has the target if labels have their own source.
    unfinished : int
        Number of files whose last line is still being written.
    unknown_labels : int
        Number of labels without a matching row.
    unreadable : tuple of Unreadable
        Columns with values that are not of their type in the tracked data; they have the stored values.
    files : tuple of SourceFile
        In the order of the rows; empty if the rows are not those of files.
    taken_in : int
        Number of files that were not read, because all their rows are tracked.
    """

    frame: pd.DataFrame
    unfinished: int = 0
    unknown_labels: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    files: tuple[SourceFile, ...] = ()
    taken_in: int = 0

    @property
    def counts(self) -> RowCounts:
        """Counts that are available before the rows are compared with the tracked data."""
        return RowCounts(
            read=len(self.frame),
            unfinished=self.unfinished,
            unknown_labels=self.unknown_labels,
            taken_in=self.taken_in,
        )


def read_current(project: Project, tracked: pd.DataFrame, data_dir: Path | None = None) -> CurrentData:
    """Read current data, and join the labels that have their own source.

    Parameters
    ----------
    project : Project
        Repository whose titlebout.toml names the sources.
    tracked : DataFrame
        The tracked data: every value is read as the type of its column there, and a database is queried only for rows that
        may be new.
    data_dir : Path, optional
        Folder that `tracked` was read from, which says what is taken in; by default that of `project`.

    Returns
    -------
    CurrentData
        Empty if no data has arrived yet.

    Raises
    ------
    ConfigError
        If an address or a query is not valid, an environment variable is not set, or a package is missing.
    NotFoundError, PermissionRefusedError, TemporaryError
        If a source does not exist, access is denied, or it cannot be reached.
    DataRefusedError
        If a file cannot be read, a limit is exceeded, or labels contradict each other.
    """
    settings, rule = project.settings.sources, new_rows_rule(project)
    _require_tracked(rule, tracked)
    schema = schema_of(tracked, project.params.data)
    # A time of another form than ISO 8601 is not compared in the database: as text, 05/03/2025 is before 2024.
    recorded = schema.types.get(rule.time)
    ordered = "" if recorded and recorded.form else rule.time
    query = Query(settings.query, (), ordered, _since(tracked, rule), settings.max_rows)
    with _refusing():
        taken_in = _taken_in(project, data_dir or project.data_dir, tracked, rule)
        current = _read(project, _address(project, CURRENT), query, schema, taken_in)
        if not settings.labels or current.frame.empty:
            return CurrentData(
                current.frame,
                current.unfinished,
                unreadable=current.unreadable,
                files=current.files,
                taken_in=current.taken_in,
            )
        _require_ids(rule)
        query = Query(settings.labels_query, (*rule.ids, rule.target), max_rows=settings.max_rows)
        labels = _read(project, _address(project, LABELS), query, schema)
        frame, unknown = join_labels(current.frame, labels.frame, rule)
    unreadable = (
        *current.unreadable,
        *(found for found in labels.unreadable if found.column in (*rule.ids, rule.target)),
    )
    return CurrentData(frame, current.unfinished + labels.unfinished, unknown, unreadable)


def _taken_in(project: Project, data_dir: Path, tracked: pd.DataFrame, rule: NewRowsRule) -> frozenset[str]:
    """Return the files that need not be read again.

    Where equal rows are counted, the count is over all files; and a label of its own source belongs to a row of any file.
    """
    if project.settings.sources.labels or (not rule.ids and has_equal_rows(tracked)):
        return frozenset()
    return read_taken_in(data_dir)


def _require_ids(rule: NewRowsRule) -> None:
    if not rule.ids:
        raise ConfigError(
            "sources.labels is set, but sources.id is empty",
            where="titlebout.toml: sources.id",
            why="labels are joined to current data by id columns",
            fix="set sources.id to the columns that identify a row in both current data and labels",
        )


def read_new_rows(project: Project, tracked: pd.DataFrame) -> NewRows:
    """Read current data and return its new rows; all rows if the columns do not match the tracked data.

    Parameters
    ----------
    project : Project
        Repository whose titlebout.toml names the sources.
    tracked : DataFrame
        The tracked data.

    Raises
    ------
    DataRefusedError
        As :func:`read_current` and :func:`find_new_rows`.
    """
    current = read_current(project, tracked)
    columns, time = set(current.frame.columns), project.params.data.time
    needed = {*project.settings.sources.id, *([time] if time else [])}
    if current.frame.empty or not needed <= columns <= set(tracked.columns):
        return NewRows(current.frame, current.counts)
    return find_new_rows(project, current, tracked)


def find_new_rows(project: Project, current: CurrentData, tracked: pd.DataFrame) -> NewRows:
    """Return the rows that are not in the tracked data; see :func:`titlebout.data.new_rows.select_new_rows`.

    Raises
    ------
    DataRefusedError
        If a value is not of the type of its column, an id is missing, or two rows with the same id have different labels.
    """
    rule = new_rows_rule(project)
    added = None if rule.ids or rule.time else read_added(project.root, "data", schema_of(tracked, project.params.data))
    with _refusing():
        require_readable(current.unreadable)
        arrival = select_new_rows(current.frame, tracked, rule, added)
    counts = arrival.counts.replace(
        unfinished=current.unfinished, unknown_labels=current.unknown_labels, taken_in=current.taken_in
    )
    return replace(arrival, counts=counts)


def files_to_take_in(current: CurrentData, arrival: NewRows) -> tuple[str, ...]:
    """Return the SHA-256 of the files that need not be read again once the new rows with a label are tracked."""
    ends = np.cumsum([file.rows for file in current.files], dtype=np.int64)
    return tuple(
        file.sha256
        for file, end in zip(current.files, ends, strict=True)
        if file.sha256 and arrival.settled[end - file.rows : end].all()
    )


def set_aside_current(project: Project, current: CurrentData, tracked: pd.DataFrame) -> BoolArray:
    """Return which rows of current data have no time, or one that cannot be right; see :mod:`titlebout.data.plausible`."""
    rule = new_rows_rule(project)
    times = current.frame.get(rule.time)
    if times is None or column_kind(times) != "datetime":
        return np.zeros(len(current.frame), dtype=np.bool_)
    return implausible_current(times, timestamps(tracked, rule.time), rule.longest_pause_days)


def new_rows_rule(project: Project) -> NewRowsRule:
    """Return how rows of this project are identified and ordered."""
    settings, data = project.settings.sources, project.params.data
    return NewRowsRule(data.time, data.target, settings.id, settings.allowed_lateness_days, data.longest_pause_days)


def describe_source(project: Project) -> str:
    """Return one line about the source of current data, checked without using the network.

    Raises
    ------
    ConfigError
        If an environment variable is not set, a package is missing, or the address is not valid.
    NotFoundError
        If a folder, or the file of an SQLite database, does not exist.
    DataError
        If a file in the folder cannot be read by its name.
    """
    source = _address(project, CURRENT)
    if "://" not in source.url:
        files = find_tables(project.root, source.url)
        for path in files:
            table_suffix(path)  # refuses files that cannot be read
        count = len(files)
        if not count and not (project.root / source.url).is_dir():
            raise NotFoundError(
                f"{source.written} does not exist", fix="create the folder, or correct drift.current in titlebout.toml"
            )
        return f"{source.written}, {count} {'file' if count == 1 else 'files'}"
    if is_bucket(source.url):
        require_package(source)
    else:
        open_engine(source, project.root)
    return f"{source.written}, not contacted"


def _address(project: Project, key: str) -> Address:
    written = {CURRENT: project.settings.drift.current, LABELS: project.settings.sources.labels}[key]
    return address(written, key)


def _require_tracked(rule: NewRowsRule, tracked: pd.DataFrame) -> None:
    untracked = [name for name in rule.ids if name not in tracked]
    if untracked:
        raise ConfigError(
            f"sources.id names {untracked[0]!r}, which is not a column of the tracked data",
            where="titlebout.toml: sources.id",
            fix="add the column to the tracked data (and to data.drop in params.yaml, which hides it from the model), "
            "or use other id columns",
        )


def _since(tracked: pd.DataFrame, rule: NewRowsRule) -> pd.Timestamp | None:
    """Return the time of the oldest rows that are not yet too late to be added."""
    if not rule.time or tracked.empty:
        return None
    oldest: pd.Timestamp = timestamps(tracked, rule.time).max() - pd.Timedelta(days=rule.late_days)
    return oldest


def _read(
    project: Project, source: Address, query: Query, schema: Schema, taken_in: frozenset[str] = frozenset()
) -> GrowingTables:
    if "://" not in source.url:
        return read_growing(project.root, source.url, schema, project.params.data.target, taken_in)
    if not is_bucket(source.url):
        stored = RawTable(read_rows(source, query, project.root), typed=True, where=source.written)
        frame, unreadable = as_types([stored], schema)
        return GrowingTables(frame, unreadable=unreadable)
    with tempfile.TemporaryDirectory(prefix="titlebout-") as name:
        folder = Path(name)
        fetch(source, folder, is_data_file, project.settings.sources.max_mb * 1_000_000)
        with _restore_address(name, source.written):
            return read_growing(folder, ".", schema, project.params.data.target, taken_in)


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse data that has arrived and cannot be used; only tracked data can be malformed.

    Raises
    ------
    DataRefusedError
        In place of a DataError.
    """
    try:
        yield
    except DataError as error:
        raise DataRefusedError(error.what, where=error.where, why=error.why, fix=error.fix) from error


@contextmanager
def _restore_address(copy: str, original: str) -> Iterator[None]:
    try:
        yield
    except TitleboutError as error:
        error.where = error.where and error.where.replace(copy, original)
        raise
