"""Current data and its labels from where they arrive: files, a bucket, or a database; one way in for every step."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from titlebout.core.errors import ConfigError, NotFoundError, TitleboutError
from titlebout.data.columns import timestamps
from titlebout.data.database import Query, open_engine, read_rows
from titlebout.data.new_rows import Arrival, ArrivalCounts, Rule, what_is_new, with_labels
from titlebout.data.object_store import fetch, is_bucket, require_package
from titlebout.data.tables import SUFFIXES, find_tables, read_growing, with_times
from titlebout.repository.project import Project
from titlebout.settings.addresses import Address, address

CURRENT, LABELS = "drift.current", "sources.labels"


@dataclass(frozen=True)
class Current:
    """What a source holds now.

    Attributes
    ----------
    frame : DataFrame
        All rows, or those of a database that can be new; with the target where labels have a source of their own.
    unfinished : int
        Files whose last line is still being written.
    unknown_labels : int
        Labels of rows that are not there.
    """

    frame: pd.DataFrame
    unfinished: int = 0
    unknown_labels: int = 0

    @property
    def counts(self) -> ArrivalCounts:
        """What is known before the rows are compared with those that are tracked."""
        return ArrivalCounts(read=len(self.frame), unfinished=self.unfinished, unknown_labels=self.unknown_labels)


def read_current(project: Project, known: pd.DataFrame | None = None) -> Current:
    """Read what arrived, and join the labels that arrived on their own.

    Parameters
    ----------
    project : Project
    known : DataFrame, optional
        The tracked data: a database is asked only for rows that can be new.

    Returns
    -------
    Current
        Without rows when nothing has arrived yet.

    Raises
    ------
    ConfigError
        If an address or a query cannot be used, a variable is not set, or a package is missing.
    NotFoundError, PermissionRefusedError, TemporaryError
        If a source is not there, may not be read, or cannot be asked.
    DataError
        If a file cannot be read, there is too much, or labels contradict each other.
    """
    settings, rule = project.settings.sources, rule_of(project)
    _require_tracked(rule, known)
    query = Query(settings.query, (), rule.time, _since(known, rule), settings.max_rows)
    frame, unfinished = _read(project, _address(project, CURRENT), query)
    if not settings.labels or frame.empty:
        return Current(frame, unfinished)
    if not rule.ids:
        raise ConfigError(
            "labels have a source, but no column says whose they are",
            where="titlebout.toml: sources.id",
            fix="name the columns that current data and labels share",
        )
    query = Query(settings.labels_query, (*rule.ids, rule.target), max_rows=settings.max_rows)
    labels, torn = _read(project, _address(project, LABELS), query)
    frame, unknown = with_labels(frame, labels, rule)
    return Current(frame, unfinished + torn, unknown)


def asks_a_database(project: Project) -> bool:
    """Return whether current data is in a database, which is asked only for what can be new."""
    url = _address(project, CURRENT).url
    return "://" in url and not is_bucket(url)


def arrived(project: Project, known: pd.DataFrame) -> Arrival:
    """Return the rows that are new, or, when their columns are not the expected ones, all that arrived.

    Parameters
    ----------
    project : Project
    known : DataFrame
        The tracked data.
    """
    current = read_current(project, known)
    columns, time = set(current.frame.columns), project.params.data.time
    needed = {*project.settings.sources.id, *([time] if time else [])}
    if current.frame.empty or not needed <= columns <= set(known.columns):
        return Arrival(current.frame, current.counts)
    return new_rows(project, current, known)


def new_rows(project: Project, current: Current, known: pd.DataFrame) -> Arrival:
    """Return the rows that the tracked data has not; see :func:`titlebout.data.new_rows.what_is_new`."""
    arrival = what_is_new(current.frame, known, rule_of(project))
    counts = arrival.counts.replace(unfinished=current.unfinished, unknown_labels=current.unknown_labels)
    return Arrival(arrival.rows, counts)


def rule_of(project: Project) -> Rule:
    """Return how rows of this project are told apart."""
    settings, data = project.settings.sources, project.params.data
    return Rule(data.time, data.target, settings.id, settings.allowed_lateness_days)


def look_at(project: Project) -> str:
    """Say what can be said about the source of current data without a network.

    Raises
    ------
    ConfigError
        If a variable is not set, a package is missing, or the address means nothing.
    NotFoundError
        If a folder, or the file of a database, is not there.
    """
    place = _address(project, CURRENT)
    if "://" not in place.url:
        count = len(find_tables(project.root, place.url))
        if not count and not (project.root / place.url).is_dir():
            raise NotFoundError(f"{place.written} is not there", fix="make the folder, or correct drift.current")
        return f"{place.written}, {count} {'file' if count == 1 else 'files'}"
    if is_bucket(place.url):
        require_package(place)
    else:
        open_engine(place, project.root)
    return f"{place.written}, which was not asked"


def _address(project: Project, key: str) -> Address:
    written = {CURRENT: project.settings.drift.current, LABELS: project.settings.sources.labels}[key]
    return address(written, key)


def _require_tracked(rule: Rule, known: pd.DataFrame | None) -> None:
    untracked = [name for name in rule.ids if known is not None and name not in known]
    if untracked:
        raise ConfigError(
            f"sources.id names {untracked[0]!r}, which the tracked data has not",
            where="titlebout.toml: sources.id",
            fix="track it (and name it in data.drop, so that the model does not see it), or name other columns",
        )


def _since(known: pd.DataFrame | None, rule: Rule) -> pd.Timestamp | None:
    """Return the time of the oldest rows that could still be taken in."""
    if known is None or not rule.time:
        return None
    oldest: pd.Timestamp = timestamps(known, rule.time).max() - pd.Timedelta(days=rule.late_days)
    return oldest


def _read(project: Project, place: Address, query: Query) -> tuple[pd.DataFrame, int]:
    """Read one source; says also how many files have an unfinished last line."""
    if "://" not in place.url:
        return read_growing(project.root, place.url)
    if not is_bucket(place.url):
        return with_times(read_rows(place, query, project.root)), 0
    with tempfile.TemporaryDirectory(prefix="titlebout-") as name:
        folder = Path(name)
        fetch(place, folder, SUFFIXES, project.settings.sources.max_mb * 1_000_000)
        with _place_told(name, place.written):
            return read_growing(folder, ".")


@contextmanager
def _place_told(copy: str, original: str) -> Iterator[None]:
    try:
        yield
    except TitleboutError as error:
        error.where = error.where and error.where.replace(copy, original)
        raise
