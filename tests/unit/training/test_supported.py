"""Models that cannot work are refused before their fit, by name and with the remedy."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import Birch, KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest, RandomForestRegressor, StackingClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from titlebout.core.errors import ConfigError, TitleboutError, UnsafeError
from titlebout.training.supported import require_supported

X = pd.DataFrame({"wind": [-1.0, 2.0, 3.0, 4.0], "waves": [0.0, 1.0, 2.0, np.nan]})
LABELS = np.array(["no", "yes", "no", "yes"], dtype=object)
VALUES = np.array([-1.0, 0.0, 2.0, 3.0])


def check(estimator: Any, task: str = "classification") -> None:
    require_supported(estimator, X, LABELS if task == "classification" else VALUES, task, "ferries")


@pytest.mark.parametrize(
    ("estimator", "task", "what", "fix"),
    [
        (
            LinearRegression(),
            "classification",
            "LinearRegression is a regressor, but the task is classification",
            "classifier",
        ),
        (LogisticRegression(), "regression", "LogisticRegression is a classifier", "correct data.task"),
        (
            make_pipeline(StandardScaler(), RandomForestRegressor()),
            "classification",
            "RandomForestRegressor is a",
            "classifier",
        ),
        (KMeans(), "regression", "KMeans is a clusterer", "regressor"),
        (IsolationForest(), "classification", "IsolationForest is an outlier detector", "classifier"),
        (GaussianMixture(), "classification", "GaussianMixture is a density estimator", "classifier"),
        (
            LinearSVC(),
            "classification",
            "LinearSVC predicts no probabilities",
            "CalibratedClassifierCV(LinearSVC(...))",
        ),
        (make_pipeline(LinearSVC()), "classification", "LinearSVC predicts no", "CalibratedClassifierCV"),
        (GridSearchCV(LinearSVC(), {"C": [1]}), "classification", "LinearSVC predicts no", "CalibratedClassifierCV"),
        (
            SGDClassifier(),
            "classification",
            "SGDClassifier predicts no probabilities",
            'SGDClassifier(loss="log_loss")',
        ),
        (VotingClassifier([("a", LogisticRegression())]), "classification", "VotingClassifier", 'voting="soft"'),
        (
            StackingClassifier([("a", LogisticRegression())], final_estimator=LinearSVC()),
            "classification",
            "StackingClassifier predicts no probabilities",
            "CalibratedClassifierCV(StackingClassifier(...))",
        ),
        (
            MultiOutputRegressor(LinearRegression()),
            "regression",
            "predicts several targets",
            "one pipeline for each target",
        ),
        (PoissonRegressor(), "regression", "PoissonRegressor needs a target without negative values", "squared error"),
        (MultinomialNB(), "classification", "MultinomialNB needs inputs without negative values", "MinMaxScaler"),
        (
            make_pipeline(Birch(), LogisticRegression()),
            "classification",
            "cannot be stored",
            "class of your own package",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else None,
)
def test_a_model_that_cannot_work_is_refused(estimator: Any, task: str, what: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(estimator, task)

    assert what in caught.value.what
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        StackingClassifier([("a", LinearSVC())]),
        make_pipeline(StandardScaler(), StackingClassifier([("a", LinearSVC())])),
        make_pipeline(MinMaxScaler(clip=True), MultinomialNB()),
        GridSearchCV(SGDClassifier(loss="log_loss"), {"alpha": [0.1]}),
        Pipeline([("only", LogisticRegression(class_weight="balanced"))]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_model_that_can_work_is_not_refused(estimator: Any) -> None:
    check(estimator)


class HistoricShares:
    """A model without scikit-learn: methods only."""

    def fit(self, X: Any, y: Any) -> Any:
        raise NotImplementedError

    def predict(self, X: Any) -> Any:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def module(request: pytest.FixtureRequest) -> Iterator[types.ModuleType]:
    """A module with a class in it, as if another package or the team had defined it."""
    name, kind = request.param
    made = types.ModuleType(name)
    body = {key: value for key, value in vars(kind).items() if key not in {"__dict__", "__weakref__"}}
    made.Model = type("Model", kind.__bases__, body | {"__module__": name, "__qualname__": "Model"})  # type: ignore[attr-defined]
    sys.modules[name] = made
    yield made
    del sys.modules[name]


class Forest(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        raise NotImplementedError

    def predict(self, X: Any) -> Any:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("module", [("ferries.models", HistoricShares), ("ferries.models", Forest)], indirect=True)
def test_a_class_of_the_team_is_not_refused(module: types.ModuleType) -> None:
    check(module.Model())


@pytest.mark.parametrize("module", [("ferries.models", HistoricShares)], indirect=True)
def test_a_class_with_methods_only_is_refused_in_a_pipeline(module: types.ModuleType) -> None:
    with pytest.raises(ConfigError, match="Model is inside a Pipeline, but not a scikit-learn estimator") as caught:
        check(make_pipeline(StandardScaler(), module.Model()))
    assert "BaseEstimator" in str(caught.value.fix)


@pytest.mark.parametrize("module", [("other_library", Forest)], indirect=True)
@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_an_estimator_of_another_library_is_refused_by_name(module: types.ModuleType, wrap: Any) -> None:
    with pytest.raises(UnsafeError, match=r"other_library\.Model") as caught:
        check(wrap(module.Model()))
    assert "use-your-own-model.md" in str(caught.value.fix)


def test_a_lambda_is_refused_before_the_fit() -> None:
    columns = make_column_transformer((FunctionTransformer(lambda X: X), ["wind"]))
    with pytest.raises(UnsafeError, match="<lambda>") as caught:
        check(make_pipeline(columns, LogisticRegression()))
    assert "a lambda has no name" in str(caught.value.fix)


@pytest.mark.parametrize("alias", [True, "weight"])
@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: GridSearchCV(model, {"C": [1]})])
def test_a_request_for_sample_weights_is_refused(alias: Any, wrap: Any) -> None:
    """Silently fitting without the weights would be wrong."""
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = wrap(LogisticRegression().set_fit_request(sample_weight=alias))
        with pytest.raises(ConfigError, match="LogisticRegression requests sample_weight for its fit") as caught:
            check(estimator)
    assert "class_weight" in str(caught.value.fix)


def test_errors_name_the_parameter(tmp_path: Path) -> None:
    with pytest.raises(TitleboutError) as caught:
        check(LinearSVC())
    assert caught.value.where == "train.model in params.yaml"
    assert caught.value.why
