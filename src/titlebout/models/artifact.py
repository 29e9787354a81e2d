"""A model on disk: weights that load without executing code, its input signature, its golden rows, its training rows.

The files of a model folder:

``model.skops``    the fitted estimator; loading it runs no code, only types of an allow-list are built
``manifest.json``  task, target, columns and kinds, classes, digest of the weights, types that were trusted
``golden.json``    256 input rows and what the model answered, to be asked again of every copy that serves
``rows.parquet``   48-bit hashes of the training rows, so that a holdout can be shown to share none
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

GOLDEN_ROWS = 256
MANIFEST_VERSION = 1  # also of the row hashes in rows.parquet
# Types of scikit-learn's own that skops does not trust by itself; they hold arrays and no code.
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
    # How a gradient boosting with categorical columns checks its input; a partial is only as good as its function,
    # which skops lists beside it.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)


@dataclass(frozen=True)
class Trained:
    """What a model was trained on.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        Input columns as the team's pipeline saw them.
    hashes : ndarray of shape (n_rows,), dtype uint64
        Row hashes of the whole rows, target included.
    target, task : str
    until : str
        Newest time of the rows (ISO 8601); empty without a time column.
    window : mapping, optional
        Days of training rows that were chosen, and the candidates they were chosen from.
    """

    X: pd.DataFrame
    hashes: npt.NDArray[np.uint64]
    target: str
    task: str
    until: str
    window: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Model:
    """A fitted estimator together with what its folder says about it."""

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
    """Ask an estimator for probabilities (classification) or values (regression) as float64."""
    answer = estimator.predict_proba(X) if task == "classification" else estimator.predict(X)
    return np.asarray(answer, dtype=np.float64)


def inputs(frame: pd.DataFrame, target: str, drop: tuple[str, ...]) -> pd.DataFrame:
    """Return the columns a model may see, each with the dtype of its kind.

    Raises
    ------
    DataError
        If a column to drop is not there: under another name it would be seen.
    """
    missing = [name for name in drop if name not in frame.columns]
    if missing:
        raise DataError(
            f"the column to drop, {missing[0]!r}, is not in the data",
            where="params.yaml: data.drop",
            why=f"the data has: {', '.join(map(str, frame.columns))}",
            fix="correct the name, or remove it from the list",
        )
    names = [name for name in frame.columns if name != target and name not in drop]
    return conform(frame, {name: column_kind(frame[name]) for name in names})


def save_model(folder: Path, estimator: Any, trained: Trained, kinds: Mapping[str, str], package: str) -> Path:
    """Write a model folder; the same estimator and rows give the same bytes.

    Parameters
    ----------
    folder : Path
        Created if needed; files of an older model are replaced.
    estimator : object
        Fitted, scikit-learn compatible.
    trained : Trained
    kinds : mapping of str to str
        Kinds of the columns of ``trained.X`` before they were conformed.
    package : str
        Import name of the team's code, whose types may be part of the model.

    Raises
    ------
    UnsafeError
        If the estimator has parts of types that are neither scikit-learn's nor the team's.
    """
    import skops.io

    folder.mkdir(parents=True, exist_ok=True)
    weights = _normalised(skops.io.dumps(estimator))
    trusted = _trust(weights, package, folder)
    (folder / "model.skops").write_bytes(weights)
    golden = trained.X.head(0) if trained.X.empty else trained.X.iloc[_spread(len(trained.X), GOLDEN_ROWS)]
    answers = predict(estimator, golden, trained.task)
    write_json(folder / "golden.json", {"rows": to_records(golden, kinds), "answers": answers.tolist()})
    pd.DataFrame({"row": np.sort(trained.hashes).astype(np.int64)}).to_parquet(
        folder / "rows.parquet",
        index=False,
        compression="zstd",
        use_dictionary=False,
        column_encoding="DELTA_BINARY_PACKED",
    )
    write_json(folder / "manifest.json", _manifest(estimator, trained, kinds, weights, trusted))
    return folder


def load_model(folder: Path, package: str) -> Model:
    """Load a model folder without executing anything it contains.

    Parameters
    ----------
    folder : Path
    package : str
        Import name of the team's code, whose types may be part of the model.

    Raises
    ------
    NotFoundError
        If there is no model.
    UnsafeError
        If the weights are not the ones in the manifest, or contain a type that is not on the allow-list.
    InconclusiveError
        If the code it was trained with is not here any more, or it is of another version: nothing can be said about it.
    """
    import skops.io

    path = folder / "model.skops"
    if not path.is_file():
        raise NotFoundError("there is no model", where=str(path), fix="run `titlebout train`, or `dvc pull`")
    manifest = read_json(folder / "manifest.json")
    weights = path.read_bytes()
    digest = sha256(weights).hexdigest()
    described = str(manifest.get("sha256"))
    if digest != described:
        raise UnsafeError(
            "the model is not the one its manifest describes",
            where=str(path),
            why=f"SHA-256 is {digest[:12]}…, the manifest says {described[:12]}…",
            fix="pull it again: `dvc checkout --force`",
        )
    if manifest.get("schema_version") != MANIFEST_VERSION:
        raise InconclusiveError(
            "the model was written by another version of titlebout",
            where=str(folder),
            why=f"its manifest is of version {manifest.get('schema_version')}, this titlebout reads {MANIFEST_VERSION}: "
            "its training rows could not be told from the holdout's",
            fix="train it again with this version",
        )
    trusted = _trust(weights, package, folder)
    try:
        return Model(skops.io.loads(weights, trusted=list(trusted)), manifest, folder)
    except Exception as error:
        raise InconclusiveError(
            "the model cannot be loaded with the code that is here",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            fix=f"keep the functions and classes it was trained with in src/{package}, or check out the commit it was trained at",
        ) from error


def to_records(frame: pd.DataFrame, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return rows as JSON values: missing as null, times as ISO 8601, whole numbers without a fraction."""
    columns = {name: [_json_value(value, kind) for value in frame[name]] for name, kind in kinds.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json_value(value: Any, kind: str) -> Any:
    if pd.isna(value):
        return None
    if kind == "datetime":
        return value.isoformat()
    return {"integer": int, "boolean": bool, "number": float, "text": str}[kind](value)


def _spread(n_rows: int, wanted: int) -> npt.NDArray[np.int_]:
    """Return up to `wanted` positions spread evenly over the rows, the same ones every time."""
    return np.unique(np.linspace(0, n_rows - 1, min(wanted, n_rows)).astype(np.int_))


def _trust(weights: bytes, package: str, folder: Path) -> tuple[str, ...]:
    """Return the types in the weights that skops does not trust by itself, if we do.

    Raises
    ------
    UnsafeError
        If we do not, or the weights cannot be read.
    """
    import skops.io

    try:
        unknown = skops.io.get_untrusted_types(data=weights)
    except Exception as error:  # whatever a broken or crafted file makes the reader do
        raise UnsafeError(
            "the weights cannot be read",
            where=str(folder),
            why=f"{type(error).__name__}: {error}",
            fix="pull it again: `dvc checkout --force`",
        ) from error
    # A lambda or a function inside a function has no name to find it by when the model is loaded.
    own = [name for name in unknown if name.split(".")[0] == package and "<" not in name]
    refused = sorted(set(unknown) - set(TRUSTED_TYPES) - set(own))
    if refused:
        raise UnsafeError(
            f"the model has parts of types that are not trusted: {', '.join(refused)}",
            where=str(folder),
            why="a model file can make a type from anywhere do harm while it loads",
            fix=f"use scikit-learn's own estimators, or a named class or function of src/{package} instead of a lambda",
        )
    return tuple(sorted(unknown))


def _manifest(
    estimator: Any, trained: Trained, kinds: Mapping[str, str], weights: bytes, trusted: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "schema_version": MANIFEST_VERSION,
        "task": trained.task,
        "target": trained.target,
        "classes": [] if trained.task == "regression" else np.asarray(estimator.classes_).tolist(),
        "columns": [
            {"name": name, "kind": kinds[name], "nullable": bool(trained.X[name].isna().any())}
            for name in trained.X.columns
        ],
        "trained_rows": len(trained.X),
        "trained_until": trained.until,
        "sha256": sha256(weights).hexdigest(),
        "trusted_types": list(trusted),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("scikit-learn", "numpy", "pandas")},
    } | ({"window": dict(trained.window)} if trained.window else {})


def _normalised(archive: bytes) -> bytes:
    """Replace what differs between two dumps of one estimator (memory addresses, time stamps) and compress."""
    source = zipfile.ZipFile(io.BytesIO(archive))
    numbers = _Numbers()
    schema = numbers.rename(json.loads(source.read("schema.json")))
    members = {"schema.json": json.dumps(schema, indent=1).encode()}
    members |= {numbers.of_file(name): source.read(name) for name in source.namelist() if name != "schema.json"}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compresslevel=9) as out:
        for name in sorted(members):
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


class _Numbers:
    """Names the objects of a skops schema 1, 2, 3, ... in the order they occur, instead of by memory address."""

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
