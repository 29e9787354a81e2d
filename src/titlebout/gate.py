"""The rule of the gate: what a bout shows, what a challenger has to show, and the verdict, one of three.

Pure: a bout and the settings go in, a decision comes out, and the same bout gives the same decision. The error rates of
the whole rule are measured in ``benchmarks/gate/``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from titlebout.bouts import MODELS, Bout
from titlebout.calibration import Calibration, calibration, faults
from titlebout.config import GateSettings, margin_size
from titlebout.estimates import Estimate
from titlebout.inference import Difference, FloatArray, holm
from titlebout.metrics import PRIMARY, Metric, losses_of, unsound
from titlebout.scorers import find_metric
from titlebout.slices import Slice, examine

Verdict = Literal["promote", "keep", "inconclusive"]
Status = Literal["passed", "warning", "failed", "untested"]

GUARDS = {"classification": ("roc_auc", "accuracy"), "regression": ("rmse",)}
PROPER = ("log_loss", "brier")  # probabilities that are off cost something in them, and what is right is cheapest
MOST_NAMED = 3
# Level at which a gain worth a promotion is ruled out: a challenger that has it is told so in 1 of 100 cases.
FUTILITY = 0.01


@dataclass(frozen=True)
class Guard:
    """One condition beside the primary metric.

    Attributes
    ----------
    name : str
    status : {"passed", "warning", "failed", "untested"}
        Failed keeps the champion; untested, where something was to be tested, is never a promotion.
    told : str
        The finding in a few words.
    """

    name: str
    status: Status
    told: str


@dataclass(frozen=True)
class MetricLine:
    """One metric of all models on the holdout.

    Attributes
    ----------
    name : str
    better : {"smaller", "larger"}
    role : {"primary", "guard", "floor"}
    challenger, champion, anchor, dummy : float or None
        None where there is no such model or the metric is not defined.
    gain, lower, upper : float or None
        Of the challenger over the champion (over the dummy when nobody holds the title), positive when it is better,
        with its one-sided bounds at the level of the gate.
    """

    name: str
    better: str
    role: str
    challenger: float | None
    champion: float | None
    anchor: float | None
    dummy: float | None
    gain: float | None
    lower: float | None
    upper: float | None


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
    over_dummy, over_anchor : dict or None
        gain, lower and upper of the challenger over the two.
    power : dict
        units (rows, or entities), resolves (distance of a bound from the gain), and needed (units with which a gain as
        large as the margin is shown in 80 of 100 cases).
    guards : tuple of Guard
    slices : tuple of Slice
        The worst first.
    untested_slices : dict
        Per column, how many levels have too few rows.
    calibration : dict
        Calibration by model.
    churn : dict
        Rows whose answer changed, and who is right on them.
    """

    verdict: Verdict
    rule: str
    reasons: tuple[str, ...]
    metric: str
    alpha: float
    margin: float | None = None
    metrics: tuple[MetricLine, ...] = ()
    over_dummy: dict[str, float] | None = None
    over_anchor: dict[str, float] | None = None
    power: dict[str, float] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    slices: tuple[Slice, ...] = ()
    untested_slices: dict[str, int] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    churn: dict[str, Any] = field(default_factory=dict)

    def guarded(self, guards: Sequence[Guard]) -> "Decision":
        """Return the decision with more guards: what failed keeps the champion, what could not be tested does not promote."""
        failed = tuple(f"{guard.name}: {guard.told}" for guard in guards if guard.status == "failed")
        untested = tuple(f"{guard.name}: {guard.told}" for guard in guards if guard.status == "untested")
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
        Why the challenger was trained; see :class:`titlebout.config.RulesSettings`.
    uses : int
        How many challengers met on these holdout rows, this one included.

    Raises
    ------
    ConfigError
        If a metric or a slice column of the settings does not exist.
    """
    task = bout.truth.task
    metric = find_metric(settings.primary or PRIMARY[task], task)
    rule = getattr(settings.rules, reason, "superior") if "champion" in bout.predicted else "first"
    tightened = uses > settings.holdout.tighten_after
    alpha = min(settings.alpha, settings.holdout.tightened_alpha) if tightened else settings.alpha
    blank = Decision("inconclusive", rule, (), metric.name, alpha)
    early = _undecidable(bout, settings, uses)
    if early:
        return replace(blank, verdict=early[0], reasons=(early[1],))
    return _weigh(_Ring(bout, settings, alpha), metric, blank)


@dataclass(frozen=True)
class _Ring:
    """What every part of the rule looks at."""

    bout: Bout
    settings: GateSettings
    alpha: float

    def estimates(self, metric: Metric) -> dict[str, Estimate]:
        truth, units = self.bout.truth, self.bout.entities
        return {who: metric.estimate(truth, given, units) for who, given in self.bout.predicted.items()}

    def gain(self, metric: Metric, estimates: Mapping[str, Estimate], over: str) -> Difference | None:
        return metric.gain(estimates["challenger"], estimates[over], self.bout.entities) if over in estimates else None

    def line(self, metric: Metric, role: str, estimates: Mapping[str, Estimate]) -> MetricLine:
        gain = self.gain(metric, estimates, "champion" if "champion" in estimates else "dummy")
        values = {who: _finite(estimates[who].value) if who in estimates else None for who in MODELS}
        bounds: Mapping[str, float | None] = _bounds(gain, self.alpha) or dict.fromkeys(("gain", "lower", "upper"))
        return MetricLine(metric.name, metric.better, role, **values, **bounds)


def _undecidable(bout: Bout, settings: GateSettings, uses: int) -> tuple[Verdict, str] | None:
    """Return the verdict on a bout that cannot be weighed, and why."""
    rows = len(bout.truth.y)
    for who, verdict in (("challenger", "keep"), ("champion", "inconclusive"), ("anchor", "inconclusive")):
        problem = unsound(bout.predicted[who], rows, bout.truth.classes) if who in bout.predicted else None
        if problem:
            return ("keep" if verdict == "keep" else "inconclusive"), f"the {who}'s {problem}"
    if rows < settings.min_rows:
        return (
            "inconclusive",
            f"{rows} holdout rows are too few to decide; the rule asks for {settings.min_rows}: "
            "add data, hold out more of it (split in params.yaml), or lower gate.min_rows in titlebout.toml",
        )
    if uses > settings.holdout.refuse_after:
        return (
            "inconclusive",
            f"this holdout is used up: {uses} challengers met on it, the rule allows {settings.holdout.refuse_after}; "
            "let it move on with new data, or hold out other rows (split in params.yaml)",
        )
    return None


def _weigh(ring: _Ring, metric: Metric, blank: Decision) -> Decision:
    estimates = ring.estimates(metric)
    champion = estimates.get("champion")
    margin = _margin(metric, champion.value, ring.settings) if champion else None
    over = {who: ring.gain(metric, estimates, who) for who in ("champion", "anchor", "dummy")}
    verdict, sentence = _verdict(ring, blank.rule, over, margin)
    if champion is not None and margin is not None:
        sentence = f"{metric.name} {champion.value:.4f} → {estimates['challenger'].value:.4f}: {sentence}"
    slices, untested, found_slices = _slices(ring, metric, estimates)
    calibrations = _calibrations(ring)
    lines, guards = _guards(ring, metric)
    decision = replace(
        blank,
        verdict=verdict,
        reasons=(sentence,),
        margin=margin,
        metrics=(ring.line(metric, "primary", estimates), *lines),
        over_dummy=_bounds(over["dummy"], ring.alpha),
        over_anchor=_bounds(over["anchor"], ring.alpha),
        power=_power(over["champion"] or over["dummy"], ring.alpha, margin),
        slices=slices,
        untested_slices=untested,
        calibration=calibrations,
        churn=_churn(ring.bout),
    )
    won = over["champion"]
    priced = metric.name in PROPER and won is not None and won.lower(ring.alpha) > 0
    return decision.guarded([*guards, *found_slices, *_calibrated(ring, calibrations, priced)])


def _verdict(
    ring: _Ring, rule: str, over: Mapping[str, Difference | None], margin: float | None
) -> tuple[Verdict, str]:
    """Return what the primary metric alone says."""
    dummy, champion = over["dummy"], over["champion"]
    if dummy is None or (rule != "first" and (champion is None or not margin)):
        return "inconclusive", "the primary metric is not defined on this holdout"
    if dummy.lower(ring.alpha) <= 0:
        return "keep", "the challenger is not shown to be better than a model that knows nothing"
    if champion is None or not margin:
        return "promote", "nobody holds the title yet, and the challenger is better than a model that knows nothing"
    verdict, sentence = (_superior if rule == "superior" else _no_worse)(champion, margin, ring.alpha, "champion")
    if verdict == "promote" and rule == "non-inferior-and-ahead" and champion.gain <= 0:
        return "keep", f"the challenger is no worse, but not ahead either, {_told(champion, ring.alpha)}"
    anchor = over["anchor"]
    if verdict != "promote" or rule == "superior" or anchor is None:
        return verdict, sentence
    held, why = _no_worse(anchor, margin, ring.alpha, "anchor, the last model that won by being better")
    return (verdict, sentence) if held == "promote" else (held, why)


def _superior(gain: Difference, margin: float, alpha: float, whom: str) -> tuple[Verdict, str]:
    told = _told(gain, alpha)
    if gain.lower(alpha) > 0:
        return "promote", f"the challenger is better, {told}"
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is worse than the {whom}, {told}"
    if gain.upper(FUTILITY) < margin:
        return "keep", f"a gain worth a promotion ({margin:.2g}) is ruled out, {told}"
    return "inconclusive", f"these rows cannot tell, {told}; {_needed(gain, margin, alpha)}"


def _no_worse(gain: Difference, margin: float, alpha: float, whom: str) -> tuple[Verdict, str]:
    told = f"{_told(gain, alpha)}; it may lose {margin:.2g}"
    if gain.lower(alpha) > -margin:
        return "promote", f"the challenger is {'better' if gain.lower(alpha) > 0 else 'no worse'}, {told}"
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is worse than the {whom}, {told}"
    return (
        "inconclusive",
        f"these rows cannot tell whether it is worse than the {whom}, {told}; {_needed(gain, margin, alpha)}",
    )


def _told(gain: Difference, alpha: float) -> str:
    return f"a gain of {gain.gain:+.4f} (between {gain.lower(alpha):+.4f} and {gain.upper(alpha):+.4f})"


def _needed(gain: Difference, margin: float, alpha: float) -> str:
    return f"to show a gain of {margin:.2g} about {gain.units_needed(margin, alpha):,} rows are needed, here are {gain.df + 1:,}"


def _margin(metric: Metric, champion: float, settings: GateSettings) -> float:
    size, relative = (metric.margin, metric.relative) if settings.margin is None else margin_size(settings.margin)
    return size * abs(champion) if relative else size


def _power(gain: Difference | None, alpha: float, margin: float | None) -> dict[str, float]:
    if gain is None or not np.isfinite(gain.se):
        return {}
    known = {"units": gain.df + 1, "resolves": gain.half_width(alpha)}
    return known | ({"needed": gain.units_needed(margin, alpha)} if margin else {})


def _guards(ring: _Ring, primary: Metric) -> tuple[list[MetricLine], list[Guard]]:
    """Return the other metrics: floors, and what must not get worse (Holm over all of them)."""
    task = ring.bout.truth.task
    wanted = GUARDS[task] if ring.settings.guards is None else ring.settings.guards
    names = dict.fromkeys([*(name for name in wanted if name != primary.name), *ring.settings.floors])
    metrics = {name: find_metric(name, task) for name in names}
    estimates = {name: ring.estimates(metric) for name, metric in metrics.items()}
    lines = [
        ring.line(metric, "guard" if name in wanted else "floor", estimates[name])
        for name, metric in metrics.items()
        if name != primary.name
    ]
    guards = [_floor(metrics[name], estimates[name], floor) for name, floor in ring.settings.floors.items()]
    if "champion" in ring.bout.predicted:
        guarded = {name: ring.gain(metrics[name], estimates[name], "champion") for name in names if name in wanted}
        guards += _worse(guarded, metrics, estimates, ring.alpha)
    return lines, guards


def _floor(metric: Metric, estimates: Mapping[str, Estimate], floor: float) -> Guard:
    value = estimates["challenger"].value
    if not np.isfinite(value):
        return Guard(f"floor of {metric.name}", "untested", "it is not defined on this holdout")
    held = value <= floor if metric.better == "smaller" else value >= floor
    return Guard(f"floor of {metric.name}", "passed" if held else "failed", f"{value:.4f}, the floor is {floor:g}")


def _worse(
    gains: Mapping[str, Difference | None],
    metrics: Mapping[str, Metric],
    estimates: Mapping[str, Mapping[str, Estimate]],
    alpha: float,
) -> list[Guard]:
    known = {name: gain for name, gain in gains.items() if gain is not None}
    corrected = dict(zip(known, holm(np.array([gain.p_worse() for gain in known.values()])), strict=True))
    guards = [Guard(name, "untested", "it is not defined on this holdout") for name in gains if name not in known]
    for name, gain in known.items():
        metric, before = metrics[name], estimates[name]["champion"].value
        allowed = metric.margin * abs(before) if metric.relative else metric.margin
        failed = corrected[name] < alpha and -gain.gain > allowed
        told = f"{before:.4f} → {estimates[name]['challenger'].value:.4f}, {_told(gain, alpha)}"
        guards.append(Guard(name, "failed" if failed else "passed", f"worse: {told}" if failed else told))
    return guards


def _slices(
    ring: _Ring, metric: Metric, estimates: Mapping[str, Estimate]
) -> tuple[tuple[Slice, ...], dict[str, int], list[Guard]]:
    """Return the slices; their loss is the primary metric where it is a mean over rows, else the task's default."""
    columns = ring.settings.slices.columns
    if "champion" not in estimates or not columns:
        return (), {}, []
    losses = {who: _losses(ring.bout, metric, estimates[who], who) for who in ("champion", "challenger")}
    slices, untested = examine(ring.bout, losses, ring.settings.slices, ring.alpha)
    red = [one for one in slices if one.status == "red"]
    yellow = [one for one in slices if one.status == "yellow"]
    told = ", ".join(f"{one.column} = {one.level} ({one.change:+.0%})" for one in (red or yellow)[:MOST_NAMED])
    if red:
        return slices, untested, [Guard("slices", "failed", f"worse in {len(red)}: {told}")]
    if not any(one.status != "grey" for one in slices):
        return slices, untested, [Guard("slices", "untested", "no slice has enough rows to be tested")]
    tested = sum(one.status != "grey" for one in slices)
    if yellow:
        return slices, untested, [Guard("slices", "warning", f"perhaps worse in {len(yellow)} of {tested}: {told}")]
    return slices, untested, [Guard("slices", "passed", f"{tested} tested, none worse")]


def _losses(bout: Bout, metric: Metric, estimate: Estimate, who: str) -> FloatArray:
    if metric.better == "smaller" and estimate.is_mean and estimate.influence is not None:
        return estimate.influence + estimate.value
    return losses_of(bout.truth, bout.predicted[who])


def _calibrations(ring: _Ring) -> dict[str, Calibration]:
    given = ring.bout.predicted
    return {
        who: calibration(ring.bout.truth, given[who], ring.alpha) for who in ("challenger", "champion") if who in given
    }


def _calibrated(ring: _Ring, found: Mapping[str, Calibration], priced: bool) -> list[Guard]:
    """Return the guard; it only warns without a champion, and where a loss that counts it shows the challenger better."""
    wrong = faults(found["challenger"], found.get("champion"), ring.settings.calibration)
    if wrong:
        return [Guard("calibration", "failed" if "champion" in found and not priced else "warning", ", ".join(wrong))]
    slope = found["challenger"].slope
    told = f"slope {slope:.2f}" if slope is not None else "slope not defined"
    return [Guard("calibration", "passed", f"{told}, bias {found['challenger'].bias:+.3f}")]


def _churn(bout: Bout) -> dict[str, Any]:
    """Return how the answers changed: decisions and who is right on them, or how far values moved."""
    if "champion" not in bout.predicted:
        return {}
    truth, new, old = bout.truth, bout.predicted["challenger"], bout.predicted["champion"]
    if not truth.classes:
        nearer = np.abs(truth.y - new) < np.abs(truth.y - old)
        farther = np.abs(truth.y - new) > np.abs(truth.y - old)
        moved = float(np.median(np.abs(new - old)))
        return {"challenger_nearer": int(nearer.sum()), "champion_nearer": int(farther.sum()), "median_move": moved}
    now, before = new.argmax(axis=1), old.argmax(axis=1)
    right_now, right_before = now == truth.y, before == truth.y
    return {
        "changed": int((now != before).sum()),
        "both_right": int((right_now & right_before).sum()),
        "both_wrong": int((~right_now & ~right_before).sum()),
        "only_challenger_right": int((right_now & ~right_before).sum()),
        "only_champion_right": int((~right_now & right_before).sum()),
    }


def _bounds(gain: Difference | None, alpha: float) -> dict[str, float] | None:
    if gain is None or not np.isfinite(gain.se):
        return None
    return {"gain": gain.gain, "lower": gain.lower(alpha), "upper": gain.upper(alpha)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
