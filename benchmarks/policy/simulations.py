"""Simulations of the strategies, and of variants of titlebout, on the synthetic years; one row of figures each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import worlds
from workload import Workload

from titlebout.backtest.backtest import Plan, compare
from titlebout.backtest.simulation import STRATEGIES, SimulationResult, Strategy, simulate
from titlebout.data.tables import read_table
from titlebout.drift.report import share_drifted
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project

DELAY = 4  # weeks until labels are known
TITLEBOUT = STRATEGIES[-1]
FIRST_MONTHS = 2

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Variant:
    """Variant of titlebout: without one of its parts, or with another label delay."""

    name: str
    strategy: Strategy = TITLEBOUT
    policy: Mapping[str, Any] = field(default_factory=dict)
    windows: bool = True
    delay: int = DELAY

    def workload(self, workload: Workload) -> Workload:
        """Return the workload with this policy; it shares its caches unless the windows differ."""
        policy = workload.settings.policy.model_copy(update=self.policy)
        workload = replace(workload, settings=workload.settings.model_copy(update={"policy": policy}))
        if self.windows:
            return workload
        split = workload.params.split.model_copy(update={"windows": ()})
        return Workload(workload.params.model_copy(update={"split": split}), workload.settings)


def without_drift(**others: Any) -> dict[str, Any]:
    """Return a policy without the drift trigger; it takes a tenth of the time to simulate."""
    return {"drift": False, **others}


# Simulated in all worlds.
SETTINGS = (
    Variant("without drift trigger", policy=without_drift()),
    Variant("the same, decay from z = 1.64", policy=without_drift(decay_z=1.64)),
    Variant("the same, decay from z = 3", policy=without_drift(decay_z=3.0)),
    Variant("without drift trigger, follow-ups after 8", policy=without_drift(follow_up_periods=(8,))),
    Variant("the same, after 2, 4 and 8", policy=without_drift(follow_up_periods=(2, 4, 8))),
    Variant("without drift trigger, with schedule trigger", policy=without_drift(schedule=True)),
)
# Simulated in a few worlds.
PARTS = (
    Variant("without the data check", strategy=replace(TITLEBOUT, checked=False)),
    SETTINGS[0],
    Variant("the same, without follow-ups", policy=without_drift(follow_up_periods=())),
    Variant("the same, without a choice of window", policy=without_drift(), windows=False),
    Variant("the same, labels 1 week late", policy=without_drift(), delay=1),
    Variant("the same, labels 12 weeks late", policy=without_drift(), delay=12),
)


def year(name: str, seed: int, variants: Iterable[Variant]) -> Iterator[Row]:
    """Yield a row of figures for every strategy and every variant in one world."""
    world = next(candidate for candidate in worlds.WORLDS if candidate.name == name)
    data, workload, fit_cache = worlds.year(world, seed), Workload(), {}
    about = {"world": name, "seed": seed}
    for strategy in STRATEGIES:
        simulation = simulate(data.start, data.periods, strategy, workload, label_delay=DELAY, fit_cache=fit_cache)
        yield about | {"policy": strategy.name, "variant": ""} | _figures(simulation, data.bayes)
    for variant in variants:
        simulation = simulate(
            *(data.start, data.periods, variant.strategy, variant.workload(workload)),
            label_delay=variant.delay,
            fit_cache=fit_cache if variant.windows else {},
        )
        yield about | {"policy": TITLEBOUT.name, "variant": variant.name} | _figures(simulation, data.bayes)


def _figures(simulation: SimulationResult, bayes: tuple[float, ...]) -> Row:
    losses = np.array([outcome.loss for outcome in simulation.outcomes])
    ended = Counter(
        f"{outcome.reason}: {outcome.verdict}" for outcome in simulation.outcomes if outcome.decision == "attempt"
    )
    return {
        "regret": float(1000 * np.nanmean(losses - np.array(bayes))),
        "attempts": simulation.attempts,
        "pull_requests": simulation.pull_requests,
        "ended": dict(sorted(ended.items())),
    }


def evidently_agrees(seed: int, times: int) -> Row:
    """Compare the reproduced default of Evidently with Evidently itself, on weeks with and without a shift."""
    workload, found = Workload(), []
    for number in range(times):
        world = worlds.WORLDS[number % len(worlds.WORLDS)]
        start = worlds.draw(world, -1, seed, 2_000).rows[list(worlds.COLUMNS)]
        week = worlds.draw(world, worlds.CHANGE + number, seed).rows[list(worlds.COLUMNS)]
        found.append((workload.drifted_share(start, week), share_drifted(start, week)))
    return {"samples": times, "agreed": sum(ours == theirs for ours, theirs in found), "drifted": float(np.mean(found))}


def flights(project: Project) -> list[Row]:
    """Return the figures of every strategy for the real year: ten months after the first two, without label delay."""
    Dvc(project).pull_data()
    months = [(path.stem, read_table(path)) for path in sorted(project.data_dir.glob("*.parquet"))]
    start = pd.concat([rows for _, rows in months[:FIRST_MONTHS]], ignore_index=True)
    result = compare(project, start, months[FIRST_MONTHS:], Plan(), lambda _: None)
    return [
        {
            "policy": one.name,
            "loss": one.mean_loss,
            "difference": one.difference,
            "se": one.se,
            "attempts": one.attempts,
            "pull_requests": one.pull_requests,
            "turns": [
                f"{outcome.name}: {outcome.reason}: {outcome.verdict}" for outcome in one.outcomes if outcome.reason
            ],
        }
        for one in result.strategies
    ]
