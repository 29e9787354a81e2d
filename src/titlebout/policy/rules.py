"""When a retraining is worth an attempt: what was measured and what was tried before go in, one decision comes out.

Nothing is read here and no clock is asked. "Now" is where the data stands, so that the same data and the same memory
give the same decision on every machine and on every day.
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
# How an attempt ended, by what the gate, or the data check, said.
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
    """A retraining that was attempted.

    Attributes
    ----------
    at : Moment
        Where the data stood.
    reason : str
        One of :data:`titlebout.core.names.REASONS`.
    outcome : {"won", "lost", "inconclusive", "refused"}
        Refused: by the data check.
    champion : str
        Content hash of the model that held the title then; empty when nobody did.
    inputs : str
        Key of what went in.
    """

    at: Moment
    reason: str
    outcome: Outcome
    champion: str = ""
    inputs: str = ""


@dataclass(frozen=True)
class Clock:
    """The data's own clock.

    Attributes
    ----------
    at : Moment or None
        Its newest time, or its number of rows where rows have no time; None when neither is known.
    period : float
        Length of a period, in seconds or in rows.
    """

    at: Moment | None
    period: float

    def since(self, at: Moment | None) -> float | None:
        """Return how many periods ago the data stood at `at`; None when the two cannot be compared."""
        if self.at is None or at is None or not self.at.comparable(at):
            return None
        return (self.at - at) / self.period


@dataclass(frozen=True)
class Reading:
    """What was measured of one signal.

    Attributes
    ----------
    value : float or None
        None when it cannot be measured.
    told : str
        What it means, or why it is not there; may hold names from the data.
    """

    value: float | None
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that a decision rests on, beside the memory.

    Attributes
    ----------
    refused : str
        Why the data cannot be used; empty when it can.
    new_rows : int
        New rows with a label.
    decay : Reading
        By how many standard errors the champion's loss on new labels is larger than on the rows it won on.
    drift : Reading
        Number of columns that drifted.
    won_at, decayed_at : Moment or None
        Where the data stood when the champion won, and when one won for perf_decay whose follow-ups are due.
    champion : str
        Content hash of who holds the title.
    asked : frozenset of str
        ``manual`` when a person asks for an attempt, ``schedule`` when the calendar started the run.
    proposal : Attempt or None
        The one that the open pull request shows.
    """

    refused: str = ""
    new_rows: int = 0
    decay: Reading = Reading(None)
    drift: Reading = Reading(None)
    won_at: Moment | None = None
    decayed_at: Moment | None = None
    champion: str = ""
    asked: frozenset[str] = frozenset()
    proposal: Attempt | None = None


class Signal(Record):
    """One signal in the record of a decision.

    Attributes
    ----------
    name : str
        ``data``, ``renewal`` (of the open proposal), or a reason of a retraining.
    value, threshold : float or None
        It fires from the threshold on. No value: it cannot be measured; no threshold: the policy does not listen to it.
    distance : float or None
        Value less threshold.
    fired : bool
        Whether the value has reached the threshold.
    detail : str
        A few words about the value.
    held_back : str
        Why it starts nothing although it fires; empty otherwise.
    until : Moment or None
        Where the data has to stand for a signal that is held back to start an attempt.
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
    def of(cls, name: str, value: float | None, threshold: float | None, detail: str = "") -> "Signal":
        """Return a signal that fires from its threshold on."""
        distance = None if value is None or threshold is None else value - threshold
        fired = distance is not None and distance >= 0
        return cls(name=name, value=value, threshold=threshold, detail=detail, fired=fired, distance=distance)


@dataclass(frozen=True)
class Decision:
    """What to do, and every signal that was looked at.

    Attributes
    ----------
    action : {"stop", "attempt", "wait", "nothing"}
    sentence : str
        Why, for people.
    signals : tuple of Signal
        All of them, in the order in which they count.
    reason, note : str
        For the attempt; empty otherwise.
    """

    action: Action
    sentence: str
    signals: tuple[Signal, ...]
    reason: str = ""
    note: str = ""


def decide(
    measured: Measured, memory: Iterable[Attempt], settings: PolicySettings, min_new_rows: int, clock: Clock
) -> Decision:
    """Decide about a retraining.

    Parameters
    ----------
    measured : Measured
    memory : iterable of Attempt
        In any order. What lies in the data's future is ignored: it is no experience with this data.
    settings : PolicySettings
    min_new_rows : int
        Fewer new labelled rows than this are not worth an attempt, whatever its reason.
    clock : Clock
    """
    case = _Case(measured, settings, clock, _Past.of(memory, measured.champion, clock))
    data = Signal.of("data", float(bool(measured.refused)), 1.0, measured.refused)
    signals = (data, *case.signals())
    fired = [signal for signal in signals[1:] if signal.fired]
    free = [signal for signal in fired if not signal.held_back]
    if data.fired:
        return Decision("stop", f"the data is refused: {measured.refused}", signals)
    if not fired:
        return Decision("nothing", "no signal asks for a retraining", signals)
    if measured.new_rows < min_new_rows:
        wanted = f"{measured.new_rows:,} new rows have a label, {min_new_rows:,} are wanted"
        return Decision("wait", f"{_words(fired)}: but {wanted}", signals)
    if not free:
        return Decision("wait", f"{_words(fired)}: held back, {fired[0].held_back}", signals)
    first = free[0]
    reason = measured.proposal.reason if measured.proposal and first.name == RENEWAL else first.name
    return Decision("attempt", f"{_words([first])}: {first.detail}", signals, reason, first.detail)


@dataclass(frozen=True)
class _Past:
    """Attempts with how many periods ago they were, the newest first."""

    attempts: Sequence[tuple[float, Attempt]]
    champion: str

    @classmethod
    def of(cls, memory: Iterable[Attempt], champion: str, clock: Clock) -> "_Past":
        known = ((clock.since(attempt.at), attempt) for attempt in memory)
        before = [(ago, attempt) for ago, attempt in known if ago is not None and ago >= 0]
        return cls(sorted(before, key=lambda pair: (pair[0], astuple(pair[1]))), champion)

    def of_reason(self, reason: str) -> list[tuple[float, Attempt]]:
        return [(ago, attempt) for ago, attempt in self.attempts if attempt.reason == reason]

    def refusals(self, reason: str) -> int:
        """Count how often this champion withstood attempts of one reason in a row: a new one starts afresh."""
        count = 0
        for _, attempt in self.of_reason(reason):
            if attempt.outcome == "won" or attempt.champion != self.champion:
                break
            count += 1
        return count


def _words(signals: Sequence[Signal]) -> str:
    return " and ".join(signal.name.replace("_", " ") for signal in signals)


@dataclass(frozen=True)
class _Case:
    """All that signals are made of."""

    measured: Measured
    settings: PolicySettings
    clock: Clock
    past: _Past

    def signals(self) -> list[Signal]:
        """Return all reasons in the order in which they count: first what says most about the model, last what says nothing."""
        asked = [self.volume(), self.manual(), self.schedule()]
        measured = [self.perf_decay(), self.follow_up(), self.drift(), self.renewal(), self.age()]
        return [self.held(signal) for signal in (*measured, *asked)]

    def held(self, signal: Signal) -> Signal:
        """Hold a signal back while the last attempt of its own reason is too recent; other reasons do not count.

        Were the counter shared, refused attempts of the calendar would starve the reason that is worth most.
        """
        before = self.past.of_reason(signal.name)
        if not signal.fired or not before or signal.name == "manual":
            return signal
        ago, last = before[0]
        doublings = min(max(self.past.refusals(signal.name) - 1, 0), DOUBLINGS)
        wait = self.settings.cool_down_periods * 2**doublings
        if ago >= wait:
            return signal
        until = last.at + wait * self.clock.period
        why = f"the attempt of {last.at.short} ended with {last.outcome!r}; again from {until.short} on"
        return signal.replace(held_back=why, until=until)

    def perf_decay(self) -> Signal:
        decay = self.measured.decay
        return Signal.of("perf_decay", decay.value, self.settings.decay_z, decay.told)

    def follow_up(self) -> Signal:
        since, due = self.clock.since(self.measured.decayed_at), self.settings.follow_up_periods
        if since is None:
            first = float(due[0]) if due else None
            return Signal.of("follow_up", None, first, "no promotion for perf decay to follow up")
        done = sum(ago <= since for ago, _ in self.past.of_reason("follow_up"))
        if done >= len(due):
            return Signal.of("follow_up", since, None, f"{done} of {len(due)} were tried")
        words = f"{done + 1} of {len(due)}, {since:.1f} periods after the promotion"
        return Signal.of("follow_up", since, float(due[done]), words)

    def drift(self) -> Signal:
        drift = self.measured.drift
        return Signal.of("drift", drift.value, 1.0 if self.settings.drift else None, drift.told)

    def renewal(self) -> Signal:
        """Keep what people are asked to merge true: evidence on older data, or against another champion, expires."""
        shown, champion = self.measured.proposal, self.measured.champion
        if shown is None:
            return Signal.of(RENEWAL, None, None, "no proposal is open")
        newer = self.clock.since(shown.at) or 0.0
        against_another = shown.champion != champion
        for ago, attempt in self.past.attempts:
            since = ago < newer or (against_another and attempt.champion == champion and ago <= newer)
            if since and attempt.outcome != "won":
                return Signal.of(RENEWAL, newer, None, "a later attempt did not win: the proposal is overtaken")
        if against_another:
            return Signal.of(RENEWAL, newer, min(newer, 0.0), "the open proposal challenges another champion")
        words = f"the open proposal shows data up to {shown.at.short}"
        return Signal.of(RENEWAL, newer or None, self.settings.renew_periods, words)

    def age(self) -> Signal:
        age = self.clock.since(self.measured.won_at)
        words = "unknown when the champion won" if age is None else f"the champion is {age:.1f} periods old"
        return Signal.of("age", age, float(self.settings.max_age_periods) or None, words)

    def volume(self) -> Signal:
        rows = self.measured.new_rows
        return Signal.of(
            "volume", float(rows), float(self.settings.volume_rows) or None, f"{rows:,} new rows have a label"
        )

    def manual(self) -> Signal:
        asked = "manual" in self.measured.asked
        return Signal.of("manual", float(asked), 1.0, "somebody asks for it" if asked else "")

    def schedule(self) -> Signal:
        asked = "schedule" in self.measured.asked
        words = "the calendar started this run" if asked else ""
        return Signal.of("schedule", float(asked), 1.0 if self.settings.schedule else None, words)
