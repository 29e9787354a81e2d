"""Report of the demo: a row per month, as a table for the terminal and as an HTML page."""

import io
from collections.abc import Sequence
from typing import ClassVar, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from demo.accidents import COMPARED, AccidentResult, Year
from titlebout.backtest.backtest import PAGE as BACKTEST
from titlebout.backtest.report import BacktestResult, headline, overview
from titlebout.core import html
from titlebout.core.figures import NARROW, Line, line_plot
from titlebout.core.markdown import format_score
from titlebout.core.results import Record, StepResult

NAME, PAGE = "flights-delay", "report.html"
NUMBERS = {"rows", "champion", "challenger", "attempts", "pull requests", "fitting, s", "to read"}
WORSE_MARK = "▲"
# Strategies in the plot beside the simulated repository: label and color.
PLOTTED = {
    "every_ungated": ("retrain every month, no gate", "#9a6700"),
    "never": ("never retrain", "#cf222e"),
}


class Period(Record):
    """One month of the replay.

    Attributes
    ----------
    name : str
        The month, as ``2013-03``.
    rows : int
        Number of flights.
    check, drift : str
        Verdicts of the data check, on these flights alone, and of the drift measurement.
    decision : str
        Action: ``nothing``, ``wait``, ``stop``, or ``retrain`` and the reason.
    champion_score, challenger_score : float or None
        Log loss of the two models on the holdout; None if no challenger was trained.
    verdict : str
        Verdict of the gate; empty if no challenger was trained.
    cause : str
        Why the gate did not promote the challenger, in a few words; empty if it did, or if none was trained.
    loss : float
        Mean log loss, on the flights of this month, of the champion in production when they arrived.
    """

    name: str
    rows: int
    check: str
    drift: str
    decision: str
    loss: float
    champion_score: float | None = None
    challenger_score: float | None = None
    verdict: str = ""
    cause: str = ""


class DemoResult(StepResult):
    """Result of the demo.

    Attributes
    ----------
    repository, page : str
        Paths of the repository and of the HTML report.
    ci : str
        How the CI of the first push was run.
    periods : tuple of Period
        One per month.
    log_loss : float
        Mean log loss over all new flights.
    backtest : BacktestResult
        Result of the backtest of the same months.
    accidents : tuple of AccidentResult
        The same months with and without accidents; empty if there are too few months.
    """

    laid_out: ClassVar[bool] = True

    step: Literal["demo"] = "demo"
    repository: str
    page: str
    ci: str
    periods: tuple[Period, ...]
    log_loss: float
    backtest: BacktestResult
    accidents: tuple[AccidentResult, ...] = ()

    def to_markdown(self) -> str:
        """Return the table for the terminal, and the sentences below it."""
        lines = [*_terminal_table(*_rows(self.periods)), *map(_sentence, self.reasons), ""]
        lines += ["The same months with other retraining strategies (`titlebout backtest`):"]
        lines += [*_terminal_table(*overview(self.backtest)), *map(_sentence, self.backtest.reasons), ""]
        if self.accidents:
            lines += [f"{_accidents_title(self.accidents)}:", *_terminal_table(*_accident_rows(self.accidents))]
            lines += [*map(_sentence, accident_conclusions(self.accidents)), ""]
        lines += [
            f"First push: {self.ci}",
            f"Report:     {self.page}, and backtest.html beside it",
            f"Repository: {self.repository}  (try `git log --graph --oneline`)",
        ]
        return "\n".join(lines).strip("\n") + "\n"


def _terminal_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table for the terminal."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        grid.add_column(header, justify="right" if header in NUMBERS else "left")
    for row in rows:
        grid.add_row(*map(str, row))
    out = io.StringIO()
    Console(file=out, width=110, color_system=None).print(grid)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}."


def _rows(periods: tuple[Period, ...]) -> tuple[list[str], list[list[str]]]:
    headers = ["period", "rows", "data check", "drift", "decision", "champion", "challenger", "verdict"]
    rows = [
        [
            period.name,
            f"{period.rows:,}",
            period.check,
            period.drift,
            period.decision,
            format_score(period.champion_score),
            format_score(period.challenger_score),
            period.verdict or "-",
        ]
        for period in periods
    ]
    return headers, rows


def _accidents_title(accidents: tuple[AccidentResult, ...]) -> str:
    return f"The same months, if something goes wrong in {accidents[-1].month} (mean log loss from then on)"


def _accident_rows(accidents: tuple[AccidentResult, ...]) -> tuple[list[str], list[list[str]]]:
    headers = ["accident", "never", "no gate", "titlebout", "to read", "what titlebout did"]
    rows = [
        [result.accident, *map(_loss_and_worse, result.years), str(result.to_read), result.response or "-"]
        for result in accidents
    ]
    return headers, rows


def _loss_and_worse(year: Year) -> str:
    """Return the loss of a year, with a mark for every month that the accident made worse."""
    return f"{year.mean_loss:.4f}{' ' + WORSE_MARK * year.months_worse if year.months_worse else ''}"


def accident_conclusions(accidents: tuple[AccidentResult, ...]) -> tuple[str, ...]:
    """Return what the years with accidents show.

    Parameters
    ----------
    accidents : tuple of AccidentResult
        The first one is the year without accident.
    """
    plain, *others = accidents
    worst = {
        name: max(result.years[at].mean_loss - plain.years[at].mean_loss for result in others)
        for at, name in enumerate(COMPARED)
    }
    months = {name: sum(result.years[at].months_worse for result in others) for at, name in enumerate(COMPARED)}
    return (
        f"{WORSE_MARK}: a later month with a log loss at least 1% larger than without the accident: "
        f"{months['every_ungated']} without a gate, {months['titlebout']} with titlebout",
        f"the worst accident costs {worst['every_ungated']:.4f} without a gate, {worst['titlebout']:.4f} with titlebout",
    )


def progress_line(period: Period) -> str:
    """Return one line of progress."""
    evaluation = f", champion {format_score(period.champion_score)}, challenger {format_score(period.challenger_score)}: {period.verdict}"
    why = f" ({period.cause})" if period.cause else ""
    return f"{period.name}: {period.rows:,} rows, check {period.check}, drift {period.drift}, {period.decision}{evaluation + why if period.verdict else ''}"


def page(result: DemoResult, periods: list[Period]) -> str:
    """Return the HTML report: the year as a plot and as a table."""
    headers, rows = _rows(result.periods)
    promoted = sum(period.verdict == "promote" for period in periods)
    trained = sum(bool(period.verdict) for period in periods)
    return html.page(
        "A year of flights with titlebout",
        "Will a flight from New York arrive more than 15 minutes late? The model starts with the first quarter of 2013; then "
        f"a month arrives at a time, {periods[0].name} to {periods[-1].name}.",
        html.Headline(headline(result.backtest, trained, promoted, result.log_loss)),
        html.Link("The same months with other retraining strategies", BACKTEST),
        html.Link("What drifted in the last month, drawn by Evidently", f"{NAME}/reports/drift.html"),
        html.Heading("Log loss of every month"),
        _figure(result, periods),
        html.Heading("Every month"),
        html.table(
            [*headers, "why not promoted"],
            [[*row, period.cause or "-"] for row, period in zip(rows, periods, strict=True)],
            [period.verdict for period in periods],
            "verdict",
        ),
        html.Paragraph(
            "Champion and challenger: log loss on the same holdout flights, which are not in the training rows of either model. "
            "Data check: of the flights of the month."
        ),
        *_accident_section(result.accidents),
        html.Paragraph(f"First push: {result.ci}. Repository: {result.repository}"),
    )


def _figure(result: DemoResult, periods: list[Period]) -> html.Figure:
    lines = [Line(f"titlebout (mean {result.log_loss:.4f})", [period.loss for period in periods], "#0969da")]
    lines += [
        Line(
            f"{PLOTTED[strategy.name][0]} (mean {strategy.mean_loss:.4f})",
            [outcome.loss for outcome in strategy.outcomes],
            PLOTTED[strategy.name][1],
            "--",
        )
        for strategy in result.backtest.strategies
        if strategy.name in PLOTTED
    ]
    marked = {
        "challenger promoted": [(0, index) for index, period in enumerate(periods) if period.verdict == "promote"],
        "challenger not promoted": [
            (0, index) for index, period in enumerate(periods) if period.verdict not in {"", "promote"}
        ],
    }
    names, ylabel = [period.name for period in periods], "log loss of the month (smaller is better)"
    return html.Figure(
        line_plot(names, lines, ylabel, marked),
        "Each point is the log loss of the champion in production on the new flights of a month, before any training on them.",
        line_plot(names, lines, ylabel, marked, NARROW),
    )


def _accident_section(accidents: tuple[AccidentResult, ...]) -> tuple[html.Heading | html.Paragraph | html.Table, ...]:
    if not accidents:
        return ()
    headers, rows = _accident_rows(accidents)
    return (
        html.Heading("If something goes wrong"),
        html.Paragraph(f"{_accidents_title(accidents)}:"),
        html.table(headers, rows),
        html.Paragraph(" ".join(map(_sentence, accident_conclusions(accidents)))),
    )
