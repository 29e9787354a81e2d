"""Error rates of cross-fitted evaluations: models of noise against the best constant, and challengers that are no better.

Every model is fitted five times without a fifth of the rows and predicts it, as ``split.folds = 5`` does; the default loss of all
rows decides. Then it is fitted on all rows, and this model serves. Two questions, for each kind of target and number of rows:

``first``     the inputs say nothing about the target: how often is the model promoted over the best constant prediction?
``superior``  champion and challenger have the same signal, and different noise, as inputs. How often is the challenger promoted
              although the models that serve are in truth the other way round, on 5,000 rows more?
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.gate.decision import decide
from titlebout.gate.dummy import dummy_predictions
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import PRIMARY, default_losses, encode_ground_truth
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings

FOLDS, NOISE, FRESH = 5, 6, 5000
QUESTIONS = ("first", "superior")
SETTINGS = GateSettings(min_rows=2)
Target = Callable[[np.random.Generator, FloatArray], Any]


def _classes(*rates: float) -> Target:
    def draw(generator: np.random.Generator, signal: FloatArray) -> Any:
        logits = np.log(np.array(rates)) + signal[:, None] * np.arange(len(rates))
        return (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)

    return draw


TARGETS: Mapping[str, Target] = {
    "two classes": _classes(0.5, 0.5),
    "one in ten": _classes(0.9, 0.1),
    "one in forty": _classes(0.975, 0.025),
    "three classes": _classes(0.5, 0.3, 0.2),
    "normal": lambda generator, signal: signal + generator.normal(size=len(signal)),
    "heavy tail": lambda generator, signal: np.exp(signal / 2 + generator.normal(0, 1.5, size=len(signal))),
}


@dataclass(frozen=True)
class Learner:
    """A recipe: how a model is fitted for classes and for numbers."""

    classifier: Callable[[], Any]
    regressor: Callable[[], Any]


LEARNERS = {
    "linear": Learner(lambda: LogisticRegression(C=1.0, max_iter=500), lambda: Ridge(1.0)),
    "boosting": Learner(
        lambda: HistGradientBoostingClassifier(max_iter=25, min_samples_leaf=10),
        lambda: HistGradientBoostingRegressor(loss="absolute_error", max_iter=25, min_samples_leaf=10),
    ),
}
# Tables per question, kind of target and number of rows, by learner.
REPETITIONS: Mapping[str, Mapping[int, int]] = {
    "linear": dict.fromkeys((100, 200, 400), 400),
    "boosting": dict.fromkeys((100, 200, 400), 150),
}

Predict = Callable[[FloatArray], FloatArray]


def _fit(learner: Learner, X: FloatArray, y: Any, classes: tuple[Any, ...]) -> Predict:
    if not classes:
        regressor = learner.regressor().fit(X, y)
        return lambda at: np.asarray(regressor.predict(at))
    if len(np.unique(y)) < 2:  # the product refuses to fit it
        known = np.array([float(label == y[0]) for label in classes])
        return lambda at: np.tile(known, (len(at), 1))
    model = learner.classifier().fit(X, y)
    columns = [classes.index(int(label)) for label in model.classes_]

    def predict(at: FloatArray) -> FloatArray:
        ordered = np.zeros((len(at), len(classes)))
        ordered[:, columns] = model.predict_proba(at)
        return ordered

    return predict


def _cross_fitted(learner: Learner, X: FloatArray, y: Any, folds: IntArray, classes: tuple[Any, ...]) -> FloatArray:
    parts = [np.flatnonzero(folds == number) for number in range(FOLDS)]
    found = [
        _fit(learner, X[folds != at], y[folds != at], classes)(X[rows]) for at, rows in enumerate(parts) if len(rows)
    ]
    together: FloatArray = np.concatenate(found)[np.argsort(np.concatenate(parts), kind="stable")]
    return together


def _truth(y: Any, classes: tuple[Any, ...]) -> GroundTruth:
    return encode_ground_truth(
        "classification" if classes else "regression", np.asarray(y.tolist(), dtype=object), classes
    )


def _promoted(truth: GroundTruth, predicted: Mapping[str, FloatArray]) -> bool:
    metric = find_metric(PRIMARY[truth.task], truth.task)
    dummy = dummy_predictions(metric, truth, truth)
    made = HoldoutPredictions(truth, {**predicted, "dummy": dummy}, pd.DataFrame(index=range(len(truth.y))))
    return decide(made, SETTINGS, "change", 1).verdict == "promote"


@dataclass(frozen=True)
class _World:
    """Inputs of champion and challenger, the target, and a fold for each of the first rows; the others are only for the truth."""

    given: tuple[FloatArray, FloatArray]
    y: Any
    folds: IntArray


def _world(question: str, target: Target, rows: int, generator: np.random.Generator) -> _World:
    total = rows + (FRESH if question == "superior" else 0)
    signal, noise = generator.normal(size=total), generator.normal(size=(2, total, NOISE))
    y = target(generator, np.zeros(total) if question == "first" else signal)
    before, after = (np.column_stack([signal, one]) for one in noise)
    return _World((before, after), y, generator.integers(0, FOLDS, rows))


def _wrong(question: str, target: str, learner: str, rows: int, generator: np.random.Generator) -> bool | None:
    """Return whether the challenger is promoted and should not be; None if the target of the rows has one class."""
    world = _world(question, TARGETS[target], rows, generator)
    y, fresh = world.y[:rows], world.y[rows:]
    is_class = np.issubdtype(np.asarray(y).dtype, np.integer)
    classes = tuple(np.unique(world.y).tolist()) if is_class else ()
    if is_class and len(np.unique(y)) < 2:
        return None
    names = ("champion", "challenger") if question == "superior" else ("challenger",)
    inputs, recipe = dict(zip(("champion", "challenger"), world.given, strict=True)), LEARNERS[learner]
    predicted = {name: _cross_fitted(recipe, inputs[name][:rows], y, world.folds, classes) for name in names}
    if not _promoted(_truth(y, classes), predicted):
        return False
    if question == "first":
        return True
    serving = {name: _fit(recipe, inputs[name][:rows], y, classes)(inputs[name][rows:]) for name in names}
    lost = {name: default_losses(_truth(fresh, classes), one).mean() for name, one in serving.items()}
    return bool(lost["challenger"] >= lost["champion"])


def measure(seed: int, sizes: Mapping[str, Mapping[int, int]]) -> list[dict[str, Any]]:
    """Return how often the gate was wrong, by question, learner, kind of target and number of rows.

    Parameters
    ----------
    seed : int
    sizes : mapping of str to mapping of int to int
        By learner: tables per question and kind of target, by number of rows.
    """
    found = []
    for question, (learner, tables), target in product(QUESTIONS, sizes.items(), TARGETS):
        for rows, times in tables.items():
            generators = (np.random.default_rng([seed, at]) for at in range(times))
            verdicts = [_wrong(question, target, learner, rows, generator) for generator in generators]
            found.append({"question": question, "learner": learner, "target": target, "n": rows, **_rate(verdicts)})
    return found


def _rate(verdicts: list[bool | None]) -> dict[str, Any]:
    asked = [verdict for verdict in verdicts if verdict is not None]
    rate = sum(asked) / len(asked)
    error = float(np.sqrt(max(rate * (1 - rate), 1 / len(asked)) / len(asked)))
    return {"repetitions": len(asked), "rate": rate, "error": error}
