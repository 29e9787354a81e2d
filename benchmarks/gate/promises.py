"""What the whole rule promises in hard worlds: equal challengers and guardrails, weak signal, few positives, many looks, creep."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import worlds
from scipy.optimize import brentq
from scipy.special import softmax

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.gate.decision import decide
from titlebout.gate.dummy import dummy_predictions
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import default_losses
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.inference import INDEPENDENT, from_influence
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings, RulesSettings, SlicesSettings

ALPHA = 0.05
PLAIN = GateSettings(guardrails=(), rules=RulesSettings(age="non-inferior"))
SLICED = GateSettings(slices=SlicesSettings(columns=("slice",)))
CLASSES = (0.4, 0.25, 0.2, 0.1, 0.05)
WEEKS, WINDOW_WEEKS, ROWS_A_WEEK = 52, 2, 170
REFRESHES, LOSS, CREEP_ROWS = 50, 0.005, 2000
EACH = 5  # rows of a customer
CHALLENGER_SD, LARGE = 0.05, 200_000  # noise of the better model in weak worlds; rows that decide on the other's
MIXED = 0.04  # variance of what two retrained models add to the log odds, in worlds of several classes

Row = dict[str, Any]
World = Callable[[np.random.Generator, int], HoldoutPredictions]


@dataclass(frozen=True)
class Size:
    """Repetitions: guardrails, weak signal and ratios by number of rows; years; chains of refreshes; first champions."""

    guards: Mapping[int, int]
    weak: Mapping[int, int]
    ratios: Mapping[int, int]
    years: int
    chains: int
    firsts: int


FULL = Size(
    {200: 600, 500: 300, 2000: 100},
    {2000: 300, 10_000: 50},
    {200: 1000, 500: 1000, 2000: 400},
    years=100,
    chains=10,
    firsts=100,
)


def parts(seed: int, size: Size = FULL) -> dict[str, Callable[[], list[Row]]]:
    """Return what is measured, by name."""
    return {
        "guards": lambda: [_guards(seed, at, cell) for at, cell in enumerate(_cells(guard_worlds(), size.guards))],
        "weak": lambda: [_weak(seed, at, cell) for at, cell in enumerate(_cells(weak_worlds(), size.weak))],
        "ratios": lambda: [row for at, cell in enumerate(size.ratios.items()) for row in _ratios(seed, at, cell)],
        "looks": lambda: [_years(seed, at, name, size.years) for at, name in enumerate(HOLDOUTS)],
        "creep": lambda: [_creep(seed, anchored, size.chains) for anchored in (True, False)],
        "firsts": lambda: [_firsts(seed, at, name, size.firsts) for at, name in enumerate(CONSTANTS)],
    }


def _cells(made: Mapping[str, World], sizes: Mapping[int, int]) -> list[tuple[str, World, int, int]]:
    return [(name, world, n, times) for n, times in sizes.items() for name, world in made.items()]


# Guardrails and an equal challenger


def guard_worlds() -> dict[str, World]:
    """Return worlds in which the challenger is exactly as good as the champion."""
    return {
        "two classes, eight slices": worlds.classification,
        "values, eight slices": worlds.regression,
        "values, heavy tails": lambda rng, n: worlds.regression(rng, n, heavy=True),
        "five classes": lambda rng, n: several(rng, n, 1.5, 1.0),
        "five classes, overconfident": lambda rng, n: several(rng, n, 1.5, 1.6),
        "one positive in 40": lambda rng, n: rare(rng, n, 2.5),
    }


def _guards(seed: int, at: int, cell: tuple[str, World, int, int]) -> Row:
    name, world, n, times = cell
    rng, stopped, blocked = np.random.default_rng([seed, 21, at]), Counter[str](), 0
    for _ in range(times):
        predictions = world(rng, n)
        found = decide(predictions, SLICED if len(predictions.columns.columns) else GateSettings(), "change")
        stopped.update(
            f"{guard.name} {guard.status}" for guard in found.guards if guard.status in {"failed", "untested"}
        )
        blocked += any(guard.status == "failed" for guard in found.guards)
    return {
        "world": name,
        "n": n,
        **_rate(blocked, times),
        "guards": {guard: count / times for guard, count in stopped.items()},
    }


def several(rng: np.random.Generator, n: int, separation: float, sharpened: float) -> HoldoutPredictions:
    """Return a holdout of five classes and two equal models; `sharpened` above 1: both are overconfident."""
    prior = np.array(CLASSES)
    y = rng.choice(len(prior), n, p=prior).astype(np.int64)
    seen = separation * np.eye(len(prior))[y] + rng.normal(size=(n, len(prior)))

    def model() -> FloatArray:
        noise = np.sqrt(MIXED) * rng.normal(size=(n, len(prior)))
        return softmax(np.log(prior) + sharpened * separation * (seen + noise), axis=1)

    predicted = {"challenger": model(), "champion": model(), "dummy": np.tile(prior, (n, 1))}
    return HoldoutPredictions(GroundTruth("classification", y, tuple(range(len(prior)))), predicted)


def rare(rng: np.random.Generator, n: int, separation: float, other: float = 0.1) -> HoldoutPredictions:
    """Return a holdout with one positive in 40; `other`: variance of the champion's own noise, the challenger's is 0.1."""
    base = 0.025
    y = (rng.random(n) < base).astype(np.int64)
    seen = separation * y + rng.normal(size=n)

    def model(own: float) -> FloatArray:
        signal = seen + np.sqrt(own) * rng.normal(size=n)
        odds = np.log(base / (1 - base)) + separation / (1 + own) * (signal - separation / 2)
        positive = 1 / (1 + np.exp(-odds))
        return np.column_stack([1 - positive, positive])

    predicted = {"challenger": model(0.1), "champion": model(other), "dummy": np.tile([1 - base, base], (n, 1))}
    return HoldoutPredictions(GroundTruth("classification", y, (0, 1)), predicted)


# A challenger that is better by the margin, where there is little to know


def weak_worlds() -> dict[str, World]:
    """Return worlds with a challenger that is better by the margin: the champion has as much more noise as that takes."""
    made: dict[str, Callable[[np.random.Generator, int, float], HoldoutPredictions]] = {
        "two classes, ROC AUC 0.61": lambda rng, n, sd: _weak_classes(rng, n, sd, np.array([0.89, 0.11]), 0.4),
        "two classes, ROC AUC 0.61, customers": lambda rng, n, sd: _weak_classes(
            rng, n, sd, np.array([0.89, 0.11]), 0.4, each=EACH
        ),
        "five classes, hardly better than the dummy": lambda rng, n, sd: _weak_classes(
            rng, n, sd, np.array(CLASSES), 0.25
        ),
        "five classes, worse than the dummy": lambda rng, n, sd: _weak_classes(rng, n, sd, np.array(CLASSES), 0.05),
        "values, R2 0.03": _weak_values,
    }
    return {name: _better_by_margin(make) for name, make in made.items()}


def _better_by_margin(make: Callable[[np.random.Generator, int, float], HoldoutPredictions]) -> World:
    """Return a world whose champion has the noise with which its expected loss is larger than the challenger's by 2%."""

    def excess(sd: float) -> float:
        predictions = make(np.random.default_rng(0), LARGE, sd)
        challenger, champion = (
            default_losses(predictions.truth, predictions.predicted[model]).mean()
            for model in ("challenger", "champion")
        )
        return float(champion / challenger - 1 / (1 - worlds.MARGIN))

    sd = brentq(excess, CHALLENGER_SD, 2.0, xtol=1e-4)
    return lambda rng, n: make(rng, n, sd)


def _weak_classes(
    rng: np.random.Generator, n: int, sd: float, prior: FloatArray, separation: float, each: int = 1
) -> HoldoutPredictions:
    """Return the posterior with noise on its log odds; rows of a customer share the noise."""
    units = rng.permutation(np.arange(n) // each)
    y = rng.choice(len(prior), n, p=prior).astype(np.int64)
    odds = np.log(prior) + separation * (separation * np.eye(len(prior))[y] + rng.normal(size=(n, len(prior))))

    def model(noise: float) -> FloatArray:
        drawn = rng.normal(size=(n // each + 1, len(prior)))[units]
        return softmax(odds + noise * drawn, axis=1)

    predicted = {"challenger": model(CHALLENGER_SD), "champion": model(sd), "dummy": np.tile(prior, (n, 1))}
    truth = GroundTruth("classification", y, tuple(range(len(prior))))
    return HoldoutPredictions(truth, predicted, entities=units.astype(np.int64) if each > 1 else None)


def _weak_values(rng: np.random.Generator, n: int, sd: float) -> HoldoutPredictions:
    """Return values of which the signal explains 3%."""
    signal = np.sqrt(0.03) * rng.normal(size=n)
    y = signal + np.sqrt(0.97) * rng.normal(size=n)
    predicted = {
        "challenger": signal + CHALLENGER_SD * rng.normal(size=n),
        "champion": signal + sd * rng.normal(size=n),
        "dummy": np.zeros(n),
    }
    return HoldoutPredictions(GroundTruth("regression", y), predicted)


def _weak(seed: int, at: int, cell: tuple[str, World, int, int]) -> Row:
    name, world, n, times = cell
    rng, found = np.random.default_rng([seed, 22, at]), Counter[str]()
    for _ in range(times):
        found[decide(world(rng, n), GateSettings(), "change").verdict] += 1
    return {"world": name, "n": n, **_rate(found["keep"], times), "promoted": found["promote"] / times}


# Ratios of small counts


def _ratios(seed: int, at: int, cell: tuple[int, int]) -> list[Row]:
    """Return how often the bounds of ratios are wrong, with one positive in 40 and models that are not equally good."""
    n, times = cell
    rng = np.random.default_rng([seed, 23, at])
    names = {"f1": times, "accuracy": times, "average_precision": times, "roc_auc": times}
    names |= {"recall": times // 20, "precision": times // 20}
    large = rare(np.random.default_rng([seed, 24]), 2_000_000, 2.5, 0.3)
    metrics = {name: find_metric(name, "classification") for name in names}
    truths = {
        name: _value(metric, large, "challenger") - _value(metric, large, "champion")
        for name, metric in metrics.items()
        if name not in {"recall", "precision"}
    }
    truths |= _counted(large)
    wrong, unknown = Counter[str](), Counter[str]()
    for run in range(times):
        predictions = rare(rng, n, 2.5, 0.3)
        for name, metric in metrics.items():
            if run >= names[name]:
                continue
            one, other = (
                metric.estimate(predictions.truth, predictions.predicted[model], INDEPENDENT)
                for model in ("challenger", "champion")
            )
            gain = metric.gain(one, other)
            if gain is None or not np.isfinite(gain.se):
                unknown[name] += 1
                continue
            wrong[name] += int(gain.lower(ALPHA) > truths[name]) + int(gain.upper(ALPHA) < truths[name])
    return [
        {"metric": name, "n": n, "unknown": unknown[name] / runs, **_rate(wrong[name] / 2, runs)}
        for name, runs in names.items()
    ]


def _value(metric: Any, predictions: HoldoutPredictions, model: str) -> float:
    return float(metric.estimate(predictions.truth, predictions.predicted[model], INDEPENDENT).value)


def _counted(predictions: HoldoutPredictions) -> dict[str, float]:
    """Return the true differences of recall and precision, by counting: the jackknife of millions of rows takes minutes."""
    values = {}
    for model in ("challenger", "champion"):
        predicted, actual = predictions.predicted[model].argmax(axis=1) == 1, predictions.truth.y == 1
        values[model] = (float(predicted[actual].mean()), float(actual[predicted].mean()))
    both = zip(values["challenger"], values["champion"], strict=True)
    return dict(zip(("recall", "precision"), (one - other for one, other in both), strict=True))


# A year of weekly challengers that are exactly as good as the champion

HOLDOUTS = ("newest two weeks", "growing table, by hash", "the same rows")


def _years(seed: int, at: int, holdout: str, years: int) -> Row:
    """Return the share of years in which any of 52 equal challengers wins, with the budget and without."""
    rng = np.random.default_rng([seed, 25, at])
    ours = plain = 0
    for _ in range(years):
        wins = {"ours": False, "plain": False}
        models = ["champion", *(str(week) for week in range(WEEKS))]
        rows = worlds.several_models(rng, (WEEKS + WINDOW_WEEKS) * ROWS_A_WEEK, dict.fromkeys(models, worlds.OWN))
        for week in range(WEEKS):
            chosen = _chosen(holdout, week)
            names = {"challenger": str(week), "champion": "champion", "dummy": "dummy"}
            predicted = {model: rows.predicted[name][chosen] for model, name in names.items()}
            one = HoldoutPredictions(rows.truth.take(chosen), predicted)
            found = decide(one, PLAIN, "change", week + 1)
            wins["ours"] |= found.verdict == "promote"
            wins["plain"] |= _shown(one)
        ours, plain = ours + wins["ours"], plain + wins["plain"]
    return {"holdout": holdout, **_rate(ours, years), "without": plain / years}


def _shown(predictions: HoldoutPredictions) -> bool:
    """Return whether the challenger is better at the level of the first one of a year, without guardrails."""
    challenger, champion = (
        default_losses(predictions.truth, predictions.predicted[model]) for model in ("challenger", "champion")
    )
    gains = champion - challenger
    return from_influence(float(gains.mean()), gains - gains.mean()).lower(ALPHA) > 0


def _chosen(holdout: str, week: int) -> IntArray:
    newest = (week + WINDOW_WEEKS) * ROWS_A_WEEK
    if holdout == HOLDOUTS[0]:
        return np.arange(newest - WINDOW_WEEKS * ROWS_A_WEEK, newest)
    if holdout == HOLDOUTS[1]:
        return np.arange(0, newest, 5) if newest >= 1000 else np.arange(newest)
    return np.arange(WINDOW_WEEKS * ROWS_A_WEEK)


# Refreshes that are each a little worse


def _creep(seed: int, anchored: bool, chains: int) -> Row:
    """Return how much worse a champion is after 50 refreshes under *non-inferior*, each truly 0.5% worse."""
    final = []
    for chain in range(chains):
        rng = np.random.default_rng([seed, 26, chain])
        anchor = champion = worlds.OWN
        for _ in range(REFRESHES):
            challenger = worlds.noise_for(worlds.log_loss(champion) * (1 + LOSS))
            own = {"challenger": challenger, "champion": champion, "anchor": anchor}
            predictions = worlds.several_models(rng, CREEP_ROWS, own)
            if decide(predictions, PLAIN.model_copy(update={"anchor": anchored}), "age").verdict == "promote":
                champion = challenger
        final.append(worlds.log_loss(champion) / worlds.log_loss(worlds.OWN) - 1)
    return {"anchor": anchored, "chains": chains, "mean": float(np.mean(final)), "largest": float(np.max(final))}


# First models that are a constant

CONSTANTS = {
    "rmse": np.mean,
    "mse": np.mean,
    "r2": np.mean,
    "pinball@0.9": lambda y: np.quantile(y, 0.9),
    "mae": np.median,
}


def _firsts(seed: int, at: int, name: str, times: int) -> Row:
    """Return how often the best constant becomes the first champion, with a skewed target."""
    rng, metric, won = np.random.default_rng([seed, 27, at]), find_metric(name, "regression"), 0
    for _ in range(times):
        trained, y = (GroundTruth("regression", rng.exponential(size=n)) for n in (4000, 1000))
        constant = np.full(1000, float(CONSTANTS[name](trained.y)))  # type: ignore[operator]
        predicted = {"challenger": constant, "dummy": dummy_predictions(metric, trained, y)}
        settings = PLAIN.model_copy(update={"primary_metric": name})
        won += decide(HoldoutPredictions(y, predicted), settings, "change").verdict == "promote"
    return {"metric": name, **_rate(won, times)}


def _rate(count: float, times: int) -> Row:
    share = count / times
    return {"repetitions": times, "rate": share, "error": float(np.sqrt(max(share * (1 - share), 1 / times) / times))}
