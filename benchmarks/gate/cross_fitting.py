"""Error rates of cross-fitted evaluations: models of noise against the best constant, and challengers that are no better.

Every model is fitted five times without a fifth of the rows and predicts it, as ``split.folds = 5`` does; the default loss of all
rows decides. Two questions are asked for each kind of target and number of rows:

``first``     the inputs say nothing about the target: how often is the model promoted over the best constant prediction?
``superior``  champion and challenger have the same signal and different noise as inputs, so that neither is better: how often is
              the challenger promoted? In ``grown``, the champion was trained on the first two thirds of the rows only, by
              cross-fitting as well, so that its model predicts the others: the challenger may be better, and is not counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.gate.decision import decide
from titlebout.gate.dummy import dummy_predictions
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import PRIMARY, encode_ground_truth
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings

FOLDS, NOISE = 5, 6
ROWS = (60, 100, 150, 200, 400)
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


def _predicted(learner: Learner, X: FloatArray, y: Any, classes: tuple[Any, ...], at: FloatArray) -> FloatArray:
    if not classes:
        found: FloatArray = learner.regressor().fit(X, y).predict(at)
        return found
    ordered = np.zeros((len(at), len(classes)))
    if len(np.unique(y)) < 2:  # the product refuses to fit it
        ordered[:, classes.index(int(y[0]))] = 1.0
        return ordered
    model = learner.classifier().fit(X, y)
    ordered[:, [classes.index(int(label)) for label in model.classes_]] = model.predict_proba(at)
    return ordered


def _cross_fitted(learner: Learner, X: FloatArray, y: Any, folds: IntArray, classes: tuple[Any, ...]) -> FloatArray:
    parts = [np.flatnonzero(folds == number) for number in range(FOLDS)]
    found = [_predicted(learner, X[folds != at], y[folds != at], classes, X[rows]) for at, rows in enumerate(parts)]
    together: FloatArray = np.concatenate(found)[np.argsort(np.concatenate(parts), kind="stable")]
    return together


def _promoted(y: Any, predicted: Mapping[str, FloatArray], classes: tuple[Any, ...], reason: str) -> bool:
    task = "classification" if classes else "regression"
    truth = encode_ground_truth(task, np.asarray(y.tolist(), dtype=object), classes)
    dummy = dummy_predictions(find_metric(PRIMARY[task], task), truth, truth)
    made = HoldoutPredictions(truth, {**predicted, "dummy": dummy}, pd.DataFrame(index=range(len(y))))
    return decide(made, SETTINGS, reason, 1).verdict == "promote"


def _world(question: str, target: Target, rows: int, seed: int) -> tuple[FloatArray, FloatArray, Any, IntArray]:
    """Return the inputs of champion and challenger, the target, and the fold of every row."""
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=rows)
    noise = generator.normal(size=(2, rows, NOISE))
    y = target(generator, np.zeros(rows) if question == "first" else signal)
    given = [np.column_stack([signal, one]) for one in noise]
    return given[0], given[1], y, generator.integers(0, FOLDS, rows)


def promoted(question: str, target: str, learner: str, rows: int, seed: int) -> bool | None:
    """Return whether the challenger is promoted; None if the target has one class."""
    before, after, y, folds = _world(question, TARGETS[target], rows, seed)
    is_class = np.issubdtype(np.asarray(y).dtype, np.integer)
    classes = tuple(np.unique(y).tolist()) if is_class else ()
    if is_class and len(classes) < 2:
        return None
    recipe = LEARNERS[learner]
    predicted = {"challenger": _cross_fitted(recipe, after, y, folds, classes)}
    if question == "superior":
        predicted["champion"] = _cross_fitted(recipe, before, y, folds, classes)
    return _promoted(y, predicted, classes, "change")


def rates(learner: str, runs: int) -> dict[str, dict[int, tuple[int, int]]]:
    """Return how many challengers were promoted, of how many, by question, target and number of rows."""
    found = {}
    for question in ("first", "superior"):
        for target in TARGETS:
            row = {}
            for rows in ROWS:
                verdicts = [promoted(question, target, learner, rows, seed) for seed in range(runs)]
                asked = [verdict for verdict in verdicts if verdict is not None]
                row[rows] = (sum(asked), len(asked))
            found[f"{question}, {target}"] = row
    return found
