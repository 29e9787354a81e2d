"""The whole rule, guards, slices and calibration on, in worlds whose truth is known; beside it what others do.

All rules see the same predictions. *naive*: the challenger's loss is smaller. *gain*: it is smaller by the margin (MLflow's
``min_relative_change``). *tolerance*: it is not larger by more than the margin (a threshold on the change, as in
TensorFlow Model Analysis). *Evidently*: the tests that its report adds by itself to log loss, ROC AUC and accuracy (mean
absolute error and RMSE) when it is given a reference: each within a share of the reference, on either side.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import worlds
from evidently import BinaryClassification, DataDefinition, Dataset, Report
from evidently.metrics import Accuracy, LogLoss, RocAuc

from titlebout.gate.decision import Decision, decide
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import default_losses
from titlebout.metrics.inference import INDEPENDENT
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings, RulesSettings, SlicesSettings

SETTINGS = GateSettings(slices=SlicesSettings(columns=("slice",)), rules=RulesSettings(age="non-inferior"))
MODES = {"superior": "change", "non-inferior-and-ahead": "drift", "non-inferior": "age"}
REPETITIONS = {200: 1200, 500: 1200, 2000: 800, 10_000: 200, 50_000: 40}
FEWER = 4  # worlds without a claim are run this many times less often
EVIDENTLY_ROWS, EVIDENTLY_TIMES = 2000, 40
# Metrics of Evidently's default tests and the share by which each may differ, as in its source (0.7.23).
EVIDENTLY = {
    "classification": (("log_loss", "roc_auc", "accuracy"), 0.2),
    "regression": (("mae", "rmse"), 0.1),
}

Row = dict[str, Any]
World = Callable[[np.random.Generator, int], HoldoutPredictions]


def two_classes(pair: worlds.Pair) -> World:
    return lambda rng, n: worlds.classification(rng, n, pair)


def values(pair: worlds.Pair) -> World:
    return lambda rng, n: worlds.regression(rng, n, pair)


def truths() -> dict[str, World]:
    """Return the worlds about which claims are made, by what is true in them."""
    absolute = worlds.absolute_error
    return {
        "worse by the margin": two_classes(worlds.worse()),
        "equal": two_classes(worlds.Pair()),
        "better by the margin": two_classes(worlds.better()),
        "better, broken slice": two_classes(worlds.broken(0.5)),
        "values: worse by the margin": values(worlds.worse(of=absolute)),
        "values: equal": values(worlds.Pair()),
        "values: better by the margin": values(worlds.better(of=absolute)),
    }


def further_truths() -> dict[str, World]:
    """Return worlds that are shown, but about which no claim is made."""
    return {
        "worse by twice the margin": two_classes(worlds.worse(2 * worlds.MARGIN)),
        "better by twice the margin": two_classes(worlds.better(2 * worlds.MARGIN)),
        "better, slice worse by 20%": two_classes(worlds.broken(0.2)),
        "overconfident": two_classes(replace(worlds.better(), sharpened=1.6)),
    }


def measure(seed: int, repetitions: Mapping[int, int] = REPETITIONS) -> list[Row]:
    """Return shares of verdicts by truth and number of rows."""
    claimed, further = truths(), further_truths()
    return [
        _cell(
            np.random.default_rng([seed, 3, n, at]),
            (truth, n, times if truth in claimed else max(times // FEWER, 1)),
            world,
        )
        for n, times in repetitions.items()
        for at, (truth, world) in enumerate((claimed | further).items())
    ]


def _cell(rng: np.random.Generator, cell: tuple[str, int, int], world: World) -> Row:
    truth, n, times = cell
    ours: dict[str, Counter[str]] = {mode: Counter() for mode in MODES}
    others, failed = Counter[str](), Counter[str]()
    for _ in range(times):
        predictions = world(rng, n)
        decided = {mode: decide(predictions, SETTINGS, reason) for mode, reason in MODES.items()}
        for mode, decision in decided.items():
            ours[mode][decision.verdict] += 1
        guards = _failed(decided["superior"])
        failed.update([*guards, *(["any guard"] if guards else [])])
        others.update(rule for rule, promoted in rivals(predictions).items() if promoted)
    return {
        "truth": truth,
        "n": n,
        "repetitions": times,
        "ours": {mode: {verdict: count / times for verdict, count in found.items()} for mode, found in ours.items()},
        "guards": {name: count / times for name, count in failed.items()},
        "others": {rule: others[rule] / times for rule in ("naive", "gain", "tolerance", "evidently")},
    }


def _failed(decision: Decision) -> list[str]:
    return [guard.name for guard in decision.guards if guard.status == "failed"]


def rivals(predictions: HoldoutPredictions) -> dict[str, bool]:
    """Return which of the other rules promote."""
    champion, challenger = (
        float(default_losses(predictions.truth, predictions.predicted[w]).mean()) for w in ("champion", "challenger")
    )
    gain = (champion - challenger) / champion
    return {
        "naive": gain > 0,
        "gain": gain >= worlds.MARGIN,
        "tolerance": gain >= -worlds.MARGIN,
        "evidently": _within(predictions),
    }


def _within(predictions: HoldoutPredictions) -> bool:
    """Return what Evidently's default tests say, computed here: its own report takes a quarter of a second."""
    names, share = EVIDENTLY[predictions.truth.task]
    for name in names:
        metric = find_metric(name, predictions.truth.task)
        new, old = (
            metric.estimate(predictions.truth, predictions.predicted[model_name], INDEPENDENT).value
            for model_name in ("challenger", "champion")
        )
        if abs(new - old) > share * abs(old):
            return False
    return True


def evidently_agrees(seed: int, times: int = EVIDENTLY_TIMES) -> Row:
    """Return how often the library itself gives the verdict computed here, in worlds from equal to far worse."""
    rng, agreed, passed = np.random.default_rng([seed, 4]), 0, 0
    for _ in range(times):
        pair = worlds.worse(float(rng.uniform(0.0, 0.25)))
        predictions = worlds.classification(rng, EVIDENTLY_ROWS, pair)
        passes = _evidently(predictions)
        agreed += passes == _within(predictions)
        passed += passes
    return {"repetitions": times, "n": EVIDENTLY_ROWS, "agreed": agreed / times, "passed": passed / times}


def _evidently(predictions: HoldoutPredictions) -> bool:
    """Return whether a report of the real library passes all tests that it adds by itself."""
    known = DataDefinition(classification=[BinaryClassification(target="y", prediction_probas="p", pos_label=1)])
    new, old = (
        Dataset.from_pandas(
            pd.DataFrame({"y": predictions.truth.y, "p": predictions.predicted[model_name][:, 1]}),
            data_definition=known,
        )
        for model_name in ("challenger", "champion")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the library
        tests = Report([LogLoss(), RocAuc(), Accuracy()], include_tests=True).run(new, old).dict()["tests"]
    return all(test["status"].value == "SUCCESS" for test in tests)
