"""What a challenger must not lose beside the primary metric: other metrics, slices of the data, calibration, floors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from titlebout.core.arrays import FloatArray
from titlebout.core.results import Record
from titlebout.gate.calibration import Calibration, calibration, faults
from titlebout.gate.predictions import MODELS, Bout
from titlebout.gate.slices import Slice, examine
from titlebout.metrics.catalogue import Metric, default_losses
from titlebout.metrics.estimates import Estimate
from titlebout.metrics.inference import Difference, holm
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings

Status = Literal["passed", "warning", "failed", "untested"]
Role = Literal["primary", "guard", "floor"]

GUARDS = {"classification": ("roc_auc", "accuracy"), "regression": ("rmse",)}
MOST_NAMED = 3

_UNKNOWN = dict.fromkeys(("gain", "lower", "upper"))


class Guard(Record):
    """One condition beside the primary metric.

    Attributes
    ----------
    name : str
    status : {"passed", "warning", "failed", "untested"}
        Failed keeps the champion; untested, where something was to be tested, is never a promotion.
    detail : str
        The finding in a few words.
    """

    name: str
    status: Status
    detail: str


class Bounds(Record):
    """A gain of the challenger, with its one-sided bounds at the level of the gate.

    Attributes
    ----------
    gain, lower, upper : float
        In units of the metric; positive when the challenger is better.
    """

    gain: float
    lower: float
    upper: float


class MetricLine(Record):
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
    better: Literal["smaller", "larger"]
    role: Role
    challenger: float | None
    champion: float | None
    anchor: float | None
    dummy: float | None
    gain: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Ring:
    """What every part of the rule looks at."""

    bout: Bout
    settings: GateSettings
    alpha: float

    def estimates(self, metric: Metric) -> dict[str, Estimate]:
        """Return a metric of every model."""
        truth, units = self.bout.truth, self.bout.entities
        return {who: metric.estimate(truth, given, units) for who, given in self.bout.predicted.items()}

    def gain(self, metric: Metric, estimates: Mapping[str, Estimate], over: str) -> Difference | None:
        """Return what the challenger gains over another; None where that is not known, or not how well it is known."""
        found = metric.gain(estimates["challenger"], estimates[over], self.bout.entities) if over in estimates else None
        return found if found is not None and np.isfinite(found.se) else None

    def line(self, metric: Metric, role: Role, estimates: Mapping[str, Estimate]) -> MetricLine:
        """Return a metric of all models with what the challenger gains over the champion, or else over the dummy."""
        gain = self.gain(metric, estimates, "champion" if "champion" in estimates else "dummy")
        values = {who: _finite(estimates[who].value) if who in estimates else None for who in MODELS}
        known = bounds(gain, self.alpha)
        return MetricLine(
            name=metric.name, better=metric.better, role=role, **values, **(dict(known) if known else _UNKNOWN)
        )


def other_metrics(ring: Ring, primary: Metric) -> tuple[list[MetricLine], list[Guard]]:
    """Return the other metrics: floors, and what must not get worse (Holm over all of them)."""
    task = ring.bout.truth.task
    wanted = GUARDS[task] if ring.settings.guardrails is None else ring.settings.guardrails
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
        return Guard(name=f"floor of {metric.name}", status="untested", detail="it is not defined on this holdout")
    held = value <= floor if metric.better == "smaller" else value >= floor
    return Guard(
        name=f"floor of {metric.name}",
        status="passed" if held else "failed",
        detail=f"{value:.4f}, the floor is {floor:g}",
    )


def _worse(
    gains: Mapping[str, Difference | None],
    metrics: Mapping[str, Metric],
    estimates: Mapping[str, Mapping[str, Estimate]],
    alpha: float,
) -> list[Guard]:
    known = {name: gain for name, gain in gains.items() if gain is not None}
    corrected = dict(zip(known, holm(np.array([gain.p_worse() for gain in known.values()])), strict=True))
    guards = [
        Guard(name=name, status="untested", detail="it is not defined on this holdout")
        for name in gains
        if name not in known
    ]
    for name, gain in known.items():
        metric, before = metrics[name], estimates[name]["champion"].value
        allowed = metric.margin * abs(before) if metric.relative else metric.margin
        failed = corrected[name] < alpha and -gain.gain > allowed
        told = f"{before:.4f} → {estimates[name]['challenger'].value:.4f}, {in_words(gain, alpha)}"
        guards.append(
            Guard(name=name, status="failed" if failed else "passed", detail=f"worse: {told}" if failed else told)
        )
    return guards


def slices_of(
    ring: Ring, metric: Metric, estimates: Mapping[str, Estimate]
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
        return slices, untested, [Guard(name="slices", status="failed", detail=f"worse in {len(red)}: {told}")]
    if not any(one.status != "grey" for one in slices):
        return (
            slices,
            untested,
            [Guard(name="slices", status="untested", detail="no slice has enough rows to be tested")],
        )
    tested = sum(one.status != "grey" for one in slices)
    if yellow:
        return (
            slices,
            untested,
            [Guard(name="slices", status="warning", detail=f"perhaps worse in {len(yellow)} of {tested}: {told}")],
        )
    return slices, untested, [Guard(name="slices", status="passed", detail=f"{tested} tested, none worse")]


def _losses(bout: Bout, metric: Metric, estimate: Estimate, who: str) -> FloatArray:
    if metric.better == "smaller" and estimate.is_mean and estimate.influence is not None:
        return estimate.influence + estimate.value
    return default_losses(bout.truth, bout.predicted[who])


def calibrations(ring: Ring) -> dict[str, Calibration]:
    """Return the calibration of the two that meet."""
    bout = ring.bout
    return {
        who: calibration(bout.truth, bout.predicted[who], ring.alpha, bout.entities)
        for who in ("challenger", "champion")
        if who in bout.predicted
    }


def calibrated(ring: Ring, found: Mapping[str, Calibration], priced: bool) -> list[Guard]:
    """Return the guard; it only warns without a champion, and where a loss that counts it shows the challenger better."""
    wrong = faults(found["challenger"], found.get("champion"), ring.settings.calibration)
    if wrong:
        return [
            Guard(
                name="calibration",
                status="failed" if "champion" in found and not priced else "warning",
                detail=", ".join(wrong),
            )
        ]
    slope = found["challenger"].slope
    told = f"slope {slope:.2f}" if slope is not None else "slope not defined"
    return [Guard(name="calibration", status="passed", detail=f"{told}, bias {found['challenger'].bias:+.3f}")]


def bounds(gain: Difference | None, alpha: float) -> Bounds | None:
    """Return a gain with its one-sided bounds."""
    if gain is None:
        return None
    return Bounds(gain=gain.gain, lower=gain.lower(alpha), upper=gain.upper(alpha))


def in_words(gain: Difference, alpha: float) -> str:
    """Return a gain with its bounds, as a piece of a sentence."""
    return f"a gain of {gain.gain:+.4f} (between {gain.lower(alpha):+.4f} and {gain.upper(alpha):+.4f})"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
