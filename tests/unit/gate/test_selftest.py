"""Selftest of the gate: pairs of known quality, made from the project's own predictions."""

from dataclasses import replace

import numpy as np
import pytest

from made_predictions import classification, regression, with_answers
from titlebout.core.errors import ExitCode, InconclusiveError
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.gate.selftest import GateSelftestResult, RuleRates, _blocks, _Pairs, _rate, measure_rates, selftest
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings

SETTINGS = GateSettings(min_rows=100)
EQUAL = {"challenger": 0.6, "champion": 0.6}


def without_champion(predictions: HoldoutPredictions) -> HoldoutPredictions:
    kept = {model: given for model, given in predictions.predicted.items() if model != "champion"}
    return replace(predictions, predicted=kept)


def rate_of(rates: RuleRates, truth: str, rule: str = "superior") -> float:
    return next(one.rate for one in rates.rates if (one.truth, one.rule) == (truth, rule))


def test_a_better_challenger_wins_and_a_worse_one_does_not() -> None:
    rates = measure_rates(classification(600, noise=EQUAL), GateSettings(margin="10%"), ("superior",), 12)

    assert rate_of(rates, "better") > 0.8
    assert rate_of(rates, "equal") < 0.3
    assert rate_of(rates, "worse") == 0
    assert rates.broken == ()


@pytest.mark.parametrize("kind", [classification, regression])
@pytest.mark.parametrize("truth", ["better", "worse"])
@pytest.mark.parametrize("has_champion", [True, False])
def test_a_model_differs_by_the_margin(kind: object, truth: str, has_champion: bool) -> None:
    predictions = kind(400, noise=EQUAL)  # type: ignore[operator]
    predictions = predictions if has_champion else without_champion(predictions)
    metric = find_metric("log_loss" if predictions.truth.classes else "mae", predictions.truth.task)
    pairs = _Pairs(predictions, metric, SETTINGS)
    equal, moved = (pairs.draw(np.random.default_rng(0), one).predicted for one in ("equal", truth))  # type: ignore[arg-type]
    before, after = (pairs._estimate(one["challenger"]) for one in (equal, moved))

    assert abs(after - before) == pytest.approx(pairs.margin, rel=0.02)
    assert (after < before) == (truth == "better")
    assert np.array_equal(equal["champion"], moved["champion"])


def test_exchanged_models_keep_what_either_says() -> None:
    predictions = replace(classification(240, noise=EQUAL), times=np.arange(240) // 2)
    drawn = _Pairs(predictions, find_metric("log_loss", "classification"), SETTINGS).draw(
        np.random.default_rng(1), "equal"
    )
    exchanged = (drawn.predicted["challenger"] == predictions.predicted["champion"]).all(axis=1)
    kept = (drawn.predicted["challenger"] == predictions.predicted["challenger"]).all(axis=1)

    assert (exchanged | kept).all()
    assert 0 < exchanged.sum() < 240
    assert (np.bincount(_blocks(predictions), weights=exchanged) % 10 == 0).all(), "whole stretches of time"


@pytest.mark.parametrize("has_times", [True, False])
def test_blocks_are_stretches_of_time_entities_or_rows(has_times: bool) -> None:
    predictions = classification(480)
    units = np.arange(480) // 4

    assert len(np.unique(_blocks(predictions))) == 480
    with_units = replace(predictions, entities=units, times=np.arange(480)[::-1] if has_times else None)
    assert len(np.unique(_blocks(with_units))) == (24 if has_times else 120)


def test_a_guardrail_that_stops_equal_models_is_named() -> None:
    predictions = classification(300, noise=EQUAL)
    rates = measure_rates(predictions, GateSettings(min_rows=100, floors={"roc_auc": 1.0}), ("superior",), 5)

    assert [(one.name, one.equal, one.better) for one in rates.guardrails] == [("floor of roc_auc", 1, 1)]
    assert "floor of roc" in rates.to_markdown()


def test_too_many_false_promotions_break_the_promise() -> None:
    predictions = classification(300, noise=EQUAL)
    decisions = [measured(predictions)] * 50
    broken = _rate("equal", "superior", decisions, SETTINGS)
    rates = RuleRates(rates=(broken,), guardrails=(), margin=0.1)
    found = GateSelftestResult(passed=False, verdict="broken", rows=300, blocks=300, rates=rates)

    assert rates.broken == (broken,)
    assert found.exit_code == ExitCode.CHALLENGER_LOST
    assert "| exactly as good | `superior` | 100% |" in found.to_markdown()
    assert _rate("better", "superior", decisions, SETTINGS).promise is None


def measured(predictions: HoldoutPredictions) -> object:
    from titlebout.gate.decision import decide

    better = with_answers(predictions, challenger=np.eye(2)[predictions.truth.y] * 0.9 + 0.05)
    found = decide(better, SETTINGS, "change")
    assert found.verdict == "promote"
    return found


def test_a_holdout_too_small_for_a_verdict_has_no_rates() -> None:
    with pytest.raises(InconclusiveError, match="99 rows"):
        selftest(classification(99), SETTINGS)
