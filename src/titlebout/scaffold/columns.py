"""What each column of somebody's table is for: the target, the time, what identifies a row, what a model can learn from."""

import re
from pathlib import Path

import pandas as pd

from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.core.results import Record
from titlebout.data.columns import Column, column_kind
from titlebout.data.tables import read_table

MOST_CLASSES = 50  # a number with more distinct values than this is not a class
MOST_WORDS = 0.5  # a text column with more distinct values per row than this says who a row is, not what it is like
HOLDOUT_DAYS = 14
HOLDOUT_SHARE = 5  # the holdout is at most a fifth of the time that the table spans
_ID_NAME = re.compile(r"(^|_)(id|key|uuid|guid|index|rowid|number|no|nr)$|^id_|[a-z]I[dD]$")


class Roles(Record):
    """The columns of a table by what they are for.

    Attributes
    ----------
    task : {"classification", "regression"}
    target : str
    time : str
        Column that orders the rows; empty when there is none.
    drop, numeric, categorical : tuple of str
        Columns the model must not see, and the two kinds it learns from.
    holdout_days : int
        Length of the holdout; 0 without a time column.
    notes : tuple of str
        What was decided, as sentences for the owner of the table.
    """

    task: str
    target: str
    time: str
    drop: tuple[str, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    holdout_days: int
    notes: tuple[str, ...]


def read_roles(path: Path, target: str, task: str | None = None) -> tuple[pd.DataFrame, Roles]:
    """Read a table and find out what its columns are for.

    Parameters
    ----------
    path : Path
        CSV, parquet or JSONL file.
    target : str
        Column to predict.
    task : {"classification", "regression"} or None
        None is told by the target: text, booleans and few whole numbers are classes.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
    Roles

    Raises
    ------
    NotFoundError
        If there is no such file, or it has no such column.
    DataError
        If the file cannot be read, a column is empty, or the target has missing values.
    ConfigError
        If the target does not suit the task.
    InconclusiveError
        If there is only one class or value, or nothing to learn from.
    """
    frame = read_table(path)
    _require_filled(frame, path, target)
    task = _require_task(frame[target], task)
    time = _time_column(frame, target)
    features = [name for name in frame.columns if name not in (target, time)]
    drop = {name: why for name in features if (why := _useless(frame[name]))}
    kept = [name for name in features if name not in drop]
    if not kept:
        raise InconclusiveError(
            "no column is left to learn from", where=str(path), fix="add columns that say something about each row"
        )
    categorical = tuple(name for name in kept if column_kind(frame[name]) == "text")
    days = _holdout_days(frame[time]) if time else 0
    roles = Roles(
        task=task,
        target=target,
        time=time if days else "",
        drop=(*([time] if time and not days else []), *drop),
        numeric=tuple(name for name in kept if name not in categorical),
        categorical=categorical,
        holdout_days=days,
        notes=(),
    )
    return frame, _with_notes(roles, len(frame), drop)


def _require_filled(frame: pd.DataFrame, path: Path, target: str) -> None:
    if target not in frame.columns:
        raise NotFoundError(
            f"there is no column {target!r}",
            where=str(path),
            why=f"the table has: {', '.join(map(str, frame.columns))}",
            fix="name the column to predict with --target",
        )
    empty = [str(name) for name in frame.columns if frame[name].isna().all()]
    if empty:
        raise DataError(
            f"column {empty[0]!r} has no values at all", where=str(path), fix="remove the column, or fill it"
        )
    missing = int(frame[target].isna().sum())
    if missing:
        row = int(frame[target].isna().to_numpy().argmax())
        raise DataError(
            f"the target {target!r} has {missing} missing values",
            where=f"{path}, row {row}",
            fix="leave rows without a label out",
        )


def _require_task(target: Column, task: str | None) -> str:
    distinct = target.nunique()
    if distinct < 2:
        raise InconclusiveError(
            f"the target {target.name!r} is always {str(target.iloc[0])!r}",
            fix="add rows with other values: there is nothing to learn yet",
        )
    kind = column_kind(target)
    if kind == "datetime":
        raise ConfigError(f"the target {target.name!r} is a time", fix="name a number or a class with --target")
    many = distinct > MOST_CLASSES
    if task is None:
        return "regression" if kind == "number" or (kind == "integer" and many) else "classification"
    if task == "regression" and kind in {"text", "boolean"}:
        raise ConfigError(
            f"the target {target.name!r} is {kind}, which cannot be predicted as a number",
            fix="use --task classification, or name another target",
        )
    if task == "classification" and many:
        raise ConfigError(
            f"the target {target.name!r} has {distinct} distinct values, more than {MOST_CLASSES} classes",
            fix="use --task regression, or name another target",
        )
    return task


def _time_column(frame: pd.DataFrame, target: str) -> str:
    """Return the first column that holds a time in every row; empty when there is none."""
    for name in frame.columns:
        if name != target and column_kind(frame[name]) == "datetime" and frame[name].notna().all():
            return str(name)
    return ""


def _holdout_days(column: Column) -> int:
    """Return how many days to hold out; 0 when the table spans too little time for that."""
    stamps = pd.to_datetime(column, utc=True)
    return int(min(HOLDOUT_DAYS, (stamps.max() - stamps.min()).days // HOLDOUT_SHARE))


def _useless(column: Column) -> str:
    """Return why a model cannot learn from a column; empty when it can."""
    kind, distinct, rows = column_kind(column), column.nunique(), len(column)
    if kind == "datetime":
        return "it is a time"
    if distinct == 1 and column.notna().all():
        return "it is the same in every row"
    if kind == "text" and distinct > MOST_WORDS * rows:
        return "nearly every row has its own value"
    if kind == "integer" and distinct == rows and (_ID_NAME.search(str(column.name)) or _counts_rows(column)):
        return "it numbers the rows"
    return ""


def _counts_rows(column: Column) -> bool:
    return len(column) > 2 and bool((column.diff().iloc[1:] == 1).all())


def _with_notes(roles: Roles, rows: int, drop: dict[str, str]) -> Roles:
    split = (
        f"rows are ordered by {roles.time!r}, and the newest {roles.holdout_days} days decide the bout"
        if roles.time
        else "there is no time to order the rows by, so a fifth of them, chosen by their content, decides the bout"
    )
    learned = f"{len(roles.numeric)} numeric and {len(roles.categorical)} text columns are learned from"
    left_out = [f"{name!r} is left out: {why}" for name, why in drop.items()]
    notes = (f"{rows} rows, {roles.task} of {roles.target!r}", split, learned, *left_out)
    return roles.replace(notes=notes)
