"""The tests hold in a run that a shell has started in the background, which means with interrupts ignored."""

import sys
from pathlib import Path

from titlebout.core import process

TEST = "core/test_process.py::test_an_interrupt_terminates_all_descendants"


def test_interrupts_reach_the_tests_of_a_background_run() -> None:
    pytest = f"{sys.executable} -m pytest -q -p no:cacheprovider {Path(__file__).parent / TEST}"
    completed = process.run(["sh", "-c", f"trap '' INT; exec {pytest}"], check=False, timeout=120)

    assert completed.returncode == 0, completed.stdout
