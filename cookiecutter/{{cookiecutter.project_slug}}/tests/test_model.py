"""The model can be built, fitted and used for predictions by titlebout."""

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


def test_the_model_learns_a_simple_rule(model: Any, flights: pd.DataFrame) -> None:
    many = pd.concat([flights] * 10, ignore_index=True)
    X, late = many.drop(columns="late"), many["late"] == 1
    probability = model.fit(X, many["late"]).predict_proba(X)[:, 1]
    assert probability[late].mean() > probability[~late].mean()


def test_an_unknown_destination_and_missing_weather_are_accepted(model: Any, flights: pd.DataFrame) -> None:
    X = flights.drop(columns="late")
    fitted = model.fit(X, flights["late"])
    probabilities = fitted.predict_proba(X.assign(dest="XYZ", temp=np.nan))
    assert probabilities.shape == (40, 2)
    assert np.allclose(probabilities.sum(axis=1), 1)
