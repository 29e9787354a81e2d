"""Policies, and variants of titlebout's, play the years; every season becomes one row of figures."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import worlds
from team import Team

from titlebout.backtest.backtest import Plan, compare
from titlebout.backtest.simulation import CONTENDERS, Contender, Season, play
from titlebout.data.tables import read_table
from titlebout.drift.report import share_drifted
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project

DELAY = 4  # weeks until labels are known
TITLEBOUT = CONTENDERS[-1]
FIRST_MONTHS = 2

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Variant:
    """Another titlebout: without a part of it, or with labels that come sooner or later."""

    name: str
    contender: Contender = TITLEBOUT
    policy: Mapping[str, Any] = field(default_factory=dict)
    windows: bool = True
    delay: int = DELAY

    def team(self, team: Team) -> Team:
        """Return the team with this policy; what was fitted or seen is shared where it is the same."""
        policy = team.settings.policy.model_copy(update=self.policy)
        team = replace(team, settings=team.settings.model_copy(update={"policy": policy}))
        if self.windows:
            return team
        split = team.params.split.model_copy(update={"windows": ()})
        return Team(team.params.model_copy(update={"split": split}), team.settings)


def without_drift(**others: Any) -> dict[str, Any]:
    """Return a policy to which drift is no reason; it takes a tenth of the time to play."""
    return {"drift": False, **others}


# Played in all years.
SETTINGS = (
    Variant("without drift trigger", policy=without_drift()),
    Variant("the same, decay from z = 1.64", policy=without_drift(decay_z=1.64)),
    Variant("the same, decay from z = 3", policy=without_drift(decay_z=3.0)),
    Variant("without drift trigger, follow-ups after 8", policy=without_drift(follow_up_periods=(8,))),
    Variant("the same, after 2, 4 and 8", policy=without_drift(follow_up_periods=(2, 4, 8))),
    Variant("without drift trigger, with schedule trigger", policy=without_drift(schedule=True)),
)
# Played in a few.
PARTS = (
    Variant("without the data check", contender=replace(TITLEBOUT, checked=False)),
    SETTINGS[0],
    Variant("the same, without follow-ups", policy=without_drift(follow_up_periods=())),
    Variant("the same, without a choice of window", policy=without_drift(), windows=False),
    Variant("the same, labels 1 week late", policy=without_drift(), delay=1),
    Variant("the same, labels 12 weeks late", policy=without_drift(), delay=12),
)


def year(name: str, seed: int, variants: Iterable[Variant]) -> Iterator[Row]:
    """Yield what every policy, and every variant, makes of a world."""
    world = next(one for one in worlds.WORLDS if one.name == name)
    lived, team, fits = worlds.year(world, seed), Team(), {}
    about = {"world": name, "seed": seed}
    for contender in CONTENDERS:
        season = play(lived.start, lived.periods, contender, team, label_delay=DELAY, fits=fits)
        yield about | {"policy": contender.name, "variant": ""} | _figures(season, lived.bayes)
    for variant in variants:
        season = play(
            *(lived.start, lived.periods, variant.contender, variant.team(team)),
            label_delay=variant.delay,
            fits=fits if variant.windows else {},
        )
        yield about | {"policy": TITLEBOUT.name, "variant": variant.name} | _figures(season, lived.bayes)


def _figures(season: Season, bayes: tuple[float, ...]) -> Row:
    losses = np.array([turn.loss for turn in season.outcomes])
    ended = Counter(f"{turn.reason}: {turn.verdict}" for turn in season.outcomes if turn.decision == "attempt")
    return {
        "regret": float(1000 * np.nanmean(losses - np.array(bayes))),
        "attempts": season.attempts,
        "pull_requests": season.pull_requests,
        "ended": dict(sorted(ended.items())),
    }


def evidently_agrees(seed: int, times: int) -> Row:
    """Compare the reproduced default of Evidently with Evidently itself, on weeks with and without a shift."""
    team, found = Team(), []
    for number in range(times):
        world = worlds.WORLDS[number % len(worlds.WORLDS)]
        start = worlds.draw(world, -1, seed, 2_000).rows[list(worlds.COLUMNS)]
        week = worlds.draw(world, worlds.CHANGE + number, seed).rows[list(worlds.COLUMNS)]
        found.append((team.shifted(start, week), share_drifted(start, week)))
    return {"samples": times, "agreed": sum(ours == theirs for ours, theirs in found), "drifted": float(np.mean(found))}


def flights(project: Project) -> list[Row]:
    """Return what every policy makes of the real year: ten months after the first two, labels at once."""
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
            "turns": [f"{turn.name}: {turn.reason}: {turn.verdict}" for turn in one.outcomes if turn.reason],
        }
        for one in result.policies
    ]
