"""Rules of the retraining policy: from measurements and earlier attempts to one decision.

A pure function: it reads no file and no clock. Time is the data time, so that the same data and the same attempts give
the same decision on every machine and on every day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from titlebout.core.results import Record
from titlebout.data.moment import Moment
from titlebout.settings.policy import PolicySettings

Action = Literal["stop", "attempt", "wait", "nothing"]
Outcome = Literal["won", "lost", "inconclusive", "refused"]

RENEWAL = "renewal"
# Triggers that look at the champion's loss, and those that follow from them.
BY_LOSS = ("perf_decay", "follow_up")
# Outcome of an attempt by the verdict of the gate or the data check.
OUTCOMES: dict[str, Outcome] = {
    "promote": "won",
    "keep": "lost",
    "inconclusive": "inconclusive",
    "data_refused": "refused",
}
DOUBLINGS = 3  # with the default cool-down of 4 periods: 4, 8, 16, 32
DAY = 86_400  # seconds


@dataclass(frozen=True)
class Attempt:
    """A retraining attempt.

    Attributes
    ----------
    at : Moment
        Data time of the attempt.
    reason : str
        One of :data:`titlebout.core.names.REASONS`.
    outcome : {"won", "lost", "inconclusive", "refused"}
        Refused: the data check failed.
    champion : str
        Digest of the champion at that time; empty when there was none.
    inputs : str
        Hash of the attempt's inputs.
    """

    at: Moment
    reason: str
    outcome: Outcome
    champion: str = ""
    inputs: str = ""


@dataclass(frozen=True)
class Clock:
    """Data clock: the current data time, and the length of a period.

    Attributes
    ----------
    at : Moment or None
        Newest time in the data, or its number of rows when rows have no time; None when neither is known.
    period : float
        Length of a period, in seconds or in rows.
    """

    at: Moment | None
    period: float

    def since(self, at: Moment | None) -> float | None:
        """Return the number of periods since a data time; None when the two cannot be compared."""
        if self.at is None or at is None or not self.at.comparable(at):
            return None
        return (self.at - at) / self.period


@dataclass(frozen=True)
class Measurement:
    """Measured value of one trigger.

    Attributes
    ----------
    value : float or None
        None when it cannot be measured.
    detail : str
        Explanation of the value, or why there is none; may hold names from the data.
    """

    value: float | None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Inputs of a decision, except for earlier attempts.

    Attributes
    ----------
    refused : str
        Why the data was refused; empty when it was not.
    new_rows : int
        Number of new labeled rows.
    decay : Measurement
        z-score of the increase of the champion's loss from its promotion holdout to new labels.
    drift : Measurement
        Number of drifted columns.
    growth : Measurement
        Growth of the labeled data since the champion, or since the last attempt because of it, as a share of its rows.
    won_at, decayed_at : Moment or None
        Data time of the champion's promotion, and of the promotion after ``perf_decay`` whose follow-ups are due.
    champion : str
        Digest of the champion; empty when there is none.
    refreshes : int
        Number of promotions since the last one that was shown to be better: by a rule that asks only for no loss.
    requested : frozenset of str
        ``manual`` for a run that a person requested, ``schedule`` for a scheduled run.
    open_attempt : Attempt or None
        Attempt that the open pull request proposes.
    """

    refused: str = ""
    new_rows: int = 0
    decay: Measurement = Measurement(None)
    drift: Measurement = Measurement(None)
    growth: Measurement = Measurement(None)
    won_at: Moment | None = None
    decayed_at: Moment | None = None
    champion: str = ""
    refreshes: int = 0
    requested: frozenset[str] = frozenset()
    open_attempt: Attempt | None = None


class Trigger(Record):
    """One trigger in the record of a decision.

    Attributes
    ----------
    name : str
        ``data``, ``renewal`` (of the open pull request), or a reason for a retraining.
    value, threshold : float or None
        The trigger fires when the value reaches the threshold. Without a value it cannot be measured; without a
        threshold it is switched off.
    distance : float or None
        Value minus threshold.
    fired : bool
        Whether the value has reached the threshold.
    detail : str
        Explanation of the value.
    held_back : str
        Why a trigger that fires does not start an attempt; empty otherwise.
    until : Moment or None
        Data time from which a trigger that is held back can start an attempt.
    """

    name: str
    value: float | None
    threshold: float | None
    detail: str = ""
    held_back: str = ""
    until: Moment | None = None
    fired: bool
    distance: float | None

    @classmethod
    def of(cls, name: str, value: float | None, threshold: float | None, detail: str = "") -> "Trigger":
        """Return a trigger that fires when its value reaches the threshold."""
        distance = None if value is None or threshold is None else value - threshold
        fired = distance is not None and distance >= 0
        return cls(name=name, value=value, threshold=threshold, detail=detail, fired=fired, distance=distance)


@dataclass(frozen=True)
class Decision:
    """Action of the retraining policy, with every trigger.

    Attributes
    ----------
    action : {"stop", "attempt", "wait", "nothing"}
        Stop: the data is refused. Wait: a trigger fires, but an attempt would be too early.
    sentence : str
        Explanation of the action.
    triggers : tuple of Trigger
        Every trigger, in order of priority.
    reason, note : str
        Arguments of the attempt; empty without one.
    """

    action: Action
    sentence: str
    triggers: tuple[Trigger, ...]
    reason: str = ""
    note: str = ""


def decide(
    measured: Measurements, attempts: Iterable[Attempt], settings: PolicySettings, min_new_rows: int, clock: Clock
) -> Decision:
    """Decide whether to attempt a retraining.

    Parameters
    ----------
    measured : Measurements
        Values of the triggers.
    attempts : iterable of Attempt
        Earlier attempts, in any order. Those with a later data time are ignored, because they were made on other data.
    settings : PolicySettings
        Thresholds and cool-down.
    min_new_rows : int
        Smallest number of new labeled rows for an attempt, whatever its reason.
    clock : Clock
        Data time and length of a period.
    """
    history = _History.of(attempts, measured.champion, clock)
    data = Trigger.of("data", float(bool(measured.refused)), 1.0, measured.refused)
    triggers = (data, *_Triggers(measured, settings, clock, history).all())
    fired = [trigger for trigger in triggers[1:] if trigger.fired]
    ready = [trigger for trigger in fired if not trigger.held_back]
    if data.fired:
        return Decision("stop", f"the data is refused: {measured.refused}", triggers)
    if not fired:
        return Decision("nothing", "no trigger fires", triggers)
    if measured.new_rows < min_new_rows:
        shortage = f"{measured.new_rows:,} new labeled rows, at least {min_new_rows:,} are needed"
        return Decision("wait", f"{_names(fired)}, but too few rows: {shortage}", triggers)
    if not ready:
        return Decision("wait", f"{_names(fired)}: held back, {fired[0].held_back}", triggers)
    first = ready[0]
    reason = measured.open_attempt.reason if measured.open_attempt and first.name == RENEWAL else first.name
    return Decision("attempt", f"{_names([first])}: {first.detail}", triggers, reason, first.detail)


@dataclass(frozen=True)
class _History:
    """Earlier attempts with their age in periods, the newest first."""

    attempts: Sequence[tuple[float, Attempt]]
    champion: str

    @classmethod
    def of(cls, attempts: Iterable[Attempt], champion: str, clock: Clock) -> "_History":
        aged = ((clock.since(attempt.at), attempt) for attempt in attempts)
        before = [(ago, attempt) for ago, attempt in aged if ago is not None and ago >= 0]
        return cls(sorted(before, key=lambda pair: (pair[0], astuple(pair[1]))), champion)

    def of_reason(self, reason: str) -> list[tuple[float, Attempt]]:
        return [(ago, attempt) for ago, attempt in self.attempts if attempt.reason == reason]

    def failures(self, reason: str) -> int:
        """Count the consecutive unsuccessful attempts for one reason against this champion; a promotion resets the count."""
        count = 0
        for _, attempt in self.of_reason(reason):
            if attempt.outcome == "won" or attempt.champion != self.champion:
                break
            count += 1
        return count


def _names(triggers: Sequence[Trigger]) -> str:
    return " and ".join(trigger.name.replace("_", " ") for trigger in triggers)


@dataclass(frozen=True)
class _Triggers:
    """Builds every trigger from the measurements, the settings and the history."""

    measured: Measurements
    settings: PolicySettings
    clock: Clock
    past: _History

    def all(self) -> list[Trigger]:
        """Return all triggers in order of priority: first the strongest evidence about the model, last plain requests."""
        requests = [self.volume(), self.manual(), self.schedule()]
        measured = [self.perf_decay(), self.follow_up(), self.drift(), self.renewal(), self.age()]
        return [self.with_cool_down(trigger) for trigger in (*measured, *requests)]

    def with_cool_down(self, trigger: Trigger) -> Trigger:
        """Hold a trigger back while the last attempt is too recent: for the same reason, or a promotion for any reason.

        Each reason has its own count of failures: with a shared one, unsuccessful scheduled attempts would delay an attempt
        after performance decay. Promotions that were not shown to be better double the cool-down of the triggers that do
        not look at the loss, because retraining has not been shown to help.
        Growth starts from zero after each attempt because of it, so it waits after promotions only, and never longer: a young
        table would be held back just when every week of data helps.
        """
        by_loss, growth = trigger.name in BY_LOSS, trigger.name == "volume"
        before = [
            (ago, attempt)
            for ago, attempt in self.past.attempts
            if (attempt.reason == trigger.name and not growth) or (attempt.outcome == "won" and not by_loss)
        ]
        if not trigger.fired or not before or trigger.name in {"manual", RENEWAL}:
            return trigger
        ago, last = before[0]
        refreshes = 0 if by_loss else self.measured.refreshes
        doublings = 0 if growth else min(max(self.past.failures(trigger.name) - 1, 0) + refreshes, DOUBLINGS)
        wait = self.settings.cool_down_periods * 2**doublings
        if ago >= wait:
            return trigger
        until = last.at + wait * self.clock.period
        why = f"cool-down until {until.short} after the attempt of {last.at.short} ({last.outcome})"
        return trigger.replace(held_back=why, until=until)

    def perf_decay(self) -> Trigger:
        decay = self.measured.decay
        return Trigger.of("perf_decay", decay.value, self.settings.decay_z, decay.detail)

    def follow_up(self) -> Trigger:
        since, due = self.clock.since(self.measured.decayed_at), self.settings.follow_up_periods
        if since is None:
            first = float(due[0]) if due else None
            return Trigger.of("follow_up", None, first, "no promotion after perf decay to follow up")
        done = sum(ago <= since for ago, _ in self.past.of_reason("follow_up"))
        if done >= len(due):
            return Trigger.of("follow_up", since, None, f"{done} of {len(due)} follow-ups done")
        detail = f"follow-up {done + 1} of {len(due)}, {since:.1f} periods after the promotion"
        return Trigger.of("follow_up", since, float(due[done]), detail)

    def drift(self) -> Trigger:
        drift = self.measured.drift
        return Trigger.of("drift", drift.value, 1.0 if self.settings.drift else None, drift.detail)

    def renewal(self) -> Trigger:
        """Renew the open pull request: its evidence expires with newer data or a new champion."""
        open_attempt, champion = self.measured.open_attempt, self.measured.champion
        if open_attempt is None:
            return Trigger.of(RENEWAL, None, None, "no open retrain pull request")
        newer = self.clock.since(open_attempt.at) or 0.0
        against_another = open_attempt.champion != champion
        for ago, attempt in self.past.attempts:
            since = ago < newer or (against_another and attempt.champion == champion and ago <= newer)
            if since and attempt.outcome != "won":
                return Trigger.of(
                    RENEWAL, newer, None, "a later attempt was unsuccessful, so the open pull request is outdated"
                )
        if against_another:
            return Trigger.of(
                RENEWAL, newer, min(newer, 0.0), "the open pull request was evaluated against a different champion"
            )
        detail = f"the open pull request is based on data up to {open_attempt.at.short}"
        return Trigger.of(RENEWAL, newer or None, self.settings.renew_periods, detail)

    def age(self) -> Trigger:
        age = self.clock.since(self.measured.won_at)
        detail = "the champion's promotion time is unknown" if age is None else f"the champion is {age:.1f} periods old"
        return Trigger.of("age", age, float(self.settings.max_age_periods) or None, detail)

    def volume(self) -> Trigger:
        growth = self.measured.growth
        return Trigger.of("volume", growth.value, self.settings.volume_growth or None, growth.detail)

    def manual(self) -> Trigger:
        requested = "manual" in self.measured.requested
        return Trigger.of("manual", float(requested), 1.0, "requested by a person" if requested else "")

    def schedule(self) -> Trigger:
        requested = "schedule" in self.measured.requested
        detail = "scheduled run" if requested else ""
        return Trigger.of("schedule", float(requested), 1.0 if self.settings.schedule else None, detail)
