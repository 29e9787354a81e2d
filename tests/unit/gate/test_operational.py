"""Operational guardrails: reproducible predictions, latency and model size."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from titlebout.core.arrays import FloatArray
from titlebout.gate import operational
from titlebout.gate.guardrails import GuardrailResult
from titlebout.gate.operational import OperationalChecks, run_operational_checks, significantly_slower
from titlebout.models.artifact import Model
from titlebout.settings.gate import MIN_LATENCY_PAIRS, ResourceSettings

SETTINGS = ResourceSettings(latency_budget_ms=5, latency_pairs=12, size_budget_mb=0.001)
ROWS = pd.DataFrame({"wind": np.linspace(0, 20, 40), "waves": np.linspace(3, 0, 40)})
Answer = Callable[[pd.DataFrame], FloatArray]


def by_row(rows: pd.DataFrame) -> FloatArray:
    return np.asarray(rows["wind"] / 40 + rows["waves"] / 10, dtype=np.float64)


class Clock:
    """A clock that only estimators move on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Estimator:
    """Answers by a function, after a while on the clock; the answers that stall take a minute."""

    def __init__(self, answer: Answer, clock: Clock, seconds: float, stalls: Sequence[int] = ()) -> None:
        self.answer, self.clock, self.seconds, self.stalls = answer, clock, seconds, stalls
        self.single = 0

    def predict_proba(self, rows: pd.DataFrame) -> FloatArray:
        self.single += len(rows) == 1
        self.clock.seconds += 60 if len(rows) == 1 and self.single in self.stalls else self.seconds
        late = np.clip(self.answer(rows), 0, 1)
        return np.column_stack([1 - late, late])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model(tmp_path: Path, clock: Clock) -> Callable[..., Model]:
    """Build a model folder with golden rows, whose answers may come from another function than the model's."""

    def build(
        name: str,
        answer: Answer = by_row,
        *,
        golden: Answer = by_row,
        seconds: float = 0,
        stalls: Sequence[int] = (),
        size: int = 100,
    ) -> Model:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.skops").write_bytes(b"x" * size)
        answers = Estimator(golden, clock, 0).predict_proba(ROWS.head(3)).tolist()
        document = {"rows": ROWS.head(3).to_dict("records"), "answers": answers}
        (folder / "golden.json").write_text(json.dumps(document), encoding="utf-8")
        columns = [{"name": column, "kind": "number"} for column in ROWS.columns]
        return Model(
            Estimator(answer, clock, seconds, stalls),
            {"task": "classification", "classes": [0, 1], "columns": columns},
            folder,
        )

    return build


def status(found: OperationalChecks) -> dict[str, str]:
    return {guard.name: guard.status for guard in found.guards}


def detail(found: OperationalChecks, name: str) -> str:
    return next(guard.detail for guard in found.guards if guard.name == name)


def test_a_plain_model_passes_everything(model: Callable[..., Model]) -> None:
    found = run_operational_checks(model("new"), model("old"), ROWS, SETTINGS)

    assert status(found) == {"same answers": "passed", "golden rows": "passed", "latency": "passed", "size": "passed"}
    assert set(found.latency_ms) == {"challenger", "champion"}
    assert found.size_bytes == {"challenger": 100, "champion": 100}


def test_without_a_champion_neither_latency_nor_size_is_judged(model: Callable[..., Model]) -> None:
    assert set(status(run_operational_checks(model("new", seconds=0.01, size=10_000), None, ROWS, SETTINGS))) == {
        "same answers",
        "golden rows",
    }


def by_batch(rows: pd.DataFrame) -> FloatArray:
    return by_row(rows) - float(rows["wind"].mean()) / 100


def by_position(rows: pd.DataFrame) -> FloatArray:
    return np.linspace(0, 1, len(rows))


class Moody:
    """Answers otherwise every time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, rows: pd.DataFrame) -> FloatArray:
        self.asked += 1
        return by_row(rows) + self.asked / 1000


@pytest.mark.parametrize(
    ("answer", "with_what"),
    [
        (by_batch, "batch size"),
        (by_position, "row order, batch size"),
        (Moody(), "repetition, row order, column order, batch size"),
    ],
)
def test_predictions_that_depend_on_the_request_fail(
    answer: Answer, with_what: str, model: Callable[..., Model]
) -> None:
    found = run_operational_checks(model("new", answer), None, ROWS, SETTINGS)

    assert status(found)["same answers"] == "failed"
    assert detail(found, "same answers") == f"predictions depend on {with_what}"


def test_a_single_row_is_not_split_into_batches(model: Callable[..., Model]) -> None:
    assert (
        status(run_operational_checks(model("new", by_batch), None, ROWS.head(1), SETTINGS))["same answers"] == "passed"
    )


@pytest.mark.parametrize(("off", "expected"), [(1e-9, "passed"), (1e-4, "failed")])
def test_golden_rows_are_answered_as_when_the_model_was_trained(
    off: float, expected: str, model: Callable[..., Model]
) -> None:
    found = run_operational_checks(model("new", golden=lambda rows: by_row(rows) + off), None, ROWS, SETTINGS)

    assert status(found)["golden rows"] == expected
    if expected == "failed":
        assert (
            detail(found, "golden rows") == "the model loaded from disk predicts differently: largest difference 0.0001"
        )


@pytest.mark.parametrize(
    ("seconds", "free_ms", "expected"), [(0.06, 5, "failed"), (0.06, 1000, "passed"), (0.0, 0, "passed")]
)
def test_too_slow_is_slower_than_the_champion_and_the_free_latency(
    seconds: float, free_ms: float, expected: str, model: Callable[..., Model], clock: Clock
) -> None:
    settings = ResourceSettings(latency_budget_ms=free_ms, latency_pairs=12, max_latency_ratio=3)
    champion = model("old", seconds=0.001 if seconds else 0.01)
    found = run_operational_checks(model("new", seconds=seconds), champion, ROWS, settings, clock)

    assert status(found)["latency"] == expected
    assert found.latency_ms == pytest.approx(
        {"challenger": seconds * 1e3, "champion": champion.estimator.seconds * 1e3}
    )


def test_a_latency_outside_the_limits_that_load_can_explain_is_a_warning() -> None:
    settings = ResourceSettings(latency_budget_ms=50, max_latency_ratio=1.5)
    ratios = np.array([1.0] * 5 + [4.0] * 7)

    assert not significantly_slower(ratios, 1.5)
    assert operational._latency(400.0, ratios, settings) == GuardrailResult(
        name="latency",
        status="warning",
        detail="4.00 times the champion's (1.00 to 4.00), 400.0 ms (limits: 1.5 times or 50 ms)",
    )
    assert operational._latency(400.0, ratios[:6], settings).status == "passed"
    assert operational._latency(40.0, ratios, settings).status == "passed"
    assert operational._latency(400.0, np.full(12, 4.0), settings).status == "failed"


def test_the_interval_of_a_median_lies_between_ordered_values() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1.0, 12.0))

    assert operational.median_interval(values) == (2.0, 10.0)  # the 2nd and 10th of 11 cover it in 98.8% of cases
    assert operational.median_interval(values[:3]) == (values[:3].min(), values[:3].max())


@pytest.mark.parametrize(("seconds", "pairs"), [(0.001, 50), (0.05, 30), (10, MIN_LATENCY_PAIRS)])
def test_a_slow_model_is_timed_for_fewer_pairs(
    seconds: float, pairs: int, model: Callable[..., Model], clock: Clock
) -> None:
    new, old = model("new", seconds=seconds), model("old", seconds=seconds)
    run_operational_checks(new, old, ROWS, ResourceSettings(latency_pairs=50), clock)

    assert old.estimator.single == pytest.approx(1 + pairs, abs=1)


def test_fewer_pairs_than_the_sign_test_needs_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 12"):
        ResourceSettings(latency_pairs=11)


@pytest.mark.parametrize("pairs", [MIN_LATENCY_PAIRS, 50])
def test_as_many_pairs_are_timed_as_the_setting_says(pairs: int, model: Callable[..., Model], clock: Clock) -> None:
    new, old = model("new"), model("old")
    run_operational_checks(new, old, ROWS, ResourceSettings(latency_pairs=pairs), clock)

    assert old.estimator.single == 1 + pairs


@pytest.mark.parametrize("stalled", range(2, 14))
def test_one_stall_of_the_champion_hides_no_slow_challenger(
    stalled: int, model: Callable[..., Model], clock: Clock
) -> None:
    champion = model("old", seconds=0.001, stalls=[stalled])
    found = run_operational_checks(model("new", seconds=0.06), champion, ROWS, SETTINGS, clock)

    assert status(found)["latency"] == "failed"


@pytest.mark.parametrize(("size", "free_mb", "expected"), [(201, 0, "failed"), (201, 1, "passed"), (200, 0, "passed")])
def test_too_large_is_larger_than_the_champion_and_the_free_size(
    size: int, free_mb: float, expected: str, model: Callable[..., Model]
) -> None:
    settings = ResourceSettings(latency_pairs=12, size_budget_mb=free_mb)

    assert status(run_operational_checks(model("new", size=size), model("old"), ROWS, settings))["size"] == expected


@pytest.mark.parametrize("pairs", [12, 50])
def test_a_busy_machine_makes_no_model_slower(pairs: int) -> None:
    """On two cores with four other processes, a model compared with itself was 1.5 times slower in one run of ten."""
    random = np.random.default_rng(3)
    times = random.lognormal(-3, 1.5, (500, 2, pairs))

    by_medians = np.mean([np.median(new) > 1.5 * np.median(old) for new, old in times])
    assert by_medians > 0.05, "the noise is large enough to mislead"
    assert np.mean([significantly_slower(new / old, 1.5) for new, old in times]) <= 0.01


@pytest.mark.parametrize(("times", "expected"), [(1.4, False), (1.6, True)])
def test_on_a_quiet_machine_twelve_pairs_show_a_slow_challenger(times: float, expected: bool) -> None:
    new, old = np.random.default_rng(3).normal(0.02, 0.0005, (2, MIN_LATENCY_PAIRS))

    assert significantly_slower(times * new / old, 1.5) is expected


@pytest.mark.parametrize(
    ("pairs", "needed"), [(12, 11), (13, 12), (14, 12), (15, 13), (20, 16), (30, 22), (50, 34), (100, 63)]
)
def test_a_challenger_is_too_slow_in_enough_pairs(pairs: int, needed: int) -> None:
    """The critical counts of a one-sided sign test at 0.01, from a table of the binomial distribution."""
    for slow, expected in ((needed, True), (needed - 1, False)):
        challenger = np.where(np.arange(pairs) < slow, 2.0, 1.0)
        assert significantly_slower(challenger / np.ones(pairs), 1.5) is expected


@given(
    pairs=st.integers(MIN_LATENCY_PAIRS, 100),
    stalled=st.integers(0, 99),
    stall=st.floats(1, 1e6),
    times=st.floats(2, 1000),
    seed=st.integers(0, 999),
)
def test_one_stalled_pair_changes_no_clear_verdict(
    pairs: int, stalled: int, stall: float, times: float, seed: int
) -> None:
    """Noise of five percent; the stall is of the champion beside a slow challenger, or of an equally fast challenger."""
    random = np.random.default_rng(seed)
    champion, challenger = 0.02 * random.uniform(0.95, 1.05, (2, pairs))
    one = np.arange(pairs) == stalled % pairs

    assert significantly_slower(times * challenger / np.where(one, stall * champion, champion), 1.5)
    assert not significantly_slower(np.where(one, stall * challenger, challenger) / champion, 1.5)
