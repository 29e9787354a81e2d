"""Simulation: one strategy over periods of data; the model in service is scored on the rows of each period.

Pure: from tables to outcomes; no file is read, and the clock is used only to time the fits. Decisions are made by the code
that production uses: :mod:`titlebout.policy.rules`, :mod:`titlebout.gate.decision`, :mod:`titlebout.policy.performance` and
:mod:`titlebout.data.holdout`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import pandas as pd

from titlebout.backtest.strategies import STRATEGIES, Deployment, Observation, Strategy, Workload
from titlebout.core.errors import InconclusiveError
from titlebout.core.results import Record
from titlebout.data.holdout import Split, require_no_overlap, split
from titlebout.data.moment import Moment, moment_of
from titlebout.gate import decision as gate_decision
from titlebout.gate.candidates import combine_predictions
from titlebout.gate.looks import unpromoted
from titlebout.models.champion import Champion, Promotion
from titlebout.models.held_out import predict_unseen
from titlebout.models.interfaces import Predictor
from titlebout.policy.measurements import refused
from titlebout.policy.performance import losses
from titlebout.policy.rules import OUTCOMES, Attempt, Decision, decide
from titlebout.repository.dvc_files import DvcOutput
from titlebout.settings.settings import Settings

__all__ = [
    "STRATEGIES",
    "Observation",
    "PeriodData",
    "PeriodOutcome",
    "Predictor",
    "SimulationResult",
    "Strategy",
    "Workload",
    "mean_loss",
    "simulate",
    "simulate_variants",
]

FitCache = dict[
    bytes, tuple[Predictor, float]
]  # key: hashes of the training rows; value: the model, and the seconds of its fit

UNGATED = "ungated"  # verdict of a strategy without a gate


@dataclass(frozen=True)
class PeriodData:
    """Data of one period.

    Attributes
    ----------
    name : str
        First day of the period, or its range of rows.
    rows : DataFrame of shape (n_rows, n_columns)
        At least one row, with labels: what the model in service predicts, and what then happened.
    refused : str
        Why the data check fails; empty when it passes.
    arrived : DataFrame or None
        The same rows as they arrive for a retraining, if they are damaged on the way; a strategy sees the labels only after
        their delay.
    """

    name: str
    rows: pd.DataFrame
    refused: str = ""
    arrived: pd.DataFrame | None = None

    @property
    def batch(self) -> pd.DataFrame:
        """Rows as a strategy receives them."""
        return self.rows if self.arrived is None else self.arrived


class PeriodOutcome(Record):
    """What a strategy did in one period, and the loss of the model in service.

    Attributes
    ----------
    name : str
        Name of the period.
    rows : int
        Number of its rows.
    loss : float
        Mean log loss or absolute error, over these rows, of the model that is in service during the period.
    decision : {"nothing", "wait", "stop", "attempt"}
        Wait: an attempt would be too early. Stop: the data is refused.
    reason : str
        Reason for the attempt; empty without one.
    verdict : {"promote", "keep", "inconclusive", "ungated", ""}
        Verdict of the gate; empty without an attempt.
    cause : str
        Why the challenger was not promoted, in a few words; empty if it was, or without an attempt.
    seconds : float
        Time to fit the challenger.
    detail : str
        Explanation of the decision.
    """

    name: str
    rows: int
    loss: float
    decision: str
    reason: str = ""
    verdict: str = ""
    cause: str = ""
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class SimulationResult:
    """Outcomes of all periods under one strategy."""

    strategy: str
    outcomes: tuple[PeriodOutcome, ...]

    @property
    def attempts(self) -> int:
        """Number of challengers trained."""
        return sum(outcome.decision == "attempt" for outcome in self.outcomes)

    @property
    def pull_requests(self) -> int:
        """Number of challengers promoted; without a gate, number of models replaced."""
        return sum(outcome.verdict in {"promote", UNGATED} for outcome in self.outcomes)

    @property
    def mean_loss(self) -> float:
        """Mean over the rows of all periods."""
        return mean_loss(self.outcomes)

    @property
    def seconds(self) -> float:
        """Total time to fit the challengers, without the first model, which all strategies share."""
        return sum(outcome.seconds for outcome in self.outcomes)


def mean_loss(outcomes: Sequence[PeriodOutcome]) -> float:
    """Return the mean loss over the rows of periods.

    Parameters
    ----------
    outcomes : sequence of PeriodOutcome
        At least one.
    """
    return float(np.average([outcome.loss for outcome in outcomes], weights=[outcome.rows for outcome in outcomes]))


def simulate(
    start: pd.DataFrame,
    periods: Sequence[PeriodData],
    strategy: Strategy,
    workload: Workload,
    *,
    label_delay: int = 0,
    fit_cache: FitCache | None = None,
) -> SimulationResult:
    """Simulate one strategy over periods of data.

    The first model is fitted on `start` and put into service without an evaluation. A promoted model is in service
    from the next period on. The same arguments give the same outcomes, except for the seconds.

    Parameters
    ----------
    start : DataFrame of shape (n_rows, n_columns)
        Labeled rows known before the first period.
    periods : sequence of PeriodData
        In order of time.
    strategy : Strategy
        The strategy to simulate.
    workload : Workload
        The project's code and configuration.
    label_delay : int
        Number of periods after which the labels of a batch become known; 0: immediately.
    fit_cache : dict, optional
        Shared by the simulations of one workload, so that nothing is fitted twice on the same rows; the recorded
        seconds of a fit count in each of them.

    Raises
    ------
    InconclusiveError
        If a model cannot be fitted on `start`.
    """
    fits: FitCache = {} if fit_cache is None else fit_cache
    return _begin(start, strategy, workload, label_delay, fits).run(periods)


def simulate_variants(
    start: pd.DataFrame,
    shared: Sequence[PeriodData],
    variants: Sequence[tuple[Workload, Sequence[PeriodData]]],
    strategy: Strategy,
    workload: Workload,
) -> tuple[SimulationResult, ...]:
    """Simulate one strategy over several continuations of the same periods, which are simulated once.

    Parameters
    ----------
    start : DataFrame of shape (n_rows, n_columns)
        Labeled rows known before the first period.
    shared : sequence of PeriodData
        Periods with which every variant begins.
    variants : sequence of (Workload, sequence of PeriodData)
        Code and configuration of every variant, and its periods after the shared ones.
    strategy : Strategy
        The strategy to simulate.
    workload : Workload
        The project's code and configuration in the shared periods.

    Returns
    -------
    tuple of SimulationResult
        One per variant, with the outcomes of the shared periods first.

    Raises
    ------
    InconclusiveError
        If a model cannot be fitted on `start`.
    """
    simulation = _begin(start, strategy, workload, 0, {})
    simulation.run(shared)
    return tuple(simulation.branch(variant).run(periods) for variant, periods in variants)


def _begin(
    start: pd.DataFrame, strategy: Strategy, workload: Workload, label_delay: int, fit_cache: FitCache
) -> "_Simulation":
    """Return a simulation before its first period, with the first model in service."""
    simulation = _Simulation(workload, strategy, label_delay, [(-label_delay, start)], fit_cache)
    labeled_rows = simulation.rows(0, 1)
    holdout_split = split(labeled_rows, workload.params)
    simulation.deploy(simulation.fit(labeled_rows, holdout_split)[0], holdout_split, reason="first", rule="first")
    return simulation


@dataclass(frozen=True)
class _Tried:
    """What came of an attempt: verdict, why the challenger was not promoted, the rule, and the seconds of the fit."""

    verdict: str
    cause: str = ""
    rule: str = ""
    seconds: float = 0.0


_NO_ATTEMPT = _Tried("")


@dataclass
class _Simulation:
    """State of a simulation.

    ``batches`` are the accepted rows with the number of their period, and ``attempted_batches`` counts those that had labels
    at the last attempt.
    """

    workload: Workload
    strategy: Strategy
    delay: int
    batches: list[tuple[int, pd.DataFrame]]
    fit_cache: FitCache
    deployments: list[Deployment] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    attempted_batches: int = 1
    outcomes: list[PeriodOutcome] = field(default_factory=list)

    def run(self, periods: Sequence[PeriodData]) -> SimulationResult:
        """Simulate periods after those that were simulated before, and return the outcomes of all."""
        for period in periods:
            self.outcomes.append(self.run_period(len(self.outcomes), period))
        return SimulationResult(self.strategy.name, tuple(self.outcomes))

    def branch(self, workload: Workload) -> "_Simulation":
        """Return a simulation that goes on from here with another workload, and leaves this one as it is."""
        return replace(
            self,
            workload=workload,
            batches=list(self.batches),
            fit_cache=dict(self.fit_cache),
            deployments=list(self.deployments),
            attempts=list(self.attempts),
            outcomes=list(self.outcomes),
        )

    def run_period(self, at: int, period: PeriodData) -> PeriodOutcome:
        """Score the model in service, then decide and, if so decided, attempt a retraining."""
        loss = float(losses(self.deployments[0].model, period.rows, self.workload.params).mean())
        if period.refused and self.strategy.checked:
            decision = _stopped(period.refused, self.workload.settings)
        else:
            self.batches.append((at, period.batch))
            decision = self.strategy.decide(self.observe(at))
        tried = self.attempt(at, decision.reason) if decision.action == "attempt" else _NO_ATTEMPT
        return PeriodOutcome(
            name=period.name,
            rows=len(period.rows),
            loss=loss,
            decision=decision.action,
            reason=decision.reason,
            verdict=tried.verdict,
            cause=tried.cause,
            seconds=tried.seconds,
            detail=decision.sentence,
        )

    def observe(self, at: int) -> Observation:
        """Return what the strategy knows in this period."""
        deployment, labeled = self.deployments[0], self.labeled(at)
        waiting = [self.workload.params.data.target] if self.delay else []
        new = self.rows(deployment.batches, len(self.batches)).drop(columns=waiting)
        return Observation(
            workload=self.workload,
            deployments=tuple(self.deployments),
            attempts=tuple(self.attempts),
            tracked=self.rows(0, deployment.batches),
            new=new,
            labeled=self.rows(deployment.batches, labeled),
            batch=self.batches[-1][1].drop(columns=waiting),
            new_labels=labeled > self.attempted_batches,
        )

    def attempt(self, at: int, reason: str) -> "_Tried":
        """Fit a challenger on all labeled rows, evaluate it, and record the outcome."""
        deployment, self.attempted_batches = self.deployments[0], self.labeled(at)
        labeled_rows = self.rows(0, self.attempted_batches)
        holdout_split = split(labeled_rows, self.workload.params)
        try:
            model, seconds = self.fit(labeled_rows, holdout_split)
        except InconclusiveError as error:
            tried = _Tried("inconclusive", error.what)
        else:
            tried = replace(self.evaluate(model, labeled_rows, holdout_split, reason), seconds=seconds)
            if tried.verdict in {"promote", UNGATED}:
                self.deploy(model, holdout_split, reason, tried.rule)
        # Rows without a label yet count for the data time, as they do in `titlebout retrain`.
        arrived = self.rows(0, len(self.batches))
        data_time = moment_of(arrived, arrived.iloc[:0], self.workload.params.data.time)
        outcome = "won" if tried.verdict == UNGATED else OUTCOMES[tried.verdict]
        self.attempts.append(Attempt(data_time, reason, outcome, deployment.champion.name))
        return tried

    def fit(self, labeled_rows: pd.DataFrame, holdout_split: Split) -> tuple[Predictor, float]:
        """Return a model fitted on the training rows, and the seconds of the fit."""
        key = holdout_split.hashes[holdout_split.training].tobytes()
        if key not in self.fit_cache:
            began = perf_counter()
            self.fit_cache[key] = self.workload.fit(labeled_rows, holdout_split), perf_counter() - began
        return self.fit_cache[key]

    def evaluate(
        self, challenger: Predictor, labeled_rows: pd.DataFrame, holdout_split: Split, reason: str
    ) -> "_Tried":
        """Return the gate's verdict on a challenger."""
        if not self.strategy.gated:
            return _Tried(UNGATED, rule=UNGATED)
        holdout, hashes = labeled_rows[holdout_split.holdout], holdout_split.hashes[holdout_split.holdout]
        settings = self.workload.settings.gate
        models = {"challenger": challenger, "champion": self.deployments[0].model}
        anchor = next(deployment for deployment in self.deployments if deployment.champion.was_superior)
        for name, deployment in (("champion", self.deployments[0]), ("anchor", anchor)):
            trained = deployment.split.hashes[deployment.split.training]
            require_no_overlap(hashes, deployment.model.held_out.seen(trained), name)
        if settings.anchor and anchor is not self.deployments[0]:
            models["anchor"] = anchor.model
        predictions = {name: (predict_unseen(model, holdout, hashes), model.classes) for name, model in models.items()}
        evaluation = combine_predictions(labeled_rows, holdout_split, predictions, self.workload.params, settings)
        decision = gate_decision.decide(evaluation, settings, reason, self.looks(holdout_split) + 1)
        return _Tried(decision.verdict, decision.cause, decision.rule)

    def deploy(self, model: Predictor, holdout_split: Split, reason: str, rule: str) -> None:
        """Put a model into service from the next period on."""
        holdout = holdout_split.summary(self.looks(holdout_split) + 1 if self.deployments else 1)
        promotion = Promotion(reason=reason, rule=rule, holdout=holdout)
        champion = Champion(DvcOutput(str(len(self.deployments)), 0, 1), promotion)
        self.deployments.insert(0, Deployment(model, champion, holdout_split, self.attempted_batches))

    def looks(self, holdout_split: Split) -> int:
        """Return how many challengers count for the yearly budget of false promotions, as in production."""
        anchor = next(deployment for deployment in self.deployments if deployment.champion.was_superior)
        promoted = anchor.champion.promotion.holdout
        attempts = [(attempt.at, attempt.reason, attempt.outcome) for attempt in self.attempts]
        since = Moment.read(promoted.end) if promoted else None
        return unpromoted(attempts, self.workload.settings.gate, since, Moment.read(holdout_split.end))

    def labeled(self, at: int) -> int:
        """Return the number of batches with labels; they are the first ones."""
        return sum(came <= at - self.delay for came, _ in self.batches)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Return the rows of a range of batches with a new index."""
        chosen = [rows for _, rows in self.batches[first:last]]
        return pd.concat(chosen, ignore_index=True) if chosen else self.batches[0][1].head(0)


def _stopped(reason: str, settings: Settings) -> Decision:
    """Return the decision on refused data; no other measurement is made."""
    measured, clock = refused(reason)
    return decide(measured, (), settings.policy, settings.retrain.min_new_rows, clock)
