"""Bounds where rows depend on each other: share of lower bounds above the truth, of two models of which neither is better.

Synthetic series have a true difference of 0. On real series the truth is the mean over all rows after the window, so that
what the series does later is part of the error, as it is for a user. Beside ours: rows taken as independent, rows of one
day as one, a plain paired bootstrap and a moving-block bootstrap with blocks of a day.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import series

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.metrics.inference import Dependence, Difference, from_influence

ALPHA = 0.05
SIZES = (336, 1344)
DAY = 24
DRAWS = 200  # of a bootstrap
REPETITIONS = 2400
MOST_WINDOWS = 60
LEFT = 4  # windows of rows that must remain after the last window, for the truth
EACH = 5  # rows of a customer

Row = dict[str, Any]
Bound = Callable[[FloatArray, IntArray], float]
Make = Callable[[np.random.Generator, int], tuple[FloatArray, Dependence]]


def measure(seed: int, repetitions: int = REPETITIONS, bootstraps: int = 100) -> list[Row]:
    """Return the rates of all worlds and of the real series that are installed."""
    rows = [
        _synthetic(np.random.default_rng([seed, 11, n, at]), name, n, make, repetitions, bootstraps)
        for n in SIZES
        for at, (name, make) in enumerate(worlds().items())
    ]
    for group, loaders in (("tuning", series.TUNING), ("judging", series.JUDGING)):
        for name, found in series.measured(loaders, seed):
            sizes = [n for n in SIZES if found.losses.shape[1] > LEFT * n]
            rows += [_real(np.random.default_rng([seed, 12, n]), name, group, n, found) for n in sizes]
    return rows


def worlds() -> Mapping[str, Make]:
    """Return makers of differences with mean 0, and what is known of the dependence of their rows."""
    return {
        "independent": lambda rng, n: (rng.normal(size=n), _in_time(n)),
        "heavy tails": lambda rng, n: (rng.standard_t(3, size=n), _in_time(n)),
        "autoregressive 0.97, noise": lambda rng, n: (_autoregressive(rng, n, 0.97) + rng.normal(size=n), _in_time(n)),
        "day effects": lambda rng, n: (
            rng.normal(size=n // DAY)[np.arange(n) // DAY] + rng.normal(size=n),
            _in_time(n),
        ),
        "three series at once": _three,
        "customers, named": _customers,
    }


def _in_time(n: int) -> Dependence:
    return Dependence(times=np.arange(n))


def _three(rng: np.random.Generator, n: int) -> tuple[FloatArray, Dependence]:
    """Return three series, as of three places, that share their weather."""
    hours = n // 3
    shared = _autoregressive(rng, hours, 0.9)
    rows = np.arange(hours * 3) // 3
    return shared[rows] + rng.normal(size=hours * 3), Dependence(times=rows)


def _customers(rng: np.random.Generator, n: int) -> tuple[FloatArray, Dependence]:
    units = rng.permutation(np.arange(n) // EACH)
    return rng.normal(size=n // EACH + 1)[units] + rng.normal(size=n), Dependence(units=units)


def _autoregressive(rng: np.random.Generator, n: int, correlation: float) -> FloatArray:
    steps = rng.normal(size=n) * np.sqrt(1 - correlation**2)
    values = np.empty(n)
    values[0] = rng.normal()
    for row in range(1, n):
        values[row] = correlation * values[row - 1] + steps[row]
    return values


def _synthetic(rng: np.random.Generator, name: str, n: int, make: Make, repetitions: int, bootstraps: int) -> Row:
    found: dict[str, list[tuple[float, float]]] = {}
    for run in range(repetitions):
        gains, dependence = make(rng, n)
        widths = _widths(rng, gains, dependence, with_bootstraps=run < bootstraps)
        for rule, width in widths.items():
            missed = float(gains.mean() - width > 0) + float(gains.mean() + width < 0)
            found.setdefault(rule, []).append((missed / 2, width))
    return _row(name, "synthetic", n, repetitions, found)


def _real(rng: np.random.Generator, name: str, group: str, n: int, measured: series.Losses) -> Row:
    """Return the rates over consecutive windows and all pairs of models; pairs of a window share its rows."""
    losses, times = measured.losses, measured.times
    first, second = np.triu_indices(len(losses), 1)
    starts = np.arange(0, losses.shape[1] - LEFT * n, n)[:MOST_WINDOWS]
    found: dict[str, list[tuple[float, float]]] = {}
    for start in starts:
        window = slice(start, start + n)
        later = losses[:, start + n :].mean(axis=1)
        for pair, (one, other) in enumerate(zip(first, second, strict=True)):
            gains, truth = losses[other, window] - losses[one, window], later[other] - later[one]
            widths = _widths(rng, gains, Dependence(times=times[window]), with_bootstraps=pair == 0)
            for rule, width in widths.items():
                missed = float(gains.mean() - width > truth) + float(gains.mean() + width < truth)
                found.setdefault(rule, []).append((missed / 2, width))
    return _row(name, group, n, len(starts), found)


def _widths(
    rng: np.random.Generator, gains: FloatArray, dependence: Dependence, *, with_bootstraps: bool
) -> dict[str, float]:
    """Return the half-widths of the one-sided intervals of every rule."""
    days = Dependence(units=np.arange(len(gains)) // DAY)
    widths = {
        "ours": _difference(gains, dependence).half_width(ALPHA),
        "independent rows": _difference(gains, Dependence()).half_width(ALPHA),
        "days": _difference(gains, days).half_width(ALPHA),
    }
    if with_bootstraps:
        widths |= {"bootstrap": _bootstrap(rng, gains, 1), "block bootstrap": _bootstrap(rng, gains, DAY)}
    return widths


def _difference(gains: FloatArray, dependence: Dependence) -> Difference:
    return from_influence(float(gains.mean()), gains - gains.mean(), dependence)


def _bootstrap(rng: np.random.Generator, gains: FloatArray, block: int) -> float:
    """Return the distance of the mean from the 5% quantile of its (moving-block) bootstrap distribution."""
    n = len(gains)
    starts = rng.integers(0, n - block + 1, (DRAWS, -(-n // block)))
    rows = (starts[:, :, np.newaxis] + np.arange(block)).reshape(DRAWS, -1)[:, :n]
    return float(gains.mean() - np.quantile(gains[rows].mean(axis=1), ALPHA))


def _row(name: str, group: str, n: int, windows: int, found: Mapping[str, list[tuple[float, float]]]) -> Row:
    means = {rule: np.mean(values, axis=0) for rule, values in found.items()}
    return {
        "world": name,
        "group": group,
        "n": n,
        "windows": windows,
        "missed": {rule: float(mean[0]) for rule, mean in means.items()},
        "width": {rule: float(mean[1] / means["independent rows"][1]) for rule, mean in means.items()},
    }
