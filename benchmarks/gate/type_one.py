"""How often a challenger that is not better is shown to be better, metric by metric, at a nominal 5%.

At exact equality neither model is better, so that both sides are counted, and half of them is the rate. At the boundary
of the margin the challenger is worse by exactly as much as a refresh may lose.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import worlds

from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.inference import INDEPENDENT
from titlebout.metrics.scorers import find_metric

ALPHA = 0.05
BINARY = ("log_loss", "brier", "accuracy", "f1", "roc_auc", "average_precision")
SCORER = ("balanced_accuracy",)  # one without a closed form, by the jackknife
VALUES = ("mae", "mse", "rmse", "pinball@0.5", "pinball@0.9")
REPETITIONS = {200: 4000, 500: 3000, 2000: 2000, 10_000: 1000, 100_000: 650}
JACKKNIFED = 300  # a scorer of scikit-learn is called a hundred times for each decision
PER_ENTITY = 10

Make = Callable[[np.random.Generator, int], HoldoutPredictions]
Row = dict[str, Any]


def measure(seed: int, repetitions: Mapping[int, int] = REPETITIONS) -> list[Row]:
    """Return the rates of every metric, world and number of rows."""
    rows: list[Row] = []
    for n, times in repetitions.items():
        for at, (world, make, metrics, named) in enumerate(_cells(n)):
            count = min(times, JACKKNIFED) if metrics == SCORER else times
            rows += _equal(np.random.default_rng([seed, 1, n, at]), (world, make, n, named), metrics, count)
        rows += _boundary(np.random.default_rng([seed, 2, n]), n, times)
    return rows


def _cells(n: int) -> list[tuple[str, Make, tuple[str, ...], bool]]:
    """Return name and maker of each world, the metrics, and whether the entities are passed to them."""
    cells: list[tuple[str, Make, tuple[str, ...], bool]] = [
        ("two classes", worlds.classification, BINARY, True),
        ("values", worlds.regression, VALUES, True),
    ]
    if n <= 10_000:
        classes = partial(worlds.classification, entities=n // PER_ENTITY)
        values = partial(worlds.regression, entities=n // PER_ENTITY)
        cells += [
            ("four classes", worlds.multiclass, BINARY, True),
            ("values, heavy tails", partial(worlds.regression, heavy=True), VALUES, True),
            ("two classes, entities", classes, BINARY, True),
            ("values, entities", values, VALUES, True),
            ("two classes, entities not named", classes, BINARY, False),
            ("values, entities not named", values, VALUES, False),
        ]
    if n <= 2000:
        cells.append(("two classes, one in 50", partial(worlds.multiclass, shares=(0.98, 0.02)), BINARY, True))
    if n == 500:
        cells.append(("two classes", worlds.classification, SCORER, True))
    return cells


def _equal(
    rng: np.random.Generator, cell: tuple[str, Make, int, bool], metrics: Sequence[str], times: int
) -> list[Row]:
    world, make, n, named = cell
    either = dict.fromkeys(metrics, 0)
    for _ in range(times):
        predictions = make(rng, n)
        for name in metrics:
            gain = _gain(predictions, name, named)
            either[name] += gain is not None and (gain.lower(ALPHA) > 0 or gain.upper(ALPHA) < 0)
    return [
        {"boundary": "equal", "world": world, "metric": name, "n": n, **_share(either[name] / times, times, 2)}
        for name in metrics
    ]


def _boundary(rng: np.random.Generator, n: int, times: int) -> list[Row]:
    """Return how often a challenger that is worse by the margin is shown to be worse by less."""
    worse = {"log_loss": worlds.worse(), "mae": worlds.worse(of=worlds.absolute_error)}
    make = {"log_loss": worlds.classification, "mae": worlds.regression}
    found = []
    for name, pair in worse.items():
        passed = 0
        for _ in range(times):
            passed += _gain(make[name](rng, n, pair), name, True, worlds.MARGIN).lower(ALPHA) > 0
        world = "two classes" if name == "log_loss" else "values"
        found.append({"boundary": "margin", "world": world, "metric": name, "n": n, **_share(passed / times, times, 1)})
    return found


def _gain(predictions: HoldoutPredictions, name: str, named: bool, margin: float = 0.0) -> Any:
    """Return the difference of the challenger from the champion, or from one that is worse by a share of its value."""
    metric, known = find_metric(name, predictions.truth.task), predictions.dependence if named else INDEPENDENT
    one, other = (
        metric.estimate(predictions.truth, predictions.predicted[model_name], known)
        for model_name in ("challenger", "champion")
    )
    return metric.gain(one, metric.worsened(other, margin, relative=True), known)


def _share(share: float, times: int, sides: int) -> Row:
    """Return a rate and its Monte Carlo error, of a share that counted this many sides."""
    error = float(np.sqrt(max(share * (1 - share), 1 / times) / times))
    return {"repetitions": times, "rate": share / sides, "error": error / sides}
