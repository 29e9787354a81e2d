"""Drift: does what arrived still look like what the champion was trained on? Decided here, drawn by Evidently.

Evidently's own verdict depends on how many rows there are (it fires on most quiet windows of 100 rows and misses half a
standard deviation in 5,000) and it fails on columns without values, so it only renders what was decided.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from titlebout.arrivals import Arrival, told
from titlebout.comparison import Pair, compare, pairs, recent, structure
from titlebout.config import DriftSettings
from titlebout.data import row_hashes, timestamps
from titlebout.distances import robust_scale, spread
from titlebout.errors import ConfigError, InconclusiveError
from titlebout.models import Model, load_model_of
from titlebout.plots import change_svg
from titlebout.project import Project
from titlebout.reporting import Markdown, code, cut, escape, number, table
from titlebout.results import StepResult, write_text_atomically
from titlebout.sources import new_rows, read_current
from titlebout.tables import read_tables
from titlebout.tracking import Dvc

REPORT_ROWS = 5_000  # per side; Evidently computes everything three times
SHOWN_COLUMNS = 30

_STATUSES = ("drift", "suspect", "stable")  # the worst first
_PROBLEMS = {
    "missing": "is missing",
    "new": "is not in the reference",
    "repeated": "occurs more than once",
    "retyped": "has values of another kind than in the reference",
    "empty": "has no values any more",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DriftResult(StepResult):
    """How what arrived differs from the reference.

    Attributes
    ----------
    passed : bool
        True when the verdict is ``stable`` or ``suspect``.
    verdict : str
        ``stable``, ``suspect`` (seen, not yet confirmed), ``drift``, ``structural`` (other columns or types: a data
        problem, no reason to retrain), ``insufficient_data``.
    columns : tuple of dict
        Per column what :func:`titlebout.comparison.compare` says; for structural problems name, kind and status only.
    rows, new_rows : int
        Rows that were compared, and rows that are new.
    arrival : dict
        watermark (the newest tracked time, ISO 8601) and counts of rows: read = seen (tracked already) + repeated +
        too_late + new; of the new ones late (not newer than the watermark), waiting (for their label) and ready
        (with one); relabelled (tracked with another label); unknown_labels (of rows that are not there); unfinished
        (files whose last line is still being written). `read` and the last two only when the columns do not fit.
    window, reference : dict
        start, end (ISO 8601; empty without a time column) and, for the reference, rows.
    report_error : str
        Why the drawings are incomplete; empty when they are not, or were not asked for.
    """

    step: ClassVar[str] = "drift"
    verdict: str
    columns: tuple[dict[str, Any], ...] = ()
    rows: int = 0
    new_rows: int = 0
    arrival: dict[str, Any] = field(default_factory=dict)
    window: dict[str, str] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    report_error: str = ""


def measure(project: Project) -> DriftResult:
    """Compare what arrived since the tracked data with what the champion was trained on, and draw the reports.

    Parameters
    ----------
    project : Project
        See :func:`write_reports` for what is written to ``reports/``.

    Raises
    ------
    NotFoundError
        If there is no data on one side, or the champion cannot be fetched.
    DataError
        If a file cannot be read.
    """
    settings, roles = project.settings.drift, project.params.data
    dvc = Dvc(project)
    dvc.pull_data()
    known = read_tables(project.root, "data")
    arrival = _arrived(project, known)
    if not arrival.counts["read"]:
        nothing = ("nothing has arrived yet",)
        return DriftResult(passed=False, reasons=nothing, verdict="insufficient_data", arrival=arrival.to_dict())
    # Labels that came first are not like the others: they are compared once all are there.
    waiting = [roles.target] if arrival.counts.get("waiting") else []
    fresh = arrival.rows.drop(columns=waiting, errors="ignore")
    if (project.pipeline_dir / "champion.dvc").is_file():
        known = _trained_on(known, load_model_of(project, dvc.pull_model("champion")))
    ignored = (*settings.ignore, *project.settings.sources.id)
    settings = settings.model_copy(update={"ignore": ignored})
    result, columns = _examine(known, fresh, settings, roles.time, roles.target)
    return write_reports(project.reports, replace(result, arrival=arrival.to_dict()), columns)


def _arrived(project: Project, known: pd.DataFrame) -> Arrival:
    """Return the rows that are new, or, when their columns are not the expected ones, all of them."""
    current = read_current(project, known)
    columns, time = set(current.frame.columns), project.params.data.time
    needed = {*project.settings.sources.id, *([time] if time else [])}
    if current.frame.empty or not needed <= columns <= set(known.columns):
        return Arrival(current.frame, current.counts)
    return new_rows(project, current, known)


def _trained_on(known: pd.DataFrame, champion: Model) -> pd.DataFrame:
    """Return the tracked rows that the champion was trained on.

    Raises
    ------
    InconclusiveError
        If there are none: the data was rewritten since.
    """
    trained = known[np.isin(row_hashes(known), champion.trained_rows)]
    if trained.empty:
        raise InconclusiveError(
            "none of the tracked rows is one that the champion was trained on",
            where="data.dvc",
            why="the data was rewritten since it won, or titlebout tells rows apart in another way now",
            fix="train a challenger on the data that is there: `titlebout train && titlebout evaluate && titlebout promote`",
        )
    return trained


def drift(
    reference: pd.DataFrame, current: pd.DataFrame, settings: DriftSettings, time: str = "", target: str | None = None
) -> DriftResult:
    """Decide whether current data has drifted away from the reference.

    Parameters
    ----------
    reference, current : DataFrame of shape (n_rows, n_columns)
        `current` may lack the target.
    settings : DriftSettings
        Thresholds; with a time column only the last ``window_days`` of `current` are compared.
    time : str
        Column that gives the order, itself not compared; empty: rows have no order, and what differs once has drifted.
    target : str, optional
        Column to predict; when it differs, that is said first.

    Raises
    ------
    ConfigError
        If no column is left to compare.
    DataError
        If a time is missing.
    """
    return _examine(reference, current, settings, time, target)[0]


def render_drift(result: DriftResult) -> str:
    """Return the Markdown fragment of the step: what drifted, and how many columns did not."""
    head = {
        "stable": "none",
        "suspect": "suspected, not confirmed yet",
        "drift": "found",
        "structural": "not measured, the columns are not the expected ones",
        "insufficient_data": "not measured, too few rows",
    }[result.verdict]
    lines = [f"### Drift: {head}", "", _compared(result), ""]
    differing = [column for column in result.columns if column["status"] in {"drift", "suspect"}]
    if differing:
        headers = ["column", "status", "reference", "current", "distance", "counts from", "missing"]
        lines += [table(headers, [_row(column) for column in differing[:SHOWN_COLUMNS]])]
        lines += [f"{escape(result.reasons[-1])}. Suspect: not seen in both halves of the window."]
    else:
        lines += [f"- {escape(reason)}" for reason in result.reasons[:SHOWN_COLUMNS]]
    if result.report_error:
        lines += ["", f"The drawings are incomplete: {escape(result.report_error)}"]
    return "\n".join(lines).rstrip() + "\n"


def write_reports(folder: Path, result: DriftResult, columns: Sequence[Pair]) -> DriftResult:
    """Draw what was compared; the decision stands whatever happens to the drawings.

    Parameters
    ----------
    folder : Path
        ``drift-01.svg`` and so on are small pictures of the columns that drifted, in the order of the result;
        ``drift.html`` is Evidently's report, self-contained, some 4 MB, with the data's own words in it: to be
        downloaded, not to be published. Those of an earlier run are removed.
    result : DriftResult
    columns : sequence of Pair
        The columns that were compared.

    Returns
    -------
    DriftResult
        The same result, with `report_error` when something could not be drawn.
    """
    try:
        for old in (*folder.glob("drift-*.svg"), *folder.glob("drift.html")):
            old.unlink()
        drifted = [column["name"] for column in result.columns if column["status"] == "drift"]
        by_name = {column.name: column for column in columns}
        for position, name in enumerate(drifted, start=1):
            write_text_atomically(folder / f"drift-{position:02d}.svg", change_svg(by_name[name]))
        drawn = [column for column in columns if _has_values(column)]
        if drawn:
            write_text_atomically(folder / "drift.html", _evidently_html(drawn, result))
    except Exception as error:
        logger.debug("the drift reports could not be drawn", exc_info=True)
        return replace(result, report_error=f"{type(error).__name__}: {cut(str(error), 200)}")
    return result


def _examine(
    reference: pd.DataFrame, current: pd.DataFrame, settings: DriftSettings, time: str, target: str | None
) -> tuple[DriftResult, list[Pair]]:
    """Return the decision and the columns it was made on, none when it was made without comparing."""
    ignored = [name for name in settings.ignore if name != time]
    reference, current = (frame.drop(columns=ignored, errors="ignore") for frame in (reference, current))
    problems = tuple(structure(reference, current, time, target))
    if problems:
        told = tuple(f"column {problem['name']!r}: {_PROBLEMS[problem['status']]}" for problem in problems)
        return DriftResult(
            passed=False, verdict="structural", reasons=told, columns=problems, new_rows=len(current)
        ), []
    window, past = recent(current, time, settings.window_days), _in_order(reference, time)
    about: dict[str, Any] = {
        "rows": len(window),
        "new_rows": len(current),
        "window": _period(window, time),
        "reference": {"rows": len(past), **_period(past, time)},
    }
    if min(len(window), len(past)) < settings.min_rows:
        told = (f"{len(window)} current and {len(past)} reference rows; at least {settings.min_rows} are needed",)
        return DriftResult(passed=False, verdict="insufficient_data", reasons=told, **about), []
    columns = list(pairs(past, window, _tested(past, window, time), target))
    found = compare(columns, settings, in_order=bool(time))
    found.sort(key=lambda one: (_STATUSES.index(one["status"]), one["role"] != "target"))
    verdict = found[0]["status"]
    return DriftResult(
        passed=verdict != "drift", verdict=verdict, reasons=tuple(_reasons(found)), columns=tuple(found), **about
    ), columns


def _tested(reference: pd.DataFrame, current: pd.DataFrame, time: str) -> list[str]:
    names = [name for name in reference.columns if name != time and name in current.columns]
    if not names:
        raise ConfigError(
            "no column is left to compare", where="titlebout.toml: drift.ignore", fix="ignore fewer columns"
        )
    return names


def _in_order(frame: pd.DataFrame, time: str) -> pd.DataFrame:
    return frame.iloc[np.argsort(timestamps(frame, time).to_numpy(), kind="stable")] if time else frame


def _period(frame: pd.DataFrame, time: str) -> dict[str, str]:
    if not time or frame.empty:
        return {"start": "", "end": ""}
    stamps = timestamps(frame, time)
    return {"start": stamps.min().isoformat(), "end": stamps.max().isoformat()}


def _reasons(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one sentence per column that differs, and one for the others."""
    differing = [column for column in columns if column["status"] != "stable"]
    for column in differing:
        what = "label" if column["role"] == "target" else "column"
        seen = "differs in both halves of the window" if column["status"] == "drift" else "differs, not confirmed yet"
        yield f"{what} {column['name']!r} {seen}: {_difference(column)}"
    yield f"{len(columns) - len(differing)} of {len(columns)} columns are stable"


def _difference(column: Mapping[str, Any]) -> str:
    parts = []
    if column["effect"] >= column["threshold"]:
        parts.append(
            f"{column['method']} distance {number(column['effect'])} (counts from {number(column['threshold'])})"
        )
    if abs(column["null_delta"]) >= column["null_threshold"]:
        parts.append(f"{number(100 * column['null_delta'])} points more missing values")
    return ", ".join(parts) or "in the newer half"


def _compared(result: DriftResult) -> str:
    said = told(result.arrival) if "new" in result.arrival else ""
    if not result.rows:
        return f"{said or f'{number(result.new_rows)} rows arrived'}."
    compared = f"{_side(result.rows, result.window)} compared with {_side(result.reference['rows'], result.reference)}."
    return f"{compared} {said}." if said else compared


def _side(rows: int, period: Mapping[str, Any]) -> str:
    when = f" from {escape(period['start'][:10])} to {escape(period['end'][:10])}" if period["start"] else ""
    return f"{number(rows)} rows{when}"


def _row(column: Mapping[str, Any]) -> tuple[object, ...]:
    sides = [_describe(column[side]) for side in ("reference", "current")]
    missing = " → ".join(f"{number(100 * column[side]['missing'])} %" for side in ("reference", "current"))
    name = Markdown(f"{code(column['name'])} (label)") if column["role"] == "target" else code(column["name"])
    return name, column["status"], *sides, column["effect"], column["threshold"], missing


def _describe(summary: Mapping[str, Any]) -> str:
    if "levels" not in summary:
        mean = summary["mean"]
        return f"mean {mean if isinstance(mean, str) else number(mean)}"
    return ", ".join(f"{cut(label, 30)} {number(100 * share)} %" for label, share in summary["levels"].items())


def _has_values(column: Pair) -> bool:
    return bool(np.isfinite(column.reference).any() and np.isfinite(column.current).any())


def _evidently_html(columns: Sequence[Pair], result: DriftResult) -> str:
    """Return Evidently's report; its page shows names and levels unescaped, so they come without angle brackets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of its dependencies at import, of pandas and numpy while it runs
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        thresholds = {column["name"]: column["threshold"] for column in result.columns}
        names = {column.name: _inert(column.name) for column in columns}
        by_method = {
            method: [names[one.name] for one in columns if one.method == method] for method in ("number", "level")
        }
        definition = DataDefinition(numerical_columns=by_method["number"], categorical_columns=by_method["level"])
        preset = DataDriftPreset(
            columns=list(names.values()),
            num_method="wasserstein",
            cat_method="jensenshannon",
            drift_share=1 / len(names)
            if result.verdict == "drift"
            else 1.0,  # so that its headline says what was decided
            per_column_threshold={names[one.name]: _in_evidently_units(one, thresholds[one.name]) for one in columns},
        )
        sides = [
            Dataset.from_pandas(pd.DataFrame(_drawn(columns, side)), data_definition=definition)
            for side in ("current", "reference")
        ]
        return str(Report([preset]).run(*sides).get_html_str(as_iframe=False))


def _in_evidently_units(column: Pair, threshold: float) -> float:
    """Translate a threshold: Evidently divides by the standard deviation, but never by less than a thousandth."""
    if column.method == "level":
        return threshold
    past = column.reference[np.isfinite(column.reference)]
    return threshold * robust_scale(past) / max(float(np.std(past)), 0.001)


def _drawn(columns: Sequence[Pair], side: str) -> dict[str, Any]:
    """Return up to 5,000 rows of one side as Evidently wants them."""
    drawn: dict[str, Any] = {}
    for column in columns:
        values = getattr(column, side)
        values = values[spread(len(values), REPORT_ROWS)]
        labels = np.array([*map(_inert, column.labels), None], dtype=object)
        known = np.where(np.isfinite(values), values, -1).astype(np.int64) if column.method == "level" else None
        drawn[_inert(column.name)] = np.where(np.isfinite(values), values, np.nan) if known is None else labels[known]
    return drawn


def _inert(text: str) -> str:
    return text.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")
