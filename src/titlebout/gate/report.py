"""Result and report of the gate: the verdict and its evidence on one screen for the reviewer, with figures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from titlebout.core.errors import ExitCode
from titlebout.core.markdown import Markdown, code, escape, folded, format_number, format_score, table
from titlebout.core.results import StepResult, write_text_atomically
from titlebout.data.holdout import Holdout
from titlebout.gate.calibration import Calibration
from titlebout.gate.decision import Churn, ClassChurn, GuardrailResult, MetricLine, Power, ValueChurn
from titlebout.gate.figures import Interval, calibration_svg, gains_svg
from titlebout.gate.guardrails import Bounds
from titlebout.gate.selftest import RuleRates
from titlebout.gate.slices import Slice

FOLDER = "evaluate"
SHOWN_SLICES, DRAWN_SLICES = 8, 12
MISSED_IN_TIME = "5 to 7%"  # docs/explanation/error-rates-of-the-gate.md
_TITLES = {
    "promote": "promote",
    "keep": "keep the champion",
    "inconclusive": "inconclusive",
    "unchanged": "nothing to decide",
}
_RULES = {
    "first": "be significantly better than the dummy model (the best constant prediction)",
    "superior": "be significantly better than the champion",
    "non-inferior-and-ahead": "be better than the champion on average, and not worse by more than the margin",
    "non-inferior": "not be worse than the champion by more than the margin",
}
_MARKS = {"passed": "✓", "warning": "!", "failed": "✗", "untested": "?"}
_DIRECTIONS = {"smaller": "↓", "larger": "↑"}  # in which direction the metric is better
_REPRODUCED = ("same answers", "golden rows", "serving")
_BLOCKS = "▁▂▃▄▅▆▇█"


class EvaluateResult(StepResult):
    """The verdict of the gate and its evidence.

    Attributes
    ----------
    verdict : {"promote", "keep", "inconclusive", "unchanged"}
        Unchanged: the challenger is the champion.
    reason : str
        Why the challenger was trained (``change``, ``drift``, ``schedule``, ...), ``first`` without a champion,
        ``rollback`` when a former champion is restored, ``none`` when there is nothing to compare.
    cause : str
        Why the challenger is not promoted, in a few words; empty if it is.
    rule : {"first", "superior", "non-inferior-and-ahead", "non-inferior", "none"}
        Rule that was applied to the primary metric.
    metric : str
        The primary metric.
    challenger, champion : str
        Digests of the models; the champion's is empty without a champion.
    challenger_md5, champion_md5 : str
        DVC's content hashes of their folders, as in ``dvc.lock`` and ``champion.dvc``.
    challenger_score, champion_score, dummy_score : float or None
        The primary metric on the holdout.
    gain, gain_lower, gain_upper : float or None
        Gain of the challenger over the champion in the primary metric (positive when it is better), and its one-sided
        confidence bounds at level `alpha`.
    alpha : float
        Significance level of the bounds; under the rule *superior* lower for every further challenger of a year.
    margin : float or None
        Non-inferiority margin in units of the metric, which is also the smallest gain worth a promotion.
    power : Power or None
        Statistical power of the holdout.
    over_dummy, over_anchor : Bounds or None
        Gain of the challenger over the dummy model and over the anchor.
    anchor : str
        Digest of the anchor, the last champion that was promoted as superior; empty without one.
    metrics : tuple of MetricLine
        All metrics of all models, the primary one first.
    guards : tuple of GuardrailResult
        Results of the guardrails, one per condition.
    slices : tuple of Slice
        Worst first.
    untested_slices : dict of str to int or None
        Number of levels with too few rows to test, by column.
    calibration : dict of str to Calibration or None
        Calibration by model.
    churn : ClassChurn or ValueChurn or None
        How predictions changed from champion to challenger.
    latency_ms, size_bytes : dict of str to float or None, dict of str to int or None
        Median time of a prediction for one row, and size of the model file, by model.
    holdout : Holdout or None
        Rows that the verdict is based on; None when nothing was compared.
    promotion_requested : bool
        True when this commit changes ``champion.dvc``.
    rates : RuleRates or None
        Error rates and power of the rule *superior* on this holdout; only for the first champion.
    predictions : str
        File of all holdout predictions, relative to ``reports/``: input of ``titlebout evaluate --from-predictions``.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {
        "verdict": "verdict",
        "promotion": "promotion_requested",
        "report": "report",
    }

    step: Literal["evaluate"] = "evaluate"
    verdict: Literal["promote", "keep", "inconclusive", "unchanged"]
    reason: str
    cause: str = ""
    rule: str = "none"
    metric: str
    challenger: str
    champion: str = ""
    challenger_md5: str
    champion_md5: str = ""
    challenger_score: float | None = None
    champion_score: float | None = None
    dummy_score: float | None = None
    gain: float | None = None
    gain_lower: float | None = None
    gain_upper: float | None = None
    alpha: float = 0.05
    margin: float | None = None
    power: Power | None = None
    over_dummy: Bounds | None = None
    over_anchor: Bounds | None = None
    anchor: str = ""
    metrics: tuple[MetricLine, ...] = ()
    guards: tuple[GuardrailResult, ...] = ()
    slices: tuple[Slice, ...] = ()
    untested_slices: dict[str, int] | None = None
    calibration: dict[str, Calibration] | None = None
    churn: Churn | None = None
    latency_ms: dict[str, float] | None = None
    size_bytes: dict[str, int] | None = None
    holdout: Holdout | None = None
    promotion_requested: bool = False
    rates: RuleRates | None = None
    predictions: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        lost = ExitCode.INCONCLUSIVE if self.verdict == "inconclusive" else ExitCode.CHALLENGER_LOST
        return ExitCode.OK if self.passed else lost

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        first, *others = [f"{reason[0].upper()}{reason[1:]}." for reason in map(str, map(escape, self.reasons))]
        parts = [f"### Gate: {_TITLES[self.verdict]}", f"**{first}**"]
        if others:
            parts.append("\n".join(f"- {other}" for other in others))
        if self.holdout is not None:
            parts += [part for part in _evidence(self, self.holdout) if part]
        return "\n\n".join(parts) + "\n"


def draw(reports: Path, result: EvaluateResult) -> tuple[Path, ...]:
    """Draw the figures of an evaluation into ``evaluate/``, and remove those of an earlier run.

    Parameters
    ----------
    reports : Path
        The project's folder ``reports/``.
    result : EvaluateResult
        Nothing is drawn if it compares nothing.
    """
    for old in (reports / FOLDER).glob("*.svg"):
        old.unlink()
    drawn: list[Path] = []
    intervals = [*_gains(result.metrics), *_slice_gains(result)]
    if intervals:
        primary = result.metrics[0]
        margin = result.margin / abs(primary.champion) if result.margin and primary.champion else None
        drawn.append(write_text_atomically(reports / FOLDER / "gains.svg", gains_svg(intervals, margin)))
    if result.calibration:
        picture = calibration_svg(result.calibration, isinstance(result.churn, ValueChurn))
        drawn.append(write_text_atomically(reports / FOLDER / "calibration.svg", picture))
    return tuple(drawn)


def _evidence(result: EvaluateResult, holdout: Holdout) -> Iterator[str]:
    """Yield what a reviewer needs for the decision, on one screen, and the rest folded."""
    yield f"Rule for **{escape(result.reason)}**: the challenger must {_RULES[result.rule]}."
    if result.metrics:
        yield _metrics(result).rstrip()
    if result.guards:
        yield table(["", "guardrail", "result"], _guards(result)).rstrip()
    details = [_holdout(result, holdout), _power(result), _slices(result), _calibration(result), _churn(result)]
    again = (
        "Repeat the decision with a different margin: "
        f"`titlebout evaluate --from-predictions reports/{result.predictions} --margin 1%`."
    )
    text = "\n\n".join(part for part in (*details, _rates(result), again) if part)
    yield folded("Details: holdout, slices, calibration, changed predictions", text)


def _metrics(result: EvaluateResult) -> str:
    """Return the table of metrics, with a column for the champion and the anchor only where there is one."""
    shown = [
        name
        for name in ("champion", "challenger", "anchor", "dummy")
        if any(getattr(line, name) is not None for line in result.metrics)
    ]
    interval = f"{100 * (1 - 2 * result.alpha):.4g}% interval"
    headers = ["metric (better ↓ or ↑)", *shown, "gain", interval]
    return table(headers, [_metric(line, shown) for line in result.metrics])


def _metric(line: MetricLine, shown: Sequence[str]) -> list[object]:
    name = f"{line.name} {_DIRECTIONS[line.better]}"
    scores = [format_score(getattr(line, model)) for model in shown]
    ends = f"{_signed(line.lower)} to {_signed(line.upper)}" if line.lower is not None else "-"
    return [
        Markdown(f"**{escape(name)}**") if line.role == "primary" else name,
        *scores,
        _signed(line.gain),
        Markdown(ends),
    ]


def _guards(result: EvaluateResult) -> Iterator[tuple[str, str, str]]:
    """Yield the guardrails; passed metrics, whose figures are in the table above, share a line, and so do passed checks without figures."""
    passed = {guard.name: guard.detail for guard in result.guards if guard.status == "passed"}
    metrics = [line.name for line in result.metrics if line.name in passed]
    reproduced = [name for name in _REPRODUCED if name in passed]
    if metrics:
        yield _MARKS["passed"], "metrics", f"not worse by more than their margins: {', '.join(metrics)}"
    for guard in result.guards:
        if guard.name not in (*metrics, *reproduced):
            yield _MARKS[guard.status], guard.name, guard.detail
    if reproduced:
        yield _MARKS["passed"], "reproduced", "; ".join(f"{name} {passed[name]}" for name in reproduced)


def _signed(value: float | None) -> Markdown:
    return Markdown("-" if value is None else f"{value:+.4f}")


def _power(result: EvaluateResult) -> str:
    power = result.power
    if power is None:
        return ""
    parts = [
        f"The holdout has {power.rows:,} rows{_dependence(power) or ' and'} resolves a gain of ±{power.resolves:.4f}."
    ]
    if result.margin is not None and power.needed is not None:
        margin = f"gain of the margin ({result.margin:.4f})"
        parts.append(
            f"Detecting a {margin} with 80% power takes {power.needed:,} rows."
            if power.needed > power.rows
            else f"A {margin} is detected with at least 80% power."
        )
    if power.dependence == "time":
        parts.append(
            f"On real series, the bounds of such rows were wrong in {MISSED_IN_TIME} of the windows; 5% is nominal."
        )
    return " ".join(parts)


def _dependence(power: Power) -> str:
    """Return a clause about rows that depend on each other; empty if they do not."""
    if not power.dependence:
        return ""
    what = "which depend on each other over time" if power.dependence == "time" else ""
    what = what or f"of which those with the same {code(power.dependence)} depend on each other"
    return f", {what}: they are worth {power.effective_rows:,} independent ones. It"


def _slices(result: EvaluateResult) -> str:
    """Return a table of the slices that are or may be worse, and counts of the others."""
    if not result.slices:
        return ""
    count = {status: sum(one.status == status for one in result.slices) for status in ("green", "grey")}
    looked = [one for one in result.slices if one.status in {"red", "yellow"}][:SHOWN_SLICES]
    small = ", ".join(
        f"{code(f'{one.column} = {one.level}')} ({one.rows})" for one in result.slices if one.status == "grey"
    )
    parts = (
        [table(["slice", "rows", "champion", "challenger", "change", ""], map(_slice, looked)).rstrip()]
        if looked
        else []
    )
    summary = f"Slices: {count['green']} not worse"
    summary += f"; too few rows to test: {small}" if small else ""
    return "\n\n".join([*parts, f"{summary}."])


def _slice(one: Slice) -> tuple[object, ...]:
    return (
        code(f"{one.column} = {one.level}"),
        one.rows,
        format_score(one.champion),
        format_score(one.challenger),
        f"{one.change:+.1%}",
        "worse" if one.status == "red" else "perhaps worse",
    )


def _calibration(result: EvaluateResult) -> str:
    found = (result.calibration or {}).get("challenger")
    if found is None:
        return ""
    ends = f"{format_number(found.predicted[0])} … {format_number(found.predicted[-1])}"
    lines = [f"Calibration in ten equal groups of rows by prediction ({ends}):", ""]
    lines += [f"    predicted  {_spark(found.predicted, found)}", f"    observed   {_spark(found.observed, found)}"]
    return "\n".join(lines)


def _spark(values: Sequence[float], of: Calibration) -> str:
    """Return values as block characters, on one scale for predictions and outcomes."""
    low, high = min(*of.predicted, *of.observed), max(*of.predicted, *of.observed)
    steps = [round((value - low) / (high - low) * (len(_BLOCKS) - 1)) if high > low else 0 for value in values]
    return "".join(_BLOCKS[step] for step in steps)


def _churn(result: EvaluateResult) -> str:
    churn = result.churn
    if churn is None:
        return ""
    if isinstance(churn, ClassChurn):
        rows = [
            ("challenger right", churn.both_right, churn.only_challenger_right),
            ("challenger wrong", churn.only_champion_right, churn.both_wrong),
        ]
        changed = f"The predicted class changes in {format_number(churn.changed)} rows:"
        return f"{changed}\n\n{table(['', 'champion right', 'champion wrong'], rows).rstrip()}"
    return (
        f"Predictions change by {format_number(churn.median_move)} (median). The challenger is closer to the true value in "
        f"{format_number(churn.challenger_nearer)} rows, the champion in {format_number(churn.champion_nearer)}."
    )


def _holdout(result: EvaluateResult, holdout: Holdout) -> str:
    period = f", {escape(holdout.start[:10])} to {escape(holdout.end[:10])}" if holdout.start else ""
    champion = f"champion {code(result.champion[:12])}" if result.champion else "no champion yet"
    champion += f", anchor {code(result.anchor[:12])}" if result.anchor else ""
    return (
        f"Challenger {code(result.challenger[:12])}, {champion}. Holdout: {format_number(holdout.rows)} rows{period} "
        f"(fingerprint `{holdout.fingerprint[:12]}`), each row predicted by models that were not trained on it. "
        f"{_level(result, holdout)}"
    )


def _rates(result: EvaluateResult) -> str:
    """Return what to expect of the gate on this holdout; empty after the first champion."""
    if result.rates is None:
        return ""
    return (
        f"What to expect of later challengers on this holdout (margin {result.rates.margin:.4f}; more exactly, and for all "
        f"rules: `titlebout evaluate --selftest`):\n\n{result.rates.to_markdown()}"
    )


def _level(result: EvaluateResult, holdout: Holdout) -> str:
    """Return the significance level and why it is lower than that of the first challenger."""
    one_sided = f"Significance level {result.alpha:.2g}, one-sided"
    if result.rule != "superior":
        return f"{one_sided}."
    return f"{one_sided}: challenger {holdout.uses} of the last 365 days since a promotion as superior."


def _gains(lines: Sequence[MetricLine]) -> Iterator[Interval]:
    for line in lines:
        if line.champion and line.gain is not None and line.lower is not None and line.upper is not None:
            scale = abs(line.champion)
            yield Interval(line.name, line.gain / scale, line.lower / scale, line.upper / scale)


def _slice_gains(result: EvaluateResult) -> Iterator[Interval]:
    for one in [one for one in result.slices if one.lower is not None][:DRAWN_SLICES]:
        if one.champion and one.lower is not None and one.upper is not None:
            label = f"{one.column} = {one.level} ({one.rows} rows)"
            yield Interval(label, -one.change, one.lower / one.champion, one.upper / one.champion)
