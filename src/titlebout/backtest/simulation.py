"""A season: one policy plays through periods of data, and every model in service is scored on what arrives next.

Pure: tables go in, turns come out; no file is read and the only clock times the fits. What decides here is what decides in
the loop: :mod:`titlebout.policy.rules`, :mod:`titlebout.gate.decision`, :mod:`titlebout.policy.performance` and :mod:`titlebout.data.holdout`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import pandas as pd

from titlebout.backtest.strategies import CONTENDERS, Contender, Standing, Team, Title
from titlebout.core.errors import InconclusiveError
from titlebout.core.results import Record
from titlebout.data.holdout import Split, require_no_overlap, split
from titlebout.data.moment import moment_of
from titlebout.gate import decision as gate_decision
from titlebout.gate.candidates import bout_of
from titlebout.models.champion import Champion
from titlebout.models.interfaces import Predictor
from titlebout.policy.performance import losses
from titlebout.policy.rules import OUTCOMES, Attempt, Decision, decide
from titlebout.policy.signals import refused
from titlebout.repository.dvc_files import DvcOutput
from titlebout.settings.settings import Settings

__all__ = ["CONTENDERS", "Arrived", "Contender", "PeriodOutcome", "Predictor", "Season", "Standing", "Team", "play"]

Fits = dict[bytes, tuple[Predictor, float]]  # by the hashes of the training rows: the model, and its seconds

UNGATED = "ungated"  # verdict on a challenger that nobody asked the gate about


@dataclass(frozen=True)
class Arrived:
    """What arrives in one period.

    Attributes
    ----------
    name : str
    rows : DataFrame of shape (n_rows, n_columns)
        At least one, with labels; a policy is shown these later.
    refused : str
        Why the data check refuses it; empty when it passes.
    """

    name: str
    rows: pd.DataFrame
    refused: str = ""


class PeriodOutcome(Record):
    """What a strategy did in one period, and the loss of the model in service.

    Attributes
    ----------
    name : str
        Of the period.
    rows : int
        How many arrived in it.
    loss : float
        Mean over the rows (log loss, or absolute error) of the model that was in service when they arrived.
    decision : {"nothing", "wait", "stop", "attempt"}
        Wait: an attempt would be too early. Stop: the data is refused.
    reason : str
        Of the attempt; empty otherwise.
    verdict : {"promote", "keep", "inconclusive", "ungated", ""}
        Of the gate; empty without an attempt.
    seconds : float
        What fitting the challenger took.
    detail : str
        Why it was decided so, for people.
    """

    name: str
    rows: int
    loss: float
    decision: str
    reason: str = ""
    verdict: str = ""
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Season:
    """All periods under one policy."""

    contender: str
    outcomes: tuple[PeriodOutcome, ...]

    @property
    def attempts(self) -> int:
        """How many challengers were trained."""
        return sum(turn.decision == "attempt" for turn in self.outcomes)

    @property
    def pull_requests(self) -> int:
        """How many bouts were won; without a gate, how often the model was replaced."""
        return sum(turn.verdict in {"promote", UNGATED} for turn in self.outcomes)

    @property
    def mean_loss(self) -> float:
        """Mean over all rows that arrived."""
        return float(np.average([turn.loss for turn in self.outcomes], weights=[turn.rows for turn in self.outcomes]))

    @property
    def seconds(self) -> float:
        """What fitting all challengers took; the first model, which all policies share, not counted."""
        return sum(turn.seconds for turn in self.outcomes)


def play(
    start: pd.DataFrame,
    periods: Sequence[Arrived],
    contender: Contender,
    team: Team,
    *,
    label_delay: int = 0,
    fits: Fits | None = None,
) -> Season:
    """Let one policy live through periods of data.

    The first model is fitted on `start` and needs no bout. A model serves from the period after the one in which it
    won. The same arguments give the same turns, but for the seconds.

    Parameters
    ----------
    start : DataFrame of shape (n_rows, n_columns)
        Rows that are known before the first period.
    periods : sequence of Arrived
        In order of time.
    contender : Contender
    team : Team
    label_delay : int
        So many periods after its own a batch's labels become known; 0: at once.
    fits : dict, optional
        Shared by the seasons of one team: what was fitted on the same rows is not fitted again, and costs what it cost.

    Raises
    ------
    InconclusiveError
        If no model can be fitted on `start`.
    """
    run = _Run(team, contender, label_delay, [(-label_delay, start)], {} if fits is None else fits)
    known = run.rows(0, 1)
    divided = split(known, team.params)
    run.crown(run.fit(known, divided)[0], divided, {"reason": "first", "rule": "first"})
    return Season(contender.name, tuple(run.turn(at, arrived) for at, arrived in enumerate(periods)))


@dataclass
class _Run:
    """A season while it is played.

    ``batches`` are the rows that count, each with the period it came in, ``tried`` is how many of them were known at the
    last attempt, and ``met`` counts the challengers by the fingerprint of their holdout.
    """

    team: Team
    contender: Contender
    delay: int
    batches: list[tuple[int, pd.DataFrame]]
    fits: Fits
    titles: list[Title] = field(default_factory=list)
    memory: list[Attempt] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    tried: int = 1

    def turn(self, at: int, arrived: Arrived) -> PeriodOutcome:
        """Score the model in service, then decide and, if it is worth it, attempt."""
        loss = float(losses(self.titles[0].model, arrived.rows, self.team.params).mean())
        if arrived.refused and self.contender.checked:
            decision = _stopped(arrived.refused, self.team.settings)
        else:
            self.batches.append((at, arrived.rows))
            decision = self.contender.trigger(self.standing(at))
        verdict, seconds = self.attempt(at, decision.reason) if decision.action == "attempt" else ("", 0.0)
        return PeriodOutcome(
            name=arrived.name,
            rows=len(arrived.rows),
            loss=loss,
            decision=decision.action,
            reason=decision.reason,
            verdict=verdict,
            seconds=seconds,
            detail=decision.sentence,
        )

    def standing(self, at: int) -> Standing:
        """Return what is known now."""
        title, labelled = self.titles[0], self.labelled(at)
        waiting = [self.team.params.data.target] if self.delay else []
        fresh = self.rows(title.batches, len(self.batches)).drop(columns=waiting)
        return Standing(
            team=self.team,
            titles=tuple(self.titles),
            memory=tuple(self.memory),
            known=self.rows(0, title.batches),
            fresh=fresh,
            labelled=self.rows(title.batches, labelled),
            batch=self.batches[-1][1].drop(columns=waiting),
            news=labelled > self.tried,
        )

    def attempt(self, at: int, reason: str) -> tuple[str, float]:
        """Fit a challenger on all that is known, let it meet the champion, and remember how it ended."""
        title, self.tried = self.titles[0], self.labelled(at)
        known = self.rows(0, self.tried)
        divided = split(known, self.team.params)
        try:
            model, seconds = self.fit(known, divided)
        except InconclusiveError:
            verdict, seconds = "inconclusive", 0.0
        else:
            verdict, rule = self.judge(model, known, divided, reason) if self.contender.gated else (UNGATED, UNGATED)
            if verdict in {"promote", UNGATED}:
                self.crown(model, divided, {"reason": reason, "rule": rule})
        seen = self.rows(0, len(self.batches))  # those that wait for their label, too: the data stands where they are
        stands = moment_of(seen, seen.iloc[:0], self.team.params.data.time)
        outcome = "won" if verdict == UNGATED else OUTCOMES[verdict]
        self.memory.append(Attempt(stands, reason, outcome, title.champion.output.md5))
        return verdict, seconds

    def fit(self, known: pd.DataFrame, divided: Split) -> tuple[Predictor, float]:
        """Return a model fitted on the rows that are not held out, and the seconds that took."""
        key = divided.hashes[~divided.holdout].tobytes()
        if key not in self.fits:
            begun = perf_counter()
            self.fits[key] = self.team.fit(known[~divided.holdout]), perf_counter() - begun
        return self.fits[key]

    def judge(self, challenger: Predictor, known: pd.DataFrame, divided: Split, reason: str) -> tuple[str, str]:
        """Return the gate's verdict on a challenger, and the rule it had to meet."""
        held, settings = known[divided.holdout], self.team.settings.gate
        models = {"challenger": challenger, "champion": self.titles[0].model}
        anchor = next(title for title in self.titles if title.champion.was_superior)
        for who, title in (("champion", self.titles[0]), ("anchor", anchor)):
            trained = title.split.hashes[~title.split.holdout]
            require_no_overlap(divided.hashes[divided.holdout], trained, who)
        if settings.anchor and anchor is not self.titles[0]:
            models["anchor"] = anchor.model
        given = {who: (model.predict(held), model.classes) for who, model in models.items()}
        self.met[divided.fingerprint] += 1
        bout = bout_of(known, divided, given, self.team.params, settings)
        decision = gate_decision.decide(bout, settings, reason, self.met[divided.fingerprint])
        return decision.verdict, decision.rule

    def crown(self, model: Predictor, divided: Split, won: dict[str, str]) -> None:
        """Put a model into service, from the next period on."""
        champion = Champion(DvcOutput(str(len(self.titles)), 0, 1), {**won, "holdout": _recorded(divided)})
        self.titles.insert(0, Title(model, champion, divided, self.tried))

    def labelled(self, at: int) -> int:
        """Return how many batches have their labels; they are the first ones."""
        return sum(came <= at - self.delay for came, _ in self.batches)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Return the rows of some batches, numbered anew."""
        chosen = [rows for _, rows in self.batches[first:last]]
        return pd.concat(chosen, ignore_index=True) if chosen else self.batches[0][1].head(0)


def _stopped(reason: str, settings: Settings) -> Decision:
    """Return what the loop decides on data that its check refuses: nothing else is looked at."""
    measured, clock = refused(reason)
    return decide(measured, (), settings.policy, settings.retrain.min_new_rows, clock)


def _recorded(divided: Split) -> dict[str, object]:
    """Return what a promotion records of the holdout."""
    return {
        "rows": int(divided.holdout.sum()),
        "fingerprint": divided.fingerprint,
        "start": divided.start,
        "end": divided.end,
    }
