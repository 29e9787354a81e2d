"""Labels have the type that they have in the data, from the training rows to the answer of the service."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sample
from titlebout.models.loading import load_project_model
from titlebout.repository.project import Project
from titlebout.serving import service
from titlebout.training.fitting import predicted_classes
from titlebout.training.train import fit

LABELS: dict[str, tuple[Any, Any, list[object]]] = {
    "integers": (0, 1, [0, 1]),
    "integers made floats by a gap": (0.0, 1.0, [0, 1]),
    "large integers": (2**53 + 1, 7, [7, 2**53 + 1]),
    "booleans": (False, True, [False, True]),
    "text": ("no", "yes", ["no", "yes"]),
    "text with zeros": ("007", "7", ["007", "7"]),
    "text of digits": ("0", "1", ["0", "1"]),
}


def relabeled(root: Path, first: Any, second: Any) -> Project:
    """Return the sample project with other labels, before its training."""
    rows = sample.crossings()
    rows["late"] = pd.Series(np.where(rows["late"] == 1, 1, 0)).map({0: first, 1: second})
    for path in (root / "data").glob("*.parquet"):
        path.unlink()
    (root / "data").mkdir(exist_ok=True)
    rows.to_parquet(root / "data" / "2024-03.parquet", index=False)
    return Project.find(root)


@pytest.mark.parametrize("kind", LABELS)
def test_labels_keep_their_type(kind: str, repository: Path, tmp_path: Path) -> None:
    first, second, expected = LABELS[kind]
    project = relabeled(sample.copy(repository, tmp_path / sample.NAME), first, second)
    model = load_project_model(project, fit(project))
    request = service.request_type(model.manifest["columns"])
    rows = json.loads((project.model_dir / "golden.json").read_text("utf-8"))["rows"][:40]
    answer = service.predict(
        model, request.model_validate({"rows": rows}).rows, service.response_type(model.manifest["classes"])
    )
    served = {row["label"] for row in json.loads(answer.model_dump_json())["predictions"]}

    assert [(label, type(label)) for label in model.classes] == [(label, type(label)) for label in expected]
    assert {(label, type(label)) for label in served} == {(label, type(label)) for label in expected}


def test_classes_that_a_library_has_renamed_are_those_of_the_data(repository: Path, tmp_path: Path) -> None:
    class Renamed:
        classes_ = np.array(["False", "True"])

    project = relabeled(sample.copy(repository, tmp_path / sample.NAME), False, True)
    rows = sample.crossings().assign(late=lambda frame: frame["late"].astype(bool))

    assert predicted_classes(project, Renamed(), rows) == (False, True)
