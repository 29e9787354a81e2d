"""The rule of the gate: what a bout shows, what a challenger has to show, and the verdict, one of three.

Pure: a bout and the settings go in, a decision comes out, and the same bout gives the same decision. The error rates of
the whole rule are measured in ``benchmarks/gate/``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from titlebout.core.results import Record
from titlebout.gate.calibration import Calibration
from titlebout.gate.guardrails import (
    Bounds,
    Guard,
    MetricLine,
    Ring,
    bounds,
    calibrated,
    calibrations,
    in_words,
    other_metrics,
    slices_of,
)
from titlebout.gate.predictions import Bout
from titlebout.gate.slices import Slice
from titlebout.metrics.catalogue import PRIMARY, Metric, validate_predictions
from titlebout.metrics.inference import Difference
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings, margin_size

__all__ = ["Decision", "Guard", "MetricLine", "Verdict", "decide"]

Verdict = Literal["promote", "keep", "inconclusive"]

PROPER = ("log_loss", "brier")  # probabilities that are off cost something in them, and what is right is cheapest
# Level at which a gain worth a promotion is ruled out: a challenger that has it is told so in 1 of 100 cases.
FUTILITY = 0.01


class Power(Record):
    """What the holdout can show.

    Attributes
    ----------
    rows : int
        Rows at hand.
    resolves : float
        Distance of a bound from the gain, in units of the metric.
    needed : int or None
        Rows like them with which a gain as large as the margin is shown in 80 of 100 cases; None without a margin.
    """

    rows: int
    resolves: float
    needed: int | None = None


class ClassChurn(Record):
    """How decisions changed from champion to challenger, and which model is right.

    Attributes
    ----------
    changed : int
        Rows with another class.
    both_right, both_wrong, only_challenger_right, only_champion_right : int
        All rows, by which model is right.
    """

    changed: int
    both_right: int
    both_wrong: int
    only_challenger_right: int
    only_champion_right: int


class ValueChurn(Record):
    """How predicted values moved from champion to challenger.

    Attributes
    ----------
    challenger_nearer, champion_nearer : int
        Rows in which the prediction of one model is nearer to the true value.
    median_move : float
        Median absolute difference of the two predictions, in units of the target.
    """

    challenger_nearer: int
    champion_nearer: int
    median_move: float


Churn = ClassChurn | ValueChurn


@dataclass(frozen=True)
class Decision:
    """A verdict and everything it rests on.

    Attributes
    ----------
    verdict : {"promote", "keep", "inconclusive"}
    rule : {"first", "superior", "non-inferior-and-ahead", "non-inferior"}
        What the challenger had to show.
    reasons : tuple of str
        Sentences, the deciding one first.
    metric : str
        The primary metric.
    alpha : float
        Level of the one-sided bounds; tightened when the holdout was used often.
    margin : float or None
        Smallest gain worth a promotion and largest loss of a refresh, in units of the metric; None without a champion.
    metrics : tuple of MetricLine
        The primary one first.
    over_dummy, over_anchor : Bounds or None
        Gain of the challenger over the two.
    power : Power or None
    guards : tuple of Guard
    slices : tuple of Slice
        The worst first.
    untested_slices : dict
        Per column, how many levels have too few rows.
    calibration : dict
        Calibration by model.
    churn : ClassChurn or ValueChurn or None
        How predictions changed; None without a champion.
    """

    verdict: Verdict
    rule: str
    reasons: tuple[str, ...]
    metric: str
    alpha: float
    margin: float | None = None
    metrics: tuple[MetricLine, ...] = ()
    over_dummy: Bounds | None = None
    over_anchor: Bounds | None = None
    power: Power | None = None
    guards: tuple[Guard, ...] = ()
    slices: tuple[Slice, ...] = ()
    untested_slices: dict[str, int] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    churn: Churn | None = None

    def guarded(self, guards: Sequence[Guard]) -> "Decision":
        """Return the decision with more guards: what failed keeps the champion, what could not be tested does not promote."""
        failed = tuple(f"{guard.name}: {guard.detail}" for guard in guards if guard.status == "failed")
        untested = tuple(f"{guard.name}: {guard.detail}" for guard in guards if guard.status == "untested")
        verdict: Verdict = self.verdict
        if failed:
            verdict = "keep"
        elif untested and verdict == "promote":
            verdict = "inconclusive"
        told = failed + untested
        reasons = told + self.reasons if verdict != self.verdict else self.reasons + told
        return replace(self, verdict=verdict, reasons=reasons, guards=(*self.guards, *guards))


def decide(bout: Bout, settings: GateSettings, reason: str, uses: int = 1) -> Decision:
    """Return the verdict on a bout.

    Parameters
    ----------
    bout : Bout
        With the predictions of ``challenger`` and ``dummy``; without a ``champion`` the rule is "first".
    settings : GateSettings
    reason : str
        Why the challenger was trained; see :class:`titlebout.settings.gate.RulesSettings`.
    uses : int
        How many challengers met on these holdout rows, this one included.

    Raises
    ------
    ConfigError
        If a metric or a slice column of the settings does not exist.
    """
    rule = settings.rules.model_dump().get(reason, "superior") if "champion" in bout.predicted else "first"
    if not settings.anchor or rule == "superior":  # who is better than the champion need not be compared with another
        bout = replace(bout, predicted={who: given for who, given in bout.predicted.items() if who != "anchor"})
    task = bout.truth.task
    metric = find_metric(settings.primary_metric or PRIMARY[task], task)
    tightened = uses > settings.holdout.tighten_after
    alpha = min(settings.alpha, settings.holdout.tightened_alpha) if tightened else settings.alpha
    blank = Decision("inconclusive", rule, (), metric.name, alpha)
    early = _undecidable(bout, settings, uses)
    if early:
        return replace(blank, verdict=early[0], reasons=(early[1],))
    return _weigh(Ring(bout, settings, alpha), metric, blank)


def _undecidable(bout: Bout, settings: GateSettings, uses: int) -> tuple[Verdict, str] | None:
    """Return the verdict on a bout that cannot be weighed, and why."""
    rows, entities = len(bout.truth.y), bout.entities
    for who, verdict in (("challenger", "keep"), ("champion", "inconclusive"), ("anchor", "inconclusive")):
        problem = validate_predictions(bout.predicted[who], rows, bout.truth.classes) if who in bout.predicted else None
        if problem:
            return ("keep" if verdict == "keep" else "inconclusive"), f"the {who}'s {problem}"
    if rows < settings.min_rows:
        return (
            "inconclusive",
            f"{rows} holdout rows are too few to decide; the rule asks for {settings.min_rows}: "
            "add data, hold out more of it (split in params.yaml), or lower gate.min_rows in titlebout.toml",
        )
    if entities is not None and entities.min() == entities.max():
        return "inconclusive", "all holdout rows belong to one entity (gate.entity): nothing tells chance from gain"
    if uses > settings.holdout.refuse_after:
        return (
            "inconclusive",
            f"this holdout is used up: {uses} challengers met on it, the rule allows {settings.holdout.refuse_after}; "
            "let it move on with new data, or hold out other rows (split in params.yaml)",
        )
    return None


def _weigh(ring: Ring, metric: Metric, blank: Decision) -> Decision:
    estimates = ring.estimates(metric)
    champion = estimates.get("champion")
    size, relative = _margin(metric, ring.settings)
    known = champion is not None and np.isfinite(champion.value)
    margin = size * abs(champion.value) if champion and known and relative else size if known else None
    over = {who: ring.gain(metric, estimates, who) for who in ("champion", "anchor", "dummy")}
    handicapped = {who: metric.worsened(one, size, relative) for who, one in estimates.items() if who != "challenger"}
    spare = {who: ring.gain(metric, {**estimates, **handicapped}, who) for who in ("champion", "anchor")}
    values = {
        who: f"{metric.name} {one.value:.4f} → {estimates['challenger'].value:.4f}" for who, one in estimates.items()
    }
    verdict, sentence = _verdict(_Said(ring, margin, values), blank.rule, over, spare)
    slices, untested, found_slices = slices_of(ring, metric, estimates)
    agreement = calibrations(ring)
    lines, guards = other_metrics(ring, metric)
    decision = replace(
        blank,
        verdict=verdict,
        reasons=(sentence,),
        margin=margin,
        metrics=(ring.line(metric, "primary", estimates), *lines),
        over_dummy=bounds(over["dummy"], ring.alpha),
        over_anchor=bounds(over["anchor"], ring.alpha),
        power=_power(ring, over["champion"] or over["dummy"], margin),
        slices=slices,
        untested_slices=untested,
        calibration=agreement,
        churn=_churn(ring.bout),
    )
    won = over["champion"]
    priced = metric.name in PROPER and won is not None and won.lower(ring.alpha) > 0
    return decision.guarded([*guards, *found_slices, *calibrated(ring, agreement, priced)])


@dataclass(frozen=True)
class _Said:
    """What the sentences of a verdict are made of."""

    ring: Ring
    margin: float | None
    values: Mapping[str, str]

    def of(self, gain: Difference, whom: str) -> str:
        return f"{self.values[whom]}, {in_words(gain, self.ring.alpha)}"

    def needed(self, gain: Difference, margin: float) -> str:
        if margin == 0:
            return "a share of 0 is no margin; give gate.margin as a number"
        needed, rows = _rows_needed(self.ring, gain, margin), len(self.ring.bout.truth.y)
        return f"to show a gain of {margin:.2g} takes about {needed:,} rows, here are {rows:,}"


def _verdict(
    said: _Said, rule: str, over: Mapping[str, Difference | None], spare: Mapping[str, Difference | None]
) -> tuple[Verdict, str]:
    """Return what the primary metric alone says; `spare` are the gains over opponents that are worse by the margin."""
    dummy, champion, anchor = (over[who] for who in ("dummy", "champion", "anchor"))
    if dummy is None or any(over[who] is None for who in said.ring.bout.predicted if who in over):
        return "inconclusive", "the primary metric, or how well it is known, is not defined on this holdout"
    if dummy.lower(said.ring.alpha) <= 0:
        return "keep", "the challenger is not shown to be better than a model that knows nothing"
    if champion is None or said.margin is None:
        return "promote", "nobody holds the title yet, and the challenger is better than a model that knows nothing"
    if rule == "superior":
        return _superior(said, champion, said.margin)
    weighed = [_no_worse(said, champion, spare["champion"], "champion")]
    if rule == "non-inferior-and-ahead" and champion.gain <= 0 and weighed[0][0] == "promote":
        weighed = [("keep", f"the challenger is no worse, but not ahead either: {said.of(champion, 'champion')}")]
    if anchor is not None:
        weighed.append(_no_worse(said, anchor, spare["anchor"], "anchor"))
    return next((one for one in weighed if one[0] != "promote"), weighed[0])


def _superior(said: _Said, gain: Difference, margin: float) -> tuple[Verdict, str]:
    alpha, told = said.ring.alpha, said.of(gain, "champion")
    if gain.lower(alpha) > 0:
        return "promote", f"the challenger is better: {told}"
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is worse than the champion: {told}"
    if gain.upper(FUTILITY) < margin:
        return "keep", f"the challenger is not better by as much as the margin, {margin:.2g}: {told}"
    return "inconclusive", f"these rows cannot tell who is better: {told}; {said.needed(gain, margin)}"


def _no_worse(said: _Said, gain: Difference, spare: Difference | None, whom: str) -> tuple[Verdict, str]:
    alpha, told, margin = said.ring.alpha, said.of(gain, whom), said.margin or 0.0
    if gain.lower(alpha) > 0:
        return "promote", f"the challenger is better than the {whom}: {told}"
    if spare is not None and spare.lower(alpha) > 0:
        return "promote", f"the challenger is no worse than the {whom} by the margin, {margin:.2g}: {told}"
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is worse than the {whom}: {told}"
    return (
        "inconclusive",
        f"these rows cannot tell whether it is worse than the {whom}: {told}; {said.needed(gain, margin)}",
    )


def _rows_needed(ring: Ring, gain: Difference, margin: float) -> int:
    return int(np.ceil(len(ring.bout.truth.y) * gain.times_needed(margin, ring.alpha)))


def _margin(metric: Metric, settings: GateSettings) -> tuple[float, bool]:
    """Return the size of the margin, and whether it is a share of the champion's value."""
    return (metric.margin, metric.relative) if settings.margin is None else margin_size(settings.margin)


def _power(ring: Ring, gain: Difference | None, margin: float | None) -> Power | None:
    if gain is None:
        return None
    needed = _rows_needed(ring, gain, margin) if margin else None
    return Power(rows=len(ring.bout.truth.y), resolves=gain.half_width(ring.alpha), needed=needed)


def _churn(bout: Bout) -> Churn | None:
    """Return how the answers changed: decisions and who is right on them, or how far values moved."""
    if "champion" not in bout.predicted:
        return None
    truth, new, old = bout.truth, bout.predicted["challenger"], bout.predicted["champion"]
    if not truth.classes:
        nearer = np.abs(truth.y - new) < np.abs(truth.y - old)
        farther = np.abs(truth.y - new) > np.abs(truth.y - old)
        moved = float(np.median(np.abs(new - old)))
        return ValueChurn(challenger_nearer=int(nearer.sum()), champion_nearer=int(farther.sum()), median_move=moved)
    now, before = new.argmax(axis=1), old.argmax(axis=1)
    right_now, right_before = now == truth.y, before == truth.y
    return ClassChurn(
        changed=int((now != before).sum()),
        both_right=int((right_now & right_before).sum()),
        both_wrong=int((~right_now & ~right_before).sum()),
        only_challenger_right=int((right_now & ~right_before).sum()),
        only_champion_right=int((~right_now & right_before).sum()),
    )
