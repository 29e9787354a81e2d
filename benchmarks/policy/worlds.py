"""Ten synthetic years with known true probabilities: weekly rows, and the loss of the true model.

Every world begins with half a year of history. Six of twelve columns carry information about the label, the others none.
Every week comes with the Bayes loss, that of the true probabilities on the same labels, so that regret is exact up to
the sampling noise of the labels, which all strategies share.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.backtest.simulation import PeriodData

FloatArray = npt.NDArray[np.float64]

COLUMNS = tuple(f"x{position}" for position in range(12))
TIME, TARGET = "when", "label"
HISTORY, WEEKS, ROWS = 26, 52, 500  # weeks, weeks, rows a week
CHANGE = 13  # week in which abrupt changes begin; a gradual one ends half a year later
BUG = range(20, 23)
START = pd.Timestamp("2023-01-02", tz="UTC")

INTERCEPT, INTERACTION = -1.2, 0.3
WEIGHTS = np.array([1.0, -0.8, 0.7, 0.6, -0.5, 0.4, 0, 0, 0, 0, 0, 0])
OTHER = np.array([0.0, -0.8, 0.7, -0.4, -0.5, 0.4, 0, 0, 0, 0, 0, 0])  # after a change of the concept
SEASONAL = np.array([0, 0, 0, 0.7, 0, 0, 0, 0, 0, 0, 0, 0])

USUAL_SDS, FEW = 5, 0.01


@dataclass(frozen=True)
class World:
    """What changes from week to week; history is weeks -26 to -1.

    Attributes
    ----------
    name, description : str
        As in the tables.
    mean : callable
        Means of the columns, shape (12,), otherwise 0; their variance is 1, and they are independent.
    turned : callable
        Share of the changed concept, from 0 to 1.
    season : callable
        Size of the seasonal part of the concept.
    tilt : callable
        Factor on the odds of the label; the distribution of the columns given the label does not change.
    bug : bool
        For three weeks x0 arrives as 0 and x2 a hundred times too large. The labels are right.
    """

    name: str
    description: str
    mean: Callable[[int], FloatArray] = lambda _: np.zeros(12)
    turned: Callable[[int], float] = lambda _: 0.0
    season: Callable[[int], float] = lambda _: 0.0
    tilt: Callable[[int], float] = lambda _: 1.0
    bug: bool = False


def _after(week: int) -> float:
    return float(week >= CHANGE)


def _slowly(week: int) -> float:
    return float(np.clip((week - CHANGE) / 26, 0, 1))


def _on(*columns: int) -> FloatArray:
    return np.isin(np.arange(12), columns).astype(float)


def _wave(week: int, length: int) -> float:
    return float(np.sin(2 * np.pi * week / length))


WORLDS = (
    World("nothing", "no change"),
    World("5 harmless", "5 irrelevant columns move by 1 sd", mean=lambda week: _after(week) * _on(*range(7, 12))),
    World("6 harmless", "6 irrelevant columns move by 1 sd", mean=lambda week: _after(week) * _on(*range(6, 12))),
    World("label", "the odds of the label are 3 times as high", tilt=lambda week: 3.0 if week >= CHANGE else 1.0),
    World(
        "seasonal columns", "x0 and x1 move with a yearly season", mean=lambda week: 0.75 * _wave(week, 52) * _on(0, 1)
    ),
    World(
        "seasonal concept", "the weight of x3 moves with a season of half a year", season=lambda week: _wave(week, 26)
    ),
    World("new region", "x0 and x1 move by 1.75 sd", mean=lambda week: 1.75 * _after(week) * _on(0, 1)),
    World("abrupt concept", "x0 loses its effect, and the effect of x3 changes its sign", turned=_after),
    World("gradual concept", "the same within half a year", turned=_slowly),
    World("data bug", "for three weeks x0 is 0 and x2 a hundred times too large", bug=True),
)


def log_odds(world: World, week: int, x: FloatArray) -> FloatArray:
    """Return the true log odds of the label for rows of shape (n, 12), before a data bug changes the columns."""
    turned = world.turned(week)
    weights = (1 - turned) * WEIGHTS + turned * OTHER + world.season(week) * SEASONAL
    found: FloatArray = INTERCEPT + x @ weights + INTERACTION * x[:, 0] * x[:, 1] + np.log(world.tilt(week))
    return found


@dataclass(frozen=True)
class Week:
    """The rows of a week, and the Bayes loss (mean log loss of the true probabilities); NaN during the data bug."""

    rows: pd.DataFrame
    bayes: float


def draw(world: World, week: int, seed: int, rows: int = ROWS) -> Week:
    """Draw a week; every world and seed has its own random stream."""
    random = np.random.default_rng([seed, week + HISTORY, *world.name.encode()])
    tilt, many = world.tilt(week), 8 * rows
    x = random.normal(size=(many, 12)) + world.mean(week)
    odds = log_odds(world, week, x)
    y = random.random(many) < 1 / (1 + np.exp(np.log(tilt) - odds))
    kept = np.flatnonzero(y | (random.random(many) < 1 / tilt))[:rows]  # odds times tilt, exactly
    x, odds, y = x[kept], odds[kept], y[kept]
    bayes = float(np.logaddexp(0, np.where(y, -odds, odds)).mean())
    if world.bug and week in BUG:
        x, bayes = x * np.array([0, 1, 100, *[1] * 9]), float("nan")
    times = START + pd.Timedelta(weeks=week) + pd.to_timedelta(np.sort(random.random(rows)) * 7, unit="D")
    frame = pd.DataFrame(x, columns=list(COLUMNS)).assign(**{TIME: times.floor("s"), TARGET: y.astype(np.int64)})
    return Week(frame, bayes)


@dataclass(frozen=True)
class Year:
    """Data of one world for a simulation.

    Attributes
    ----------
    start : DataFrame of shape (13_000, 14)
        Rows of the history.
    periods : tuple of PeriodData
        One per week.
    bayes : tuple of float
        Bayes loss by period; see :class:`Week`.
    """

    start: pd.DataFrame
    periods: tuple[PeriodData, ...]
    bayes: tuple[float, ...]


def year(world: World, seed: int) -> Year:
    """Draw the history and the year of a world."""
    start = pd.concat([draw(world, week, seed).rows for week in range(-HISTORY, 0)], ignore_index=True)
    weeks = [draw(world, week, seed) for week in range(WEEKS)]
    arrived = [
        PeriodData(f"week {number + 1}", week.rows, refusal(start, week.rows)) for number, week in enumerate(weeks)
    ]
    return Year(start, tuple(arrived), tuple(week.bayes for week in weeks))


def refusal(known: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return why a suite with critical ranges refuses a week; empty when it does not.

    It refuses when more than 1% of the values of a column are farther from its mean than 5 sd, or a column has become
    constant. A team sets such ranges as critical; in the scaffolded suite they only warn.
    """
    for name in COLUMNS:
        mean, sd = float(known[name].mean()), float(known[name].std())
        outside = float(((rows[name] - mean).abs() > USUAL_SDS * sd).mean())
        if outside > FEW:
            return f"column '{name}': {outside:.0%} of the values are out of range"
        if rows[name].nunique() == 1:
            return f"column '{name}': all values are the same"
    return ""
