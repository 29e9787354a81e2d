"""Predictions of all models on the holdout, with the ground truth; saved to a file to repeat the decision later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import DataError, NotFoundError
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.inference import Dependence

PREDICTIONS_VERSION = 3
MODELS = ("challenger", "champion", "anchor", "dummy")
_SLICE = "slice: "
_KEY = "titlebout"


@dataclass(frozen=True)
class HoldoutPredictions:
    """Predictions of all models for the same holdout rows.

    Attributes
    ----------
    truth : GroundTruth
        True labels of the n_rows rows.
    predicted : mapping of str to ndarray
        By model (``challenger``, ``dummy`` and, if they exist, ``champion`` and ``anchor``):
        probabilities of shape (n_rows, n_classes) in the order of ``truth.classes``, or values of shape (n_rows,).
    columns : DataFrame of shape (n_rows, n_slice_columns)
        Columns that define slices.
    entities : ndarray of shape (n_rows,), dtype int, or None
        Entity of every row, as a number.
    entity : str
        Columns that identify the entity; empty without entities.
    times : ndarray of shape (n_rows,), dtype int64, or None
        Position of every row's time in the order of times, from 1; None without a time column.
    rows : ndarray of shape (n_rows,), dtype uint64, or None
        Hashes of the rows, which identify them in the data.
    facts : mapping
        JSON values about the evaluation: models, holdout and reason.
    """

    truth: GroundTruth
    predicted: Mapping[str, FloatArray]
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)
    entities: IntArray | None = None
    rows: "np.ndarray[tuple[int], np.dtype[np.uint64]] | None" = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    entity: str = ""
    times: IntArray | None = None

    @property
    def dependence(self) -> Dependence:
        """Which rows may depend on each other."""
        return Dependence(self.times, self.entities)


def write_predictions(path: Path, predictions: HoldoutPredictions) -> Path:
    """Write predictions as Parquet: one row per holdout row, one column per model and class."""
    table: dict[str, Any] = {} if predictions.rows is None else {"row": predictions.rows.astype(np.int64)}
    table["y"] = predictions.truth.y
    if predictions.entities is not None:
        table["entity"] = predictions.entities
    if predictions.times is not None:
        table["time"] = predictions.times
    for model, predicted in predictions.predicted.items():
        table |= {
            name: predicted.reshape(len(predicted), -1)[:, at]
            for at, name in enumerate(_names(model, predictions.truth))
        }
    table |= {f"{_SLICE}{name}": _storable(predictions.columns[name]) for name in predictions.columns.columns}
    frame = pd.DataFrame(table)
    frame.attrs[_KEY] = {
        "version": PREDICTIONS_VERSION,
        "task": predictions.truth.task,
        "classes": list(predictions.truth.classes),
        "models": list(predictions.predicted),
        "entity": predictions.entity,
        "facts": dict(predictions.facts),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd")
    return path


def read_predictions(path: Path) -> HoldoutPredictions:
    """Read a file written by :func:`write_predictions`.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If it is not a file of predictions, or has another format version.
    """
    if not path.is_file():
        raise NotFoundError(
            "there are no predictions", where=str(path), fix="run `titlebout evaluate`, which writes them"
        )
    try:
        frame = pd.read_parquet(path)
        metadata = {PREDICTIONS_VERSION: frame.attrs[_KEY]}[frame.attrs[_KEY]["version"]]
        truth = GroundTruth(metadata["task"], frame["y"].to_numpy(), tuple(metadata["classes"]))
        predicted = {model: _array(frame, _names(model, truth), truth) for model in metadata["models"]}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            "this version of titlebout cannot read the predictions file",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix="run `titlebout evaluate` again",
        ) from error
    slices = [name for name in frame.columns if name.startswith(_SLICE)]
    return HoldoutPredictions(
        truth,
        predicted,
        frame[slices].rename(columns=lambda name: name.removeprefix(_SLICE)),
        frame["entity"].to_numpy() if "entity" in frame else None,
        frame["row"].to_numpy().astype(np.uint64) if "row" in frame else None,
        metadata["facts"],
        metadata["entity"],
        frame["time"].to_numpy() if "time" in frame else None,
    )


def _storable(values: pd.Series) -> pd.Series:
    """Return a column that Parquet can store with its type; a column of mixed types is converted to text."""
    if values.dtype != object or values.map(type, na_action="ignore").nunique() < 2:
        return values
    return values.map(str, na_action="ignore")


def _names(model: str, truth: GroundTruth) -> list[str]:
    """Return column names. They include the position of the class, because the labels 1 and "1" are different classes."""
    return [f"{model} {at}: {label}" for at, label in enumerate(truth.classes)] if truth.classes else [model]


def _array(frame: pd.DataFrame, names: list[str], truth: GroundTruth) -> FloatArray:
    found = frame[names].to_numpy(dtype=np.float64)
    return found if truth.classes else found[:, 0]
