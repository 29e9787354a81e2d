"""Metrics by name: scikit-learn scorers and custom functions, with standard errors from the block jackknife."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.metrics import get_scorer_names

from made_predictions import classification, grouped, pair, regression
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.metrics.catalogue import built_in_metric
from titlebout.metrics.inference import Dependence, from_replicates
from titlebout.metrics.scorers import BLOCKS, find_metric, jackknife

PREDICTIONS = classification(600, noise={"challenger": 0.5, "champion": 1.5})
TRUTH, PREDICTIONS = PREDICTIONS.truth, PREDICTIONS.predicted["challenger"]
DECIDED = PREDICTIONS.argmax(axis=1)
EXPECTED: dict[str, Callable[[], float]] = {
    "balanced_accuracy": lambda: reference.balanced_accuracy_score(TRUTH.y, DECIDED),
    "precision": lambda: reference.precision_score(TRUTH.y, DECIDED),
    "recall": lambda: reference.recall_score(TRUTH.y, DECIDED),
    "f1_macro": lambda: reference.f1_score(TRUTH.y, DECIDED, average="macro"),
    "matthews_corrcoef": lambda: reference.matthews_corrcoef(TRUTH.y, DECIDED),
    "neg_log_loss": lambda: -reference.log_loss(TRUTH.y, PREDICTIONS),
    "neg_brier_score": lambda: -reference.brier_score_loss(TRUTH.y, PREDICTIONS[:, 1]),
    "roc_auc_ovr": lambda: reference.roc_auc_score(TRUTH.y, PREDICTIONS[:, 1]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_binary_scorer_equals_scikit_learn(name: str) -> None:
    """The second class is the positive one, whatever its label."""
    assert find_metric(name, "classification").estimate(TRUTH, PREDICTIONS, Dependence()).value == pytest.approx(
        EXPECTED[name]()
    )


def test_unsorted_classes_keep_their_columns() -> None:
    random = np.random.default_rng(0)
    truth = type(TRUTH)("classification", random.integers(0, 3, 300), ("late", "on time", "diverted"))
    predicted = random.dirichlet(np.ones(3), 300)
    result = find_metric("neg_log_loss", "classification").estimate(truth, predicted, Dependence()).value

    assert result == pytest.approx(-reference.log_loss(truth.y, predicted))


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("r2", reference.r2_score),
        ("neg_median_absolute_error", lambda y, p: -reference.median_absolute_error(y, p)),
        ("neg_max_error", lambda y, p: -reference.max_error(y, p)),
    ],
)
def test_a_regression_scorer_equals_scikit_learn(name: str, score: Callable[[Any, Any], float]) -> None:
    sample = regression(300)
    result = find_metric(name, "regression").estimate(sample.truth, sample.predicted["challenger"], Dependence())

    assert result.value == pytest.approx(score(sample.truth.y, sample.predicted["challenger"]))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_scorer_of_scikit_learn_is_for_one_task_or_refused(task: str) -> None:
    other_task = {"classification": "regression", "regression": "classification"}[task]
    taken = [name for name in get_scorer_names() if not refused(name, task)]

    assert len(taken) >= 13
    assert not [name for name in taken if not refused(name, other_task)]


def refused(name: str, task: str) -> bool:
    try:
        find_metric(name, task)
    except ConfigError as error:
        assert f"is not a {task} metric" in error.what  # noqa: PT017
        return True
    return False


def test_losses_have_relative_margins_and_scores_absolute_ones() -> None:
    loss, rate = find_metric("neg_brier_score", "classification"), find_metric("recall", "classification")

    assert (loss.better, loss.relative, loss.margin) == ("larger", True, 0.02)
    assert (rate.better, rate.relative, rate.margin) == ("larger", False, 0.01)


def test_an_unknown_metric_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'balanced_acuracy'") as caught:
        find_metric("balanced_acuracy", "classification")
    assert caught.value.fix == "did you mean 'balanced_accuracy'?"

    with pytest.raises(ConfigError) as caught:
        find_metric("qqqqq", "classification")
    assert "module:function" in str(caught.value.fix)


@pytest.mark.parametrize(("name", "task"), [("mae", "classification"), ("roc_auc", "regression")])
def test_a_built_in_metric_for_the_other_task_is_refused(name: str, task: str) -> None:
    with pytest.raises(ConfigError, match=f"is not a {task} metric") as caught:
        find_metric(name, task)
    assert "use one of: " in str(caught.value.fix)


@pytest.mark.parametrize("name", ["pinball@0", "pinball@1.5", "pinball@half"])
def test_pinball_needs_a_level_between_0_and_1(name: str) -> None:
    with pytest.raises(ConfigError, match="is not between 0 and 1"):
        find_metric(name, "regression")


@pytest.mark.parametrize("clusters", [None, 120])
def test_the_block_jackknife_approximates_the_closed_form_error(clusters: int | None) -> None:
    rows, units = 1200, None
    sample = classification(rows, noise={"challenger": 0.5, "champion": 1.5})
    if clusters:
        units = np.repeat(np.arange(clusters), rows // clusters)
        sample = grouped(sample, units)
    closed, blocks = built_in_metric("accuracy", "classification"), find_metric("recall_micro", "classification")
    assert closed is not None
    exact, result = (
        metric.gain(
            *(
                metric.estimate(sample.truth, sample.predicted[model], Dependence(units=units))
                for model in ("challenger", "champion")
            ),
            Dependence(units=units),
        )
        for metric in (closed, blocks)
    )
    assert exact is not None
    assert result is not None

    assert result.gain == pytest.approx(exact.gain)
    assert result.se == pytest.approx(exact.se, rel=0.25)
    assert result.df == BLOCKS - 1


def test_rows_of_one_entity_are_left_out_together() -> None:
    units = np.array([0, 0, 1, 1, 2, 2])
    seen: list[list[int]] = []

    def value_of(at: Any) -> float:
        seen.append(at.tolist())
        return float(len(at))

    jackknife(value_of, 6, Dependence(units=units))

    assert seen == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]


def test_a_score_undefined_without_one_block_has_no_bound() -> None:
    y = np.zeros(100, dtype=np.int64)
    y[7] = 1
    predicted = PREDICTIONS[:100]
    result = find_metric("roc_auc_ovr", "classification").estimate(
        type(TRUTH)("classification", y, TRUTH.classes), predicted, Dependence()
    )

    assert np.isfinite(result.value)
    assert result.replicates is not None
    assert from_replicates(result.value, result.replicates).lower(0.05) == -np.inf


def test_a_score_of_a_single_class_is_undefined() -> None:
    truth = type(TRUTH)("classification", np.zeros(100, dtype=np.int64), TRUTH.classes)

    assert np.isnan(find_metric("roc_auc_ovr", "classification").estimate(truth, PREDICTIONS[:100], Dependence()).value)


CUSTOM_METRICS = """
import numpy as np

def per_row(y, predicted, classes):
    return (np.array([classes.index(one) for one in y]) != predicted.argmax(axis=1)) * 5.0

def in_all(y, predicted, classes):
    return per_row(y, predicted, classes).mean()

def too_many(y, predicted, classes):
    return np.zeros((len(y), 2))

def holes(y, predicted, classes):
    return np.full(len(y), np.nan)

def broken(y, predicted):
    return 1 / 0

def raising(y, predicted, classes):
    return 1 / 0

def nothing(y, predicted, classes):
    return float("nan")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    (tmp_path / "house_rules.py").write_text(CUSTOM_METRICS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "house_rules", raising=False)
    return lambda name: find_metric(f"house_rules:{name}", "classification")


def test_a_custom_metric_returns_row_losses_or_one_number(own: Callable[[str], Any]) -> None:
    wrong = 5 * (TRUTH.y != DECIDED)
    rows, total = (own(name).estimate(TRUTH, PREDICTIONS, Dependence()) for name in ("per_row", "in_all"))

    assert rows.is_mean
    assert rows.value + rows.influence == pytest.approx(wrong)
    assert total.value == pytest.approx(wrong.mean())
    assert len(total.replicates) == BLOCKS
    assert (own("in_all").better, own("in_all").relative) == ("smaller", True)


@pytest.mark.parametrize("name", ["too_many", "holes"])
def test_an_invalid_custom_metric_is_refused(name: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="one finite number per row"):
        own(name).estimate(TRUTH, PREDICTIONS, Dependence())


@pytest.mark.parametrize(("name", "why"), [("broken", "TypeError"), ("raising", "ZeroDivisionError")])
def test_an_exception_in_a_custom_metric_is_reported_as_its_own(name: str, why: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="raised an error when it was called with 600 rows") as caught:
        own(name).estimate(TRUTH, PREDICTIONS, Dependence())

    assert why in str(caught.value.why)


def test_an_undefined_custom_metric_is_undefined(own: Callable[[str], Any]) -> None:
    assert np.isnan(own("nothing").estimate(TRUTH, PREDICTIONS, Dependence()).value)


@pytest.mark.parametrize("name", ["house_rules:absent", "no_such_module:loss", ":loss", "house_rules:"])
def test_a_missing_custom_metric_is_reported_with_the_expected_form(name: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be imported") as caught:
        find_metric(name, "classification")

    assert "module:function" in str(caught.value.fix)


def constant(predicted: FloatArray) -> FloatArray:
    return np.full_like(predicted, 0.5)


def test_blocks_that_are_all_alike_say_nothing_of_the_error() -> None:
    metric = find_metric("balanced_accuracy", "classification")
    result = metric.gain(*(metric.estimate(TRUTH, constant(PREDICTIONS), Dependence()) for _ in range(2)))
    assert result is not None

    assert (result.gain, result.se, result.lower(0.05)) == (0, np.inf, -np.inf)


def test_five_positives_are_too_few_blocks_for_recall() -> None:
    rare = np.zeros(400, dtype=np.int64)
    rare[::80] = 1
    truth = type(TRUTH)("classification", rare, TRUTH.classes)
    found = pair(np.where(rare == 1, 0.9, 0.1))
    lost = found.copy()
    lost[[0, 80]] = [0.9, 0.1]
    metric = find_metric("recall", "classification")
    gain = metric.gain(*(metric.estimate(truth, one, Dependence()) for one in (found, lost)))

    assert gain is not None
    assert (gain.gain, gain.se) == (pytest.approx(0.4), np.inf)
