"""Metrics by name: scikit-learn's scorers and the team's own, whose error comes from leaving out blocks of rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.metrics import get_scorer_names

from made_bouts import classification, grouped, regression
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.metrics.catalogue import built_in
from titlebout.metrics.inference import from_replicates
from titlebout.metrics.scorers import BLOCKS, blocked, find_metric

BOUT = classification(600, noise={"challenger": 0.5, "champion": 1.5})
TRUTH, ANSWERS = BOUT.truth, BOUT.predicted["challenger"]
DECIDED = ANSWERS.argmax(axis=1)
EXPECTED: dict[str, Callable[[], float]] = {
    "balanced_accuracy": lambda: reference.balanced_accuracy_score(TRUTH.y, DECIDED),
    "precision": lambda: reference.precision_score(TRUTH.y, DECIDED),
    "recall": lambda: reference.recall_score(TRUTH.y, DECIDED),
    "f1_macro": lambda: reference.f1_score(TRUTH.y, DECIDED, average="macro"),
    "matthews_corrcoef": lambda: reference.matthews_corrcoef(TRUTH.y, DECIDED),
    "neg_log_loss": lambda: -reference.log_loss(TRUTH.y, ANSWERS),
    "neg_brier_score": lambda: -reference.brier_score_loss(TRUTH.y, ANSWERS[:, 1]),
    "roc_auc_ovr": lambda: reference.roc_auc_score(TRUTH.y, ANSWERS[:, 1]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scorer_of_two_named_classes_has_scikit_learns_value(name: str) -> None:
    """The second class is the positive one, whatever it is called."""
    assert find_metric(name, "classification").estimate(TRUTH, ANSWERS, None).value == pytest.approx(EXPECTED[name]())


def test_classes_that_are_not_sorted_keep_their_columns() -> None:
    random = np.random.default_rng(0)
    truth = type(TRUTH)("classification", random.integers(0, 3, 300), ("late", "on time", "diverted"))
    predicted = random.dirichlet(np.ones(3), 300)
    found = find_metric("neg_log_loss", "classification").estimate(truth, predicted, None).value

    assert found == pytest.approx(-reference.log_loss(truth.y, predicted))


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("r2", reference.r2_score),
        ("neg_median_absolute_error", lambda y, p: -reference.median_absolute_error(y, p)),
        ("neg_max_error", lambda y, p: -reference.max_error(y, p)),
    ],
)
def test_a_scorer_of_a_regression_has_scikit_learns_value(name: str, score: Callable[[Any, Any], float]) -> None:
    bout = regression(300)
    found = find_metric(name, "regression").estimate(bout.truth, bout.predicted["challenger"], None)

    assert found.value == pytest.approx(score(bout.truth.y, bout.predicted["challenger"]))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_scorer_of_scikit_learn_is_for_one_task_or_refused(task: str) -> None:
    other = {"classification": "regression", "regression": "classification"}[task]
    taken = [name for name in get_scorer_names() if not refused(name, task)]

    assert len(taken) >= 13
    assert not [name for name in taken if not refused(name, other)]


def refused(name: str, task: str) -> bool:
    try:
        find_metric(name, task)
    except ConfigError as error:
        assert f"is not one of a {task}" in error.what  # noqa: PT017
        return True
    return False


def test_a_score_is_larger_when_better_and_a_loss_has_a_relative_margin() -> None:
    loss, rate = find_metric("neg_brier_score", "classification"), find_metric("recall", "classification")

    assert (loss.better, loss.relative, loss.margin) == ("larger", True, 0.02)
    assert (rate.better, rate.relative, rate.margin) == ("larger", False, 0.01)


def test_an_unknown_metric_is_refused_with_the_closest_known_one() -> None:
    with pytest.raises(ConfigError, match="there is no metric 'balanced_acuracy'") as caught:
        find_metric("balanced_acuracy", "classification")
    assert caught.value.fix == "did you mean 'balanced_accuracy'?"

    with pytest.raises(ConfigError) as caught:
        find_metric("qqqqq", "classification")
    assert "module:function" in str(caught.value.fix)


@pytest.mark.parametrize(("name", "task"), [("mae", "classification"), ("roc_auc", "regression")])
def test_a_built_in_metric_for_the_other_task_is_refused(name: str, task: str) -> None:
    with pytest.raises(ConfigError, match=f"is not one of a {task}") as caught:
        find_metric(name, task)
    assert "take one of: " in str(caught.value.fix)


@pytest.mark.parametrize("name", ["pinball@0", "pinball@1.5", "pinball@half"])
def test_a_quantile_has_a_level_between_0_and_1(name: str) -> None:
    with pytest.raises(ConfigError, match="no level between 0 and 1"):
        find_metric(name, "regression")


@pytest.mark.parametrize("clusters", [None, 120])
def test_blocks_left_out_give_nearly_the_error_in_closed_form(clusters: int | None) -> None:
    rows, units = 1200, None
    bout = classification(rows, noise={"challenger": 0.5, "champion": 1.5})
    if clusters:
        units = np.repeat(np.arange(clusters), rows // clusters)
        bout = grouped(bout, units)
    closed, blocks = built_in("accuracy", "classification"), find_metric("recall_micro", "classification")
    assert closed is not None
    exact, found = (
        metric.gain(
            *(metric.estimate(bout.truth, bout.predicted[who], units) for who in ("challenger", "champion")), units
        )
        for metric in (closed, blocks)
    )
    assert exact is not None
    assert found is not None

    assert found.gain == pytest.approx(exact.gain)
    assert found.se == pytest.approx(exact.se, rel=0.25)
    assert found.df == BLOCKS - 1


def test_rows_of_one_entity_are_left_out_together() -> None:
    units = np.array([0, 0, 1, 1, 2, 2])
    seen: list[list[int]] = []

    def value_of(at: Any) -> float:
        seen.append(at.tolist())
        return float(len(at))

    blocked(value_of, 6, units)

    assert seen == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]


def test_a_score_that_a_block_leaves_undefined_has_no_bound() -> None:
    y = np.zeros(100, dtype=np.int64)
    y[7] = 1
    predicted = ANSWERS[:100]
    found = find_metric("roc_auc_ovr", "classification").estimate(
        type(TRUTH)("classification", y, TRUTH.classes), predicted, None
    )

    assert np.isfinite(found.value)
    assert found.replicates is not None
    assert from_replicates(found.value, found.replicates).lower(0.05) == -np.inf


def test_a_score_of_one_class_is_not_defined() -> None:
    truth = type(TRUTH)("classification", np.zeros(100, dtype=np.int64), TRUTH.classes)

    assert np.isnan(find_metric("roc_auc_ovr", "classification").estimate(truth, ANSWERS[:100], None).value)


OWN = """
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
    (tmp_path / "house_rules.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "house_rules", raising=False)
    return lambda name: find_metric(f"house_rules:{name}", "classification")


def test_the_teams_own_loss_is_taken_by_row_or_in_all(own: Callable[[str], Any]) -> None:
    wrong = 5 * (TRUTH.y != DECIDED)
    rows, total = (own(name).estimate(TRUTH, ANSWERS, None) for name in ("per_row", "in_all"))

    assert rows.is_mean
    assert rows.value + rows.influence == pytest.approx(wrong)
    assert total.value == pytest.approx(wrong.mean())
    assert len(total.replicates) == BLOCKS
    assert (own("in_all").better, own("in_all").relative) == ("smaller", True)


@pytest.mark.parametrize("name", ["too_many", "holes"])
def test_what_is_no_loss_of_the_team_is_refused(name: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="one finite number per row"):
        own(name).estimate(TRUTH, ANSWERS, None)


@pytest.mark.parametrize(("name", "why"), [("broken", "TypeError"), ("raising", "ZeroDivisionError")])
def test_a_function_of_the_team_that_fails_is_told_as_that(name: str, why: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="failed on 600 rows") as caught:
        own(name).estimate(TRUTH, ANSWERS, None)

    assert why in str(caught.value.why)


def test_a_loss_of_the_team_that_is_not_defined_says_so(own: Callable[[str], Any]) -> None:
    assert np.isnan(own("nothing").estimate(TRUTH, ANSWERS, None).value)


@pytest.mark.parametrize("name", ["house_rules:absent", "no_such_module:loss", ":loss", "house_rules:"])
def test_a_function_that_is_not_there_is_told_with_its_form(name: str, own: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be imported") as caught:
        find_metric(name, "classification")

    assert "module:function" in str(caught.value.fix)


def constant(predicted: FloatArray) -> FloatArray:
    return np.full_like(predicted, 0.5)


def test_equal_answers_gain_exactly_nothing() -> None:
    metric = find_metric("balanced_accuracy", "classification")
    found = metric.gain(*(metric.estimate(TRUTH, constant(ANSWERS), None) for _ in range(2)))
    assert found is not None

    assert (found.gain, found.se, found.lower(0.05)) == (0, 0, 0)
