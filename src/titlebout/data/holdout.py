"""Split the tracked data into training and holdout rows, deterministically and without overlap."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import BoolArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, UnsafeError
from titlebout.core.results import Record
from titlebout.data.columns import ROW_HASH_BITS, column_kind, conform, row_hashes, timestamps
from titlebout.data.tables import read_tables
from titlebout.repository.project import Project
from titlebout.settings.params import Params

HashArray = npt.NDArray[np.uint64]


def read_labeled_rows(project: Project) -> pd.DataFrame:
    """Read all tracked rows; each must have a label.

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
            fix="remove rows without a label from data/",
        )
    return frame


def target_values(frame: pd.DataFrame, params: Params) -> npt.NDArray[np.object_]:
    """Return the target as an array of shape (n_rows,): floats for regression, Python objects for classification.

    Raises
    ------
    DataError
        If the target of a regression is not a finite number in every row.
    """
    target = params.data.target
    kind = "number" if params.data.task == "regression" else column_kind(frame[target])
    column = conform(frame, {target: kind})[target] if kind in {"number", "text"} else frame[target]
    return column.to_numpy().astype(object)


class Holdout(Record):
    """The rows on which models are compared.

    Attributes
    ----------
    rows : int
        Number of rows.
    fingerprint : str
        SHA-256 over the hashes of the rows.
    start, end : str
        First and last time (ISO 8601); empty without a time column.
    uses : int
        Number of challengers that were evaluated on these rows.
    """

    rows: int
    fingerprint: str
    start: str
    end: str
    uses: int


@dataclass(frozen=True)
class Split:
    """Split of the tracked data into training and holdout rows.

    Attributes
    ----------
    holdout : ndarray of shape (n_rows,), dtype bool
        True for holdout rows.
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
        """SHA-256 of the sorted hashes of the holdout rows; identifies the holdout."""
        return sha256(np.sort(self.hashes[self.holdout]).tobytes()).hexdigest()

    def summary(self, uses: int) -> Holdout:
        """Return the summary of the holdout, after its use by this many challengers."""
        rows = int(self.holdout.sum())
        return Holdout(rows=rows, fingerprint=self.fingerprint, start=self.start, end=self.end, uses=uses)

    def to_dict(self) -> dict[str, object]:
        """Return the sizes, times and fingerprint of the split, for a result."""
        return {
            "train_rows": int((~self.holdout).sum()),
            "holdout_rows": int(self.holdout.sum()),
            "fingerprint": self.fingerprint,
            "start": self.start,
            "end": self.end,
        }


def split(frame: pd.DataFrame, params: Params) -> Split:
    """Hold out the last days, or a share of the entities chosen by their hash.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        All tracked data.
    params : Params
        The method is ``split.by``: time or hash.

    Raises
    ------
    ConfigError
        If a column of ``split.entity`` does not exist.
    InconclusiveError
        If there would be no training rows or no holdout rows.
    """
    hashes = row_hashes(frame)
    time = params.data.time
    is_holdout = _by_time(frame, params) if params.split.by == "time" else _by_hash(frame, hashes, params)
    if is_holdout.all() or not is_holdout.any():
        raise InconclusiveError(
            f"the split leaves no {'holdout' if not is_holdout.any() else 'training'} rows",
            why=f"{len(frame)} rows, split by {params.split.by}",
            fix="add data, or change split in params.yaml",
        )
    times = timestamps(frame, time)[is_holdout] if time else None
    start, end = (times.min().isoformat(), times.max().isoformat()) if times is not None else ("", "")
    return Split(is_holdout, hashes, start, end)


def require_no_overlap(holdout: HashArray, trained: HashArray, model: str) -> None:
    """Refuse to score a model on rows it was trained on.

    Parameters
    ----------
    holdout, trained : ndarray of shape (n,), dtype uint64
        Row hashes of the holdout and of the training rows of a model.
    model : str
        "champion" or "challenger", for the message.

    Raises
    ------
    UnsafeError
        If the model was trained on a holdout row.
    """
    shared = int(np.isin(holdout, trained).sum())
    if shared:
        raise UnsafeError(
            f"{shared} of the {len(holdout)} holdout rows were used to train the {model}",
            why="a score on training rows is too optimistic",
            fix="change split in params.yaml so that the holdout contains no row that a model was trained on",
        )


def _by_time(frame: pd.DataFrame, params: Params) -> BoolArray:
    times = timestamps(frame, params.data.time)
    is_holdout: BoolArray = (times > times.max() - pd.Timedelta(days=params.split.holdout_days)).to_numpy()
    return is_holdout


def _by_hash(frame: pd.DataFrame, hashes: HashArray, params: Params) -> BoolArray:
    """Hold out by entity: a hash keeps all rows of an entity, also future ones, on the same side.

    Raises
    ------
    ConfigError
        If a column of ``split.entity`` does not exist.
    """
    missing = [name for name in params.split.entity if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"the data has no column {missing[0]!r}",
            where="params.yaml: split.entity",
            why=f"it has: {', '.join(map(str, frame.columns))}",
            fix="correct the name in split.entity",
        )
    keys = row_hashes(frame[list(params.split.entity)]) if params.split.entity else hashes
    is_holdout: BoolArray = keys < np.uint64(params.split.fraction * 2**ROW_HASH_BITS)
    return is_holdout
