"""The choice among candidate models: the one-standard-error rule on folds that are the same in every run."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from titlebout.models import selection
from titlebout.models.selection import OneStandardErrorSearch


def line(rows: int = 200, noise: float = 1.0) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    X = pd.DataFrame({"x": random.normal(size=rows)})
    return X, 3 * X["x"].to_numpy() + random.normal(0, noise, rows)


def regressors() -> list[tuple[str, object]]:
    return [
        ("constant", DummyRegressor()),
        ("line", LinearRegression()),
        ("tree", DecisionTreeRegressor(random_state=0)),
    ]


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_the_best_candidate_is_chosen_if_it_is_clearly_better(loss: str) -> None:
    X, y = line()
    search = OneStandardErrorSearch(regressors(), loss=loss).fit(X, y)

    assert search.chosen_ == "line"
    assert list(search.losses_) == ["constant", "line", "tree"]
    np.testing.assert_array_equal(search.predict(X), LinearRegression().fit(X, y).predict(X))


def test_a_simpler_candidate_is_chosen_if_it_is_as_good() -> None:
    X, y = line(60, noise=60.0)
    search = OneStandardErrorSearch(regressors(), loss="squared_error").fit(X, y)

    assert search.chosen_ == "constant"


@given(st.lists(st.floats(0, 10), min_size=3, max_size=30), st.integers(1, 5))
def test_the_rule_never_chooses_a_candidate_after_the_best(values: list[float], candidates: int) -> None:
    base = np.array(values)
    losses = {str(number): np.roll(base, number) * (1 + number % 2) for number in range(candidates)}
    best = min(losses, key=lambda name: losses[name].mean())

    assert int(selection._simplest(losses)) <= int(best)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(2, 6), st.booleans())
def test_every_row_is_in_one_fold(labels: list[str], n_folds: int, stratified: bool) -> None:
    y = np.array(labels)
    folds = np.array(list(selection._folds(y, n_folds, stratified=stratified)))

    assert folds.shape == (n_folds, len(y))
    assert (folds.sum(axis=0) == 1).all()
    for label in set(labels) if stratified else ():
        counts = folds[:, y == label].sum(axis=1)
        assert counts.max() - counts.min() <= selection.BLOCKS


def test_folds_are_blocks_of_neighboring_rows() -> None:
    first = next(iter(selection._folds(np.zeros(100), 5, stratified=False)))

    assert np.flatnonzero(first).tolist() == [*range(5), *range(25, 30), *range(50, 55), *range(75, 80)]


def test_probabilities_of_unknown_classes_count_as_zero() -> None:
    losses = selection._log_loss(np.array([[0.25, 0.75], [1.0, 0.0]]), ["a", "b"], np.array(["b", "c"]))

    np.testing.assert_allclose(losses, -np.log([0.75, selection.SMALLEST]))


def test_the_poisson_loss_is_smallest_for_the_truth() -> None:
    y = np.array([0.0, 2.0, 5.0])
    losses = {mean: selection._poisson_deviance(y, y + mean).sum() for mean in (-0.01, 0.0, 0.01)}

    assert min(losses, key=losses.__getitem__) == 0.0
    assert np.isfinite(selection._poisson_deviance(y, np.zeros(3))).all()


def test_a_class_that_is_missing_in_a_fold_is_no_obstacle() -> None:
    X, y = line(40)
    labels = np.where(y > 0, "high", "low").astype(object)
    labels[7] = "once"
    candidates = [("share", DummyClassifier()), ("line", LogisticRegression())]
    search = OneStandardErrorSearch(candidates).fit(X, labels)

    assert search.chosen_ == "line"
    assert search.classes_.tolist() == ["high", "low", "once"]
    np.testing.assert_allclose(search.predict_proba(X).sum(axis=1), 1)


def test_too_few_rows_give_the_simplest_candidate() -> None:
    X, _ = line(2)
    search = OneStandardErrorSearch([("share", DummyClassifier()), ("tree", DecisionTreeClassifier())])

    assert search.fit(X, ["a", "b"]).chosen_ == "share"
    assert search.losses_ == {}


def test_cross_validation_uses_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = line(500)
    fitted: list[int] = []
    fit = selection._fit
    monkeypatch.setattr(selection, "_fit", lambda model, X, y: fitted.append(len(X)) or fit(model, X, y))
    OneStandardErrorSearch(regressors(), loss="squared_error", max_rows=100).fit(X, y)

    assert fitted == [80] * 15 + [500]


def test_it_is_an_estimator_of_the_kind_of_its_candidates() -> None:
    regressor = OneStandardErrorSearch(regressors(), loss="squared_error")
    classifier = OneStandardErrorSearch([("line", LogisticRegression())])

    assert (is_regressor(regressor), is_classifier(classifier)) == (True, True)
    assert hasattr(classifier, "predict_proba")
    assert not hasattr(regressor, "predict_proba")
    assert (
        clone(classifier).get_params()["line__C"] == 1.0 if "line__C" in classifier.get_params() else clone(classifier)
    )
