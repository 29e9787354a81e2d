"""A training that is killed leaves the model folder whole."""

from pathlib import Path

import pytest

from titlebout.core import process
from titlebout.training.train import _replace_folder


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
