"""The tutorial, run as it is written: every command in order, and what it says compared with what is shown."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from play_docs import HASH, Shell, Step, difference, pattern, steps

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-retraining.md"
STEPS = [step for step in steps(PAGE.read_text("utf-8")) if step.shown is not None]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What every command says, in one shell that keeps the folder and the last exit code, as a reader's does."""
    shell = Shell(tmp_path_factory.mktemp("reader"), os.environ)
    yield [shell.run(step.text)[1] for step in STEPS]
    shell.close()


@pytest.mark.parametrize("position", range(len(STEPS)), ids=[step.text[:40] for step in STEPS])
def test_a_step_of_the_tutorial_says_what_the_page_shows(position: int, outputs: list[str]) -> None:
    assert difference(shown(STEPS[position]), outputs[position]) == ""


def test_the_page_names_a_model_the_same_wherever_a_run_does(outputs: list[str]) -> None:
    shortened: set[tuple[str, str]] = set()
    for step, output in zip(STEPS, outputs, strict=True):
        found = pattern(shown(step)).fullmatch(output)
        assert found, output
        shortened |= {
            (on_page[:7], in_run[:7])
            for on_page, in_run in zip(re.findall(HASH, shown(step)), found.groups(), strict=True)
        }

    assert len(shortened) == len(dict(shortened)) == len({in_run for _, in_run in shortened})


def shown(step: Step) -> str:
    assert step.shown is not None
    return step.shown
