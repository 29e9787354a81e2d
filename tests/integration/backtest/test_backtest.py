"""Backtest of the sample repository: its files, exit codes, and the same decisions as in production."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sample
from sample import CommandResult
from titlebout.backtest import backtest as backtest_backtest
from titlebout.backtest.backtest import Plan
from titlebout.backtest.report import BacktestResult
from titlebout.core import process
from titlebout.core.errors import ExitCode
from titlebout.core.names import STRATEGY_NAMES
from titlebout.core.results import read_result
from titlebout.data.tables import read_tables
from titlebout.drift.report import share_drifted
from titlebout.repository.project import Project

Command = Callable[..., CommandResult]
SIX = ["--every", "4d", "--start", "0.5"]


@pytest.fixture(scope="module")
def played(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The repository after a backtest of all strategies, its result, and its progress; read-only."""
    root = sample.copy(repository, tmp_path_factory.mktemp("played") / sample.NAME)
    output = process.run(["titlebout", "backtest", *SIX, "--json"], cwd=root)
    return root, json.loads(output.stdout), output.stderr


@pytest.fixture(scope="module")
def promoted(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with a champion and a policy that needs few labels; read-only."""
    root = sample.copy(calm, tmp_path_factory.mktemp("promoted") / sample.NAME)
    sample.edit(root / "titlebout.toml", "[policy]", "[policy]\ndecay_min_rows = 30")
    sample.commit(root, "Listen to few labels")
    return root


def stormy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(late=np.random.default_rng(1).permutation(frame["late"]))  # as many late, but not the same ones


def windy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(wind=frame["wind"] + 3, waves=frame["waves"] - 3 * 0.45 / 1.2)  # as many late as before


def calm(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def arrive(root: Path, frame: pd.DataFrame) -> None:
    (root / "incoming").mkdir(exist_ok=True)
    frame.to_parquet(root / "incoming" / "2024-05.parquet", index=False)


def policy(document: dict[str, Any], name: str) -> Any:
    return next(one for one in document["strategies"] if one["name"] == name)


def test_all_strategies_have_the_same_periods(played: tuple[Path, dict[str, Any], str]) -> None:
    _, document, _ = played
    periods = [period["name"] for period in document["periods"]]

    assert [one["name"] for one in document["strategies"]] == list(STRATEGY_NAMES)
    assert len(periods) == 6
    assert [period["rows"] for period in document["periods"]] == [48] * 6
    assert all([outcome["name"] for outcome in one["outcomes"]] == periods for one in document["strategies"])
    assert document["start_rows"] == sample.ROWS - 6 * 48
    assert (document["step"], document["passed"], document["loss"]) == ("backtest", True, "log_loss")


def test_every_strategy_starts_with_the_same_model(
    played: tuple[Path, dict[str, Any], str],
) -> None:
    _, document, _ = played

    assert len({one["outcomes"][0]["loss"] for one in document["strategies"]}) == 1
    assert [policy(document, name)["attempts"] for name in ("never", "every_ungated", "every")] == [0, 6, 6]
    for one in document["strategies"]:
        assert (one["seconds"] > 0) == (one["attempts"] > 0)
        assert one["mean_loss"] == pytest.approx(np.mean([outcome["loss"] for outcome in one["outcomes"]]))
        assert one["worst_loss"] == max(outcome["loss"] for outcome in one["outcomes"])


def test_the_result_and_the_page_are_written(played: tuple[Path, dict[str, Any], str]) -> None:
    root, document, _ = played

    assert json.loads((root / "reports" / "backtest.json").read_text("utf-8")) == document
    assert read_result(root / "reports" / "backtest.json", BacktestResult).start_rows == document["start_rows"]
    assert (root / "reports" / "backtest.md").read_text("utf-8").startswith("### Backtest\n")
    page = (root / "reports" / backtest_backtest.PAGE).read_text("utf-8")
    assert page.count("<svg") == 4
    assert set(re.findall(r'(?:href|src)="(.)', page)) == {"#"}


def test_progress_is_printed_on_standard_error(played: tuple[Path, dict[str, Any], str]) -> None:
    _, _, errors = played

    for name in STRATEGY_NAMES:
        assert re.search(rf"^ +{name}: attempts \d+, mean loss 0\.\d{{4}}$", errors, re.MULTILINE)


@pytest.mark.parametrize(
    ("arriving", "reason"),
    [
        pytest.param(stormy, "perf_decay", id="stormy"),
        pytest.param(windy, "drift", id="windy", marks=pytest.mark.nightly),
        pytest.param(calm, "", id="calm"),
    ],
)
def test_a_simulation_decides_and_ends_as_production_does(
    promoted: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arriving: Callable[[pd.DataFrame], pd.DataFrame],
    reason: str,
) -> None:
    root = sample.copy(promoted, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    fresh = arriving(sample.crossings(300, start="2024-04-20", seed=5))
    arrive(root, fresh)

    command("check-data", "--on", "current")
    command("drift")
    decided = command("decide", "--schedule").document
    periods, known = [("May", fresh), ("June", fresh)], read_tables(root, "data")
    result = backtest_backtest.compare(Project.find(root), known, periods, Plan(strategies=("titlebout",)), print)

    outcome = result.strategies[1].outcomes[0]
    assert (outcome.decision, outcome.reason, outcome.detail) == (
        decided["action"],
        decided["reason"],
        decided["reasons"][0],
    )
    assert outcome.reason == reason
    if outcome.decision == "attempt":
        assert outcome.verdict == command("retrain", "--reason", outcome.reason, "--no-fail").document["verdict"]


def test_current_data_is_included_on_request(root: Path, command: Command) -> None:
    arrive(root, sample.crossings(60, start="2024-04-20", seed=5))
    rows = {}
    for flags in ([], ["--current"]):
        document = command("backtest", *SIX, *flags, "--strategy", "never").document
        rows[len(flags)] = document["start_rows"] + sum(period["rows"] for period in document["periods"])

    assert rows == {0: sample.ROWS, 1: sample.ROWS + 60}


def test_rows_without_a_label_are_left_out(root: Path, command: Command) -> None:
    waiting = sample.crossings(60, start="2024-04-20", seed=5).assign(late=lambda frame: frame["late"].astype("float"))
    waiting.loc[waiting.index[40:], "late"] = np.nan
    arrive(root, waiting)

    output = command("backtest", *SIX, "--current", "--strategy", "never")
    assert "40 rows of the current data are included" in output.errors


def test_current_data_without_a_label_column_is_left_out(root: Path, command: Command) -> None:
    arrive(root, sample.crossings(60, start="2024-04-20").drop(columns="late"))

    output = command("backtest", *SIX, "--current", "--strategy", "never")
    assert output.code == ExitCode.OK
    assert "the current data is left out" in output.errors


def test_only_the_chosen_strategies_and_never_are_simulated(root: Path, command: Command) -> None:
    output = command("backtest", *SIX, "--strategy", "every", "--label-delay", "1")

    assert [one["name"] for one in output.document["strategies"]] == ["never", "every"]
    assert policy(output.document, "every")["outcomes"][0]["decision"] == "wait"
    assert output.document["label_delay"] == 1


def test_a_refused_period_is_reported_and_stops_checked_strategies(root: Path) -> None:
    project, frame = Project.find(root), read_tables(root, "data")
    torn = frame.iloc[400:450].assign(wind=np.nan)
    periods = [("one", frame.iloc[350:400]), ("two", torn), ("three", frame.iloc[450:500])]

    result = backtest_backtest.compare(
        project, frame.iloc[:350], periods, Plan(strategies=("every", "every_ungated")), print
    )

    assert ["wind" in period.refused for period in result.periods] == [False, True, False]
    _, ungated, every = result.strategies
    assert [outcome.decision for outcome in every.outcomes] == ["attempt", "stop", "attempt"]
    assert [outcome.decision for outcome in ungated.outcomes] == ["attempt"] * 3


def test_a_column_that_stops_arriving_is_refused_without_a_rule(root: Path) -> None:
    project, frame = Project.find(root), read_tables(root, "data")
    start, silent = frame.iloc[:350], frame.iloc[350:400].assign(passengers=np.nan)

    assert (
        backtest_backtest.refusal(project, start, "one", silent)
        == "column 'passengers': has no values in the current data"
    )


def test_rows_without_a_time_are_cut_by_their_number(root: Path, command: Command) -> None:
    sample.edit(
        root / "pipelines/ferries/params.yaml", "  time: departure\n  drop: []", "  time: ''\n  drop: [departure]"
    )
    sample.edit(root / "pipelines/ferries/params.yaml", "  by: time\n  holdout_days: 14", "  by: hash\n  fraction: 0.4")
    sample.edit(root / "src/ferries/features.py", 'crossings["departure"].dt.hour.astype("float64")', "0.0")
    sample.edit(root / "src/ferries/features.py", '.drop(columns="departure")', "")

    output = command("backtest", "--every", "60", "--strategy", "titlebout", "--strategy", "every")
    assert output.code == ExitCode.OK
    assert [period["name"] for period in output.document["periods"]][-1] == "rows 541 to 600"
    assert policy(output.document, "every")["attempts"] == 7
    assert command("backtest", "--every", "4d").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--every", "40d"], ExitCode.INCONCLUSIVE),
        (["--every", "4d", "--start", "0.1"], ExitCode.INCONCLUSIVE),  # nothing is left to train on beside the holdout
        (["--every", "a month"], ExitCode.USAGE),
    ],
)
def test_an_invalid_backtest_reports_a_fix(root: Path, command: Command, arguments: list[str], code: ExitCode) -> None:
    output = command("backtest", *arguments)

    assert output.code == code
    assert output.error["fix"]
    assert not (root / "reports" / "backtest.json").exists()


def test_a_backtest_needs_data(root: Path, command: Command) -> None:
    for path in (root / "data").iterdir():
        path.unlink()
    (root / "data.dvc").unlink()

    assert command("backtest").code == ExitCode.NOT_FOUND


def test_a_backtest_needs_labels(root: Path, command: Command) -> None:
    path = next((root / "data").glob("*.parquet"))
    pd.read_parquet(path).drop(columns="late").to_parquet(path, index=False)
    sample.dvc(root, "add", "--quiet", "data")

    output = command("backtest")
    assert (output.code, output.error["what"]) == (ExitCode.MALFORMED, "target column 'late' is missing")


def test_errors_in_the_projects_code_are_reported_as_such(root: Path, command: Command) -> None:
    sample.edit(root / "src/ferries/features.py", "return crossings", "return crossings.nonsense")

    output = command("backtest", *SIX)
    assert (output.code, Path(output.error["where"].partition(":")[0]).name) == (ExitCode.USAGE, "features.py")


def awkward(rows: int, moved: float, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "moved": generator.normal(moved, 1, rows),
            "still": generator.normal(0, 1, rows),
            "level": generator.choice(["a", "b" if not moved else "c"], rows),
            "name": [f"ship number {number} of {seed}" for number in generator.integers(0, 10**9, rows)],
            "open": generator.random(rows) < 0.5,
            "gaps": pd.Series(generator.choice([True, None], rows), dtype=object),
            "at": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
            "empty": np.nan,
        }
    )


def test_evidentlys_defaults_handle_every_kind_of_column() -> None:
    quiet, moved = (share_drifted(awkward(2000, 0, 0), awkward(500, by, 1)) for by in (0.0, 2.0))

    assert (quiet, moved) == (0.0, pytest.approx(2 / 5))  # times, and columns without values, are not compared
