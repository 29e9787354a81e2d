"""Rows of a database, asked for with one SELECT by SQLAlchemy; nothing is ever written there."""

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
# Times as text have no zone that a database could compare: what is asked for begins a day early, the rest is left out here.
MARGIN = pd.Timedelta(days=1)
_TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_SELECT = re.compile(r"(SELECT|WITH)\b", re.IGNORECASE)
_REFUSED = ("authentication failed", "permission denied", "access denied", "not authorized")


@dataclass(frozen=True)
class Query:
    """What to ask for.

    Attributes
    ----------
    of : str
        Table, or SELECT.
    columns : tuple of str
        Empty: all.
    time : str
        Column that says when a row happened; empty: rows have no order.
    since : Timestamp or None
        Ask only for rows of this time or newer.
    max_rows : int
    """

    of: str
    columns: tuple[str, ...] = ()
    time: str = ""
    since: pd.Timestamp | None = None
    max_rows: int = 10_000_000


def read_rows(address: Address, query: Query, root: Path) -> pd.DataFrame:
    """Ask a database for rows.

    Parameters
    ----------
    address : Address
    query : Query
    root : Path
        Folder that the path of an SQLite file is relative to.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        Maybe without rows, never without columns; missing values as pandas has them.

    Raises
    ------
    ConfigError
        If the query is not one SELECT, the database refuses it, or the driver is not installed.
    NotFoundError
        If an SQLite file is not there.
    PermissionRefusedError
        If we may not connect or read.
    TemporaryError
        If the database cannot be asked.
    DataError
        If there are too many rows, or two columns of one name.
    """
    engine = open_engine(address, root)
    with _faults_told(address, "connect"), engine.connect() as connection:
        _forbid_writing(connection)
        with _faults_told(address, "ask"):
            return _read(connection, query, address)


def open_engine(address: Address, root: Path) -> "Engine":
    """Import the driver and look at the address; nobody is asked yet.

    Raises
    ------
    ConfigError
        If SQLAlchemy or the driver is not installed, or the address is not one of a database.
    NotFoundError
        If an SQLite file is not there: connecting would make one.
    """
    with _faults_told(address, "open"):
        import sqlalchemy

        url = sqlalchemy.make_url(address.url)
        if url.get_backend_name() == "sqlite":
            path = root / (url.database or "")
            if not path.is_file():
                where = f"{address.written}: {path}"
                raise NotFoundError("the SQLite file is not there", where=where, fix="check the path")
            url = url.set(database=str(path))
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, hide_parameters=True)


def _forbid_writing(connection: "Connection") -> None:
    """Make the database itself refuse to write, where it can; that a query is a subquery holds everywhere."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")


def _read(connection: "Connection", query: Query, address: Address) -> pd.DataFrame:
    statement, values = _statement(connection, query, address)
    parts: list[pd.DataFrame] = []
    with connection.execution_options(yield_per=CHUNK).execute(statement, values) as result:
        names = list(result.keys())
        if len(set(names)) < len(names):
            fix = "name each column with AS in the query"
            raise DataError("the query gives two columns of one name", where=address.written, fix=fix)
        for rows in result.partitions(CHUNK):
            parts.append(_frame([tuple(row) for row in rows], names))
            if sum(map(len, parts)) > query.max_rows:
                raise DataError(
                    f"there are more than {query.max_rows:,} rows",
                    where=address.written,
                    fix="narrow the query, or raise sources.max_rows in titlebout.toml",
                )
    return pd.concat(parts, ignore_index=True).reindex(columns=names) if parts else pd.DataFrame(columns=names)


def _frame(rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    """Return one chunk, without the columns that have no value in it: they would decide the type of the others."""
    frame = pd.DataFrame.from_records(rows, columns=names, coerce_float=True).dropna(axis="columns", how="all")
    dates = [name for name in frame.columns if pd.api.types.infer_dtype(frame[name]) == "date"]
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in dates})


def _statement(connection: "Connection", query: Query, address: Address) -> tuple[Any, dict[str, Any]]:
    """Return the query as a subquery, which cannot write, with the columns and rows that are wanted."""
    import sqlalchemy

    quote = connection.dialect.identifier_preparer.quote_identifier
    columns = ", ".join(f"arrived.{quote(name)}" for name in query.columns) or "*"
    # A colon would begin a parameter; the line break ends a comment.
    text = f"SELECT {columns} FROM ({_select(query.of, address)}\n) AS arrived".replace(":", "\\:")  # noqa: S608 - the owner's own query; what is added is quoted
    if not query.time or query.since is None:
        return sqlalchemy.text(text), {}
    since = (query.since - MARGIN).tz_convert("UTC").floor("D").to_pydatetime()
    # SQLite keeps times as text: the beginning of one is compared, whatever stands between day and hour.
    value = since.date().isoformat() if connection.dialect.name == "sqlite" else since.replace(tzinfo=None)
    return sqlalchemy.text(f"{text} WHERE arrived.{quote(query.time)} >= :since"), {"since": value}


def _select(of: str, address: Address) -> str:
    """Return a table or a SELECT as the SELECT to ask.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    query = of.strip().removesuffix(";").strip()
    if _TABLE.fullmatch(query):
        return f"SELECT * FROM {query}"  # noqa: S608 - it is a name
    if not _SELECT.match(query) or ";" in query:
        raise ConfigError(
            "the query is neither a table nor one SELECT" if query else "no query says which rows to read",
            where=address.written,
            why="a source is only ever read" if query else None,
            fix='name a table or write one SELECT without ";" under [sources] in titlebout.toml',
        )
    return query


@contextmanager
def _faults_told(address: Address, doing: Literal["open", "connect", "ask"]) -> Iterator[None]:
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
        # Without SQLAlchemy there is no type of its to ask for.
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        raise _told(address, error, doing) from error


def _told(address: Address, error: Exception, doing: str) -> TitleboutError:
    """Turn what SQLAlchemy raised into ours, without the values of variables."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    about: dict[str, Any] = {"where": address.written, "why": address.masked(said)}
    if doing == "open":
        fix = "write it as in postgresql+psycopg://${USER}:${PASSWORD}@host/database, or s3://bucket/folder"
        return ConfigError("this address is neither a path, nor a bucket's, nor a database's", fix=fix, **about)
    if any(words in said.lower() for words in _REFUSED):
        fix = "give the user the right to connect and to read, and check the variables that hold user and password"
        return PermissionRefusedError("the database does not let us read", fix=fix, **about)
    lost = getattr(error, "connection_invalidated", False) or "is locked" in said
    if doing == "ask" and not lost:
        fix = "correct the query under [sources] in titlebout.toml"
        return ConfigError("the database refused the query", fix=fix, **about)
    fix = "check the address, or run the same command again later"
    return TemporaryError("the database could not be asked", fix=fix, **about)
