"""Drift result and its reports: a Markdown table, a figure per drifted column, and Evidently's HTML report.

Evidently only renders the decision: the rule is given to it as the test of every column. Its own verdict depends on the
number of rows (it reports drift in most stable windows of 100 rows and misses a shift of half a standard deviation in
5,000), and it fails on columns without values.
"""

import html
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from titlebout.core.errors import ExitCode
from titlebout.core.markdown import Markdown, code, escape, format_number, table, truncate
from titlebout.core.results import Record, StepResult, write_text_atomically
from titlebout.data.canonical import canonical
from titlebout.data.new_rows import RowCounts, describe_counts
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import ColumnProblem, Pair
from titlebout.drift.figures import change_svg
from titlebout.drift.rule import ColumnDrift, ColumnSummary

REPORT_ROWS = 5_000  # per side; Evidently computes everything three times
SHOWN_COLUMNS = 30

Verdict = Literal["stable", "suspect", "drift", "structural", "insufficient_data"]

_CODES = {
    "drift": ExitCode.DRIFT_FOUND,
    "structural": ExitCode.DATA_REFUSED,
    "insufficient_data": ExitCode.INCONCLUSIVE,
}

logger = logging.getLogger(__name__)


class TimeRange(Record):
    """A period of the data.

    Attributes
    ----------
    start, end : str
        ISO 8601; empty without a time column.
    """

    start: str
    end: str


class ReferenceRows(Record):
    """The reference that current data is compared with.

    Attributes
    ----------
    rows : int
        Number of rows.
    start, end : str
        ISO 8601; empty without a time column.
    """

    rows: int
    start: str
    end: str


class DriftResult(StepResult):
    """Result of ``titlebout drift``: how current data differs from the reference.

    Attributes
    ----------
    passed : bool
        True when the verdict is ``stable`` or ``suspect``.
    verdict : {"stable", "suspect", "drift", "structural", "insufficient_data"}
        Suspect: not confirmed yet, or only in columns of low importance. Structural: columns or types differ, which is a
        data problem and does not trigger a retraining.
    columns : tuple of ColumnDrift or ColumnProblem
        Worst first; with the verdict ``structural`` the columns that cannot be compared.
    rows, new_rows : int
        Number of rows compared, and number of new rows.
    arrival : RowCounts or None
        Counts of the rows that were read, by what happened to them.
    window, reference : TimeRange or None, ReferenceRows or None
        Period and rows that were compared; None if nothing was compared.
    entity : tuple of str
        Columns whose equal values mark rows that depend on each other, found because `drift.entity` is empty.
    report_error : str
        Why the figures and the HTML report are incomplete; empty if they are complete.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {
        "verdict": "verdict",
        "drift": "detected",
        "columns": "drifted",
        "report": "report",
    }

    step: Literal["drift"] = "drift"
    verdict: Verdict
    columns: tuple[ColumnDrift | ColumnProblem, ...] = ()
    rows: int = 0
    new_rows: int = 0
    arrival: RowCounts | None = None
    window: TimeRange | None = None
    reference: ReferenceRows | None = None
    entity: tuple[str, ...] = ()
    report_error: str = ""

    @property
    def compared(self) -> tuple[ColumnDrift, ...]:
        """The columns that were compared."""
        return tuple(column for column in self.columns if isinstance(column, ColumnDrift))

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted."""
        return tuple(column.name for column in self.compared if column.status == "drift")

    @property
    def decisive(self) -> tuple[str, ...]:
        """Names of the drifted columns that are important enough to cause the verdict *drift* and a retraining."""
        return tuple(column.name for column in self.compared if column.status == "drift" and column.decides)

    @property
    def detected(self) -> bool:
        """Whether the verdict is *drift*."""
        return self.verdict == "drift"

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return _CODES.get(self.verdict, ExitCode.OK)

    def to_markdown(self) -> str:
        """Return the report as Markdown: the columns that differ, and the number of stable ones."""
        head = {
            "stable": "none",
            "suspect": "suspected, not confirmed yet",
            "drift": "detected",
            "structural": "not measured, columns or types differ from the reference",
            "insufficient_data": "not measured, too few rows",
        }[self.verdict]
        lines = [f"### Drift: {head}", "", _compared(self), ""]
        differing = [column for column in self.compared if column.status != "stable"]
        if differing:
            headers = [
                *("column", "status", "since", "importance"),
                *("reference", "current", "distance", "threshold", "missing"),
            ]
            lines += [table(headers, [_row(column) for column in differing[:SHOWN_COLUMNS]])]
            suspected = any(column.status == "suspect" for column in differing)
            explained = " Suspect: not confirmed in both halves of the window." if suspected else ""
            lines += [f"{escape(self.reasons[-1])}.{explained}"]
            lines += ["", "Importance: share of the column in the champion's total permutation importance."]
        else:
            lines += [f"- {escape(reason)}" for reason in self.reasons[:SHOWN_COLUMNS]]
        if self.report_error:
            lines += ["", f"The figures or the HTML report are incomplete: {escape(self.report_error)}"]
        return "\n".join(lines).rstrip() + "\n"


def write_reports(folder: Path, result: DriftResult, columns: Sequence[Pair]) -> DriftResult:
    """Write the figures and the HTML report; an error while drawing does not change the decision.

    Parameters
    ----------
    folder : Path
        ``drift-01.svg`` and so on are figures of the drifted columns, in the order of the result; ``drift.html`` is
        Evidently's self-contained report of about 4 MB. It contains values of the data: do not publish it. Files of an
        earlier run are removed.
    result : DriftResult
        Decision to draw.
    columns : sequence of Pair
        The columns that were compared.

    Returns
    -------
    DriftResult
        The same result, with `report_error` if drawing failed.
    """
    try:
        for old in (*folder.glob("drift-*.svg"), *folder.glob("drift.html")):
            old.unlink()
        by_name = {column.name: column for column in columns}
        for position, name in enumerate(result.drifted, start=1):
            write_text_atomically(folder / f"drift-{position:02d}.svg", change_svg(by_name[name]))
        drawn = [column for column in columns if _has_values(column)]
        if drawn:
            write_text_atomically(folder / "drift.html", _evidently_html(drawn, result))
    except Exception as error:
        logger.debug("the drift reports could not be drawn", exc_info=True)
        return result.replace(report_error=f"{type(error).__name__}: {truncate(str(error), 200)}")
    return result


def share_drifted(reference: pd.DataFrame, current: pd.DataFrame) -> float:
    """Return the share of columns that drifted by Evidently's defaults, for the strategies of a backtest that use it.

    Parameters
    ----------
    reference, current : DataFrame
        Columns that have values on one side only are left out: Evidently fails on them.
    """
    names = [
        name for name in reference if name in current and all(side[name].notna().any() for side in (reference, current))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import Dataset, Report
        from evidently.metrics import DriftedColumnsCount

        sides = [Dataset.from_pandas(canonical(side[names])) for side in (current, reference)]
        (found,) = Report([DriftedColumnsCount()]).run(*sides).dict()["metrics"]
    return float(found["value"]["share"])


def _compared(result: DriftResult) -> str:
    arrived = result.arrival
    counts = describe_counts(arrived) if arrived and (arrived.new is not None or arrived.taken_in) else ""
    if not result.rows or result.window is None or result.reference is None:
        return f"{counts or f'{format_number(result.new_rows)} rows arrived'}."
    compared = f"{_side(result.rows, result.window)} compared with {_side(result.reference.rows, result.reference)}."
    return f"{compared} {counts}." if counts else compared


def _side(rows: int, period: TimeRange | ReferenceRows) -> str:
    when = f" from {escape(period.start[:10])} to {escape(period.end[:10])}" if period.start else ""
    return f"{format_number(rows)} rows{when}"


def _row(column: ColumnDrift) -> tuple[object, ...]:
    sides = column.reference, column.current
    missing = " → ".join(f"{format_number(100 * side.missing)}%" for side in sides)
    name = Markdown(f"{code(column.name)} (label)") if column.role == "target" else code(column.name)
    weight = "-" if column.importance is None else f"{format_number(100 * column.importance)}%"
    about = name, column.status, column.since[:10] or "-", weight
    return *about, *map(_describe, sides), column.effect, column.threshold, missing


def _describe(summary: ColumnSummary) -> str:
    if summary.levels is None:
        return f"mean {summary.mean if isinstance(summary.mean, str) else format_number(summary.mean)}"
    return ", ".join(f"{truncate(label, 30)} {format_number(100 * share)}%" for label, share in summary.levels.items())


def _has_values(column: Pair) -> bool:
    return bool(np.isfinite(column.reference).any() and np.isfinite(column.current).any())


def _evidently_html(columns: Sequence[Pair], result: DriftResult) -> str:
    """Return Evidently's report; it does not escape names and levels, so angle brackets are replaced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings of its dependencies, pandas and numpy
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        found = {column.name: column for column in result.compared}
        names = {column.name: _without_markup(column.name) for column in columns}
        by_method = {
            method: [names[one.name] for one in columns if one.method == method] for method in ("number", "level")
        }
        definition = DataDefinition(numerical_columns=by_method["number"], categorical_columns=by_method["level"])
        preset = DataDriftPreset(
            columns=list(names.values()),
            per_column_method={
                names[one.name]: _rule_as_test(position, found[one.name]) for position, one in enumerate(columns)
            },
            drift_share=_share_of_one(len(names)) if result.verdict == "drift" else 1.0,
        )
        sides = [
            Dataset.from_pandas(_evidently_frame(columns, side), data_definition=definition)
            for side in ("current", "reference")
        ]
        page = str(Report([preset]).run(*sides).get_html_str(as_iframe=False))
    return page.replace("<body>", f"<body>{_banner(result)}", 1)


def _share_of_one(columns: int) -> float:
    """Return a share that one drifted column reaches, with few digits, because Evidently's headline shows them all."""
    return math.floor(1000 / columns) / 1000


def _rule_as_test(position: int, column: ColumnDrift) -> str:
    """Register the decision on a column as a test of Evidently, and return its name there."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    test = StatTest(
        name=f"titlebout {position}",
        display_name=f"titlebout ({column.method})",
        allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
    )
    register_stattest(test, lambda *_: (_score(column), column.status == "drift"))
    return str(test.name)


def _score(column: ColumnDrift) -> float:
    """Return the score by which Evidently sorts columns: those with drift come first, as the others stay below 1."""
    multiple = round(_multiple(column), 2)
    return multiple if column.status == "drift" else min(multiple, 0.99)


def _multiple(column: ColumnDrift) -> float:
    """Return the largest difference of a column, of its aspects, or of its missing values, as a multiple of the threshold."""
    parts = [(column.effect, column.threshold), (abs(column.null_delta), column.null_threshold)]
    parts += [(aspect.effect, aspect.threshold) for aspect in column.aspects]
    return max(effect / threshold for effect, threshold in parts if threshold > 0)


def _banner(result: DriftResult) -> str:
    """Return the first line of Evidently's page: what decides, and what the page shows."""
    found = ", ".join(map(_without_markup, result.drifted[:SHOWN_COLUMNS])) or "none"
    return (
        '<p style="font: 15px/1.5 sans-serif; margin: 0; padding: 12px 24px; background: #fff8c5; color: #1f2328">'
        '<b>This page does not decide.</b> It shows what the rule of titlebout decided (<a href="drift.md">drift.md</a>): drift in '
        f"{len(result.drifted)} of {len(result.compared)} columns: <b>{html.escape(found)}</b>. These are the first rows of the "
        "table, <i>Detected</i>. Drift score: the difference as a multiple of its threshold, at most 0.99 where it is not confirmed in "
        "both halves of the window."
        "</p>"
    )


def _evidently_frame(columns: Sequence[Pair], side: str) -> pd.DataFrame:
    """Return up to 5,000 rows of one side; shorter columns are padded with missing values, which Evidently skips."""
    drawn: dict[str, Any] = {}
    for column in columns:
        values = getattr(column, side)
        values = values[evenly_spaced(len(values), REPORT_ROWS)]
        labels = np.array([*map(_without_markup, column.labels), None], dtype=object)
        known = np.where(np.isfinite(values), values, -1).astype(np.int64) if column.method == "level" else None
        kept = np.where(np.isfinite(values), values, np.nan) if known is None else labels[known]
        drawn[_without_markup(column.name)] = pd.Series(kept)
    return pd.DataFrame(drawn)


def _without_markup(text: str) -> str:
    return text.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")
