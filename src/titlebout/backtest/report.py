"""What a backtest found: a line per policy, what the evidence supports, and the HTML page with the plots."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from titlebout.backtest.simulation import UNGATED, Contender, PeriodOutcome, Season
from titlebout.core import html
from titlebout.core.figures import Line, line_plot
from titlebout.core.markdown import Markdown, code, escape, format_score, table
from titlebout.core.results import Record, StepResult

LEVEL = 0.05  # of the two-sided intervals by which policies are told apart
SHOWN_NAMES = 8  # on an axis
SHOWN_REFUSED = 3  # periods

_COLORS = {
    "never": "#cf222e",
    "every_ungated": "#9a6700",
    "every": "#1a7f37",
    "any_drift": "#8250df",
    "drift_share": "#57606a",
    "titlebout": "#0969da",
}
_WORDS = {"promote": "won", "keep": "lost", "inconclusive": "inconclusive", UNGATED: "replaced"}


class Period(Record):
    """One period of the past.

    Attributes
    ----------
    name : str
        Its first day, or its rows.
    rows : int
        How many arrived.
    refused : str
        Why the data check refuses it; empty when it does not.
    """

    name: str
    rows: int
    refused: str = ""


class Policy(Record):
    """What a policy did, and what it cost.

    Attributes
    ----------
    name, description : str
        Its name, and what it does.
    attempts, pull_requests : int
        Challengers trained, and bouts won; without a gate, models replaced.
    mean_loss : float
        Over all rows that arrived.
    difference : float
        Mean loss less that of `never`; below 0: better.
    se : float or None
        Standard error of this paired difference over the periods; None when there is one only.
    worst_period, worst_loss : str, float
        The period with the largest loss, and that.
    seconds : float
        Of fitting all challengers.
    outcomes : tuple of PeriodOutcome
        One per period.
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
    """What policies would have done with a team's past.

    Attributes
    ----------
    reasons : tuple of str
        What the evidence supports.
    loss : {"log_loss", "mae"}
        What is averaged over rows.
    start_rows : int
        Rows that were known before the first period.
    label_delay : int
        How many periods later labels became known.
    periods : tuple of Period
        In order of time.
    policies : tuple of Policy
        ``never``, what all are measured against, first.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"report": "report"}

    step: Literal["backtest"] = "backtest"
    loss: str
    start_rows: int
    label_delay: int
    periods: tuple[Period, ...]
    policies: tuple[Policy, ...]

    def to_markdown(self) -> str:
        """Return the report for people as Markdown: a line per policy, and what the evidence supports."""
        first, last = self.periods[0].name, self.periods[-1].name
        after = f", labels {self.label_delay} periods late" if self.label_delay else ""
        what = f"{len(self.periods)} periods, {first} to {last}, after a start of {self.start_rows:,} rows{after}."
        refused = [f"{period.name} ({period.refused})" for period in self.periods if period.refused]
        headers, rows = overview(self)
        lines = [
            "### Backtest",
            "",
            escape(what),
            "",
            table(headers, [(code(name), *others) for name, *others in rows]),
        ]
        if refused:
            shown = "; ".join(refused[:SHOWN_REFUSED])
            lines += [f"Refused by the data check: {len(refused)} of {len(self.periods)}: {escape(shown)}.", ""]
        lines += [f"- {escape(_sentence(reason))}" for reason in self.reasons]
        return "\n".join(lines) + "\n"


def summaries(played: Sequence[tuple[Contender, Season]]) -> tuple[Policy, ...]:
    """Return a summary of every season; the first is what the others are measured against."""
    _, base = played[0]
    return tuple(_summary(contender, season, base) for contender, season in played)


def _summary(contender: Contender, season: Season, base: Season) -> Policy:
    worst = max(season.outcomes, key=lambda turn: turn.loss)
    difference, se = paired(season.outcomes, base.outcomes)
    return Policy(
        name=contender.name,
        description=contender.told,
        attempts=season.attempts,
        pull_requests=season.pull_requests,
        mean_loss=season.mean_loss,
        difference=difference,
        se=se,
        worst_period=worst.name,
        worst_loss=worst.loss,
        seconds=season.seconds,
        outcomes=season.outcomes,
    )


def paired(one: Sequence[PeriodOutcome], other: Sequence[PeriodOutcome]) -> tuple[float, float | None]:
    """Return how much more one policy loses than another on the same periods, weighted by rows, and its standard error.

    Of one period there is no standard error.

    Parameters
    ----------
    one, other : sequence of PeriodOutcome
        Of the same periods, which count as independent of each other, whatever they have in common.
    """
    rows = np.array([turn.rows for turn in one], dtype=np.float64)
    more = np.array([mine.loss - theirs.loss for mine, theirs in zip(one, other, strict=True)])
    mean = float(np.average(more, weights=rows))
    if len(rows) < 2:
        return mean, None
    spread = float(np.sum((rows / rows.sum()) ** 2 * (more - mean) ** 2))
    return mean, float(np.sqrt(spread * len(rows) / (len(rows) - 1)))


def supported(policies: Sequence[Policy], loss: str) -> tuple[str, ...]:
    """Return what the evidence supports, in sentences: whom it tells apart from the best, and who of the others did least.

    Parameters
    ----------
    policies : sequence of Policy
    loss : str
        Name of the loss.
    """
    best = min(policies, key=lambda one: one.mean_loss)
    near = [one for one in policies if not _worse(one, best)]
    worse = [_margin(one, best) for one in policies if one not in near]
    others = [repr(one.name) for one in near if one is not best]
    periods = f"{len(best.outcomes)} period{'s' if len(best.outcomes) > 1 else ''}"
    cheapest = min(near, key=lambda one: (one.attempts, one.pull_requests))
    first = f"the smallest mean {loss.replace('_', ' ')}, {best.mean_loss:.4f}, is that of {best.name!r}"
    if worse:
        first += f"; shown worse over {periods}: {', '.join(worse)}"
        first += f"; not told apart from it: {', '.join(others)}" if others else ""
    elif others:
        last = max(policies, key=lambda one: one.mean_loss)
        first += f", but {periods} cannot tell the policies apart: even {_margin(last, best)} may be chance"
    least = f"of those that are not shown worse, {cheapest.name!r} took the fewest attempts: {cheapest.attempts}"
    return first, least, "this is one past: a policy that did well in it need not do well in the next"


def _worse(one: Policy, best: Policy) -> bool:
    more, half = _interval(one, best)
    return more > half


def _margin(one: Policy, best: Policy) -> str:
    more, half = _interval(one, best)
    certain = f"give or take {half:.4f}" if np.isfinite(half) else "nobody knows how certain"
    return f"{one.name!r} ({more:.4f} more, {certain})"


def _interval(one: Policy, best: Policy) -> tuple[float, float]:
    """Return how much more a policy loses than the best, and half the width of the interval of that."""
    from scipy.stats import t

    more, se = paired(one.outcomes, best.outcomes)
    if se is None:
        return more, float("inf")
    return more, float(t.ppf(1 - LEVEL / 2, len(one.outcomes) - 1)) * se


def overview(result: BacktestResult) -> tuple[list[str], list[list[object]]]:
    """Return the table of the policies: its headers, and a row for each."""
    headers = ["policy", "attempts", "pull requests", f"mean {result.loss.replace('_', ' ')}"]
    headers += ["vs never (± se)", "worst period", "fitting, s"]
    rows: list[list[object]] = [
        [
            *(one.name, one.attempts, one.pull_requests, format_score(one.mean_loss)),
            Markdown("-" if one is result.policies[0] else f"{one.difference:+.4f}{_error(one)}"),
            f"{one.worst_period}: {one.worst_loss:.4f}",
            Markdown(f"{one.seconds:.1f}"),
        ]
        for one in result.policies
    ]
    return headers, rows


def _error(one: Policy) -> str:
    return "" if one.se is None else f" ± {one.se:.4f}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def page(result: BacktestResult) -> str:
    """Return the HTML page: the policies as a table, their losses over time, what they saved, and every period."""
    headers, rows = overview(result)
    loss = result.loss.replace("_", " ")
    names = _ticks([period.name for period in result.periods])
    lines = [
        Line(one.name, [turn.loss for turn in one.outcomes], _COLORS[one.name], _style(one)) for one in result.policies
    ]
    saved = [
        Line(one.name, list(_saved(one, result.policies[0])), _COLORS[one.name], _style(one)) for one in result.policies
    ]
    return html.page(
        "Backtest: when to retrain",
        f"{len(result.periods)} periods of the past, played again under {len(result.policies)} policies.",
        html.Paragraph(" ".join(map(_sentence, result.reasons))),
        html.table(headers, [[str(cell) for cell in row] for row in rows]),
        html.Figure(
            line_plot(names, lines, f"{loss} of the period (smaller is better)", _marks(result.policies)),
            "Each point scores the model that was in service when the period's rows arrived, before it was trained on any of them.",
        ),
        html.Figure(
            line_plot(names, saved, f"{loss} saved against never, so far", _marks(result.policies)),
            "Mean over all rows up to each period: where a line ends is its difference to never in the table.",
        ),
        html.table(
            ["policy", "what it does"],
            [[one.name, one.description] for one in result.policies],
            ["" for _ in result.policies],
        ),
        html.table(*_every_period(result)),
    )


def _style(one: Policy) -> str:
    return "-" if one.name == "titlebout" else "--"


def _marks(policies: Sequence[Policy]) -> dict[str, list[tuple[int, int]]]:
    """Return where challengers went into service, and where they were trained in vain."""
    at = [(line, place, turn) for line, one in enumerate(policies) for place, turn in enumerate(one.outcomes)]
    served = {"promote", UNGATED}
    return {
        "won, or replaced": [(line, place) for line, place, turn in at if turn.verdict in served],
        "lost": [(line, place) for line, place, turn in at if turn.verdict and turn.verdict not in served],
    }


def _saved(one: Policy, base: Policy) -> Iterator[float]:
    """Yield, period by period, how much less a policy lost than the base, as a mean over all rows so far."""
    rows = np.cumsum([turn.rows for turn in one.outcomes])
    less = np.cumsum(
        [(theirs.loss - mine.loss) * mine.rows for mine, theirs in zip(one.outcomes, base.outcomes, strict=True)]
    )
    yield from (less / rows).tolist()


def _ticks(names: Sequence[str]) -> list[str]:
    """Return the labels of an axis: not so many that they overlap."""
    step = -(-len(names) // SHOWN_NAMES)
    return [name if at % step == 0 else "" for at, name in enumerate(names)]


def _every_period(result: BacktestResult) -> tuple[list[str], list[list[str]], list[str]]:
    headers = ["period", "rows", *(one.name for one in result.policies), "data check"]
    rows = [
        [
            period.name,
            f"{period.rows:,}",
            *(_cell(one, one.outcomes[at]) for one in result.policies),
            f"refused: {period.refused}" if period.refused else "passed",
        ]
        for at, period in enumerate(result.periods)
    ]
    return headers, rows, ["data_refused" if period.refused else "" for period in result.periods]


def _cell(one: Policy, turn: PeriodOutcome) -> str:
    """Return a period's loss and what was done in it, with the reason where a policy has more than one."""
    if turn.decision == "nothing":
        return f"{turn.loss:.4f}"
    reasons = {other.reason for other in one.outcomes if other.reason}
    why = f" ({turn.reason.replace('_', ' ')})" if turn.reason and len(reasons) > 1 else ""
    return f"{turn.loss:.4f} {_WORDS.get(turn.verdict, turn.decision)}{why}"
