"""Slope and bias of predictions: against scikit-learn, in worlds whose slope is known, and with predictions of no model at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from made_predictions import CLASSES, classification, pair, regression, sigmoid
from titlebout.core.arrays import FloatArray
from titlebout.gate.calibration import (
    Calibration,
    calibration,
    calibration_gains,
    calibration_problems,
    describe,
    is_within,
)
from titlebout.metrics.estimates import SMALLEST, GroundTruth
from titlebout.metrics.inference import Dependence
from titlebout.settings.gate import CalibrationSettings

ALPHA = 0.05
SETTINGS = CalibrationSettings()


def world(rows: int, seed: int = 0, sure: float = 1.0, shift: float = 0.0) -> tuple[GroundTruth, FloatArray]:
    """Outcomes of logits z, predicted as sigmoid(sure * z + shift): the slope is 1 / sure."""
    random = np.random.default_rng(seed)
    z = random.normal(-1, 1.3, rows)
    y = (random.random(rows) < sigmoid(z)).astype(np.int64)
    return GroundTruth("classification", y, CLASSES), pair(sigmoid(sure * z + shift))


def slope_of_scikit_learn(truth: GroundTruth, predicted: FloatArray) -> float:
    clipped = np.clip(predicted[:, 1], SMALLEST, 1 - SMALLEST)
    logit = np.log(clipped / (1 - clipped))
    scaled = ((logit - logit.mean()) / logit.std())[:, None]
    return float(LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scaled, truth.y).coef_[0, 0] / logit.std())


@pytest.mark.parametrize("sure", [0.05, 0.5, 1.0, 1.6, 3.0, 5.0, 10.0, 50.0])
@pytest.mark.parametrize("shift", [-8.0, 0.0, 3.0])
def test_the_slope_is_that_of_an_unpenalised_logistic_regression(sure: float, shift: float) -> None:
    truth, predicted = world(500, sure=sure, shift=shift)

    assert calibration(truth, predicted, ALPHA).slope == pytest.approx(
        slope_of_scikit_learn(truth, predicted), rel=1e-4
    )


def test_answers_of_0_and_1_have_a_slope_too() -> None:
    """A forest says 0 and 1, and is wrong about some of them: that is what overconfident means."""
    truth, predicted = world(500)
    hard = np.round(predicted)
    found = calibration(truth, hard, ALPHA)

    assert found.slope == pytest.approx(slope_of_scikit_learn(truth, hard), rel=1e-4)
    assert found.slope is not None
    assert found.slope < 0.1
    assert "overconfident" in calibration_problems(found, None, SETTINGS)["slope"]


@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0])
def test_the_bounds_hold_the_true_slope_as_often_as_they_say(sure: float) -> None:
    found = [calibration(*world(400, seed, sure), ALPHA) for seed in range(200)]
    below = np.mean([(one.slope_lower or 0) > 1 / sure for one in found])
    above = np.mean([(one.slope_upper or 0) < 1 / sure for one in found])

    assert below == pytest.approx(ALPHA, abs=0.04)
    assert above == pytest.approx(ALPHA, abs=0.04)


def test_values_have_the_slope_of_a_linear_regression() -> None:
    predictions = regression(400)
    given_, y = predictions.predicted["challenger"], predictions.truth.y
    found = calibration(predictions.truth, given_, ALPHA)

    assert found.slope == pytest.approx(LinearRegression().fit(given_[:, None], y).coef_[0])
    assert found.bias == pytest.approx((given_ - y).mean() / y.std())
    assert found.slope_lower is not None
    assert found.slope_upper is not None
    assert found.slope_lower < found.slope < found.slope_upper


def test_the_error_of_a_slope_of_values_is_whites() -> None:
    """HC0 from its matrices: (X'X)^-1 X' diag(e^2) X (X'X)^-1."""
    predictions = regression(200)
    given_, y = predictions.predicted["challenger"], np.asarray(predictions.truth.y, dtype=np.float64)
    design = np.column_stack([np.ones(200), given_])
    left = y - design @ np.linalg.lstsq(design, y)[0]
    bread = np.linalg.inv(design.T @ design)
    white = bread @ (design.T @ (design * left[:, None] ** 2)) @ bread
    found = calibration(predictions.truth, given_, 0.5 - 0.3413447460685429)  # one standard error, were it normal
    assert found.slope is not None
    assert found.slope_upper is not None

    assert found.slope_upper - found.slope == pytest.approx(np.sqrt(white[1, 1]), rel=0.01)


def test_several_classes_are_judged_by_the_likeliest_one() -> None:
    random = np.random.default_rng(0)
    predicted = random.dirichlet([1, 1, 1], 4000)
    y = np.array([random.choice(3, p=row) for row in predicted])
    truth = GroundTruth("classification", y, ("a", "b", "c"))
    found = calibration(truth, predicted, ALPHA)

    assert found.slope == pytest.approx(1, abs=0.15)
    assert found.bias == pytest.approx(predicted.max(axis=1).mean() - (predicted.argmax(axis=1) == y).mean())


@pytest.mark.parametrize("copies", [1, 5])
def test_copies_of_a_row_add_no_evidence_when_they_are_grouped(copies: int) -> None:
    truth, predicted = world(300)
    units = np.repeat(np.arange(300), copies)
    alone = calibration(truth, predicted, ALPHA)
    together = calibration(truth.take(units), predicted[units], ALPHA, Dependence(units=units))

    assert (together.slope, together.slope_lower, together.bias, together.bias_upper) == (
        pytest.approx(alone.slope),
        pytest.approx(alone.slope_lower),
        pytest.approx(alone.bias),
        pytest.approx(alone.bias_upper),
    )


@given(seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    truth, predicted = world(200, seed)
    order = np.random.default_rng(seed).permutation(200)
    found, other = calibration(truth, predicted, ALPHA), calibration(truth.take(order), predicted[order], ALPHA)

    assert other.slope == pytest.approx(found.slope)
    assert other.bias_lower == pytest.approx(found.bias_lower)
    assert other.predicted == pytest.approx(found.predicted)


@given(seed=st.integers(0, 99))
def test_naming_the_classes_the_other_way_round_turns_the_bias_only(seed: int) -> None:
    truth, predicted = world(200, seed)
    turned = GroundTruth(truth.task, 1 - truth.y, CLASSES[::-1])
    found, other = calibration(truth, predicted, ALPHA), calibration(turned, predicted[:, ::-1], ALPHA)

    assert other.slope == pytest.approx(found.slope)
    assert other.bias == pytest.approx(-found.bias)


@pytest.mark.parametrize(
    ("y", "positive"),
    [
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3]),
        ([1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4]),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]),
        ([0, 1], [0.2, 0.4]),
    ],
    ids=["constant", "one class", "separated", "two rows"],
)
def test_a_slope_that_cannot_be_estimated_is_none(y: list[int], positive: list[float]) -> None:
    found = calibration(GroundTruth("classification", np.array(y), CLASSES), pair(np.array(positive)), ALPHA)

    assert (found.slope, found.slope_lower, found.slope_upper) == (None, None, None)
    assert found.bias == pytest.approx(np.mean(positive) - np.mean(y))


def test_constant_values_have_no_slope_and_a_constant_target_no_scale() -> None:
    truth = GroundTruth("regression", np.array([2.0, 2.0, 2.0]))

    assert calibration(truth, np.array([3.0, 3.0, 3.0]), ALPHA).slope is None
    assert calibration(truth, np.array([3.0, 3.0, 3.0]), ALPHA).bias == 1


def test_ten_equal_parts_compare_predicted_and_observed() -> None:
    truth, predicted = world(1003)
    found = calibration(truth, predicted, ALPHA)

    assert len(found.predicted) == len(found.observed) == 10
    assert list(found.predicted) == sorted(found.predicted)
    assert found.predicted[0] == pytest.approx(np.sort(predicted[:, 1])[:101].mean())
    assert found.observed == pytest.approx(found.predicted, abs=0.15)
    assert len(calibration(*world(4), ALPHA).predicted) == 4


def found_with(slope: float, bias: float = 0.0, wide: float = 0.05) -> Calibration:
    return Calibration(
        slope=slope,
        slope_lower=slope - wide,
        slope_upper=slope + wide,
        bias=bias,
        bias_lower=bias - 0.01,
        bias_upper=bias + 0.01,
        predicted=(),
        observed=(),
    )


@pytest.mark.parametrize(
    ("slope", "bias", "completed"),
    [
        (1.0, 0.0, []),
        (0.7, 0.0, ["overconfident"]),
        (0.76, 0.0, []),  # the bound reaches what is allowed
        (1.4, 0.0, ["underconfident"]),
        (1.29, 0.0, []),
        (1.0, 0.04, ["predicts too much on average"]),
        (1.0, -0.04, ["predicts too little on average"]),
        (1.0, 0.025, []),
        (1.0, 0.015, []),
        (0.5, 0.05, ["overconfident", "predicts too much on average"]),
    ],
)
def test_a_fault_is_shown_and_large(slope: float, bias: float, completed: list[str]) -> None:
    assert list(calibration_problems(found_with(slope, bias), None, SETTINGS).values()) == completed
    assert list(calibration_problems(found_with(slope, bias), found_with(1.0), SETTINGS).values()) == completed


@pytest.mark.parametrize(
    ("slope", "bias", "within"),
    [
        (1.0, 0.0, True),
        (0.8, 0.02, True),
        (0.79, 0.0, False),
        (1.26, 0.0, False),
        (1.0, -0.021, False),
        (None, 0.0, True),
    ],
)
def test_only_estimates_inside_the_limits_are_within_them(slope: float | None, bias: float, within: bool) -> None:
    found = found_with(1.0, bias).replace(slope=slope)

    assert is_within(found, SETTINGS) is within


def test_the_limits_and_the_champion_are_shown_beside_the_figures() -> None:
    undefined = found_with(1.0, 0.01).replace(slope=None)

    assert describe(found_with(0.764, 0.105), found_with(0.9, -0.0312), SETTINGS) == (
        "slope 0.76 (limits 0.8 to 1.25, champion 0.90), bias +0.105 (limit 0.02, champion -0.031)"
    )
    assert describe(undefined, None, SETTINGS) == "slope not defined (limits 0.8 to 1.25), bias +0.010 (limit 0.02)"


def test_a_large_bias_that_chance_can_make_is_no_fault() -> None:
    few = Calibration(
        slope=1.0,
        slope_lower=0.9,
        slope_upper=1.1,
        bias=0.1,
        bias_lower=-0.05,
        bias_upper=0.25,
        predicted=(),
        observed=(),
    )

    assert calibration_problems(few, None, SETTINGS) == {}


@pytest.mark.parametrize("champion", [(0.5, 0.05), (2.0, -0.05), (0.4, 0.2), (-0.1, 0.06)])
def test_what_the_champion_does_as_wrongly_is_no_fault(champion: tuple[float, float]) -> None:
    assert calibration_problems(found_with(0.5, 0.05), found_with(*champion), SETTINGS) == {}


@pytest.mark.parametrize("champion", [(0.6, 0.035), (1.7, -0.01)])
def test_a_champion_that_is_a_little_wrong_excuses_nothing(champion: tuple[float, float]) -> None:
    assert len(calibration_problems(found_with(0.5, 0.05), found_with(*champion), SETTINGS)) == 2


def test_a_calibrated_model_is_recognized() -> None:
    predictions = classification(5000)
    found = calibration(predictions.truth, predictions.predicted["challenger"], ALPHA)

    assert found.slope == pytest.approx(1, abs=0.1)
    assert calibration_problems(found, None, SETTINGS) == {}


@given(seed=st.integers(0, 99), worse=st.sampled_from([2.0, 0.5]))
def test_the_difference_of_two_slopes_is_tested_on_the_same_rows(seed: int, worse: float) -> None:
    truth, sharp = world(3000, seed, sure=worse)
    _, right = world(3000, seed)
    gains = calibration_gains(truth, sharp, right)

    assert gains["slope"].p_worse() < 0.01
    assert calibration_gains(truth, right, sharp)["slope"].gain == pytest.approx(-gains["slope"].gain)
    assert calibration_gains(truth, right, right)["slope"].se == 0


def test_the_difference_of_two_biases_is_tested_on_the_same_rows() -> None:
    truth, shifted = world(1500, shift=0.6)
    _, right = world(1500)

    assert calibration_gains(truth, shifted, right)["bias"].p_worse() < 0.01
    assert "slope" not in calibration_gains(truth, shifted * 0 + 0.5, right)


def test_a_slope_below_zero_is_farther_from_1_than_any_above() -> None:
    truth, right = world(1500)
    turned = right[:, ::-1]

    assert calibration_gains(truth, turned, right)["slope"].gain < -2
