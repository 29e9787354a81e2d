"""``titlebout drift``: compare current data with the champion's training data. The rule decides, Evidently draws."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.errors import ConfigError
from titlebout.core.markdown import format_number, truncate
from titlebout.data.columns import recent, timestamps
from titlebout.data.current import NO_NEW_DATA, read_new_rows
from titlebout.data.holdout import read_tracked
from titlebout.data.identity import identity_hashes
from titlebout.drift.alignment import ColumnProblem, Pair, one_per_group, pairs, schema_problems
from titlebout.drift.change_point import find_change_point
from titlebout.drift.distances import Counts
from titlebout.drift.domain_classifier import two_sample_classifier
from titlebout.drift.entities import Entity, find_entities, with_groups
from titlebout.drift.importance import (
    NO_CHAMPION,
    PREDICTION,
    ChampionContext,
    permutation_importance,
    trained_rows_mask,
)
from titlebout.drift.report import DriftResult, ReferenceRows, TimeRange, Verdict, write_reports
from titlebout.drift.rule import STATUSES, ColumnDrift, compare
from titlebout.models.champion import pull_champion
from titlebout.models.interfaces import TracedPredictor
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.drift import DriftSettings
from titlebout.settings.params import Params

_ROLES = ("target", "prediction", "joint", "input")  # most informative first
_PROBLEMS = {
    "missing": "is missing",
    "new": "is not in the reference",
    "repeated": "occurs more than once",
    "retyped": "has a different type than in the reference",
    "empty": "has no values in the current data",
}

logger = logging.getLogger(__name__)


def measure(project: Project) -> DriftResult:
    """Compare new rows with the champion's training data, and draw the reports.

    Parameters
    ----------
    project : Project
        Project; :func:`titlebout.drift.report.write_reports` lists the files written to ``reports/``.

    Raises
    ------
    NotFoundError
        If one side has no data, or the champion cannot be fetched.
    DataError
        If a file cannot be read.
    """
    settings, roles = comparison_settings(project), project.params.data
    Dvc(project).pull_data()
    known = read_tracked(project)
    arrival = read_new_rows(project, known)
    if not arrival.counts.read:
        return DriftResult(passed=False, reasons=(NO_NEW_DATA,), verdict="insufficient_data", arrival=arrival.counts)
    # The labels that arrive first are not representative: the target is compared once all labels are there.
    waiting = [roles.target] if arrival.counts.waiting else []
    fresh = arrival.rows.drop(columns=waiting, errors="ignore")
    reference, champion = load_champion_context(project, known)
    result, columns = _measure(reference, fresh, settings, roles.time, roles.target, champion)
    return write_reports(project.reports, result.replace(arrival=arrival.counts), columns)


def comparison_settings(project: Project) -> DriftSettings:
    """Return the drift settings with id columns ignored, and the entity of the split as default entity."""
    settings, split = project.settings.drift, project.params.split
    ignored = (*settings.ignore, *project.settings.sources.id)
    entity = settings.entity or (split.entity if split.by == "hash" else ())
    return settings.model_copy(update={"entity": entity, "ignore": ignored})


def load_champion_context(project: Project, known: pd.DataFrame) -> tuple[pd.DataFrame, ChampionContext]:
    """Return the champion's training rows and context; without a champion all tracked rows.

    Raises
    ------
    InconclusiveError
        If the tracked data has no row that the champion was trained on.
    """
    if not (project.pipeline_dir / "champion.dvc").is_file():
        return known, NO_CHAMPION
    model = load_project_model(project, pull_champion(project))
    return build_champion_context(model, known, project.params, project.settings.drift.min_rows)


def build_champion_context(
    model: TracedPredictor, known: pd.DataFrame, params: Params, min_rows: int
) -> tuple[pd.DataFrame, ChampionContext]:
    """Return the rows that a model was trained on, and its context for drift.

    Parameters
    ----------
    model : TracedPredictor
    known : DataFrame of shape (n_known, n_columns)
    params : Params
    min_rows : int
        Minimum number of rows outside its training data for a comparison of its predictions.

    Raises
    ------
    InconclusiveError
        If it was trained on none of them.
    """
    trained = trained_rows_mask(known, model)
    reference = known[trained]
    others = known[~trained | model.held_out.contains(identity_hashes(known))]
    if len(others) < min_rows:
        others = others.head(0)
    try:
        weights = permutation_importance(model, reference, params)
    except Exception:  # user code may raise anything; importance is optional for the decision
        logger.warning("column importance could not be measured; all columns have equal weight", exc_info=True)
        weights = {}
    return reference, ChampionContext(weights, model, others)


def drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    settings: DriftSettings,
    time: str = "",
    target: str | None = None,
    champion: ChampionContext = NO_CHAMPION,
) -> DriftResult:
    """Decide whether current data has drifted from the reference.

    Parameters
    ----------
    reference, current : DataFrame of shape (n_rows, n_columns)
        `current` may be without the target.
    settings : DriftSettings
        Thresholds; with a time column only the last ``window_days`` of `current` are compared.
    time : str
        Time column that gives the order and is not compared; if empty, rows are assumed to be in order of arrival.
    target : str, optional
        Column to predict; if it drifts, it is listed first.
    champion : ChampionContext, optional
        Context from the champion; by default unknown, so that all columns have equal weight.

    Raises
    ------
    ConfigError
        If no column is left to compare, or a column of `settings.entity` is not in the reference.
    DataError
        If a time is missing.
    """
    return _measure(reference, current, settings, time, target, champion)[0]


def schema_differences(
    reference: pd.DataFrame, current: pd.DataFrame, settings: DriftSettings, time: str, target: str | None
) -> tuple[str, ...]:
    """Return why two tables cannot be compared, one sentence per column; empty if they can."""
    ignored = _ignored(settings, time)
    reference, current = (frame.drop(columns=ignored, errors="ignore") for frame in (reference, current))
    return tuple(map(_describe_problem, schema_problems(reference, current, time, target)))


def _ignored(settings: DriftSettings, time: str) -> list[str]:
    return [name for name in settings.ignore if name != time and name not in settings.entity]


def _describe_problem(problem: ColumnProblem) -> str:
    return f"column {problem.name!r}: {_PROBLEMS[problem.status]}"


def _measure(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    settings: DriftSettings,
    time: str,
    target: str | None,
    champion: ChampionContext = NO_CHAMPION,
) -> tuple[DriftResult, list[Pair]]:
    """Return the result and the compared columns; no columns if nothing was compared."""
    ignored = _ignored(settings, time)
    reference, current = (frame.drop(columns=ignored, errors="ignore") for frame in (reference, current))
    problems = tuple(schema_problems(reference, current, time, target))
    if problems:
        message = tuple(map(_describe_problem, problems))
        return DriftResult(
            passed=False, verdict="structural", reasons=message, columns=problems, new_rows=len(current)
        ), []
    past, window = (
        _one_row_per_entity(side, settings.entity) for side in (reference, recent(current, time, settings.window_days))
    )
    past = _in_order(past, time)
    about: dict[str, Any] = {
        "rows": len(window),
        "new_rows": len(current),
        "window": TimeRange(**_period(window, time)),
        "reference": ReferenceRows(rows=len(past), **_period(past, time)),
    }
    if min(len(window), len(past)) < settings.min_rows:
        few = f"{len(window)} current and {len(past)} reference rows; at least {settings.min_rows} are needed"
        if len(window) < settings.min_rows <= len(current):
            few += f"; {len(current):,} rows are new, and those of {settings.window_days} days are compared (drift.window_days)"
        return DriftResult(passed=False, verdict="insufficient_data", reasons=(few,), **about), []
    columns = list(pairs(past, window, _comparable_columns(past, window, {time, *settings.entity}), target))
    entities = [] if settings.entity else find_entities(columns)
    columns = with_groups(columns, entities)
    about["entity"] = entities[0].names if entities else ()
    predicted, silence = _prediction_column(champion, window, ignored)
    columns += [_with_row_groups(one, entities, champion.unseen, window) for one in predicted]
    found = list(_drift_by_column(columns, settings, champion, timestamps(window, time) if time else None))
    verdict = _verdict(found)
    reasons = (*map(_describe_entity, entities[:1]), *silence, *_reasons(found))
    return DriftResult(
        passed=verdict != "drift", verdict=verdict, reasons=reasons, columns=tuple(found), **about
    ), columns


def _one_row_per_entity(frame: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    missing = [name for name in group if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"the entity column {missing[0]!r} is not in the data",
            where="titlebout.toml: drift.entity",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="correct the name, or remove it from the list",
        )
    return one_per_group(frame, group) if group else frame


def _describe_entity(entity: Entity) -> str:
    names = " and ".join(repr(name) for name in entity.names)
    return (
        f"rows with the same {names} depend on each other (about {format_number(entity.rows_each)} rows each), and almost all "
        "of its values are new, as those of an entity: the rows do not count as independent, and names and counters are not "
        "compared; set drift.entity if this is right, and drift.ignore if not"
    )


def _comparable_columns(reference: pd.DataFrame, current: pd.DataFrame, apart: set[str]) -> list[str]:
    names = [name for name in reference.columns if name not in apart and name in current.columns]
    if not names:
        raise ConfigError(
            "no column is left to compare", where="titlebout.toml: drift.ignore", fix="ignore fewer columns"
        )
    return names


def _prediction_column(
    champion: ChampionContext, window: pd.DataFrame, ignored: Sequence[str]
) -> tuple[list[Pair], list[str]]:
    """Return the champion's predictions as one more column, or why they are missing."""
    if PREDICTION in window.columns or PREDICTION in ignored:
        return [], []
    try:
        found = champion.prediction(window)
    except Exception as error:  # user code may raise anything; predictions are optional for the decision
        logger.debug("the champion could not predict current rows", exc_info=True)
        why = f"{type(error).__name__}: {truncate(str(error), 200)}"
        return [], [f"the champion's predictions were not compared: {why}"]
    return ([found] if found else []), []


def _with_row_groups(column: Pair, entities: Sequence[Entity], reference: pd.DataFrame, current: pd.DataFrame) -> Pair:
    """Return a column of other reference rows with the groups of these rows."""
    rows = pd.concat([reference, current], ignore_index=True)
    codes: list[Counts] = [
        rows.groupby(list(entity.names), sort=False, dropna=False).ngroup().to_numpy().astype(np.int64)
        for entity in entities
        if set(entity.names) <= set(reference.columns)
    ]
    return replace(column, groups=tuple((one[: len(reference)], one[len(reference) :]) for one in codes))


def _drift_by_column(
    columns: Sequence[Pair], settings: DriftSettings, champion: ChampionContext, stamps: "pd.Series[Any] | None"
) -> Iterator[ColumnDrift]:
    """Yield the result of the rule for every column, worst first, with its importance and change point."""
    found = compare(columns, settings, in_time=stamps is not None)
    if settings.domain_classifier:
        found.append(two_sample_classifier(columns))
    by_name = {column.name: column for column in columns}
    for record in sorted(found, key=lambda one: (STATUSES.index(one.status), _ROLES.index(one.role))):
        weight = champion.importance.get(record.name) if record.role == "input" else None
        since = ""
        if stamps is not None and record.status != "stable" and record.name in by_name:
            since = stamps.iloc[find_change_point(by_name[record.name])].isoformat()
        decides = weight is None or weight >= settings.min_importance
        yield record.replace(importance=weight, decides=decides, since=since)


def _verdict(columns: Sequence[ColumnDrift]) -> Verdict:
    """Return the worst status; columns of low importance are at most suspect."""
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
    """Yield one sentence per column that differs, and one with the number of stable columns."""
    differing = [column for column in columns if column.status != "stable"]
    for column in differing:
        seen = "differs in both halves of the window" if column.status == "drift" else "differs, not confirmed yet"
        weight = "" if column.decides else "; its importance for the champion is too low to trigger a retraining"
        yield f"{_column_name(column)} {seen}{_since(column)}: {_difference(column)}{weight}"
    yield f"{len(columns) - len(differing)} of {len(columns)} columns are stable"


def _column_name(column: ColumnDrift) -> str:
    if column.role in {"prediction", "joint"}:
        return f"the {column.name}" if column.role == "prediction" else column.name
    return f"{'label' if column.role == 'target' else 'column'} {column.name!r}"


def _since(column: ColumnDrift) -> str:
    return f", since {column.since[:10]}" if column.since else ""


def _difference(column: ColumnDrift) -> str:
    parts = [
        f"{aspect.name}: {aspect.method} distance {format_number(aspect.effect)} (threshold {format_number(aspect.threshold)})"
        for aspect in column.aspects
        if aspect.status != "stable"
    ]
    if column.effect >= column.threshold:
        unit = "" if column.role == "joint" else " distance"
        parts.append(
            f"{column.method}{unit} {format_number(column.effect)} (threshold {format_number(column.threshold)})"
        )
    if abs(column.null_delta) >= column.null_threshold:
        direction = "more" if column.null_delta > 0 else "fewer"
        parts.append(f"{format_number(100 * abs(column.null_delta))} percentage points {direction} missing values")
    return ", ".join(parts) or "in the newer half"
