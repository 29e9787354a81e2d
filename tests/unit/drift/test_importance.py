"""What the champion looks at, asked of real models."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from titlebout.drift.importance import PREDICTION, ChampionContext, permutation_importance
from titlebout.drift.rule import compare
from titlebout.models.artifact import Model
from titlebout.settings.drift import DriftSettings
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams

INPUTS = ("strong", "weak", "noise")


def table(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({name: random.normal(size=rows) for name in (*INPUTS, "unseen")})
    frame["strong"] += shift
    chance = 1 / (1 + np.exp(-(3 * frame["strong"] + frame["weak"])))
    return frame.assign(label=(random.random(rows) < chance).astype(int), value=3 * frame["strong"] + frame["weak"])


def params(task: Any, target: str) -> Params:
    return Params(
        data=DataParams(task=task, target=target),
        split=SplitParams(by="hash"),
        train=TrainParams(model="a:b"),
    )


def champion(estimator: Any, task: str, target: str) -> Model:
    rows = table(2000, 0)
    estimator.fit(rows[list(INPUTS)], rows[target])
    classes = estimator.classes_.tolist() if task == "classification" else []
    columns = [{"name": name, "kind": "number"} for name in INPUTS]
    return Model(estimator, {"columns": columns, "classes": classes, "task": task, "target": target}, Path())


@pytest.mark.parametrize(
    ("task", "target", "estimator"),
    [("classification", "label", LogisticRegression()), ("regression", "value", LinearRegression())],
)
def test_what_the_model_looks_at_is_important(task: str, target: str, estimator: Any) -> None:
    rows = table(2000, 0).drop(columns=["value" if target == "label" else "label"])
    found = permutation_importance(champion(estimator, task, target), rows, params(task, target))
    assert set(found) == {*INPUTS, "unseen"}
    assert sum(found.values()) == pytest.approx(1)
    assert found["strong"] > 2 * found["weak"] > 0
    assert found["noise"] < 0.01
    assert found["unseen"] == 0
    assert found == permutation_importance(champion(estimator, task, target), rows, params(task, target))


def test_rows_without_a_label_are_left_out() -> None:
    rows = table(2000, 0)
    gaps = rows.assign(label=rows["label"].astype(float).where(rows.index % 2 == 0))
    assert permutation_importance(
        champion(LogisticRegression(), "classification", "label"), gaps, params("classification", "label")
    )


def test_a_model_that_looks_at_nothing_says_nothing() -> None:
    model = champion(DummyClassifier(), "classification", "label")
    assert permutation_importance(model, table(500, 1), params("classification", "label")) == {}


@pytest.mark.parametrize(("shift", "status"), [(0.0, "stable"), (0.6, "drift")])
def test_predictions_drift_with_what_the_model_looks_at(shift: float, status: str) -> None:
    model = champion(LogisticRegression(), "classification", "label")
    pair = ChampionContext(model=model, unseen=table(1000, 1)).prediction(table(600, 2, shift))
    assert pair is not None
    assert (pair.name, pair.role) == (PREDICTION, "prediction")
    assert compare([pair], DriftSettings(), in_time=False)[0].status == status


def test_predictions_are_compared_with_those_of_rows_not_trained_on() -> None:
    """A forest is certain of the rows it has seen; compared with those, any new row would look like drift."""
    model = champion(RandomForestClassifier(random_state=0), "classification", "label")
    asked = {seed: ChampionContext(model=model, unseen=table(2000, seed)).prediction(table(1000, 2)) for seed in (0, 1)}
    statuses = {seed: compare([pair], DriftSettings(), in_time=False)[0].status for seed, pair in asked.items() if pair}
    assert statuses == {0: "drift", 1: "stable"}


def test_more_than_two_classes_are_compared_by_the_likeliest() -> None:
    rows = table(2000, 0).assign(label=lambda frame: pd.cut(frame["strong"], 3, labels=["a", "b", "c"]).astype(str))
    estimator = LogisticRegression().fit(rows[list(INPUTS)], rows["label"])
    columns = [{"name": name, "kind": "number"} for name in INPUTS]
    described = {"columns": columns, "classes": ["a", "b", "c"], "task": "classification", "target": "label"}
    pair = ChampionContext(model=Model(estimator, described, Path()), unseen=rows).prediction(table(500, 1, 2.0))
    assert pair is not None
    assert set(pair.labels) == {"a", "b", "c"}
    assert compare([pair], DriftSettings(), in_time=False)[0].status == "drift"


def test_without_a_champion_nothing_is_predicted() -> None:
    assert ChampionContext().prediction(table(10, 0)) is None
