"""Strategies of a backtest, each of which decides from what is known at that time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from titlebout.data.holdout import Split
from titlebout.models.champion import Champion
from titlebout.models.interfaces import Predictor
from titlebout.policy import rules
from titlebout.policy.measurements import DecisionInputs, LoadedChampion, drift_measurement, measure
from titlebout.policy.rules import Attempt, Decision
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

HALF = 0.5  # share of drifted columns from which Evidently's DataDriftPreset reports dataset drift
_ANY = 1e-9  # any share above 0


class Workload(Protocol):
    """A project's code and configuration, as a simulation uses them."""

    @property
    def params(self) -> Params:
        """Roles of columns, holdout and model."""

    @property
    def settings(self) -> Settings:
        """Retraining policy, drift and gate settings."""

    def fit(self, rows: pd.DataFrame, rows_split: Split, /) -> Predictor:
        """Select the training window among the training rows of a split, and fit a challenger on it.

        Raises
        ------
        InconclusiveError
            If the rows have one class only.
        """

    def drifted_columns(
        self, reference: pd.DataFrame, current: pd.DataFrame, champion: Predictor, /
    ) -> tuple[str, ...]:
        """Return the drifted columns that matter to the champion, by titlebout's drift rule.

        Parameters
        ----------
        reference : DataFrame
            Rows known when the champion was promoted, its holdout included.
        current : DataFrame
            Rows that arrived since; without the target if labels are delayed.
        champion : Predictor
            Determines the importance of the columns.
        """

    def drifted_share(self, reference: pd.DataFrame, current: pd.DataFrame, /) -> float:
        """Return the share of drifted columns in the newest period, `current`, by Evidently's defaults."""


@dataclass(frozen=True)
class Deployment:
    """A model that was put into service.

    Attributes
    ----------
    model : Predictor
        The fitted model.
    champion : Champion
        Metadata as recorded by a promotion, with a sequence number instead of a digest.
    split : Split
        Training and holdout rows among those known at that time.
    batches : int
        Number of batches that were known.
    """

    model: Predictor
    champion: Champion
    split: Split
    batches: int


@dataclass(frozen=True)
class Observation:
    """What a strategy knows when it decides.

    Attributes
    ----------
    workload : Workload
        The project's code and configuration.
    deployments : sequence of Deployment
        Models that have been in service, the newest first.
    attempts : sequence of Attempt
        Earlier attempts, the oldest first.
    tracked : DataFrame
        Rows known at the newest deployment, its holdout included.
    new : DataFrame
        Rows that arrived since; without the target if labels are delayed.
    labeled : DataFrame
        New rows that have their label.
    batch : DataFrame
        Rows of this period, with the columns of `new`.
    new_labels : bool
        Whether labels have arrived since the last attempt.
    """

    workload: Workload
    deployments: Sequence[Deployment]
    attempts: Sequence[Attempt]
    tracked: pd.DataFrame
    new: pd.DataFrame
    labeled: pd.DataFrame
    batch: pd.DataFrame
    new_labels: bool

    @property
    def deployment(self) -> Deployment:
        """The model in service."""
        return self.deployments[0]


@dataclass(frozen=True)
class Strategy:
    """A retraining strategy in a backtest.

    Attributes
    ----------
    name : str
        As in ``--strategy`` and in results.
    description : str
        One sentence for the report.
    decide : callable
        From an `Observation` to a `Decision`: whether to attempt a retraining, and for which reason.
    gated : bool
        Whether a challenger must pass the gate; if not, it is put into service without an evaluation.
    checked : bool
        Whether periods that fail the data check are left out, without an attempt.
    """

    name: str
    description: str
    decide: Callable[[Observation], Decision]
    gated: bool = True
    checked: bool = True


def _never(_: Observation) -> Decision:
    return Decision("nothing", "this strategy never retrains", ())


def _every(observation: Observation) -> Decision:
    return _attempt(observation, "schedule", "end of a period")


def _from_share(threshold: float) -> Callable[[Observation], Decision]:
    """Return a function that decides on an attempt when Evidently's share of drifted columns reaches a threshold.

    A threshold of 0 stands for any drifted column.
    """

    def decide(observation: Observation) -> Decision:
        share = observation.workload.drifted_share(observation.tracked, observation.batch)
        detail = f"{share:.0%} of the columns drifted"
        drifted = share >= max(threshold, _ANY)
        return _attempt(observation, "drift", detail) if drifted else Decision("nothing", detail, ())

    return decide


def _attempt(observation: Observation, reason: str, detail: str) -> Decision:
    """Decide on an attempt, unless no label has arrived since the last one: it would train on the same rows again."""
    if not observation.new_labels:
        return Decision("wait", f"{detail}, but no label arrived since the last attempt", ())
    return Decision("attempt", detail, (), reason, detail)


def _titlebout(observation: Observation) -> Decision:
    """Decide as ``titlebout decide`` does in a scheduled run."""
    workload, deployment = observation.workload, observation.deployment
    settings, rows_split = workload.settings, deployment.split
    drifted = workload.drifted_columns(observation.tracked, observation.new, deployment.model)
    inputs = DecisionInputs(
        tracked=observation.tracked,
        new=observation.new,
        labeled=observation.labeled,
        drift=drift_measurement(drifted),
        loaded=LoadedChampion(
            deployment.champion,
            deployment.model,
            observation.tracked[rows_split.holdout],
            int(rows_split.training.sum()),
        ),
        champions=[earlier.champion for earlier in observation.deployments],
        attempts=observation.attempts,
        requested=frozenset({"schedule"}),
    )
    measured, clock = measure(inputs, workload.params, settings)
    return rules.decide(measured, observation.attempts, settings.policy, settings.retrain.min_new_rows, clock)


STRATEGIES = (
    Strategy("never", "Never retrains: the first model stays in service.", _never),
    Strategy(
        "every_ungated",
        "Retrains every period and puts every model into service, without data check or gate.",
        _every,
        gated=False,
        checked=False,
    ),
    Strategy("every", "Trains a challenger every period, with data check and gate.", _every),
    Strategy(
        "any_drift",
        "Trains a challenger when any column drifts by Evidently's defaults, with data check and gate.",
        _from_share(0),
    ),
    Strategy(
        "drift_share",
        "Trains a challenger when half of the columns drift by Evidently's defaults, with data check and gate.",
        _from_share(HALF),
    ),
    Strategy(
        "titlebout",
        "This repository's settings: decay, drift, follow-up, age and volume triggers, with data check and gate.",
        _titlebout,
    ),
)
