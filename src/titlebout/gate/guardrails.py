"""Guardrails on a challenger's predictions: secondary metrics, absolute floors, slices of the data, calibration."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from titlebout.core.arrays import FloatArray
from titlebout.core.results import Record
from titlebout.gate.calibration import (
    Calibration,
    calibration,
    calibration_gains,
    calibration_problems,
    describe,
    is_within,
)
from titlebout.gate.predictions import MODELS, HoldoutPredictions
from titlebout.gate.slices import MeasuredSlice, Slice, classify_slices, measure_slices
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
        truth, dependence = self.predictions.truth, self.predictions.dependence
        return {model: metric.estimate(truth, given, dependence) for model, given in self.predictions.predicted.items()}

    def gain(
        self, metric: Metric, estimates: Mapping[str, Estimate], baseline: str, model: str = "challenger"
    ) -> Difference | None:
        """Return a model's gain over another one; None if it or its standard error is not defined.

        Of two models with the same predictions, it is 0 without any error.
        """
        if baseline not in estimates or model not in estimates:
            return None
        given, (one, other) = self.predictions.predicted, (estimates[model], estimates[baseline])
        if one.value == other.value and np.array_equal(given[model], given[baseline]):
            rows = len(given[model])
            return Difference(0.0, 0.0, rows - 1, float(rows))
        found = metric.gain(one, other, self.predictions.dependence)
        return found if found is not None and np.isfinite(found.se) else None

    def line(self, metric: Metric, role: Role, estimates: Mapping[str, Estimate]) -> MetricLine:
        """Return a metric of all models with the challenger's gain over the champion, or over the dummy without one."""
        gain = self.gain(metric, estimates, "champion" if "champion" in estimates else "dummy")
        values = {model: _finite(estimates[model].value) if model in estimates else None for model in MODELS}
        known = bounds(gain, self.alpha)
        return MetricLine(
            name=metric.name, better=metric.better, role=role, **values, **(dict(known) if known else _UNKNOWN)
        )


@dataclass(frozen=True)
class Guardrails:
    """Results of all guardrails that need nothing but predictions.

    Attributes
    ----------
    results : tuple of GuardrailResult
        One per condition.
    lines : tuple of MetricLine
        Secondary metrics.
    slices : tuple of Slice
        Worst first.
    untested_slices : dict
        Number of levels with too few rows, by column.
    calibration : dict
        Calibration by model.
    """

    results: tuple[GuardrailResult, ...]
    lines: tuple[MetricLine, ...]
    slices: tuple[Slice, ...]
    untested_slices: dict[str, int]
    calibration: dict[str, Calibration]


def check_guardrails(
    context: GateContext, primary: Metric, estimates: Mapping[str, Estimate], *, priced: bool
) -> Guardrails:
    """Test secondary metrics, slices and calibration against the champion as one family, with Holm's correction.

    Every test is of the paired difference, so that a challenger that is as good as the champion fails any of them with a
    probability of at most ``gate.guardrail_alpha``.

    Parameters
    ----------
    context : GateContext
    primary : Metric
        Metric that decides; its losses are compared in slices if it is a mean over rows.
    estimates : mapping of str to Estimate
        The primary metric by model.
    priced : bool
        Whether the challenger is significantly better in a proper score, which already includes calibration.

    Raises
    ------
    ConfigError
        If a metric or a slice column of the settings does not exist.
    """
    predictions, settings = context.predictions, context.settings
    secondary = _secondary_metrics(context, primary)
    measured, untested = _measured_slices(context, primary, estimates)
    agreement = _calibrations(context)
    gains = {
        name: context.gain(one.metric, one.estimates, "champion")
        for name, one in secondary.items()
        if one.guard and "champion" in estimates
    }
    tests = {("metric", name): gain for name, gain in gains.items() if gain is not None}
    tests |= {("slice", str(at)): one.gain for at, one in enumerate(measured) if one.gain}
    if "champion" in estimates:
        given = predictions.predicted
        calibrated = calibration_gains(
            predictions.truth, given["challenger"], given["champion"], predictions.dependence
        )
        tests |= {("calibration", kind): gain for kind, gain in calibrated.items()}
    corrected = dict(zip(tests, holm(np.array([one.p_worse() for one in tests.values()])).tolist(), strict=True))
    slices = classify_slices(
        measured,
        [p for (kind, _), p in corrected.items() if kind == "slice"],
        settings.slices.tolerance,
        settings.guardrail_alpha,
    )
    results = [_floor(secondary[name], floor) for name, floor in settings.floors.items()]
    results += [
        _metric_guardrail(context, secondary[name], gain, corrected.get(("metric", name)))
        for name, gain in gains.items()
    ]
    results += _slice_guardrail(slices)
    shown = {kind for (group, kind), p in corrected.items() if group == "calibration" and p < settings.guardrail_alpha}
    results.append(_calibration_guardrail(context, agreement, shown, priced=priced))
    lines = tuple(
        context.line(one.metric, "guard" if one.guard else "floor", one.estimates)
        for name, one in secondary.items()
        if name != primary.name
    )
    return Guardrails(tuple(results), lines, slices, untested, agreement)


@dataclass(frozen=True)
class _Secondary:
    metric: Metric
    estimates: Mapping[str, Estimate]
    guard: bool


def _secondary_metrics(context: GateContext, primary: Metric) -> dict[str, _Secondary]:
    """Return the metrics of guardrails and floors, with their estimates."""
    task = context.predictions.truth.task
    wanted = DEFAULT_GUARDRAILS[task] if context.settings.guardrails is None else context.settings.guardrails
    names = dict.fromkeys([*(name for name in wanted if name != primary.name), *context.settings.floors])
    metrics = {name: find_metric(name, task) for name in names}
    return {
        name: _Secondary(metric, context.estimates(metric), guard=name in wanted and name != primary.name)
        for name, metric in metrics.items()
    }


def _floor(one: _Secondary, floor: float) -> GuardrailResult:
    metric, value = one.metric, one.estimates["challenger"].value
    if not np.isfinite(value):
        return GuardrailResult(name=f"floor of {metric.name}", status="untested", detail="not defined on this holdout")
    holds = value <= floor if metric.better == "smaller" else value >= floor
    return GuardrailResult(
        name=f"floor of {metric.name}",
        status="passed" if holds else "failed",
        detail=f"{value:.4f}, must be {'at most' if metric.better == 'smaller' else 'at least'} {floor:g}",
    )


def _metric_guardrail(
    context: GateContext, one: _Secondary, gain: Difference | None, corrected: float | None
) -> GuardrailResult:
    """Return the guardrail of one metric: no decline that is significant and larger than the metric's margin."""
    metric, before = one.metric, one.estimates["champion"].value
    if gain is None or corrected is None:
        return GuardrailResult(name=metric.name, status="untested", detail="not defined on this holdout")
    allowed = metric.margin * abs(before) if metric.relative else metric.margin
    failed = corrected < context.settings.guardrail_alpha and -gain.gain > allowed
    detail = f"{before:.4f} → {one.estimates['challenger'].value:.4f}, {format_gain(gain, context.alpha)}"
    return GuardrailResult(
        name=metric.name,
        status="failed" if failed else "passed",
        detail=f"significantly worse: {detail}" if failed else detail,
    )


def _measured_slices(
    context: GateContext, metric: Metric, estimates: Mapping[str, Estimate]
) -> tuple[tuple[MeasuredSlice, ...], dict[str, int]]:
    """Return the slices with the challenger's gain in each.

    The loss in a slice is the primary metric if that is a mean over rows, and the default loss of the task otherwise.
    """
    if "champion" not in estimates or not context.settings.slices.columns:
        return (), {}
    losses = {
        model: _losses(context.predictions, metric, estimates[model], model) for model in ("champion", "challenger")
    }
    return measure_slices(context.predictions, losses, context.settings.slices)


def _slice_guardrail(slices: Sequence[Slice]) -> list[GuardrailResult]:
    """Return the guardrail of slices; none without slices."""
    red = [part for part in slices if part.status == "red"]
    yellow = [part for part in slices if part.status == "yellow"]
    tested = sum(part.status != "grey" for part in slices)
    found = ", ".join(f"{part.column} = {part.level} ({part.change:+.0%})" for part in (red or yellow)[:MAX_NAMED])
    status: Status = "passed"
    detail = f"none of {tested} tested slices is worse"
    if red:
        status, detail = "failed", f"significantly worse in {len(red)} slice{'s' * (len(red) > 1)}: {found}"
    elif not tested:
        status, detail = "untested", "no slice has enough rows to be tested"
    elif yellow:
        status, detail = "warning", f"perhaps worse in {len(yellow)} of {tested} slices: {found}"
    return [GuardrailResult(name="slices", status=status, detail=detail)] if slices else []


def _losses(predictions: HoldoutPredictions, metric: Metric, estimate: Estimate, model: str) -> FloatArray:
    if metric.better == "smaller" and estimate.is_mean and estimate.influence is not None:
        return estimate.influence + estimate.value
    return default_losses(predictions.truth, predictions.predicted[model])


def _calibrations(context: GateContext) -> dict[str, Calibration]:
    """Return the calibration of challenger and champion."""
    predictions = context.predictions
    return {
        model: calibration(predictions.truth, predictions.predicted[model], context.alpha, predictions.dependence)
        for model in ("challenger", "champion")
        if model in predictions.predicted
    }


def _calibration_guardrail(
    context: GateContext, found: Mapping[str, Calibration], worse: Collection[str], *, priced: bool
) -> GuardrailResult:
    """Return the calibration guardrail; `worse` has the kinds in which the challenger is worse than the champion.

    It warns instead of failing without a champion, and when the challenger is significantly better in a proper score
    (`priced`), which already includes calibration.
    """
    limits, challenger, champion = context.settings.calibration, found["challenger"], found.get("champion")
    figures = describe(challenger, champion, limits)
    problems = calibration_problems(challenger, champion, limits)
    shown = [text for kind, text in problems.items() if champion is None or kind in worse]
    if shown:
        status: Status = "failed" if champion and not priced else "warning"
        return GuardrailResult(name="calibration", status=status, detail=f"{', '.join(shown)}: {figures}")
    if is_within(challenger, limits):
        return GuardrailResult(name="calibration", status="passed", detail=figures)
    compared = "not shown to be worse than the champion's" if champion else "but this can be chance"
    return GuardrailResult(name="calibration", status="warning", detail=f"outside the limits, {compared}: {figures}")


def bounds(gain: Difference | None, alpha: float) -> Bounds | None:
    """Return a gain with its one-sided confidence bounds."""
    if gain is None:
        return None
    return Bounds(gain=gain.gain, lower=gain.lower(alpha), upper=gain.upper(alpha))


def format_gain(gain: Difference, alpha: float) -> str:
    """Return a gain with its two-sided interval, whose ends are the one-sided bounds at level `alpha`."""
    level = f"{100 * (1 - 2 * alpha):.4g}%"
    return f"gain {gain.gain:+.4f} ({level} interval {gain.lower(alpha):+.4f} to {gain.upper(alpha):+.4f})"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
