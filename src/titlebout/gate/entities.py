"""Entities of the holdout rows: named in the settings, or found because the values of a column repeat like identifiers."""

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError
from titlebout.data.columns import Column, column_kind, row_hashes
from titlebout.settings.params import Params

# A column is like an identifier if it has many values, most of which repeat, and few rows for each of them. Columns with
# fewer values or more rows a value, such as a category, describe rows instead of naming what they belong to.
MIN_ENTITIES, MAX_ROWS_EACH, MIN_SHARED = 30, 100, 0.5
BY_CHANCE = 0.05  # probability that a column is taken for an entity where rows are independent


def entities_of(
    holdout_rows: pd.DataFrame, params: Params, named: str, gains: FloatArray
) -> tuple[str, IntArray | None]:
    """Return the name of the entity and the entity of every row; an empty name and None if rows have none.

    Without a named entity, it is the identifier-like column within whose values the gains are most clearly correlated, if
    that is not chance.

    Parameters
    ----------
    holdout_rows : DataFrame of shape (n_rows, n_columns)
    params : Params
        Rows are split by the columns of ``split.entity``, which then are the entity if none is named.
    named : str
        Column named by the setting ``gate.entity``, or empty.
    gains : ndarray of shape (n_rows,)
        Difference of the losses of two models.

    Raises
    ------
    ConfigError
        If the named column does not exist.
    """
    if named:
        require_columns(holdout_rows, (named,), "gate.entity")
        return named, _numbers(holdout_rows[[named]])
    if params.split.entity:
        return ", ".join(params.split.entity), _numbers(holdout_rows[list(params.split.entity)])
    columns = [name for name in holdout_rows.columns if name not in {params.data.target, params.data.time}]
    found = {str(name): units for name in columns if (units := _identifiers(holdout_rows[name])) is not None}
    correlated = {name: clustering(gains, units) for name, units in found.items()}
    name = max(correlated, key=correlated.__getitem__, default="")
    return (name, found[name]) if name and correlated[name] > _critical(len(found)) else ("", None)


def clustering(gains: FloatArray, units: IntArray) -> float:
    """Return how clearly gains are correlated within units: standard normal for independent rows.

    The sum of the products of all pairs of rows of a unit, divided by the root of the sum of their squares.

    Parameters
    ----------
    gains : ndarray of shape (n_rows,)
    units : ndarray of shape (n_rows,), dtype int
        Numbers from 0.
    """
    left = gains - gains.mean()
    first, second, fourth = (np.bincount(units, weights=left**power) for power in (1, 2, 4))
    squares = float(np.sum(second**2 - fourth) / 2)
    return float(np.sum(first**2 - second) / 2 / np.sqrt(squares)) if squares > 0 else 0.0


def require_columns(holdout_rows: pd.DataFrame, names: tuple[str, ...], key: str) -> None:
    """Require columns that a setting names.

    Raises
    ------
    ConfigError
        If one does not exist.
    """
    missing = [name for name in names if name not in holdout_rows.columns]
    if missing:
        raise ConfigError(
            f"the data has no column {missing[0]!r}",
            where=f"titlebout.toml: {key}",
            why=f"it has: {', '.join(map(str, holdout_rows.columns))}",
            fix="correct the name, or remove it",
        )


def _identifiers(column: Column) -> IntArray | None:
    """Return the values of an identifier-like column as numbers; None for any other column.

    Every missing value is an entity of its own. Fractions are measurements.
    """
    present = column.notna().to_numpy()
    kind = column_kind(column)
    if kind not in {"text", "integer", "number"} or not present.any():
        return None
    if kind == "number" and (column[present].astype(np.float64) % 1 != 0).any():
        return None
    counts = column[present].value_counts()
    shared = int(counts[counts > 1].sum())
    if len(counts) < MIN_ENTITIES or counts.mean() > MAX_ROWS_EACH or shared < MIN_SHARED * len(column):
        return None
    units = _numbers(column[present].to_frame())
    numbers = np.arange(len(column), dtype=np.int64) + len(counts)
    numbers[present] = units
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _numbers(columns: pd.DataFrame) -> IntArray:
    return np.unique(row_hashes(columns), return_inverse=True)[1].astype(np.int64)


def _critical(columns: int) -> float:
    """Return what the largest of several standard normal values exceeds with probability `BY_CHANCE`, at most."""
    from scipy.special import ndtri

    return float(ndtri(1 - BY_CHANCE / columns))
