"""The demo as a newcomer runs it, stopped after the first month of production data."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sample
import titlebout
from titlebout.core import process

HOME = Path(titlebout.__file__).parents[2]


class Loads(HTMLParser):
    """Collects whatever a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.linked: list[str] = []  # what a reader may open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"<{tag}>"] if tag in {"script", "iframe", "link", "img"} else []
        named = [
            (name, str(value)) for name, value in attrs if name in {"src", "href"} and not str(value).startswith("#")
        ]
        if tag == "a":
            self.linked += [value for _, value in named]
        else:
            self.found += [f"{name}={value}" for name, value in named]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, process.Completed]:
    """The folder of a demo of one month, and its output."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "demo", "--months", "1", "--output-dir", str(folder)]
    return folder, process.run(command, cwd=HOME)


def test_the_demo_ends_with_a_table_of_the_months(shown: tuple[Path, process.Completed]) -> None:
    _, completed = shown

    assert re.search(
        r"^ *2013-04 +6,878 +passed +drift +retrain: [a-z ]+ +0\.\d{4} +0\.\d{4} +(promote|keep|inconclusive)",
        completed.stdout,
        re.MULTILINE,
    )
    assert re.search(r"^ *titlebout +\d+ +\d+ +0\.\d{4} ", completed.stdout, re.MULTILINE)
    assert "First push: ci.yml run by act, jobs code and model passed" in completed.stdout
    assert "Months: 1; challengers trained: 1; promoted: " in completed.stdout


def test_progress_is_shown_while_it_runs(shown: tuple[Path, process.Completed]) -> None:
    _, completed = shown

    reported = [line for line in completed.stderr.splitlines() if re.match(r"\d/6 ", line)]
    assert [line[:3] for line in reported] == ["1/6", "2/6", "3/6", "4/6", "5/6"]
    assert "Running stage 'train':" in completed.stderr


def test_the_repository_remains_with_its_history(shown: tuple[Path, process.Completed]) -> None:
    folder, _ = shown

    reported = sample.git(folder / "flights-delay", "log", "--reverse", "--first-parent", "--format=%s").splitlines()

    assert reported[:3] == [
        "Generate flights-delay with titlebout",
        "Promote the first champion",
        "Flights of 2013-04 arrived: 6,878 rows",
    ]
    assert sample.git(folder / "flights-delay", "status", "--porcelain") == ""


def test_the_page_has_a_plot_and_loads_nothing(shown: tuple[Path, process.Completed]) -> None:
    folder, _ = shown
    text = "".join((folder / name).read_text(encoding="utf-8") for name in ("report.html", "backtest.html"))
    loads = Loads()

    loads.feed(text)

    assert loads.found == []
    beside = ["backtest.html", "flights-delay/reports/drift.html", "report.html"]
    assert loads.linked == beside, "pages beside it, and nothing on the network"
    assert all((folder / name).is_file() for name in beside)
    assert "url(http" not in text
    assert "<svg" in text
    assert "never retrain" in text


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work\n", encoding="utf-8")

    completed = process.run(
        [sys.executable, "-m", "demo", "--json", "--output-dir", str(tmp_path)], cwd=HOME, check=False
    )

    assert completed.returncode == 6
    assert json.loads(completed.stdout)["error"]["what"] == "the output folder contains other files"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
