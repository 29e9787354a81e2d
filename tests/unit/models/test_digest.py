"""The digest of a model: everything that determines its answers changes it, and nothing else does."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

import sample
from titlebout.core.errors import NotFoundError, UnsafeError
from titlebout.models.artifact import TrainingData, digest_of, load_model, model_digest, save_model
from titlebout.models.champion import Champion, Promotion, require_digest
from titlebout.repository.dvc_files import DvcOutput

KINDS = {"wind": "number"}
OUTPUT = DvcOutput("0123456789abcdef0123456789abcdef.dir", 1234, 4)


def save(folder: Path, wind: list[float | None], **changes: Any) -> Path:
    """Write a model whose weights do not depend on the column."""
    X = pd.DataFrame({"wind": pd.array(wind, dtype="Float64").astype("float64")})
    y = [0, 1, 1, 1]
    hashes = sha256(repr(wind).encode()).digest()
    fields: dict[str, Any] = {
        "X": X,
        "hashes": pd.Series(range(hashes[0], hashes[0] + len(wind))).to_numpy(dtype="uint64"),
        "target": "late",
        "task": "classification",
        "until": "",
    }
    return save_model(folder, DummyClassifier().fit(X, y), TrainingData(**fields | changes), KINDS, "ferries")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "model", [1.0, 2.0, 3.0, 4.0])


def manifest(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return document


@pytest.mark.parametrize(
    ("wind", "changes"),
    [
        ([1.0, None, 3.0, 4.0], {}),
        ([1.0, 2.0, 3.0, 4.0], {"classes": (False, True)}),
        ([1.0, 2.0, 3.0, 4.0], {"missing": ("none",)}),
        ([1.0, 2.0, 3.0, 4.0], {"forms": {"wind": "%d"}}),
        ([1.0, 2.0, 3.0, 4.0], {"target": "cancelled"}),
    ],
    ids=["nullable", "classes", "words for missing values", "form of a time", "target"],
)
def test_the_same_weights_with_other_answers_have_another_digest(
    wind: list[float | None], changes: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    other = save(tmp_path / "other", wind, **changes)

    assert manifest(other)["sha256"] == manifest(folder)["sha256"]
    assert digest_of(other) != digest_of(folder)


def test_other_training_rows_and_golden_rows_keep_the_digest(folder: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", [5.0, 6.0, 7.0, 8.0], until="2026-01-01", window={"days": 90, "tried": []})

    for name in ("rows.parquet", "golden.json", "manifest.json"):
        assert (other / name).read_bytes() != (folder / name).read_bytes()
    assert digest_of(other) == digest_of(folder)


def test_what_a_later_version_adds_to_the_manifest_counts(folder: Path) -> None:
    assert model_digest(manifest(folder) | {"threshold": 0.4}) != model_digest(manifest(folder))
    assert model_digest(manifest(folder) | {"labels": "predict"}) != model_digest(manifest(folder))


def test_other_weights_have_another_digest(folder: Path) -> None:
    assert model_digest(manifest(folder) | {"sha256": "0" * 64}) != model_digest(manifest(folder))


def test_the_digest_of_a_loaded_model_is_that_of_its_folder(folder: Path, tmp_path: Path) -> None:
    assert load_model(folder, "ferries").digest == digest_of(folder) == digest_of(sample.copy(folder, tmp_path / "b"))
    assert len(digest_of(folder)) == 64


def test_a_folder_without_a_model_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the model does not exist"):
        digest_of(tmp_path)


def test_a_recorded_digest_has_to_be_the_models(folder: Path) -> None:
    require_digest(Champion(OUTPUT, Promotion(digest=digest_of(folder))), folder, "champion.dvc")
    with pytest.raises(UnsafeError, match=r"does not have the digest in champion\.dvc") as caught:
        require_digest(Champion(OUTPUT, Promotion(digest="0" * 64)), folder, "champion.dvc")

    assert caught.value.exit_code == 7
    assert digest_of(folder) in str(caught.value.why)


def test_a_champion_of_an_earlier_version_is_named_by_its_content_hash(folder: Path) -> None:
    require_digest(Champion(OUTPUT), folder, "champion.dvc")

    assert Champion(OUTPUT).name == OUTPUT.md5
    assert Champion(OUTPUT, Promotion(digest="abc")).name == "abc"
