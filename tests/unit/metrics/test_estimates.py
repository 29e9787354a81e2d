"""Every metric against scikit-learn, and what each row contributes against derivatives, the jackknife and DeLong."""

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
from titlebout.metrics.catalogue import built_in
from titlebout.metrics.estimates import Estimate, Truth
from titlebout.metrics.inference import from_influence

ROWS = 40
BINARY, MANY, VALUES = "binary", "multiclass", "regression"
seeds = st.integers(0, 999)


def case(kind: str, rows: int = ROWS, seed: int = 0, ties: bool = False) -> tuple[Truth, FloatArray]:
    """What happened and a model's answers, better than chance; with ties, in five different values."""
    random = np.random.default_rng(seed)
    if kind == VALUES:
        y = random.normal(3, 2, rows)
        predicted = y + random.normal(0, 1, rows)
        return Truth("regression", y), np.round(predicted) if ties else predicted
    classes = ("no", "yes") if kind == BINARY else ("a", "b", "c")
    y = np.concatenate([np.repeat(np.arange(len(classes)), 2), random.integers(0, len(classes), rows)])[:rows]
    predicted = random.dirichlet(np.ones(len(classes)), rows) + 0.3 * np.eye(len(classes))[y]
    if ties:
        predicted = np.round(predicted * 4) + 1
    return Truth("classification", y, classes), predicted / predicted.sum(axis=1, keepdims=True)


def one_against_others(score: Callable[..., float]) -> Callable[..., float]:
    """A score of two classes, for several: the mean over each against the others."""

    def mean(y: Any, p: FloatArray, **more: Any) -> float:
        which = [1] if p.shape[1] == 2 else range(p.shape[1])
        return float(np.mean([score(y == one, p[:, one], **more) for one in which]))

    return mean


def f1(y: Any, p: FloatArray, **more: Any) -> float:
    return float(reference.f1_score(y, p.argmax(axis=1), average="binary" if p.shape[1] == 2 else "macro", **more))


def brier(y: Any, p: FloatArray, **more: Any) -> float:
    return float(reference.brier_score_loss(y, p[:, 1] if p.shape[1] == 2 else p, labels=range(p.shape[1]), **more))


REFERENCE: dict[str, Callable[..., float]] = {
    "log_loss": lambda y, p, **more: reference.log_loss(y, p, labels=range(p.shape[1]), **more),
    "brier": brier,
    "accuracy": lambda y, p, **more: reference.accuracy_score(y, p.argmax(axis=1), **more),
    "f1": f1,
    "roc_auc": one_against_others(reference.roc_auc_score),
    "average_precision": one_against_others(reference.average_precision_score),
    "mae": reference.mean_absolute_error,
    "mse": reference.mean_squared_error,
    "rmse": reference.root_mean_squared_error,
    "pinball": lambda y, p, **more: reference.mean_pinball_loss(y, p, alpha=0.5, **more),
    "pinball@0.9": lambda y, p, **more: reference.mean_pinball_loss(y, p, alpha=0.9, **more),
}
CASES = [
    (name, kind)
    for name in REFERENCE
    for kind in ((VALUES,) if name.partition("@")[0] in {"mae", "mse", "rmse", "pinball"} else (BINARY, MANY))
]


def estimate(name: str, truth: Truth, predicted: FloatArray) -> Estimate:
    metric = built_in(name, truth.task)
    assert metric is not None
    return metric.estimate(truth, predicted, None)


@pytest.mark.parametrize(("name", "kind"), CASES)
@share(0.25)
@given(rows=st.integers(8, 80), seed=seeds, ties=st.booleans())
def test_the_value_is_scikit_learns(name: str, kind: str, rows: int, seed: int, ties: bool) -> None:
    truth, predicted = case(kind, rows, seed, ties)

    assert estimate(name, truth, predicted).value == pytest.approx(REFERENCE[name](truth.y, predicted))


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_influence_of_a_row_is_the_derivative_by_its_weight(name: str, kind: str, ties: bool) -> None:
    truth, predicted = case(kind, seed=1, ties=ties)
    found = estimate(name, truth, predicted).influence
    assert found is not None

    def at(row: int, weight: float) -> float:
        weights = np.ones(ROWS)
        weights[row] = weight
        return float(REFERENCE[name](truth.y, predicted, sample_weight=weights))

    derivative = np.array([at(row, 1 + 1e-5) - at(row, 1 - 1e-5) for row in range(ROWS)]) / 2e-5 * ROWS
    if name == "roc_auc":  # each side's part is widened, so that DeLong's variance comes out
        assert np.corrcoef(found, derivative)[0, 1] > 0.99
    else:
        assert found == pytest.approx(derivative, abs=1e-5 * np.abs(derivative).max())
    assert found.sum() == pytest.approx(0, abs=1e-9 * ROWS * np.abs(found).max())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_error_is_that_of_leaving_out_one_row_after_the_other(name: str, kind: str) -> None:
    rows = 150
    truth, predicted = case(kind, rows, seed=2)
    found = estimate(name, truth, predicted)
    without = np.array(
        [
            estimate(name, truth.take(np.arange(rows) != row), predicted[np.arange(rows) != row]).value
            for row in range(rows)
        ]
    )
    jackknife = np.sqrt((rows - 1) / rows * np.sum((without - without.mean()) ** 2))

    assert found.influence is not None
    assert from_influence(found.value, found.influence).se == pytest.approx(jackknife, rel=0.05)


def delong(y: Any, *scores: FloatArray) -> FloatArray:
    """Covariance of areas under the curve, from all pairs of a positive and a negative row (DeLong 1988, eq. 5)."""
    structural = []
    for score in scores:
        positive, negative = score[y == 1][:, None], score[y == 0][None, :]
        pairs = (positive > negative) + 0.5 * (positive == negative)
        structural.append((pairs.mean(axis=1), pairs.mean(axis=0)))
    of_positives = np.cov(np.array([one[0] for one in structural]), ddof=1)
    of_negatives = np.cov(np.array([one[1] for one in structural]), ddof=1)
    return np.atleast_2d(of_positives / (y == 1).sum() + of_negatives / (y == 0).sum())


@given(rows=st.integers(8, 80), seed=seeds, ties=st.booleans())
def test_the_error_of_areas_and_of_their_difference_is_delongs(rows: int, seed: int, ties: bool) -> None:
    truth, one = case(BINARY, rows, seed, ties)
    _, other = case(BINARY, rows, seed + 1, ties)
    covariance = delong(truth.y, one[:, 1], other[:, 1])
    first, second = (estimates.roc_auc(truth, predicted).influence for predicted in (one, other))
    assert first is not None
    assert second is not None
    exact = (rows - 1) / rows  # all rows are one sample here, and two there

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
    found, shuffled = estimate(name, truth, predicted), estimate(name, truth.take(order), predicted[order])
    assert found.influence is not None

    assert shuffled.value == pytest.approx(found.value)
    assert shuffled.influence == pytest.approx(found.influence[order])


@pytest.mark.parametrize("name", [name for name, kind in CASES if kind == MANY])
@given(seed=seeds, order=st.permutations(range(3)))
def test_the_order_of_three_classes_does_not_matter(name: str, seed: int, order: list[int]) -> None:
    truth, predicted = case(MANY, seed=seed)
    renamed = Truth(truth.task, np.argsort(order)[truth.y], tuple(truth.classes[one] for one in order))
    found, other = estimate(name, truth, predicted), estimate(name, renamed, predicted[:, order])

    assert other.value == pytest.approx(found.value)
    assert other.influence == pytest.approx(found.influence)


@pytest.mark.parametrize(("name", "power"), [("mae", 1), ("rmse", 1), ("mse", 2), ("pinball@0.9", 1)])
@given(seed=seeds, scale=st.floats(0.01, 100))
def test_a_loss_has_the_scale_of_the_target(name: str, power: int, seed: int, scale: float) -> None:
    truth, predicted = case(VALUES, seed=seed)
    found = estimate(name, truth, predicted)
    scaled = estimate(name, Truth(truth.task, truth.y * scale), predicted * scale)
    assert found.influence is not None

    assert scaled.value == pytest.approx(found.value * scale**power)
    assert scaled.influence == pytest.approx(found.influence * scale**power)


@pytest.mark.parametrize("metric", [estimates.roc_auc, estimates.average_precision])
def test_a_rank_metric_sees_ranks_only(metric: Callable[[Truth, FloatArray], Estimate]) -> None:
    truth, predicted = case(BINARY, seed=4)
    cubed = np.column_stack([1 - predicted[:, 1] ** 3, predicted[:, 1] ** 3])

    assert metric(truth, cubed).value == metric(truth, predicted).value


@pytest.mark.parametrize("y", [0, 1])
def test_an_area_under_the_curve_of_one_class_is_not_defined(y: int) -> None:
    truth, predicted = case(BINARY)
    found = estimates.roc_auc(Truth("classification", np.full(ROWS, y), truth.classes), predicted)

    assert np.isnan(found.value)
    assert found.influence is None


def test_one_positive_row_has_a_value_and_no_error() -> None:
    _, predicted = case(BINARY)
    found = estimates.roc_auc(Truth("classification", np.arange(ROWS) == 3, ("no", "yes")), predicted)

    assert np.isfinite(found.value)
    assert found.influence is None


def test_a_class_with_one_row_does_not_take_the_error_from_the_others() -> None:
    """One label that nobody has seen before must not switch the guard of the area under the curve off."""
    truth, predicted = case(BINARY, seed=5)
    y = truth.y.copy()
    y[0] = 2
    found = estimates.roc_auc(
        Truth("classification", y, ("no", "yes", "maybe")), np.column_stack([predicted, np.zeros(ROWS)])
    )
    known = np.mean([reference.roc_auc_score(y == one, predicted[:, one]) for one in (0, 1)])

    assert found.value == pytest.approx(known)
    assert found.influence is not None


def test_a_class_that_does_not_occur_is_left_out_of_the_mean() -> None:
    truth, predicted = case(MANY, seed=6)
    y = np.where(truth.y == 2, 0, truth.y)
    found = estimates.roc_auc(Truth("classification", y, truth.classes), predicted)

    assert found.value == pytest.approx(
        np.mean([reference.roc_auc_score(y == one, predicted[:, one]) for one in (0, 1)])
    )


def test_average_precision_without_positives_and_f1_without_any_are_not_defined() -> None:
    truth = Truth("classification", np.zeros(4, dtype=np.int64), ("no", "yes"))
    predicted = np.tile([0.9, 0.1], (4, 1))

    assert np.isnan(estimates.average_precision(truth, predicted).value)
    assert np.isnan(estimates.f1(truth, predicted).value)
    assert estimates.f1(truth, predicted[:, ::-1]).value == 0


def test_an_exact_answer_has_an_rmse_of_zero() -> None:
    truth, _ = case(VALUES)
    found = estimates.rmse(truth, truth.y.copy())

    assert found.value == 0
    assert found.influence is not None
    assert not found.influence.any()


def test_losses_come_back_from_a_mean_and_only_from_a_mean() -> None:
    truth, predicted = case(BINARY)
    found = estimate("log_loss", truth, predicted)
    assert found.influence is not None

    assert found.is_mean
    assert found.value + found.influence == pytest.approx(estimates.log_losses(truth, predicted))
    assert not estimate("roc_auc", truth, predicted).is_mean
    assert not estimate("rmse", *case(VALUES)).is_mean


def test_a_truth_knows_its_labels_and_its_parts() -> None:
    truth = Truth("classification", np.array([1, 0, 1]), ("no", "yes"))

    assert truth.labels.tolist() == ["yes", "no", "yes"]
    assert truth.take(np.array([True, True, False])).labels.tolist() == ["yes", "no"]
    assert Truth("regression", np.array([1.5])).labels.tolist() == [1.5]
