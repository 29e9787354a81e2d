"""Drift: does what arrived still look like what the champion was trained on? The rule decides, Evidently draws."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.errors import ConfigError
from titlebout.core.markdown import format_number, truncate
from titlebout.data.columns import recent, timestamps
from titlebout.data.current import read_new_rows
from titlebout.data.tables import read_tables
from titlebout.drift.alignment import ColumnProblem, Pair, one_per_group, pairs, structure
from titlebout.drift.change_point import onset
from titlebout.drift.domain_classifier import tell_apart
from titlebout.drift.importance import NOTHING_KNOWN, PREDICTION, Outlook, importances, trained_on
from titlebout.drift.report import DriftResult, ReferenceRows, TimeRange, Verdict, write_reports
from titlebout.drift.rule import ColumnDrift, compare
from titlebout.models.interfaces import TracedPredictor
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.drift import DriftSettings
from titlebout.settings.params import Params

_STATUSES = ("drift", "suspect", "stable")  # the worst first
_ROLES = ("target", "prediction", "joint", "input")  # the most telling first
_PROBLEMS = {
    "missing": "is missing",
    "new": "is not in the reference",
    "repeated": "occurs more than once",
    "retyped": "has values of another kind than in the reference",
    "empty": "has no values any more",
}

logger = logging.getLogger(__name__)


def measure(project: Project) -> DriftResult:
    """Compare what arrived since the tracked data with what the champion was trained on, and draw the reports.

    Parameters
    ----------
    project : Project
        See :func:`titlebout.drift.report.write_reports` for what is written to ``reports/``.

    Raises
    ------
    NotFoundError
        If there is no data on one side, or the champion cannot be fetched.
    DataError
        If a file cannot be read.
    """
    settings, roles = settings_of(project), project.params.data
    Dvc(project).pull_data()
    known = read_tables(project.root, "data")
    arrival = read_new_rows(project, known)
    if not arrival.counts.read:
        nothing = ("nothing has arrived yet",)
        return DriftResult(passed=False, reasons=nothing, verdict="insufficient_data", arrival=arrival.counts)
    # Labels that came first are not like the others: they are compared once all are there.
    waiting = [roles.target] if arrival.counts.waiting else []
    fresh = arrival.rows.drop(columns=waiting, errors="ignore")
    reference, outlook = look_out(project, known)
    result, columns = _examine(reference, fresh, settings, roles.time, roles.target, outlook)
    return write_reports(project.reports, result.replace(arrival=arrival.counts), columns)


def settings_of(project: Project) -> DriftSettings:
    """Return the settings; what names a row is no column to compare, and may say who it is about."""
    settings, split = project.settings.drift, project.params.split
    ignored = (*settings.ignore, *project.settings.sources.id)
    entity = settings.entity or (split.entity if split.by == "hash" else ())
    return settings.model_copy(update={"entity": entity, "ignore": ignored})


def look_out(project: Project, known: pd.DataFrame) -> tuple[pd.DataFrame, Outlook]:
    """Return the tracked rows that the champion was trained on, and how it looks at them; all rows without a champion.

    Raises
    ------
    InconclusiveError
        If none of the tracked rows is one that it was trained on.
    """
    if not (project.pipeline_dir / "champion.dvc").is_file():
        return known, NOTHING_KNOWN
    model = load_project_model(project, Dvc(project).pull_model("champion"))
    return outlook_of(model, known, project.params, project.settings.drift.min_rows)


def outlook_of(
    model: TracedPredictor, known: pd.DataFrame, params: Params, min_rows: int
) -> tuple[pd.DataFrame, Outlook]:
    """Return those of the known rows that a model was trained on, and how it looks at them.

    Parameters
    ----------
    model : TracedPredictor
    known : DataFrame of shape (n_known, n_columns)
    params : Params
    min_rows : int
        With fewer rows that it was not trained on, its predictions are not compared.

    Raises
    ------
    InconclusiveError
        If it was trained on none of them.
    """
    trained = trained_on(known, model)
    reference, others = known[trained], known[~trained]
    if len(others) < min_rows:
        others = others.head(0)
    try:
        weights = importances(model, reference, params)
    except Exception:  # the team's code, on rows of ours: what it says about columns is not worth a lost decision
        logger.warning("the importance of the columns could not be measured; all count alike", exc_info=True)
        weights = {}
    return reference, Outlook(weights, model, others)


def drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    settings: DriftSettings,
    time: str = "",
    target: str | None = None,
    outlook: Outlook = NOTHING_KNOWN,
) -> DriftResult:
    """Decide whether current data has drifted away from the reference.

    Parameters
    ----------
    reference, current : DataFrame of shape (n_rows, n_columns)
        `current` may lack the target.
    settings : DriftSettings
        Thresholds; with a time column only the last ``window_days`` of `current` are compared.
    time : str
        Column that gives the order, itself not compared; empty: rows count as having come in the order they are in.
    target : str, optional
        Column to predict; when it differs, that is said first.
    outlook : Outlook, optional
        How the champion looks at the columns; by default nothing is known, and all count alike.

    Raises
    ------
    ConfigError
        If no column is left to compare, or a column of `settings.entity` is not in the reference.
    DataError
        If a time is missing.
    """
    return _examine(reference, current, settings, time, target, outlook)[0]


def unlike(
    reference: pd.DataFrame, current: pd.DataFrame, settings: DriftSettings, time: str, target: str | None
) -> tuple[str, ...]:
    """Return why two tables cannot be compared, a sentence per column; nothing when they can."""
    ignored = _ignored(settings, time)
    reference, current = (frame.drop(columns=ignored, errors="ignore") for frame in (reference, current))
    return tuple(map(_told, structure(reference, current, time, target)))


def _ignored(settings: DriftSettings, time: str) -> list[str]:
    return [name for name in settings.ignore if name != time and name not in settings.entity]


def _told(problem: ColumnProblem) -> str:
    return f"column {problem.name!r}: {_PROBLEMS[problem.status]}"


def _examine(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    settings: DriftSettings,
    time: str,
    target: str | None,
    outlook: Outlook = NOTHING_KNOWN,
) -> tuple[DriftResult, list[Pair]]:
    """Return the decision and the columns it was made on, none when it was made without comparing."""
    ignored = _ignored(settings, time)
    reference, current = (frame.drop(columns=ignored, errors="ignore") for frame in (reference, current))
    problems = tuple(structure(reference, current, time, target))
    if problems:
        told = tuple(map(_told, problems))
        return DriftResult(
            passed=False, verdict="structural", reasons=told, columns=problems, new_rows=len(current)
        ), []
    past, window = (_apart(side, settings.entity) for side in (reference, recent(current, time, settings.window_days)))
    past = _in_order(past, time)
    about: dict[str, Any] = {
        "rows": len(window),
        "new_rows": len(current),
        "window": TimeRange(**_period(window, time)),
        "reference": ReferenceRows(rows=len(past), **_period(past, time)),
    }
    if min(len(window), len(past)) < settings.min_rows:
        told = (f"{len(window)} current and {len(past)} reference rows; at least {settings.min_rows} are needed",)
        return DriftResult(passed=False, verdict="insufficient_data", reasons=told, **about), []
    columns = list(pairs(past, window, _tested(past, window, {time, *settings.entity}), target))
    predicted, silence = _predicted(outlook, window, ignored)
    columns += predicted
    found = list(_weighed(columns, settings, outlook, timestamps(window, time) if time else None))
    verdict = _verdict(found)
    reasons = (*silence, *_reasons(found))
    return DriftResult(
        passed=verdict != "drift", verdict=verdict, reasons=reasons, columns=tuple(found), **about
    ), columns


def _apart(frame: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in group if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"the entity column {missing[0]!r} is not in the data",
            where="titlebout.toml: drift.entity",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="correct the name, or remove it from the list",
        )
    return one_per_group(frame, group) if group else frame


def _tested(reference: pd.DataFrame, current: pd.DataFrame, apart: set[str]) -> list[str]:
    names = [name for name in reference.columns if name not in apart and name in current.columns]
    if not names:
        raise ConfigError(
            "no column is left to compare", where="titlebout.toml: drift.ignore", fix="ignore fewer columns"
        )
    return names


def _predicted(outlook: Outlook, window: pd.DataFrame, ignored: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Return what the champion predicts as one more column, or why it cannot."""
    if PREDICTION in window.columns or PREDICTION in ignored:
        return [], []
    try:
        found = outlook.prediction(window)
    except Exception as error:  # the team's code, on rows it was not made for: the decision does not hang on it
        logger.debug("the champion could not be asked", exc_info=True)
        why = f"{type(error).__name__}: {truncate(str(error), 200)}"
        return [], [f"what the champion predicts was not compared: {why}"]
    return ([found] if found else []), []


def _weighed(
    columns: Sequence[Pair], settings: DriftSettings, outlook: Outlook, stamps: "pd.Series[Any] | None"
) -> Iterator[ColumnDrift]:
    """Yield what the rule says about every column, the worst first, with its weight and since when it holds."""
    found = compare(columns, settings, in_time=stamps is not None)
    if settings.domain_classifier:
        found.append(tell_apart(columns))
    by_name = {column.name: column for column in columns}
    for record in sorted(found, key=lambda one: (_STATUSES.index(one.status), _ROLES.index(one.role))):
        weight = outlook.importance.get(record.name) if record.role == "input" else None
        since = ""
        if stamps is not None and record.status != "stable" and record.name in by_name:
            since = stamps.iloc[onset(by_name[record.name])].isoformat()
        decides = weight is None or weight >= settings.min_importance
        yield record.replace(importance=weight, decides=decides, since=since)


def _verdict(columns: Sequence[ColumnDrift]) -> Verdict:
    """Return the worst status; what the champion hardly looks at is at most suspect."""
    if any(column.status == "drift" and column.decides for column in columns):
        return "drift"
    return "stable" if all(column.status == "stable" for column in columns) else "suspect"


def _in_order(frame: pd.DataFrame, time: str) -> pd.DataFrame:
    return frame.iloc[np.argsort(timestamps(frame, time).to_numpy(), kind="stable")] if time else frame


def _period(frame: pd.DataFrame, time: str) -> dict[str, str]:
    if not time or frame.empty:
        return {"start": "", "end": ""}
    stamps = timestamps(frame, time)
    return {"start": stamps.min().isoformat(), "end": stamps.max().isoformat()}


def _reasons(columns: Sequence[ColumnDrift]) -> Iterator[str]:
    """Yield one sentence per column that differs, and one for the others."""
    differing = [column for column in columns if column.status != "stable"]
    for column in differing:
        seen = "differs in both halves of the window" if column.status == "drift" else "differs, not confirmed yet"
        weight = "" if column.decides else "; it hardly matters to the champion, so it does not decide"
        yield f"{_called(column)} {seen}{_since(column)}: {_difference(column)}{weight}"
    yield f"{len(columns) - len(differing)} of {len(columns)} columns are stable"


def _called(column: ColumnDrift) -> str:
    if column.role in {"prediction", "joint"}:
        return f"the {column.name}" if column.role == "prediction" else column.name
    return f"{'label' if column.role == 'target' else 'column'} {column.name!r}"


def _since(column: ColumnDrift) -> str:
    return f", since {column.since[:10]}" if column.since else ""


def _difference(column: ColumnDrift) -> str:
    parts = []
    if column.effect >= column.threshold:
        unit = "" if column.role == "joint" else " distance"
        parts.append(
            f"{column.method}{unit} {format_number(column.effect)} (counts from {format_number(column.threshold)})"
        )
    if abs(column.null_delta) >= column.null_threshold:
        parts.append(f"{format_number(100 * column.null_delta)} points more missing values")
    return ", ".join(parts) or "in the newer half"
