"""Losses and scores compared with scikit-learn, and validation of predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import DataError
from titlebout.metrics.catalogue import (
    Better,
    Metric,
    align_classes,
    built_in_metric,
    encode_ground_truth,
    row_losses,
    scores,
    validate_predictions,
)
from titlebout.metrics.estimates import Estimate, GroundTruth
from titlebout.metrics.inference import INDEPENDENT

LABELS = ("early", "late", "on time")


def probabilities(rows: int, classes: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows)


def labels(rows: int, classes: tuple[object, ...], seed: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    return np.random.default_rng(seed + 1).choice(np.array(classes, dtype=object), rows)


@given(rows=st.integers(1, 50), seed=st.integers(0, 99))
def test_the_mean_log_loss_equals_that_of_scikit_learn(rows: int, seed: int) -> None:
    y, predicted = labels(rows, LABELS, seed), probabilities(rows, 3, seed)
    losses = row_losses("classification", y, predicted, LABELS)

    assert losses.shape == (rows,)
    assert losses.mean() == pytest.approx(reference.log_loss(y, predicted, labels=list(LABELS)))


def test_a_class_with_predicted_probability_zero_has_a_finite_loss() -> None:
    losses = row_losses("classification", np.array([0, 1], object), np.array([[1.0, 0.0], [1.0, 0.0]]), (0, 1))

    assert losses.tolist() == pytest.approx([0, -np.log(np.finfo(float).eps)])


def test_the_default_regression_loss_is_the_absolute_error() -> None:
    assert row_losses("regression", np.array([1, 2.5], object), np.array([3.0, 2.0]), ()).tolist() == [2.0, 0.5]


@given(rows=st.integers(4, 50), seed=st.integers(0, 99))
def test_binary_scores_equal_those_of_scikit_learn(rows: int, seed: int) -> None:
    y = labels(rows, (0, 1), seed)
    y[:2] = [0, 1]
    predicted = probabilities(rows, 2, seed)
    result = scores("classification", y, predicted, (0, 1))
    truth = y.astype(int)

    assert result == {
        "log_loss": pytest.approx(reference.log_loss(truth, predicted[:, 1])),
        "accuracy": pytest.approx(reference.accuracy_score(truth, predicted.argmax(axis=1))),
        "roc_auc": pytest.approx(reference.roc_auc_score(truth, predicted[:, 1])),
    }


def test_roc_auc_is_left_out_with_a_single_class() -> None:
    predicted = probabilities(3, 2)

    assert set(scores("classification", np.array([1, 1, 1], object), predicted, (0, 1))) == {"log_loss", "accuracy"}


def test_regression_scores_include_rmse_and_bias() -> None:
    result = scores("regression", np.array([1.0, 2.0], object), np.array([2.0, 5.0]), ())

    assert result == {"mae": 2.0, "rmse": pytest.approx(5**0.5), "bias": 2.0}


def test_equal_labels_of_another_type_are_the_same_class() -> None:
    """A label column can have 1 in a CSV file and 1.0 in a parquet file."""
    predicted = probabilities(2, 2)
    whole = row_losses("classification", np.array([0, 1], object), predicted, (0, 1))

    assert row_losses("classification", np.array([0.0, 1.0], object), predicted, (0, 1)).tolist() == whole.tolist()


def test_an_unknown_class_costs_as_much_as_probability_zero() -> None:
    y = np.array(["late", "diverted"], object)
    losses = row_losses("classification", y, np.array([[0.0, 1.0, 0.0]] * 2), LABELS)

    assert losses.tolist() == pytest.approx([0, -np.log(np.finfo(float).eps)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_prediction_that_is_not_finite_is_refused(task: str, bad: float) -> None:
    predicted = np.array([[0.5, 0.5], [bad, 0.5]]) if task == "classification" else np.array([1.0, bad])

    with pytest.raises(DataError, match="not finite"):
        row_losses(task, np.array([0, 1], object), predicted, (0, 1) if task == "classification" else ())


@pytest.mark.parametrize("row", [[-0.1, 0.6, 0.5], [0.5, 0.4, 0.0], [2.0, -1.0, 0.0], [0.9, 0.9, 0.9]])
def test_invalid_probabilities_are_refused(row: list[float]) -> None:
    with pytest.raises(DataError, match="do not sum to 1"):
        row_losses("classification", np.array(["late"], object), np.array([row]), LABELS)


def test_ground_truth_is_encoded_by_position_with_unknown_labels_last() -> None:
    truth = encode_ground_truth(
        "classification", np.array(["z", "late", "b"], object), ("late", "early"), ("on time", "late")
    )

    assert truth.classes == ("late", "early", "on time", "b", "z")
    assert truth.y.tolist() == [4, 0, 3]
    assert encode_ground_truth("regression", np.array([1, 2.5], object)).y.tolist() == [1, 2.5]


def test_probabilities_are_aligned_by_label_and_unknown_classes_get_zero() -> None:
    truth = encode_ground_truth("classification", np.array(["c"], object), ("a", "b"))

    assert align_classes(np.array([[0.2, 0.8]]), ("b", "a"), truth).tolist() == [[0.8, 0.2, 0.0]]
    assert align_classes(np.array([[0.2, 0.8, 0.0]]), ("a", "b", "c"), truth).tolist() == [[0.2, 0.8, 0.0]]


@pytest.mark.parametrize(
    ("predicted", "classes", "problem"),
    [
        (np.zeros((0, 2)), ("a", "b"), None),
        (np.zeros(0), (), None),
        (np.array([1.5]), (), None),
        (np.array([[0.25, 0.75]]), ("a", "b"), None),
        (np.array([[0.25, 0.75]]), (), "the shape (1, 2) for 1 rows"),
        (np.array([[0.25, 0.75]]), ("a", "b", "c"), "the shape (1, 2) for 1 rows and 3 classes"),
        (np.array([[0.5, 0.5], [np.nan, np.nan]]), ("a", "b"), "1 of 2 predictions are not finite"),
        (np.array([np.inf, 1.0, -np.inf]), (), "2 of 3 predictions are not finite"),
        (np.array([[0.5, 0.5 + 1e-7]]), ("a", "b"), None),
        (np.array([[0.5, 0.5 + 1e-4]]), ("a", "b"), "do not sum to 1"),
        (np.array([[-1e-16, 1 + 1e-15]]), ("a", "b"), None),  # rounding errors of an average
        (np.array([[-1e-3, 1 + 1e-3]]), ("a", "b"), "outside [0, 1]"),
    ],
)
def test_invalid_predictions_are_described(
    predicted: FloatArray, classes: tuple[object, ...], problem: str | None
) -> None:
    result = validate_predictions(predicted, len(predicted), classes)

    assert result is None if problem is None else problem in str(result)


@pytest.mark.parametrize(("better", "gain"), [("smaller", 0.5), ("larger", -0.5)])
def test_a_gain_is_positive_if_the_first_estimate_is_better(better: Better, gain: float) -> None:
    metric = Metric("x", better, lambda *_: Estimate(0), 0.01, False)
    noise = np.array([0.1, -0.1, 0.3, -0.3])
    influence = metric.gain(Estimate(1.0, noise), Estimate(1.5, -noise))
    replicates = metric.gain(Estimate(1.0, replicates=1 + noise), Estimate(1.5, replicates=1.5 - noise))
    assert influence is not None
    assert replicates is not None

    assert influence.gain == replicates.gain == gain
    assert influence.se == pytest.approx(2 * np.std(noise, ddof=1) / 2)
    assert replicates.se == pytest.approx(np.sqrt(0.75 * np.sum((2 * noise) ** 2)))


@pytest.mark.parametrize(
    "second",
    [Estimate(float("nan")), Estimate(1.0), Estimate(1.0, replicates=np.ones(3)), Estimate(float("inf"), np.ones(3))],
    ids=["undefined", "no error", "another kind of error", "infinite"],
)
def test_a_gain_over_an_undefined_estimate_is_undefined(second: Estimate) -> None:
    assert Metric("x", "smaller", lambda *_: second, 0.01, False).gain(Estimate(1.0, np.ones(3)), second) is None


@pytest.mark.parametrize(
    ("better", "value", "relative", "expected"),
    [
        ("smaller", 0.5, True, 0.51),
        ("larger", 0.5, True, 0.49),
        ("larger", -0.5, True, -0.51),
        ("smaller", 0.5, False, 0.52),
        ("larger", 0.5, False, 0.48),
        ("smaller", 0.0, True, 0.0),
    ],
)
def test_an_estimate_is_worsened_in_the_direction_of_the_metric(
    better: Better, value: float, relative: bool, expected: float
) -> None:
    metric = Metric("m", better, lambda *_: Estimate(0), 0.02, relative=relative)
    worse = metric.worsened(Estimate(value), 0.02, relative)

    assert worse.value == pytest.approx(expected)
    gain = metric.gain(Estimate(value, np.zeros(3)), Estimate(worse.value, np.zeros(3)))
    assert gain is not None
    assert gain.gain == pytest.approx(abs(expected - value))


def test_a_relative_margin_is_as_uncertain_as_the_value() -> None:
    metric = Metric("m", "smaller", lambda *_: Estimate(0), 0.02, relative=True)
    estimate = Estimate(0.5, np.array([0.1, -0.1]), np.array([0.4, 0.6]))
    share, fixed = metric.worsened(estimate, 0.1, True), metric.worsened(estimate, 0.1, False)

    assert share.influence == pytest.approx(np.array([0.11, -0.11]))
    assert share.replicates == pytest.approx(np.array([0.44, 0.66]))
    assert fixed.influence is estimate.influence


def test_few_rows_that_decide_a_metric_widen_its_bounds() -> None:
    """Two models that say the same of the five positives have no sample standard deviation, and are not known to be equal."""
    y = np.zeros(200, dtype=np.int64)
    y[::40] = 1
    truth = GroundTruth("classification", y, (0, 1))
    one, other = (np.column_stack([1 - p, p]) for p in (np.full(200, 0.1), np.full(200, 0.2)))
    for name, width in (("f1", 0.3), ("accuracy", 0.005), ("roc_auc", 0.02), ("average_precision", 0.05)):
        metric = built_in_metric(name, "classification")
        assert metric is not None
        gain = metric.gain(*(metric.estimate(truth, given_, INDEPENDENT) for given_ in (one, other)))
        assert gain is not None
        assert gain.half_width(0.05) > width, name


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_the_rarer_class_gives_the_degrees_of_freedom(name: str) -> None:
    random, y = np.random.default_rng(0), (np.arange(400) % 20 == 0).astype(np.int64)
    truth = GroundTruth("classification", y, (0, 1))
    metric = built_in_metric(name, "classification")
    assert metric is not None
    scores_ = [y + random.normal(0, 1, 400) for _ in range(2)]
    given_ = [np.column_stack([1 / (1 + np.exp(one)), 1 / (1 + np.exp(-one))]) for one in scores_]
    gain = metric.gain(*(metric.estimate(truth, one, INDEPENDENT) for one in given_))

    assert gain is not None
    assert gain.df == 19
