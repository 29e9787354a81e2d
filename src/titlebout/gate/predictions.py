"""A bout: what really happened in the holdout rows, and what each model said; kept as a file, to be decided again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import DataError, NotFoundError
from titlebout.metrics.estimates import GroundTruth

BOUT_VERSION = 2
MODELS = ("challenger", "champion", "anchor", "dummy")
_SLICE = "slice: "
_KEY = "titlebout"


@dataclass(frozen=True)
class Bout:
    """Models on the same holdout rows.

    Attributes
    ----------
    truth : GroundTruth
        What happened in the n rows.
    predicted : mapping of str to ndarray
        By model (``challenger``, ``dummy``, and, when somebody holds the title, ``champion`` and ``anchor``):
        probabilities of shape (n_rows, n_classes) in the order of ``truth.classes``, or values of shape (n_rows,).
    columns : DataFrame of shape (n_rows, n_slice_columns)
        Columns that rows can be divided by.
    entities : ndarray of shape (n_rows,), dtype int, or None
        Number of the entity of every row.
    rows : ndarray of shape (n_rows,), dtype uint64, or None
        Hashes of the rows, to find them in the data again.
    facts : mapping
        JSON values: who met, on which holdout, and why.
    """

    truth: GroundTruth
    predicted: Mapping[str, FloatArray]
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)
    entities: IntArray | None = None
    rows: "np.ndarray[tuple[int], np.dtype[np.uint64]] | None" = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_bout(path: Path, bout: Bout) -> Path:
    """Write a bout as parquet: one row per holdout row, one column per model and class."""
    table: dict[str, Any] = {} if bout.rows is None else {"row": bout.rows.astype(np.int64)}
    table["y"] = bout.truth.y
    if bout.entities is not None:
        table["entity"] = bout.entities
    for who, predicted in bout.predicted.items():
        table |= {name: predicted.reshape(len(predicted), -1)[:, at] for at, name in enumerate(_names(who, bout.truth))}
    table |= {f"{_SLICE}{name}": _storable(bout.columns[name]) for name in bout.columns.columns}
    frame = pd.DataFrame(table)
    frame.attrs[_KEY] = {
        "version": BOUT_VERSION,
        "task": bout.truth.task,
        "classes": list(bout.truth.classes),
        "models": list(bout.predicted),
        "facts": dict(bout.facts),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd")
    return path


def read_bout(path: Path) -> Bout:
    """Read what :func:`write_bout` wrote.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is not a bout, or one of another version of titlebout.
    """
    if not path.is_file():
        raise NotFoundError(
            "there are no predictions", where=str(path), fix="run `titlebout evaluate`, which writes them"
        )
    try:
        frame = pd.read_parquet(path)
        said = {BOUT_VERSION: frame.attrs[_KEY]}[frame.attrs[_KEY]["version"]]
        truth = GroundTruth(said["task"], frame["y"].to_numpy(), tuple(said["classes"]))
        predicted = {who: _array(frame, _names(who, truth), truth) for who in said["models"]}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            "this is not a file of predictions that this titlebout can read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="run `titlebout evaluate` again",
        ) from error
    slices = [name for name in frame.columns if name.startswith(_SLICE)]
    return Bout(
        truth,
        predicted,
        frame[slices].rename(columns=lambda name: name.removeprefix(_SLICE)),
        frame["entity"].to_numpy() if "entity" in frame else None,
        frame["row"].to_numpy().astype(np.uint64) if "row" in frame else None,
        said["facts"],
    )


def _storable(values: pd.Series) -> pd.Series:
    """Return a column that parquet can hold and give back with its type; of a mixture of types, the text."""
    if values.dtype != object or values.map(type, na_action="ignore").nunique() < 2:
        return values
    return values.map(str, na_action="ignore")


def _names(who: str, truth: GroundTruth) -> list[str]:
    """Return names of columns; with the position, because the labels 1 and "1" are two classes."""
    return [f"{who} {at}: {label}" for at, label in enumerate(truth.classes)] if truth.classes else [who]


def _array(frame: pd.DataFrame, names: list[str], truth: GroundTruth) -> FloatArray:
    found = frame[names].to_numpy(dtype=np.float64)
    return found if truth.classes else found[:, 0]
