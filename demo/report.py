"""What the demo shows: a row per month, the terminal's table and the HTML page."""

import io
from collections.abc import Sequence
from typing import ClassVar, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from titlebout.backtest.report import BacktestResult, overview
from titlebout.core import html
from titlebout.core.figures import Line, line_plot
from titlebout.core.markdown import format_score
from titlebout.core.results import Record, StepResult

NUMBERS = {"rows", "champion", "challenger", "attempts", "pull requests", "fitting, s"}
# Policies beside the loop in the plot: what they are called there, and their color.
SHOWN = {
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
    check, drift : str
        Verdicts of the data check and of the drift measurement.
    decision : str
        What the loop did: ``nothing``, ``wait``, ``stop``, or ``retrain`` and the reason.
    champion_score, challenger_score : float or None
        Log loss of the two models on the holdout, when there was a bout.
    verdict : str
        Of the gate; empty without a bout.
    loss : float
        Mean log loss on this month's flights of the champion that was in service when they arrived.
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


class DemoResult(StepResult):
    """What the demo showed.

    Attributes
    ----------
    repository, page : str
        Where the repository and the HTML report are.
    ci : str
        How the first push was run.
    periods : tuple of Period
        One per month.
    log_loss : float
        Mean of the loop over all flights that arrived.
    backtest : BacktestResult
        The result of ``backtest`` for the same months.
    """

    laid_out: ClassVar[bool] = True

    step: Literal["demo"] = "demo"
    repository: str
    page: str
    ci: str
    periods: tuple[Period, ...]
    log_loss: float
    backtest: BacktestResult

    def to_markdown(self) -> str:
        """Return the terminal's table and the sentences below it."""
        lines = [*_laid_out(*_rows(self.periods)), *map(_sentence, self.reasons), ""]
        lines += ["The same months under other policies (`titlebout backtest`):"]
        lines += [*_laid_out(*overview(self.backtest)), *map(_sentence, self.backtest.reasons), ""]
        lines += [
            f"First push: {self.ci}",
            f"Report:     {self.page}, and backtest.html beside it",
            f"Repository: {self.repository}  (try `git log --graph --oneline`)",
        ]
        return "\n".join(lines).strip("\n") + "\n"


def _laid_out(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table for the terminal."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        shown.add_column(header, justify="right" if header in NUMBERS else "left")
    for row in rows:
        shown.add_row(*map(str, row))
    out = io.StringIO()
    Console(file=out, width=110, color_system=None).print(shown)
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


def told(period: Period) -> str:
    """Return one line of progress."""
    bout = f", champion {format_score(period.champion_score)}, challenger {format_score(period.challenger_score)}: {period.verdict}"
    return f"{period.name}: {period.rows:,} rows, check {period.check}, drift {period.drift}, {period.decision}{bout if period.verdict else ''}"


def page(result: DemoResult, periods: list[Period]) -> str:
    """Return the HTML report: the year as a plot and as a table."""
    lines = [Line(f"titlebout's loop (mean {result.log_loss:.4f})", [period.loss for period in periods], "#0969da")]
    lines += [
        Line(
            f"{SHOWN[one.name][0]} (mean {one.mean_loss:.4f})",
            [turn.loss for turn in one.outcomes],
            SHOWN[one.name][1],
            "--",
        )
        for one in result.backtest.policies
        if one.name in SHOWN
    ]
    marked = {
        "challenger promoted": [(0, i) for i, p in enumerate(periods) if p.verdict == "promote"],
        "challenger refused": [(0, i) for i, p in enumerate(periods) if p.verdict and p.verdict != "promote"],
    }
    plot = line_plot(
        [p.name[5:] for p in periods], lines, "log loss on the month's flights (smaller is better)", marked
    )
    headers, rows = _rows(result.periods)
    return html.page(
        "A year of flights through the loop",
        "Will a flight from New York arrive more than 15 minutes late? 2013, month by month.",
        html.Paragraph(" ".join(map(_sentence, result.reasons))),
        html.Figure(
            plot,
            "Each point scores the model that was in service when the month's flights arrived, before any of them was trained on.",
        ),
        html.table(headers, rows, [p.verdict for p in periods]),
        html.Paragraph("Champion and challenger: log loss on the same held-out flights, which neither was trained on."),
        html.Paragraph("The same months under other policies are in backtest.html beside this page."),
        html.Paragraph(f"First push: {result.ci}. Repository: {result.repository}"),
    )
