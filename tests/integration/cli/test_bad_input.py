"""Bad input that Great Expectations, git or DVC finds: each kind ends with its exit code and says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import sample
from sample import Command, Refused, arrives


@pytest.mark.parametrize(
    ("change", "verdict", "column"),
    [
        (lambda frame: frame.drop(columns="wind"), "schema_skew", "wind"),
        (lambda frame: frame.rename(columns={"wind": "Wind"}), "schema_skew", "wind"),
        (lambda frame: frame.assign(extra=1), "schema_skew", "extra"),
        (lambda frame: frame.assign(wind="strong"), "schema_skew", "wind"),
        (lambda frame: frame.assign(wind=None), "value_skew", "wind"),
        (lambda frame: frame.assign(late=2), "value_skew", "late"),
    ],
    ids=["missing", "renamed", "added", "wrong type", "all missing", "unknown class"],
)
def test_unexpected_data_is_an_answer_that_names_the_column(
    change: Callable[[pd.DataFrame], pd.DataFrame], verdict: str, column: str, root: Path, command: Command
) -> None:
    arrives(root, "a.csv", change(sample.crossings(50)))
    completed = command("check-data", "--on", "current")

    assert (completed.code, completed.document["passed"], completed.document["verdict"]) == (10, False, verdict)
    assert column in completed.document["reasons"][0]
    assert json.loads((root / "reports" / "check-data.json").read_text()) == completed.document
    assert command("check-data", "--on", "current", "--no-fail").code == 0


@pytest.mark.parametrize("arguments", [["evaluate"], ["promote"], ["package", "--model", "challenger"]])
def test_no_model_was_trained_yet(arguments: list[str], refused: Refused) -> None:
    assert "titlebout train" in refused(5, *arguments)["fix"]


def test_a_missing_git_identity(root: Path, no_identity: None, command: Command) -> None:
    completed = command("doctor")
    (finding,) = [finding for finding in completed.document["findings"] if finding["name"] == "identity"]

    assert (completed.code, finding["ok"]) == (2, False)
    assert "has no author identity" in finding["what"]
    assert "git config user.email" in finding["fix"]


def test_a_folder_that_is_no_git_repository(root: Path, refused: Refused) -> None:
    shutil.rmtree(root / ".git")

    assert "git init" in refused(2, "evaluate")["fix"]


def test_a_repository_without_a_commit(root: Path, refused: Refused) -> None:
    shutil.rmtree(root / ".git")
    sample.git(root, "init", "--quiet")

    assert "commit" in refused(5, "evaluate")["fix"]


def test_a_clone_that_is_too_shallow(
    root: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample.git(root, "switch", "--quiet", "--create", "feature")
    (root / "notes.txt").write_text("new")
    sample.commit(root, "Second")
    target = tmp_path / "shallow"
    sample.git(tmp_path, "clone", "--quiet", "--depth", "1", "--branch", "feature", root.as_uri(), str(target))
    monkeypatch.chdir(target)
    error = refused(5, "evaluate", at=target)

    assert error["why"] == "the clone is shallow"
    assert "fetch-depth: 0" in error["fix"]


def test_a_base_that_does_not_exist(refused: Refused) -> None:
    assert "revision nowhere does not exist" in refused(5, "evaluate", "--base", "nowhere")["what"]


def test_a_detached_head_is_a_place_like_any_other(root: Path, refused: Refused) -> None:
    sample.git(root, "switch", "--quiet", "--detach")

    assert refused(5, "evaluate")["what"] == "no model has been trained yet in pipeline ferries"


def test_data_that_was_changed_and_not_recorded(root: Path, refused: Refused) -> None:
    (root / "data" / "2024-03.parquet").write_bytes(b"half a downl")

    for command in ("train", "check-data"):
        assert "dvc checkout data.dvc" in refused(2, command)["fix"]


def test_an_object_that_is_nowhere(root: Path, refused: Refused) -> None:
    shutil.rmtree(root / "data")
    shutil.rmtree(root / "dvc-remote")
    shutil.rmtree(root / ".dvc" / "cache")
    error = refused(5, "check-data")

    assert "missing from the DVC remote" in error["what"]
    assert "dvc push" in error["fix"]
