"""The model builds, fits and predicts as titlebout will ask it to."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from titlebout.repository.project import Project


@pytest.fixture
def model() -> Any:
    """The unfitted pipeline, with the parameters of params.yaml."""
    return Project.find(Path(__file__).parent).build_model()


def test_the_parameters_reach_the_model(model: Any) -> None:
    params = Project.find(Path(__file__).parent).params.train
    assert model[-1].get_params().items() >= {**params.hyperparameters, "random_state": params.seed}.items()


def test_it_learns_what_is_easy_to_learn(model: Any, flights: pd.DataFrame) -> None:
    model.set_params(histgradientboostingclassifier__min_samples_leaf=5)
    fitted = model.fit(flights.drop(columns="late"), flights["late"])
    assert fitted.score(flights.drop(columns="late"), flights["late"]) == 1.0


def test_a_place_it_never_saw_and_missing_weather_are_no_error(model: Any, flights: pd.DataFrame) -> None:
    X = flights.drop(columns="late")
    fitted = model.fit(X, flights["late"])
    chances = fitted.predict_proba(X.assign(dest="XYZ", temp=np.nan))
    assert chances.shape == (40, 2)
    assert np.allclose(chances.sum(axis=1), 1)
