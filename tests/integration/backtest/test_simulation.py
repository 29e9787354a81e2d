"""Simulation: attempts of each strategy, no use of future data, and decisions by the production rules."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from titlebout.backtest import simulation as backtest_simulation
from titlebout.backtest.simulation import PeriodData, PeriodOutcome, SimulationResult, simulate, simulate_variants
from titlebout.backtest.strategies import STRATEGIES, Observation, Strategy
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import InconclusiveError
from titlebout.core.names import STRATEGY_NAMES
from titlebout.data.holdout import Split
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut
from titlebout.policy import rules as policy_rules
from titlebout.policy.rules import Decision, Measurements
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

NAMES = list(STRATEGY_NAMES)
WEEK, WEEKS = 210, 8  # rows of a week, and weeks that arrive
BY = {strategy.name: strategy for strategy in STRATEGIES}
PARAMS = Params.model_validate(
    {
        "data": {"task": "classification", "target": "y", "time": "at"},
        "split": {"by": "time", "holdout_days": 10},
        "train": {"model": "made.up:model"},
    }
)
SETTINGS = Settings.model_validate(
    {
        "project": {"name": "made-up", "package": "made_up", "pipeline": "made-up"},
        "checks": {"suite": "none.json"},
        "gate": {"min_rows": 100},
        "policy": {"decay_min_rows": 100, "volume_growth": 0},  # a week is a large share of the rows
        "retrain": {"min_new_rows": 100},
    }
)


@dataclass(frozen=True)
class Logistic:
    """A logistic regression on x, with the rows it was fitted on."""

    estimator: LogisticRegression
    rows: pd.DataFrame
    classes: tuple[object, ...] = (0, 1)
    held_out: HeldOut = NOTHING_HELD_OUT

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        answers: FloatArray = self.estimator.predict_proba(frame[["x"]])
        return answers


@dataclass
class Made:
    """A workload whose drift is a shift of x; it records all rows that it receives."""

    params: Params = PARAMS
    settings: Settings = SETTINGS
    days: int = 1000  # its training window
    shown: list[pd.DataFrame] = field(default_factory=list)
    fitted_on: list[pd.DataFrame] = field(default_factory=list)

    def fit(self, rows: pd.DataFrame, rows_split: Split, /) -> Logistic:
        rows = rows[rows_split.training]
        self.fitted_on.append(rows)
        if rows["y"].nunique() < 2:
            raise InconclusiveError("the training rows have one class only")
        window = rows[rows["at"] > rows["at"].max() - pd.Timedelta(days=self.days)]
        return Logistic(LogisticRegression().fit(window[["x"]], window["y"]), rows)

    def drifted_columns(self, reference: pd.DataFrame, current: pd.DataFrame, champion: object, /) -> tuple[str, ...]:
        assert isinstance(champion, Logistic)
        return ("x",) if self.drifted_share(reference, current) else ()

    def drifted_share(self, reference: pd.DataFrame, current: pd.DataFrame, /) -> float:
        self.shown += [reference, current]
        return 0.5 * (abs(current["x"].mean() - reference["x"].mean()) > 0.5)


def weeks(number: int, first: int = 0, *, slope: float = 2.0, shift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(first)
    rows = number * WEEK
    x = generator.normal(shift, 1, rows)
    at = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(first * 7 * 24 * 60 + np.arange(rows) * 48, unit="min")
    return pd.DataFrame(
        {"at": at, "x": x, "y": (generator.random(rows) < 1 / (1 + np.exp(-slope * x))).astype("int64")}
    )


START = weeks(6)


def arriving(
    slope: Callable[[int], float] = lambda _: 2.0, shift: Callable[[int], float] = lambda _: 0.0, number: int = WEEKS
) -> list[PeriodData]:
    return [PeriodData(f"week {at}", weeks(1, 6 + at, slope=slope(at), shift=shift(at))) for at in range(number)]


CALM = arriving()
TURNED = arriving(slope=lambda at: 2.0 if at < 3 else -2.0)  # the world outcomes around with the fourth week
SHIFTED = arriving(shift=lambda at: 0.0 if at < 3 else 3.0)


def timeless(simulation: SimulationResult) -> tuple[PeriodOutcome, ...]:
    return tuple(outcome.replace(seconds=0.0) for outcome in simulation.outcomes)


def decisions(simulation: SimulationResult) -> list[str]:
    return [outcome.decision for outcome in simulation.outcomes]


def refused(periods: list[PeriodData], at: int) -> list[PeriodData]:
    return [replace(one, refused="3 columns are missing") if n == at else one for n, one in enumerate(periods)]


def test_the_strategies_have_a_fixed_order() -> None:
    assert [strategy.name for strategy in STRATEGIES] == NAMES
    assert [strategy.name for strategy in STRATEGIES if not (strategy.gated and strategy.checked)] == ["every_ungated"]


def test_never_keeps_the_first_model() -> None:
    workload = Made()
    found = simulate(START, TURNED, BY["never"], workload)

    assert (found.attempts, found.pull_requests, found.seconds, len(workload.fitted_on)) == (0, 0, 0.0, 1)
    assert found.outcomes[-1].loss > 2 * found.outcomes[0].loss


@pytest.mark.parametrize("name", ["every", "every_ungated"])
def test_every_attempts_each_period(name: str) -> None:
    found = simulate(START, CALM, BY[name], Made())

    assert decisions(found) == ["attempt"] * WEEKS
    assert found.seconds == sum(outcome.seconds for outcome in found.outcomes) > 0


def test_without_a_gate_every_attempt_replaces_the_model() -> None:
    ungated, gated = (simulate(START, CALM, BY[name], Made()) for name in ("every_ungated", "every"))

    assert ungated.pull_requests == ungated.attempts == WEEKS
    assert gated.pull_requests < gated.attempts
    assert {outcome.verdict for outcome in gated.outcomes} <= {"promote", "keep", "inconclusive"}


def test_the_mean_loss_counts_rows_not_periods() -> None:
    short = replace(TURNED[4], rows=TURNED[4].rows.head(30))
    found = simulate(START, [CALM[0], short], BY["never"], Made())

    first, second = found.outcomes
    assert found.mean_loss == pytest.approx((first.loss * WEEK + second.loss * 30) / (WEEK + 30))


def test_a_promoted_model_is_in_service_from_the_next_period() -> None:
    workload = Made()
    found, fixed = simulate(START, TURNED, BY["every_ungated"], workload), simulate(START, TURNED, BY["never"], Made())

    assert found.outcomes[0].loss == fixed.outcomes[0].loss  # though its attempt came in this period
    y, x = TURNED[1].rows["y"], TURNED[1].rows
    answers = LogisticRegression().fit(workload.fitted_on[1][["x"]], workload.fitted_on[1]["y"]).predict_proba(x[["x"]])
    assert found.outcomes[1].loss == pytest.approx(-np.log(answers[np.arange(WEEK), y]).mean())


SAMPLE = ("every", "titlebout")
FUTURES = [
    pytest.param(name, delay, marks=() if name in SAMPLE and delay else pytest.mark.nightly)
    for name in NAMES
    for delay in (0, 2)
]


@pytest.mark.parametrize(("name", "delay"), FUTURES)
def test_no_row_of_the_future_is_ever_used(name: str, delay: int) -> None:
    poison = {n: replace(one, rows=one.rows.assign(x=1e3, y=1 - one.rows["y"])) for n, one in enumerate(TURNED)}
    found = simulate(START, TURNED, BY[name], Made(), label_delay=delay)

    for at in (2, 5):
        spoilt = [one if n <= at else poison[n] for n, one in enumerate(TURNED)]
        assert (
            timeless(simulate(START, spoilt, BY[name], Made(), label_delay=delay))[: at + 1]
            == timeless(found)[: at + 1]
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_unknown_until_its_delay_is_over(name: str) -> None:
    def spoilt(since: int) -> list[PeriodData]:
        turned = [replace(one, rows=one.rows.assign(y=1 - one.rows["y"])) for one in TURNED]
        return [*TURNED[:since], *turned[since:]]

    workload, other = Made(), Made()
    found = simulate(START, TURNED, BY[name], workload, label_delay=2)
    again = simulate(START, spoilt(4), BY[name], other, label_delay=2)

    known = [(outcome.decision, outcome.reason, outcome.verdict, outcome.detail) for outcome in found.outcomes[:6]]
    assert [
        (outcome.decision, outcome.reason, outcome.verdict, outcome.detail) for outcome in again.outcomes[:6]
    ] == known
    newest = TURNED[WEEKS - 3].rows["at"].max()
    assert all(rows["at"].max() <= newest for rows in workload.fitted_on)
    assert all("y" not in current for current in workload.shown[1::2])


def test_late_labels_do_not_shorten_a_cool_down() -> None:
    shifted = arriving(shift=lambda at: 0.0 if at < 3 else 3.0, number=16)
    found = simulate(START, shifted, BY["titlebout"], Made(), label_delay=4)

    tried = [at for at, outcome in enumerate(found.outcomes) if outcome.reason == "drift"]
    assert len(tried) > 1
    assert min(np.diff(tried)) >= SETTINGS.policy.cool_down_periods


def test_late_labels_are_used_late() -> None:
    found = simulate(START, CALM, BY["every"], Made(), label_delay=2)

    assert decisions(found) == ["wait", "wait", *["attempt"] * (WEEKS - 2)]


def test_a_challenger_is_never_trained_on_its_holdout() -> None:
    workload = Made()
    simulate(START, CALM, BY["every"], workload)

    for at, rows in enumerate(workload.fitted_on[1:]):
        newest = CALM[at].rows["at"].max()
        assert rows["at"].max() <= newest - pd.Timedelta(days=10)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "every_ungated"])
def test_a_refused_batch_is_never_used_by_checked_strategies(name: str) -> None:
    workload, periods = Made(), refused(SHIFTED, 4)
    found = simulate(START, periods, BY[name], workload)

    assert found.outcomes[4].decision == "stop"
    assert found.outcomes[4].detail == "the data is refused: 3 columns are missing"
    batch = set(periods[4].rows["at"])
    assert all(batch.isdisjoint(rows["at"]) for rows in (*workload.fitted_on, *workload.shown))
    assert [outcome.decision for outcome in found.outcomes if outcome.name != "week 4"].count("stop") == 0


def test_strategies_without_a_check_use_refused_data() -> None:
    workload, periods = Made(), refused(SHIFTED, 4)
    found = simulate(START, periods, BY["every_ungated"], workload)

    assert found.attempts == WEEKS
    assert set(periods[4].rows["at"]) <= set(workload.fitted_on[-1]["at"])


def test_damaged_rows_are_trained_on_and_the_undamaged_are_predicted() -> None:
    damaged = [
        replace(one, arrived=one.rows.assign(y=1 - one.rows["y"])) if n == 4 else one for n, one in enumerate(CALM)
    ]
    workload = Made()
    found, undamaged = (simulate(START, periods, BY["every_ungated"], workload) for periods in (damaged, CALM))

    assert timeless(found)[:5] == timeless(undamaged)[:5], "the month itself is predicted as it was"
    assert found.mean_loss > undamaged.mean_loss
    at = damaged[4].rows["at"]
    trained = workload.fitted_on[WEEKS].set_index("at")["y"]
    assert (trained.loc[at] == 1 - damaged[4].rows.set_index("at")["y"]).all()


@pytest.mark.parametrize("name", ["every", "titlebout"])
def test_variants_are_simulated_as_if_each_were_alone(name: str) -> None:
    shared, later, turned = CALM[:3], CALM[3:], TURNED[3:]
    workloads = Made(), Made()

    found = simulate_variants(START, shared, [(workloads[0], later), (workloads[1], turned)], BY[name], Made())

    for simulation, periods in zip(found, (later, turned), strict=True):
        assert timeless(simulation) == timeless(simulate(START, [*shared, *periods], BY[name], Made()))


def test_any_drift_attempts_only_after_a_shift() -> None:
    for name in ("any_drift", "drift_share"):
        calm, moved = (simulate(START, periods, BY[name], Made()) for periods in (CALM, SHIFTED))

        assert calm.attempts == 0
        assert [outcome.decision for outcome in moved.outcomes[:4]] == ["nothing"] * 3 + ["attempt"]
        assert moved.outcomes[3].reason == "drift"
        assert moved.outcomes[3].detail == "50% of the columns drifted"


def test_drift_share_attempts_less_often_than_any_drift() -> None:
    workload = Made()
    workload.drifted_share = lambda reference, current: 0.49  # type: ignore[method-assign]

    assert simulate(START, CALM[:3], BY["any_drift"], workload).attempts == 3
    assert simulate(START, CALM[:3], BY["drift_share"], workload).attempts == 0


def test_titlebout_attempts_only_after_a_change_of_concept() -> None:
    calm, turned = (simulate(START, periods, BY["titlebout"], Made(days=14)) for periods in (CALM, TURNED))

    assert calm.attempts == 0
    first = next(outcome for outcome in turned.outcomes if outcome.decision == "attempt")
    # While the last four weeks have both worlds in them, their losses differ so much that little is known of the mean.
    assert (first.name, first.reason, first.verdict) == ("week 5", "perf_decay", "promote")


def test_attempts_by_growth_become_rarer_as_the_table_grows() -> None:
    policy = SETTINGS.policy.model_copy(update={"volume_growth": 0.25, "decay_z": 99.0, "max_age_periods": 0})
    workload = Made(settings=SETTINGS.model_copy(update={"policy": policy}))
    found = simulate(START, arriving(number=16), BY["titlebout"], workload)

    tried = [at for at, outcome in enumerate(found.outcomes) if outcome.decision == "attempt"]
    assert {found.outcomes[at].reason for at in tried} == {"volume"}
    sizes = [len(rows) for rows in workload.fitted_on]  # of the first model, and of every challenger
    assert len(sizes) == len(tried) + 1 > 4
    assert all(later >= 1.25 * earlier for earlier, later in pairwise(sizes))


def test_titlebout_decides_by_the_production_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions_made: list[tuple[Measurements, Decision]] = []
    production = policy_rules.decide

    def recorded(measured: Measurements, *others: Any) -> Decision:
        decisions_made.append((measured, production(measured, *others)))
        return decisions_made[-1][1]

    monkeypatch.setattr(policy_rules, "decide", recorded)
    found = simulate(START, TURNED, BY["titlebout"], Made())

    assert [(decision.action, decision.reason, decision.sentence) for _, decision in decisions_made] == [
        (outcome.decision, outcome.reason, outcome.detail) for outcome in found.outcomes
    ]
    (first, _), (sixth, _) = decisions_made[0], decisions_made[5]
    assert (first.new_rows, first.champion, first.drift.value) == (WEEK, "0", 0.0)
    assert str(first.won_at) == START["at"].max().isoformat()
    assert sixth.decay.value is not None
    assert sixth.decay.value > SETTINGS.policy.decay_z


def test_a_follow_up_comes_after_a_promotion_for_decay() -> None:
    settings = SETTINGS.model_copy(update={"policy": SETTINGS.policy.model_copy(update={"follow_up_periods": (2,)})})
    periods = arriving(slope=lambda at: 2.0 if at < 1 else -2.0, number=12)
    found = simulate(START, periods, BY["titlebout"], Made(settings=settings, days=14))

    won = next(at for at, outcome in enumerate(found.outcomes) if outcome.verdict == "promote")
    assert found.outcomes[won].reason == "perf_decay"
    assert [outcome.reason for outcome in found.outcomes[won + 1 : won + 3]] == ["", "follow_up"]
    never = simulate(START, periods, BY["never"], Made())
    assert found.outcomes[won + 1].loss < 0.6 * never.outcomes[won + 1].loss


def test_unsuccessful_attempts_start_a_cool_down() -> None:
    settings = SETTINGS.model_copy(update={"gate": SETTINGS.gate.model_copy(update={"min_rows": 10**6})})
    found = simulate(START, SHIFTED, BY["titlebout"], Made(settings=settings))

    tried = [outcome for outcome in found.outcomes if outcome.decision == "attempt" and outcome.reason == "drift"]
    assert [outcome.name for outcome in tried] == ["week 3", "week 7"]
    assert {outcome.verdict for outcome in tried} == {"inconclusive"}
    assert found.pull_requests == 0


def test_the_reason_selects_the_rule_of_the_gate() -> None:
    rules: list[tuple[str, int]] = []
    production = backtest_simulation.gate_decision.decide

    def recorded(predictions: Any, settings: Any, reason: str, uses: int) -> Any:
        rules.append((reason, uses))
        return production(predictions, settings, reason, uses)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest_simulation.gate_decision, "decide", recorded)
        every = simulate(START, SHIFTED, BY["every"], Made())
        simulate(START, SHIFTED, BY["any_drift"], Made())

    assert [reason for reason, _ in rules] == ["schedule"] * WEEKS + ["drift"] * (len(rules) - WEEKS)
    # Only challengers that had to be superior, and were not promoted, spend the budget of false promotions.
    weekly = iter(uses for reason, uses in rules if reason == "schedule")
    promoted = [outcome.verdict == "promote" for outcome in every.outcomes]
    number = 1
    for won in promoted:
        assert next(weekly) == number
        number = 1 if won else number + 1
    assert number > 1
    assert {uses for reason, uses in rules if reason == "drift"} == {1}


def test_a_challenger_that_cannot_be_fitted_leaves_the_champion_in_service() -> None:
    class Tired(Made):
        def fit(self, rows: pd.DataFrame, rows_split: Split, /) -> Logistic:
            if rows_split.training.sum() > len(START):
                raise InconclusiveError("no")
            return super().fit(rows, rows_split)

    found = simulate(START, CALM, BY["every"], Tired())

    assert found.outcomes[-1].verdict == "inconclusive"
    assert found.outcomes[-1].decision == "attempt"


def test_a_simulation_is_deterministic() -> None:
    for name in NAMES:
        first, second = (simulate(START, TURNED, BY[name], Made(), label_delay=1) for _ in range(2))
        assert timeless(first) == timeless(second)


def test_a_custom_strategy_can_be_simulated() -> None:
    def when_asked(observation: Observation) -> Decision:
        return (
            Decision("attempt", "because", (), "manual")
            if len(observation.labeled) > 3 * WEEK
            else Decision("nothing", "not yet", ())
        )

    found = simulate(START, CALM, Strategy("own", "Mine.", when_asked), Made())

    assert [outcome.reason for outcome in found.outcomes][:4] == ["", "", "", "manual"]
