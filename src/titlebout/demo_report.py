"""What the demo shows: a row per month, the terminal's table and the HTML page."""

import io
from dataclasses import dataclass
from typing import Any, ClassVar

from titlebout import pages
from titlebout.reporting import score
from titlebout.results import StepResult


@dataclass(frozen=True)
class Period:
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
    loss : dict of str to float
        Mean log loss on this month's flights of the model each policy had in service when they arrived.
    """

    name: str
    rows: int
    check: str
    drift: str
    decision: str
    loss: dict[str, float]
    champion_score: float | None = None
    challenger_score: float | None = None
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class DemoResult(StepResult):
    """What the demo showed.

    Attributes
    ----------
    repository, page : str
        Where the repository and the HTML report are.
    ci : str
        How the first push was run.
    periods : tuple of dict
        One :class:`Period` per month.
    log_loss : dict of str to float
        Mean over all flights that arrived, by policy.
    """

    step: ClassVar[str] = "demo"
    repository: str
    page: str
    ci: str
    periods: tuple[dict[str, Any], ...]
    log_loss: dict[str, float]


def render_demo(result: DemoResult) -> str:
    """Return the terminal's table and the sentences below it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headers, rows = _rows(result.periods)
    for header in headers:
        shown.add_column(header, justify="right" if header in {"rows", "champion", "challenger"} else "left")
    for row in rows:
        shown.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=110, color_system=None).print(shown)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    lines += [*(f"{reason[0].upper()}{reason[1:]}." for reason in result.reasons), ""]
    lines += [
        f"First push: {result.ci}",
        f"Report:     {result.page}",
        f"Repository: {result.repository}  (try `git log --graph --oneline`)",
    ]
    return "\n".join(lines).strip("\n") + "\n"


def _rows(periods: tuple[dict[str, Any], ...]) -> tuple[list[str], list[list[str]]]:
    headers = ["period", "rows", "data check", "drift", "decision", "champion", "challenger", "verdict"]
    rows = [
        [
            period["name"],
            f"{period['rows']:,}",
            period["check"],
            period["drift"],
            period["decision"],
            score(period["champion_score"]),
            score(period["challenger_score"]),
            period["verdict"] or "-",
        ]
        for period in periods
    ]
    return headers, rows


def told(period: Period) -> str:
    """Return one line of progress."""
    bout = f", champion {score(period.champion_score)}, challenger {score(period.challenger_score)}: {period.verdict}"
    return f"{period.name}: {period.rows:,} rows, check {period.check}, drift {period.drift}, {period.decision}{bout if period.verdict else ''}"


def page(result: DemoResult, periods: list[Period]) -> str:
    """Return the HTML report: the year as a plot and as a table."""
    names = {"loop": "titlebout's loop", "every": "retrain every month, no gate", "never": "never retrain"}
    colors = {"loop": "#0969da", "every": "#9a6700", "never": "#cf222e"}
    lines = [
        pages.Line(
            f"{label} (mean {result.log_loss[policy]:.4f})",
            [p.loss[policy] for p in periods],
            colors[policy],
            "-" if policy == "loop" else "--",
        )
        for policy, label in names.items()
    ]
    marked = {
        "challenger promoted": [(0, i) for i, p in enumerate(periods) if p.verdict == "promote"],
        "challenger refused": [(0, i) for i, p in enumerate(periods) if p.verdict and p.verdict != "promote"],
    }
    plot = pages.line_plot(
        [p.name[5:] for p in periods], lines, "log loss on the month's flights (smaller is better)", marked
    )
    headers, rows = _rows(result.periods)
    return pages.page(
        "A year of flights through the loop",
        "Will a flight from New York arrive more than 15 minutes late? 2013, month by month.",
        pages.paragraph(" ".join(f"{reason[0].upper()}{reason[1:]}." for reason in result.reasons)),
        pages.figure(
            plot,
            "Each point scores the model that was in service when the month's flights arrived, before any of them was trained on.",
        ),
        pages.table(headers, rows, [p.verdict for p in periods]),
        pages.paragraph(
            "Champion and challenger: log loss on the same held-out flights, which neither was trained on."
        ),
        pages.paragraph(f"First push: {result.ci}. Repository: {result.repository}"),
    )
