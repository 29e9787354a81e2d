"""Promotion: the file of the champion is written for a verdict about exactly this model, and for no other."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import sample
from titlebout.core.errors import ChallengerLostError, InconclusiveError, TitleboutError, UnsafeError
from titlebout.data.holdout import Holdout
from titlebout.gate.promotion import promote_challenger
from titlebout.gate.report import EvaluateResult
from titlebout.models.artifact import model_digest
from titlebout.models.champion import Promotion, champion_in_work_tree, champion_path
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.project import Project

MODEL = DvcOutput("0123456789abcdef0123456789abcdef.dir", 1234, 4)
WEIGHTS = b"weights"
MANIFEST = {"sha256": sha256(WEIGHTS).hexdigest()}
DIGEST = model_digest(MANIFEST)


def verdict(**changes: Any) -> EvaluateResult:
    fields: dict[str, Any] = {
        "passed": True,
        "verdict": "promote",
        "challenger": DIGEST,
        "challenger_md5": MODEL.md5,
        "reason": "first",
        "rule": "first",
        "metric": "log_loss",
        "challenger_score": 0.4,
        "holdout": Holdout(rows=168, fingerprint="ab", start="", end="", uses=1),
    }
    return EvaluateResult(**fields | changes)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a trained model and no champion."""
    project = Project.find(sample.write_settings(tmp_path))
    project.model_dir.mkdir(parents=True)
    (project.model_dir / "model.skops").write_bytes(WEIGHTS)
    (project.model_dir / "manifest.json").write_text(json.dumps(MANIFEST))
    return project


def test_a_promoted_model_is_read_back_with_its_evidence(project: Project) -> None:
    promoted = promote_challenger(project, MODEL, verdict())

    assert champion_in_work_tree(project) == promoted
    assert promoted.output == MODEL
    assert promoted.promotion == Promotion(
        digest=DIGEST,
        reason="first",
        rule="first",
        metric="log_loss",
        challenger_score=0.4,
        holdout=Holdout(rows=168, fingerprint="ab", start="", end="", uses=1),
    )


@pytest.mark.parametrize(
    ("given", "error"),
    [("keep", ChallengerLostError), ("inconclusive", InconclusiveError), ("unchanged", ChallengerLostError)],
)
def test_only_the_verdict_promote_promotes(given: str, error: type[TitleboutError], project: Project) -> None:
    with pytest.raises(error, match="the challenger cannot be promoted") as caught:
        promote_challenger(project, MODEL, verdict(verdict=given))

    assert repr(given) in str(caught.value.why)
    assert not (project.root / champion_path(project)).exists()


@pytest.mark.parametrize("other", [{"challenger": "0" * 64}, {"challenger": ""}, {"challenger_md5": f"{'0' * 32}.dir"}])
def test_a_verdict_about_another_model_is_refused(other: dict[str, str], project: Project) -> None:
    with pytest.raises(UnsafeError, match="the last evaluation was of a different model") as caught:
        promote_challenger(project, MODEL, verdict(**other))

    assert DIGEST in str(caught.value.why)
    assert MODEL.md5 in str(caught.value.why)
    assert caught.value.exit_code == 7
    assert not (project.root / champion_path(project)).exists()


def test_weights_that_differ_from_the_manifest_are_not_promoted(project: Project) -> None:
    (project.model_dir / "model.skops").write_bytes(b"others")

    with pytest.raises(UnsafeError, match="does not match the SHA-256 in its manifest"):
        promote_challenger(project, MODEL, verdict())
    assert not (project.root / champion_path(project)).exists()
