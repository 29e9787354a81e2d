"""The gate's arithmetic: against scipy, against a table of verdicts, and by simulation."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from titlebout.config import GateSettings
from titlebout.errors import InconclusiveError
from titlebout.evaluation import EvaluateResult, Gain, _dummy_losses, decide, paired_gain, render_evaluate
from titlebout.metrics import FloatArray, row_losses
from titlebout.results import to_json

GATE = GateSettings(min_rows=100)


def losses(rows: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    generator = np.random.default_rng(seed)
    return generator.gamma(2, 1, rows), generator.gamma(2, 1.1, rows)


@given(rows=st.integers(2, 300), seed=st.integers(0, 99), alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_the_gain_and_its_bounds_are_those_of_the_paired_t_test(rows: int, seed: int, alpha: float) -> None:
    challenger, champion = losses(rows, seed)
    found = paired_gain(challenger, champion, alpha)
    test = stats.ttest_rel(champion, challenger, alternative="greater")
    other = stats.ttest_rel(champion, challenger, alternative="less")

    assert found.n == rows
    assert found.mean == pytest.approx((champion - challenger).mean())
    assert found.lower == pytest.approx(test.confidence_interval(1 - alpha).low)
    assert found.upper == pytest.approx(other.confidence_interval(1 - alpha).high)
    assert (found.lower > 0) == (test.pvalue < alpha)


def test_the_gain_is_paired_row_by_row() -> None:
    """Rows differ much more than models do; a comparison of two means would show nothing."""
    hard = np.random.default_rng(0).gamma(1, 10, 200)
    found = paired_gain(hard, hard + 0.01, 0.05)

    assert found.lower == pytest.approx(0.01)


def test_equal_losses_gain_nothing() -> None:
    same = losses(50)[0]

    assert paired_gain(same, same, 0.05) == Gain(0.0, 0.0, 0.0, 50)


def test_one_row_decides_nothing() -> None:
    with pytest.raises(InconclusiveError, match="one holdout row"):
        paired_gain(np.array([1.0]), np.array([2.0]), 0.05)


def gain(mean: float, half_width: float = 0.01, n: int = 100) -> Gain:
    return Gain(mean, mean - half_width, mean + half_width, n)


@pytest.mark.parametrize(
    ("over_champion", "over_dummy", "verdict", "said"),
    [
        (None, gain(0.1), "promote", "nobody holds the title yet"),
        (None, gain(0.01), "keep", "knows nothing"),
        (None, gain(-0.1), "keep", "knows nothing"),
        (None, gain(0.1, n=99), "inconclusive", "99 holdout rows are too few to decide; the rule asks for 100"),
        (gain(0.02), gain(0.1), "promote", "+0.0200 (+0.0100 to +0.0300)"),
        (gain(0.02), gain(0.0), "keep", "knows nothing"),
        (gain(0.02), gain(0.1, n=99), "inconclusive", "too few"),
        (gain(0.01), gain(0.1), "inconclusive", "100 rows cannot show it"),
        (gain(0.005), gain(0.1), "inconclusive", "may be better"),
        (gain(0.0), gain(0.1), "keep", "is not better"),
        (gain(-0.005), gain(0.1), "keep", "is not better"),
        (gain(-0.02), gain(0.1), "keep", "-0.0200 (-0.0300 to -0.0100)"),
    ],
)
def test_the_verdict_follows_the_table(over_champion: Gain | None, over_dummy: Gain, verdict: str, said: str) -> None:
    found, sentence = decide(over_champion, over_dummy, GATE)

    assert found == verdict
    assert said in sentence


@given(mean=st.floats(allow_nan=True), lower=st.floats(allow_nan=True), dummy=st.floats(allow_nan=True))
def test_what_is_no_number_never_promotes(mean: float, lower: float, dummy: float) -> None:
    verdict, _ = decide(Gain(mean, lower, mean, 100), Gain(dummy, dummy, dummy, 100), GATE)

    assert verdict != "promote" or (lower > 0 and dummy > 0)


def bout(random: np.random.Generator, challenger_noise: float, champion_noise: float, rows: int = 300) -> str:
    """Two classifiers that see the truth through noise of their own meet on the same rows."""
    logit = random.normal(0, 1.5, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int).astype(object)

    def loss(noise: float) -> FloatArray:
        late = 1 / (1 + np.exp(-(logit + random.normal(0, noise, rows))))
        return row_losses("classification", y, np.column_stack([1 - late, late]), (0, 1))

    challenger, champion = loss(challenger_noise), loss(champion_noise)
    dummy = _dummy_losses(y, y, "classification")
    settings = GateSettings(alpha=0.05, min_rows=100)
    return decide(paired_gain(challenger, champion, 0.05), paired_gain(challenger, dummy, 0.05), settings)[0]


def test_a_challenger_that_is_no_better_is_rarely_promoted() -> None:
    random = np.random.default_rng(1)
    promoted = sum(bout(random, 0.7, 0.7) == "promote" for _ in range(400))

    assert 0.02 < promoted / 400 < 0.08  # the level is 0.05, and 400 runs have a standard error of 0.011


def test_a_challenger_that_is_worse_is_never_promoted() -> None:
    random = np.random.default_rng(2)

    assert "promote" not in [bout(random, 1.1, 0.5) for _ in range(200)]


def test_a_challenger_that_is_much_better_is_mostly_promoted() -> None:
    random = np.random.default_rng(3)
    promoted = sum(bout(random, 0.3, 1.2) == "promote" for _ in range(200))

    assert promoted / 200 > 0.9


def test_the_dummy_knows_the_shares_of_the_training_rows() -> None:
    trained = np.array([0] * 3 + [1], object)
    found = _dummy_losses(trained, np.array([0, 1], object), "classification")

    assert found.tolist() == pytest.approx([-np.log(0.75), -np.log(0.25)])


def test_the_dummy_pays_for_a_class_it_never_saw() -> None:
    found = _dummy_losses(np.array(["a", "b"], object), np.array(["a", "c"], object), "classification")

    assert found.tolist() == pytest.approx([-np.log(0.5), -np.log(np.finfo(float).eps)])


def test_the_dummy_of_a_regression_is_the_median() -> None:
    found = _dummy_losses(np.array([1.0, 2.0, 100.0], object), np.array([2.0, 5.0], object), "regression")

    assert found.tolist() == [0.0, 3.0]


def result(**changes: Any) -> EvaluateResult:
    values: dict[str, Any] = {
        "passed": True,
        "reasons": ("the challenger is better",),
        "verdict": "promote",
        "reason": "change",
        "metric": "log_loss",
        "challenger": "0123456789abcdef.dir",
        "champion": "fedcba9876543210.dir",
        "challenger_score": 0.41,
        "champion_score": 0.5,
        "dummy_score": 0.69,
        "holdout": {"rows": 168, "fingerprint": "f" * 64, "start": "2024-04-06T00:00", "end": "2024-04-19T22:00"},
        "scores": {"challenger": {"log_loss": 0.41, "roc_auc": 0.8}, "champion": {"log_loss": 0.5}},
    }
    return EvaluateResult(**values | changes)


def test_the_report_shows_both_models_and_what_they_were_judged_on() -> None:
    text = render_evaluate(result())

    assert text.startswith("### Gate: promote\n\nThe challenger is better.\n")
    assert "0123456789ab" in text
    assert "fedcba987654" in text
    assert "168 rows, 2024-04-06 to 2024-04-19" in text
    assert "roc" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "keep"}, "### Gate: keep the champion"),
        ({"verdict": "unchanged", "holdout": None}, "### Gate: nothing to decide"),
        ({"champion": "", "champion_score": None}, "none yet"),
        ({"holdout": {"rows": 9, "fingerprint": "f" * 64, "start": "", "end": ""}}, "Holdout: 9 rows, never"),
    ],
)
def test_the_report_fits_every_verdict(changes: dict[str, Any], said: str) -> None:
    assert said in render_evaluate(result(**changes))


def test_a_result_is_strict_json() -> None:
    assert json.loads(to_json(result().to_dict()))["step"] == "evaluate"
