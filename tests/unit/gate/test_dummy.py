"""Dummy model: the best constant for the metric in use, whatever the metric is."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.arrays import FloatArray
from titlebout.gate.dummy import ROWS_OF_SCORER, dummy_predictions
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.inference import INDEPENDENT
from titlebout.metrics.scorers import find_metric

SKEWED = np.random.default_rng(0).exponential(10, 1000)
LABELS = np.random.default_rng(1).choice(4, 1000, p=[0.1, 0.5, 0.3, 0.1])


def constant(metric: str, y: FloatArray = SKEWED) -> float:
    truth = GroundTruth("regression", y)
    given_ = dummy_predictions(find_metric(metric, "regression"), truth, GroundTruth("regression", y[:7]))
    assert given_.shape == (7,)
    assert np.ptp(given_) == 0
    return float(given_[0])


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("mae", np.median(SKEWED)),
        ("rmse", SKEWED.mean()),
        ("mse", SKEWED.mean()),
        ("r2", SKEWED.mean()),
        ("neg_mean_squared_error", SKEWED.mean()),
        ("neg_mean_poisson_deviance", SKEWED.mean()),
        ("pinball", np.median(SKEWED)),
        ("pinball@0.9", np.quantile(SKEWED, 0.9)),
        ("pinball@0.13", np.quantile(SKEWED, 0.13)),
    ],
)
def test_values_have_the_constant_of_their_metric(metric: str, best: float) -> None:
    assert constant(metric) == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize(
    ("metric", "best"), [("r2", np.mean), ("neg_mean_squared_error", np.mean), ("neg_mean_absolute_error", np.median)]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sample_for_scorers_decides_between_constants_but_not_their_value(
    metric: str, best: Callable[[FloatArray], float], seed: int
) -> None:
    y = np.random.default_rng(seed).exponential(size=2 * ROWS_OF_SCORER)

    assert constant(metric, y) == best(y)


@given(level=st.floats(0.02, 0.98), scale=st.floats(0.1, 1000))
def test_no_other_constant_is_much_better(level: float, scale: float) -> None:
    y = scale * SKEWED[:300]
    loss = find_metric(f"pinball@{level}", "regression").estimate
    found = np.full(300, constant(f"pinball@{level}", y))
    others = [loss(GroundTruth("regression", y), np.full(300, one), INDEPENDENT).value for one in y[:100]]

    assert loss(GroundTruth("regression", y), found, INDEPENDENT).value <= 1.01 * min(others)


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("log_loss", [0.1, 0.5, 0.3, 0.1]),
        ("brier", [0.1, 0.5, 0.3, 0.1]),
        ("roc_auc", [0.1, 0.5, 0.3, 0.1]),
        ("accuracy", [0, 1, 0, 0]),
    ],
)
def test_classes_have_shares_or_the_largest_class(metric: str, best: list[float]) -> None:
    truth = GroundTruth("classification", LABELS, tuple("abcd"))
    given_ = dummy_predictions(find_metric(metric, "classification"), truth, truth)

    assert given_.shape == (1000, 4)
    assert given_.sum(axis=1) == pytest.approx(1)
    assert given_[0].argmax() == 1
    assert metric == "accuracy" or given_[0] == pytest.approx(best, abs=0.05)


def test_always_saying_yes_is_best_for_f1() -> None:
    rare = GroundTruth("classification", (np.arange(500) % 20 == 0).astype(np.int64), ("no", "yes"))
    given_ = dummy_predictions(find_metric("f1", "classification"), rare, rare)

    assert given_[0].tolist() == [0, 1]


def test_classes_of_the_training_rows_alone_are_shared_out() -> None:
    trained = GroundTruth("classification", LABELS, tuple("abcd"))
    given_ = dummy_predictions(
        find_metric("log_loss", "classification"), trained, GroundTruth("classification", LABELS[:5] % 3, tuple("abc"))
    )

    assert given_.shape == (5, 3)
    assert given_.sum(axis=1) == pytest.approx(1)
