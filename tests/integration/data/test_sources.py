"""Current data from files, object storage and databases: real servers and files give the same rows."""

import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import fsspec
import httpx
import pandas as pd
import pytest
import yaml

import sample
from arriving import ARRIVED, configure, current, same_rows
from s3_server import s3_environment, s3_server
from titlebout.checks.check import check_data, check_tracked
from titlebout.core.errors import (
    ConfigError,
    DataError,
    DataRefusedError,
    InconclusiveError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    UnsafeError,
)
from titlebout.data import database as data_database
from titlebout.data.current import read_current, read_new_rows
from titlebout.data.database import Query, read_rows
from titlebout.doctor import doctor
from titlebout.drift import measure as drift_measure
from titlebout.repository.project import Project
from titlebout.retraining import retrain as retraining_retrain
from titlebout.retraining.reason import AttemptReason
from titlebout.settings.addresses import address

BUCKET = "acme-data"


# --- files that are still being written


def to_jsonl(frame: pd.DataFrame) -> bytes:
    text: str = frame.assign(departure=frame["departure"].astype(str)).to_json(orient="records", lines=True)
    return text.encode()


def test_a_log_truncated_at_any_byte_loses_only_its_last_line(root: Path) -> None:
    log = to_jsonl(ARRIVED.head(3).assign(harbour=["Ærø", "Rømø", "Fanø"])).replace(b"\\u00c6", "Æ".encode())
    (root / "incoming").mkdir()
    project = Project.find(root)
    for end in range(len(log) + 1):
        (root / "incoming" / "log.jsonl").write_bytes(log[:end])
        found = current(project)
        whole = log[:end].count(b"\n") + (log[end - 1 : end] == b"}")
        assert len(found.frame) == whole, end
        assert found.unfinished == (end > 0 and log[end - 1 : end] not in b"}\n"), end


def test_an_incomplete_last_line_is_counted_and_one_inside_is_refused(root: Path) -> None:
    (root / "incoming").mkdir()
    log, project = root / "incoming" / "log.jsonl", Project.find(root)
    log.write_bytes(to_jsonl(ARRIVED)[:-9])

    checked, measured = check_data(project, "current"), drift_measure.measure(project)
    assert checked.rows == 299
    assert "unfinished last line of 1 files" in checked.reasons[-1]
    assert (measured.arrival.read, measured.arrival.unfinished) == (299, 1)
    assert "1 file with an unfinished last line" in measured.to_markdown()

    log.write_bytes(to_jsonl(ARRIVED)[:-9] + b"\n" + to_jsonl(ARRIVED.head(1)))
    with pytest.raises(DataRefusedError, match="a line is not valid JSON") as caught:
        current(project)
    assert str(caught.value.where).endswith("log.jsonl:300")


def test_logs_without_a_complete_line_mean_no_current_data(root: Path) -> None:
    (root / "incoming").mkdir()
    (root / "incoming" / "a.jsonl").write_bytes(b'\n{"departure": "2024-0')
    (root / "incoming" / "b.jsonl").write_bytes(b"")
    project = Project.find(root)

    assert check_data(project, "current").reasons == ("no new data has arrived yet",)
    assert drift_measure.measure(project).arrival.unfinished == 1
    with pytest.raises(InconclusiveError, match="no new data has arrived yet"):
        retraining_retrain.retrain(project, AttemptReason("manual"))


def test_an_incomplete_line_in_tracked_data_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / "log.jsonl").write_bytes(to_jsonl(ARRIVED)[:-9])

    with pytest.raises(DataError, match="a line is not valid JSON"):
        check_tracked(Project.find(root))


# --- buckets


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Start a server with the S3 API; yield its address."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """Create an empty bucket, configured by environment variables as in production; return a function to put objects."""
    for name, value in s3_environment(s3).items():
        monkeypatch.setenv(name, value)
    httpx.post(f"{s3}/moto-api/reset")
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def put_three_files(put: Callable[[str, bytes], object], prefix: str) -> None:
    put(f"{prefix}/2024/04/a.parquet", ARRIVED.head(100).to_parquet(index=False))
    put(f"{prefix}/2024/05/b.csv", ARRIVED.iloc[100:200].to_csv(index=False).encode())
    put(f"{prefix}/2024/05/c.jsonl", to_jsonl(ARRIVED.iloc[200:]))
    put(f"{prefix}/2024/05/README.txt", b"not a table")
    put(f"{prefix}/.tmp/d.csv", b"half writ")


def test_an_s3_folder_is_read_like_a_local_one(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    put_three_files(bucket, "ferries/log")

    same_rows(current(configure(root, f"s3://{BUCKET}/ferries/log")).frame)
    same_rows(current(configure(root, f"s3://{BUCKET}/ferries/log/2024/**/*.csv")).frame, ARRIVED.iloc[100:200])
    same_rows(current(configure(root, f"s3://{BUCKET}/ferries/log/2024/04/a.parquet")).frame, ARRIVED.head(100))


def test_new_objects_in_a_bucket_are_read(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    project = configure(root, f"s3://{BUCKET}/log/")  # object storage has no empty folders
    assert current(project).frame.empty
    bucket("log/a.jsonl", to_jsonl(ARRIVED.head(1)))
    assert len(current(project).frame) == 1
    bucket("log/a.jsonl", to_jsonl(ARRIVED.head(2))[:-5])
    assert (len(current(project).frame), current(project).unfinished) == (1, 1)


def test_the_whole_loop_runs_on_a_bucket(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    put_three_files(bucket, "log")
    project = configure(root, f"s3://{BUCKET}/log")

    assert check_data(project, "current").rows == 300
    assert check_data(project, "current").passed
    result = drift_measure.measure(project)
    assert (result.new_rows, result.arrival.ready, result.arrival.read) == (300, 300, 300)


@pytest.mark.parametrize("url", ["s3://no-such-bucket/log", "s3://no-such-bucket/log/*.csv"])
def test_a_missing_bucket_is_not_found(root: Path, bucket: Callable[[str, bytes], None], url: str) -> None:
    project = configure(root, url)

    with pytest.raises(NotFoundError, match="nothing was found at this address") as caught:
        current(project)
    assert caught.value.where == url


def test_a_bucket_without_credentials_denies_access(
    root: Path, bucket: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = configure(root, f"s3://{BUCKET}/log")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(PermissionRefusedError, match="denied access"):
        current(project)


def test_an_unreachable_server_is_a_temporary_error(
    root: Path, bucket: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(TemporaryError, match="could not be reached"):
        current(configure(root, f"s3://{BUCKET}/log"))


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_every_fsspec_protocol_can_be_read(
    protocol: str, root: Path, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    system = fsspec.filesystem(protocol)
    folder = f"{tmp_path}/shelf" if protocol == "file" else "/shelf"

    def put(name: str, body: bytes) -> None:
        system.makedirs(f"{folder}/{name}".rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{folder}/{name}", body)

    put_three_files(put, "log")
    same_rows(current(configure(root, f"{protocol}://{folder}/log")).frame)
    same_rows(current(configure(root, f"{protocol}://{folder}/log/2024/0[5]/*.csv")).frame, ARRIVED.iloc[100:200])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Start an HTTP server for a folder; yield its address."""
    (tmp_path / "www").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_key_in_a_url_never_appears_in_errors(
    root: Path, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ARRIVED.to_csv(tmp_path / "www" / "log.csv", index=False)
    monkeypatch.setenv("ACCESS", "hush*hush")

    same_rows(current(configure(root, web + "/log.csv?access=${ACCESS}")).frame)
    with pytest.raises(TitleboutError) as caught:
        current(configure(root, web + "/other.csv?access=${ACCESS}"))
    assert isinstance(caught.value, NotFoundError)
    assert "hush" not in str(caught.value.to_dict())


def test_files_above_the_size_limit_are_not_downloaded(root: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/log/a.csv", b"a,b\n" + b"1,2\n" * 300_000)

    with pytest.raises(DataRefusedError, match="more than 1 MB") as caught:
        current(configure(root, "memory://log", max_mb=1))
    assert "sources.max_mb" in str(caught.value.fix)


def test_an_error_in_a_downloaded_file_names_its_address(root: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/log/in/a.csv", b"a,b\n1,2\n3\n")

    with pytest.raises(DataRefusedError, match="line 3 has 1 fields") as caught:
        current(configure(root, "memory://log"))
    assert caught.value.where == "memory://log/in/a.csv:3"


def test_an_object_name_outside_the_folder_is_refused(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    bucket("log/../../../out.csv", b"a,b\n1,2\n")

    with pytest.raises(UnsafeError, match="points outside its folder"):
        current(configure(root, f"s3://{BUCKET}/log"))


def test_a_package_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="gs:// needs a package") as caught:
        current(configure(root, "gs://bucket/log"))
    assert "add gcsfs to the dependencies" in str(caught.value.fix)


# --- SQLite


@pytest.fixture
def database(root: Path) -> Iterator[sqlite3.Connection]:
    """Create an SQLite file in the repository with current data in a table."""
    (root / "store").mkdir()
    with closing(sqlite3.connect(root / "store" / "log.db")) as connection:
        ARRIVED.assign(departure=ARRIVED["departure"].astype(str)).to_sql("crossings", connection, index_label="id")
        connection.commit()
        yield connection


WITHOUT_ID = "SELECT departure, harbour, wind, waves, passengers, late FROM crossings"


def test_a_query_returns_the_rows_of_a_database(root: Path, database: sqlite3.Connection) -> None:
    project = configure(root, "sqlite:///store/log.db", query=WITHOUT_ID)

    same_rows(current(project).frame)
    assert check_data(project, "current").passed
    result = drift_measure.measure(project)
    assert (result.new_rows, result.arrival.ready) == (300, 300)


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        ("%d/%m/%Y %H:%M", lambda times: times.dt.strftime("%d/%m/%Y %H:%M")),
        ("epoch-s", lambda times: times.astype("datetime64[s, UTC]").astype("int64")),
    ],
)
def test_times_of_a_recorded_form_are_read_from_a_database(
    root: Path, form: str, stored: Callable[["pd.Series[pd.Timestamp]"], "pd.Series[Any]"]
) -> None:
    with closing(sqlite3.connect(root / "log.db")) as connection:
        ARRIVED.assign(departure=stored(ARRIVED["departure"])).to_sql("crossings", connection, index=False)
    project = configure(root, "sqlite:///log.db", query="crossings")
    path = project.pipeline_dir / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["data"]["columns"] = {"departure": f"datetime {form}"}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")

    found = read_new_rows(project, sample.crossings())
    assert found.counts.new == 300
    assert (found.rows["departure"] == ARRIVED["departure"].dt.floor("min")).all()


def test_a_time_column_can_have_any_name(root: Path, database: sqlite3.Connection) -> None:
    query = Query('SELECT departure AS "left: :at" FROM crossings', time="left: :at", since=ARRIVED["departure"].min())

    assert len(read_rows(address("sqlite:///store/log.db", "x"), query, root)) == 300


@pytest.mark.parametrize("wrong", [None, 1735689600, "05/03/2025 10:00", "soon"])
def test_a_row_whose_time_is_wrong_does_not_disappear(
    root: Path, database: sqlite3.Connection, wrong: int | str | None
) -> None:
    database.execute("UPDATE crossings SET departure = ? WHERE id = 7", (wrong,))
    database.commit()
    query = Query("crossings", time="departure", since=ARRIVED["departure"].min())

    assert len(read_rows(address("sqlite:///store/log.db", "x"), query, root)) == 300


def test_a_table_is_read_by_its_name_in_chunks(
    root: Path, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("UPDATE crossings SET waves = NULL WHERE id < 70")  # a whole chunk without values
    database.commit()
    whole = current(configure(root, "sqlite:///store/log.db", query="crossings")).frame
    chunk_sizes: list[int] = []
    frame_of = data_database._frame
    monkeypatch.setattr(
        data_database, "_frame", lambda rows, names: chunk_sizes.append(len(rows)) or frame_of(rows, names)
    )
    monkeypatch.setattr(data_database, "CHUNK", 7)
    chunks = current(configure(root, "sqlite:///store/log.db", query="main.crossings;")).frame

    assert chunk_sizes == [7] * 42 + [6]
    assert chunks["waves"].isna().sum() >= 70
    pd.testing.assert_frame_equal(chunks, whole)


def test_only_rows_that_may_be_new_are_queried(root: Path, database: sqlite3.Connection) -> None:
    old = sample.crossings(600).assign(departure=lambda f: f["departure"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    old.to_sql("crossings", database, index_label="id", if_exists="append")
    database.commit()
    project = configure(root, "sqlite:///store/log.db", query=WITHOUT_ID, allowed_lateness_days=5)
    tracked = sample.crossings()
    oldest = tracked["departure"].max().floor("D") - pd.Timedelta(days=6)
    found = read_current(project, tracked).frame

    assert len(current(project).frame) == 900
    assert len(found) == 300 + (tracked["departure"] >= oldest).sum()
    assert check_data(project, "current").rows == len(found)
    assert drift_measure.measure(project).arrival.new == 300


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "no query is set"),
        ("DELETE FROM crossings", "neither a table nor a single SELECT"),
        ("SELECT 1; DELETE FROM crossings", "neither a table nor a single SELECT"),
        ("SELECT 1) AS a UNION DELETE FROM crossings --", "rejected the query"),
        ("WITH gone AS (DELETE FROM crossings RETURNING *) SELECT * FROM gone", "rejected the query"),
        ("SELECT * FROM ferries", "rejected the query"),
    ],
)
def test_anything_but_a_single_select_is_refused(
    root: Path, database: sqlite3.Connection, query: str, message: str
) -> None:
    project = configure(root, "sqlite:///store/log.db", query=query)
    with pytest.raises(ConfigError, match=message):
        current(project)
    assert database.execute("SELECT count(*) FROM crossings").fetchone() == (300,)


def test_the_connection_itself_cannot_write(root: Path, database: sqlite3.Connection) -> None:
    engine = data_database.open_engine(address("sqlite:///store/log.db", "x"), root)
    with engine.connect() as connection:
        data_database._forbid_writing(connection)
        with pytest.raises(Exception, match="readonly database"):
            connection.exec_driver_sql("DELETE FROM crossings")


def test_colons_percent_signs_and_comments_in_queries_are_preserved(root: Path, database: sqlite3.Connection) -> None:
    query = "SELECT ':late' AS a, ' 12:30 %s %(x)s' AS b, count(*) AS n FROM crossings WHERE harbour LIKE '%' -- all"
    found = read_rows(address("sqlite:///store/log.db", "x"), Query(query), root)

    assert found.loc[0].tolist() == [":late", " 12:30 %s %(x)s", 300]


def test_too_many_rows_are_refused(root: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(DataRefusedError, match="more than 299 rows"):
        current(configure(root, "sqlite:///store/log.db", query="crossings", max_rows=299))


def test_a_missing_sqlite_file_is_not_created(root: Path) -> None:
    with pytest.raises(NotFoundError, match="SQLite file does not exist"):
        current(configure(root, "sqlite:///none.db", query="crossings"))
    assert not (root / "none.db").exists()


@pytest.mark.parametrize("url", ["s4://bucket/log", "sqlte:///a.db", "://"])
def test_an_address_with_an_unknown_protocol_is_refused(root: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="not a path, an object store URL or a database URL"):
        current(configure(root, url, query="crossings"))


def test_a_driver_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="needs MySQLdb, which is not installed") as caught:
        current(configure(root, "mysql://localhost/log", query="crossings"))
    assert "pyproject.toml" in str(caught.value.fix)


def test_an_empty_database_table_means_no_current_data(root: Path, database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM crossings")
    database.commit()

    assert drift_measure.measure(configure(root, "sqlite:///store/log.db", query="crossings")).reasons == (
        "no new data has arrived yet",
    )


# --- labels from a source of their own


@pytest.fixture
def with_ids(root: Path) -> pd.DataFrame:
    """Add an id column to the tracked crossings; return current crossings with ids."""
    tracked = sample.crossings().assign(id=range(sample.ROWS))
    (root / "data").mkdir(exist_ok=True)
    tracked.to_parquet(root / "data" / "2024-03.parquet", index=False)
    sample.edit(root / "expectations/ferries.json", '"late"]', '"late", "id"]')
    sample.edit(root / "pipelines/ferries/params.yaml", "drop: []", "drop: [id]")
    sample.dvc(root, "add", "--quiet", "data")
    sample.dvc(root, "push", "--quiet")
    sample.commit(root, "Numbers")
    return ARRIVED.assign(id=range(sample.ROWS, sample.ROWS + 300))


def test_labels_can_have_their_own_source_and_come_late(
    root: Path, with_ids: pd.DataFrame, memory: fsspec.AbstractFileSystem
) -> None:
    (root / "incoming").mkdir()
    with_ids.drop(columns="late").to_csv(root / "incoming" / "log.csv", index=False)
    memory.mkdir("/labels")
    project = configure(root, "incoming", id=["id"], labels="memory://labels")

    measured = drift_measure.measure(project)
    assert (measured.new_rows, measured.arrival.ready, measured.arrival.waiting) == (300, 0, 300)
    assert {column.name for column in measured.columns}.isdisjoint({"late", "id"})
    with pytest.raises(InconclusiveError, match="0 new rows are too few") as caught:
        retraining_retrain.retrain(project, AttemptReason("manual"))
    assert "300 wait for their labels" in str(caught.value.why)

    first_labels = with_ids[["id", "late"]].iloc[:200]
    memory.pipe_file(
        "/labels/a.csv",
        pd.concat([first_labels, first_labels, pd.DataFrame({"id": [9999], "late": [1]})]).to_csv(index=False).encode(),
    )
    checked, measured = check_data(project, "current"), drift_measure.measure(project)
    assert checked.passed
    assert "1 labels were ignored: they match no row" in checked.reasons[-1]
    assert (measured.arrival.ready, measured.arrival.waiting, measured.arrival.unknown_labels) == (200, 100, 1)

    result = retraining_retrain.retrain(project, AttemptReason("manual"))
    assert result.new_rows == 200
    assert result.arrival.waiting == 100
    assert "300 new (" in result.to_markdown()

    memory.pipe_file(
        "/labels/b.csv", with_ids[["id", "late"]].assign(late=lambda f: 1 - f["late"]).to_csv(index=False).encode()
    )
    refused = check_data(project, "current")
    assert not refused.passed
    assert "the labels of 200 ids contradict" in refused.reasons[0]


def test_labels_need_id_columns_in_the_tracked_data(root: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(ConfigError, match=r"sources\.id is empty"):
        current(configure(root, "sqlite:///store/log.db", query="crossings", labels="incoming"))
    with pytest.raises(ConfigError, match=r"sources\.id names 'id', which is not a column of the tracked data"):
        drift_measure.measure(configure(root, "sqlite:///store/log.db", query="crossings", id=["id"]))


def test_a_missing_label_column_in_a_database_is_an_error(
    root: Path, database: sqlite3.Connection, with_ids: pd.DataFrame
) -> None:
    """SQLite reads an unknown quoted name as a string literal, so the label column must be checked."""
    database.execute("ALTER TABLE crossings RENAME COLUMN late TO was_late")
    database.commit()
    with_ids.drop(columns="late").to_csv(root / "new.csv", index=False)
    project = configure(root, "new.csv", id=["id"], labels="sqlite:///store/log.db", labels_query="crossings")

    with pytest.raises(ConfigError, match="rejected the query"):
        current(project)


# --- late rows


def test_late_rows_are_added_and_counted(root: Path) -> None:
    late = sample.crossings(60, start="2024-04-10", seed=8)
    (root / "incoming").mkdir()
    pd.concat([ARRIVED, late, late, sample.crossings(5, start="2024-01-01", seed=9)]).to_parquet(
        root / "incoming" / "log.parquet", index=False
    )
    project = Project.find(root)

    counts = drift_measure.measure(project).arrival
    assert (counts.read, counts.new, counts.late, counts.repeated, counts.too_late) == (
        425,
        360,
        60,
        60,
        5,
    )
    result = retraining_retrain.retrain(project, AttemptReason("manual"))
    assert (result.new_rows, result.arrival.late, result.arrival.too_late) == (360, 60, 5)
    assert counts.watermark == sample.crossings()["departure"].max().isoformat()


# --- the doctor


def test_the_doctor_checks_sources_without_the_network(root: Path, database: sqlite3.Connection) -> None:
    def current_data_finding(current: str, **sources: Any) -> tuple[bool, str]:
        configure(root, current, **sources)
        (finding,) = (finding for finding in doctor(root).findings if finding.name == "current data")
        return finding.ok, finding.what

    assert current_data_finding("s3://bucket/log") == (True, "s3://bucket/log, not contacted")
    assert current_data_finding("sqlite:///store/log.db") == (True, "sqlite:///store/log.db, not contacted")
    assert current_data_finding("store") == (False, "unsupported file type: .db")
    assert current_data_finding("nowhere") == (False, "nowhere does not exist")
    assert current_data_finding("gs://bucket/log")[0] is False
    assert current_data_finding("postgresql+psycopg://u:${NOT_SET}@h/d") == (
        False,
        "the environment variable NOT_SET is not set",
    )
