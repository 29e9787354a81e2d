"""The rule of the gate: every verdict of every rule, what bad input leads to, and how often it errs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from examples import share
from made_predictions import classification, gate, grouped, more_sure, pair, regression, sliced, with_answers
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.core.results import to_json
from titlebout.gate.decision import ClassChurn, Decision, GuardrailResult, decide
from titlebout.gate.looks import level
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import align_classes, encode_ground_truth
from titlebout.metrics.estimates import GroundTruth
from titlebout.settings.gate import GateSettings, RulesSettings

PLAIN = gate()
BETTER = {"challenger": 0.3, "champion": 1.5}
WORSE = {"challenger": 1.5, "champion": 0.3}
EQUAL = {"challenger": 0.6, "champion": 0.6}
REASON = {"superior": "change", "non-inferior": "age", "non-inferior-and-ahead": "drift"}


def status(decision: Decision, name: str) -> str:
    return {guard.name: guard.status for guard in decision.guards}[name]


def identical(rows: int = 2000, **more: Any) -> HoldoutPredictions:
    predictions = classification(rows, noise=EQUAL, **more)
    return with_answers(predictions, champion=predictions.predicted["challenger"].copy())


# The three rules and their three verdicts


@pytest.mark.parametrize(
    ("rule", "rows", "noise", "verdict", "detail"),
    [
        ("superior", 2000, BETTER, "promote", "the challenger is significantly better than the champion: log_loss 0."),
        ("superior", 2000, WORSE, "keep", "the challenger is significantly worse than the champion: log_loss 0."),
        (
            "superior",
            20_000,
            EQUAL,
            "keep",
            "the challenger is not better than the champion by the margin of 0.012: log_loss 0.",
        ),
        ("superior", 300, EQUAL, "inconclusive", "the holdout is too small to decide"),
        (
            "non-inferior",
            2000,
            BETTER,
            "promote",
            "the challenger is significantly better than the champion: log_loss 0.",
        ),
        (
            "non-inferior",
            20_000,
            EQUAL,
            "promote",
            "the challenger is not worse than the champion by more than the margin of 0.012: log_loss 0.",
        ),
        ("non-inferior", 2000, WORSE, "keep", "the challenger is significantly worse than the champion: log_loss 0."),
        (
            "non-inferior",
            300,
            EQUAL,
            "inconclusive",
            "the holdout is too small to decide whether the challenger is worse than the champion",
        ),
        (
            "non-inferior-and-ahead",
            2000,
            BETTER,
            "promote",
            "the challenger is significantly better than the champion: log_loss 0.",
        ),
        (
            "non-inferior-and-ahead",
            2000,
            WORSE,
            "keep",
            "the challenger is significantly worse than the champion: log_loss 0.",
        ),
        (
            "non-inferior-and-ahead",
            300,
            EQUAL,
            "inconclusive",
            "the holdout is too small to decide whether the challenger is worse",
        ),
    ],
)
def test_a_rule_has_three_verdicts(rule: str, rows: int, noise: dict[str, float], verdict: str, detail: str) -> None:
    found = decide(classification(rows, seed=5, noise=noise), PLAIN, REASON[rule])

    assert (found.verdict, found.rule) == (verdict, rule)
    assert detail in found.reasons[0]
    assert "gain " in found.reasons[0]


@pytest.mark.parametrize(("behind", "verdict"), [("challenger", "keep"), ("champion", "promote")])
def test_no_worse_and_ahead_needs_both(behind: str, verdict: str) -> None:
    predictions = classification(20_000, noise=EQUAL)
    gain = decide(predictions, PLAIN, "age").metrics[0].gain
    assert gain is not None
    if (gain > 0) == (behind == "challenger"):
        predictions = with_answers(
            predictions, challenger=predictions.predicted["champion"], champion=predictions.predicted["challenger"]
        )
    found = decide(predictions, PLAIN, "drift")

    assert found.verdict == verdict
    assert ("not ahead of it" in found.reasons[0]) == (verdict == "keep")


def test_ruling_out_a_gain_is_stricter_than_showing_one() -> None:
    predictions = classification(2000, seed=5, noise=EQUAL)
    line, half = decide(predictions, PLAIN, "change").metrics[0], decide(predictions, PLAIN, "change").power.resolves
    assert line.gain is not None
    at_5, at_1 = line.gain + half, line.gain + half * 2.328 / 1.6456

    assert decide(predictions, gate(margin=(at_5 + at_1) / 2), "change").verdict == "inconclusive"
    assert decide(predictions, gate(margin=at_1 + (at_1 - at_5) / 2), "change").verdict == "keep"


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        *RulesSettings().model_dump().items(),
        ("first", "superior"),
        ("rollback", "superior"),
        ("copy", "superior"),
        ("", "superior"),
    ],
)
def test_the_reason_chooses_the_rule_and_an_unknown_one_the_hardest(reason: str, rule: str) -> None:
    assert decide(classification(300), GateSettings(), reason).rule == rule


def test_the_rule_of_a_reason_can_be_set() -> None:
    assert decide(classification(300), gate(rules={"change": "non-inferior"}), "change").rule == "non-inferior"


def knows_nothing(predictions: HoldoutPredictions) -> FloatArray:
    """The challenger's answers to other rows."""
    return np.roll(predictions.predicted["challenger"], 1, axis=0)


def test_the_first_model_has_to_beat_one_that_knows_nothing() -> None:
    predictions = classification(noise={"challenger": 0.5})
    good, bad = (
        decide(one, PLAIN, "change")
        for one in (predictions, with_answers(predictions, challenger=knows_nothing(predictions)))
    )

    assert (good.verdict, good.rule, good.margin) == ("promote", "first", None)
    assert "there is no champion yet" in good.reasons[0]
    assert good.over_dummy is not None
    assert good.metrics[0].gain == good.over_dummy.gain
    assert (bad.verdict, bad.rule) == ("keep", "first")
    assert "significantly worse than the dummy model" in bad.reasons[0]


def test_a_first_model_that_may_beat_the_constant_is_not_rejected() -> None:
    predictions = classification(300, noise={"challenger": 0.5})
    close = predictions.predicted["dummy"].copy()
    close[::50] = predictions.predicted["challenger"][::50]
    found = decide(with_answers(predictions, challenger=close), PLAIN, "change")

    assert (found.verdict, found.rule) == ("inconclusive", "first")
    assert "not significantly better than the dummy model" in found.reasons[0]
    assert "`titlebout promote --unproven`" in found.reasons[0]


def test_a_constant_is_named_as_such() -> None:
    predictions = regression(400)
    y = np.where(np.arange(400) % 4 == 0, np.abs(predictions.truth.y), 0.0)
    zero = HoldoutPredictions(GroundTruth("regression", y), {"challenger": np.zeros(400), "dummy": np.zeros(400)})
    found = decide(zero, PLAIN, "change")

    assert found.verdict == "inconclusive"
    assert "predicts the same for every row; 75% of the rows have the same value" in found.reasons[0]
    assert "--unproven" not in found.reasons[0], "it is not ahead"
    by_mean = decide(zero, PLAIN.model_copy(update={"primary_metric": "rmse"}), "change")
    assert "of the rows have the same value" not in by_mean.reasons[0]


def test_what_no_model_can_do_is_no_obstacle() -> None:
    """Neither model is shown to be better than a constant, and the challenger is better than the champion."""
    predictions = classification(noise=EQUAL)
    worst = pair(np.where(predictions.truth.y == 1, 0.01, 0.99))
    found = decide(with_answers(predictions, challenger=knows_nothing(predictions), champion=worst), PLAIN, "change")

    assert found.metrics[0].lower is not None
    assert found.metrics[0].lower > 1
    assert found.verdict == "promote"
    assert status(found, "dummy model") == "warning"


@pytest.mark.parametrize("reason", ["age", "drift"])
def test_a_refresh_must_be_better_than_a_constant_where_the_champion_is(reason: str) -> None:
    predictions = classification(2000, noise=EQUAL)
    challenger = predictions.predicted["dummy"].copy()
    found = decide(
        with_answers(predictions, challenger=challenger), gate(guardrails=[], margin=10.0, **LENIENT), reason
    )

    assert found.verdict == ("inconclusive" if reason == "age" else "keep")
    assert ("dummy model" in found.reasons[0]) == (reason == "age")


@pytest.mark.parametrize("rule", REASON)
def test_identical_models_are_promoted_only_where_no_worse_is_enough(rule: str) -> None:
    found = decide(identical(), PLAIN, REASON[rule])

    assert found.verdict == ("promote" if rule == "non-inferior" else "keep")
    assert found.metrics[0].gain == found.metrics[0].lower == found.metrics[0].upper == 0
    assert found.churn.changed == 0


@pytest.mark.parametrize("rule", REASON)
def test_models_that_say_the_same_of_every_row_are_identical(rule: str) -> None:
    """Ties everywhere: neither knows anything, and the challenger is certainly not worse."""
    nothing = pair(np.full(2000, 0.5))
    found = decide(with_answers(classification(), challenger=nothing, champion=nothing), PLAIN, REASON[rule])

    assert found.verdict == ("promote" if rule == "non-inferior" else "keep")
    assert status(found, "dummy model") == "warning"


@pytest.mark.parametrize("noise", [BETTER, WORSE, EQUAL])
def test_values_are_decided_by_their_absolute_error(noise: dict[str, float]) -> None:
    predictions = regression(noise=noise)
    found = decide(predictions, PLAIN, "change")
    mae = {
        model_name: float(np.abs(predictions.truth.y - given_).mean())
        for model_name, given_ in predictions.predicted.items()
    }

    assert (found.metric, found.metrics[0].champion, found.metrics[0].challenger) == (
        "mae",
        pytest.approx(mae["champion"]),
        pytest.approx(mae["challenger"]),
    )
    assert found.margin == pytest.approx(0.02 * mae["champion"])
    assert (found.verdict == "promote") == (noise == BETTER)
    assert [guard.name for guard in found.guards] == ["rmse", "calibration"]


# The anchor


def crept(rows: int = 4000) -> HoldoutPredictions:
    """A champion that lost a little to the anchor, and a challenger that lost as little to the champion."""
    predictions = classification(rows, noise={"challenger": 0.5})
    best = predictions.predicted["challenger"]
    return with_answers(
        predictions,
        anchor=best,
        champion=more_sure(predictions, "challenger", 0.8),
        challenger=more_sure(predictions, "challenger", 0.75),
    )


LENIENT = {"calibration": {"min_slope": 0.1, "max_slope": 10}}


def test_what_creeps_away_from_the_anchor_is_not_promoted() -> None:
    predictions = crept()
    free = decide(with_answers(predictions, anchor=None), gate(margin=0.005, **LENIENT), "age")
    held = decide(predictions, gate(margin=0.005, **LENIENT), "age")

    assert free.verdict == "promote"
    assert held.verdict != "promote"
    assert "worse than the anchor" in held.reasons[0]
    assert held.over_anchor is not None
    assert held.over_anchor.gain < 0
    assert held.anchor_over_champion is not None
    assert held.anchor_over_champion.gain > 0
    assert free.anchor_over_champion is None


def test_the_anchor_counts_only_for_a_rule_without_superiority() -> None:
    predictions = classification(5000, noise={"challenger": 0.8, "champion": 2.0, "anchor": 0.0})

    assert decide(predictions, PLAIN, "change").verdict == "promote"
    assert decide(predictions, PLAIN, "age").verdict == "keep"
    unasked = decide(crept(), gate(margin=0.005, anchor=False, **LENIENT), "age")
    assert unasked == decide(with_answers(crept(), anchor=None), gate(margin=0.005, anchor=False, **LENIENT), "age")


def test_an_anchor_that_is_reached_changes_nothing() -> None:
    predictions = classification(20_000, noise={**EQUAL, "anchor": 0.6})
    found = decide(predictions, PLAIN, "age")

    assert found.verdict == "promote"
    assert found.metrics[0].anchor is not None


# Bad input


def spoilt(predictions: HoldoutPredictions, model_name: str, value: float) -> HoldoutPredictions:
    given_ = predictions.predicted[model_name].copy()
    given_[3] = value
    return with_answers(predictions, **{model_name: given_})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [classification, regression])
@pytest.mark.parametrize(
    ("model_name", "verdict"), [("challenger", "keep"), ("champion", "inconclusive"), ("anchor", "inconclusive")]
)
def test_a_prediction_that_is_no_number_never_promotes(
    model_name: str, verdict: str, kind: Callable[..., HoldoutPredictions], value: float
) -> None:
    predictions = kind(noise={**BETTER, "anchor": 0.6})
    found = decide(spoilt(predictions, model_name, value), PLAIN, "age")

    assert (found.verdict, found.reasons) == (verdict, (f"the {model_name}'s 1 of 2000 predictions are not finite",))


def test_a_superior_challenger_is_not_compared_with_the_anchor() -> None:
    predictions = classification(noise={**BETTER, "anchor": 0.6})
    found = decide(spoilt(predictions, "anchor", np.nan), PLAIN, "change")

    assert (found.verdict, found.over_anchor) == ("promote", None)


@pytest.mark.parametrize("row", [[-0.1, 1.1], [0.5, 0.6], [0.0, 0.0], [1.0, 1.0]])
@pytest.mark.parametrize(("model_name", "verdict"), [("challenger", "keep"), ("champion", "inconclusive")])
def test_what_are_no_probabilities_never_promotes(model_name: str, verdict: str, row: list[float]) -> None:
    predictions = classification(noise=BETTER)
    given_ = predictions.predicted[model_name].copy()
    given_[7] = row
    found = decide(with_answers(predictions, **{model_name: given_}), PLAIN, "change")

    assert found.verdict == verdict
    assert "outside [0, 1] or do not sum to 1" in found.reasons[0]


@pytest.mark.parametrize("shape", [(1999, 2), (2000, 3), (2000,)])
def test_answers_to_other_rows_never_promote(shape: tuple[int, ...]) -> None:
    found = decide(with_answers(classification(), challenger=np.ones(shape)), PLAIN, "change")

    assert found.verdict == "keep"
    assert "predictions have the shape" in found.reasons[0]


def test_probabilities_that_a_float32_has_rounded_are_probabilities() -> None:
    predictions = classification(noise=BETTER)
    rounded = {
        model_name: given_.astype(np.float32).astype(np.float64) for model_name, given_ in predictions.predicted.items()
    }

    assert decide(replace(predictions, predicted=rounded), PLAIN, "change").verdict == "promote"


def test_an_unseen_label_costs_as_much_as_an_answer_of_zero() -> None:
    predictions = classification(noise=BETTER)
    y = predictions.truth.labels
    y[:5] = "maybe"
    truth = encode_ground_truth("classification", y, predictions.truth.classes)
    wide = {
        model_name: align_classes(given_, predictions.truth.classes, truth)
        for model_name, given_ in predictions.predicted.items()
    }
    found = decide(HoldoutPredictions(truth, wide), PLAIN, "change")
    cost = -np.log(np.finfo(float).eps)
    kept = decide(
        HoldoutPredictions(
            predictions.truth.take(np.arange(5, 2000)), {w: g[5:] for w, g in predictions.predicted.items()}
        ),
        PLAIN,
        "change",
    )

    assert truth.classes == ("no", "yes", "maybe")
    assert kept.metrics[0].champion is not None
    assert found.metrics[0].champion == pytest.approx((kept.metrics[0].champion * 1995 + cost * 5) / 2000)
    assert found.verdict == "promote"


def test_one_row_of_an_unseen_label_does_not_block_the_gate() -> None:
    predictions = classification(noise=BETTER)
    y = predictions.truth.labels
    y[0] = "maybe"
    truth = encode_ground_truth("classification", y, predictions.truth.classes)
    wide = {
        model_name: align_classes(given_, predictions.truth.classes, truth)
        for model_name, given_ in predictions.predicted.items()
    }

    assert decide(HoldoutPredictions(truth, wide), PLAIN, "change").verdict == "promote"


def one_class() -> HoldoutPredictions:
    """All rows have the first class; the challenger gives the other class a smaller probability."""
    random = np.random.default_rng(0)
    truth = GroundTruth("classification", np.zeros(500, dtype=np.int64), ("no", "yes"))
    return HoldoutPredictions(
        truth,
        {
            "challenger": pair(random.uniform(0.1, 0.2, 500)),
            "champion": pair(random.uniform(0.3, 0.4, 500)),
            "dummy": pair(np.full(500, 0.5)),
        },
    )


def test_a_holdout_of_one_class_promotes_no_model() -> None:
    found = decide(one_class(), gate(calibration={"max_bias": 0.5}), "change")

    assert found.verdict == "inconclusive"
    assert found.reasons[0] == "roc_auc: not defined on this holdout"
    assert "the challenger is significantly better" in found.reasons[1]
    assert (status(found, "roc_auc"), status(found, "accuracy")) == ("untested", "passed")
    assert decide(one_class(), gate(guardrails=[], calibration={"max_bias": 0.5}), "change").verdict == "promote"


@pytest.mark.parametrize("margin", [None, "2%", 0.01])
def test_a_primary_metric_that_is_not_defined_is_inconclusive(margin: str | float | None) -> None:
    found = decide(one_class(), gate(primary_metric="roc_auc", margin=margin), "age")

    assert (found.verdict, found.metrics[0].champion, found.metrics[0].gain) == ("inconclusive", None, None)
    assert "the primary metric or its standard error is not defined on this holdout" in found.reasons
    assert plain(found)


def test_a_primary_metric_whose_error_is_not_known_is_inconclusive() -> None:
    y = np.zeros(500, dtype=np.int64)
    y[7] = 1
    predictions = one_class()
    predictions = replace(predictions, truth=GroundTruth("classification", y, predictions.truth.classes))
    found = decide(predictions, gate(primary_metric="roc_auc_ovr", guardrails=[]), "change")

    assert found.verdict == "inconclusive"
    assert "its standard error is not defined on this holdout" in found.reasons[0]
    assert found.power is None


def test_a_guard_whose_error_is_not_known_is_untested() -> None:
    predictions = classification(400, noise=BETTER)
    y = np.zeros(400, dtype=np.int64)
    y[7] = 1
    found = decide(
        replace(predictions, truth=GroundTruth("classification", y, predictions.truth.classes)),
        gate(guardrails=["roc_auc_ovr"]),
        "age",
    )

    assert status(found, "roc_auc_ovr") == "untested"


@pytest.mark.parametrize("rows", [0, 1, 2, 199])
@pytest.mark.parametrize("kind", [classification, regression])
def test_too_few_rows_are_inconclusive_with_what_to_do(kind: Callable[..., HoldoutPredictions], rows: int) -> None:
    predictions = kind(200, noise=BETTER)
    few = HoldoutPredictions(
        predictions.truth.take(np.arange(rows)),
        {model_name: given_[:rows] for model_name, given_ in predictions.predicted.items()},
    )
    found = decide(few, PLAIN, "change")

    assert found.verdict == "inconclusive"
    assert found.reasons[0].startswith(f"the holdout has {rows} rows, but gate.min_rows is 200: ")
    assert bool(found.metrics and found.over_dummy) == (rows >= 2)


@pytest.mark.parametrize("rows", [2, 3, 5, 10])
@pytest.mark.parametrize("kind", [classification, regression])
def test_a_handful_of_rows_breaks_nothing_where_the_configuration_allows_it(
    kind: Callable[..., HoldoutPredictions], rows: int
) -> None:
    """Student's t does not hold for ten skewed losses, so that more than 5% win; gate.min_rows is 200 by default."""
    found = [decide(kind(rows, seed=seed, noise=EQUAL), gate(min_rows=2), "change") for seed in range(50)]

    assert sum(one.verdict == "promote" for one in found) <= 10
    assert all(plain(one) for one in found)


def test_rows_of_one_entity_are_inconclusive() -> None:
    found = decide(grouped(classification(noise=BETTER), np.zeros(2000, dtype=np.int64)), PLAIN, "change")

    assert found.verdict == "inconclusive"
    assert "all holdout rows belong to one entity" in found.reasons[0]


def test_entities_make_a_gain_less_certain() -> None:
    small = classification(300, noise={"challenger": 0.6, "champion": 0.9})
    copies = np.repeat(np.arange(300), 20)
    predictions = HoldoutPredictions(
        small.truth.take(copies), {model_name: given_[copies] for model_name, given_ in small.predicted.items()}
    )
    alone, rowwise, together = (
        decide(one, PLAIN, "change") for one in (small, predictions, grouped(predictions, copies))
    )

    assert rowwise.power.resolves < together.power.resolves / 4
    assert together.power.rows == 6000
    assert together.power.needed == pytest.approx(20 * alone.power.needed, rel=0.01)
    assert together.metrics[0].lower == pytest.approx(alone.metrics[0].lower)
    assert together.verdict == alone.verdict
    bounds = [
        (one.calibration["challenger"].slope_lower, one.calibration["challenger"].bias_lower)
        for one in (alone, together)
    ]
    assert bounds[1] == pytest.approx(bounds[0])


@pytest.mark.parametrize(
    "settings_", [{"primary_metric": "no_such_metric"}, {"guardrails": ["no_such_metric"]}, {"floors": {"mae": 1}}]
)
def test_a_metric_that_does_not_exist_or_fit_is_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        decide(classification(300), gate(**settings_), "change")


def test_a_champion_without_errors_is_not_an_undefined_metric() -> None:
    predictions = regression(noise=BETTER)
    found = decide(with_answers(predictions, champion=np.array(predictions.truth.y, dtype=np.float64)), PLAIN, "change")

    assert (found.verdict, found.margin) == ("keep", 0)
    assert "worse than the champion" in found.reasons[0]
    both = with_answers(
        predictions,
        champion=np.array(predictions.truth.y, dtype=np.float64),
        challenger=predictions.truth.y.astype(np.float64),
    )
    assert decide(both, PLAIN, "change").verdict != "promote"


def test_a_share_of_nothing_is_no_margin() -> None:
    """A champion that never says yes has an F1 of 0, and 2% of that is 0."""
    predictions = classification(400, noise={"challenger": 1.0})
    never = predictions.predicted["challenger"] * 0 + [0.9, 0.1]
    timid = never.copy()
    timid[np.flatnonzero(predictions.truth.y)[:2]] = [0.1, 0.9]
    found = decide(
        with_answers(predictions, champion=never, challenger=timid, dummy=never),
        gate(primary_metric="f1", margin="2%", guardrails=[]),
        "change",
    )

    assert (found.margin, found.verdict) == (0, "inconclusive")
    assert plain(found)


# Looks


@pytest.mark.parametrize(("look", "alpha"), [(1, 0.05), (2, 0.1 / 6), (3, 0.1 / 12), (52, 0.1 / 52 / 53)])
def test_every_further_challenger_has_a_tighter_level(look: int, alpha: float) -> None:
    first, later = (decide(classification(noise=BETTER), PLAIN, "change", number) for number in (1, look))

    assert later.alpha == pytest.approx(alpha)
    assert later.metrics[0].lower is not None
    assert first.metrics[0].lower is not None
    assert (later.metrics[0].lower < first.metrics[0].lower) == (look > 1)


@pytest.mark.parametrize("reason", ["age", "drift"])
def test_rules_that_promote_equal_models_have_one_level(reason: str) -> None:
    assert decide(classification(noise=BETTER), PLAIN, reason, 20).alpha == 0.05


@given(budget=st.floats(0.001, 0.5), looks=st.integers(1, 500))
def test_the_levels_of_a_year_add_up_to_its_budget(budget: float, looks: int) -> None:
    settings_ = gate(false_promotions_per_year=budget, alpha=0.4)

    assert sum(level(settings_, number) for number in range(1, looks + 1)) <= budget


def test_a_tighter_level_is_never_a_wider_one() -> None:
    assert decide(classification(300), gate(alpha=0.001), "change", 2).alpha == 0.001


def test_a_gain_can_suffice_for_the_first_challenger_but_not_the_eleventh() -> None:
    verdicts = [
        (decide(predictions, PLAIN, "change").verdict, decide(predictions, PLAIN, "change", 11).verdict)
        for predictions in (classification(600, seed, {"challenger": 0.6, "champion": 0.8}) for seed in range(20))
    ]

    assert ("promote", "inconclusive") in verdicts
    assert ("inconclusive", "promote") not in verdicts


# Guards, floors, slices, calibration


@pytest.mark.parametrize(("floor", "held"), [(0.6, True), (0.99, False)])
def test_a_floor_of_a_rate_is_what_it_must_reach(floor: float, held: bool) -> None:
    found = decide(classification(noise=BETTER), gate(floors={"accuracy": floor}), "change")

    assert (found.verdict, status(found, "floor of accuracy")) == (
        ("promote", "passed") if held else ("keep", "failed")
    )
    assert held or found.reasons[0].startswith("floor of accuracy: 0.")


@pytest.mark.parametrize(("floor", "held"), [(0.6, True), (0.1, False)])
def test_a_floor_on_a_loss_bounds_the_first_model_too(floor: float, held: bool) -> None:
    found = decide(classification(noise={"challenger": 0.3}), gate(floors={"log_loss": floor, "brier": 1.0}), "change")

    assert found.verdict == ("promote" if held else "keep")
    assert [(line.name, line.role) for line in found.metrics] == [
        ("log_loss", "primary"),
        ("roc_auc", "guard"),
        ("accuracy", "guard"),
        ("brier", "floor"),
    ]


def test_a_floor_of_what_is_not_defined_is_untested() -> None:
    found = decide(one_class(), gate(guardrails=[], floors={"roc_auc": 0.5}, calibration={"max_bias": 0.5}), "change")

    assert (found.verdict, status(found, "floor of roc_auc")) == ("inconclusive", "untested")


def test_a_guard_that_got_clearly_worse_keeps_the_champion() -> None:
    """Better probabilities on the whole, and more wrong decisions: many rows just on the other side of one half."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 2000)
    timid = np.where(random.random(2000) < 0.9, 0.505, 0.495)
    sure = np.where(random.random(2000) < 0.6, 0.95, 0.49)
    champion, challenger = (np.where(y == 1, p, 1 - p) for p in (timid, sure))
    predictions = HoldoutPredictions(
        GroundTruth("classification", y, ("no", "yes")),
        {"challenger": pair(challenger), "champion": pair(champion), "dummy": pair(np.full(2000, 0.5))},
    )
    found = decide(predictions, gate(guardrails=["accuracy"]), "change")

    assert found.verdict == "keep"
    assert found.reasons[0].startswith("accuracy: significantly worse: 0.9")
    assert "the challenger is significantly better" in found.reasons[1]


def test_a_guard_may_lose_what_chance_can_explain() -> None:
    """Two more wrong decisions in 150 rows are 0.013: more than the tolerance, but not significant."""
    predictions = classification(150, seed=1, noise={"challenger": 0.3, "champion": 0.3})
    given_ = predictions.predicted["champion"].copy()
    right = np.flatnonzero(given_.argmax(axis=1) == predictions.truth.y)[:2]
    given_[right] = given_[right][:, ::-1]
    found = decide(with_answers(predictions, challenger=given_), gate(guardrails=["accuracy"], min_rows=100), "age")

    assert found.metrics[1].gain == pytest.approx(-2 / 150)
    assert status(found, "accuracy") == "passed"


def test_a_guard_may_lose_what_its_tolerance_allows_however_sure_that_is() -> None:
    """About 0.004 of accuracy, shown beyond doubt by 50,000 rows that are otherwise the same."""
    predictions = classification(50_000, noise={"challenger": 0.3, "champion": 0.3})
    given_ = predictions.predicted["champion"].copy()
    right = np.flatnonzero((given_.argmax(axis=1) == predictions.truth.y) & (np.abs(given_[:, 1] - 0.5) < 0.02))[:200]
    given_[right] = given_[right][:, ::-1]
    found = decide(with_answers(predictions, challenger=given_), gate(guardrails=["accuracy"]), "age")

    assert found.metrics[1].upper is not None
    assert found.metrics[1].upper < 0
    assert (status(found, "accuracy"), found.verdict) == ("passed", "promote")


CARRIER = np.tile(["a", "b", "c", "d"], 500)


def lost_in_one_slice() -> HoldoutPredictions:
    predictions = sliced(classification(noise={"challenger": 0.0, "champion": 2.5}), carrier=CARRIER)
    given_ = predictions.predicted["challenger"].copy()
    given_[CARRIER == "c"] = 0.5
    return with_answers(predictions, challenger=given_)


def test_a_slice_that_is_lost_keeps_the_champion() -> None:
    found = decide(
        lost_in_one_slice(), gate(slices={"columns": ["carrier"]}, calibration=LENIENT["calibration"]), "change"
    )

    assert (found.verdict, status(found, "slices")) == ("keep", "failed")
    assert found.reasons[0].startswith("slices: significantly worse in 1 slice: carrier = c (+")
    assert found.slices[0].level == "c"
    assert decide(lost_in_one_slice(), gate(calibration=LENIENT["calibration"]), "change").verdict == "promote"


def test_slices_of_a_rank_metric_are_compared_by_the_default_loss() -> None:
    settings_ = gate(
        primary_metric="roc_auc", guardrails=[], slices={"columns": ["carrier"]}, calibration=LENIENT["calibration"]
    )
    other = gate(slices={"columns": ["carrier"]})

    found, expected = (decide(lost_in_one_slice(), one, "change").slices for one in (settings_, other))
    assert [one.status for one in found] == [one.status for one in expected]
    assert [one.change for one in found] == pytest.approx([one.change for one in expected])


def test_slices_of_a_loss_are_compared_by_that_loss() -> None:
    found = decide(lost_in_one_slice(), gate(primary_metric="brier", slices={"columns": ["carrier"]}), "change")
    predictions = lost_in_one_slice()
    inside = CARRIER == "c"

    assert found.slices[0].challenger == pytest.approx(0.25)
    assert found.slices[0].champion == pytest.approx(
        ((predictions.predicted["champion"][inside, 1] - predictions.truth.y[inside]) ** 2).mean()
    )


def test_slices_that_are_all_too_small_promote_no_model() -> None:
    predictions = sliced(
        classification(290, noise={"challenger": 0.0, "champion": 3.0}), customer=np.arange(290).astype(str)
    )
    found = decide(predictions, gate(slices={"columns": ["customer"], "min_rows": 1000}), "change")

    assert (found.verdict, status(found, "slices")) == ("inconclusive", "untested")
    assert found.reasons[0] == "slices: no slice has enough rows to be tested"
    assert found.untested_slices == {"customer": 290}


def test_a_slice_column_that_is_missing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column 'region'"):
        decide(sliced(classification(300), carrier=["a"] * 300), gate(slices={"columns": ["region"]}), "change")


def test_an_overconfident_challenger_keeps_the_champion() -> None:
    predictions = classification(4000, noise=EQUAL)
    predictions = with_answers(predictions, challenger=more_sure(predictions, "challenger", 1.6))
    against = decide(predictions, gate(margin=1.0, guardrails=[]), "age")
    first = decide(with_answers(predictions, champion=None), PLAIN, "change")

    assert (against.verdict, status(against, "calibration")) == ("keep", "failed")
    assert against.reasons[0].startswith("calibration: overconfident: slope 0.")
    assert "the challenger is not worse" in against.reasons[1]
    assert (first.verdict, status(first, "calibration")) == ("promote", "warning")


def test_what_is_outside_the_limits_like_the_champion_has_no_tick() -> None:
    predictions = classification(4000, noise=EQUAL)
    both = {name: more_sure(predictions, name, 1.6) for name in ("challenger", "champion")}
    found = decide(with_answers(predictions, **both), gate(margin=1.0, guardrails=[]), "age")
    (shown,) = [guard for guard in found.guards if guard.name == "calibration"]

    assert shown.status == "warning"
    assert shown.detail.startswith("outside the limits, not shown to be worse than the champion's: slope 0.")
    assert status(decide(predictions, gate(margin=1.0, guardrails=[]), "age"), "calibration") == "passed"


@pytest.mark.parametrize(("metric", "verdict"), [("log_loss", "promote"), ("brier", "promote"), ("accuracy", "keep")])
def test_a_metric_that_counts_calibration_decides_about_it_too(metric: str, verdict: str) -> None:
    predictions = classification(4000, noise={"challenger": 0.1, "champion": 2.5})
    predictions = with_answers(predictions, challenger=more_sure(predictions, "challenger", 1.6))
    found = decide(predictions, gate(primary_metric=metric, guardrails=[]), "change")

    assert (found.verdict, status(found, "calibration")) == (verdict, "warning" if verdict == "promote" else "failed")


@pytest.mark.parametrize("factor", [3.0, 10.0, 100.0])
def test_the_more_overconfident_the_surer_it_is_found(factor: float) -> None:
    predictions = classification(1000, noise=EQUAL)
    found = decide(with_answers(predictions, challenger=more_sure(predictions, "challenger", factor)), PLAIN, "age")

    assert (found.verdict, status(found, "calibration")) == ("keep", "failed")


@pytest.mark.parametrize(
    ("before", "given_", "after", "detail"),
    [
        ("promote", "passed", "promote", ["primary"]),
        ("promote", "warning", "promote", ["primary"]),
        ("promote", "untested", "inconclusive", ["cost: slow", "primary"]),
        ("promote", "failed", "keep", ["cost: slow", "primary"]),
        ("inconclusive", "warning", "inconclusive", ["primary"]),
        ("inconclusive", "untested", "inconclusive", ["primary", "cost: slow"]),
        ("inconclusive", "failed", "keep", ["cost: slow", "primary"]),
        ("keep", "untested", "keep", ["primary", "cost: slow"]),
        ("keep", "failed", "keep", ["primary", "cost: slow"]),
    ],
)
def test_a_guard_can_only_take_away(before: Any, given_: Any, after: str, detail: list[str]) -> None:
    decision = Decision(
        before,
        "superior",
        ("primary",),
        "log_loss",
        0.05,
        guards=(GuardrailResult(name="x", status="passed", detail="y"),),
    )
    found = decision.with_guardrails([GuardrailResult(name="cost", status=given_, detail="slow")])

    assert (found.verdict, list(found.reasons)) == (after, detail)
    assert [guard.name for guard in found.guards] == ["x", "cost"]
    assert found.cause == (
        "" if after == "promote" else {"primary": "primary", "cost: slow": "guardrail: cost"}[detail[0]]
    )


def test_the_cause_is_the_first_reason_in_a_few_words() -> None:
    worse = Decision("keep", "superior", ("the challenger is significantly worse than the champion: 1 → 2",), "m", 0.05)
    failed = [GuardrailResult(name=name, status="failed", detail="slow") for name in ("cost", "slices")]
    untested = GuardrailResult(name="rmse", status="untested", detail="slow")

    assert worse.cause == worse.with_guardrails(failed).cause == "significantly worse than the champion"
    assert replace(worse, verdict="promote").with_guardrails([*failed, untested]).cause == "guardrails: cost, slices"


# Reasons and report


def plain(decision: Decision) -> str:
    """The decision as the result file holds it: strict JSON."""
    return to_json(TypeAdapter(Decision).dump_python(decision))


@pytest.mark.parametrize("kind", [classification, regression])
@pytest.mark.parametrize("noise", [{"challenger": 0.5}, EQUAL, {**BETTER, "anchor": 0.5}])
def test_a_decision_is_strict_json(kind: Callable[..., HoldoutPredictions], noise: dict[str, float]) -> None:
    predictions = sliced(kind(noise=noise), carrier=CARRIER)

    assert '"verdict"' in plain(decide(predictions, gate(slices={"columns": ["carrier"]}), "change"))


def test_churn_shows_which_model_is_right_where_they_differ() -> None:
    truth = GroundTruth("classification", np.array([0, 0, 0, 1] * 50), ("no", "yes"))
    sure = {0: [0.9, 0.1], 1: [0.1, 0.9]}
    predictions = HoldoutPredictions(
        truth,
        {
            "champion": np.array([sure[one] for one in (0, 1, 0, 0)] * 50),
            "challenger": np.array([sure[one] for one in (0, 0, 1, 0)] * 50),
            "dummy": pair(np.full(200, 0.5)),
        },
    )

    assert decide(predictions, PLAIN, "change").churn == ClassChurn(
        changed=100, both_right=50, both_wrong=50, only_challenger_right=50, only_champion_right=50
    )


def test_churn_of_values_shows_which_model_is_nearer() -> None:
    predictions = regression(400, noise=EQUAL)
    y = np.asarray(predictions.truth.y, dtype=np.float64)
    off = np.tile([1.0, 1.0, 1.0, 3.0], 100)
    found = decide(with_answers(predictions, challenger=y + off, champion=y + 2.0 * (off > 0)), PLAIN, "change")

    assert (found.churn.challenger_nearer, found.churn.champion_nearer) == (300, 100)
    assert found.churn.median_move == pytest.approx(1)


def test_the_power_line_states_the_detectable_gain_and_the_needed_rows() -> None:
    found = decide(classification(noise=EQUAL), PLAIN, "change")
    line = found.metrics[0]
    assert line.gain is not None
    assert line.lower is not None
    assert found.margin is not None

    assert found.power.rows == 2000
    assert found.power.resolves == pytest.approx(line.gain - line.lower)
    se = found.power.resolves / 1.6456
    assert found.power.needed == pytest.approx(2000 * ((1.6456 + 0.8418) * se / found.margin) ** 2, rel=1e-3)


def test_a_metric_whose_error_comes_from_blocks_counts_rows_and_not_blocks() -> None:
    closed, blocks = (
        decide(classification(noise=EQUAL), gate(primary_metric=primary, guardrails=[]), "change").power
        for primary in ("accuracy", "recall_micro")
    )

    assert (closed.rows, blocks.rows) == (2000, 2000)
    assert blocks.needed == pytest.approx(closed.needed, rel=0.5)


@pytest.mark.parametrize(
    ("margin", "primary", "size"),
    [
        (None, "log_loss", lambda champion: 0.02 * champion),
        (None, "brier", lambda _: 0.01),
        (None, "roc_auc", lambda _: 0.01),
        (0.003, "log_loss", lambda _: 0.003),
        ("5%", "roc_auc", lambda champion: 0.05 * champion),
        (None, "neg_brier_score", lambda champion: 0.02 * -champion),
    ],
)
def test_a_margin_is_in_units_of_the_metric(margin: Any, primary: str, size: Callable[[float], float]) -> None:
    found = decide(classification(noise=EQUAL), gate(margin=margin, primary_metric=primary), "change")

    assert found.metrics[0].champion is not None
    assert found.margin == pytest.approx(size(found.metrics[0].champion))


@pytest.mark.parametrize("primary", ["log_loss", "brier", "accuracy", "f1", "roc_auc", "average_precision", "recall"])
def test_whatever_the_metric_a_gain_is_positive_when_the_challenger_is_better(primary: str) -> None:
    better, worse = (
        decide(classification(4000, noise=noise), gate(primary_metric=primary), "change") for noise in (BETTER, WORSE)
    )

    assert (better.verdict, worse.verdict) == ("promote", "keep")
    assert better.metrics[0].gain is not None
    assert worse.metrics[0].gain is not None
    assert better.metrics[0].gain > 0 > worse.metrics[0].gain


# Invariants


@share(0.4)
@given(seed=st.integers(0, 999), reason=st.sampled_from(["change", "age", "drift"]))
def test_the_same_rows_in_another_order_give_the_same_verdict(seed: int, reason: str) -> None:
    predictions = sliced(classification(400, seed, EQUAL), carrier=CARRIER[:400])
    order = np.random.default_rng(seed).permutation(400)
    shuffled = HoldoutPredictions(
        predictions.truth.take(order),
        {model_name: given_[order] for model_name, given_ in predictions.predicted.items()},
        pd.DataFrame(predictions.columns.iloc[order]).reset_index(drop=True),
    )
    found, other = (decide(one, gate(slices={"columns": ["carrier"]}), reason) for one in (predictions, shuffled))

    assert other.verdict == found.verdict
    assert [guard.status for guard in other.guards] == [guard.status for guard in found.guards]
    assert other.metrics[0].lower == pytest.approx(found.metrics[0].lower)


@share(0.4)
@given(seed=st.integers(0, 999), scale=st.sampled_from([1e-6, 0.1, 1000.0, 1e9]))
def test_the_unit_of_the_target_does_not_matter(seed: int, scale: float) -> None:
    predictions = regression(300, seed, EQUAL)
    scaled = HoldoutPredictions(
        GroundTruth("regression", predictions.truth.y * scale),
        {model_name: given_ * scale for model_name, given_ in predictions.predicted.items()},
    )
    found, other = decide(predictions, PLAIN, "age"), decide(scaled, PLAIN, "age")

    assert (other.verdict, [guard.status for guard in other.guards]) == (
        found.verdict,
        [guard.status for guard in found.guards],
    )
    assert other.power.needed == pytest.approx(found.power.needed, abs=1)


@share(0.4)
@given(seed=st.integers(0, 999))
def test_no_rule_prefers_both_models_to_each_other(seed: int) -> None:
    predictions = classification(400, seed, {"challenger": 0.6, "champion": 0.9})
    turned = with_answers(
        predictions, challenger=predictions.predicted["champion"], champion=predictions.predicted["challenger"]
    )

    assert [decide(one, PLAIN, "change").verdict for one in (predictions, turned)].count("promote") <= 1


@share(0.4)
@given(seed=st.integers(0, 999), reason=st.sampled_from(["change", "age", "drift"]))
def test_a_smaller_alpha_never_promotes_more(seed: int, reason: str) -> None:
    predictions = classification(400, seed, {"challenger": 0.6, "champion": 0.9})
    strict = decide(predictions, gate(alpha=0.01, guardrails=[], **LENIENT), reason)

    assert (
        strict.verdict != "promote" or decide(predictions, gate(guardrails=[], **LENIENT), reason).verdict == "promote"
    )


# How often it errs


def promoted(make: Callable[[int], HoldoutPredictions], settings_: GateSettings, reason: str, runs: int = 200) -> float:
    return float(np.mean([decide(make(seed), settings_, reason).verdict == "promote" for seed in range(runs)]))


def test_an_equal_model_is_rarely_promoted() -> None:
    assert promoted(lambda seed: classification(500, seed, EQUAL), PLAIN, "change") <= 0.1


def test_an_equal_model_is_rarely_called_better_where_rows_belong_together() -> None:
    """Ten rows of each of 100 entities, about which either model errs alike."""

    def make(seed: int) -> HoldoutPredictions:
        random = np.random.default_rng(seed)
        units = np.repeat(np.arange(100), 10)
        signal = random.normal(0, 3, 1000)
        y = signal + random.normal(0, 0.3, 1000)
        wrong: dict[str, FloatArray] = {
            model_name: random.normal(0, 1, 100)[units] for model_name in ("challenger", "champion")
        }
        predicted = {model_name: signal + error for model_name, error in wrong.items()}
        return HoldoutPredictions(GroundTruth("regression", y), {**predicted, "dummy": np.zeros(1000)}, entities=units)

    aware = promoted(make, gate(guardrails=[], **LENIENT), "change")
    blind = promoted(lambda seed: replace(make(seed), entities=None), gate(guardrails=[], **LENIENT), "change")

    assert aware <= 0.1
    assert blind > 0.15


def test_a_model_worse_by_the_margin_is_rarely_called_no_worse() -> None:
    """Errors of the champion, all of them made larger by the margin on average, with noise between the two."""

    def make(seed: int) -> HoldoutPredictions:
        random = np.random.default_rng(seed)
        predictions = regression(500, seed, {"champion": 0.0})
        y = np.asarray(predictions.truth.y, dtype=np.float64)
        error = y - predictions.predicted["champion"]
        margin = 0.02 * np.abs(error).mean()
        worse = np.abs(error) + margin + random.normal(0, 0.1, 500)
        return with_answers(predictions, challenger=y - np.sign(error) * worse)

    rate = promoted(make, gate(guardrails=[], **LENIENT), "age")

    assert 0 < rate <= 0.1


def test_a_much_better_model_usually_wins() -> None:
    assert (
        promoted(lambda seed: classification(1000, seed, {"challenger": 0.4, "champion": 1.2}), PLAIN, "change", 50)
        > 0.9
    )
