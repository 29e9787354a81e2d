"""Metrics compared with scikit-learn, and influences compared with derivatives, the jackknife and DeLong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from examples import share
from titlebout.core.arrays import FloatArray
from titlebout.metrics import estimates
from titlebout.metrics.catalogue import built_in_metric
from titlebout.metrics.estimates import Estimate, GroundTruth
from titlebout.metrics.inference import Dependence, from_influence

ROWS = 40
BINARY, MANY, VALUES = "binary", "multiclass", "regression"
seeds = st.integers(0, 999)


def case(kind: str, rows: int = ROWS, seed: int = 0, ties: bool = False) -> tuple[GroundTruth, FloatArray]:
    """Return ground truth and predictions that are better than chance; with ties, only five distinct values."""
    random = np.random.default_rng(seed)
    if kind == VALUES:
        y = random.normal(3, 2, rows)
        predicted = y + random.normal(0, 1, rows)
        return GroundTruth("regression", y), np.round(predicted) if ties else predicted
    classes = ("no", "yes") if kind == BINARY else ("a", "b", "c")
    y = np.concatenate([np.repeat(np.arange(len(classes)), 2), random.integers(0, len(classes), rows)])[:rows]
    predicted = random.dirichlet(np.ones(len(classes)), rows) + 0.3 * np.eye(len(classes))[y]
    if ties:
        predicted = np.round(predicted * 4) + 1
    return GroundTruth("classification", y, classes), predicted / predicted.sum(axis=1, keepdims=True)


def one_against_others(score: Callable[..., float]) -> Callable[..., float]:
    """Return the one-versus-rest mean of a binary score."""

    def mean(y: Any, p: FloatArray, **options: Any) -> float:
        labels = [1] if p.shape[1] == 2 else range(p.shape[1])
        return float(np.mean([score(y == label, p[:, label], **options) for label in labels]))

    return mean


def f1(y: Any, p: FloatArray, **options: Any) -> float:
    return float(reference.f1_score(y, p.argmax(axis=1), average="binary" if p.shape[1] == 2 else "macro", **options))


def brier(y: Any, p: FloatArray, **options: Any) -> float:
    return float(reference.brier_score_loss(y, p[:, 1] if p.shape[1] == 2 else p, labels=range(p.shape[1]), **options))


REFERENCE: dict[str, Callable[..., float]] = {
    "log_loss": lambda y, p, **options: reference.log_loss(y, p, labels=range(p.shape[1]), **options),
    "brier": brier,
    "accuracy": lambda y, p, **options: reference.accuracy_score(y, p.argmax(axis=1), **options),
    "f1": f1,
    "roc_auc": one_against_others(reference.roc_auc_score),
    "average_precision": one_against_others(reference.average_precision_score),
    "mae": reference.mean_absolute_error,
    "mse": reference.mean_squared_error,
    "rmse": reference.root_mean_squared_error,
    "pinball": lambda y, p, **options: reference.mean_pinball_loss(y, p, alpha=0.5, **options),
    "pinball@0.9": lambda y, p, **options: reference.mean_pinball_loss(y, p, alpha=0.9, **options),
}
CASES = [
    (name, kind)
    for name in REFERENCE
    for kind in ((VALUES,) if name.partition("@")[0] in {"mae", "mse", "rmse", "pinball"} else (BINARY, MANY))
]


def estimate(name: str, truth: GroundTruth, predicted: FloatArray) -> Estimate:
    metric = built_in_metric(name, truth.task)
    assert metric is not None
    return metric.estimate(truth, predicted, Dependence())


@pytest.mark.parametrize(("name", "kind"), CASES)
@share(0.25)
@given(rows=st.integers(8, 80), seed=seeds, ties=st.booleans())
def test_the_value_equals_that_of_scikit_learn(name: str, kind: str, rows: int, seed: int, ties: bool) -> None:
    truth, predicted = case(kind, rows, seed, ties)

    assert estimate(name, truth, predicted).value == pytest.approx(REFERENCE[name](truth.y, predicted))


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_influence_of_a_row_is_the_derivative_by_its_weight(name: str, kind: str, ties: bool) -> None:
    truth, predicted = case(kind, seed=1, ties=ties)
    result = estimate(name, truth, predicted).influence
    assert result is not None

    def at(row: int, weight: float) -> float:
        weights = np.ones(ROWS)
        weights[row] = weight
        return float(REFERENCE[name](truth.y, predicted, sample_weight=weights))

    derivative = np.array([at(row, 1 + 1e-5) - at(row, 1 - 1e-5) for row in range(ROWS)]) / 2e-5 * ROWS
    if name == "roc_auc":  # scaled per side, so that the variance equals DeLong's
        assert np.corrcoef(result, derivative)[0, 1] > 0.99
    else:
        assert result == pytest.approx(derivative, abs=1e-5 * np.abs(derivative).max())
    assert result.sum() == pytest.approx(0, abs=1e-9 * ROWS * np.abs(result).max())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_standard_error_equals_the_jackknife(name: str, kind: str) -> None:
    rows = 150
    truth, predicted = case(kind, rows, seed=2)
    result = estimate(name, truth, predicted)
    without = np.array(
        [
            estimate(name, truth.take(np.arange(rows) != row), predicted[np.arange(rows) != row]).value
            for row in range(rows)
        ]
    )
    jackknife = np.sqrt((rows - 1) / rows * np.sum((without - without.mean()) ** 2))

    assert result.influence is not None
    assert from_influence(result.value, result.influence).se == pytest.approx(jackknife, rel=0.05)


def delong(y: Any, *scores: FloatArray) -> FloatArray:
    """Return the covariance of areas under the curve from all pairs of positive and negative rows (DeLong 1988, eq. 5)."""
    structural = []
    for score in scores:
        positive, negative = score[y == 1][:, None], score[y == 0][None, :]
        pairs = (positive > negative) + 0.5 * (positive == negative)
        structural.append((pairs.mean(axis=1), pairs.mean(axis=0)))
    of_positives = np.cov(np.array([components[0] for components in structural]), ddof=1)
    of_negatives = np.cov(np.array([components[1] for components in structural]), ddof=1)
    return np.atleast_2d(of_positives / (y == 1).sum() + of_negatives / (y == 0).sum())


@given(rows=st.integers(8, 80), seed=seeds, ties=st.booleans())
def test_the_standard_error_of_roc_auc_equals_delongs(rows: int, seed: int, ties: bool) -> None:
    truth, first_scores = case(BINARY, rows, seed, ties)
    _, second_scores = case(BINARY, rows, seed + 1, ties)
    covariance = delong(truth.y, first_scores[:, 1], second_scores[:, 1])
    first, second = (estimates.roc_auc(truth, predicted).influence for predicted in (first_scores, second_scores))
    assert first is not None
    assert second is not None
    exact = (rows - 1) / rows  # titlebout treats the rows as one sample, DeLong as two

    assert from_influence(0, first).se ** 2 * exact == pytest.approx(covariance[0, 0], abs=1e-12)
    assert from_influence(0, first - second).se ** 2 * exact == pytest.approx(
        covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], abs=1e-12
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
@share(0.25)
@given(seed=seeds, ties=st.booleans())
def test_the_order_of_rows_does_not_matter(name: str, kind: str, seed: int, ties: bool) -> None:
    truth, predicted = case(kind, seed=seed, ties=ties)
    order = np.random.default_rng(seed).permutation(ROWS)
    result, shuffled = estimate(name, truth, predicted), estimate(name, truth.take(order), predicted[order])
    assert result.influence is not None

    assert shuffled.value == pytest.approx(result.value)
    assert shuffled.influence == pytest.approx(result.influence[order])


@pytest.mark.parametrize("name", [name for name, kind in CASES if kind == MANY])
@given(seed=seeds, order=st.permutations(range(3)))
def test_the_order_of_three_classes_does_not_matter(name: str, seed: int, order: list[int]) -> None:
    truth, predicted = case(MANY, seed=seed)
    renamed = GroundTruth(truth.task, np.argsort(order)[truth.y], tuple(truth.classes[label] for label in order))
    result, reordered = estimate(name, truth, predicted), estimate(name, renamed, predicted[:, order])

    assert reordered.value == pytest.approx(result.value)
    assert reordered.influence == pytest.approx(result.influence)


@pytest.mark.parametrize(("name", "power"), [("mae", 1), ("rmse", 1), ("mse", 2), ("pinball@0.9", 1)])
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_a_loss_has_the_scale_of_the_target(name: str, power: int, seed: int, scale: float) -> None:
    truth, predicted = case(VALUES, seed=seed)
    result = estimate(name, truth, predicted)
    scaled = estimate(name, GroundTruth(truth.task, truth.y * scale), predicted * scale)
    assert result.influence is not None

    assert scaled.value == pytest.approx(result.value * scale**power)
    assert scaled.influence == pytest.approx(result.influence * scale**power)


@pytest.mark.parametrize("metric", [estimates.roc_auc, estimates.average_precision])
def test_a_rank_metric_depends_on_ranks_only(metric: Callable[[GroundTruth, FloatArray], Estimate]) -> None:
    truth, predicted = case(BINARY, seed=4)
    cubed = np.column_stack([1 - predicted[:, 1] ** 3, predicted[:, 1] ** 3])

    assert metric(truth, cubed).value == metric(truth, predicted).value


@pytest.mark.parametrize("y", [0, 1])
def test_roc_auc_of_a_single_class_is_undefined(y: int) -> None:
    truth, predicted = case(BINARY)
    result = estimates.roc_auc(GroundTruth("classification", np.full(ROWS, y), truth.classes), predicted)

    assert np.isnan(result.value)
    assert result.influence is None


def test_roc_auc_of_one_positive_row_has_no_standard_error() -> None:
    _, predicted = case(BINARY)
    result = estimates.roc_auc(GroundTruth("classification", np.arange(ROWS) == 3, ("no", "yes")), predicted)

    assert np.isfinite(result.value)
    assert result.influence is None


def test_a_class_with_one_row_keeps_the_standard_error_of_others() -> None:
    """A single row of an unknown class must not remove the standard error, which the gate needs."""
    truth, predicted = case(BINARY, seed=5)
    y = truth.y.copy()
    y[0] = 2
    result = estimates.roc_auc(
        GroundTruth("classification", y, ("no", "yes", "maybe")), np.column_stack([predicted, np.zeros(ROWS)])
    )
    expected = np.mean([reference.roc_auc_score(y == label, predicted[:, label]) for label in (0, 1)])

    assert result.value == pytest.approx(expected)
    assert result.influence is not None


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    truth, predicted = case(MANY, seed=6)
    y = np.where(truth.y == 2, 0, truth.y)
    result = estimates.roc_auc(GroundTruth("classification", y, truth.classes), predicted)

    assert result.value == pytest.approx(
        np.mean([reference.roc_auc_score(y == label, predicted[:, label]) for label in (0, 1)])
    )


def test_average_precision_and_f1_without_positives_are_undefined() -> None:
    truth = GroundTruth("classification", np.zeros(4, dtype=np.int64), ("no", "yes"))
    predicted = np.tile([0.9, 0.1], (4, 1))

    assert np.isnan(estimates.average_precision(truth, predicted).value)
    assert np.isnan(estimates.f1(truth, predicted).value)
    assert estimates.f1(truth, predicted[:, ::-1]).value == 0


def test_a_perfect_prediction_has_zero_rmse_and_zero_influence() -> None:
    truth, _ = case(VALUES)
    result = estimates.rmse(truth, truth.y.copy())

    assert result.value == 0
    assert result.influence is not None
    assert not result.influence.any()


def test_only_a_mean_gives_back_the_row_losses() -> None:
    truth, predicted = case(BINARY)
    result = estimate("log_loss", truth, predicted)
    assert result.influence is not None

    assert result.is_mean
    assert result.value + result.influence == pytest.approx(estimates.log_losses(truth, predicted))
    assert not estimate("roc_auc", truth, predicted).is_mean
    assert not estimate("rmse", *case(VALUES)).is_mean


def test_ground_truth_gives_labels_and_subsets() -> None:
    truth = GroundTruth("classification", np.array([1, 0, 1]), ("no", "yes"))

    assert truth.labels.tolist() == ["yes", "no", "yes"]
    assert truth.take(np.array([True, True, False])).labels.tolist() == ["yes", "no"]
    assert GroundTruth("regression", np.array([1.5])).labels.tolist() == [1.5]
