"""The measurement of the gate's error rates runs, finds the truth it is built on, and does not pass whatever it finds."""

import importlib
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gate"
MODULES = (
    *("worlds", "series", "dependence", "promises", "cross_fitting", "type_one", "end_to_end", "agreement_and_time"),
    *("flights", "record", "claims", "tables", "run"),
)


@pytest.fixture(scope="module")
def gate() -> Iterator[Mapping[str, ModuleType]]:
    """The modules of the benchmark, by name."""
    sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of evidently's dependencies, at import
        modules = {name: importlib.import_module(name) for name in MODULES}
    yield modules
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def results(gate: Mapping[str, ModuleType]) -> dict[str, Any]:
    promises = gate["promises"].Size({200: 20}, {2000: 10}, {200: 40}, 4, 2, 10)
    size = gate["run"].Size({200: 150}, {200: 20, 2000: 20}, 6, 1, {2000: 50}, (), 40, promises, {"linear": {100: 10}})
    measured: dict[str, Any] = gate["run"].measure(3, size, lambda _: None)
    return measured


def losses(predictions: Any) -> dict[str, Any]:
    rows = np.arange(len(predictions.truth.y))
    return {
        model_name: -np.log(given[rows, predictions.truth.y]) for model_name, given in predictions.predicted.items()
    }


@pytest.mark.nightly
def test_a_large_sample_shows_the_truth_that_the_worlds_state(gate: Mapping[str, ModuleType]) -> None:
    worlds = gate["worlds"]
    pair = worlds.broken(0.5)
    predictions = worlds.classification(np.random.default_rng(1), 400_000, pair)
    cost, in_slice = losses(predictions), (predictions.columns["slice"] == "b").to_numpy()
    worse = losses(worlds.classification(np.random.default_rng(2), 400_000, worlds.worse()))
    values = worlds.regression(np.random.default_rng(3), 400_000, worlds.worse(of=worlds.absolute_error))
    errors = {model_name: np.abs(values.truth.y - given).mean() for model_name, given in values.predicted.items()}

    assert cost["champion"].mean() == pytest.approx(worlds.log_loss(pair.champion), rel=0.005)
    assert 1 - cost["challenger"].mean() / cost["champion"].mean() == pytest.approx(worlds.MARGIN, abs=0.004)
    assert cost["challenger"][in_slice].mean() / cost["champion"][in_slice].mean() == pytest.approx(1.5, abs=0.02)
    assert worse["challenger"].mean() / worse["champion"].mean() == pytest.approx(1 + worlds.MARGIN, abs=0.003)
    assert errors["challenger"] / errors["champion"] == pytest.approx(1 + worlds.MARGIN, abs=0.003)


@pytest.mark.nightly
def test_a_small_run_gives_every_table_and_bears_the_claims_out(
    gate: Mapping[str, ModuleType], results: dict[str, Any], tmp_path: Path
) -> None:
    found = [claim for claim in gate["claims"].check(results) if "takes" not in claim.text]

    text = gate["tables"].page(results, found)
    gate["record"].write(tmp_path, results, text)

    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == results
    assert text.count("\n### ") == 14
    assert [claim.text for claim in found if not claim.holds] == []
    assert len(found) >= 14


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("part", "change", "text"),
    [
        ("type_one", {"rate": 0.3}, "is shown to be"),
        ("end_to_end", {"ours": {"superior": {"promote": 0.9, "keep": 0.9}}}, "promoted"),
        ("agreement", {"agreed": 0.5}, "same verdict"),
        ("times", {"ratio": 3.0}, "100 times"),
        ("dependence", {"missed": {"ours": 0.2}}, "lower bound"),
        ("cross_fitting", {"rate": 0.3}, "cross-fitting"),
    ],
)
def test_a_claim_that_the_figures_speak_against_does_not_hold(
    gate: Mapping[str, ModuleType], results: dict[str, Any], part: str, change: dict[str, Any], text: str
) -> None:
    changed = deepcopy(results)
    for row in changed[part]:
        row.update(change)

    fallen = [claim for claim in gate["claims"].check(changed) if not claim.holds]

    assert any(text in claim.text for claim in fallen)


def test_the_seed_determines_the_evaluations(gate: Mapping[str, ModuleType]) -> None:
    one, again, other = (gate["end_to_end"].measure(seed, {200: 4}) for seed in (1, 1, 2))

    assert one == again
    assert one != other


def test_the_seed_determines_the_small_tables(gate: Mapping[str, ModuleType]) -> None:
    one, again = (gate["cross_fitting"].measure(1, {"linear": {100: 3}}) for _ in range(2))

    assert one == again
    assert {(row["question"], row["n"], row["repetitions"]) for row in one} == {("first", 100, 3), ("superior", 100, 3)}


def test_the_rule_of_evidently_is_the_one_of_the_library(gate: Mapping[str, ModuleType]) -> None:
    assert gate["end_to_end"].evidently_agrees(9, 4) == {"repetitions": 4, "n": 2000, "agreed": 1.0, "passed": 0.5}


def test_tables_replace_the_former_ones_between_the_marks(gate: Mapping[str, ModuleType], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{gate['record'].BEGIN}old\n{gate['record'].END}below\n", encoding="utf-8")

    gate["record"].into_page(page, "new\n")
    gate["record"].into_page(page, "newer\n")

    assert page.read_text("utf-8") == f"above\n{gate['record'].BEGIN}\nnewer\n\n{gate['record'].END}below\n"


def test_the_committed_tables_are_those_of_the_page(gate: Mapping[str, ModuleType]) -> None:
    tables = (FOLDER / "tables.md").read_text("utf-8")

    assert tables in gate["run"].PAGE.read_text("utf-8")


def month(number: int, rows: int = 800) -> pd.DataFrame:
    """Made-up flights of a month, late by the wind."""
    rng = np.random.default_rng(number)
    times = pd.date_range(f"2013-{number:02}-01", periods=27 * 24, freq="h", tz="UTC")
    wind = rng.normal(size=rows)
    frame = {
        "time_hour": np.sort(rng.choice(times, rows)),
        **{name: rng.choice(["AA", "B6"], rows) for name in ("carrier", "origin", "dest")},
        **{name: rng.integers(500, 2200, rows) for name in ("sched_dep_time", "sched_arr_time", "distance")},
        **dict.fromkeys(("temp", "humid", "wind_dir", "precip", "pressure", "visib"), 1.0),
        "wind_speed": wind,
        "late": (wind + rng.normal(size=rows) > 1).astype(np.int8),
    }
    return pd.DataFrame(frame)


@pytest.mark.nightly
def test_verdicts_on_months_are_weighted_by_the_next_month(
    gate: Mapping[str, ModuleType],
) -> None:
    found = gate["flights"].measure([month(number) for number in range(1, 6)])

    assert [row["month"] for row in found["months"]] == ["2013-03", "2013-04"]
    for row in found["months"]:
        later = row["gain_next_month"]
        assert row["regret"]["always"] == max(0.0, -later)
        assert row["regret"]["never"] == max(0.0, later)
        assert row["regret"]["ours"] == row["regret"]["always" if row["verdict"] == "promote" else "never"]
