"""Every classifier and regressor of scikit-learn, and the usual compositions, from the fit to the answer of the service."""

import inspect
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import all_estimators

from titlebout.core.errors import ConfigError
from titlebout.core.results import read_json
from titlebout.data.columns import column_kind
from titlebout.data.sampling import evenly_spaced
from titlebout.models.artifact import (
    GOLDEN_ROWS,
    TrainingData,
    class_labels,
    load_model,
    predict,
    save_model,
    select_inputs,
)
from titlebout.serving import service
from titlebout.training.supported import require_supported

ROOT = Path(__file__).parents[3]
ROWS = 120
# What cannot be used, with a part of the reason that is given before the fit.
REFUSED = {
    **dict.fromkeys(
        [
            "LinearSVC",
            "NuSVC",
            "PassiveAggressiveClassifier",
            "Perceptron",
            "RidgeClassifier",
            "RidgeClassifierCV",
            "SVC",
        ],
        r"predicts no probabilities.*CalibratedClassifierCV\(",
    ),
    "SGDClassifier": r'no probabilities.*SGDClassifier\(loss="log_loss"\)',
    "OneVsOneClassifier": r"no probabilities.*CalibratedClassifierCV\(",
    "OutputCodeClassifier": "no probabilities.*use a classifier that has predict_proba",
    **dict.fromkeys(
        [
            "ClassifierChain",
            "MultiOutputClassifier",
            "MultiOutputRegressor",
            "MultiTaskElasticNet",
            "MultiTaskElasticNetCV",
            "MultiTaskLasso",
            "MultiTaskLassoCV",
            "RegressorChain",
        ],
        "predicts several targets.*one pipeline for each target",
    ),
}
# Minimal arguments of those that cannot be made without, or that do not fit the small table without.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "ClassifierChain": {"estimator": LogisticRegression()},
    "DummyClassifier": {"strategy": "prior"},
    "FixedThresholdClassifier": {"estimator": LogisticRegression()},
    "MultiOutputClassifier": {"estimator": LogisticRegression()},
    "MultiOutputRegressor": {"estimator": Ridge()},
    "OneVsOneClassifier": {"estimator": LogisticRegression()},
    "OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier": {"estimator": LogisticRegression()},
    "OrthogonalMatchingPursuitCV": {"max_iter": 2},
    "PLSCanonical": {"n_components": 1},
    "RadiusNeighborsClassifier": {"radius": 100.0},
    "RadiusNeighborsRegressor": {"radius": 100.0},
    "RegressorChain": {"estimator": Ridge()},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "StackingClassifier": {"estimators": [("line", LogisticRegression())]},
    "StackingRegressor": {"estimators": [("line", Ridge())]},
    "TunedThresholdClassifierCV": {"estimator": LogisticRegression()},
    "VotingClassifier": {"estimators": [("line", LogisticRegression())], "voting": "soft"},
    "VotingRegressor": {"estimators": [("line", Ridge())]},
}
FAST = {"max_iter": 300, "n_estimators": 3, "random_state": 0}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Positive numbers, text, and a target of each kind."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": random.gamma(3, size=ROWS),
            "age": random.gamma(2, size=ROWS),
            "plan": random.choice(["free", "plus", "pro"], ROWS).astype(object),
            "note": random.choice(["late again", "all is well", "not so well"], ROWS).astype(object),
        }
    )
    frame["left"] = (frame["size"] + random.normal(size=ROWS) > 3).astype(int)
    frame["paid"] = frame["size"] * 2 + frame["age"] + random.gamma(1, size=ROWS)
    return frame


def require_same_answers(estimator: Any, table: pd.DataFrame, inputs: list[str], folder: Path) -> None:
    """Check the model, fit it, save it, load it, and compare what each copy and the service answer."""
    task = "classification" if is_classifier(estimator) else "regression"
    target = "left" if task == "classification" else "paid"
    X = select_inputs(table[[*inputs, target]], target, ())
    y = table[target].to_numpy()
    require_supported(estimator, X, y, task, "ferries")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, of what a later version of scikit-learn removes
        fitted = estimator.fit(X, y)
        classes = class_labels(fitted, y.tolist()) if task == "classification" else ()
        rows = TrainingData(X, np.arange(len(X), dtype=np.uint64), target, task, "", classes=classes)
        save_model(folder, fitted, rows, {name: column_kind(table[name]) for name in inputs}, "ferries")
        loaded = load_model(folder, "ferries")
    expected = predict(fitted, X, task)

    np.testing.assert_allclose(loaded.predict(table[inputs]), expected, rtol=1e-9, atol=1e-12)
    request = service.request_type(loaded.manifest["columns"])
    response = service.response_type(loaded.manifest["classes"])
    golden = read_json(folder / "golden.json")
    answer = service.predict(loaded, request.model_validate({"rows": golden["rows"]}).rows, response).model_dump()
    answers = [list(row["probabilities"].values()) if classes else row["value"] for row in answer["predictions"]]
    np.testing.assert_allclose(answers, golden["answers"], rtol=1e-9, atol=1e-12)
    if classes:
        golden_rows = X.iloc[evenly_spaced(ROWS, GOLDEN_ROWS)]
        assert [row["label"] for row in answer["predictions"]] == fitted.predict(golden_rows).tolist()


def make(name: str, kind: type) -> Any:
    parameters = inspect.signature(kind).parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of what a later version of scikit-learn removes
        return kind(**{key: value for key, value in FAST.items() if key in parameters} | ARGUMENTS.get(name, {}))


@pytest.mark.parametrize(("name", "kind"), [*all_estimators("classifier"), *all_estimators("regressor")])
def test_an_estimator_is_served_or_refused_before_its_fit(
    name: str, kind: type, table: pd.DataFrame, tmp_path: Path
) -> None:
    inputs = ["size"] if name == "IsotonicRegression" else ["size", "age"]
    if name in REFUSED:
        with pytest.raises(ConfigError) as caught:
            require_same_answers(make(name, kind), table, inputs, tmp_path / "model")
        error = caught.value
        assert re.search(f"(?s){REFUSED[name]}", f"{error.what} {error.why} {error.fix}")
        assert name in error.what
        return
    require_same_answers(make(name, kind), table, inputs, tmp_path / "model")


def test_the_reference_names_what_is_refused() -> None:
    text = (ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    rows = text.partition("## Refused")[2].partition("\n\n##")[0].splitlines()
    named = {name for row in rows if row.startswith("|") for name in re.findall(r"`(\w+)`", row.split("|")[1])}

    assert set(REFUSED) - named == set()
    assert named - set(REFUSED) == {
        "Birch",
        "CategoricalNB",
        "ComplementNB",
        "GammaRegressor",
        "MultinomialNB",
        "PoissonRegressor",
        "VotingClassifier",
        "sample_weight",
        "set_fit_request",
    }


def encoded(estimator: Any) -> Any:
    return make_pipeline(
        make_column_transformer((OneHotEncoder(), ["plan"]), ("passthrough", ["size", "age"])), estimator
    )


def forest() -> Any:
    return RandomForestClassifier(3, random_state=0)


NUMBERS: dict[str, Callable[[], Any]] = {
    "voting": lambda: VotingClassifier([("line", LogisticRegression()), ("forest", forest())], voting="soft"),
    "stacking": lambda: StackingClassifier([("line", LogisticRegression()), ("svm", LinearSVC())], passthrough=True),
    "grid": lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}),
    "grid-scored": lambda: GridSearchCV(
        LogisticRegression(),
        {"C": [0.1, 1]},
        scoring=["roc_auc", "neg_log_loss"],
        refit="roc_auc",
        cv=TimeSeriesSplit(3),
    ),
    "grid-of-models": lambda: GridSearchCV(
        Pipeline([("model", forest())]), {"model": [forest(), LogisticRegression()]}, cv=StratifiedKFold(3)
    ),
    "random": lambda: RandomizedSearchCV(
        LogisticRegression(), {"C": scipy.stats.loguniform(0.1, 1)}, n_iter=2, random_state=0
    ),
    "random-integer": lambda: RandomizedSearchCV(
        forest(), {"max_depth": scipy.stats.randint(1, 4)}, n_iter=2, random_state=0
    ),
    "halving": lambda: HalvingGridSearchCV(LogisticRegression(), {"C": [0.1, 1]}),
    "halving-random": lambda: HalvingRandomSearchCV(
        LogisticRegression(), {"C": scipy.stats.uniform(0.1, 1)}, random_state=0
    ),
    "isotonic": lambda: CalibratedClassifierCV(LinearSVC(), method="isotonic"),
    "sigmoid": lambda: CalibratedClassifierCV(SVC(), method="sigmoid", ensemble=False),
    "tuned-threshold": lambda: TunedThresholdClassifierCV(
        LogisticRegression(), scoring=make_scorer(fbeta_score, beta=2)
    ),
    "fixed-threshold": lambda: FixedThresholdClassifier(LogisticRegression(), threshold=0.3),
    "bagging": lambda: BaggingClassifier(KNeighborsClassifier(), 3, random_state=0),
    "one-vs-rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "selection": lambda: make_pipeline(
        SelectKBest(f_classif, k=2), SelectFromModel(forest(), threshold=0.0), LogisticRegression()
    ),
    "scalers": lambda: make_pipeline(
        PowerTransformer(),
        QuantileTransformer(n_quantiles=10),
        SplineTransformer(),
        KBinsDiscretizer(3),
        LogisticRegression(),
    ),
    "imputers": lambda: make_pipeline(
        IterativeImputer(), KNNImputer(), SimpleImputer(add_indicator=True), LogisticRegression()
    ),
    "union": lambda: make_pipeline(make_union(StandardScaler(), KMeans(2, random_state=0)), LogisticRegression()),
    "functions": lambda: make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
    "kernels": lambda: GaussianProcessClassifier(1.0 * Matern() + WhiteKernel()),
    "distances": lambda: KNeighborsClassifier(
        algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(2)}
    ),
    "class-weights": lambda: LogisticRegression(class_weight={0: 1.0, 1: 5.0}),
    "balanced": lambda: make_pipeline(
        StandardScaler(), RandomForestClassifier(3, class_weight="balanced", random_state=0)
    ),
    "transformed-target": lambda: TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    "transformer-of-target": lambda: TransformedTargetRegressor(
        Ridge(), transformer=QuantileTransformer(n_quantiles=10, output_distribution="normal")
    ),
    "voting-regressor": lambda: VotingRegressor([("line", Ridge()), ("tree", DecisionTreeRegressor(random_state=0))]),
    "stacking-regressor": lambda: StackingRegressor(
        [("line", Ridge()), ("tree", DecisionTreeRegressor(random_state=0))]
    ),
    "bagging-regressor": lambda: BaggingRegressor(Ridge(), 3, random_state=0),
    "quantile": lambda: HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=3),
    "gamma": lambda: HistGradientBoostingRegressor(loss="gamma", max_iter=3),
}
WORDS: dict[str, Callable[[], Any]] = {
    "columns": lambda: encoded(LogisticRegression()),
    "selected-columns": lambda: make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), make_column_selector(dtype_include=object)),
            (StandardScaler(), make_column_selector(dtype_include="number")),
        ),
        LogisticRegression(),
    ),
    "pandas-output": lambda: make_pipeline(
        make_column_transformer(
            (OrdinalEncoder(), ["plan"]), ("passthrough", ["size"]), verbose_feature_names_out=False
        ).set_output(transform="pandas"),
        HistGradientBoostingClassifier(max_iter=3, categorical_features=["plan"], monotonic_cst={"size": 1}),
    ),
    "target-encoding": lambda: make_pipeline(
        make_column_transformer((TargetEncoder(cv=3, random_state=0), ["plan"])), LogisticRegression()
    ),
    "text": lambda: make_pipeline(
        make_column_transformer((TfidfVectorizer(stop_words="english"), "note")), LogisticRegression()
    ),
    "slices": lambda: make_pipeline(
        ColumnTransformer([("n", MinMaxScaler(), slice(0, 2)), ("o", OrdinalEncoder(), [False, False, True, False])]),
        forest(),
    ),
    "search-in-pipeline": lambda: encoded(GridSearchCV(LogisticRegression(), {"C": [0.1, 1]})),
    "pipeline-in-search": lambda: GridSearchCV(encoded(LogisticRegression()), {"logisticregression__C": [0.1, 1]}),
    "everything": lambda: CalibratedClassifierCV(
        StackingClassifier(
            [("a", encoded(LogisticRegression())), ("b", encoded(LinearSVC()))], final_estimator=LogisticRegression()
        ),
        cv=3,
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_composition_of_numbers_is_served(name: str, table: pd.DataFrame, tmp_path: Path) -> None:
    require_same_answers(NUMBERS[name](), table, ["size", "age"], tmp_path / "model")


@pytest.mark.parametrize("name", WORDS)
def test_a_composition_with_text_is_served(name: str, table: pd.DataFrame, tmp_path: Path) -> None:
    require_same_answers(WORDS[name](), table, ["size", "age", "plan", "note"], tmp_path / "model")
