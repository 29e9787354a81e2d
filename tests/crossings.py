"""A repository with a trained model of every column kind, whose pipeline calls a function of the team's own code."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titlebout.data.columns import conform
from titlebout.models.artifact import TrainingData, save_model

ROWS = 400
KINDS = {
    "distance": "number",
    "seats": "integer",
    "international": "boolean",
    "carrier": "text",
    "when": "datetime",
    "model_copy": "number",  # also the name of a method that pydantic gives every row
}
REQUIRED = ("seats", "model_copy")
SETTINGS = """\
[project]
name = "crossings"
package = "{package}"
pipeline = "crossings"

[checks]
suite = "expectations/crossings.json"

[gate]
"""
FEATURES = """\
import pandas as pd


def calendar(X):
    return pd.DataFrame({"hour": X["when"].dt.hour.astype("float64"), "day": X["when"].dt.dayofweek.astype("float64")})
"""


def package_name(task: str) -> str:
    """Return the import name of the team's code, another one for every task: Python keeps what it has imported."""
    return f"team_{task}"


def write(root: Path, task: str) -> Path:
    """Write the repository with its trained model, and return its folder."""
    package = package_name(task)
    code = root / "src" / package
    code.mkdir(parents=True)
    (root / "pipelines" / "crossings").mkdir(parents=True)
    (root / "requirements-serve.lock").write_text("scikit-learn==1.7.0\n", encoding="utf-8")
    (root / "titlebout.toml").write_text(SETTINGS.format(package=package), encoding="utf-8")
    (code / "__init__.py").touch()
    (code / "features.py").write_text(FEATURES, encoding="utf-8")
    raw = rows()
    X = conform(raw, KINDS)
    score = raw["seats"] / 100 + raw["model_copy"]
    target = score * 100 if task == "regression" else pd.cut(score, [-9, 1, 2, 9], labels=["early", "on time", "late"])
    sys.path.insert(0, str(root / "src"))
    estimator = _pipeline(task, package).fit(X, np.asarray(target))
    trained = TrainingData(X, np.arange(len(X), dtype=np.uint64), "delay", task, "")
    save_model(root / "pipelines" / "crossings" / "model", estimator, trained, KINDS, package)
    return root


def rows() -> pd.DataFrame:
    """Return the training rows; all columns but `REQUIRED` have missing values."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "distance": random.normal(1000, 300, ROWS),
            "seats": random.integers(20, 300, ROWS),
            "international": (random.random(ROWS) < 0.3).astype(object),
            "carrier": random.choice(["AA", "UA", "ÖBB 😀"], ROWS).astype(object),
            "when": pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 10**6, ROWS), unit="min"),
            "model_copy": random.normal(0, 1, ROWS),
        }
    )
    for step, name in ((7, "distance"), (11, "international"), (13, "carrier"), (17, "when")):
        frame.loc[::step, name] = pd.NaT if name == "when" else None
    return frame


def _pipeline(task: str, package: str) -> Any:
    from importlib import import_module

    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    calendar = import_module(f"{package}.features").calendar
    prepare = ColumnTransformer(
        [
            ("calendar", FunctionTransformer(calendar), ["when"]),
            ("categories", OneHotEncoder(handle_unknown="error"), ["carrier"]),
            ("numbers", "passthrough", ["distance", "seats", "international", "model_copy"]),
        ]
    )
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return Pipeline([("prepare", prepare), ("estimate", kind(max_iter=10, random_state=0))])
