"""The worlds in which strategies are measured are as described, and the tables show the recorded figures."""

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
import pytest

from titlebout.checks.check import check_table
from titlebout.data.holdout import Split
from titlebout.metrics.catalogue import row_losses

FOLDER = Path(__file__).parents[2] / "benchmarks" / "policy"
MODULES = ("worlds", "workload", "simulations", "record", "claims", "tables", "run")


@pytest.fixture(scope="module")
def policy() -> Iterator[Mapping[str, ModuleType]]:
    """The modules of the benchmark, by name."""
    sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of evidently's dependencies, at import
        modules = {name: importlib.import_module(name) for name in MODULES}
    yield modules
    sys.path[:] = [path for path in sys.path if not path.startswith(str(FOLDER.parent))]
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    measured: dict[str, Any] = json.loads((FOLDER / "results.json").read_text("utf-8"))
    return measured


def named(worlds: ModuleType, name: str) -> Any:
    return next(world for world in worlds.WORLDS if world.name == name)


@pytest.mark.parametrize(
    "name",
    ["nothing", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("label", "new region", "abrupt concept"))],
)
def test_no_strategy_has_less_loss_than_the_oracle(policy: Mapping[str, ModuleType], name: str) -> None:
    worlds, world = policy["worlds"], named(policy["worlds"], name)
    learned, asked = (worlds.draw(world, week, 3, 20_000) for week in (30, 31))

    everything = Split(np.zeros(len(learned.rows), dtype=np.bool_), np.zeros(0, dtype=np.uint64), "", "")
    model = policy["workload"].Workload().fit(learned.rows, everything)
    y = asked.rows[worlds.TARGET].to_numpy().astype(object)
    lost = row_losses("classification", y, model.predict(asked.rows), model.classes).mean()

    assert asked.bayes < lost < asked.bayes + 0.03  # a model of that very world, but not of products


@pytest.mark.parametrize(
    "name",
    [
        "label",
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("nothing", "seasonal concept", "gradual concept")),
    ],
)
def test_the_label_is_drawn_with_the_odds_that_the_world_states(policy: Mapping[str, ModuleType], name: str) -> None:
    worlds, world = policy["worlds"], named(policy["worlds"], name)
    rows = worlds.draw(world, 20, 5, 60_000).rows
    stated = 1 / (1 + np.exp(-worlds.log_odds(world, 20, rows[list(worlds.COLUMNS)].to_numpy())))
    order = np.array_split(np.argsort(stated), 10)

    seen = np.array([rows[worlds.TARGET].to_numpy()[part].mean() for part in order])

    np.testing.assert_allclose(seen, [stated[part].mean() for part in order], atol=0.02)


def test_only_a_concept_changes_the_truth(policy: Mapping[str, ModuleType]) -> None:
    worlds = policy["worlds"]
    x = np.random.default_rng(0).normal(size=(200, 12))
    change = {
        world.name: np.ptp(worlds.log_odds(world, 40, x) - worlds.log_odds(world, 0, x)) for world in worlds.WORLDS
    }
    same = {name for name, spread in change.items() if spread < 1e-9}

    assert same == {"nothing", "5 harmless", "6 harmless", "label", "seasonal columns", "new region", "data bug"}


def test_a_week_depends_on_its_world_number_and_seed(
    policy: Mapping[str, ModuleType],
) -> None:
    worlds = policy["worlds"]
    one, other = named(worlds, "nothing"), named(worlds, "data bug")
    first = worlds.draw(one, 0, 1).rows

    assert worlds.draw(one, 0, 1).rows.equals(first)
    for world, week, seed in ((other, 0, 1), (one, 1, 1), (one, 0, 2)):
        assert not worlds.draw(world, week, seed).rows["x3"].isin(first["x3"]).any()


def test_only_the_bug_is_refused_as_by_a_suite_with_ranges(policy: Mapping[str, ModuleType], tmp_path: Path) -> None:
    worlds = policy["worlds"]
    suite = tmp_path / "ranges.json"
    known = worlds.year(named(worlds, "nothing"), 2).start
    expectations = []
    for name in worlds.COLUMNS:
        mean, sd = known[name].mean(), known[name].std()
        limits = {"column": name, "min_value": mean - 5 * sd, "max_value": mean + 5 * sd, "mostly": 0.99}
        expectations += [
            {"type": "expect_column_values_to_be_between", "kwargs": limits, "severity": "critical"},
            {
                "type": "expect_column_stdev_to_be_between",
                "kwargs": {"column": name, "min_value": 1e-6},
                "severity": "critical",
            },
        ]
    suite.write_text(json.dumps({"name": "ranges", "expectations": expectations}), encoding="utf-8")

    for name, week, refused in (("data bug", 21, True), ("data bug", 19, False), ("new region", 30, False)):
        rows = worlds.draw(named(worlds, name), week, 2).rows
        assert bool(worlds.refusal(known, rows)) is refused
        assert check_table(rows, suite, name).passed is not refused


def test_the_default_of_evidently_is_the_one_of_the_library(policy: Mapping[str, ModuleType]) -> None:
    assert policy["simulations"].evidently_agrees(1, 3)["agreed"] == 3


@pytest.mark.nightly
def test_a_small_run_is_the_same_again_and_gives_every_table(
    policy: Mapping[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"WEEKS": 7, "HISTORY": 8, "CHANGE": 1, "BUG": range(1, 3)}.items():
        monkeypatch.setattr(policy["worlds"], name, value)
    size = policy["run"].Size(1, ("nothing", "data bug"), ("data bug",), 1, False)

    one, again = (policy["run"].measure(size, lambda _: None) for _ in range(2))
    text = policy["tables"].page(one, policy["claims"].check(one))
    policy["record"].write(tmp_path, one, text)

    assert one["years"] == again["years"]
    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == one
    assert text.count("\n### ") == 5
    checked = {
        row["policy"]: row["attempts"] for row in one["years"] if row["world"] == "data bug" and not row["variant"]
    }
    assert checked["never"] == 0
    assert checked["every_ungated"] > checked["every"]  # the weeks of the bug are left out


def test_the_committed_tables_are_made_from_the_committed_figures(
    policy: Mapping[str, ModuleType], results: dict[str, Any]
) -> None:
    text = policy["tables"].page(results, policy["claims"].check(results))

    assert text == (FOLDER / "tables.md").read_text("utf-8")
    assert text in policy["run"].PAGE.read_text("utf-8")
    assert policy["tables"].picture(results["years"]) == policy["run"].PICTURE.read_text("utf-8")


def test_every_claim_holds_for_the_committed_figures_and_falls_with_others(
    policy: Mapping[str, ModuleType], results: dict[str, Any]
) -> None:
    changed = deepcopy(results)
    changed["evidently"]["agreed"] -= 1
    for row in changed["years"]:
        row["regret"] = -1.0
        if row["policy"] == "titlebout" and not row["variant"]:
            row.update(regret=1000.0, attempts=50, pull_requests=50)

    assert [claim.text for claim in policy["claims"].check(results) if not claim.holds] == []
    assert [claim.text for claim in policy["claims"].check(changed) if claim.holds] == []
