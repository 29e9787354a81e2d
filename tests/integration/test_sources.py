"""Current data from files, buckets and databases: real servers, real files, the same rows from each."""

import functools
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import fsspec
import httpx
import pandas as pd
import pytest

import sample
from arriving import ARRIVED, configure, same_rows
from titlebout.checks.check import check_data, check_tracked
from titlebout.core.errors import (
    ConfigError,
    DataError,
    InconclusiveError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    UnsafeError,
)
from titlebout.data import database as data_database
from titlebout.data.current import read_current
from titlebout.data.database import Query, read_rows
from titlebout.doctor import doctor
from titlebout.drift import measure as drift_measure
from titlebout.repository.project import Project
from titlebout.retraining import retrain as retraining_retrain
from titlebout.retraining.reason import Why
from titlebout.settings.addresses import address

BUCKET = "acme-data"


# --- files that are still written to


def as_lines(frame: pd.DataFrame) -> bytes:
    text: str = frame.assign(departure=frame["departure"].astype(str)).to_json(orient="records", lines=True)
    return text.encode()


def test_a_log_cut_at_any_byte_loses_only_its_last_line(root: Path) -> None:
    log = as_lines(ARRIVED.head(3).assign(harbour=["Ærø", "Rømø", "Fanø"])).replace(b"\\u00c6", "Æ".encode())
    (root / "incoming").mkdir()
    project = Project.find(root)
    for end in range(len(log) + 1):
        (root / "incoming" / "log.jsonl").write_bytes(log[:end])
        found = read_current(project)
        whole = log[:end].count(b"\n") + (log[end - 1 : end] == b"}")
        assert len(found.frame) == whole, end
        assert found.unfinished == (end > 0 and log[end - 1 : end] not in b"}\n"), end


def test_a_torn_line_is_counted_in_every_result_and_one_in_the_middle_is_refused(root: Path) -> None:
    (root / "incoming").mkdir()
    log, project = root / "incoming" / "log.jsonl", Project.find(root)
    log.write_bytes(as_lines(ARRIVED)[:-9])

    checked, measured = check_data(project, "current"), drift_measure.measure(project)
    assert checked.rows == 299
    assert "unfinished last line of 1 files" in checked.reasons[-1]
    assert (measured.arrival.read, measured.arrival.unfinished) == (299, 1)
    assert "1 files with an unfinished last line" in measured.to_markdown()

    log.write_bytes(as_lines(ARRIVED)[:-9] + b"\n" + as_lines(ARRIVED.head(1)))
    with pytest.raises(DataError, match="not a JSON object") as caught:
        read_current(project)
    assert str(caught.value.where).endswith("log.jsonl:300")


def test_only_logs_that_have_just_begun_mean_that_nothing_has_arrived(root: Path) -> None:
    (root / "incoming").mkdir()
    (root / "incoming" / "a.jsonl").write_bytes(b'\n{"departure": "2024-0')
    (root / "incoming" / "b.jsonl").write_bytes(b"")
    project = Project.find(root)

    assert check_data(project, "current").reasons == ("nothing has arrived yet",)
    assert drift_measure.measure(project).arrival.unfinished == 1
    with pytest.raises(InconclusiveError, match="nothing has arrived yet"):
        retraining_retrain.retrain(project, Why("manual"))


def test_tracked_files_are_not_read_as_logs(root: Path, tmp_path: Path) -> None:
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / "log.jsonl").write_bytes(as_lines(ARRIVED)[:-9])

    with pytest.raises(DataError, match="not a JSON object"):
        check_tracked(Project.find(root))


# --- buckets


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A server that speaks S3; returns its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}/moto-api/")
                break
            except httpx.TransportError:
                assert server.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """An empty bucket, told to fsspec by the environment as in production; returns what puts an object into it."""
    settings = {
        "AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    for name, value in settings.items():
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


def halves(put: Callable[[str, bytes], object], prefix: str) -> None:
    put(f"{prefix}/2024/04/a.parquet", ARRIVED.head(100).to_parquet(index=False))
    put(f"{prefix}/2024/05/b.csv", ARRIVED.iloc[100:200].to_csv(index=False).encode())
    put(f"{prefix}/2024/05/c.jsonl", as_lines(ARRIVED.iloc[200:]))
    put(f"{prefix}/2024/05/notes.txt", b"not a table")
    put(f"{prefix}/.tmp/d.csv", b"half writ")


def test_a_folder_of_an_s3_bucket_is_read_like_one_of_this_machine(
    root: Path, bucket: Callable[[str, bytes], None]
) -> None:
    halves(bucket, "ferries/log")

    same_rows(read_current(configure(root, f"s3://{BUCKET}/ferries/log")).frame)
    same_rows(read_current(configure(root, f"s3://{BUCKET}/ferries/log/2024/**/*.csv")).frame, ARRIVED.iloc[100:200])
    same_rows(read_current(configure(root, f"s3://{BUCKET}/ferries/log/2024/04/a.parquet")).frame, ARRIVED.head(100))


def test_what_is_put_into_a_bucket_later_is_seen(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    project = configure(root, f"s3://{BUCKET}/log/")  # a store cannot tell a folder that is not there from an empty one
    assert read_current(project).frame.empty
    bucket("log/a.jsonl", as_lines(ARRIVED.head(1)))
    assert len(read_current(project).frame) == 1
    bucket("log/a.jsonl", as_lines(ARRIVED.head(2))[:-5])
    assert (len(read_current(project).frame), read_current(project).unfinished) == (1, 1)


def test_the_whole_loop_runs_on_a_bucket(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    halves(bucket, "log")
    project = configure(root, f"s3://{BUCKET}/log")

    assert check_data(project, "current").rows == 300
    assert check_data(project, "current").passed
    result = drift_measure.measure(project)
    assert (result.new_rows, result.arrival.ready, result.arrival.read) == (300, 300, 300)


@pytest.mark.parametrize("url", ["s3://no-such-bucket/log", "s3://no-such-bucket/log/*.csv"])
def test_a_bucket_that_is_not_there_is_a_mistake(root: Path, bucket: Callable[[str, bytes], None], url: str) -> None:
    project = configure(root, url)

    with pytest.raises(NotFoundError, match="nothing at this address") as caught:
        read_current(project)
    assert caught.value.where == url


def test_a_bucket_without_credentials_says_so_and_shows_none(
    root: Path, bucket: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = configure(root, f"s3://{BUCKET}/log")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(PermissionRefusedError, match="may not read"):
        read_current(project)


def test_a_server_that_is_away_is_a_passing_fault(
    root: Path, bucket: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(TemporaryError, match="could not be asked"):
        read_current(configure(root, f"s3://{BUCKET}/log"))


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_any_kind_of_url_that_fsspec_knows_will_do(
    protocol: str, root: Path, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    system = fsspec.filesystem(protocol)
    place = f"{tmp_path}/shelf" if protocol == "file" else "/shelf"

    def put(name: str, body: bytes) -> None:
        system.makedirs(f"{place}/{name}".rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{place}/{name}", body)

    halves(put, "log")
    same_rows(read_current(configure(root, f"{protocol}://{place}/log")).frame)
    same_rows(read_current(configure(root, f"{protocol}://{place}/log/2024/0[5]/*.csv")).frame, ARRIVED.iloc[100:200])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server with what is in a folder; returns its address."""
    (tmp_path / "www").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_one_file_of_a_web_server_may_need_a_key_that_is_never_shown(
    root: Path, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ARRIVED.to_csv(tmp_path / "www" / "log.csv", index=False)
    monkeypatch.setenv("ACCESS", "hush*hush")

    same_rows(read_current(configure(root, web + "/log.csv?access=${ACCESS}")).frame)
    with pytest.raises(TitleboutError) as caught:
        read_current(configure(root, web + "/other.csv?access=${ACCESS}"))
    assert isinstance(caught.value, NotFoundError)
    assert "hush" not in str(caught.value.to_dict())


def test_more_than_the_limit_is_not_fetched(root: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/log/a.csv", b"a,b\n" + b"1,2\n" * 300_000)

    with pytest.raises(DataError, match="more than 1 MB") as caught:
        read_current(configure(root, "memory://log", max_mb=1))
    assert "sources.max_mb" in str(caught.value.fix)


def test_what_is_wrong_with_a_file_is_told_with_its_address(root: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe_file("/log/in/a.csv", b"a,b\n1,2\n3\n")

    with pytest.raises(DataError, match="line 3 has 1 fields") as caught:
        read_current(configure(root, "memory://log"))
    assert caught.value.where == "memory://log/in/a.csv:3"


def test_a_name_that_leads_out_of_its_folder_is_refused(root: Path, bucket: Callable[[str, bytes], None]) -> None:
    bucket("log/../../../out.csv", b"a,b\n1,2\n")

    with pytest.raises(UnsafeError, match="leads out of its folder"):
        read_current(configure(root, f"s3://{BUCKET}/log"))


def test_a_package_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="gs:// needs a package") as caught:
        read_current(configure(root, "gs://bucket/log"))
    assert "add gcsfs to the dependencies" in str(caught.value.fix)


# --- SQLite


@pytest.fixture
def base(root: Path) -> sqlite3.Connection:
    """A database file in the repository, with what arrived in a table."""
    (root / "store").mkdir()
    connection = sqlite3.connect(root / "store" / "log.db")
    ARRIVED.assign(departure=ARRIVED["departure"].astype(str)).to_sql("crossings", connection, index_label="id")
    connection.commit()
    return connection


WITHOUT_ID = "SELECT departure, harbour, wind, waves, passengers, late FROM crossings"


def test_a_query_of_a_database_gives_the_rows(root: Path, base: sqlite3.Connection) -> None:
    project = configure(root, "sqlite:///store/log.db", query=WITHOUT_ID)

    same_rows(read_current(project).frame)
    assert check_data(project, "current").passed
    result = drift_measure.measure(project)
    assert (result.new_rows, result.arrival.ready) == (300, 300)


def test_a_table_is_read_by_its_name_in_chunks(
    root: Path, base: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.execute("UPDATE crossings SET waves = NULL WHERE id < 70")  # a whole chunk without a value
    base.commit()
    whole = read_current(configure(root, "sqlite:///store/log.db", query="crossings")).frame
    sizes: list[int] = []
    frame_of = data_database._frame
    monkeypatch.setattr(data_database, "_frame", lambda rows, names: sizes.append(len(rows)) or frame_of(rows, names))
    monkeypatch.setattr(data_database, "CHUNK", 7)
    chunks = read_current(configure(root, "sqlite:///store/log.db", query="main.crossings;")).frame

    assert sizes == [7] * 42 + [6]
    assert chunks["waves"].isna().sum() >= 70
    pd.testing.assert_frame_equal(chunks, whole)


def test_only_rows_that_can_be_new_are_asked_for(root: Path, base: sqlite3.Connection) -> None:
    old = sample.crossings(600).assign(departure=lambda f: f["departure"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    old.to_sql("crossings", base, index_label="id", if_exists="append")
    base.commit()
    project = configure(root, "sqlite:///store/log.db", query=WITHOUT_ID, allowed_lateness_days=5)
    known = sample.crossings()
    oldest = known["departure"].max().floor("D") - pd.Timedelta(days=6)
    found = read_current(project, known).frame

    assert len(read_current(project).frame) == 900
    assert len(found) == 300 + (known["departure"] >= oldest).sum()
    assert check_data(project, "current").rows == len(found)
    assert drift_measure.measure(project).arrival.new == 300


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("", "no query says"),
        ("DELETE FROM crossings", "neither a table nor one SELECT"),
        ("SELECT 1; DELETE FROM crossings", "neither a table nor one SELECT"),
        ("SELECT 1) AS a UNION DELETE FROM crossings --", "refused the query"),
        ("WITH gone AS (DELETE FROM crossings RETURNING *) SELECT * FROM gone", "refused the query"),
        ("SELECT * FROM ferries", "refused the query"),
    ],
)
def test_what_is_not_one_select_is_refused_and_changes_nothing(
    root: Path, base: sqlite3.Connection, query: str, what: str
) -> None:
    project = configure(root, "sqlite:///store/log.db", query=query)
    with pytest.raises(ConfigError, match=what):
        read_current(project)
    assert base.execute("SELECT count(*) FROM crossings").fetchone() == (300,)


def test_the_connection_itself_cannot_write(root: Path, base: sqlite3.Connection) -> None:
    engine = data_database.open_engine(address("sqlite:///store/log.db", "x"), root)
    with engine.connect() as connection:
        data_database._forbid_writing(connection)
        with pytest.raises(Exception, match="readonly database"):
            connection.exec_driver_sql("DELETE FROM crossings")


def test_colons_percents_and_comments_in_a_query_are_left_alone(root: Path, base: sqlite3.Connection) -> None:
    query = "SELECT ':late' AS a, ' 12:30 %s %(x)s' AS b, count(*) AS n FROM crossings WHERE harbour LIKE '%' -- all"
    found = read_rows(address("sqlite:///store/log.db", "x"), Query(query), root)

    assert found.loc[0].tolist() == [":late", " 12:30 %s %(x)s", 300]


def test_too_many_rows_are_refused(root: Path, base: sqlite3.Connection) -> None:
    with pytest.raises(DataError, match="more than 299 rows"):
        read_current(configure(root, "sqlite:///store/log.db", query="crossings", max_rows=299))


def test_a_database_file_that_is_not_there_is_not_made(root: Path) -> None:
    with pytest.raises(NotFoundError, match="SQLite file is not there"):
        read_current(configure(root, "sqlite:///none.db", query="crossings"))
    assert not (root / "none.db").exists()


@pytest.mark.parametrize("url", ["s4://bucket/log", "sqlte:///a.db", "://"])
def test_an_address_that_nobody_knows_is_refused(root: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="neither a path, nor a bucket's, nor a database's"):
        read_current(configure(root, url, query="crossings"))


def test_a_driver_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="needs MySQLdb, which is not installed") as caught:
        read_current(configure(root, "mysql://localhost/log", query="crossings"))
    assert "pyproject.toml" in str(caught.value.fix)


def test_an_empty_table_means_that_nothing_has_arrived(root: Path, base: sqlite3.Connection) -> None:
    base.execute("DELETE FROM crossings")
    base.commit()

    assert drift_measure.measure(configure(root, "sqlite:///store/log.db", query="crossings")).reasons == (
        "nothing has arrived yet",
    )


# --- labels of their own


@pytest.fixture
def with_ids(root: Path) -> pd.DataFrame:
    """Tracked crossings and arrived ones that have numbers; returns the latter."""
    tracked = sample.crossings().assign(id=range(sample.ROWS))
    (root / "data").mkdir(exist_ok=True)
    tracked.to_parquet(root / "data" / "2024-03.parquet", index=False)
    sample.edit(root / "expectations/ferries.json", '"late"]', '"late", "id"]')
    sample.edit(root / "pipelines/ferries/params.yaml", "drop: []", "drop: [id]")
    sample.dvc(root, "add", "--quiet", "data")
    sample.dvc(root, "push", "--quiet")
    sample.commit(root, "Numbers")
    return ARRIVED.assign(id=range(sample.ROWS, sample.ROWS + 300))


def test_labels_arrive_on_their_own_and_late(
    root: Path, with_ids: pd.DataFrame, memory: fsspec.AbstractFileSystem
) -> None:
    (root / "incoming").mkdir()
    with_ids.drop(columns="late").to_csv(root / "incoming" / "log.csv", index=False)
    memory.mkdir("/labels")
    project = configure(root, "incoming", id=["id"], labels="memory://labels")

    measured = drift_measure.measure(project)
    assert (measured.new_rows, measured.arrival.ready, measured.arrival.waiting) == (300, 0, 300)
    assert {column["name"] for column in measured.columns}.isdisjoint({"late", "id"})
    with pytest.raises(InconclusiveError, match="0 new rows are too few") as caught:
        retraining_retrain.retrain(project, Why("manual"))
    assert "300 wait for their labels" in str(caught.value.why)

    some = with_ids[["id", "late"]].iloc[:200]
    memory.pipe_file(
        "/labels/a.csv", pd.concat([some, some, pd.DataFrame({"id": [9999], "late": [1]})]).to_csv(index=False).encode()
    )
    checked, measured = check_data(project, "current"), drift_measure.measure(project)
    assert checked.passed
    assert "1 labels are of rows that are not there" in checked.reasons[-1]
    assert (measured.arrival.ready, measured.arrival.waiting, measured.arrival.unknown_labels) == (200, 100, 1)

    result = retraining_retrain.retrain(project, Why("manual"))
    assert result.new_rows == 200
    assert result.arrival.waiting == 100
    assert "300 new (" in result.to_markdown()

    memory.pipe_file(
        "/labels/b.csv", with_ids[["id", "late"]].assign(late=lambda f: 1 - f["late"]).to_csv(index=False).encode()
    )
    with pytest.raises(DataError, match="200 rows have labels that contradict"):
        check_data(project, "current")


def test_labels_need_ids_and_ids_have_to_be_tracked(root: Path, base: sqlite3.Connection) -> None:
    with pytest.raises(ConfigError, match="no column says whose they are"):
        read_current(configure(root, "sqlite:///store/log.db", query="crossings", labels="incoming"))
    with pytest.raises(ConfigError, match=r"sources\.id names 'id', which the tracked data has not"):
        drift_measure.measure(configure(root, "sqlite:///store/log.db", query="crossings", id=["id"]))


def test_a_label_column_that_a_database_has_not_is_an_error(
    root: Path, base: sqlite3.Connection, with_ids: pd.DataFrame
) -> None:
    """SQLite reads an unknown name in quotes as a text."""
    base.execute("ALTER TABLE crossings RENAME COLUMN late TO was_late")
    base.commit()
    with_ids.drop(columns="late").to_csv(root / "new.csv", index=False)
    project = configure(root, "new.csv", id=["id"], labels="sqlite:///store/log.db", labels_query="crossings")

    with pytest.raises(ConfigError, match="refused the query"):
        read_current(project)


# --- late rows


def test_late_rows_are_taken_in_and_counted(root: Path) -> None:
    late = sample.crossings(60, start="2024-04-10", seed=8)
    (root / "incoming").mkdir()
    pd.concat([ARRIVED, late, late, sample.crossings(5, start="2024-01-01", seed=9)]).to_parquet(
        root / "incoming" / "log.parquet", index=False
    )
    project = Project.find(root)

    counts = drift_measure.measure(project).arrival
    assert (counts["read"], counts["new"], counts["late"], counts["repeated"], counts["too_late"]) == (
        425,
        360,
        60,
        60,
        5,
    )
    result = retraining_retrain.retrain(project, Why("manual"))
    assert (result.new_rows, result.arrival.late, result.arrival.too_late) == (360, 60, 5)
    assert counts["watermark"] == sample.crossings()["departure"].max().isoformat()


# --- the doctor


def test_the_doctor_says_what_is_missing_without_asking_anybody(root: Path, base: sqlite3.Connection) -> None:
    def said(current: str, **sources: Any) -> tuple[bool, str]:
        configure(root, current, **sources)
        (finding,) = (finding for finding in doctor(root).findings if finding["name"] == "current data")
        return finding["ok"], finding["what"]

    assert said("s3://bucket/log") == (True, "s3://bucket/log, which was not asked")
    assert said("sqlite:///store/log.db") == (True, "sqlite:///store/log.db, which was not asked")
    assert said("store") == (True, "store, 0 files")
    assert said("nowhere") == (False, "nowhere is not there")
    assert said("gs://bucket/log")[0] is False
    assert said("postgresql+psycopg://u:${NOT_SET}@h/d") == (False, "the environment variable NOT_SET is not set")
