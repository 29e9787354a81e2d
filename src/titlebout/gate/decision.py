"""Decision rule of the gate: from predictions on the holdout to one of three verdicts.

Pure functions: the same predictions and settings always give the same decision. ``benchmarks/gate/`` measures the error
rates of the whole rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from titlebout.core.results import Record
from titlebout.gate.calibration import Calibration
from titlebout.gate.guardrails import (
    Bounds,
    GateContext,
    GuardrailResult,
    MetricLine,
    bounds,
    check_guardrails,
    format_gain,
)
from titlebout.gate.looks import level
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.gate.slices import Slice
from titlebout.metrics.catalogue import PRIMARY, Metric, validate_predictions
from titlebout.metrics.inference import Difference
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings, margin_size

__all__ = ["Decision", "GuardrailResult", "MetricLine", "Verdict", "decide"]

Verdict = Literal["promote", "keep", "inconclusive"]

# Strictly proper scoring rules: the true probabilities, and no others, minimize them, so they include calibration.
PROPER_SCORES = ("log_loss", "brier")
# Level of the futility test: a challenger whose true gain is the margin is rejected by it in 1 of 100 cases.
FUTILITY_LEVEL = 0.01
FEWEST_ROWS = 2  # on which anything is measured
MOSTLY_ONE_VALUE = 0.5  # share of rows with one value of a number above which the median is that value


class Power(Record):
    """Statistical power of the holdout.

    Attributes
    ----------
    rows : int
        Rows in the holdout.
    resolves : float
        Half-width of the gain's interval, in units of the metric.
    needed : int or None
        Similar rows needed to detect a gain as large as the margin with 80% power; None without a margin.
    effective_rows : int
        Number of independent rows with the same standard error; fewer than `rows` if rows depend on each other.
    dependence : str
        What rows depend on: ``time``, or the column that identifies their entity; empty if no dependence was found.
    """

    rows: int
    resolves: float
    needed: int | None = None
    effective_rows: int
    dependence: str = ""


class ClassChurn(Record):
    """How predicted classes changed from champion to challenger, and which model is right.

    Attributes
    ----------
    changed : int
        Rows with a different predicted class.
    both_right, both_wrong, only_challenger_right, only_champion_right : int
        Counts of all rows by which model predicts the true class.
    """

    changed: int
    both_right: int
    both_wrong: int
    only_challenger_right: int
    only_champion_right: int


class ValueChurn(Record):
    """How predicted values changed from champion to challenger.

    Attributes
    ----------
    challenger_nearer, champion_nearer : int
        Rows in which that model's prediction is closer to the true value.
    median_move : float
        Median absolute difference of the two predictions, in units of the target.
    """

    challenger_nearer: int
    champion_nearer: int
    median_move: float


Churn = ClassChurn | ValueChurn


@dataclass(frozen=True)
class Decision:
    """A verdict and its evidence.

    Attributes
    ----------
    verdict : {"promote", "keep", "inconclusive"}
    rule : {"first", "superior", "non-inferior-and-ahead", "non-inferior"}
        Rule that was applied to the primary metric.
    reasons : tuple of str
        Sentences; the first one decides.
    metric : str
        The primary metric.
    alpha : float
        Significance level of the one-sided bounds; under the rule *superior* lower for every further challenger of a year.
    margin : float or None
        Non-inferiority margin in units of the metric, which is also the smallest gain worth a promotion; None without a
        champion.
    metrics : tuple of MetricLine
        The primary one first.
    over_dummy, over_anchor : Bounds or None
        Gain of the challenger over the dummy model and over the anchor.
    anchor_over_champion : Bounds or None
        Gain of the anchor over the champion.
    power : Power or None
    guards : tuple of GuardrailResult
        Results of the guardrails, one per condition.
    slices : tuple of Slice
        Worst first.
    untested_slices : dict
        Number of levels with too few rows, by column.
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
    anchor_over_champion: Bounds | None = None
    power: Power | None = None
    guards: tuple[GuardrailResult, ...] = ()
    slices: tuple[Slice, ...] = ()
    untested_slices: dict[str, int] = field(default_factory=dict)
    calibration: dict[str, Calibration] = field(default_factory=dict)
    churn: Churn | None = None

    @property
    def cause(self) -> str:
        """Why the challenger is not promoted, in a few words: the first reason without its figures; empty if it is."""
        if self.verdict == "promote":
            return ""
        words = self.reasons[0].partition(": ")[0]
        status = "failed" if self.verdict == "keep" else "untested"
        stopping = [guard.name for guard in self.guards if guard.status == status]
        if words in stopping:
            return f"guardrails: {', '.join(stopping)}" if len(stopping) > 1 else f"guardrail: {words}"
        return words.removeprefix("the challenger is ")

    def with_guardrails(self, guards: Sequence[GuardrailResult]) -> "Decision":
        """Return the decision with more guardrails: a failed one keeps the champion, an untested one prevents a promotion."""
        failed = tuple(f"{guard.name}: {guard.detail}" for guard in guards if guard.status == "failed")
        untested = tuple(f"{guard.name}: {guard.detail}" for guard in guards if guard.status == "untested")
        verdict: Verdict = self.verdict
        if failed:
            verdict = "keep"
        elif untested and verdict == "promote":
            verdict = "inconclusive"
        details = failed + untested
        reasons = details + self.reasons if verdict != self.verdict else self.reasons + details
        return replace(self, verdict=verdict, reasons=reasons, guards=(*self.guards, *guards))


def decide(predictions: HoldoutPredictions, settings: GateSettings, reason: str, look: int = 1) -> Decision:
    """Return the verdict on a challenger.

    Parameters
    ----------
    predictions : HoldoutPredictions
        With the predictions of ``challenger`` and ``dummy``; without a ``champion`` the rule is "first".
    settings : GateSettings
        Rules, margin and guardrails.
    reason : str
        Why the challenger was trained; see :class:`titlebout.settings.gate.RulesSettings`.
    look : int
        Number of this challenger among those of the last 365 days, from 1; see :mod:`titlebout.gate.looks`. It lowers the
        level of the rule *superior*. The other rules promote equal models by design, and the anchor bounds their decline.

    Raises
    ------
    ConfigError
        If a metric or a slice column of the settings does not exist.
    """
    rule = settings.rules.model_dump().get(reason, "superior") if "champion" in predictions.predicted else "first"
    # Being superior to the champion excludes gradual decay (bio-creep); only non-inferiority needs the anchor.
    if not settings.anchor or rule == "superior":
        predictions = replace(
            predictions, predicted={model: given for model, given in predictions.predicted.items() if model != "anchor"}
        )
    task = predictions.truth.task
    metric = find_metric(settings.primary_metric or PRIMARY[task], task)
    alpha = level(settings, look) if rule == "superior" else settings.alpha
    blank = Decision("inconclusive", rule, (), metric.name, alpha)
    early = _early_verdict(predictions)
    if early:
        return replace(blank, verdict=early[0], reasons=(early[1],))
    few = _few_rows(len(predictions.truth.y), settings)
    if few and len(predictions.truth.y) < FEWEST_ROWS:
        return replace(blank, reasons=(few,))
    decision = _evaluate(GateContext(predictions, settings, alpha), metric, blank)
    return replace(decision, verdict="inconclusive", reasons=(few,)) if few else decision


def _early_verdict(predictions: HoldoutPredictions) -> tuple[Verdict, str] | None:
    """Return a verdict and its reason if the predictions cannot be compared; otherwise None."""
    rows, entities = len(predictions.truth.y), predictions.entities
    for model, verdict in (("challenger", "keep"), ("champion", "inconclusive"), ("anchor", "inconclusive")):
        problem = (
            validate_predictions(predictions.predicted[model], rows, predictions.truth.classes)
            if model in predictions.predicted
            else None
        )
        if problem:
            return ("keep" if verdict == "keep" else "inconclusive"), f"the {model}'s {problem}"
    if entities is not None and entities.min() == entities.max():
        return (
            "inconclusive",
            "all holdout rows belong to one entity (gate.entity), so the standard error of the gain is unknown",
        )
    return None


def _few_rows(rows: int, settings: GateSettings) -> str:
    """Return why there is no verdict on few rows, whose metrics are reported all the same; empty if the rows are enough."""
    if rows >= settings.min_rows:
        return ""
    return (
        f"the holdout has {rows} rows, but gate.min_rows is {settings.min_rows}: "
        "add data, enlarge the holdout (split in params.yaml), or lower gate.min_rows in titlebout.toml"
    )


def _evaluate(context: GateContext, metric: Metric, blank: Decision) -> Decision:
    estimates = context.estimates(metric)
    champion = estimates.get("champion")
    size, relative = _margin(metric, context.settings)
    known = champion is not None and np.isfinite(champion.value)
    margin = size * abs(champion.value) if champion and known and relative else size if known else None
    gain_vs = {model: context.gain(metric, estimates, model) for model in ("champion", "anchor", "dummy")}
    shifted = {model: metric.worsened(one, size, relative) for model, one in estimates.items() if model != "challenger"}
    gain_vs_shifted = {model: context.gain(metric, {**estimates, **shifted}, model) for model in ("champion", "anchor")}
    values = {
        model: f"{metric.name} {one.value:.4f} → {estimates['challenger'].value:.4f}"
        for model, one in estimates.items()
    }
    text = _VerdictText(context, margin, values, context.gain(metric, estimates, "dummy", "champion"))
    verdict, sentence = _verdict(text, blank.rule, gain_vs, gain_vs_shifted)
    won = gain_vs["champion"]
    priced = metric.name in PROPER_SCORES and won is not None and won.lower(context.alpha) > 0
    guardrails = check_guardrails(context, metric, estimates, priced=priced)
    decision = replace(
        blank,
        verdict=verdict,
        reasons=(sentence,),
        margin=margin,
        metrics=(context.line(metric, "primary", estimates), *guardrails.lines),
        over_dummy=bounds(gain_vs["dummy"], context.alpha),
        over_anchor=bounds(gain_vs["anchor"], context.alpha),
        anchor_over_champion=bounds(context.gain(metric, estimates, "champion", "anchor"), context.alpha),
        power=_power(context, gain_vs["champion"] or gain_vs["dummy"], margin),
        slices=guardrails.slices,
        untested_slices=guardrails.untested_slices,
        calibration=guardrails.calibration,
        churn=_churn(context.predictions),
    )
    return decision.with_guardrails([*_dummy_warning(text, gain_vs["dummy"]), *guardrails.results])


def _dummy_warning(text: "_VerdictText", gain: Difference | None) -> list[GuardrailResult]:
    """Return a warning if neither model is shown to be better than the dummy model."""
    alpha, champion = text.context.alpha, text.champion_over_dummy
    if champion is None or gain is None or champion.lower(alpha) > 0 or gain.lower(alpha) > 0:
        return []
    detail = (
        f"neither model is significantly better than the best constant prediction: {text.comparison(gain, 'dummy')}"
    )
    return [GuardrailResult(name="dummy model", status="warning", detail=detail)]


@dataclass(frozen=True)
class _VerdictText:
    """Inputs for the verdict on the primary metric and the sentences that explain it."""

    context: GateContext
    margin: float | None
    values: Mapping[str, str]
    champion_over_dummy: Difference | None

    def comparison(self, gain: Difference, model: str) -> str:
        """Return the metric of both models and the gain with its interval."""
        return f"{self.values[model]}, {format_gain(gain, self.context.alpha)}"

    def rows_needed(self, gain: Difference, margin: float) -> str:
        """Return a clause about how many rows would be enough to decide; empty if the holdout has as many."""
        if margin == 0:
            return "; gate.margin is a share of the champion's value, which is 0; set gate.margin to a number instead"
        needed, rows = _rows_needed(self.context, gain, margin), len(self.context.predictions.truth.y)
        if needed <= rows:
            return ""
        return f"; detecting a gain of {margin:.2g} takes about {needed:,} rows, and the holdout has {rows:,}"


def _verdict(
    text: _VerdictText,
    rule: str,
    gain_vs: Mapping[str, Difference | None],
    gain_vs_shifted: Mapping[str, Difference | None],
) -> tuple[Verdict, str]:
    """Return the verdict on the primary metric alone.

    `gain_vs_shifted` has the gains over the same models with their metric made worse by the margin: a lower bound above
    zero shows non-inferiority.
    """
    dummy, champion, anchor = (gain_vs[model] for model in ("dummy", "champion", "anchor"))
    if dummy is None or any(gain_vs[model] is None for model in text.context.predictions.predicted if model in gain_vs):
        return "inconclusive", "the primary metric or its standard error is not defined on this holdout"
    alpha = text.context.alpha
    if champion is None or text.margin is None:
        if dummy.lower(alpha) > 0:
            return (
                "promote",
                "there is no champion yet, and the challenger is significantly better than the dummy model",
            )
        verdict, sentence = _not_better_than_dummy(text, dummy)
        remedy = "; hold out more rows, or start with it as it is: `titlebout promote --unproven`"
        return verdict, sentence + (remedy if verdict == "inconclusive" and dummy.gain > 0 else "")
    if rule == "superior":
        return _superior(text, champion, text.margin)
    verdicts = [_non_inferior(text, champion, gain_vs_shifted["champion"], "champion")]
    if rule == "non-inferior-and-ahead" and champion.gain <= 0 and verdicts[0][0] == "promote":
        detail = text.comparison(champion, "champion")
        verdicts = [("keep", f"the challenger is within the margin of the champion, but not ahead of it: {detail}")]
    if anchor is not None:
        verdicts.append(_non_inferior(text, anchor, gain_vs_shifted["anchor"], "anchor"))
    # A challenger that is better than the champion needs no comparison with the dummy model, and where the champion is
    # not shown to be better than it, nothing is lost.
    over_dummy = text.champion_over_dummy
    worth = over_dummy is not None and over_dummy.lower(alpha) > 0
    if worth and champion.lower(alpha) <= 0 and dummy.lower(alpha) <= 0:
        verdicts.append(_not_better_than_dummy(text, dummy))
    return next((verdict for verdict in verdicts if verdict[0] != "promote"), verdicts[0])


def _not_better_than_dummy(text: _VerdictText, gain: Difference) -> tuple[Verdict, str]:
    """Return the verdict on a challenger that is not shown to be better than the dummy model, and what may explain it."""
    detail, predictions = text.comparison(gain, "dummy"), text.context.predictions
    if gain.upper(text.context.alpha) < 0:
        return (
            "keep",
            f"the challenger is significantly worse than the dummy model (the best constant prediction): {detail}",
        )
    given = predictions.predicted["challenger"]
    hints = ["; it predicts the same for every row"] if np.ptp(given, axis=0).max() == 0 else []
    most = float(np.unique(predictions.truth.y, return_counts=True)[1].max()) / len(predictions.truth.y)
    of_the_mean = text.context.settings.primary_metric in {"rmse", "mse"}
    if not predictions.truth.classes and most > MOSTLY_ONE_VALUE and not of_the_mean:
        hints.append(
            f"; {most:.0%} of the rows have the same value, which a constant predicts: a metric of the mean, such as rmse "
            "(gate.primary_metric, and the same loss in the model), can distinguish models of such a target"
        )
    sentence = "the challenger is not significantly better than the dummy model (the best constant prediction)"
    return "inconclusive", f"{sentence}: {detail}{''.join(hints)}"


def _superior(text: _VerdictText, gain: Difference, margin: float) -> tuple[Verdict, str]:
    alpha, detail = text.context.alpha, text.comparison(gain, "champion")
    if gain.lower(alpha) > 0:
        return "promote", f"the challenger is significantly better than the champion: {detail}"
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is significantly worse than the champion: {detail}"
    if gain.upper(FUTILITY_LEVEL) < margin:
        return "keep", f"the challenger is not better than the champion by the margin of {margin:.2g}: {detail}"
    return (
        "inconclusive",
        f"the holdout is too small to decide which model is better: {detail}{text.rows_needed(gain, margin)}",
    )


def _non_inferior(
    text: _VerdictText, gain: Difference, gain_vs_shifted: Difference | None, model: str
) -> tuple[Verdict, str]:
    alpha, detail, margin = text.context.alpha, text.comparison(gain, model), text.margin or 0.0
    if gain.lower(alpha) > 0:
        return "promote", f"the challenger is significantly better than the {model}: {detail}"
    if gain_vs_shifted is not None and gain_vs_shifted.lower(alpha) > 0:
        return (
            "promote",
            f"the challenger is not worse than the {model} by more than the margin of {margin:.2g}: {detail}",
        )
    if gain.upper(alpha) < 0:
        return "keep", f"the challenger is significantly worse than the {model}: {detail}"
    return (
        "inconclusive",
        f"the holdout is too small to decide whether the challenger is worse than the {model}: {detail}{text.rows_needed(gain, margin)}",
    )


def _rows_needed(context: GateContext, gain: Difference, margin: float) -> int:
    return int(np.ceil(len(context.predictions.truth.y) * gain.times_needed(margin, context.alpha)))


def _margin(metric: Metric, settings: GateSettings) -> tuple[float, bool]:
    """Return the margin, and whether it is relative to the champion's value."""
    return (metric.margin, metric.relative) if settings.margin is None else margin_size(settings.margin)


def _power(context: GateContext, gain: Difference | None, margin: float | None) -> Power | None:
    if gain is None:
        return None
    rows, predictions = len(context.predictions.truth.y), context.predictions
    effective = rows if np.isnan(gain.effective_rows) else max(1, round(gain.effective_rows))
    return Power(
        rows=rows,
        resolves=gain.half_width(context.alpha),
        needed=_rows_needed(context, gain, margin) if margin else None,
        effective_rows=effective,
        dependence=predictions.entity or gain.source if gain.source == "entity" else gain.source,
    )


def _churn(predictions: HoldoutPredictions) -> Churn | None:
    """Return how predictions changed: predicted classes and their correctness, or the size of the change in value."""
    if "champion" not in predictions.predicted:
        return None
    truth, new, old = predictions.truth, predictions.predicted["challenger"], predictions.predicted["champion"]
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
