"""Split the tracked data into training and holdout rows, deterministically and without overlap."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import BoolArray, IntArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, UnsafeError
from titlebout.core.results import Record
from titlebout.data.columns import ROW_HASH_BITS, column_kind, conform, row_hashes, timestamps
from titlebout.data.identity import HashArray, identity_hashes, mixed, occurrences
from titlebout.data.plausible import implausible_tracked
from titlebout.data.schema import recorded_schema
from titlebout.data.tables import read_tables
from titlebout.repository.project import Project
from titlebout.settings.params import Params


def read_tracked(project: Project) -> pd.DataFrame:
    """Read the tracked rows, each value as the type of its column, without the rows that have no plausible time.

    Raises
    ------
    NotFoundError
        If there are no tables.
    DataError
        If a table cannot be read, or has other columns than the first.
    """
    frame = read_all_tracked(project)
    kept = ~set_aside(frame, project.params)
    return frame if kept.all() else frame[kept].reset_index(drop=True)


def read_all_tracked(project: Project) -> pd.DataFrame:
    """Read all tracked rows; see :func:`read_tracked`."""
    return read_tables(project.root, "data", recorded_schema(project.params.data))


def set_aside(frame: pd.DataFrame, params: Params) -> BoolArray:
    """Return which tracked rows have no time, or one that cannot be right; see :mod:`titlebout.data.plausible`."""
    time = params.data.time
    if time not in frame or column_kind(frame[time]) != "datetime":
        return np.zeros(len(frame), dtype=np.bool_)
    return implausible_tracked(frame[time], params.data.longest_pause_days)


def read_labeled_rows(project: Project) -> pd.DataFrame:
    """Read the tracked rows; each must have a label.

    Raises
    ------
    DataError
        If the target column is missing or has missing values.
    """
    frame = read_tracked(project)
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
        Number of this challenger among those evaluated within 365 days since the last promotion as superior, from 1.
    """

    rows: int
    fingerprint: str
    start: str
    end: str
    uses: int


@dataclass(frozen=True)
class Fold:
    """A part of the holdout, and the rows on which the model that predicts it is fitted.

    Attributes
    ----------
    fitted, held_out : ndarray of shape (n_rows,), dtype bool
        Masks without a common row.
    """

    fitted: BoolArray
    held_out: BoolArray


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
    known_inputs : int
        Number of holdout rows whose inputs, apart from the time, equal those of a row that the model which predicts them was
        fitted on: it can remember their label.
    folds : tuple of Fold
        Parts of the holdout for cross-fitting; empty if the model is not trained on the holdout.
    """

    holdout: BoolArray
    hashes: HashArray
    start: str
    end: str
    known_inputs: int = 0
    folds: tuple[Fold, ...] = ()

    @property
    def training(self) -> BoolArray:
        """True for the rows that the model is trained on: all of them with cross-fitting, else those outside the holdout."""
        return np.ones_like(self.holdout) if self.folds else ~self.holdout

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the sorted hashes of the holdout rows; identifies the holdout."""
        return sha256(np.sort(self.hashes[self.holdout]).tobytes()).hexdigest()

    def summary(self, uses: int) -> Holdout:
        """Return the summary of the holdout, with the number of the challenger that is evaluated on it."""
        rows = int(self.holdout.sum())
        return Holdout(rows=rows, fingerprint=self.fingerprint, start=self.start, end=self.end, uses=uses)

    def to_dict(self) -> dict[str, object]:
        """Return the sizes, times and fingerprint of the split, for a result."""
        return {
            "train_rows": int(self.training.sum()),
            "holdout_rows": int(self.holdout.sum()),
            "known_inputs": self.known_inputs,
            **({"folds": len(self.folds)} if self.folds else {}),
            "fingerprint": self.fingerprint,
            "start": self.start,
            "end": self.end,
        }


def split(frame: pd.DataFrame, params: Params) -> Split:
    """Hold out the last days, or a share of the entities chosen by their hash; with folds, in parts.

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
    hashes = identity_hashes(frame)
    time = params.data.time
    parts = _by_time(frame, params) if params.split.by == "time" else _by_hash(frame, params)
    is_holdout: BoolArray = parts > 0
    folds = tuple(_folds(parts, params.split.by)) if params.split.folds > 1 else ()
    fitted = [fold.fitted for fold in folds] or [~is_holdout]
    if not is_holdout.any() or not all(rows.any() for rows in fitted):
        raise InconclusiveError(
            f"the split leaves no {'holdout' if not is_holdout.any() else 'training'} rows",
            why=f"{len(frame)} rows, split by {params.split.by}",
            fix="add data, or change split in params.yaml",
        )
    times = timestamps(frame, time)[is_holdout] if time else None
    start, end = (times.min().isoformat(), times.max().isoformat()) if times is not None else ("", "")
    return Split(
        is_holdout, hashes, start, end, _known_inputs(frame, params, folds or (Fold(~is_holdout, is_holdout),)), folds
    )


def _folds(parts: IntArray, by: str) -> Iterator[Fold]:
    """Yield the parts that have rows; in time, each is predicted from the rows before it."""
    for number in np.unique(parts[parts > 0]):
        yield Fold(parts < number if by == "time" else parts != number, parts == number)


def _known_inputs(frame: pd.DataFrame, params: Params, folds: Iterable[Fold]) -> int:
    """Return how many holdout rows have the inputs, apart from the time, of a row that their model was fitted on."""
    hidden = [name for name in (params.data.target, params.data.time, *params.data.drop) if name in frame]
    inputs = row_hashes(frame.drop(columns=hidden))
    return sum(int(np.isin(inputs[fold.held_out], inputs[fold.fitted]).sum()) for fold in folds)


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


def _by_time(frame: pd.DataFrame, params: Params) -> IntArray:
    """Return the part of the holdout of every row, from 1; 0 for the other rows. Parts follow each other in time."""
    times = timestamps(frame, params.data.time)
    is_holdout = times > times.max() - pd.Timedelta(days=params.split.holdout_days)
    before = times[is_holdout].rank(method="min").to_numpy() - 1  # rows of the holdout with an earlier time
    parts = np.zeros(len(frame), dtype=np.int64)
    parts[is_holdout.to_numpy()] = 1 + before * params.split.folds // max(len(before), 1)
    return parts


def _by_hash(frame: pd.DataFrame, params: Params) -> IntArray:
    """Return the part of the holdout of every row, from 1; 0 for the other rows. The same row is always in the same part.

    It follows from a hash of its entity, or of its values without the label. A hash of the label would put the classes of equal rows on different sides: a model would then be trained on one answer
    and scored on the other.

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
    keys = row_hashes(frame[list(params.split.entity)]) if params.split.entity else _feature_hashes(frame, params)
    folds = params.split.folds
    if folds == 1:
        return (keys < np.uint64(params.split.fraction * 2**ROW_HASH_BITS)).astype(np.int64)
    return 1 + (keys * np.uint64(folds) >> np.uint64(ROW_HASH_BITS)).astype(np.int64)


def _feature_hashes(frame: pd.DataFrame, params: Params) -> HashArray:
    """Return a hash of every row without its label; of equal rows, each further one has a hash of its own."""
    return mixed(row_hashes(frame.drop(columns=params.data.target)), occurrences(row_hashes(frame)))
