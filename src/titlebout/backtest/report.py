"""Report of a backtest: a row per strategy, conclusions, and the HTML page with the plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from titlebout.backtest.simulation import UNGATED, PeriodOutcome, SimulationResult, Strategy
from titlebout.core import html
from titlebout.core.figures import NARROW, Line, line_plot
from titlebout.core.markdown import Markdown, code, escape, format_score, table
from titlebout.core.results import Record, StepResult
from titlebout.metrics.inference import Dependence, Difference, from_influence

LEVEL = 0.05  # of the two-sided confidence intervals of differences between strategies
SHOWN_REFUSED = 3  # periods

_COLORS = {
    "never": "#cf222e",
    "every_ungated": "#9a6700",
    "every": "#1a7f37",
    "any_drift": "#8250df",
    "drift_share": "#57606a",
    "titlebout": "#0969da",
}
_SERVED = {"promote", UNGATED}
_VERDICTS = {"promote": "promoted", "keep": "kept", "inconclusive": "inconclusive"}


class Period(Record):
    """One period of the past.

    Attributes
    ----------
    name : str
        Its first day, or its range of rows.
    rows : int
        Number of its rows.
    refused : str
        Why the data check fails; empty when it passes.
    warning : str
        Its warning; empty without one.
    """

    name: str
    rows: int
    refused: str = ""
    warning: str = ""


class StrategySummary(Record):
    """Decisions of a strategy, its losses and its cost.

    Attributes
    ----------
    name, description : str
        Name and description of the strategy.
    attempts, pull_requests : int
        Number of challengers trained and promoted; without a gate, of models trained and replaced.
    mean_loss : float
        Mean over the rows of all periods.
    difference : float
        Mean loss minus that of `never`; negative when better.
    se : float or None
        Standard error of this paired difference over the periods; None when there is only one period.
    worst_period, worst_loss : str, float
        The period with the largest loss, and this loss.
    seconds : float
        Total time to fit the challengers.
    outcomes : tuple of PeriodOutcome
        One outcome per period.
    """

    name: str
    description: str
    attempts: int
    pull_requests: int
    mean_loss: float
    difference: float
    se: float | None
    worst_period: str
    worst_loss: float
    seconds: float
    outcomes: tuple[PeriodOutcome, ...]


class BacktestResult(StepResult):
    """Outcomes of several strategies on a project's past data.

    Attributes
    ----------
    reasons : tuple of str
        Conclusions from the comparison.
    loss : {"log_loss", "mae"}
        Loss that is averaged over rows.
    start_rows : int
        Number of rows known before the first period.
    label_delay : int
        Number of periods after which labels became known.
    periods : tuple of Period
        In order of time.
    strategies : tuple of StrategySummary
        ``never``, the baseline, comes first.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"report": "report"}

    step: Literal["backtest"] = "backtest"
    loss: str
    start_rows: int
    label_delay: int
    periods: tuple[Period, ...]
    strategies: tuple[StrategySummary, ...]

    def to_markdown(self) -> str:
        """Return the report as Markdown: a row per strategy, and the conclusions."""
        first, last = self.periods[0].name, self.periods[-1].name
        delay = f", labels {self.label_delay} periods late" if self.label_delay else ""
        scope = f"{len(self.periods)} periods, {first} to {last}, after a start of {self.start_rows:,} rows{delay}."
        refused = [f"{period.name} ({period.refused})" for period in self.periods if period.refused]
        headers, rows = overview(self)
        lines = [
            "### Backtest",
            "",
            escape(scope),
            "",
            table(headers, [(code(name), *others) for name, *others in rows]),
        ]
        if refused:
            shown = "; ".join(refused[:SHOWN_REFUSED])
            lines += [f"Refused by the data check: {len(refused)} of {len(self.periods)}: {escape(shown)}.", ""]
        lines += [f"- {escape(_sentence(reason))}" for reason in self.reasons]
        return "\n".join(lines) + "\n"


def summaries(simulations: Sequence[tuple[Strategy, SimulationResult]]) -> tuple[StrategySummary, ...]:
    """Return a summary of every simulation; the first is the baseline of the others."""
    _, base = simulations[0]
    return tuple(_summary(strategy, simulation, base) for strategy, simulation in simulations)


def _summary(strategy: Strategy, simulation: SimulationResult, base: SimulationResult) -> StrategySummary:
    worst = max(simulation.outcomes, key=lambda outcome: outcome.loss)
    difference = paired(simulation.outcomes, base.outcomes)
    return StrategySummary(
        name=strategy.name,
        description=strategy.description,
        attempts=simulation.attempts,
        pull_requests=simulation.pull_requests,
        mean_loss=simulation.mean_loss,
        difference=difference.gain,
        se=difference.se if np.isfinite(difference.se) else None,
        worst_period=worst.name,
        worst_loss=worst.loss,
        seconds=simulation.seconds,
        outcomes=simulation.outcomes,
    )


def paired(one: Sequence[PeriodOutcome], other: Sequence[PeriodOutcome]) -> Difference:
    """Return how much larger the loss of a strategy is than that of another, as the `gain` of a difference.

    Periods are weighted by their rows, and may depend on those before them. A single period has no standard error.

    Parameters
    ----------
    one, other : sequence of PeriodOutcome
        Outcomes of the same periods, in order of time.
    """
    rows = np.array([outcome.rows for outcome in one], dtype=np.float64)
    more = np.array([mine.loss - theirs.loss for mine, theirs in zip(one, other, strict=True)])
    mean = float(np.average(more, weights=rows))
    influence = rows / rows.mean() * (more - mean)
    return from_influence(mean, influence, Dependence(times=np.arange(len(rows))))


def supported(strategies: Sequence[StrategySummary], loss: str) -> tuple[str, ...]:
    """Return conclusions: the best strategy, those that are significantly worse, and the cheapest of the others.

    Parameters
    ----------
    strategies : sequence of StrategySummary
    loss : str
        Name of the loss.
    """
    best = min(strategies, key=lambda strategy: strategy.mean_loss)
    near = [strategy for strategy in strategies if not _worse(strategy, best)]
    worse = [_margin(strategy, best) for strategy in strategies if strategy not in near]
    others = [repr(strategy.name) for strategy in near if strategy is not best]
    periods = f"{len(best.outcomes)} period{'s' if len(best.outcomes) > 1 else ''}"
    cheapest = min(near, key=lambda strategy: (strategy.attempts, strategy.pull_requests))
    first = f"{best.name!r} has the smallest mean {loss.replace('_', ' ')}, {best.mean_loss:.4f}"
    if worse:
        first += f"; significantly worse over {periods}: {', '.join(worse)}"
        first += f"; not significantly different: {', '.join(others)}" if others else ""
    elif others:
        last = max(strategies, key=lambda strategy: strategy.mean_loss)
        first += f", but no difference is significant over {periods}: the largest is that of {_margin(last, best)}"
    least = (
        f"of the strategies that are not significantly worse, {cheapest.name!r} made the fewest attempts: "
        f"{cheapest.attempts}"
    )
    return first, least, "this is one history; the ranking can differ on future data"


def _worse(strategy: StrategySummary, best: StrategySummary) -> bool:
    more, half = _interval(strategy, best)
    return more > half


def _margin(strategy: StrategySummary, best: StrategySummary) -> str:
    more, half = _interval(strategy, best)
    uncertainty = f"95% interval ± {half:.4f}" if np.isfinite(half) else "standard error unknown"
    return f"{strategy.name!r} (+{more:.4f}, {uncertainty})"


def _interval(strategy: StrategySummary, best: StrategySummary) -> tuple[float, float]:
    """Return the difference in loss to the best strategy, and the half-width of its confidence interval."""
    found = paired(strategy.outcomes, best.outcomes)
    return found.gain, found.half_width(LEVEL / 2) if np.isfinite(found.se) else float("inf")


def overview(result: BacktestResult) -> tuple[list[str], list[list[object]]]:
    """Return the headers and rows of the table of strategies."""
    headers = ["strategy", "attempts", "pull requests", f"mean {result.loss.replace('_', ' ')}"]
    headers += ["vs never (± se)", "worst period", "fitting, s"]
    rows: list[list[object]] = [
        [
            *(strategy.name, strategy.attempts, strategy.pull_requests, format_score(strategy.mean_loss)),
            Markdown("-" if strategy is result.strategies[0] else f"{strategy.difference:+.4f}{_error(strategy)}"),
            f"{strategy.worst_period}: {strategy.worst_loss:.4f}",
            Markdown(f"{strategy.seconds:.1f}"),
        ]
        for strategy in result.strategies
    ]
    return headers, rows


def _error(strategy: StrategySummary) -> str:
    return "" if strategy.se is None else f" ± {strategy.se:.4f}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def headline(result: BacktestResult, attempts: int, promoted: int, loss: float) -> str:
    """Return the outcome of a strategy in numbers, compared with the two that need no gate.

    Parameters
    ----------
    result : BacktestResult
        With the strategies ``never`` and, to be compared with it, ``every_ungated``.
    attempts, promoted : int
        Number of challengers trained and promoted.
    loss : float
        Mean loss over the rows of all periods.
    """
    by_name, name = {strategy.name: strategy for strategy in result.strategies}, result.loss.replace("_", " ")
    first = f"{promoted} of {attempts} challengers promoted. Mean {name} {_percent(loss, by_name['never'].mean_loss)} than without retraining"
    if "every_ungated" not in by_name:
        return f"{first}."
    ungated = by_name["every_ungated"]
    return (
        f"{first}, and {_percent(loss, ungated.mean_loss)} than with a new model every period and no gate, "
        f"with {_fewer(ungated.pull_requests, promoted)}."
    )


def _percent(loss: float, other: float) -> str:
    return f"{abs(loss / other - 1):.1%} {'lower' if loss < other else 'higher'}"


def _fewer(ungated: int, promoted: int) -> str:
    saved = ungated - promoted
    return f"{saved} pull request{'s' if saved != 1 else ''} fewer ({promoted} instead of {ungated})"


def page(result: BacktestResult, *links: html.Link) -> str:
    """Return the HTML page: outcome, strategies, their losses over time, the savings, and every period and challenger."""
    by_name, loss = {strategy.name: strategy for strategy in result.strategies}, result.loss.replace("_", " ")
    saved = [list(_saved(strategy, result.strategies[0])) for strategy in result.strategies]
    lost = [[outcome.loss for outcome in strategy.outcomes] for strategy in result.strategies]
    ours = by_name.get("titlebout")
    outcome = f"titlebout: {headline(result, ours.attempts, ours.pull_requests, ours.mean_loss)}" if ours else ""
    first, last = result.periods[0].name, result.periods[-1].name
    return html.page(
        "Backtest: when to retrain",
        f"{len(result.periods)} periods of past data, {first} to {last}, simulated under {len(result.strategies)} strategies.",
        html.Headline(outcome or _sentence(result.reasons[0])),
        *links,
        html.Paragraph(" ".join(map(_sentence, result.reasons if outcome else result.reasons[1:]))),
        html.Heading("Strategies"),
        html.table(*_strategies(result)),
        html.table(
            ["strategy", "description"], [[strategy.name, strategy.description] for strategy in result.strategies]
        ),
        html.Heading(f"Mean {loss} of every period"),
        _figure(
            result,
            lost,
            f"{loss} of the period (smaller is better)",
            "Each point is the loss of the model in service when the period's rows arrived, before any training on them.",
        ),
        html.Heading(f"Cumulative {loss} saved"),
        _figure(
            result,
            saved,
            f"{loss} saved, compared with never",
            "Mean over all rows up to each period. The last point is the difference from never in the table, with its sign reversed.",
        ),
        html.Heading("Every period"),
        html.table(*_every_period(result)),
        html.Paragraph(f"Mean {loss} by strategy. ▲ promoted, or replaced; ✕ not promoted."),
        *_every_challenger(result),
    )


def _strategies(result: BacktestResult) -> tuple[list[str], list[list[str]]]:
    """Return the table of strategies for the page, with the pull requests saved."""
    headers, rows = overview(result)
    cells = [[str(cell) for cell in row] for row in rows]
    ungated = next((one.pull_requests for one in result.strategies if one.name == "every_ungated"), None)
    if ungated is None:
        return headers, cells
    saved = [str(ungated - strategy.pull_requests) for strategy in result.strategies]
    return [*headers, "pull requests saved"], [[*row, count] for row, count in zip(cells, saved, strict=True)]


def _figure(result: BacktestResult, values: Sequence[Sequence[float]], ylabel: str, caption: str) -> html.Figure:
    """Return a figure with a line for every strategy, and marks where challengers were promoted or not."""
    names, marks = [period.name for period in result.periods], _marks(result.strategies)
    lines = [
        Line(strategy.name, given, _COLORS[strategy.name], _style(strategy))
        for strategy, given in zip(result.strategies, values, strict=True)
    ]
    wide, narrow = line_plot(names, lines, ylabel, marks), line_plot(names, lines, ylabel, marks, NARROW)
    return html.Figure(wide, caption, narrow)


def _style(strategy: StrategySummary) -> str:
    return "-" if strategy.name == "titlebout" else "--"


def _marks(strategies: Sequence[StrategySummary]) -> dict[str, list[tuple[int, int]]]:
    """Return the points at which challengers were put into service, and those at which they were not."""
    at = [
        (line, place, outcome)
        for line, strategy in enumerate(strategies)
        for place, outcome in enumerate(strategy.outcomes)
    ]
    return {
        "promoted, or replaced": [(line, place) for line, place, outcome in at if outcome.verdict in _SERVED],
        "not promoted": [
            (line, place) for line, place, outcome in at if outcome.verdict and outcome.verdict not in _SERVED
        ],
    }


def _saved(strategy: StrategySummary, base: StrategySummary) -> Iterator[float]:
    """Yield, for every period, the loss saved compared with the baseline, as a mean over all rows so far."""
    rows = np.cumsum([outcome.rows for outcome in strategy.outcomes])
    less = np.cumsum(
        [(theirs.loss - mine.loss) * mine.rows for mine, theirs in zip(strategy.outcomes, base.outcomes, strict=True)]
    )
    yield from (less / rows).tolist()


def _every_period(result: BacktestResult) -> tuple[list[str], list[list[str]], list[str]]:
    headers = ["period", "rows", *(strategy.name for strategy in result.strategies), "data check"]
    rows = [
        [
            period.name,
            f"{period.rows:,}",
            *(_cell(strategy.outcomes[at]) for strategy in result.strategies),
            _check(period),
        ]
        for at, period in enumerate(result.periods)
    ]
    kinds = ["refused" if period.refused else "warning" if period.warning else "" for period in result.periods]
    return headers, rows, kinds


def _check(period: Period) -> str:
    return f"refused: {period.refused}" if period.refused else "warning" if period.warning else "passed"


def _every_challenger(result: BacktestResult) -> Iterator[html.Heading | html.Table]:
    """Yield a table of the challengers that the gate evaluated, with the reason where it did not promote."""
    found = [
        (strategy.name, outcome)
        for strategy in reversed(result.strategies)
        for outcome in strategy.outcomes
        if outcome.verdict and outcome.verdict != UNGATED
    ]
    if found:
        rows = [
            [name, outcome.name, outcome.reason.replace("_", " "), _VERDICTS[outcome.verdict], outcome.cause or "-"]
            for name, outcome in found
        ]
        yield html.Heading("Every challenger of the gate")
        headers = ["strategy", "period", "trigger", "verdict", "why not promoted"]
        yield html.table(headers, rows, [outcome.verdict for _, outcome in found], "verdict")


def _cell(outcome: PeriodOutcome) -> str:
    """Return a period's loss, and a mark for a challenger or the decision."""
    if outcome.verdict:
        return f"{outcome.loss:.4f} {'▲' if outcome.verdict in _SERVED else '✕'}"
    return f"{outcome.loss:.4f}" if outcome.decision == "nothing" else f"{outcome.loss:.4f} {outcome.decision}"
