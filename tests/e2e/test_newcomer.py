"""A newcomer from a fresh clone in an empty home folder finds every page of the documentation true."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "play_docs.py"


@pytest.mark.nightly
@pytest.mark.timeout(2 * 60 * 60)  # every page, each with an environment of its own
def test_every_command_of_the_documentation_does_what_its_page_shows() -> None:
    played = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)

    assert played.returncode == 0, played.stdout + played.stderr
