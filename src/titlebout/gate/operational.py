"""Operational guardrails, independent of any metric: reproducible predictions, latency and model size."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.data.sampling import evenly_spaced
from titlebout.gate.guardrails import GuardrailResult, Status
from titlebout.models.artifact import Model
from titlebout.settings.gate import MIN_LATENCY_PAIRS, ResourceSettings

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-6, 1e-8
CHECKED_ROWS = 256
MEGABYTE = 1e6
# Level of the sign test. It is strict because on a runner shared with other jobs one prediction in five takes twice as long.
SLOWER_LEVEL = 0.01
TICK = 1e-9  # seconds; a clock may not advance during a prediction
LATENCY_SECONDS = 3.0  # after this only the minimum number of pairs is completed


@dataclass(frozen=True)
class OperationalChecks:
    """Operational measurements and the guardrails based on them.

    Attributes
    ----------
    guards : tuple of GuardrailResult
        One per check.
    latency_ms : dict
        Median time of a prediction for one row, by model.
    size_bytes : dict
        Size of the model file, by model.
    """

    guards: tuple[GuardrailResult, ...]
    latency_ms: dict[str, float]
    size_bytes: dict[str, int]


def run_operational_checks(
    challenger: Model,
    champion: Model | None,
    rows: pd.DataFrame,
    settings: ResourceSettings,
    clock: Callable[[], float] = time.perf_counter,
) -> OperationalChecks:
    """Check that a challenger's predictions are reproducible, and compare its latency and size with the champion's.

    Parameters
    ----------
    challenger : Model
        Model to check.
    champion : Model or None
        Baseline for latency and size; without it neither is checked.
    rows : DataFrame of shape (n_rows, n_columns)
        Rows to predict, for example the holdout; at most 256 of them are used.
    settings : ResourceSettings
        Limits for latency and size.
    clock : callable, optional
        Returns seconds; replaced in tests.
    """
    scored = rows.iloc[evenly_spaced(len(rows), CHECKED_ROWS)]
    models = {"challenger": challenger} | ({"champion": champion} if champion else {})
    seconds = _measure_latency(models, scored.head(1), settings.latency_pairs, clock)
    latency = {name: float(np.median(taken)) * 1e3 for name, taken in seconds.items()}
    size = {name: (model.folder / "model.skops").stat().st_size for name, model in models.items()}
    guards = [_prediction_invariance(challenger, scored), _golden_rows(challenger)]
    if champion:
        ratios = np.maximum(seconds["challenger"], TICK) / np.maximum(seconds["champion"], TICK)
        guards += [_latency(latency["challenger"], ratios, settings), _size(size, settings)]
    return OperationalChecks(tuple(guards), latency, size)


def _prediction_invariance(model: Model, rows: pd.DataFrame) -> GuardrailResult:
    """Check that the prediction for a row does not depend on the request it is part of."""
    expected = model.predict(rows)
    broken = [variant for variant, predict in _variants(model, rows) if not _same(predict(), expected)]
    detail = f"predictions depend on {', '.join(broken)}" if broken else "in any row order, column order and batch size"
    return GuardrailResult(name="same answers", status="failed" if broken else "passed", detail=detail)


def _variants(model: Model, rows: pd.DataFrame) -> Iterator[tuple[str, Callable[[], FloatArray]]]:
    half = len(rows) // 2
    yield "repetition", lambda: model.predict(rows)
    yield "row order", lambda: model.predict(rows.iloc[::-1])[::-1]
    yield "column order", lambda: model.predict(rows[rows.columns[::-1]])
    if half:
        yield (
            "batch size",
            lambda: np.concatenate([model.predict(rows.iloc[:half]), model.predict(rows.iloc[half:])]),
        )


def _golden_rows(model: Model) -> GuardrailResult:
    """Check that the model loaded from disk predicts the golden rows as it did after training."""
    golden = json.loads((model.folder / "golden.json").read_text(encoding="utf-8"))
    answers = model.predict(pd.DataFrame(golden["rows"], columns=list(model.kinds)))
    expected = np.asarray(golden["answers"], dtype=np.float64)
    if _same(answers, expected):
        return GuardrailResult(
            name="golden rows", status="passed", detail=f"{len(expected)}, predicted as after training"
        )
    return GuardrailResult(
        name="golden rows",
        status="failed",
        detail=f"the model loaded from disk predicts differently: {_difference(answers, expected)}",
    )


def significantly_slower(ratios: FloatArray, most: float) -> bool:
    """Return whether the median of the paired latency ratios is significantly above the limit (sign test).

    Parameters
    ----------
    ratios : ndarray of shape (n_pairs,)
        Latency of the challenger by that of the champion; measured in turn, so that both run under the same load.
    most : float
        Largest allowed ratio of challenger to champion.
    """
    from scipy.stats import binomtest

    return bool(binomtest(int(np.sum(ratios > most)), len(ratios), 0.5, alternative="greater").pvalue < SLOWER_LEVEL)


def _latency(milliseconds: float, ratios: FloatArray, settings: ResourceSettings) -> GuardrailResult:
    """Return the guardrail of latency; the ratio to the champion's depends less on the machine than the latency itself."""
    ratio, budget, most = float(np.median(ratios)), settings.latency_budget_ms, settings.max_latency_ratio
    status: Status = "passed" if milliseconds <= budget or ratio <= most else "warning"
    if milliseconds > budget and significantly_slower(ratios, most):
        status = "failed"
    low, high = median_interval(ratios)
    detail = f"{ratio:.2f} times the champion's ({low:.2f} to {high:.2f}), {milliseconds:.1f} ms (limits: {most:g} times or {budget:g} ms)"
    return GuardrailResult(name="latency", status=status, detail=detail)


def median_interval(values: FloatArray) -> tuple[float, float]:
    """Return a 95% interval of the median, between two values in their order (Conover 1999, section 3.2).

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        At least one. With five or fewer, the interval is that of all values, and covers the median less often.
    """
    from scipy.stats import binom

    outside = max(int(binom.ppf(0.025, len(values), 0.5)) - 1, 0)
    ordered = np.sort(values)
    return float(ordered[outside]), float(ordered[-1 - outside])


def _size(size: dict[str, int], settings: ResourceSettings) -> GuardrailResult:
    ratio = size["challenger"] / size["champion"]
    large = ratio > settings.max_size_ratio and size["challenger"] > settings.size_budget_mb * MEGABYTE
    detail = (
        f"{ratio:.2f} times the champion's, {size['challenger'] / 1e3:,.0f} kB (limits: {settings.max_size_ratio:g} times, or "
        f"{settings.size_budget_mb:g} MB)"
    )
    return GuardrailResult(name="size", status="failed" if large else "passed", detail=detail)


def _measure_latency(
    models: dict[str, Model], row: pd.DataFrame, pairs: int, clock: Callable[[], float]
) -> dict[str, FloatArray]:
    """Return latencies in seconds of shape (n_pairs,) by model, taken in turn so that load affects all models alike."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        model.predict(row)  # warm-up: the first prediction includes lazy imports
    deadline = clock() + LATENCY_SECONDS
    for pair in range(pairs):
        if pair >= MIN_LATENCY_PAIRS and clock() > deadline:
            break
        # In turn first and second, so that what the first prediction leaves in a cache favors neither.
        for name, model in list(models.items())[:: 1 if pair % 2 else -1]:
            begun = clock()
            model.predict(row)
            seconds[name].append(clock() - begun)
    return {name: np.asarray(taken) for name, taken in seconds.items()}


def _same(answers: FloatArray, expected: FloatArray) -> bool:
    return answers.shape == expected.shape and np.allclose(
        answers, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True
    )


def _difference(answers: FloatArray, expected: FloatArray) -> str:
    if answers.shape != expected.shape:
        return "different shape"
    return f"largest difference {np.nanmax(np.abs(answers - expected)):.3g}"
