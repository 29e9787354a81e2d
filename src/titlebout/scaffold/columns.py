"""Infer the role of each column of a table: target, time, id columns and features."""

import re
from pathlib import Path

import pandas as pd

from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.core.results import Record
from titlebout.data.columns import Column, column_kind
from titlebout.data.tables import read_table

MAX_CLASSES = 50  # an integer target with more distinct values is a regression target
MAX_DISTINCT_SHARE = 0.5  # a text column with more distinct values per row identifies rows instead of describing them
HOLDOUT_DAYS = 14
HOLDOUT_SHARE = 5  # the holdout is at most one fifth of the time span of the table
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
    notes : tuple of str
        Sentences for the user about each decision.
    """

    task: str
    target: str
    time: str
    drop: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    holdout_days: int
    notes: tuple[str, ...]


def infer_column_roles(path: Path, target: str, task: str | None = None) -> tuple[pd.DataFrame, ColumnRoles]:
    """Read a table and infer the roles of its columns.

    Parameters
    ----------
    path : Path
        CSV, Parquet or JSONL file.
    target : str
        Column to predict.
    task : {"classification", "regression"} or None
        None: inferred from the target; text, booleans and integers with few distinct values are classes.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
    ColumnRoles

    Raises
    ------
    NotFoundError
        If the file, or the target column, does not exist.
    DataError
        If the file cannot be read, a column is empty, or the target has missing values.
    ConfigError
        If the target does not fit the task.
    InconclusiveError
        If the target is constant, or no features are left.
    """
    frame = read_table(path)
    _require_filled(frame, path, target)
    task = _require_task(frame[target], task)
    time = _time_column(frame, target)
    candidates = [name for name in frame.columns if name not in (target, time)]
    drop = {name: why for name in candidates if (why := _drop_reason(frame[name]))}
    features = [name for name in candidates if name not in drop]
    if not features:
        raise InconclusiveError(
            "no features are left",
            where=str(path),
            why="; ".join(f"{name!r}: {why}" for name, why in drop.items()) or "the table has no other columns",
            fix="add columns that describe each row",
        )
    categorical = tuple(name for name in features if column_kind(frame[name]) == "text")
    days = _holdout_days(frame[time]) if time else 0
    roles = ColumnRoles(
        task=task,
        target=target,
        time=time if days else "",
        drop=(*([time] if time and not days else []), *drop),
        numeric=tuple(name for name in features if name not in categorical),
        categorical=categorical,
        holdout_days=days,
        notes=(),
    )
    return frame, _with_notes(roles, len(frame), drop)


def _require_filled(frame: pd.DataFrame, path: Path, target: str) -> None:
    if target not in frame.columns:
        raise NotFoundError(
            f"column {target!r} does not exist",
            where=str(path),
            why=f"the table has: {', '.join(map(str, frame.columns))}",
            fix="set --target to the column to predict",
        )
    empty = [str(name) for name in frame.columns if frame[name].isna().all()]
    if empty:
        raise DataError(f"column {empty[0]!r} has no values", where=str(path), fix="remove the column, or fill it")
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
            f"the target {target.name!r} is a time column", fix="set --target to a column of numbers or classes"
        )
    too_many_classes = n_distinct > MAX_CLASSES
    if task is None:
        return "regression" if kind == "number" or (kind == "integer" and too_many_classes) else "classification"
    if task == "regression" and kind in {"text", "boolean"}:
        raise ConfigError(
            f"the target {target.name!r} is {kind}, which cannot be predicted as a number",
            fix="use --task classification, or name a different target",
        )
    if task == "classification" and too_many_classes:
        raise ConfigError(
            f"the target {target.name!r} has {n_distinct} distinct values, but classification supports at most {MAX_CLASSES}",
            fix="use --task regression, or name a different target",
        )
    return task


def _time_column(frame: pd.DataFrame, target: str) -> str:
    """Return the first column that has a time in every row, or an empty string."""
    for name in frame.columns:
        if name != target and column_kind(frame[name]) == "datetime" and frame[name].notna().all():
            return str(name)
    return ""


def _holdout_days(column: Column) -> int:
    """Return how many days to hold out; 0 if the time span of the table is too short."""
    stamps = pd.to_datetime(column, utc=True)
    return int(min(HOLDOUT_DAYS, (stamps.max() - stamps.min()).days // HOLDOUT_SHARE))


def _drop_reason(column: Column) -> str:
    """Return why a column is not a feature; empty if it is one."""
    kind, n_distinct, rows = column_kind(column), column.nunique(), len(column)
    if kind == "datetime":
        return "it is a time"
    if n_distinct == 1 and column.notna().all():
        return "it has the same value in every row"
    if kind == "text" and n_distinct > MAX_DISTINCT_SHARE * rows:
        return "its values are almost unique"
    if kind == "integer" and n_distinct == rows and (_ID_NAME.search(str(column.name)) or _is_row_number(column)):
        return "it is a row number or an id"
    return ""


def _is_row_number(column: Column) -> bool:
    return len(column) > 2 and bool((column.diff().iloc[1:] == 1).all())


def _with_notes(roles: ColumnRoles, rows: int, drop: dict[str, str]) -> ColumnRoles:
    split_note = (
        f"rows are ordered by {roles.time!r}; the newest {roles.holdout_days} days are the holdout"
        if roles.time
        else "no usable time column was found, so the holdout is a fifth of the rows, selected by their hash"
    )
    features_note = f"{len(roles.numeric)} numeric and {len(roles.categorical)} text columns are features"
    drop_notes = [f"{name!r} is left out: {why}" for name, why in drop.items()]
    notes = (f"{rows} rows, {roles.task} of {roles.target!r}", split_note, features_note, *drop_notes)
    return roles.replace(notes=notes)
