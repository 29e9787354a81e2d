"""Which rows are held out: drawn once from the data itself, never at random, and never shared with training."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import BoolArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, UnsafeError
from titlebout.data.columns import ROW_HASH_BITS, column_kind, conform, row_hashes, timestamps
from titlebout.data.tables import read_tables
from titlebout.repository.project import Project
from titlebout.settings.params import Params

HashArray = npt.NDArray[np.uint64]


def labelled(project: Project) -> pd.DataFrame:
    """Return all tracked rows; every one must have its label.

    Raises
    ------
    DataError
        If the target column is missing or has missing values.
    """
    frame = read_tables(project.root, "data")
    target = project.params.data.target
    if target not in frame.columns:
        raise DataError(
            f"target column {target!r} is missing",
            where=str(project.data_dir),
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="add the column, or change data.target in params.yaml",
        )
    if frame[target].isna().any():
        raise DataError(
            f"target column {target!r} has {int(frame[target].isna().sum())} missing values",
            where=str(project.data_dir),
            fix="leave rows without a label out of data/",
        )
    return frame


def target_values(frame: pd.DataFrame, params: Params) -> npt.NDArray[np.object_]:
    """Return the target as an array of shape (n_rows,): numbers for regression, plain labels for classification.

    Raises
    ------
    DataError
        If a regression's target is not a finite number in every row.
    """
    target = params.data.target
    kind = "number" if params.data.task == "regression" else column_kind(frame[target])
    column = conform(frame, {target: kind})[target] if kind in {"number", "text"} else frame[target]
    return column.to_numpy().astype(object)


@dataclass(frozen=True)
class Split:
    """A division of the tracked data into training and holdout rows.

    Attributes
    ----------
    holdout : ndarray of shape (n_rows,), dtype bool
        True for held-out rows.
    hashes : ndarray of shape (n_rows,), dtype uint64
        Row hashes of all rows.
    start, end : str
        First and last time of the holdout (ISO 8601, UTC); empty without a time column.
    """

    holdout: BoolArray
    hashes: HashArray
    start: str
    end: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted hashes of the held-out rows: the same rows, the same fingerprint."""
        return sha256(np.sort(self.hashes[self.holdout]).tobytes()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """Return what is recorded of the split, without the rows."""
        return {
            "train_rows": int((~self.holdout).sum()),
            "holdout_rows": int(self.holdout.sum()),
            "fingerprint": self.fingerprint,
            "start": self.start,
            "end": self.end,
        }


def split(frame: pd.DataFrame, params: Params) -> Split:
    """Hold out the last days, or a stable share of the entities.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        All tracked data.
    params : Params

    Raises
    ------
    ConfigError
        If a column of ``split.entity`` is not there.
    InconclusiveError
        If either side would be empty.
    """
    hashes = row_hashes(frame)
    time = params.data.time
    held = _by_time(frame, params) if params.split.by == "time" else _by_hash(frame, hashes, params)
    if held.all() or not held.any():
        raise InconclusiveError(
            f"the {'holdout' if not held.any() else 'training part'} would be empty",
            why=f"{len(frame)} rows, split by {params.split.by}",
            fix="add data, or change split in params.yaml",
        )
    stamps = timestamps(frame, time)[held] if time else None
    start, end = (stamps.min().isoformat(), stamps.max().isoformat()) if stamps is not None else ("", "")
    return Split(held, hashes, start, end)


def require_no_overlap(holdout: HashArray, trained: HashArray, who: str) -> None:
    """Refuse to score a model on rows it was trained on.

    Parameters
    ----------
    holdout, trained : ndarray of shape (n,), dtype uint64
        Row hashes of the holdout and of a model's training rows.
    who : str
        "champion" or "challenger", for the message.

    Raises
    ------
    UnsafeError
        If they share a row.
    """
    shared = int(np.isin(holdout, trained).sum())
    if shared:
        raise UnsafeError(
            f"the {who} was trained on {shared} of the {len(holdout)} holdout rows",
            why="scored on rows it has seen, a model looks better than it is",
            fix="let the holdout begin after the rows that either model was trained on (split in params.yaml)",
        )


def _by_time(frame: pd.DataFrame, params: Params) -> BoolArray:
    stamps = timestamps(frame, params.data.time)
    held: BoolArray = (stamps > stamps.max() - pd.Timedelta(days=params.split.holdout_days)).to_numpy()
    return held


def _by_hash(frame: pd.DataFrame, hashes: HashArray, params: Params) -> BoolArray:
    """Hold out by entity, so that all rows of one entity are on the same side for ever.

    Raises
    ------
    ConfigError
        If a column of the key is not there.
    """
    missing = [name for name in params.split.entity if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"the data has no column {missing[0]!r}",
            where="params.yaml: split.entity",
            why=f"it has: {', '.join(map(str, frame.columns))}",
            fix="correct the name",
        )
    keys = row_hashes(frame[list(params.split.entity)]) if params.split.entity else hashes
    held: BoolArray = keys < np.uint64(params.split.fraction * 2**ROW_HASH_BITS)
    return held
