"""The gate's report: one screen on which a reviewer decides in a minute, and the pictures beside it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from titlebout.core.markdown import Markdown, code, escape, number, score, table
from titlebout.core.results import write_text_atomically
from titlebout.gate.calibration import Calibration
from titlebout.gate.decision import MetricLine
from titlebout.gate.evaluate import EvaluateResult
from titlebout.gate.figures import Interval, calibration_svg, gains_svg
from titlebout.gate.slices import Slice

FOLDER = "evaluate"
SHOWN_SLICES, DRAWN_SLICES = 8, 12
_TITLES = {
    "promote": "promote",
    "keep": "keep the champion",
    "inconclusive": "inconclusive",
    "unchanged": "nothing to decide",
}
_RULES = {
    "first": "be better than a model that knows nothing",
    "superior": "be better than the champion",
    "non-inferior-and-ahead": "be ahead, and no worse than the champion by the margin",
    "non-inferior": "be no worse than the champion by the margin",
}
_MARKS = {"passed": "✓", "warning": "!", "failed": "✗", "untested": "?"}
_BLOCKS = "▁▂▃▄▅▆▇█"


def render_evaluate(result: EvaluateResult) -> str:
    """Return the Markdown fragment of the step."""
    first, *others = [f"{reason[0].upper()}{reason[1:]}." for reason in map(str, map(escape, result.reasons))]
    parts = [f"### Gate: {_TITLES[result.verdict]}", f"**{first}**"]
    if others:
        parts.append("\n".join(f"- {other}" for other in others))
    if result.holdout is not None:
        parts += [part for part in _evidence(result) if part]
    return "\n\n".join(parts) + "\n"


def draw(reports: Path, result: EvaluateResult) -> tuple[Path, ...]:
    """Draw the verdict's pictures into ``evaluate/``; those of an earlier run are removed.

    Parameters
    ----------
    reports : Path
    result : EvaluateResult
        Without a bout there is nothing to draw.
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
        values = bool(result.churn) and "changed" not in (result.churn or {})
        picture = calibration_svg(result.calibration, values)
        drawn.append(write_text_atomically(reports / FOLDER / "calibration.svg", picture))
    return tuple(drawn)


def _evidence(result: EvaluateResult) -> Iterator[str]:
    yield f"Why it ran: **{escape(result.reason)}**. To win, it has to {_RULES[result.rule]}."
    if result.metrics:
        yield _metrics(result.metrics).rstrip()
    yield _power(result)
    if result.guards:
        yield table(["", "guard", "finding"], _guards(result)).rstrip()
    yield _slices(result)
    yield _calibration(result)
    yield _churn(result)
    yield _holdout(result)
    yield (
        "Decide again with another margin: "
        f"`titlebout evaluate --from-predictions reports/{result.predictions} --margin 1%`."
    )


def _metrics(lines: Sequence[MetricLine]) -> str:
    """Return the table of metrics, with a column for the anchor only where there is one."""
    anchored = any(line.anchor is not None for line in lines)
    headers = ["metric", "champion", "challenger", "gain", "at least", "at most", "dummy"] + ["anchor"] * anchored
    return table(headers, [_metric(line, anchored) for line in lines])


def _metric(line: MetricLine, anchored: bool) -> list[object]:
    name = f"{line.name} ({line.better} is better)"
    shown: list[object] = [Markdown(f"**{escape(name)}**") if line.role == "primary" else name]
    shown += [score(value) for value in (line.champion, line.challenger)]
    shown += [_signed(value) for value in (line.gain, line.lower, line.upper)]
    return shown + [score(line.dummy)] + [score(line.anchor)] * anchored


def _guards(result: EvaluateResult) -> Iterator[tuple[str, str, str]]:
    """Yield the guards; metrics that are not worse stand in the table above and share a line here."""
    shown = {line.name for line in result.metrics}
    quiet = [guard.name for guard in result.guards if guard.status == "passed" and guard.name in shown]
    if quiet:
        yield _MARKS["passed"], "other metrics", f"no worse than their margins allow: {', '.join(quiet)}"
    for guard in result.guards:
        if guard.name not in quiet:
            yield _MARKS[guard.status], guard.name, guard.told


def _signed(value: float | None) -> Markdown:
    return Markdown("-" if value is None else f"{value:+.4f}")


def _power(result: EvaluateResult) -> str:
    power = result.power or {}
    if not power:
        return ""
    told = f"This holdout resolves ±{power['resolves']:.4f} with {power['rows']:,.0f} rows"
    if result.margin is None or "needed" not in power:
        return f"{told}."
    return (
        f"{told}; to show a gain of the margin, {result.margin:.4f}, in 80 of 100 cases takes {power['needed']:,.0f}."
    )


def _slices(result: EvaluateResult) -> str:
    """Return the slices that need a look, and counts of the others."""
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
    told = f"Slices: {count['green']} not worse"
    told += f"; not testable, too few rows: {small}" if small else ""
    return "\n\n".join([*parts, f"{told}."])


def _slice(one: Slice) -> tuple[object, ...]:
    return (
        code(f"{one.column} = {one.level}"),
        one.rows,
        score(one.champion),
        score(one.challenger),
        f"{one.change:+.1%}",
        "worse" if one.status == "red" else "perhaps worse",
    )


def _calibration(result: EvaluateResult) -> str:
    found = (result.calibration or {}).get("challenger")
    if found is None:
        return ""
    ends = f"{number(found.predicted[0])} … {number(found.predicted[-1])}"
    lines = [f"Calibration in ten equal parts of the rows, predictions from {ends}:", ""]
    lines += [f"    predicted  {_spark(found.predicted, found)}", f"    happened   {_spark(found.observed, found)}"]
    return "\n".join(lines)


def _spark(values: Sequence[float], of: Calibration) -> str:
    """Return a row of blocks as high as the values, on one scale for both rows."""
    low, high = min(*of.predicted, *of.observed), max(*of.predicted, *of.observed)
    steps = [round((value - low) / (high - low) * (len(_BLOCKS) - 1)) if high > low else 0 for value in values]
    return "".join(_BLOCKS[step] for step in steps)


def _churn(result: EvaluateResult) -> str:
    churn = result.churn or {}
    if "changed" in churn:
        rows = [
            ("challenger right", churn["both_right"], churn["only_challenger_right"]),
            ("challenger wrong", churn["only_champion_right"], churn["both_wrong"]),
        ]
        told = f"The decision changes in {number(churn['changed'])} rows:"
        return f"{told}\n\n{table(['', 'champion right', 'champion wrong'], rows).rstrip()}"
    if churn:
        return (
            f"Answers move by {number(churn['median_move'])} (median); the challenger is nearer in "
            f"{number(churn['challenger_nearer'])} rows, the champion in {number(churn['champion_nearer'])}."
        )
    return ""


def _holdout(result: EvaluateResult) -> str:
    held = result.holdout or {}
    period = f", {escape(held['start'][:10])} to {escape(held['end'][:10])}" if held["start"] else ""
    met = "1 challenger has" if held["uses"] <= 1 else f"{held['uses']} challengers have"
    champion = f"champion {code(result.champion[:12])}" if result.champion else "champion none yet"
    return (
        f"Challenger {code(result.challenger[:12])}, {champion}. Holdout: {number(held['rows'])} rows{period}, never trained on by any of the models; {met} met on it "
        f"(fingerprint `{held['fingerprint'][:12]}`). One-sided level {result.alpha:g}."
    )


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
