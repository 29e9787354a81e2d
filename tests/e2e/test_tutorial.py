"""The tutorial, run as it is written: every command in order, and what it says compared with what is shown."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-retraining.md"
MARK = "\x1e"
HASH = r"[0-9a-f]{7,64}"


def steps() -> Iterator[tuple[str, str]]:
    """Every command of the page's console blocks with the output that is shown for it."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            yield command, shown


def pattern(shown: str) -> re.Pattern[str]:
    """What an output has to match: a line … stands for any lines, … in a line for any text, a hash for any hash."""

    def line(text: str) -> str:
        return (
            r"[\s\S]*?"
            if text.strip() == "…"
            else re.sub(rf"\b{HASH}\b", f"({HASH})", re.escape(text)).replace("…", ".*")
        )

    return re.compile("".join(map(line, shown.rstrip().splitlines(keepends=True))))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What every command says, in one shell that keeps the folder and the last exit code, as a reader's does."""
    script = tmp_path_factory.mktemp("reader") / "tutorial.sh"
    mark = f"last=$?; printf '{MARK}'; (exit $last)\n"
    script.write_text("exec 2>&1\n" + "".join(f"{mark}{command}\n" for command, _ in steps()), encoding="utf-8")
    ran = subprocess.run(["bash", script], cwd=script.parent, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return ran.stdout.split(MARK)[1:]


@pytest.mark.parametrize("position", range(len([*steps()])), ids=[command[:40] for command, _ in steps()])
def test_a_step_of_the_tutorial_says_what_the_page_shows(position: int, outputs: list[str]) -> None:
    _, shown = [*steps()][position]

    assert pattern(shown).fullmatch(outputs[position].rstrip()), outputs[position]


def test_the_page_names_a_model_the_same_wherever_a_run_does(outputs: list[str]) -> None:
    shortened: set[tuple[str, str]] = set()
    for (_, shown), output in zip(steps(), outputs, strict=True):
        found = pattern(shown).fullmatch(output.rstrip())
        assert found, output
        shortened |= {
            (on_page[:7], in_run[:7])
            for on_page, in_run in zip(re.findall(rf"\b({HASH})\b", shown), found.groups(), strict=True)
        }

    assert len(shortened) == len(dict(shortened)) == len({in_run for _, in_run in shortened})


def test_a_changed_number_would_be_noticed() -> None:
    shown = "log loss 0.4819\n…\ncommit c8db48e by …\n"

    assert pattern(shown).fullmatch("log loss 0.4819\nany\nlines\ncommit 0123456 by me")
    assert not pattern(shown).fullmatch("log loss 0.4818\nany\nlines\ncommit 0123456 by me")
