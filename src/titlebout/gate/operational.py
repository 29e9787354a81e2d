"""What a model must do whatever its metrics are: the same answer to the same row, in time, at a size one can carry."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.data.sampling import evenly_spaced
from titlebout.gate.decision import Guard
from titlebout.models.artifact import Model
from titlebout.settings.gate import ResourceSettings

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-6, 1e-8
ASKED_ROWS = 256
MEGABYTE = 1e6
FEWEST_PAIRS, LATENCY_SECONDS = 10, 3.0  # a slow model is not timed for long
TOO_SLOW_LEVEL = 0.01  # of the sign test: a runner shared with other jobs makes one answer in five twice as long


@dataclass(frozen=True)
class Behaviour:
    """What was measured of a challenger beside its answers' quality.

    Attributes
    ----------
    guards : tuple of Guard
    latency_ms : dict
        Median time of an answer to one row, by model.
    size_bytes : dict
        Size of the weights, by model.
    """

    guards: tuple[Guard, ...]
    latency_ms: dict[str, float]
    size_bytes: dict[str, int]


def behaviour(challenger: Model, champion: Model | None, rows: pd.DataFrame, settings: ResourceSettings) -> Behaviour:
    """Ask a challenger in several ways, and time and weigh it against the champion.

    Parameters
    ----------
    challenger : Model
    champion : Model or None
    rows : DataFrame of shape (n_rows, n_columns)
        Rows to ask, for example the holdout; up to 256 of them are taken.
    settings : ResourceSettings
    """
    asked = rows.iloc[evenly_spaced(len(rows), ASKED_ROWS)]
    models = {"challenger": challenger} | ({"champion": champion} if champion else {})
    seconds = _timed(models, asked.head(1), settings.latency_pairs)
    latency = {who: float(np.median(taken)) * 1e3 for who, taken in seconds.items()}
    size = {who: (model.folder / "model.skops").stat().st_size for who, model in models.items()}
    guards = [_invariant(challenger, asked), _golden(challenger)]
    if champion:
        slower = shown_slower(seconds["challenger"], seconds["champion"], settings.max_latency_ratio)
        guards += [_in_time(latency, slower, settings), _small(size, settings)]
    return Behaviour(tuple(guards), latency, size)


def _invariant(model: Model, rows: pd.DataFrame) -> Guard:
    """Check that the answer to a row does not depend on how it is asked."""
    expected = model.predict(rows)
    broken = [how for how, ask in _ways(model, rows) if not _same(ask(), expected)]
    told = f"its answers change with {', '.join(broken)}" if broken else "rows, columns and batches in any order"
    return Guard(name="same answers", status="failed" if broken else "passed", detail=told)


def _ways(model: Model, rows: pd.DataFrame) -> Iterator[tuple[str, Callable[[], FloatArray]]]:
    half = len(rows) // 2
    yield "asking twice", lambda: model.predict(rows)
    yield "the order of the rows", lambda: model.predict(rows.iloc[::-1])[::-1]
    yield "the order of the columns", lambda: model.predict(rows[rows.columns[::-1]])
    if half:
        yield (
            "the size of the batch",
            lambda: np.concatenate([model.predict(rows.iloc[:half]), model.predict(rows.iloc[half:])]),
        )


def _golden(model: Model) -> Guard:
    """Check that the model that was read from the disk answers as the one that was trained."""
    golden = json.loads((model.folder / "golden.json").read_text(encoding="utf-8"))
    answers = model.predict(pd.DataFrame(golden["rows"], columns=list(model.kinds)))
    expected = np.asarray(golden["answers"], dtype=np.float64)
    if _same(answers, expected):
        return Guard(name="golden rows", status="passed", detail=f"{len(expected)} answered as when it was trained")
    return Guard(
        name="golden rows",
        status="failed",
        detail=f"read back, it answers otherwise, by up to {_distance(answers, expected)}",
    )


def shown_slower(challenger: FloatArray, champion: FloatArray, ratio: float) -> bool:
    """Tell by a sign test whether the median of the paired ratios is beyond the allowed one.

    Parameters
    ----------
    challenger, champion : ndarray of shape (n_pairs,), float64, seconds
        Times of answers that were asked for right after each other.
    ratio : float
        How many times as long a challenger may take.
    """
    from scipy.stats import binomtest

    beyond = int(np.sum(challenger > ratio * champion))
    return bool(binomtest(beyond, len(champion), 0.5, alternative="greater").pvalue < TOO_SLOW_LEVEL)


def _in_time(latency: dict[str, float], slower: bool, settings: ResourceSettings) -> Guard:
    slow = slower and latency["challenger"] > settings.latency_budget_ms
    told = f"{latency['champion']:.1f} ms → {latency['challenger']:.1f} ms a row"
    return Guard(name="latency", status="failed" if slow else "passed", detail=told)


def _small(size: dict[str, int], settings: ResourceSettings) -> Guard:
    ratio = size["challenger"] / size["champion"]
    large = ratio > settings.max_size_ratio and size["challenger"] > settings.size_budget_mb * MEGABYTE
    told = f"{size['champion'] / 1e3:,.0f} kB → {size['challenger'] / 1e3:,.0f} kB, {ratio:.2f} times"
    return Guard(name="size", status="failed" if large else "passed", detail=told)


def _timed(models: dict[str, Model], row: pd.DataFrame, pairs: int) -> dict[str, FloatArray]:
    """Return seconds of shape (n_pairs,) by model; they take turns, so that a busy machine slows them all."""
    seconds: dict[str, list[float]] = {who: [] for who in models}
    for model in models.values():
        model.predict(row)  # the first answer pays for what is only loaded then
    deadline = time.monotonic() + LATENCY_SECONDS
    for pair in range(pairs):
        if pair >= FEWEST_PAIRS and time.monotonic() > deadline:
            break
        for who, model in models.items():
            begun = time.perf_counter()
            model.predict(row)
            seconds[who].append(time.perf_counter() - begun)
    return {who: np.asarray(taken) for who, taken in seconds.items()}


def _same(answers: FloatArray, expected: FloatArray) -> bool:
    return answers.shape == expected.shape and np.allclose(
        answers, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True
    )


def _distance(answers: FloatArray, expected: FloatArray) -> Any:
    return f"{np.nanmax(np.abs(answers - expected)):.3g}" if answers.shape == expected.shape else "another shape"
