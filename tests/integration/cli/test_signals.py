"""A command that is stopped ends at once with its children, and can be run again."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

import sample
from titlebout.core import process

# In the place of a stage that takes long: it writes down its id and sleeps.
SLOW = "sh -c 'mkdir -p ../../build && echo $$ > ../../build/pid && exec sleep 600'"
pytestmark = pytest.mark.timeout(120)  # a command that does not stop waits for the stage


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def training(root: Path) -> Iterator[tuple["Popen[str]", int]]:
    """Start `titlebout train` and wait until its first stage runs; yield the command and the stage's process id."""
    note = root / "build" / "pid"
    with process.start(["titlebout", "train", "--json"], cwd=root) as child:
        while not (note.exists() and note.read_text().strip()):
            assert child.poll() is None, child.stderr.read() if child.stderr else ""
            time.sleep(0.05)
        yield child, int(note.read_text())


@pytest.mark.parametrize(
    ("number", "code", "what"),
    [(signal.SIGTERM, 143, "terminated by a signal (SIGTERM)"), (signal.SIGINT, 130, "interrupted (Ctrl-C)")],
)
def test_a_stopped_training_leaves_no_child_and_nothing_half_done(
    number: signal.Signals, code: int, what: str, root: Path
) -> None:
    sample.edit(root / "pipelines" / "ferries" / "dvc.yaml", "titlebout stage check-data --pipeline ferries", SLOW)
    with training(root) as (child, stage):
        assert alive(stage)
        child.send_signal(number)
        completed, errors = child.communicate()

    assert child.returncode == code
    assert not alive(stage)
    assert json.loads(completed)["error"]["what"] == what
    assert "Traceback" not in errors
    assert sample.git(root, "status", "--porcelain") == "M pipelines/ferries/dvc.yaml"
