"""The chosen training window is deterministic, recorded in the manifest, and shown in reports."""

import json
from pathlib import Path

import pandas as pd
import pytest

import sample
from titlebout.core import process
from titlebout.core.errors import ConfigError
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc_files import folder_digest
from titlebout.repository.project import Project
from titlebout.training.train import fit

PIPELINE = Path("pipelines/ferries")


@pytest.fixture(scope="module")
def changed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained sample repository, with data in which wind has an effect only since 20 days before the holdout."""
    root = sample.copy(repository, tmp_path_factory.mktemp("turned") / sample.NAME)
    rows = sample.crossings()
    before = rows["departure"] < rows["departure"].max() - pd.Timedelta(days=34)
    rows["late"] = rows["late"].where(~before, 1 - rows["late"])
    (root / "data" / "2024-03.parquet").unlink(missing_ok=True)
    (root / "data").mkdir(exist_ok=True)
    rows.to_parquet(root / "data" / "2024-03.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    sample.edit(
        root / PIPELINE / "params.yaml",
        "  holdout_days: 14\n",
        "  holdout_days: 14\n  windows: [14]\n  window_test_days: 7\n",
    )
    sample.commit(root, "Another world, and a window")
    process.run(["titlebout", "train"], cwd=root)
    return root


def test_the_manifest_records_the_training_window(changed: Path) -> None:
    model = load_project_model(Project.find(changed), changed / PIPELINE / "model")

    assert model.manifest["window"]["days"] == 14
    assert [candidate["days"] for candidate in model.manifest["window"]["tried"]] == [0, 14]
    assert model.manifest["trained_rows"] == len(model.trained_rows) == 14 * 12
    assert json.loads((changed / PIPELINE / "reports/metrics.json").read_text("utf-8"))["window_days"] == 14


def test_the_same_data_give_the_same_model(changed: Path, tmp_path: Path) -> None:
    project = Project.find(sample.copy(changed, tmp_path / sample.NAME))

    assert folder_digest(fit(project)) == folder_digest(changed / PIPELINE / "model")


def test_without_candidates_the_manifest_has_no_window(calm: Path) -> None:
    manifest = json.loads((calm / PIPELINE / "model/manifest.json").read_text("utf-8"))

    assert "window" not in manifest
    assert manifest["trained_rows"] == 36 * 12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("windows: [14]", "windows: [0]", "must contain only whole numbers of at least 1"),
        (
            "  time: departure\n  drop: []\nsplit:\n  by: time",
            "  drop: []\nsplit:\n  by: hash",
            "data.time is empty",
        ),
    ],
)
def test_invalid_windows_are_refused(changed: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    root = sample.copy(changed, tmp_path / sample.NAME)
    sample.edit(root / PIPELINE / "params.yaml", old, new)

    with pytest.raises(ConfigError, match=message):
        _ = Project.find(root).params
