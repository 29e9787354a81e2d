"""Guardrails on a challenger's predictions: secondary metrics, absolute floors, slices of the data, calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from titlebout.core.arrays import FloatArray
from titlebout.core.results import Record
from titlebout.gate.calibration import Calibration, calibration, calibration_problems
from titlebout.gate.predictions import MODELS, HoldoutPredictions
from titlebout.gate.slices import Slice, compare_slices
from titlebout.metrics.catalogue import Metric, default_losses
from titlebout.metrics.estimates import Estimate
from titlebout.metrics.inference import Difference, holm
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings

Status = Literal["passed", "warning", "failed", "untested"]
Role = Literal["primary", "guard", "floor"]

DEFAULT_GUARDRAILS = {"classification": ("roc_auc", "accuracy"), "regression": ("rmse",)}
MAX_NAMED = 3

_UNKNOWN = dict.fromkeys(("gain", "lower", "upper"))


class GuardrailResult(Record):
    """Result of one guardrail: a condition that a challenger must fulfill in addition to the primary metric.

    Attributes
    ----------
    name : str
        Metric, or kind of check.
    status : {"passed", "warning", "failed", "untested"}
        A failed guardrail keeps the champion. An untested one prevents a promotion. A warning changes nothing.
    detail : str
        Short description of the result.
    """

    name: str
    status: Status
    detail: str


class Bounds(Record):
    """Gain of the challenger with one-sided confidence bounds at the gate's significance level.

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
        Name of the metric.
    better : {"smaller", "larger"}
        Direction of improvement.
    role : {"primary", "guard", "floor"}
        How the gate uses the metric.
    challenger, champion, anchor, dummy : float or None
        Value by model; None if the model does not exist or the metric is not defined.
    gain, lower, upper : float or None
        Gain of the challenger over the champion, or over the dummy model without a champion, with one-sided confidence
        bounds at the gate's significance level. Positive when the challenger is better.
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
class GateContext:
    """Inputs shared by all parts of the decision rule."""

    predictions: HoldoutPredictions
    settings: GateSettings
    alpha: float

    def estimates(self, metric: Metric) -> dict[str, Estimate]:
        """Return the estimate of a metric for every model."""
        truth, units = self.predictions.truth, self.predictions.entities
        return {model: metric.estimate(truth, given, units) for model, given in self.predictions.predicted.items()}

    def gain(self, metric: Metric, estimates: Mapping[str, Estimate], baseline: str) -> Difference | None:
        """Return the challenger's gain over another model; None if it or its standard error is not defined."""
        found = (
            metric.gain(estimates["challenger"], estimates[baseline], self.predictions.entities)
            if baseline in estimates
            else None
        )
        return found if found is not None and np.isfinite(found.se) else None

    def line(self, metric: Metric, role: Role, estimates: Mapping[str, Estimate]) -> MetricLine:
        """Return a metric of all models with the challenger's gain over the champion, or over the dummy without one."""
        gain = self.gain(metric, estimates, "champion" if "champion" in estimates else "dummy")
        values = {model: _finite(estimates[model].value) if model in estimates else None for model in MODELS}
        known = bounds(gain, self.alpha)
        return MetricLine(
            name=metric.name, better=metric.better, role=role, **values, **(dict(known) if known else _UNKNOWN)
        )


def secondary_metrics(context: GateContext, primary: Metric) -> tuple[list[MetricLine], list[GuardrailResult]]:
    """Return secondary metrics and their guardrails: absolute floors, and no significant loss (Holm correction)."""
    task = context.predictions.truth.task
    wanted = DEFAULT_GUARDRAILS[task] if context.settings.guardrails is None else context.settings.guardrails
    names = dict.fromkeys([*(name for name in wanted if name != primary.name), *context.settings.floors])
    metrics = {name: find_metric(name, task) for name in names}
    estimates = {name: context.estimates(metric) for name, metric in metrics.items()}
    lines = [
        context.line(metric, "guard" if name in wanted else "floor", estimates[name])
        for name, metric in metrics.items()
        if name != primary.name
    ]
    guards = [_floor(metrics[name], estimates[name], floor) for name, floor in context.settings.floors.items()]
    if "champion" in context.predictions.predicted:
        gains = {name: context.gain(metrics[name], estimates[name], "champion") for name in names if name in wanted}
        guards += _metric_guardrails(gains, metrics, estimates, context.alpha)
    return lines, guards


def _floor(metric: Metric, estimates: Mapping[str, Estimate], floor: float) -> GuardrailResult:
    value = estimates["challenger"].value
    if not np.isfinite(value):
        return GuardrailResult(name=f"floor of {metric.name}", status="untested", detail="not defined on this holdout")
    holds = value <= floor if metric.better == "smaller" else value >= floor
    return GuardrailResult(
        name=f"floor of {metric.name}",
        status="passed" if holds else "failed",
        detail=f"{value:.4f}, must be {'at most' if metric.better == 'smaller' else 'at least'} {floor:g}",
    )


def _metric_guardrails(
    gains: Mapping[str, Difference | None],
    metrics: Mapping[str, Metric],
    estimates: Mapping[str, Mapping[str, Estimate]],
    alpha: float,
) -> list[GuardrailResult]:
    known = {name: gain for name, gain in gains.items() if gain is not None}
    corrected = dict(zip(known, holm(np.array([gain.p_worse() for gain in known.values()])), strict=True))
    guards = [
        GuardrailResult(name=name, status="untested", detail="not defined on this holdout")
        for name in gains
        if name not in known
    ]
    for name, gain in known.items():
        metric, before = metrics[name], estimates[name]["champion"].value
        allowed = metric.margin * abs(before) if metric.relative else metric.margin
        failed = corrected[name] < alpha and -gain.gain > allowed
        detail = f"{before:.4f} → {estimates[name]['challenger'].value:.4f}, {format_gain(gain, alpha)}"
        guards.append(
            GuardrailResult(
                name=name,
                status="failed" if failed else "passed",
                detail=f"significantly worse: {detail}" if failed else detail,
            )
        )
    return guards


def slice_guardrail(
    context: GateContext, metric: Metric, estimates: Mapping[str, Estimate]
) -> tuple[tuple[Slice, ...], dict[str, int], list[GuardrailResult]]:
    """Return the slices and their guardrail.

    The loss in a slice is the primary metric if that is a mean over rows, and the default loss of the task otherwise.
    """
    columns = context.settings.slices.columns
    if "champion" not in estimates or not columns:
        return (), {}, []
    losses = {
        model: _losses(context.predictions, metric, estimates[model], model) for model in ("champion", "challenger")
    }
    slices, untested = compare_slices(context.predictions, losses, context.settings.slices, context.alpha)
    red = [part for part in slices if part.status == "red"]
    yellow = [part for part in slices if part.status == "yellow"]
    tested = sum(part.status != "grey" for part in slices)
    detail = ", ".join(f"{part.column} = {part.level} ({part.change:+.0%})" for part in (red or yellow)[:MAX_NAMED])
    if red:
        return (
            slices,
            untested,
            [
                GuardrailResult(
                    name="slices",
                    status="failed",
                    detail=f"significantly worse in {len(red)} slice{'s' * (len(red) > 1)}: {detail}",
                )
            ],
        )
    if not tested:
        return (
            slices,
            untested,
            [GuardrailResult(name="slices", status="untested", detail="no slice has enough rows to be tested")],
        )
    if yellow:
        return (
            slices,
            untested,
            [
                GuardrailResult(
                    name="slices",
                    status="warning",
                    detail=f"perhaps worse in {len(yellow)} of {tested} slices: {detail}",
                )
            ],
        )
    return (
        slices,
        untested,
        [GuardrailResult(name="slices", status="passed", detail=f"none of {tested} tested slices is worse")],
    )


def _losses(predictions: HoldoutPredictions, metric: Metric, estimate: Estimate, model: str) -> FloatArray:
    if metric.better == "smaller" and estimate.is_mean and estimate.influence is not None:
        return estimate.influence + estimate.value
    return default_losses(predictions.truth, predictions.predicted[model])


def calibrations(context: GateContext) -> dict[str, Calibration]:
    """Return the calibration of challenger and champion."""
    predictions = context.predictions
    return {
        model: calibration(predictions.truth, predictions.predicted[model], context.alpha, predictions.entities)
        for model in ("challenger", "champion")
        if model in predictions.predicted
    }


def calibration_guardrail(
    context: GateContext, found: Mapping[str, Calibration], priced: bool
) -> list[GuardrailResult]:
    """Return the calibration guardrail.

    It warns instead of failing without a champion, and when the challenger is significantly better in a proper score
    (`priced`), which already includes calibration.
    """
    wrong = calibration_problems(found["challenger"], found.get("champion"), context.settings.calibration)
    if wrong:
        return [
            GuardrailResult(
                name="calibration",
                status="failed" if "champion" in found and not priced else "warning",
                detail=", ".join(wrong),
            )
        ]
    slope = found["challenger"].slope
    detail = f"slope {slope:.2f}" if slope is not None else "slope not defined"
    return [
        GuardrailResult(name="calibration", status="passed", detail=f"{detail}, bias {found['challenger'].bias:+.3f}")
    ]


def bounds(gain: Difference | None, alpha: float) -> Bounds | None:
    """Return a gain with its one-sided confidence bounds."""
    if gain is None:
        return None
    return Bounds(gain=gain.gain, lower=gain.lower(alpha), upper=gain.upper(alpha))


def format_gain(gain: Difference, alpha: float) -> str:
    """Return a gain with its two-sided interval, whose ends are the one-sided bounds at level `alpha`."""
    level = f"{100 * (1 - 2 * alpha):g}%"
    return f"gain {gain.gain:+.4f} ({level} interval {gain.lower(alpha):+.4f} to {gain.upper(alpha):+.4f})"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
