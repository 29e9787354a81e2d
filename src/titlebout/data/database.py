"""Read rows of a database with one SELECT through SQLAlchemy; never writes to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from titlebout.core.errors import (
    ConfigError,
    DataError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
)
from titlebout.settings.addresses import Address

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

CHUNK = 50_000  # rows
# A database cannot compare times stored as text across time zones, so the query starts a day early and
# titlebout.data.new_rows leaves out the extra rows.
MARGIN = pd.Timedelta(days=1)
_SQLITE_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-*"
_TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_SELECT = re.compile(r"(SELECT|WITH)\b", re.IGNORECASE)
_REFUSED = ("authentication failed", "permission denied", "access denied", "not authorized")


@dataclass(frozen=True)
class Query:
    """Rows to read from a database.

    Attributes
    ----------
    table_or_select : str
        Name of a table, or a SELECT statement.
    columns : tuple of str
        Columns to read; empty for all.
    time : str
        Time column; empty if the rows have no time.
    since : Timestamp or None
        Read only rows of this time or later.
    max_rows : int
        A larger result is an error.
    """

    table_or_select: str
    columns: tuple[str, ...] = ()
    time: str = ""
    since: pd.Timestamp | None = None
    max_rows: int = 10_000_000


def read_rows(address: Address, query: Query, root: Path) -> pd.DataFrame:
    """Read rows of a database.

    Parameters
    ----------
    address : Address
        SQLAlchemy URL; its values of environment variables stay out of error messages.
    query : Query
    root : Path
        Folder that the path of an SQLite file is relative to.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        The objects of the driver, missing as None. May have no rows but always has columns.

    Raises
    ------
    ConfigError
        If the query is not a single SELECT, the database rejects it, or the driver is not installed.
    NotFoundError
        If an SQLite file does not exist.
    PermissionRefusedError
        If access is denied.
    TemporaryError
        If the database cannot be reached.
    DataError
        If there are too many rows, or two columns of the same name.
    """
    engine = open_engine(address, root)
    with _translate_errors(address, "connect"), engine.connect() as connection:
        _forbid_writing(connection)
        with _translate_errors(address, "query"):
            return _read(connection, query, address)


def open_engine(address: Address, root: Path) -> "Engine":
    """Import the driver and check the address, without connecting.

    Raises
    ------
    ConfigError
        If SQLAlchemy or the driver is not installed, or the address is not a valid database URL.
    NotFoundError
        If an SQLite file does not exist: connecting would create it.
    """
    with _translate_errors(address, "open"):
        import sqlalchemy

        url = sqlalchemy.make_url(address.url)
        if url.get_backend_name() == "sqlite":
            path = root / (url.database or "")
            if not path.is_file():
                where = f"{address.written}: {path}"
                raise NotFoundError("the SQLite file does not exist", where=where, fix="check the path")
            url = url.set(database=str(path))
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, hide_parameters=True)


def _forbid_writing(connection: "Connection") -> None:
    """Make the connection read-only, where the database can; elsewhere the subquery alone prevents writing."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")


def _read(connection: "Connection", query: Query, address: Address) -> pd.DataFrame:
    statement, values = _statement(connection, query, address)
    chunks: list[pd.DataFrame] = []
    with connection.execution_options(yield_per=CHUNK).execute(statement, values) as result:
        names = list(result.keys())
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            fix = "give each column its own name with AS in the query"
            raise DataError(f"the query returns two columns named {repeated!r}", where=address.written, fix=fix)
        for rows in result.partitions(CHUNK):
            chunks.append(_frame([tuple(row) for row in rows], names))
            if sum(map(len, chunks)) > query.max_rows:
                raise DataError(
                    f"the query returns more than {query.max_rows:,} rows",
                    where=address.written,
                    fix="narrow the query, or raise sources.max_rows in titlebout.toml",
                )
    return pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=names, dtype=object)


def _frame(rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    """Return one chunk with the objects of the driver: guessed chunk by chunk, a column would have several types."""
    return pd.DataFrame(rows, columns=names, dtype=object)


def _statement(connection: "Connection", query: Query, address: Address) -> tuple[Any, dict[str, Any]]:
    """Wrap the query in a SELECT of the requested columns and rows; a statement that writes is not a valid subquery."""
    import sqlalchemy

    quote = connection.dialect.identifier_preparer.quote_identifier
    columns = ", ".join(f"source_rows.{quote(name)}" for name in query.columns) or "*"
    # SQLAlchemy reads a colon as the start of a parameter; the line break ends a comment in the query.
    text = f"SELECT {columns} FROM ({_select(query.table_or_select, address)}\n) AS source_rows".replace(":", "\\:")  # noqa: S608 - the project's own query; column names are quoted
    if not query.time or query.since is None:
        return sqlalchemy.text(text), {}
    since = (query.since - MARGIN).tz_convert("UTC").floor("D").to_pydatetime()
    time = f"source_rows.{quote(query.time)}".replace(":", "\\:")
    # Rows that may be new or wrong are read: without a time, or, in SQLite, which has no type for times, with one that does not
    # begin with a date. Only the date is compared there, since "T" or a space can be between day and hour.
    if connection.dialect.name == "sqlite":
        return sqlalchemy.text(f"{text} WHERE NOT coalesce({time} GLOB '{_SQLITE_DATE}' AND {time} < :since, 0)"), {
            "since": since.date().isoformat()
        }
    return sqlalchemy.text(f"{text} WHERE {time} >= :since OR {time} IS NULL"), {"since": since.replace(tzinfo=None)}


def _select(table_or_select: str, address: Address) -> str:
    """Return a SELECT of all rows for a table name, and a SELECT unchanged.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    query = table_or_select.strip().removesuffix(";").strip()
    if _TABLE.fullmatch(query):
        return f"SELECT * FROM {query}"  # noqa: S608 - it matches the pattern of a table name
    if not _SELECT.match(query) or ";" in query:
        raise ConfigError(
            "the query is neither a table nor a single SELECT" if query else "no query is set for this database",
            where=address.written,
            why="titlebout only reads from a source" if query else None,
            fix='set the query under [sources] in titlebout.toml to a table name or a single SELECT without ";"',
        )
    return query


@contextmanager
def _translate_errors(address: Address, phase: Literal["open", "connect", "query"]) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        packages = {"psycopg": "sqlalchemy and psycopg[binary]"}.get(str(error.name), error.name)
        raise ConfigError(
            f"reading a database needs {error.name}, which is not installed",
            where=address.written,
            fix=f"add {packages} to the dependencies in pyproject.toml, then run `make lock setup`",
        ) from error
    except Exception as error:
        # SQLAlchemy may not be installed, so its exceptions are recognized by module and not by class.
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        raise _translate(address, error, phase) from error


def _translate(address: Address, error: Exception, phase: str) -> TitleboutError:
    """Return a titlebout error for one of SQLAlchemy, without the values of environment variables."""
    message = " ".join(str(getattr(error, "orig", None) or error).split())
    details: dict[str, Any] = {"where": address.written, "why": address.masked(message)}
    if phase == "open":
        form = "postgresql+psycopg://${USER}:${PASSWORD}@host/database or s3://bucket/folder"
        fix = f"set drift.current or sources.labels in titlebout.toml to a path, or for example {form}"
        return ConfigError("the address is not a path, an object store URL or a database URL", fix=fix, **details)
    if any(words in message.lower() for words in _REFUSED):
        fix = "grant the user CONNECT and SELECT, and check the environment variables for user and password"
        return PermissionRefusedError("access denied by the database", fix=fix, **details)
    connection_lost = getattr(error, "connection_invalidated", False) or "is locked" in message
    if phase == "query" and not connection_lost:
        fix = "correct the query under [sources] in titlebout.toml"
        return ConfigError("the database rejected the query", fix=fix, **details)
    fix = "check the address, or run the same command again later"
    return TemporaryError("the database could not be reached", fix=fix, **details)
