"""LightGBM, XGBoost and CatBoost: stored in their own formats, alone, in pipelines and inside other estimators."""

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from titlebout.core.errors import ConfigError, InconclusiveError
from titlebout.core.results import read_json
from titlebout.data.columns import column_kind
from titlebout.models import archive
from titlebout.models.artifact import TrainingData, class_labels, load_model, predict, save_model, select_inputs
from titlebout.models.own_formats import StoredModel, parts
from titlebout.serving import service
from titlebout.training.supported import require_supported

ROWS = 200
INPUTS = ["size", "age", "plan"]


def lightgbm(task: str) -> Any:
    library = pytest.importorskip("lightgbm")
    kind = library.LGBMClassifier if task == "classification" else library.LGBMRegressor
    return kind(n_estimators=5, n_jobs=1, verbose=-1)


def xgboost(task: str) -> Any:
    library = pytest.importorskip("xgboost")
    kind = library.XGBClassifier if task == "classification" else library.XGBRegressor
    return kind(n_estimators=5, n_jobs=1)


def catboost(task: str) -> Any:
    library = pytest.importorskip("catboost")
    kind = library.CatBoostClassifier if task == "classification" else library.CatBoostRegressor
    return kind(iterations=5, verbose=0, thread_count=1, allow_writing_files=False)


# CatBoost is not among the locked packages: it would add 268 MB to every environment.
LIBRARIES = [lightgbm, xgboost, *([catboost] if find_spec("catboost") else [])]
Make = Callable[[str], Any]


def encoded(estimator: Any) -> Any:
    columns = make_column_transformer((OneHotEncoder(sparse_output=False), ["plan"]), ("passthrough", ["size", "age"]))
    return make_pipeline(columns, estimator)


def numbers(estimator: Any) -> Any:
    return make_pipeline(make_column_transformer(("passthrough", ["size", "age"])), estimator)


COMPOSITIONS: dict[str, Callable[[Any], Any]] = {
    "pipeline": encoded,
    "calibrated": lambda model: CalibratedClassifierCV(encoded(model), cv=3),
    "search": lambda model: GridSearchCV(encoded(model), {f"{type(model).__name__.lower()}__max_depth": [2, 3]}, cv=3),
    "voting": lambda model: encoded(
        VotingClassifier([("a", model), ("b", HistGradientBoostingClassifier(max_iter=3))], voting="soft")
    ),
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": random.gamma(3, size=ROWS),
            "age": random.gamma(2, size=ROWS),
            "plan": random.choice(["free", "plus", "pro"], ROWS).astype(object),
        }
    )
    frame["left"] = (frame["size"] + random.normal(size=ROWS) > 3).astype(int)
    frame["paid"] = frame["size"] * 2 + frame["age"]
    frame.loc[::7, "age"] = np.nan
    return frame


def save(folder: Path, estimator: Any, table: pd.DataFrame, target: str) -> Any:
    """Check, fit and save an estimator; return it fitted."""
    task = "regression" if target == "paid" else "classification"
    X, y = select_inputs(table[[*INPUTS, target]], target, ()), table[target].to_numpy()
    require_supported(estimator, X, y, task, "ferries")
    fitted = estimator.fit(X, y)
    classes = class_labels(fitted, y.tolist()) if task == "classification" else ()
    rows = TrainingData(X, np.arange(ROWS, dtype=np.uint64), target, task, "", classes=classes)
    save_model(folder, fitted, rows, {name: column_kind(table[name]) for name in INPUTS}, "ferries")
    return fitted


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("target", ["left", "paid"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_library_is_served_in_its_own_format(library: Make, target: str, table: pd.DataFrame, tmp_path: Path) -> None:
    task = "regression" if target == "paid" else "classification"
    estimator = numbers(library(task))
    fitted = save(tmp_path / "model", estimator, table, target)
    loaded = load_model(tmp_path / "model", "ferries")

    np.testing.assert_array_equal(
        loaded.predict(table), predict(fitted, select_inputs(table[[*INPUTS, target]], target, ()), task)
    )
    stored = [name for name in zipfile.ZipFile(tmp_path / "model" / "model.skops").namelist() if name.endswith(".bin")]
    assert len(stored) == 1
    assert not any(isinstance(part, StoredModel) for part in parts(loaded.estimator))
    golden = read_json(tmp_path / "model" / "golden.json")
    request = service.request_type(loaded.manifest["columns"])
    response = service.response_type(loaded.manifest["classes"])
    answer = service.predict(loaded, request.model_validate({"rows": golden["rows"]}).rows, response).model_dump()
    answers = [
        row["value"] if target == "paid" else list(row["probabilities"].values()) for row in answer["predictions"]
    ]
    np.testing.assert_allclose(answers, golden["answers"], rtol=1e-12)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("composition", COMPOSITIONS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_library_is_stored_inside_other_estimators(
    library: Make, composition: str, table: pd.DataFrame, tmp_path: Path
) -> None:
    estimator = COMPOSITIONS[composition](library("classification"))
    fitted = save(tmp_path / "model", estimator, table, "left")
    expected = predict(fitted, select_inputs(table[[*INPUTS, "left"]], "left", ()), "classification")

    np.testing.assert_allclose(load_model(tmp_path / "model", "ferries").predict(table), expected, rtol=1e-12)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_same_training_gives_the_same_bytes(library: Make, table: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("first", "second"):
        save(tmp_path / name, numbers(library("classification")), table, "left")

    weights = [(tmp_path / name / "model.skops").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [3, 7], ["007", "7"]], ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_labels_keep_their_type(library: Make, labels: list[object], table: pd.DataFrame, tmp_path: Path) -> None:
    model = library("classification")
    if library is xgboost and labels != [False, True]:  # it takes numbers from 0 only
        model = VotingClassifier([("numbered", model)], voting="soft")
    frame = table.assign(left=pd.Series([labels[i] for i in table["left"]], dtype=type(labels[0])))
    save(tmp_path / "model", numbers(model), frame, "left")
    classes = load_model(tmp_path / "model", "ferries").classes

    assert {(label, type(label)) for label in classes} == {(label, type(label)) for label in labels}


def test_xgboost_with_other_labels_is_refused_with_the_remedy(table: pd.DataFrame, tmp_path: Path) -> None:
    frame = table.assign(left=np.where(table["left"], "yes", "no"))

    with pytest.raises(ConfigError, match="XGBClassifier needs classes that are numbered from 0") as caught:
        save(tmp_path / "model", numbers(xgboost("classification")), frame, "left")
    assert "VotingClassifier" in str(caught.value.fix)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_damaged_model_cannot_be_loaded(library: Make, tmp_path: Path) -> None:
    names = {
        lightgbm: "lightgbm.basic.Booster",
        xgboost: "xgboost.core.Booster",
        catboost: "catboost.core.CatBoostClassifier",
    }
    library("classification")
    weights, _ = archive.dump([StoredModel(names[library], b"no model")], "ferries", tmp_path)

    with pytest.raises(InconclusiveError, match="cannot be loaded"):
        archive.load(weights, "ferries", tmp_path)
