"""DVC's files, read without DVC, and the causes behind its messages."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample
from titlebout.core.errors import ConfigError, ConflictError, DiskError, ExitCode, TitleboutError
from titlebout.core.process import Completed
from titlebout.core.results import write_json
from titlebout.repository.dvc import STAGE_ERROR_FILE, Dvc, _explain, _stage_failure
from titlebout.repository.dvc_files import DvcOutput, parse_dvc_file, parse_yaml
from titlebout.repository.project import Project

POINTER = "outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  size: 12\n  nfiles: 2\n  hash: md5\n  path: data\n"
LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: model\n      hash: md5\n      md5: ab.dir\n      size: 3\n      nfiles: 4\n"
MARKERS = "<<<<<<< ours\na: 1\n=======\na: 2\n>>>>>>> theirs\n"


def test_a_dvc_file_is_parsed() -> None:
    assert parse_dvc_file(POINTER, "data.dvc") == DvcOutput("0123456789abcdef0123456789abcdef.dir", 12, 2)
    assert parse_dvc_file(POINTER, "data.dvc").short == "0123456789ab"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "- a\n",
        "outs: []\n",
        "outs:\n",
        "outs: 3\n",
        "outs:\n- a\n",
        "outs:\n- path: data\n",
        "outs:\n- md5: a\n  size: x\n",
        POINTER + "- md5: b\n",
        "a: [",
        "a: *b",
    ],
)
def test_a_dvc_file_must_track_one_folder(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dvc_file(text, "data.dvc")

    assert caught.value.where == "data.dvc"
    assert "from git" in str(caught.value.fix)


@given(text=st.text())
def test_any_text_is_a_yaml_mapping_or_a_titlebout_error(text: str) -> None:
    with contextlib.suppress(ConfigError, ConflictError):
        assert isinstance(parse_yaml(text, "dvc.lock"), dict)


@pytest.mark.parametrize("text", [MARKERS, POINTER + MARKERS, POINTER + ">>>>>>> theirs\n"])
def test_merge_conflict_markers_are_a_conflict(text: str) -> None:
    with pytest.raises(ConflictError, match="merge conflict") as caught:
        parse_dvc_file(text, "champion.dvc")

    assert caught.value.exit_code == 6


@pytest.fixture
def dvc(tmp_path: Path) -> Dvc:
    return Dvc(Project.find(sample.write_settings(tmp_path)))


def lock(dvc: Dvc, text: str) -> Path:
    path = dvc.project.pipeline_dir / "dvc.lock"
    path.write_text(text)
    return path


def test_the_challenger_is_read_from_the_lock_file(dvc: Dvc) -> None:
    assert dvc.challenger_output() is None

    lock(dvc, LOCK)

    assert dvc.challenger_output() == DvcOutput("ab.dir", 3, 4)


@pytest.mark.parametrize("text", ["schema: '2.0'\nstages:\n  prepare:\n    cmd: x\n", "stages: {}\n"])
def test_a_lock_file_without_the_train_stage_has_no_challenger(text: str, dvc: Dvc) -> None:
    lock(dvc, text)

    assert dvc.challenger_output() is None


@pytest.mark.parametrize(
    "text", ["a: 1\n", "stages:\n", "stages: []\n", "stages:\n  train: 3\n", LOCK.replace("size", "sise"), "", "x"]
)
def test_a_malformed_lock_file_is_refused(text: str, dvc: Dvc) -> None:
    path = lock(dvc, text)

    with pytest.raises(ConfigError) as caught:
        dvc.challenger_output()
    assert caught.value.where == str(path)


def test_a_conflict_in_the_lock_file_is_found_before_any_stage_runs(dvc: Dvc) -> None:
    lock(dvc, LOCK + MARKERS)
    (dvc.project.root / "data.dvc").write_text(POINTER)

    with pytest.raises(ConflictError) as caught:
        dvc.reproduce()
    assert "delete it and run `titlebout train`" in str(caught.value.fix)


def test_without_data_dvc_no_data_is_tracked(dvc: Dvc) -> None:
    with pytest.raises(TitleboutError, match="no data is tracked") as caught:
        dvc.data_output()

    assert caught.value.exit_code is ExitCode.NOT_FOUND


# --- failures. The messages were copied from DVC's output.


def completed(stderr: str) -> Completed:
    return Completed(("dvc", "pull"), 1, "", stderr)


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("ERROR: failed to connect to s3 (b/files/md5) - Unable to locate credentials", ExitCode.PERMISSION),
        ("ERROR: unexpected error - Forbidden: An error occurred (403)", ExitCode.PERMISSION),
        ("ERROR: failed to pull data from the cloud - Permission denied for user ci", ExitCode.PERMISSION),
        ("ERROR: Unable to acquire lock. Most likely another DVC process is running", ExitCode.TEMPORARY),
        ("ERROR: 'data' is busy, it is being blocked by:\n  (PID 3): dvc repro", ExitCode.TEMPORARY),
        ("ERROR: failed to connect to ssh (host) - Connect call failed", ExitCode.TEMPORARY),
        ("ERROR: unexpected error - 503 Service Unavailable", ExitCode.TEMPORARY),
        (
            "ERROR: failed to pull data from the cloud - Checkout failed for following targets:\ndata",
            ExitCode.NOT_FOUND,
        ),
        ("ERROR: failed to reproduce 'data.dvc': missing data 'source': data", ExitCode.NOT_FOUND),
        ("ERROR: failed to pull - missing data 'source': /srv/job-503/403/connect/data", ExitCode.NOT_FOUND),
        ("ERROR: failed to transfer 'x' - [Errno 28] No space left on device", ExitCode.DISK),
        (
            "ERROR: failed to pull data from the cloud - Can't remove the following unsaved files without confirmation.",
            ExitCode.USAGE,
        ),
        ("ERROR: unexpected error - s3 is supported, but requires 'dvc-s3' to be installed: No module", ExitCode.USAGE),
        ("ERROR: URL 'gs://b' is supported but requires these missing dependencies: ['gcsfs']", ExitCode.USAGE),
        ("ERROR: unexpected error - file is not a database", ExitCode.BUG),
    ],
)
def test_a_message_of_dvc_is_mapped_to_its_cause(stderr: str, code: ExitCode) -> None:
    error = _explain(completed(stderr))

    assert error.exit_code is code
    assert stderr.splitlines()[0] in str(error.why)
    assert error.fix


@given(kind=st.sampled_from([TitleboutError, *TitleboutError.__subclasses__()]), what=st.text(min_size=1))
def test_the_error_of_a_stage_keeps_its_class_and_words(
    kind: type[TitleboutError], what: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    error = TitleboutError.from_dict(
        DiskError(what, where="data", why="why", fix="fix").to_dict()
        | {"type": kind.__name__, "exit_code": int(kind.exit_code)}
    )
    path = write_json(tmp_path_factory.mktemp("word") / STAGE_ERROR_FILE, error.to_dict())
    found = _stage_failure(path, completed("ERROR: failed to reproduce"))

    assert type(found) is type(error)
    assert (found.exit_code, found.what) == (kind.exit_code, what)
    assert (found.where, found.why, found.fix) == ("data", "why", "fix")


@pytest.mark.parametrize(
    ("ended", "code", "reported"),
    [("74", ExitCode.DISK, "exit code 74"), ("-9", ExitCode.BUG, "signal 9"), ("99", ExitCode.BUG, "exit code 99")],
)
def test_a_stage_without_an_error_file_is_reported_by_its_exit(
    ended: str, code: ExitCode, reported: str, tmp_path: Path
) -> None:
    last = f"ERROR: failed to reproduce 'train': failed to run: titlebout stage train, exited with {ended}"
    found = _stage_failure(tmp_path / "nothing", completed(f"value is missing\n{last}"))

    assert found is not None
    assert found.exit_code == code
    assert reported in found.what
    assert "value is missing" in str(found.why)


def test_other_failures_are_not_reported_as_a_stage_failure(tmp_path: Path) -> None:
    assert (
        _stage_failure(tmp_path / "nothing", completed("ERROR: failed to reproduce 'data.dvc': missing data")) is None
    )
