"""Training, as far as it needs no DVC: the model folder is whole at all times, and the report says what ran."""

from pathlib import Path

import pytest

from titlebout.core import process
from titlebout.training.train import TrainResult, _replace_folder


def write(folder: Path, text: str) -> None:
    for name in ("a", "b"):
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with an older model in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, "old")
    (folder / "c").write_text("of the old model only")
    return folder


def test_a_folder_is_replaced_as_a_whole(model: Path) -> None:
    _replace_folder(model, lambda folder: write(folder, "new"))

    assert contents(model) == {"a": "new", "b": "new"}
    assert model.stat().st_mode & 0o777 == 0o755
    assert list(model.parent.iterdir()) == [model]


def test_a_folder_that_could_not_be_written_is_not_replaced(model: Path) -> None:
    before = contents(model)

    def fail(folder: Path) -> None:
        write(folder, "new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _replace_folder(model, fail)

    assert contents(model) == before
    assert list(model.parent.iterdir()) == [model]


def test_what_a_killed_run_left_behind_is_cleared_away(model: Path) -> None:
    before = contents(model)
    script = (
        "import os, pathlib, titlebout.training.train as t\n"
        "def write(folder):\n"
        "    (folder / 'a').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
        f"t._replace_folder(pathlib.Path({str(model)!r}), write)\n"
    )
    assert process.run(["python", "-c", script], check=False).returncode == -9
    assert contents(model) == before
    assert len(list(model.parent.iterdir())) == 2

    _replace_folder(model, lambda folder: write(folder, "new"))

    assert list(model.parent.iterdir()) == [model]


def test_the_report_says_what_ran_and_how_good_the_model_is() -> None:
    result = TrainResult(
        passed=True,
        reasons=("a model was trained",),
        changed=True,
        ran=("train", "evaluate"),
        skipped=("check-data", "prepare"),
        metrics={"log_loss": 0.5},
    )
    lines = result.to_markdown().splitlines()

    assert lines[2] == "A model was trained."
    assert "- ran: train, evaluate" in lines
    assert "- up to date: check-data, prepare" in lines
    assert any("log_loss" in line and "0.5" in line for line in lines)


def test_the_report_of_nothing_says_so() -> None:
    assert "- ran: nothing" in TrainResult(passed=True, reasons=("nothing changed",)).to_markdown()
