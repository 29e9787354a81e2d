"""The pipeline and the gate with real DVC and git: what runs, what is fetched, promoted and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import sample
from sample import CommandResult
from states import (
    CHAMPION,
    LOCK,
    PIPELINE,
    challenger,
    clone,
    digest,
    objects,
)
from titlebout.cli.main import run
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import folder_digest
from titlebout.repository.project import Project

Command = Callable[..., CommandResult]


def training_output(states: dict[str, Path], name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((states[name].parent / "train.json").read_text())
    return document


# --- what runs


def test_the_first_training_runs_every_stage_and_says_what_came_out(states: dict[str, Path]) -> None:
    completed = training_output(states, "weak")

    assert completed["ran"] == ["check-data", "prepare", "train", "evaluate"]
    assert (completed["passed"], completed["changed"]) == (True, True)
    assert completed["challenger"] == digest(states["weak"])
    assert set(completed["metrics"]) == {"log_loss", "accuracy", "roc_auc"}  # type: ignore[call-overload]


def test_a_second_training_runs_nothing(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    completed = command("train")

    assert (completed.code, completed.document["changed"], completed.document["ran"]) == (0, False, [])
    assert completed.document["skipped"] == ["check-data", "prepare", "train", "evaluate"]
    assert sample.git(root, "status", "--porcelain") == ""


def test_a_hyperparameter_reruns_the_training_only(states: dict[str, Path]) -> None:
    completed = training_output(states, "better")

    assert completed["ran"] == ["train", "evaluate"]
    assert completed["skipped"] == ["check-data", "prepare"]


def test_the_same_training_elsewhere_gives_the_same_model(at: Callable[[str], Path]) -> None:
    root = at("weak")
    expected = challenger(root).md5
    sample.edit(root / "titlebout.toml", "min_rows = 100", "min_rows = 101")  # policy changes no model
    for name in ("prepare", "train", "evaluate"):
        assert run(["stage", name, "--pipeline", "ferries"]) == 0

    assert folder_digest(root / PIPELINE / "model") == expected
    assert sample.git(root, "diff", "--name-only") == "titlebout.toml"


def test_a_fresh_clone_trains_nothing_and_downloads_nothing(
    cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("weak")
    completed = command("train")

    assert (completed.code, completed.document["changed"], completed.document["ran"]) == (0, False, [])
    assert completed.document["challenger"] == digest(states["weak"])
    assert not (root / "data").exists()
    assert not (root / PIPELINE / "model").exists()
    assert objects(root, ".dvc/cache") == []


def test_what_the_run_cache_restores_is_pushed_like_what_was_trained(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    trained, name = challenger(root).md5, digest(root)
    sample.git(root, "switch", "--quiet", "main")  # the objects leave dvc-remote, and stay in the cache
    sample.edit(root / PIPELINE / "params.yaml", "C: 0.003", "C: 1.0")
    completed = command("train")

    assert completed.document["ran"] == ["train", "evaluate"]
    assert "cached" in completed.errors
    assert (completed.document["changed"], completed.document["challenger"]) == (True, name)
    assert any(path.parent.name + path.name == trained for path in objects(root))
    sample.commit(root, "The same model again")
    fresh = clone(root, root.parent / "fresh")
    assert len(list(Dvc(Project.find(fresh)).pull_model("challenger").iterdir())) == 4


def test_new_data_reruns_everything_even_in_an_empty_clone(
    states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """For a dependency on a part of what data.dvc names, DVC would say that nothing changed."""
    source = sample.copy(states["weak"], tmp_path / "source")
    sample.crossings(100, start="2024-04-20", seed=5).to_parquet(source / "data" / "2024-04.parquet", index=False)
    sample.dvc(source, "add", "--quiet", "data")
    sample.dvc(source, "push", "--quiet")
    sample.commit(source, "More data")
    root = clone(source, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    completed = command("train")

    assert completed.document["ran"] == ["check-data", "prepare", "train", "evaluate"]
    assert len(list((root / "data").iterdir())) == 2
    assert json.loads((root / PIPELINE / "reports" / "split.json").read_text())["train_rows"] == 532


@pytest.mark.parametrize(
    ("lost", "folder", "fix"),
    [("2024-03.parquet", "data", "dvc push"), ("model.skops", "model", "titlebout train --force")],
)
def test_outputs_that_exist_nowhere_are_missed_although_nothing_changed(
    cloned: Callable[[str], Path], command: Command, lost: str, folder: str, fix: str
) -> None:
    root = cloned("weak")
    output = challenger(root).md5 if folder == "model" else Dvc(Project.find(root)).data_output().md5
    remote = root / "dvc-remote" / "files" / "md5"
    entries = json.loads((remote / output[:2] / output[2:]).read_text(encoding="utf-8"))
    (md5,) = (entry["md5"] for entry in entries if entry["relpath"] == lost)
    (remote / md5[:2] / md5[2:]).unlink()
    completed = command("train")

    assert completed.code == 5
    assert completed.error["what"] == f"nothing changed, but {lost} of {folder}/ exists nowhere"
    assert "git checkout HEAD -- dvc-remote" in completed.error["fix"]
    assert fix in completed.error["fix"]
    sample.git(root, "checkout", "HEAD", "--", "dvc-remote")
    assert command("train").code == 0


# --- what is refused before or while it runs


def test_a_part_of_the_data_is_refused(at: Callable[[str], Path], command: Command) -> None:
    """DVC would take the part for the whole and train on it."""
    root = at("weak")
    sample.crossings(10, start="2025-01-01").to_parquet(root / "data" / "2025-01.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    (root / "data" / "2024-03.parquet").unlink()
    lock = (root / LOCK).read_text()
    completed = command("train")

    assert completed.code == 2
    assert completed.error["what"] == "data/ differs from data.dvc"
    assert "dvc checkout data.dvc" in completed.error["fix"]
    assert (root / LOCK).read_text() == lock


@pytest.mark.parametrize("arguments", [["check-data"], ["evaluate"]])
def test_a_file_that_was_never_recorded_is_not_deleted(
    arguments: list[str], at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    new = root / "data" / "2024-04.csv"
    sample.crossings(10, start="2024-05-01").to_csv(new, index=False)
    content = new.read_bytes()
    completed = command(*arguments)

    assert completed.code == 2
    assert "contains untracked files" in completed.error["what"]
    assert "dvc add data" in completed.error["fix"]
    assert new.read_bytes() == content


def test_data_that_fails_its_checks_ends_the_training_as_an_answer(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    lock = (root / LOCK).read_text()
    frame = sample.crossings(20, start="2024-05-01").assign(wind=float("nan"))
    frame.to_parquet(root / "data" / "2024-05.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    completed = command("train")

    assert completed.code == 10
    assert (completed.document["passed"], completed.document["changed"], completed.document["ran"]) == (
        False,
        False,
        ["check-data"],
    )
    assert "wind" in completed.document["reasons"][0]
    assert (root / LOCK).read_text() == lock


@pytest.mark.parametrize(
    ("code", "exit_code", "reported"),
    [
        ("raise KeyError('harbor')", 2, "ferries.model:build_model failed: KeyError: 'harbor'"),
        ("import os; os.kill(os.getpid(), 9)", 1, "stage train was ended by signal 9"),
        ("import os; os._exit(128 + 9)", 1, "stage train was ended by signal 9"),  # as some shells report it
        ("import os; os._exit(9)", 1, "stage train ended with exit code 9"),
    ],
)
def test_a_failing_stage_is_reported_with_its_own_message(
    code: str, exit_code: int, reported: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    before = folder_digest(root / PIPELINE / "model")
    sample.edit(root / "src" / "ferries" / "model.py", "    numbers =", f"    {code}\n    numbers =")
    completed = command("train")

    assert completed.code == exit_code
    assert completed.error["what"] == reported
    assert completed.error["fix"]
    assert list((root / PIPELINE).glob(".model*")) == []
    assert not (root / PIPELINE / "model").exists() or folder_digest(root / PIPELINE / "model") == before


@pytest.mark.parametrize("name", [LOCK, CHAMPION])
def test_a_merge_conflict_is_reported_before_anything_runs(
    name: Path, at: Callable[[str], Path], command: Command
) -> None:
    root = at("promoted")
    text = (root / name).read_text()
    (root / name).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")

    for arguments in (["train"], ["evaluate"])[name == CHAMPION :]:
        completed = command(*arguments)
        assert completed.code == 6
        assert completed.error["what"] == "unresolved merge conflict"
        assert completed.error["where"] == str(root / name)


@pytest.mark.parametrize("lost", ["challenger", "champion", "data"])
def test_an_object_that_the_remote_lost_is_not_found(
    lost: str, cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    pointer = {
        "challenger": challenger(root),
        "champion": challenger(states["promoted"]),
        "data": Dvc(Project.find(root)).data_output(),
    }[lost]
    listing = root / "dvc-remote" / "files" / "md5" / pointer.md5[:2] / pointer.md5[2:]
    child = json.loads(listing.read_text())[0]["md5"]
    (root / "dvc-remote" / "files" / "md5" / child[:2] / child[2:]).unlink()
    completed = command("evaluate", "--base", "origin/HEAD~1")

    assert completed.code == 5
    assert "dvc push" in completed.error["fix"]
    assert not (root / "reports" / "evaluate.json").exists()


def test_an_object_that_the_remote_altered_is_never_used(
    cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    model = json.loads(
        (root / "dvc-remote" / "files" / "md5" / (md5 := challenger(root).md5)[:2] / md5[2:]).read_text()
    )
    weights = next(entry["md5"] for entry in model if entry["relpath"] == "model.skops")
    path = root / "dvc-remote" / "files" / "md5" / weights[:2] / weights[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    completed = command("evaluate", "--base", "origin/HEAD~1")

    assert completed.code == 5
    assert not (root / "reports" / "evaluate.json").exists()
