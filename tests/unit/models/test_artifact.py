"""A model on disk: the same bytes every time, the same answers, and nothing in it can do harm."""

import functools
import importlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
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

import sample
from titlebout.core.errors import DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.data.columns import column_kind
from titlebout.models import artifact as models_artifact

NUMERIC = ["wind", "passengers"]


def trained(frame: pd.DataFrame, task: str = "classification") -> models_artifact.Trained:
    hashes = np.arange(len(frame), dtype=np.uint64) * np.uint64(2**40)
    return models_artifact.Trained(
        models_artifact.inputs(frame, "late", ("waves",)), hashes, "late", task, "2024-04-19T22:00:00+00:00"
    )


def fitted(estimator: Any, frame: pd.DataFrame) -> Any:
    """Fit on the numeric columns, and the harbour where the estimator is a pipeline that wants it."""
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
    """A saved logistic regression; not to be changed."""
    return save(tmp_path_factory.mktemp("original") / "model", fitted(LogisticRegression(), frame), frame)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return sample.copy(original, tmp_path / "model")


def with_weights(folder: Path, estimator: Any) -> Path:
    """Put other weights into a model folder, and make its manifest vouch for them."""
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
def test_a_loaded_model_answers_as_the_fitted_one(estimator: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
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
def test_the_same_training_gives_the_same_bytes(make: Callable[[], Any], frame: pd.DataFrame, tmp_path: Path) -> None:
    one = save(tmp_path / "one", fitted(make(), frame), frame)
    keep_memory_busy = [fitted(make(), frame) for _ in range(3)]
    other = save(tmp_path / "other", fitted(make(), frame), frame)

    assert contents(one) == contents(other)
    assert len(keep_memory_busy) == 3


def test_a_normalised_archive_loads_to_the_same_model(frame: pd.DataFrame) -> None:
    estimator = fitted(RandomForestClassifier(n_estimators=3, random_state=0), frame)
    raw = skops.io.dumps(estimator)
    normalised = models_artifact._normalised(raw)
    types = skops.io.get_untrusted_types(data=normalised)

    assert types == skops.io.get_untrusted_types(data=raw)
    assert models_artifact._normalised(normalised) == normalised
    assert len(normalised) < len(raw)
    assert {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(normalised)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    X = trained(frame).X
    assert skops.io.loads(normalised, trusted=types).predict_proba(X).tolist() == estimator.predict_proba(X).tolist()


def test_two_objects_do_not_become_one() -> None:
    """Names by order of occurrence must keep apart what memory addresses kept apart."""
    arrays = [np.arange(3), np.arange(3) * 2, np.arange(3)]
    estimator = FunctionTransformer(kw_args={"arrays": [*arrays, arrays[0]], "__id__": 5, "file": "x.npy"})
    loaded = skops.io.loads(models_artifact._normalised(skops.io.dumps(estimator)))

    assert [array.tolist() for array in loaded.kw_args["arrays"]] == [[0, 1, 2], [0, 2, 4], [0, 1, 2], [0, 1, 2]]
    assert (loaded.kw_args["__id__"], loaded.kw_args["file"]) == (5, "x.npy")


def test_an_older_models_files_are_replaced(folder: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    newer = fitted(GaussianNB(), frame)

    assert contents(save(folder, newer, frame)) == contents(save(tmp_path / "fresh", newer, frame))


def test_the_manifest_says_what_the_model_takes_and_knows(original: Path) -> None:
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


def test_the_training_rows_are_kept_as_sorted_hashes(original: Path, frame: pd.DataFrame) -> None:
    assert models_artifact.load_model(original, "ferries").trained_rows.tolist() == trained(frame).hashes.tolist()


def test_the_golden_rows_get_the_same_answers_again(original: Path) -> None:
    golden = json.loads((original / "golden.json").read_text())
    asked = pd.DataFrame(golden["rows"])

    assert len(asked) == models_artifact.GOLDEN_ROWS
    np.testing.assert_allclose(
        models_artifact.load_model(original, "ferries").predict(asked), golden["answers"], rtol=1e-12
    )


def test_every_kind_of_value_survives_as_a_golden_row(tmp_path: Path) -> None:
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
    X = models_artifact.inputs(frame, "late", ())
    kinds = {name: column_kind(frame[name]) for name in X}
    asked = pd.DataFrame(json.loads(json.dumps(models_artifact.to_records(X, kinds), allow_nan=False)))
    rows = models_artifact.Trained(X, np.arange(4, dtype=np.uint64), "late", "classification", "")
    models_artifact.save_model(tmp_path / "model", DummyClassifier().fit(X, frame["late"]), rows, kinds, "ferries")

    pd.testing.assert_frame_equal(models_artifact.conform(asked, kinds), X)
    assert json.loads((tmp_path / "model" / "golden.json").read_text())["rows"] == asked.astype(object).where(
        asked.notna(), None
    ).to_dict("records")


@given(rows=st.integers(1, 2000))
def test_golden_rows_are_spread_over_all_rows(rows: int) -> None:
    positions = models_artifact._spread(rows, models_artifact.GOLDEN_ROWS)

    assert len(positions) == min(rows, models_artifact.GOLDEN_ROWS)
    assert (positions[0], positions[-1]) == (0, rows - 1)
    assert np.diff(positions).max(initial=0) <= rows // models_artifact.GOLDEN_ROWS + 1


def test_a_model_takes_columns_in_any_order_and_kind_of_file(original: Path, frame: pd.DataFrame) -> None:
    model = models_artifact.load_model(original, "ferries")
    texts = frame[list(reversed(frame.columns))].assign(departure=frame["departure"].astype(str), extra=1)

    assert model.predict(texts).tolist() == model.predict(frame).tolist()


def test_a_row_without_a_column_the_model_needs_is_refused(original: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="missing columns: wind"):
        models_artifact.load_model(original, "ferries").predict(frame.drop(columns="wind"))


def test_a_column_to_drop_that_is_not_there_is_refused(frame: pd.DataFrame) -> None:
    """A leak that was renamed would be learnt from."""
    with pytest.raises(DataError, match="'minutes_late', is not in the data"):
        models_artifact.inputs(frame, "late", ("minutes_late",))


def test_target_and_dropped_columns_are_no_inputs(frame: pd.DataFrame) -> None:
    assert list(models_artifact.inputs(frame, "late", ("waves", "departure")).columns) == [
        "harbour",
        "wind",
        "passengers",
    ]


# --- what is refused


def test_no_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no model"):
        models_artifact.load_model(tmp_path, "ferries")


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_weights_with_one_changed_byte_are_refused(
    position: float, flip: int, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = sample.copy(original, tmp_path_factory.mktemp("flipped") / "model")
    raw = bytearray((folder / "model.skops").read_bytes())
    raw[int(position * len(raw))] ^= flip
    (folder / "model.skops").write_bytes(raw)

    with pytest.raises(UnsafeError, match="not the one its manifest describes") as caught:
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
def test_a_function_from_anywhere_is_refused_when_saving_and_when_loading(
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
def test_a_package_vouches_for_its_own_types_only(package: str, folder: Path) -> None:
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


def test_a_function_without_a_name_of_its_own_cannot_be_saved(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be saved without a complaint, and nothing could load it again."""
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
def test_weights_that_are_no_weights_are_refused(raw: bytes, folder: Path) -> None:
    with pytest.raises(UnsafeError, match="cannot be read") as caught:
        models_artifact.load_model(with_weights(folder, raw), "ferries")
    assert caught.value.why


@pytest.mark.parametrize("manifest", ["{}", '{"sha256": 3}'])
def test_a_manifest_that_vouches_for_nothing_is_refused(manifest: str, folder: Path) -> None:
    (folder / "manifest.json").write_text(manifest)

    with pytest.raises(UnsafeError, match="not the one its manifest describes"):
        models_artifact.load_model(folder, "ferries")


def test_a_model_of_another_version_decides_nothing(folder: Path) -> None:
    """Its training rows are hashed in another way: that it shares none with a holdout would mean nothing."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(
        json.dumps(manifest | {"schema_version": models_artifact.MANIFEST_VERSION + 1})
    )

    with pytest.raises(InconclusiveError, match="another version"):
        models_artifact.load_model(folder, "ferries")


def test_what_is_not_trusted_is_not_even_imported(folder: Path) -> None:
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(FunctionTransformer(os.path.basename))))
    schema = source.read("schema.json").decode().replace('"posixpath"', '"antigravity"')

    with pytest.raises(UnsafeError, match=r"antigravity\.basename"):
        models_artifact.load_model(with_weights(folder, archive(schema__json=schema)), "ferries")
    assert "antigravity" not in sys.modules


def test_a_model_whose_code_is_gone_decides_nothing(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = team(tmp_path, monkeypatch, f"def pick(X):\n    return X[{NUMERIC}]\n")
    estimator = make_pipeline(FunctionTransformer(features.pick), GaussianNB()).fit(trained(frame).X, frame["late"])
    folder = save(tmp_path / "model", estimator, frame)
    del features.pick

    with pytest.raises(InconclusiveError, match="cannot be loaded with the code that is here") as caught:
        models_artifact.load_model(folder, "ferries")
    assert "pick" in str(caught.value.why)
