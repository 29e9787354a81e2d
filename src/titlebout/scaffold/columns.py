"""Infer the role of each column of a table: target, time, id columns and features."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from titlebout.core.arrays import IntArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.core.results import Record
from titlebout.data.columns import Column, column_kind
from titlebout.data.identity import has_equal_rows
from titlebout.data.plausible import MISSING, implausible_tracked
from titlebout.data.schema import MISSING_WORDS, RawTable, Schema, infer_schema, is_nested, matching, read_as
from titlebout.data.tables import read_raw, require_rows
from titlebout.data.times import parse_format, text_formats
from titlebout.scaffold.readings import reading_notes, text_reason
from titlebout.scaffold.time_column import TimeCandidate, time_candidates
from titlebout.settings.column_type import ColumnType
from titlebout.settings.gate import GateSettings

MAX_CLASSES, MAX_CODES = 50, 20  # most classes, and most of them if they are whole numbers and the task is not given
MAX_DISTINCT_SHARE = 0.5  # a text column with more distinct values per row identifies rows instead of describing them
HOLDOUT_DAYS = 14
HOLDOUT_ROWS = 2000  # enough to show a moderate gain; fewer only if they are more than a fifth of the time span
HOLDOUT_SHARE = 5  # the holdout is at most one fifth of the time span of the table
RESERVE = 1.25  # rows in a holdout, per row that the gate needs: some labels arrive late
MOST_HELD_OUT = 2 / 3  # of the rows, where the gate needs more of them
LARGEST_SHARE, LONGEST_DAYS = 0.8, 36_500  # of the rows, and of days, in a holdout; more are no newest days
NO_TIME = "none"
_ID_NAME = re.compile(r"(^|_)(id|key|uuid|guid|index|rowid|number|no|nr)$|^id_|[a-z]I[dD]$")


class ColumnRoles(Record):
    """The columns of a table by role.

    Attributes
    ----------
    task : {"classification", "regression"}
        Prediction task.
    target : str
        Column to predict.
    time : str
        Time column; empty if the data has no time column.
    drop, numeric, categorical : tuple of str
        Columns hidden from the model, numeric features, and categorical features.
    holdout_days : int
        Length of the holdout; 0 without a time column.
    types : dict of str to str
        Type of each column, to be recorded in params.yaml.
    rivals : tuple of str
        Other columns whose times could order the rows.
    notes : tuple of str
        Sentences for the user about each decision.
    is_order_clear : bool
        False if several columns could order the rows, or the times of the only one do not advance with them.
    """

    task: str
    target: str
    time: str
    drop: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    holdout_days: int
    types: Mapping[str, str]
    rivals: tuple[str, ...]
    notes: tuple[str, ...]
    is_order_clear: bool = True


@dataclass(frozen=True)
class Choices:
    """What the user says about a table; everything else is inferred.

    Attributes
    ----------
    target : str
        Column to predict.
    task : {"classification", "regression"} or None
        None: inferred from the target; text, booleans and integers with few distinct values are classes.
    time : str or None
        Column whose times order the rows; ``none`` for no such column; None: inferred.
    types : mapping of str to ColumnType
        Types of columns.
    """

    target: str
    task: str | None = None
    time: str | None = None
    types: Mapping[str, ColumnType] = field(default_factory=dict)


def infer_column_roles(path: Path, given: Choices) -> tuple[pd.DataFrame, ColumnRoles]:
    """Read a table and infer the types and roles of its columns.

    Parameters
    ----------
    path : Path
        File with one row per example.
    given : Choices
        What is not inferred.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        All rows, each value as the type of its column.
    ColumnRoles

    Raises
    ------
    NotFoundError
        If the file, or a column of `given`, does not exist.
    DataError
        If the file cannot be read, or the target has missing values, lists or objects.
    ConfigError
        If the target does not fit the task, or the days and months of a date cannot be distinguished.
    InconclusiveError
        If the target is constant, or no features are left.
    """
    _require_file(path)
    raw = read_raw(path)
    require_rows([raw])
    _require_columns(raw.frame, path, given)
    schema = infer_schema([raw], Schema(given.types))
    schema = Schema({**schema.types, **_dates_by_order(raw, schema)})
    frame = read_as(raw, schema)
    _require_single(raw, path, given.target)
    _require_filled(frame, path, given.target)
    _require_no_id(frame[given.target])
    task = _require_task(frame[given.target], given.task)
    candidates = time_candidates(frame, given.target)
    time = _time_column(frame, given, candidates)
    others = [name for name in frame.columns if name not in (given.target, time)]
    nested = {name for name in others if matching(raw.frame[name], is_nested).any()}
    drop = {name: why for name in others if (why := _drop_reason(frame[name], nested=name in nested))}
    features = [name for name in others if name not in drop]
    if not features:
        raise InconclusiveError(
            "no features are left",
            where=str(path),
            why="; ".join(f"{name!r}: {why}" for name, why in drop.items()) or "the table has no other columns",
            fix="add columns that describe each row",
        )
    categorical = tuple(name for name in features if column_kind(frame[name]) == "text")
    days = _holdout_days(frame[time]) if time else 0
    if time and not days:
        drop = {
            time: "it is a time, but its newest days cannot be held out: there are too few days, or most rows are in them",
            **drop,
        }
    roles = ColumnRoles(
        task=task,
        target=given.target,
        time=time if days else "",
        drop=tuple(drop),
        numeric=tuple(name for name in features if name not in categorical),
        categorical=categorical,
        holdout_days=days,
        types={name: str(schema.types[name]) for name in frame.columns},
        rivals=tuple(one.name for one in candidates if one.name != time),
        notes=(),
        is_order_clear=not candidates or (len(candidates) == 1 and candidates[0].advances),
    )
    notes = (
        *raw.notes,
        *_notes(frame, roles, candidates, drop),
        *reading_notes(raw.frame, frame, given.target, roles.numeric),
    )
    return frame, roles.replace(notes=notes)


def _require_columns(frame: pd.DataFrame, path: Path, given: Choices) -> None:
    named = {"--target": given.target, "--time": given.time if given.time not in {None, NO_TIME} else given.target}
    named |= {f"--type {name}=...": name for name in given.types}
    for option, name in named.items():
        if name not in frame.columns:
            raise NotFoundError(
                f"column {name!r} does not exist",
                where=str(path),
                why=f"the table has: {', '.join(repr(str(one)) for one in frame.columns)}",
                fix=f"correct {option}",
            )


def _dates_by_order(raw: RawTable, schema: Schema) -> dict[str, ColumnType]:
    """Return the types of columns of dates whose days and months only the order of the rows distinguishes.

    Raises
    ------
    ConfigError
        If the order of the rows does not decide either.
    """
    found, empty = {}, {"", *MISSING_WORDS}
    for name in raw.frame.columns:
        if schema.types[name] != ColumnType("text"):
            continue
        forms = text_formats(
            raw.frame[name][matching(raw.frame[name], lambda value: isinstance(value, str) and value not in empty)]
        )
        if len(forms) < 2:
            continue
        dates = pd.DataFrame({form: parse_format(raw.frame[name], form) for form in forms})
        advancing = [one.name for one in time_candidates(dates, "") if one.advances]
        if len(advancing) != 1:
            raise ConfigError(
                f"the dates of column {name!r} can be read in {len(forms)} ways: {', '.join(forms)}",
                where=raw.where,
                why="no day is greater than 12, and the order of the rows does not decide",
                fix=f"add --type '{name}=datetime {forms[0]}' or --type '{name}=datetime {forms[1]}'",
            )
        found[name] = ColumnType("datetime", advancing[0])
    return found


def _require_single(raw: RawTable, path: Path, target: str) -> None:
    nested = matching(raw.frame[target], is_nested)
    if nested.any():
        raise DataError(
            f"the target {target!r} has a list or an object in {int(nested.sum()):,} of {len(nested):,} rows",
            where=f"{path}, first in row {int(nested.argmax())}",
            why="a model predicts one number or one class for each row",
            fix="export one column for each label, and name one of them",
        )


def _require_filled(frame: pd.DataFrame, path: Path, target: str) -> None:
    if frame[target].isna().all():
        raise DataError(f"the target {target!r} has no values", where=str(path), fix="fill it, or name another column")
    for name in frame.select_dtypes("float64").columns:
        infinite = np.flatnonzero(np.isinf(frame[name].to_numpy()))
        if len(infinite):
            raise DataError(
                f"column {str(name)!r} has {len(infinite):,} infinite {'value' if len(infinite) == 1 else 'values'}",
                where=f"{path}, first in row {infinite[0]}",
                why="no model accepts infinite values",
                fix="leave these fields empty, or replace the values in the job that exports the table",
            )
    missing = int(frame[target].isna().sum())
    if missing:
        row = int(frame[target].isna().to_numpy().argmax())
        raise DataError(
            f"the target {target!r} has {missing} missing values",
            where=f"{path}, row {row}",
            fix="remove rows without a label",
        )


def _require_task(target: Column, task: str | None) -> str:
    n_distinct = target.nunique()
    if n_distinct < 2:
        raise InconclusiveError(
            f"the target {target.name!r} is always {str(target.iloc[0])!r}",
            why="a model cannot learn from a constant target",
            fix="add rows with other values",
        )
    kind = column_kind(target)
    if kind == "datetime":
        raise ConfigError(
            f"the target {target.name!r} is a time column",
            fix=f"set --target to a column of numbers or classes; if these are classes, add --type '{target.name}=text'",
        )
    if task is None:
        task = "regression" if kind in {"integer", "number"} and not _are_codes(target) else "classification"
    if task == "regression" and kind in {"text", "boolean"}:
        raise ConfigError(
            f"the target {target.name!r} is {kind}, which cannot be predicted as a number",
            why=text_reason(target),
            fix="use --task classification, or name a different target",
        )
    if task == "classification" and n_distinct > MAX_CLASSES:
        raise ConfigError(
            f"the target {target.name!r} has {n_distinct} distinct values, but classification supports at most {MAX_CLASSES}",
            why=text_reason(target),
            fix="use --task regression, or name a different target",
        )
    return task


def _are_codes(target: Column) -> bool:
    """Return whether whole numbers are codes of classes: two of them, or a few that follow each other, such as 1 to 5."""
    n_distinct, whole = target.nunique(), bool((target % 1 == 0).all())
    return whole and (n_distinct == 2 or (n_distinct <= MAX_CODES and target.max() - target.min() + 1 == n_distinct))


def _time_column(frame: pd.DataFrame, given: Choices, candidates: Sequence[TimeCandidate]) -> str:
    """Return the column whose times order the rows; an empty string if there is none.

    Raises
    ------
    ConfigError
        If the column that the user named is not one of times.
    """
    if given.time is None:
        return candidates[0].name if candidates else ""
    if given.time == NO_TIME:
        return ""
    column = frame[given.time]
    if column_kind(column) != "datetime" or column.isna().mean() > MISSING:
        raise ConfigError(
            f"column {given.time!r} does not have a time in nearly every row",
            why=text_reason(column)
            or f"its type is {column_kind(column)}, with {int(column.isna().sum())} missing values",
            fix="name another column with --time, or give its type, for example --type 'day=datetime %d/%m/%Y'",
        )
    return given.time


def _require_file(path: Path) -> None:
    """Require the table.

    Raises
    ------
    NotFoundError
        If there is no such file.
    """
    if not path.exists() and not path.is_symlink():
        raise NotFoundError(f"{path.name} does not exist", where=str(path.absolute()), fix="correct the path of --data")


def _holdout_days(column: Column) -> int:
    """Return how many days to hold out; 0 if the time span of the table is too short.

    At least two weeks and `HOLDOUT_ROWS`, but at most a fifth of the time span, or more of it if the gate needs more rows, up to
    two thirds of the rows.
    """
    stamps = column[~implausible_tracked(column)]
    ages = np.sort(np.asarray((stamps.max() - stamps).dt.days, dtype=np.int64))
    days = min(max(HOLDOUT_DAYS, _newest_days(ages, HOLDOUT_ROWS)), int(ages[-1]) // HOLDOUT_SHARE)
    enough = _newest_days(ages, round(RESERVE * GateSettings().min_rows))
    days = max(days, min(enough, _newest_days(ages, round(MOST_HELD_OUT * len(ages))))) if days else 0
    return days if days <= LONGEST_DAYS and (ages < days).mean() <= LARGEST_SHARE else 0


def _newest_days(ages: IntArray, rows: int) -> int:
    """Return how many days contain the newest `rows` rows, given the sorted ages of all rows in days."""
    return int(ages[min(rows, len(ages)) - 1]) + 1


def _drop_reason(column: Column, *, nested: bool) -> str:
    """Return why a column is not a feature; empty if it is one."""
    kind, n_distinct, rows = column_kind(column), column.nunique(), len(column)
    if nested:
        return "its values are lists or objects"
    if kind == "datetime":
        gaps = int(column.isna().sum())
        missing = f" with {gaps:,} missing {'value' if gaps == 1 else 'values'}" if gaps else ""
        return f"it is a time{missing}"
    if n_distinct == 0 or (n_distinct == 1 and column.notna().all()):
        return "it has the same value in every row" if n_distinct else "it has no values"
    if kind == "text" and n_distinct > MAX_DISTINCT_SHARE * rows:
        return "its values are almost unique"
    if kind == "integer" and n_distinct == rows and _is_id(column):
        return "it is a row number or an id"
    return ""


def _require_no_id(target: Column) -> None:
    """Require a target that can be learned.

    Raises
    ------
    ConfigError
        If it numbers the rows, or is an id.
    """
    if column_kind(target) == "integer" and target.nunique() == len(target) and _is_id(target):
        raise ConfigError(
            f"the target {target.name!r} is a row number or an id",
            why="its values are whole numbers, a different one in every row, so there is nothing to learn",
            fix="name the column to predict with --target",
        )


def _is_id(column: Column) -> bool:
    return bool(_ID_NAME.search(str(column.name))) or _is_row_number(column)


def _is_row_number(column: Column) -> bool:
    return len(column) > 2 and bool((column.diff().iloc[1:] == 1).all())


def _notes(
    frame: pd.DataFrame, roles: ColumnRoles, candidates: Sequence[TimeCandidate], drop: dict[str, str]
) -> Iterator[str]:
    aside = int(implausible_tracked(frame[roles.time]).sum()) if roles.time else 0
    used = (
        f", {len(frame) - aside:,} used and {aside:,} set aside: their time is missing or cannot be right"
        if aside
        else ", all used"
    )
    other = "regression" if roles.task == "classification" else "classification"
    numbers = column_kind(frame[roles.target]) in {"integer", "number"}
    is_open = numbers and 2 < frame[roles.target].nunique() <= MAX_CLASSES
    instead = f"; for {other} instead, add --task {other}" if is_open else ""
    yield f"{len(frame):,} rows{used}; {roles.task} of {roles.target!r}{instead}"
    if roles.time:
        yield f"rows are ordered by {roles.time!r}; the newest {roles.holdout_days} days are the holdout"
        if roles.rivals:
            yield _rivals_note(roles, candidates)
        elif not candidates[0].advances:
            yield (
                f"the times of {roles.time!r} do not advance with the rows: if they do not say when a row came, such as a date of "
                "birth, add --time none, or every later row may be too late"
            )
    else:
        yield "no usable time column was found, so rows are held out by their hash"
    if not roles.time and has_equal_rows(frame):
        yield (
            "equal rows are common and there is neither an id nor a time: rows that arrive are counted, and a row that "
            "arrives twice counts twice; if the table has an id, name it in sources.id in titlebout.toml"
        )
    yield f"{len(roles.numeric)} numeric and {len(roles.categorical)} text columns are features"
    yield from (f"{name!r} is left out: {why}" for name, why in drop.items())


def _rivals_note(roles: ColumnRoles, candidates: Sequence[TimeCandidate]) -> str:
    described = {
        one.name: f"{one.name!r} ({'advances' if one.advances else 'does not advance'} with the rows)"
        for one in candidates
    }
    others = ", ".join(described[name] for name in roles.rivals)
    return f"{described[roles.time]} was chosen over {others}; to change it, use --time"
