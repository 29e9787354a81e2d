"""The rule on trial: a quiet reference keeps the promise, and one that cannot breaks it."""

import json

import numpy as np
import pandas as pd
import pytest

from titlebout.core.errors import InconclusiveError
from titlebout.core.results import to_json
from titlebout.drift import false_alarms
from titlebout.drift.false_alarms import SelftestResult, count_false_alarms
from titlebout.settings.drift import DriftSettings

SETTINGS = DriftSettings()


def crossings(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
            "wind": random.normal(12, 4, rows),
            "harbour": random.choice(["a", "b", "c"], rows),
            "late": (random.random(rows) < 0.2).astype(int),
        }
    )


def rates(result: SelftestResult) -> dict[str, float]:
    return {trial.windows: trial.rate for trial in result.trials}


def test_a_quiet_reference_keeps_the_promise() -> None:
    result = count_false_alarms(crossings(1200), SETTINGS, "when", "late")
    assert (result.passed, result.verdict, result.rows, result.window) == (True, "kept", 1200, 300)
    assert rates(result)["random rows"] <= 0.02
    assert [trial.runs for trial in result.trials] == [false_alarms.RANDOM_RUNS, false_alarms.CONSECUTIVE_RUNS]
    assert all(trial.low <= trial.rate <= trial.high for trial in result.trials)
    assert "no rate is significantly above its limit" in result.to_markdown()
    assert json.loads(to_json(result.model_dump()))["step"] == "drift-selftest"


def test_the_same_reference_says_the_same_twice() -> None:
    first, second = (count_false_alarms(crossings(800), SETTINGS, "when", "late") for _ in range(2))
    assert first == second


def test_a_reference_that_changes_within_itself_breaks_the_promise() -> None:
    """Columns that each change for a while: consecutive rows differ from the rest, and not because rows come in groups."""
    rows = crossings(800)
    for position in range(5):
        brief = (rows.index >= 150 * position) & (rows.index < 150 * position + 200)
        rows[f"column {position}"] = np.random.default_rng(position).normal(size=800) + 40 * brief
    result = count_false_alarms(rows, SETTINGS, "when", "late")
    assert rates(result)["random rows"] <= 0.02
    assert (result.passed, result.verdict) == (False, "broken")
    assert set(result.alarms) <= {f"column {position}" for position in range(5)}
    assert "windows of consecutive rows" in result.reasons[0]
    assert "drift.entity" in result.to_markdown()


def test_groups_and_ignored_columns_are_kept_out() -> None:
    rows = crossings(400).loc[np.repeat(np.arange(400), 10)].reset_index(drop=True)
    rows = rows.assign(customer=rows.index // 10, noise=1)
    settings = SETTINGS.model_copy(update={"entity": ("customer",), "ignore": ("noise",)})
    assert count_false_alarms(rows, settings, "when", "late").rows == 400


def test_too_short_a_reference_is_reported() -> None:
    with pytest.raises(InconclusiveError, match="needs at least 400 rows"):
        count_false_alarms(crossings(399), SETTINGS, "when", "late")
