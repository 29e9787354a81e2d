"""Model folders: weights that load without executing code, input signature, golden rows, hashes of training rows.

The files of a model folder:

``model.skops``    the fitted estimator; loading executes no code and creates only types of an allow-list
``manifest.json``  task, target, columns and kinds, classes, SHA-256 of the weights, trusted types, versions
``golden.json``    up to 256 input rows with their predictions, which a served copy must reproduce
``rows.parquet``   48-bit hashes of the training rows, to prove that the holdout shares none of them; with cross-fitting,
                   also the predictions for holdout rows by models that were fitted without them

The digest of a model, :func:`model_digest`, is its name everywhere: in reports, pull requests, bentos and answers.
"""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.core.results import read_json, write_json
from titlebout.data.columns import column_kind, conform
from titlebout.data.sampling import evenly_spaced
from titlebout.data.schema import without_missing
from titlebout.models import archive
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut

GOLDEN_ROWS = 256
LABEL_ROWS = 10_000  # training rows on which the labels of predict are compared with the most probable classes
_HELD_OUT = "held_out_"  # start of the names of the columns in rows.parquet with held-out predictions
MANIFEST_VERSION = 2  # also of the row hashes in rows.parquet
# Keys of the manifest that record how the model was trained and do not change its answers.
_RECORDS = {"trained_rows", "trained_until", "window", "held_out_rows", "versions"}


@dataclass(frozen=True)
class TrainingData:
    """Training data of a model, as far as its folder records it.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        Input columns, as passed to the team's pipeline.
    hashes : ndarray of shape (n_rows,), dtype uint64
        Row hashes over all columns, including the target.
    target, task : str
        Target column, and "classification" or "regression".
    until : str
        Newest time of the rows (ISO 8601); empty without a time column.
    window : mapping, optional
        Length of the training window in days, and the candidates it was chosen from.
    classes : tuple
        Class labels in the order of the probabilities, with the types that they have in the data, see
        :func:`class_labels`. By default those of the estimator.
    missing : tuple of str
        Words that stand for a missing value in the data, besides the empty text.
    forms : mapping of str to str
        Forms of the times that are not in ISO 8601 in the data, by column.
    held_out : HeldOut
        Predictions for some of the rows by models that were fitted without them.
    """

    X: pd.DataFrame
    hashes: npt.NDArray[np.uint64]
    target: str
    task: str
    until: str
    window: Mapping[str, Any] | None = None
    classes: tuple[object, ...] = ()
    missing: tuple[str, ...] = ()
    forms: Mapping[str, str] = field(default_factory=dict)
    held_out: HeldOut = NOTHING_HELD_OUT


@dataclass(frozen=True)
class Model:
    """A fitted estimator with the manifest of its folder."""

    estimator: Any
    manifest: Mapping[str, Any]
    folder: Path

    @cached_property
    def digest(self) -> str:
        """Name of the model, see :func:`model_digest`."""
        return model_digest(self.manifest)

    @property
    def kinds(self) -> dict[str, str]:
        """Input columns and their kinds, in order."""
        return {column["name"]: column["kind"] for column in self.manifest["columns"]}

    @property
    def classes(self) -> tuple[object, ...]:
        """Class labels in the order of the probabilities; empty for regression."""
        return tuple(self.manifest["classes"])

    @cached_property
    def trained_rows(self) -> npt.NDArray[np.uint64]:
        """Hashes of the rows it was trained on, shape (n_rows,)."""
        return self._rows["row"].to_numpy(dtype=np.uint64)

    @cached_property
    def held_out(self) -> HeldOut:
        """Predictions for its training rows by models that were fitted without them."""
        if not self.manifest.get("held_out_rows"):
            return NOTHING_HELD_OUT
        names = [name for name in self._rows.columns if name.startswith(_HELD_OUT)]
        known = self._rows.dropna(subset=names)
        values = known[names].to_numpy(dtype=np.float64)
        return HeldOut(known["row"].to_numpy(dtype=np.uint64), values if self.classes else values[:, 0])

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "rows.parquet")

    def predict(self, frame: pd.DataFrame) -> FloatArray:
        """Return class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

        Raises
        ------
        DataError
            If a column is missing or has values of another kind.
        """
        return predict(self.estimator, self._inputs(frame), self.manifest["task"])

    def labels(self, frame: pd.DataFrame, probabilities: FloatArray) -> list[object]:
        """Return the predicted class of every row: the most probable one, unless the estimator decides by a threshold.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, n_columns)
        probabilities : ndarray of shape (n_rows, n_classes)
            What :meth:`predict` has returned for these rows.
        """
        by_threshold = self.manifest.get("labels") == "predict"
        positions = _decide(self.estimator, self._inputs(frame)) if by_threshold else probabilities.argmax(axis=1)
        return [self.classes[position] for position in positions.tolist()]

    def unfilled(self, frame: pd.DataFrame) -> list[str]:
        """Return the input columns that lack a value in some row although they never did in the training data."""
        required = [column["name"] for column in self.manifest["columns"] if not column["nullable"]]
        inputs = self._inputs(frame)
        return [name for name in required if inputs[name].isna().any()]

    def _inputs(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the input columns; the words that stand for missing values in the data do so in a request as well.

        Raises
        ------
        DataError
            If a column is missing or has values of another kind.
        """
        texts = [name for name, kind in self.kinds.items() if kind == "text" and name in frame]
        words = tuple(self.manifest.get("missing", ()))
        present = frame.assign(**{name: without_missing(frame[name], words) for name in texts})
        return conform(present, self.kinds)


def predict(estimator: Any, X: pd.DataFrame, task: str) -> FloatArray:
    """Return probabilities (classification) or values (regression) predicted by an estimator, as float64."""
    prediction = estimator.predict_proba(X) if task == "classification" else estimator.predict(X)
    return np.asarray(prediction, dtype=np.float64)


def _decide(estimator: Any, X: pd.DataFrame) -> IntArray:
    """Return the position of the class that ``predict`` returns for every row; -1 for an unknown one."""
    positions = {label: position for position, label in enumerate(np.asarray(estimator.classes_).tolist())}
    return np.array([positions.get(label, -1) for label in np.ravel(estimator.predict(X)).tolist()], dtype=np.int64)


def _decides_by_threshold(estimator: Any, X: pd.DataFrame) -> bool:
    """Return whether ``predict`` returns other classes than the most probable ones, as after tuning a threshold."""
    if X.empty:
        return False
    rows = X.iloc[evenly_spaced(len(X), LABEL_ROWS)]
    decided = _decide(estimator, rows)
    return bool((decided >= 0).all() and (decided != predict(estimator, rows, "classification").argmax(axis=1)).any())


def class_labels(estimator: Any, labels: Iterable[object]) -> tuple[object, ...]:
    """Return the classes of a fitted classifier in its order, each as it is in the data.

    Libraries change the type of labels: XGBoost numbers the classes, and CatBoost turns true into the text "True".

    Parameters
    ----------
    estimator : object
        Fitted classifier.
    labels : iterable
        Labels of the training rows.

    Raises
    ------
    DataError
        If the estimator has a class that is not among the labels.
    """
    given = {label: label for label in labels}
    texts = {str(label): label for label in given}
    found = np.asarray(estimator.classes_).tolist()
    unknown = [label for label in found if label not in given and str(label) not in texts]
    if unknown:
        raise DataError(
            f"the model has a class that is not in the training rows: {unknown[0]!r}",
            why=f"the training rows have: {', '.join(texts)}",
            fix="set classes_ to the labels that fit was called with, in the order of the probabilities",
        )
    return tuple(given.get(label, texts.get(str(label))) for label in found)


def select_inputs(frame: pd.DataFrame, target: str, drop: tuple[str, ...]) -> pd.DataFrame:
    """Return the input columns of a model, each with the dtype of its kind.

    Raises
    ------
    DataError
        If a column to drop does not exist: it may have been renamed, and would become an input.
    """
    missing = [name for name in drop if name not in frame.columns]
    if missing:
        raise DataError(
            f"data.drop names {missing[0]!r}, which is not a column of the data",
            where="params.yaml: data.drop",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="correct the name, or remove it from the list",
        )
    names = [name for name in frame.columns if name != target and name not in drop]
    return conform(frame, {name: column_kind(frame[name]) for name in names})


def save_model(folder: Path, estimator: Any, data: TrainingData, kinds: Mapping[str, str], package: str) -> Path:
    """Write a model folder; the same estimator and rows give the same bytes.

    Parameters
    ----------
    folder : Path
        Created if needed; files of an older model are replaced.
    estimator : object
        Fitted, scikit-learn compatible.
    data : TrainingData
    kinds : mapping of str to str
        Kinds of the columns of ``data.X`` before conversion to their dtypes.
    package : str
        Import name of the team's code, whose types may be part of the model.

    Raises
    ------
    ConfigError
        If a part of the estimator cannot be stored, or what is stored predicts differently.
    UnsafeError
        If the estimator contains types that are not trusted, see :mod:`titlebout.models.trusted`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, trusted = archive.dump(estimator, package, folder)
    golden = data.X.head(0) if data.X.empty else data.X.iloc[evenly_spaced(len(data.X), GOLDEN_ROWS)]
    predictions = predict(estimator, golden, data.task)
    _require_equal(predictions, predict(archive.load(weights, package, folder), golden, data.task))
    (folder / "model.skops").write_bytes(weights)
    write_json(folder / "golden.json", {"rows": to_records(golden, kinds), "answers": predictions.tolist()})
    rows = _rows_table(data)
    rows.to_parquet(
        folder / "rows.parquet",
        index=False,
        compression="zstd",
        use_dictionary=False,
        column_encoding={"row": "DELTA_BINARY_PACKED"},
    )
    write_json(folder / "manifest.json", _manifest(estimator, data, kinds, weights, trusted))
    return folder


def _rows_table(data: TrainingData) -> pd.DataFrame:
    """Return the hashes of the training rows in ascending order, with their held-out predictions."""
    rows = np.sort(data.hashes)
    table: dict[str, npt.NDArray[Any]] = {"row": rows.astype(np.int64)}
    if len(data.held_out.rows):
        predicted = data.held_out.predictions.reshape(len(data.held_out.rows), -1)
        values = data.held_out.replace_in(np.full((len(rows), predicted.shape[1]), np.nan), rows)
        table |= {f"{_HELD_OUT}{at}": values[:, at] for at in range(predicted.shape[1])}
    return pd.DataFrame(table)


def load_model(folder: Path, package: str) -> Model:
    """Load a model folder without executing anything it contains.

    Parameters
    ----------
    folder : Path
        Written by :func:`save_model`.
    package : str
        Import name of the team's code, whose types may be part of the model.

    Raises
    ------
    NotFoundError
        If the folder has no model.
    UnsafeError
        If the weights do not match the SHA-256 in the manifest, or contain a type that is not trusted.
    InconclusiveError
        If the code it was trained with no longer exists, or it was written in a different format version.
    """
    manifest, weights = _read(folder)
    if manifest.get("schema_version") != MANIFEST_VERSION:
        raise InconclusiveError(
            "the model was written by a different version of titlebout",
            where=str(folder),
            why=f"its manifest has version {manifest.get('schema_version')}, but this version of titlebout reads "
            f"{MANIFEST_VERSION}; row hashes of different versions cannot be compared",
            fix="train the model again with this version of titlebout",
        )
    return Model(archive.load(weights, package, folder / "model.skops"), manifest, folder)


def model_digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 digest of everything in a model folder that determines the model's answers.

    These are the weights, by their hash, and all of the manifest that is not a record of the training: columns with their
    kinds, classes in their order, words for missing values, how labels are decided. Golden rows, hashes of training rows,
    training period and versions do not count. A key that is new to the manifest counts.
    """
    counted = {key: value for key, value in manifest.items() if key not in _RECORDS}
    return sha256(json.dumps(counted, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of(folder: Path) -> str:
    """Return the digest of the model in a folder, without loading it.

    Raises
    ------
    NotFoundError
        If the folder has no model.
    UnsafeError
        If the weights do not match the SHA-256 in the manifest.
    """
    return model_digest(_read(folder)[0])


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the manifest and the weights of a model folder.

    Raises
    ------
    NotFoundError
        If the folder has no model.
    UnsafeError
        If the weights do not match the SHA-256 in the manifest.
    """
    path = folder / "model.skops"
    if not path.is_file():
        raise NotFoundError("the model does not exist", where=str(path), fix="run `titlebout train`, or `dvc pull`")
    manifest = read_json(folder / "manifest.json")
    weights = path.read_bytes()
    found, expected = sha256(weights).hexdigest(), str(manifest.get("sha256"))
    if found != expected:
        raise UnsafeError(
            "the model file does not match the SHA-256 in its manifest",
            where=str(path),
            why=f"its SHA-256 is {found[:12]}…, the manifest says {expected[:12]}…",
            fix="restore the file: `dvc checkout --force`",
        )
    return manifest, weights


def to_records(frame: pd.DataFrame, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return rows as JSON values: missing values as null, times in ISO 8601, integers without a fraction."""
    columns = {name: [_json_value(value, kind) for value in frame[name]] for name, kind in kinds.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json_value(value: Any, kind: str) -> Any:
    if pd.isna(value):
        return None
    if kind == "datetime":
        return value.isoformat()
    return {"integer": int, "boolean": bool, "number": float, "text": str}[kind](value)


def _require_equal(fitted: FloatArray, loaded: FloatArray) -> None:
    """Check that a stored model predicts what the fitted one predicts; rounding may differ with the layout of arrays.

    Raises
    ------
    ConfigError
        If a prediction differs.
    """
    if not np.allclose(loaded, fitted, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise ConfigError(
            "the stored model predicts differently from the fitted one",
            where="train.model in params.yaml",
            why="its predictions are random, or a part of it keeps what it has learned outside of its attributes",
            fix="set a random seed, and keep what fit learns in attributes of the object",
        )


def _manifest(
    estimator: Any, data: TrainingData, kinds: Mapping[str, str], weights: bytes, trusted: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "schema_version": MANIFEST_VERSION,
        "task": data.task,
        "target": data.target,
        "classes": [] if data.task == "regression" else list(data.classes) or np.asarray(estimator.classes_).tolist(),
        "columns": [
            {"name": name, "kind": kinds[name], "nullable": bool(data.X[name].isna().any())}
            | ({"form": data.forms[name]} if name in data.forms else {})
            for name in data.X.columns
        ],
        "trained_rows": len(data.X),
        "trained_until": data.until,
        "sha256": sha256(weights).hexdigest(),
        "trusted_types": list(trusted),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("scikit-learn", "numpy", "pandas")},
        **({"window": dict(data.window)} if data.window else {}),
        **({"missing": list(data.missing)} if data.missing else {}),
        **({"held_out_rows": len(data.held_out.rows)} if len(data.held_out.rows) else {}),
        **({"labels": "predict"} if data.task == "classification" and _decides_by_threshold(estimator, data.X) else {}),
    }
