"""Model folders: weights that load without executing code, input signature, golden rows, hashes of training rows.

The files of a model folder:

``model.skops``    the fitted estimator; loading executes no code and creates only types of an allow-list
``manifest.json``  task, target, columns and kinds, classes, digest of the weights, trusted types, versions
``golden.json``    up to 256 input rows with their predictions, which a served copy must reproduce
``rows.parquet``   48-bit hashes of the training rows, to prove that the holdout shares none of them
"""

import io
import json
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.core.results import read_json, write_json
from titlebout.data.columns import column_kind, conform
from titlebout.data.sampling import evenly_spaced

GOLDEN_ROWS = 256
MANIFEST_VERSION = 2  # also of the row hashes in rows.parquet
# Types of scikit-learn and NumPy that skops does not trust by default; they hold arrays and no code.
TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "numpy.dtype",
    # Gradient boosting with categorical columns checks its input with a partial of check_array. Trusting "partial" is
    # safe because skops lists the function inside it as a type of its own.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)


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
    """

    X: pd.DataFrame
    hashes: npt.NDArray[np.uint64]
    target: str
    task: str
    until: str
    window: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Model:
    """A fitted estimator with the manifest of its folder."""

    estimator: Any
    manifest: Mapping[str, Any]
    folder: Path

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
        return pd.read_parquet(self.folder / "rows.parquet")["row"].to_numpy(dtype=np.uint64)

    def predict(self, frame: pd.DataFrame) -> FloatArray:
        """Return class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

        Raises
        ------
        DataError
            If a column is missing or has values of another kind.
        """
        return predict(self.estimator, conform(frame, self.kinds), self.manifest["task"])


def predict(estimator: Any, X: pd.DataFrame, task: str) -> FloatArray:
    """Return probabilities (classification) or values (regression) predicted by an estimator, as float64."""
    prediction = estimator.predict_proba(X) if task == "classification" else estimator.predict(X)
    return np.asarray(prediction, dtype=np.float64)


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
    UnsafeError
        If the estimator contains types that are neither scikit-learn's nor the team's.
    """
    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    weights = _normalize_archive(skops.io.dumps(estimator))
    trusted = _trusted_types(weights, package, folder)
    (folder / "model.skops").write_bytes(weights)
    golden = data.X.head(0) if data.X.empty else data.X.iloc[evenly_spaced(len(data.X), GOLDEN_ROWS)]
    predictions = predict(estimator, golden, data.task)
    write_json(folder / "golden.json", {"rows": to_records(golden, kinds), "answers": predictions.tolist()})
    pd.DataFrame({"row": np.sort(data.hashes).astype(np.int64)}).to_parquet(
        folder / "rows.parquet",
        index=False,
        compression="zstd",
        use_dictionary=False,
        column_encoding="DELTA_BINARY_PACKED",
    )
    write_json(folder / "manifest.json", _manifest(estimator, data, kinds, weights, trusted))
    return folder


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
        If the weights do not match the digest in the manifest, or contain a type that is not trusted.
    InconclusiveError
        If the code it was trained with no longer exists, or it was written in a different format version.
    """
    import skops.io

    path = folder / "model.skops"
    if not path.is_file():
        raise NotFoundError("the model does not exist", where=str(path), fix="run `titlebout train`, or `dvc pull`")
    manifest = read_json(folder / "manifest.json")
    weights = path.read_bytes()
    digest = sha256(weights).hexdigest()
    expected_digest = str(manifest.get("sha256"))
    if digest != expected_digest:
        raise UnsafeError(
            "the model file does not match the digest in its manifest",
            where=str(path),
            why=f"SHA-256 is {digest[:12]}…, the manifest says {expected_digest[:12]}…",
            fix="restore the file: `dvc checkout --force`",
        )
    if manifest.get("schema_version") != MANIFEST_VERSION:
        raise InconclusiveError(
            "the model was written by a different version of titlebout",
            where=str(folder),
            why=f"its manifest has version {manifest.get('schema_version')}, but this version of titlebout reads "
            f"{MANIFEST_VERSION}; row hashes of different versions cannot be compared",
            fix="train the model again with this version of titlebout",
        )
    trusted = _trusted_types(weights, package, folder)
    try:
        return Model(skops.io.loads(weights, trusted=list(trusted)), manifest, folder)
    except Exception as error:
        raise InconclusiveError(
            "the model cannot be loaded with the current code",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix=f"restore the functions and classes that it uses in src/{package}, or check out the commit at which it was "
            "trained",
        ) from error


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


def _trusted_types(weights: bytes, package: str, folder: Path) -> tuple[str, ...]:
    """Return the types in the weights that skops does not trust by default but titlebout does.

    Raises
    ------
    UnsafeError
        If a type is not trusted, or the weights cannot be read.
    """
    import skops.io

    try:
        untrusted = skops.io.get_untrusted_types(data=weights)
    except Exception as error:  # a broken or crafted file can raise anything
        raise UnsafeError(
            "the model file cannot be read",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            fix="restore the file: `dvc checkout --force`",
        ) from error
    # A lambda or a nested function ("<lambda>", "<locals>") cannot be imported by name when the model is loaded.
    team_types = [name for name in untrusted if name.split(".")[0] == package and "<" not in name]
    refused = sorted(set(untrusted) - set(TRUSTED_TYPES) - set(team_types))
    if refused:
        raise UnsafeError(
            f"the model contains types that are not trusted: {', '.join(refused)}",
            where=str(folder),
            why="loading an untrusted type could run arbitrary code",
            fix=f"use scikit-learn estimators, or named classes and functions from src/{package}; a lambda has no name",
        )
    return tuple(sorted(untrusted))


def _manifest(
    estimator: Any, data: TrainingData, kinds: Mapping[str, str], weights: bytes, trusted: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "schema_version": MANIFEST_VERSION,
        "task": data.task,
        "target": data.target,
        "classes": [] if data.task == "regression" else np.asarray(estimator.classes_).tolist(),
        "columns": [
            {"name": name, "kind": kinds[name], "nullable": bool(data.X[name].isna().any())} for name in data.X.columns
        ],
        "trained_rows": len(data.X),
        "trained_until": data.until,
        "sha256": sha256(weights).hexdigest(),
        "trusted_types": list(trusted),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("scikit-learn", "numpy", "pandas")},
    } | ({"window": dict(data.window)} if data.window else {})


def _normalize_archive(archive: bytes) -> bytes:
    """Return a skops archive with everything removed that differs between two dumps of the same estimator.

    Identical training must give identical bytes: DVC identifies a model by its content, the gate recognizes the champion
    by its hash, and the tag of a bento is the digest of the weights. ``skops.io.dumps`` is not deterministic. An archive
    is a zip file with ``schema.json`` and one file per array, and differs between processes in three places:

    - ``__id__`` of a node in the schema is ``id()`` of the object, a memory address. The loader uses it only to restore
      shared references, that is, to load equal ids as the same object, so any numbering that keeps equal ids equal and
      distinct ids distinct loads to the same model (:class:`_ObjectNumbers`).
    - Array files are named ``<id>.npy`` after the same addresses, or after a random UUID for raw bytes, and the schema
      refers to them under ``file``. They are renumbered with the schema, so that names and references still agree.
    - The zip directory has the time of writing, in the order of writing. Here all members get the earliest time that
      zip can represent and are sorted by name.

    The archive is also compressed, because skops stores members uncompressed by default. Normalization is idempotent, and
    is tested by loading the result. If skops gets deterministic dumps, this function and :class:`_ObjectNumbers` can go.
    """
    source = zipfile.ZipFile(io.BytesIO(archive))
    numbers = _ObjectNumbers()
    schema = numbers.rename(json.loads(source.read("schema.json")))
    members = {"schema.json": json.dumps(schema, indent=1).encode()}
    members |= {numbers.of_file(name): source.read(name) for name in source.namelist() if name != "schema.json"}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compresslevel=9) as out:
        for name in sorted(members):
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


class _ObjectNumbers:
    """Numbering of the objects in a skops schema by first occurrence, 1, 2, 3, ..., in place of memory addresses.

    Only ``__id__`` and ``file`` entries of the types that skops writes are replaced. An estimator may have parameters
    with these names, but skops stores their values as nodes (mappings), not as a bare integer or string.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, address: str) -> int:
        return self._numbers.setdefault(address, len(self._numbers) + 1)

    def of_file(self, name: str) -> str:
        stem, dot, ending = name.partition(".")
        return f"{self.of(stem)}{dot}{ending}"

    def rename(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.rename(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {key: self._rename_entry(key, item) for key, item in node.items()}

    def _rename_entry(self, key: str, item: Any) -> Any:
        if key == "__id__" and isinstance(item, int):
            return self.of(str(item))
        if key == "file" and isinstance(item, str):
            return self.of_file(item)
        return self.rename(item)
