"""The commands and the code of docs/how-to/get-a-prediction.md, in a generated repository of this environment."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

import sample
from play_docs import TABLE, Reader, Shell, free_port
from titlebout.scaffold.generate import Request, new

NAME = "docs/how-to/get-a-prediction.md"


def test_a_reader_gets_the_predictions_that_the_page_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(new(Request("flights-delay", tmp_path)).path)
    sample.commit(root, "First commit")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = Shell(root, {**os.environ, "PATH": path, "PORT": free_port()})
    reader = Reader(NAME, tomllib.loads(TABLE.read_text("utf-8"))["pages"][NAME], shell)
    try:
        reader.play((Path(__file__).parents[2] / NAME).read_text("utf-8"), [])
    finally:
        shell.close()

    assert set(reader.states) == {"ok"}, capsys.readouterr().out
