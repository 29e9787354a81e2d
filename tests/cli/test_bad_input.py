"""Bad input: each kind ends with its exit code and says what, where, why and what to do; nothing is left half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import sample
from sample import Command, Refused, arrives, files
from titlebout.cli.main import run

Change = Callable[[Path], object]


# --- configuration and files


@pytest.mark.parametrize(
    ("name", "old", "new", "what", "fix"),
    [
        ("titlebout.toml", "min_rows = 100", "min_row = 100", "unknown key 'gate.min_row'", "did you mean 'min_rows'?"),
        (
            "titlebout.toml",
            "min_rows = 100",
            "min_rows = 'a'",
            "gate.min_rows must be a whole number",
            "correct the value",
        ),
        ("titlebout.toml", 'package = "ferries"\n', "", "required key 'project.package' is missing", "add the key"),
        ("titlebout.toml", "[gate]", "[gate", "titlebout.toml is not valid TOML", "correct"),
        ("pipelines/ferries/params.yaml", "target: late", "targets: late", "unknown key 'data.targets'", "'target'"),
        ("pipelines/ferries/params.yaml", "data:\n", "data: [\n", "params.yaml is not valid YAML", "correct"),
        ("pipelines/ferries/params.yaml", "time: departure", "time: ''", "data.time is empty", "split.by"),
        (
            "titlebout.toml",
            'pipeline = "ferries"',
            'pipeline = "boats"',
            "no pipeline 'boats'",
            "choose one of: ferries",
        ),
    ],
)
def test_a_mistake_in_the_configuration(
    name: str, old: str, new: str, what: str, fix: str, root: Path, refused: Refused
) -> None:
    sample.edit(root / name, old, new)
    arrives(root, "a.csv", sample.crossings(10))
    error = refused(5 if "no pipeline" in what else 2, "check-data", "--on", "current")

    assert what in error["what"]
    assert fix in error["fix"]
    assert name in error["where"] or "pipelines" in error["where"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("titlebout.toml", ["check-data"]),
        ("pipelines/ferries/params.yaml", ["check-data", "--on", "current"]),
        ("expectations/ferries.json", ["check-data"]),
        ("data.dvc", ["check-data"]),
        ("data.dvc", ["train"]),
    ],
)
def test_a_missing_file(name: str, arguments: list[str], root: Path, refused: Refused) -> None:
    arrives(root, "a.csv", sample.crossings(10))
    (root / name).unlink()
    error = refused(5, *arguments)

    assert Path(name).name in f"{error['what']} {error['where']}"


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x", "expectations": []}', "{'name': 1}"])
def test_a_suite_that_expects_nothing_checks_nothing(text: str, root: Path, refused: Refused) -> None:
    (root / "expectations" / "ferries.json").write_text(text)
    refused(65 if not text.startswith('{"') else 2, "check-data")


def test_a_folder_that_is_no_repository_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    for arguments in (["check-data"], ["train"], ["evaluate"], ["promote"], ["package"], ["drift"], ["retrain"]):
        assert "titlebout new" in refused(5, *arguments, at=tmp_path / "elsewhere")["fix"]


# --- data


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.parquet", "", "the file is empty"),
        ("a.csv", "departure,harbour,wind,waves,passengers,late\n", "header but no rows"),
        ("a.csv", "departure,harbour\n2024-03-01,Bod\xf8\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", "departure,harbour\n2024-03-01,Bodø\n".encode("utf-16"), "not UTF-8"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3 has 1 fields, but the header has 2"),
        ("a.csv", "a,b\n1,2,3\n", "line 2 has 3 fields, but the header has 2"),
        ("a.csv", 'a,b\n1,"2\n', "not valid CSV"),
        ("a.csv", "a,A\n1,2\n", "two columns are named"),
        ("a.jsonl", '{"a": 1}\n{"a":\n', "not valid JSON"),
        ("a.parquet", "PAR1", "not valid Parquet"),
        ("a.csv", "a;b\n1;2\n", "the columns are separated by ';'"),
        ("a.csv.gz", "a,b\n1,2\n", "cannot be decompressed"),
        ("a.xlsx", "PK", "unsupported file type: .xlsx"),
        ("a", "1", "unsupported file type: no file name extension"),
    ],
)
def test_arriving_data_that_is_no_table_is_refused(
    name: str, content: str | bytes, what: str, root: Path, command: Command
) -> None:
    arrives(root, name, content)
    found = command("check-data", "--on", "current")

    assert found.code == 10
    assert what in found.document["reasons"][0]
    assert f"; incoming/{name}" in found.document["reasons"][0], "as the reader of an issue knows it"
    assert what in (root / "reports" / "check-data.md").read_text()


def test_drift_by_hand_names_the_file_of_an_unreadable_value(root: Path, refused: Refused) -> None:
    frame = sample.crossings(10)
    arrives(root, "a.csv", frame.assign(wind=frame["wind"].astype(str).where(frame.index != 7, "strong")))

    error = refused(10, "drift")
    assert error["what"] == "column 'wind': 1 value is not a number"
    assert error["where"].endswith("incoming/a.csv, first in row 7")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_the_advice_for_another_encoding_keeps_the_euro_sign(encoding: str, root: Path, command: Command) -> None:
    arrives(root, "a.csv", "price in €\n5\n".encode(encoding))

    assert f"iconv -f {encoding} -t utf-8" in command("check-data", "--on", "current").document["reasons"][0]


def test_tracked_data_that_is_no_table_is_malformed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "data" / "broken.csv").write_text("a,b\n1\n")

    assert run(["stage", "check-data", "--pipeline", "ferries"]) == 65
    assert "line 2 has 1 fields" in capsys.readouterr().err


def test_no_data_at_all(root: Path, refused: Refused) -> None:
    assert "incoming" in refused(5, "check-data", "--on", "current")["where"]


def test_files_that_do_not_go_together(root: Path, command: Command) -> None:
    arrives(root, "a.csv", sample.crossings(10))
    arrives(root, "b.csv", sample.crossings(10).rename(columns={"wind": "Wind"}))

    found = command("check-data", "--on", "current")

    assert found.code == 10
    assert "b.csv and a.csv have different columns" in found.document["reasons"][0]


def training(root: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the stage that fits, as DVC runs it, on the given data, and return its exit code and its output."""
    shutil.rmtree(root / "data")
    (root / "data").mkdir()
    frame.to_csv(root / "data" / "a.csv", index=False)
    before = files(root)
    code = run(["stage", "train", "--pipeline", "ferries"])
    word = root / "build" / "stage-error.json"
    assert json.loads(word.read_text())["exit_code"] == code
    word.unlink()
    assert files(root) == before
    assert list((root / "pipelines" / "ferries").glob(".model*")) == []
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "what"),
    [
        (lambda frame: frame.assign(late=0), 3, "the training rows have only one class: 0"),
        (lambda frame: frame.rename(columns={"late": "Late"}), 65, "target column 'late' is missing"),
        (lambda frame: frame.assign(late=frame["late"].where(frame["wind"] > 10)), 65, "missing values"),
        (lambda frame: frame.drop(columns="departure"), 65, "the data has no time column 'departure'"),
        (lambda frame: frame.assign(departure="soon"), 65, "column 'departure' cannot be read as datetime"),
        (lambda frame: frame.assign(wind=float("inf")), 65, "column 'wind' cannot be read as number"),
        (lambda frame: frame.rename(columns={"harbour": "port"}), 2, "fitting the model failed: "),
        (lambda frame: frame.tail(10), 3, "the split leaves no training rows"),
    ],
    ids=["one class", "no target", "unlabelled", "no time", "no times", "infinite", "renamed", "too short"],
)
def test_data_that_nothing_can_be_learnt_from(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    code: int,
    what: str,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, completed = training(root, change(sample.crossings()), capsys)

    assert found == code
    assert what in completed.splitlines()[0]
    assert "  fix: " in completed
    assert "Traceback" not in completed


# --- the repository


def test_packaging_without_a_champion(refused: Refused) -> None:
    error = refused(5, "package")

    assert error["what"] == "there is no champion yet"
    assert "titlebout promote" in error["fix"]


def test_an_evaluation_that_is_no_verdict(root: Path, refused: Refused) -> None:
    (root / "pipelines" / "ferries" / "dvc.lock").write_text("<<<<<<< ours\n=======\n>>>>>>> theirs\n")

    assert refused(6, "promote")["what"] == "unresolved merge conflict"
