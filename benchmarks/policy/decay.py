"""False and missed performance decay: half a year of weekly looks at losses whose days differ in difficulty.

Losses are drawn directly, so that the truth is exact. The threshold was chosen on the losses ``tuning`` with seeds below 1,000; claims
are judged on ``judging`` (other distributions) with seeds from 9,000.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from record import Claim
from scipy.stats import binomtest, ttest_ind

from titlebout.metrics.inference import Dependence, from_influence
from titlebout.policy.performance import SLOW_FACTOR, increase
from titlebout.settings.policy import PolicySettings

LOOKS, WINDOW, HOLDOUT, HISTORY = 26, 28, 14, 182  # weeks; days
SETTINGS = PolicySettings()
PLAIN_Z = 2.33  # the former rule: Welch's test for independent rows at 1% a look

Random = np.random.Generator
Losses = np.ndarray[Any, np.dtype[np.float64]]
Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """Difficulty of days and rows.

    Attributes
    ----------
    a_week : int
        Rows a week.
    day : float
        Standard deviation of the logarithm of a day's difficulty.
    persistence : float
        Autocorrelation of that logarithm from day to day.
    growth : float
        Relative increase of the loss from week 5 on.
    holdout : {"newest days", "random rows"}
    """

    a_week: int
    day: float
    persistence: float = 0.0
    growth: float = 0.0
    holdout: str = "newest days"


NULL = tuple(World(a_week, day) for day in (0.0, 0.15, 0.30) for a_week in (500, 2000))
OTHER = (World(2000, 0.3, holdout="random rows"), World(2000, 0.15, persistence=0.5), World(2000, 0.3, persistence=0.5))
DECAYS = tuple(World(2000, day, growth=growth) for day in (0.0, 0.15, 0.3) for growth in (0.1, 0.2, 0.4, 0.8))
FOUND = {0.0: 0.1, 0.15: 0.4, 0.3: 0.8}  # by the sd of a day's difficulty, the growth that is found in at least 80%
DRAWS: Mapping[str, Callable[[Random, int], Losses]] = {
    "tuning": lambda random, rows: random.exponential(1, rows),
    "judging": lambda random, rows: random.gamma(0.5, 2, rows),
}


def measure(shape: str, runs: int, say: Callable[[str], None]) -> list[Row]:
    """Return the share of half-years with an alarm, for every world."""
    found = []
    for world in (*NULL, *OTHER, *DECAYS):
        first, many = 9_000 if shape == "judging" else 0, max(2, runs // 4) if world.growth else runs
        alarms = [_half_year(np.random.default_rng([first + run, world.a_week]), world, shape) for run in range(many)]
        row = {**world.__dict__, "runs": many} | {
            rule: sum(int(one[position]) for one in alarms) for position, rule in enumerate(("titlebout", "plain"))
        }
        say(str(row))
        found.append(row)
    return found


def _half_year(random: Random, world: World, shape: str) -> tuple[bool, bool]:
    """Return whether either rule gives an alarm in half a year."""
    days = HISTORY + 7 * LOOKS
    log = random.normal(size=days)
    for day in range(1, days):
        log[day] = world.persistence * log[day - 1] + np.sqrt(1 - world.persistence**2) * log[day]
    day_of = np.sort(random.integers(0, days, world.a_week * days // 7))
    losses = DRAWS[shape](random, len(day_of)) * np.exp(world.day * log)[day_of]
    losses[day_of >= HISTORY + 28] *= 1 + world.growth
    known = np.flatnonzero(day_of < HISTORY)
    held = random.random(len(known)) < 0.2 if world.holdout == "random rows" else day_of[known] >= HISTORY - HOLDOUT
    before, before_mean = losses[known[held]], _mean(losses[known[held]], day_of[known[held]])
    ours = plain = False
    for look in range(1, LOOKS + 1):
        end = HISTORY + 7 * look
        window = slice(*np.searchsorted(day_of, [max(end - WINDOW, HISTORY), end]))
        now = losses[window]
        ours |= increase(before_mean, _mean(now, day_of[window])) >= SETTINGS.decay_z
        plain |= ttest_ind(now, before, equal_var=False).statistic >= PLAIN_Z
    return ours, plain


def _mean(losses: Losses, times: "np.ndarray[Any, Any]") -> Any:
    mean = float(losses.mean())
    return from_influence(mean, losses - mean, Dependence(times=times, slow_factor=SLOW_FACTOR))


def claims(rows: list[Row]) -> Iterator[Claim]:
    """Check the bounds: they were set before the run."""
    for row in rows:
        world = f"{row['a_week']:,} rows a week, days that differ by {row['day']:.0%}"
        low, figures = _interval(row["titlebout"], row["runs"])
        if row["growth"] == 0 and row["persistence"] == 0:
            where = f"{world}, holdout of {row['holdout']}"
            yield Claim(f"false `perf_decay` in at most 5% of half-years: {where}", figures, bool(low <= 0.05))
        if row["growth"] == FOUND[row["day"]]:
            claim = f"a loss that grows by {row['growth']:.0%} is found within 22 weeks in at least 80%: {world}"
            yield Claim(claim, figures, row["titlebout"] >= 0.8 * row["runs"])


def _interval(hits: int, runs: int) -> tuple[float, str]:
    found = binomtest(hits, runs).proportion_ci(0.95, method="wilson")
    return found.low, f"{hits} of {runs} ({100 * found.low:.1f} to {100 * found.high:.1f}%)"


def table(rows: list[Row]) -> str:
    """Return all worlds as a Markdown table."""
    lines = [
        "| rows a week | sd of a day's difficulty | day to day | holdout | loss grows by | alarm in half a year | Welch, z ≥ 2.33 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ours, plain = (_interval(row[rule], row["runs"])[1] for rule in ("titlebout", "plain"))
        world = f"{row['a_week']:,} | {row['day']:.0%} | {row['persistence']} | {row['holdout']} | {row['growth']:.0%}"
        lines.append(f"| {world} | {ours} | {plain} |")
    return "\n".join(lines)
