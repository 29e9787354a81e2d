"""Current data from a real PostgreSQL server, started from the installed binaries; TimescaleDB is a PostgreSQL too."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import yaml

import sample
from arriving import ARRIVED, configure, current, same_rows
from titlebout.checks.check import check_data
from titlebout.core.errors import ConfigError, DataRefusedError, PermissionRefusedError, TemporaryError, TitleboutError
from titlebout.data import database as data_database
from titlebout.data.current import read_new_rows
from titlebout.data.database import Query, read_rows
from titlebout.data.schema import RawTable, infer_schema, read_as
from titlebout.drift import measure as drift_measure
from titlebout.retraining import retrain as retraining_retrain
from titlebout.retraining.reason import AttemptReason
from titlebout.settings.addresses import address

BINARIES = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
PASSWORD = "p@ss/w:rd%41"  # characters that have a meaning in a URL
URL = "postgresql+psycopg://${DB_USER}:${DB_PASSWORD}@127.0.0.1:${DB_PORT}/ferries"

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not BINARIES, reason="needs Debian's package postgresql"),
]


def typed(stored: pd.DataFrame) -> pd.DataFrame:
    """Read the objects of the driver as the types that their values have."""
    raw = RawTable(stored, typed=True, where="database")
    return read_as(raw, infer_schema([raw]))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start a server with a database and a user who may read one table only; yield its port."""
    folder = tmp_path_factory.mktemp("postgres")
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if as_user:  # PostgreSQL does not run as root, and pytest's folders are private to root
        folder = Path(subprocess.check_output([*as_user, "mktemp", "-d", "/tmp/postgres-XXXXXX"], text=True).strip())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    options = ["-D", f"{folder}/db", "-U", "owner", "-A", "scram-sha-256", "--pwfile", f"{folder}/password"]
    subprocess.run([*as_user, BINARIES[-1] / "initdb", *options, "-E", "UTF8", "--no-sync"], check=True, cwd="/")
    settings = f"-p {number} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [*as_user, BINARIES[-1] / "pg_ctl", "-D", f"{folder}/db", "-w"]
    subprocess.run([*control, "-o", settings, "-l", f"{folder}/log", "start"], check=True, cwd="/")
    try:
        with connect(number, "postgres") as connection:
            connection.execute("CREATE DATABASE ferries")
            connection.execute(f"CREATE USER reader PASSWORD '{PASSWORD}'")
        yield number
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd="/")
        shutil.rmtree(folder)


def connect(port: int, database: str = "ferries") -> "psycopg.Connection[Any]":
    return psycopg.connect(
        host="127.0.0.1", port=port, user="owner", password=PASSWORD, dbname=database, autocommit=True
    )


@pytest.fixture
def connection(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator["psycopg.Connection[Any]"]:
    """Create a table of current data with real column types; yield the owner's connection."""
    monkeypatch.setenv("DB_USER", "reader")
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    monkeypatch.setenv("DB_PORT", str(port))
    with connect(port) as connection:
        connection.execute(
            "CREATE TABLE crossings (id bigint, departure timestamptz, harbour text, wind double precision, "
            "waves double precision, passengers integer, late smallint)"
        )
        connection.execute("GRANT SELECT ON crossings TO reader")
        insert(connection, ARRIVED)
        yield connection
        connection.execute("DROP TABLE crossings")


def insert(connection: "psycopg.Connection[Any]", frame: pd.DataFrame, first: int = 2**60) -> None:
    rows = frame.astype(object).where(frame.notna(), None).assign(id=range(first, first + len(frame)))
    columns = ["id", *frame.columns]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO crossings ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
            rows[columns].values.tolist(),
        )


QUERY = "SELECT departure, harbour, wind, waves, passengers, late FROM crossings"


@pytest.mark.usefixtures("connection")
def test_rows_come_with_the_types_of_their_columns(root: Path) -> None:
    found = current(configure(root, URL, query=QUERY)).frame

    same_rows(found)
    assert str(found["departure"].dtype).startswith("datetime64")
    assert (found["passengers"].dtype, found["wind"].dtype) == ("int64", "float64")


def test_the_whole_loop_runs_on_a_database(root: Path, connection: "psycopg.Connection[Any]") -> None:
    insert(connection, sample.crossings(60, start="2024-04-10", seed=8))
    insert(connection, sample.crossings(500, start="2024-01-01", seed=9))
    project = configure(root, URL, query=QUERY, allowed_lateness_days=14)

    checked, measured = check_data(project, "current"), drift_measure.measure(project)
    assert checked.passed
    assert checked.rows == measured.arrival.read < 500, "rows that cannot be new are not queried"
    assert (measured.arrival.new, measured.arrival.late) == (360, 60)
    result = retraining_retrain.retrain(project, AttemptReason("manual"))
    assert (result.new_rows, result.arrival.ready) == (360, 360)


def test_the_label_column_may_be_filled_later(root: Path, connection: "psycopg.Connection[Any]") -> None:
    connection.execute("UPDATE crossings SET late = NULL WHERE departure > '2024-05-01'")
    project = configure(root, URL, query=QUERY)
    waiting = int((ARRIVED["departure"] > "2024-05-01").sum())

    assert check_data(project, "current").passed
    measured = drift_measure.measure(project)
    assert (measured.arrival.waiting, measured.arrival.ready) == (waiting, 300 - waiting)


def test_a_row_without_a_time_does_not_disappear(root: Path, connection: "psycopg.Connection[Any]") -> None:
    connection.execute("ALTER TABLE crossings ALTER departure DROP NOT NULL")
    connection.execute("UPDATE crossings SET departure = NULL WHERE id = (SELECT min(id) FROM crossings)")
    query = Query("crossings", time="departure", since=ARRIVED["departure"].min())

    assert len(read_rows(address(URL, "x"), query, root)) == 300


@pytest.mark.usefixtures("connection")
def test_times_of_a_recorded_form_are_not_compared_in_the_database(root: Path) -> None:
    query = QUERY.replace("departure", "to_char(departure AT TIME ZONE 'UTC', 'DD/MM/YYYY HH24:MI') AS departure", 1)
    project = configure(root, URL, query=query)
    path = project.pipeline_dir / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["data"]["columns"] = {"departure": "datetime %d/%m/%Y %H:%M"}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")

    assert read_new_rows(project, sample.crossings()).counts.new == 300


def test_ids_of_64_bits_join_exactly(root: Path, connection: "psycopg.Connection[Any]", tmp_path: Path) -> None:
    labels = pd.DataFrame({"id": range(2**60, 2**60 + 299), "late": [n % 2 for n in range(299)]})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    query = "SELECT id, departure FROM crossings"
    found = current(configure(root, URL, query=query, id=["id"], labels=str(tmp_path / "labels.csv"))).frame

    assert found.sort_values("id")["late"].tolist()[:299] == labels["late"].tolist()
    assert found["late"].isna().sum() == 1


def test_a_chunk_without_values_does_not_change_a_column(
    root: Path, connection: "psycopg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_database, "CHUNK", 10)
    query = "SELECT n AS whole, CASE WHEN n > 15 THEN n END AS some, CASE WHEN n > 15 THEN now() END AS at, NULL::text AS none FROM generate_series(1, 30) AS n"
    found = typed(read_rows(address(URL, "x"), Query(query), root))

    assert len(found) == 30
    assert (found["whole"].dtype, found["some"].dtype, found["some"].isna().sum()) == ("int64", "Int64", 15)
    assert str(found["at"].dtype).startswith("datetime64")
    assert found["none"].isna().all()


@pytest.mark.usefixtures("connection")
def test_database_types_become_plain_types(root: Path) -> None:
    query = "SELECT DATE '2024-05-01' AS day, 1.50::numeric AS price, true AS yes, '12:30'::text AS clock, 'a:b'::text LIKE '%:%' AS has"
    found = typed(read_rows(address(URL, "x"), Query(query), root))

    assert found.loc[0].tolist() == [pd.Timestamp("2024-05-01", tz="UTC"), 1.5, True, "12:30", True]


WRITES = [
    "WITH gone AS (DELETE FROM crossings RETURNING *) SELECT * FROM gone",
    "SELECT 1) AS a; DELETE FROM crossings; SELECT * FROM (SELECT 1",
    "DROP TABLE crossings",
    "TRUNCATE crossings",
    "SELECT 1 INTO made",
    "SELECT nextval('numbers')",
]


@pytest.mark.parametrize("query", WRITES)
def test_even_the_owner_cannot_write(
    root: Path, connection: "psycopg.Connection[Any]", query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_USER", "owner")
    connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
    with pytest.raises(ConfigError):
        current(configure(root, URL, query=query))

    assert connection.execute("SELECT count(*) FROM crossings").fetchone() == (300,)
    assert connection.execute("SELECT is_called FROM numbers").fetchone() == (False,)


def read_error(root: Path, **sources: Any) -> TitleboutError:
    with pytest.raises(TitleboutError) as caught:
        current(configure(root, sources.pop("url", URL), **sources))
    error_text = str(caught.value.to_dict())
    assert not any(secret in error_text for secret in (PASSWORD, "p%40ss", "w:rd", "wrong-one"))
    return caught.value


@pytest.mark.usefixtures("connection")
def test_errors_never_contain_the_password(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(read_error(root, query="ferries"), ConfigError)
    assert isinstance(read_error(root, query="pg_authid"), PermissionRefusedError)
    duplicate_columns = read_error(root, query="SELECT 1 AS a, 2 AS a")
    assert isinstance(duplicate_columns, DataRefusedError)
    assert "two columns named" in duplicate_columns.what
    monkeypatch.setenv("DB_PASSWORD", "wrong-one")
    assert isinstance(read_error(root, query="crossings"), PermissionRefusedError)
    monkeypatch.setenv("DB_PORT", "9")
    assert isinstance(read_error(root, query="crossings"), TemporaryError)
    monkeypatch.delenv("DB_PASSWORD")
    assert "DB_PASSWORD is not set" in read_error(root, query="crossings").what


@pytest.mark.usefixtures("connection")
def test_the_address_may_come_from_an_environment_variable(
    root: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://reader:p%40ss%2Fw%3Ard%2541@127.0.0.1:{port}/ferries")

    same_rows(current(configure(root, "${DATABASE_URL}", query=QUERY)).frame)
    assert check_data(configure(root, "${DATABASE_URL}", query=QUERY), "current").source == "${DATABASE_URL}"
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://reader:wrong-one@127.0.0.1:{port}/ferries")
    read_error(root, url="${DATABASE_URL}", query=QUERY)
