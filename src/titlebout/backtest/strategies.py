"""When to retrain: the policies that are compared, each a trigger that knows what the loop would know at that moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from titlebout.data.holdout import Split
from titlebout.models.champion import Champion
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import Attempt, Decision, decide
from titlebout.policy.signals import Holder, Situation, drifted_in, measure
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

HALF = 0.5  # of the columns: from that share on Evidently calls a table drifted


class Team(Protocol):
    """A team's own code and configuration."""

    @property
    def params(self) -> Params:
        """Roles of columns, holdout and model."""

    @property
    def settings(self) -> Settings:
        """Policy and gate."""

    def fit(self, rows: pd.DataFrame, /) -> Predictor:
        """Fit a challenger on training rows, with the training window that suits them.

        Raises
        ------
        InconclusiveError
            If they have one class only.
        """

    def drifted(self, reference: pd.DataFrame, current: pd.DataFrame, champion: Predictor, /) -> tuple[str, ...]:
        """Return the columns that drifted by titlebout's rule and matter to the champion.

        Parameters
        ----------
        reference : DataFrame
            The rows that were known when the champion won; its holdout is among them.
        current : DataFrame
            All rows that arrived since; without the target while labels are waited for.
        champion : Predictor
        """

    def shifted(self, reference: pd.DataFrame, current: pd.DataFrame, /) -> float:
        """Return the share of columns that drifted by Evidently's defaults; `current` is the newest period."""


@dataclass(frozen=True)
class Title:
    """A model that went into service.

    Attributes
    ----------
    model : Predictor
    champion : Champion
        What the loop records of a winner, under a number instead of a content hash.
    split : Split
        Which of the rows that were known then were held out.
    batches : int
        How many batches these rows are.
    """

    model: Predictor
    champion: Champion
    split: Split
    batches: int


@dataclass(frozen=True)
class Standing:
    """What a policy knows when it is asked.

    Attributes
    ----------
    team : Team
    titles : sequence of Title
        Models that have served, the newest first.
    memory : sequence of Attempt
    known : DataFrame
        The rows that were known when the newest title was won, its holdout among them.
    fresh : DataFrame
        Rows that arrived since the newest title; without the target while labels are waited for.
    labelled : DataFrame
        Those of them whose label is known.
    batch : DataFrame
        Rows of this period, as in `fresh`.
    news : bool
        Whether labels became known since the last attempt.
    """

    team: Team
    titles: Sequence[Title]
    memory: Sequence[Attempt]
    known: pd.DataFrame
    fresh: pd.DataFrame
    labelled: pd.DataFrame
    batch: pd.DataFrame
    news: bool

    @property
    def title(self) -> Title:
        """The model in service."""
        return self.titles[0]


@dataclass(frozen=True)
class Contender:
    """A policy.

    Attributes
    ----------
    name : str
    told : str
        One sentence for people.
    trigger : callable
        From a `Standing` to a `Decision`: whether to attempt a retraining, and for which reason.
    gated : bool
        Whether a challenger has to win a bout; if not, it goes into service as it is.
    checked : bool
        Whether what the data check refuses is left out, and the loop stops for that period.
    """

    name: str
    told: str
    trigger: Callable[[Standing], Decision]
    gated: bool = True
    checked: bool = True


def _never(_: Standing) -> Decision:
    return Decision("nothing", "this policy never retrains", ())


def _every(standing: Standing) -> Decision:
    return _wanted(standing, "schedule", "a period is over")


def _from_share(least: float) -> Callable[[Standing], Decision]:
    """Return a trigger that asks Evidently, and attempts from some share of drifted columns on; 0: from one column on."""

    def trigger(standing: Standing) -> Decision:
        share = standing.team.shifted(standing.known, standing.batch)
        told = f"{share:.0%} of the columns drifted"
        return _wanted(standing, "drift", told) if share >= max(least, 1e-9) else Decision("nothing", told, ())

    return trigger


def _wanted(standing: Standing, reason: str, told: str) -> Decision:
    """Attempt, unless there is nothing to learn that the last attempt did not know."""
    if not standing.news:
        return Decision("wait", f"{told}, but no label arrived since the last attempt", ())
    return Decision("attempt", told, (), reason, told)


def _titlebout(standing: Standing) -> Decision:
    """Decide as ``titlebout decide`` does in a scheduled run."""
    team, title = standing.team, standing.title
    settings = team.settings
    drifted = team.drifted(standing.known, standing.fresh, title.model)
    held = title.split.holdout
    situation = Situation(
        known=standing.known,
        fresh=standing.fresh,
        labelled=standing.labelled,
        drift=drifted_in(drifted),
        holder=Holder(title.champion, title.model, standing.known[held], int((~held).sum())),
        champions=[served.champion for served in standing.titles],
        attempts=standing.memory,
        asked=frozenset({"schedule"}),
    )
    measured, clock = measure(situation, team.params, settings)
    return decide(measured, standing.memory, settings.policy, settings.retrain.min_new_rows, clock)


CONTENDERS = (
    Contender("never", "The first model serves for ever.", _never),
    Contender(
        "every_ungated",
        "A new model every period, put into service as it is: no data check, no gate.",
        _every,
        gated=False,
        checked=False,
    ),
    Contender("every", "A challenger every period, through data check and gate.", _every),
    Contender(
        "any_drift",
        "A challenger when any column drifted by Evidently's defaults, through check and gate.",
        _from_share(0),
    ),
    Contender(
        "drift_share",
        "A challenger when half of the columns drifted by Evidently's defaults, through check and gate.",
        _from_share(HALF),
    ),
    Contender(
        "titlebout", "What this repository's settings do: decay, drift, follow-ups, age, and the gate.", _titlebout
    ),
)
