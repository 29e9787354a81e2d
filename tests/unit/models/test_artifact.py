"""Model folders: reproducible bytes, identical predictions, and no execution of untrusted code."""

import functools
import importlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import sample
from titlebout.core.errors import DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.data.columns import column_kind
from titlebout.models import archive as models_archive
from titlebout.models import artifact as models_artifact

NUMERIC = ["wind", "passengers"]


def trained(frame: pd.DataFrame, task: str = "classification") -> models_artifact.TrainingData:
    hashes = np.arange(len(frame), dtype=np.uint64) * np.uint64(2**40)
    return models_artifact.TrainingData(
        models_artifact.select_inputs(frame, "late", ("waves",)), hashes, "late", task, "2024-04-19T22:00:00+00:00"
    )


def fitted(estimator: Any, frame: pd.DataFrame) -> Any:
    """Fit on the numeric columns, and on the harbour if the estimator is a pipeline that encodes it."""
    encode = (OrdinalEncoder(), ["harbour"])
    return make_pipeline(make_column_transformer(encode, ("passthrough", NUMERIC)), estimator).fit(
        trained(frame).X, frame["late"].to_numpy()
    )


def save(folder: Path, estimator: Any, frame: pd.DataFrame, task: str = "classification") -> Path:
    rows = trained(frame, task)
    kinds = {name: column_kind(frame[name]) for name in rows.X.columns}
    return models_artifact.save_model(folder, estimator, rows, kinds, "ferries")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sample.crossings()


@pytest.fixture(scope="module")
def original(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved logistic regression; tests must not change it."""
    return save(tmp_path_factory.mktemp("original") / "model", fitted(LogisticRegression(), frame), frame)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return sample.copy(original, tmp_path / "model")


def with_weights(folder: Path, estimator: Any) -> Path:
    """Put other weights into a model folder, and their SHA-256 into its manifest."""
    raw = estimator if isinstance(estimator, bytes) else skops.io.dumps(estimator)
    (folder / "model.skops").write_bytes(raw)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": sha256(raw).hexdigest()}))
    return folder


@pytest.mark.parametrize(
    "estimator",
    [
        CalibratedClassifierCV(GaussianNB()),
        DummyClassifier(),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[0], random_state=0),
        HistGradientBoostingRegressor(max_iter=3, random_state=0),
        KNeighborsClassifier(),
        Lasso(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        MLPClassifier((3,), solver="lbfgs", max_iter=20000, random_state=0),
        RandomForestClassifier(n_estimators=3, random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_loaded_model_predicts_like_the_fitted_one(estimator: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    task = "classification" if hasattr(estimator, "predict_proba") else "regression"
    estimator = fitted(estimator, frame)
    loaded = models_artifact.load_model(save(tmp_path / "model", estimator, frame, task), "ferries")

    np.testing.assert_allclose(
        loaded.predict(frame), models_artifact.predict(estimator, trained(frame).X, task), rtol=1e-12
    )
    assert loaded.classes == ((0, 1) if task == "classification" else ())


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(RandomForestClassifier, n_estimators=3, random_state=0),
        functools.partial(HistGradientBoostingClassifier, max_iter=3, categorical_features=[0], random_state=0),
        LogisticRegression,
    ],
)
def test_the_same_training_run_gives_the_same_bytes(
    make: Callable[[], Any], frame: pd.DataFrame, tmp_path: Path
) -> None:
    first = save(tmp_path / "one", fitted(make(), frame), frame)
    keep_memory_busy = [fitted(make(), frame) for _ in range(3)]
    second = save(tmp_path / "other", fitted(make(), frame), frame)

    assert contents(first) == contents(second)
    assert len(keep_memory_busy) == 3


def test_the_number_of_threads_does_not_change_the_bytes(frame: pd.DataFrame, tmp_path: Path) -> None:
    make = functools.partial(HistGradientBoostingClassifier, max_iter=3, random_state=0)
    saved = []
    for threads in (1, 2):
        with threadpool_limits(threads, "openmp"):
            saved.append(save(tmp_path / str(threads), fitted(make(), frame), frame))

    assert contents(saved[0]) == contents(saved[1])
    model = models_artifact.load_model(saved[1], "ferries")
    np.testing.assert_array_equal(model.predict(frame), models_artifact.load_model(saved[0], "ferries").predict(frame))


def test_a_normalized_archive_loads_to_the_same_model(frame: pd.DataFrame) -> None:
    estimator = fitted(RandomForestClassifier(n_estimators=3, random_state=0), frame)
    raw = skops.io.dumps(estimator)
    normalized = models_archive.normalize(raw)
    types = skops.io.get_untrusted_types(data=normalized)

    assert types == skops.io.get_untrusted_types(data=raw)
    assert models_archive.normalize(normalized) == normalized
    assert len(normalized) < len(raw)
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(normalized)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    X = trained(frame).X
    assert skops.io.loads(normalized, trusted=types).predict_proba(X).tolist() == estimator.predict_proba(X).tolist()


def test_normalization_keeps_distinct_objects_distinct() -> None:
    """Objects with distinct memory addresses must get distinct numbers."""
    arrays = [np.arange(3), np.arange(3) * 2, np.arange(3)]
    estimator = FunctionTransformer(kw_args={"arrays": [*arrays, arrays[0]], "__id__": 5, "file": "x.npy"})
    loaded = skops.io.loads(models_archive.normalize(skops.io.dumps(estimator)))

    assert [array.tolist() for array in loaded.kw_args["arrays"]] == [[0, 1, 2], [0, 2, 4], [0, 1, 2], [0, 1, 2]]
    assert (loaded.kw_args["__id__"], loaded.kw_args["file"]) == (5, "x.npy")


def test_files_of_an_older_model_are_replaced(folder: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    newer = fitted(GaussianNB(), frame)

    assert contents(save(folder, newer, frame)) == contents(save(tmp_path / "fresh", newer, frame))


def test_the_manifest_has_inputs_classes_and_versions(original: Path) -> None:
    manifest = json.loads((original / "manifest.json").read_text())

    assert manifest["columns"] == [
        {"name": "departure", "kind": "datetime", "nullable": False},
        {"name": "harbour", "kind": "text", "nullable": False},
        {"name": "wind", "kind": "number", "nullable": False},
        {"name": "passengers", "kind": "integer", "nullable": False},
    ]
    assert (manifest["task"], manifest["target"], manifest["classes"]) == ("classification", "late", [0, 1])
    assert (manifest["trained_rows"], manifest["trained_until"]) == (600, "2024-04-19T22:00:00+00:00")
    assert manifest["sha256"] == sha256((original / "model.skops").read_bytes()).hexdigest()


def test_training_rows_are_stored_as_sorted_hashes(original: Path, frame: pd.DataFrame) -> None:
    assert models_artifact.load_model(original, "ferries").trained_rows.tolist() == trained(frame).hashes.tolist()


def test_the_golden_rows_give_the_stored_predictions(original: Path) -> None:
    golden = json.loads((original / "golden.json").read_text())
    golden_frame = pd.DataFrame(golden["rows"])

    assert len(golden_frame) == models_artifact.GOLDEN_ROWS
    np.testing.assert_allclose(
        models_artifact.load_model(original, "ferries").predict(golden_frame), golden["answers"], rtol=1e-12
    )


def test_golden_rows_preserve_every_kind_of_value(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "number": [0.1, None, -1e300, 1e-300],
            "integer": [1, 2, 3, -4],
            "gaps": pd.Series([1, None, 2**53, 0], dtype="Int64"),
            "flag": [True, None, False, True],
            "sure": [True, False, False, True],
            "word": ["Å\n<b>", None, "None", ""],
            "moment": pd.to_datetime(
                ["2024-03-01T00:00:00.000001Z", None, "1990-01-01", "2100-01-01"], utc=True, format="ISO8601"
            ),
            "late": [0, 1, 0, 1],
        }
    )
    X = models_artifact.select_inputs(frame, "late", ())
    kinds = {name: column_kind(frame[name]) for name in X}
    golden_frame = pd.DataFrame(json.loads(json.dumps(models_artifact.to_records(X, kinds), allow_nan=False)))
    rows = models_artifact.TrainingData(X, np.arange(4, dtype=np.uint64), "late", "classification", "")
    models_artifact.save_model(tmp_path / "model", DummyClassifier().fit(X, frame["late"]), rows, kinds, "ferries")

    pd.testing.assert_frame_equal(models_artifact.conform(golden_frame, kinds), X)
    assert json.loads((tmp_path / "model" / "golden.json").read_text())["rows"] == golden_frame.astype(object).where(
        golden_frame.notna(), None
    ).to_dict("records")


def test_a_model_accepts_columns_in_any_order_and_format(original: Path, frame: pd.DataFrame) -> None:
    model = models_artifact.load_model(original, "ferries")
    texts = frame[list(reversed(frame.columns))].assign(departure=frame["departure"].astype(str), extra=1)

    assert model.predict(texts).tolist() == model.predict(frame).tolist()


def saved_with_words(folder: Path) -> models_artifact.Model:
    """A model whose data has gaps in one text column and none in the other, and `n/a` for a missing value."""
    X = pd.DataFrame({"gappy": ["a", None, "b", "a"], "full": ["x", "y", "x", "y"]}, dtype=object)
    late, hashes = np.array([0, 1, 0, 1]), np.arange(4, dtype=np.uint64)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    estimator = make_pipeline(encode, HistGradientBoostingClassifier()).fit(X, late)
    rows = models_artifact.TrainingData(X, hashes, "late", "classification", "", missing=("n/a",))
    models_artifact.save_model(folder, estimator, rows, {"gappy": "text", "full": "text"}, "ferries")
    return models_artifact.load_model(folder, "ferries")


def test_words_for_missing_values_are_missing_in_a_request(tmp_path: Path) -> None:
    model = saved_with_words(tmp_path)
    written = pd.DataFrame({"gappy": ["n/a", "", "NA"], "full": ["x", "x", "x"]}, dtype=object)

    assert model._inputs(written)["gappy"].tolist() == [None, None, "NA"]
    assert model.predict(written)[:2].tolist() == model.predict(written.assign(gappy=None))[:2].tolist()


@pytest.mark.parametrize(("value", "unfilled"), [("x", []), ("", ["full"]), ("n/a", ["full"]), (None, ["full"])])
def test_a_column_without_gaps_in_training_has_to_be_filled(tmp_path: Path, value: Any, unfilled: list[str]) -> None:
    frame = pd.DataFrame({"gappy": ["a", None], "full": ["x", value]}, dtype=object)

    assert saved_with_words(tmp_path).unfilled(frame) == unfilled


def test_times_of_distant_years_reach_the_model(tmp_path: Path) -> None:
    X = models_artifact.conform(pd.DataFrame({"valid_to": ["2024-01-01", "9999-12-31"] * 2}), {"valid_to": "datetime"})
    rows = models_artifact.TrainingData(X, np.arange(4, dtype=np.uint64), "late", "classification", "")
    estimator = DummyClassifier().fit(X, [0, 1, 0, 1])
    models_artifact.save_model(tmp_path, estimator, rows, {"valid_to": "datetime"}, "ferries")
    moments = [datetime(9999, 12, 31, tzinfo=UTC), pd.Timestamp("2024-01-01T00:00:00.000000001Z")]

    frame = pd.DataFrame({"valid_to": moments}, dtype=object)
    assert models_artifact.load_model(tmp_path, "ferries").predict(frame).shape == (2, 2)


def test_a_row_without_a_required_column_is_refused(original: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="lacks columns that the model needs: wind"):
        models_artifact.load_model(original, "ferries").predict(frame.drop(columns="wind"))


def test_a_missing_column_in_data_drop_is_refused(frame: pd.DataFrame) -> None:
    """A renamed column with target leakage would otherwise become an input."""
    with pytest.raises(DataError, match="'minutes_late', which is not a column of the data"):
        models_artifact.select_inputs(frame, "late", ("minutes_late",))


def test_target_and_dropped_columns_are_not_inputs(frame: pd.DataFrame) -> None:
    assert list(models_artifact.select_inputs(frame, "late", ("waves", "departure")).columns) == [
        "harbour",
        "wind",
        "passengers",
    ]


# --- refused models


def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the model does not exist"):
        models_artifact.load_model(tmp_path, "ferries")


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_weights_with_one_changed_byte_are_refused(
    position: float, flip: int, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = sample.copy(original, tmp_path_factory.mktemp("flipped") / "model")
    raw = bytearray((folder / "model.skops").read_bytes())
    raw[int(position * len(raw))] ^= flip
    (folder / "model.skops").write_bytes(raw)

    with pytest.raises(UnsafeError, match="does not match the SHA-256 in its manifest") as caught:
        models_artifact.load_model(folder, "ferries")
    assert caught.value.exit_code == 7


def harm(*arguments: object) -> None:
    raise AssertionError("untrusted code ran")


FUNCTIONS = [
    os.system,
    eval,
    exec,
    __import__,
    getattr,
    pd.eval,
    np.load,
    functools.partial(os.system),
    harm,
    lambda X: X,
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: getattr(function, "__name__", "partial"))
def test_an_untrusted_function_is_refused_on_saving_and_loading(
    function: Any, folder: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    nasty = FunctionTransformer(function)
    with pytest.raises(UnsafeError, match="types that are not trusted"):
        save(tmp_path / "saved", nasty, frame)
    assert not (tmp_path / "saved" / "model.skops").exists()

    with pytest.raises(UnsafeError, match="types that are not trusted") as caught:
        models_artifact.load_model(with_weights(folder, nasty), "ferries")
    assert str(folder) in str(caught.value.where)


@pytest.mark.parametrize("package", ["ferries", "posi", "posix_", "system"])
def test_a_package_is_trusted_for_its_own_types_only(package: str, folder: Path) -> None:
    with pytest.raises(UnsafeError, match=r"posix\.system"):
        models_artifact.load_model(with_weights(folder, FunctionTransformer(os.system)), package)


def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> Any:
    """Import a module of the team's package with the given code."""
    (tmp_path / "src" / "ferries").mkdir(parents=True)
    (tmp_path / "src" / "ferries" / "features.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    return importlib.import_module("ferries.features")


def test_the_teams_own_function_is_trusted(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = team(tmp_path, monkeypatch, f"def pick(X):\n    return X[{NUMERIC}]\n")
    estimator = make_pipeline(FunctionTransformer(features.pick), GaussianNB()).fit(trained(frame).X, frame["late"])
    loaded = models_artifact.load_model(save(tmp_path / "model", estimator, frame), "ferries")

    assert loaded.manifest["trusted_types"] == ["ferries.features.pick"]
    assert loaded.predict(frame).tolist() == estimator.predict_proba(trained(frame).X).tolist()


def test_a_lambda_or_nested_function_cannot_be_saved(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """skops would save it without an error, but nothing could load it again."""
    features = team(tmp_path, monkeypatch, f"pick = lambda X: X[{NUMERIC}]\n")
    estimator = make_pipeline(FunctionTransformer(features.pick), GaussianNB()).fit(trained(frame).X, frame["late"])

    with pytest.raises(UnsafeError, match=r"ferries\.features\.<lambda>") as caught:
        save(tmp_path / "model", estimator, frame)
    assert "lambda" in str(caught.value.fix)


def archive(**members: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for name, text in members.items():
            out.writestr(name.replace("__", "."), text)
    return target.getvalue()


@pytest.mark.parametrize(
    "raw",
    [b"", b"not a zip", archive(), archive(schema__json="{"), archive(schema__json="{}"), archive(schema__json="[1]")],
)
def test_unreadable_weights_are_refused(raw: bytes, folder: Path) -> None:
    with pytest.raises(UnsafeError, match="cannot be read") as caught:
        models_artifact.load_model(with_weights(folder, raw), "ferries")
    assert caught.value.why


@pytest.mark.parametrize("manifest", ["{}", '{"sha256": 3}'])
def test_a_manifest_without_the_hash_of_the_weights_is_refused(manifest: str, folder: Path) -> None:
    (folder / "manifest.json").write_text(manifest)

    with pytest.raises(UnsafeError, match="does not match the SHA-256 in its manifest"):
        models_artifact.load_model(folder, "ferries")


def test_a_model_of_another_format_version_is_inconclusive(folder: Path) -> None:
    """Its row hashes are not comparable with those of the holdout, so an overlap could not be detected."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(
        json.dumps(manifest | {"schema_version": models_artifact.MANIFEST_VERSION + 1})
    )

    with pytest.raises(InconclusiveError, match="a different version"):
        models_artifact.load_model(folder, "ferries")


def test_an_untrusted_module_is_not_imported(folder: Path) -> None:
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(FunctionTransformer(os.path.basename))))
    schema = source.read("schema.json").decode().replace('"posixpath"', '"antigravity"')

    with pytest.raises(UnsafeError, match=r"antigravity\.basename"):
        models_artifact.load_model(with_weights(folder, archive(schema__json=schema)), "ferries")
    assert "antigravity" not in sys.modules


def test_a_model_whose_code_is_missing_is_inconclusive(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = team(tmp_path, monkeypatch, f"def pick(X):\n    return X[{NUMERIC}]\n")
    estimator = make_pipeline(FunctionTransformer(features.pick), GaussianNB()).fit(trained(frame).X, frame["late"])
    folder = save(tmp_path / "model", estimator, frame)
    del features.pick

    with pytest.raises(InconclusiveError, match="cannot be loaded with the current code") as caught:
        models_artifact.load_model(folder, "ferries")
    assert "pick" in str(caught.value.why)
