"""The accidents of the demo on four months of flights: what each does, and how the loop and a loop without a gate take it."""

from pathlib import Path

import pandas as pd
import pytest

import titlebout
from demo.accidents import ACCIDENTS, COMPARED, AccidentResult, Year, replay_accidents
from demo.report import accident_conclusions
from titlebout.backtest.simulation import PeriodData
from titlebout.data.tables import read_table
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project

HOME = Path(titlebout.__file__).parents[2]
PLAIN, RENAMED, CELSIUS, LABELS, WEATHER, BUG = (accident.name for accident in ACCIDENTS)


@pytest.fixture(scope="module")
def results() -> dict[str, AccidentResult]:
    """April to July after three months, with the accident in May; every third flight, for speed."""
    project = Project.find(HOME)
    Dvc(project).pull_data()
    tables = [(path.stem, read_table(path).iloc[::3]) for path in sorted(project.data_dir.glob("*.parquet"))[:7]]
    start = pd.concat([rows for _, rows in tables[:3]], ignore_index=True)
    months = [PeriodData(name, rows) for name, rows in tables[3:]]
    found = replay_accidents(project, start, months, 1, lambda _: None)
    return {result.accident: result for result in found}


def year(results: dict[str, AccidentResult], accident: str, strategy: str) -> Year:
    return results[accident].years[COMPARED.index(strategy)]


@pytest.mark.parametrize("accident", [RENAMED, WEATHER])
def test_the_data_check_refuses_what_it_can_see(results: dict[str, AccidentResult], accident: str) -> None:
    assert results[accident].response == "batch refused by the data check"
    assert results[accident].to_read >= 1


@pytest.mark.parametrize("accident", [CELSIUS, LABELS, BUG])
def test_other_accidents_reach_the_gate(results: dict[str, AccidentResult], accident: str) -> None:
    assert results[accident].response.startswith("promoted ")


@pytest.mark.parametrize("accident", [RENAMED, CELSIUS, LABELS, BUG])
def test_only_missing_weather_changes_what_is_served(results: dict[str, AccidentResult], accident: str) -> None:
    assert year(results, accident, "never") == year(results, PLAIN, "never")
    assert year(results, WEATHER, "never") != year(results, PLAIN, "never")


@pytest.mark.parametrize("accident", [accident.name for accident in ACCIDENTS[1:]])
def test_each_accident_reaches_the_model_without_a_gate(results: dict[str, AccidentResult], accident: str) -> None:
    assert year(results, accident, "every_ungated") != year(results, PLAIN, "every_ungated")


@pytest.mark.parametrize("accident", [LABELS, BUG])
def test_a_bad_model_is_served_without_a_gate_only(results: dict[str, AccidentResult], accident: str) -> None:
    assert year(results, accident, "every_ungated").months_worse >= 1
    assert year(results, accident, "titlebout").months_worse == 0


def test_the_conclusion_counts_the_worse_months(results: dict[str, AccidentResult]) -> None:
    months = sum(year(results, accident.name, "every_ungated").months_worse for accident in ACCIDENTS)

    assert f"{months} without a gate" in accident_conclusions(tuple(results.values()))[0]
