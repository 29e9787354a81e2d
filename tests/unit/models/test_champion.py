"""Who holds the title: a file in git, changed only by a verdict about exactly this model and this champion."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import sample
from promotions import MODEL, OTHER, verdict
from titlebout.core.errors import ConfigError, ConflictError, DataError, UnsafeError
from titlebout.models.champion import champion_here, champion_path, crown, promote
from titlebout.repository.dvc_files import Pointer
from titlebout.repository.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a champion; its files need no git."""
    for name in ("titlebout.toml", "pipelines/ferries/params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(sample.FILES[name], encoding="utf-8")
    return Project.find(tmp_path)


def pointer_file(project: Project) -> Path:
    return project.root / champion_path(project)


def test_a_project_has_no_champion_at_first(project: Project) -> None:
    assert champion_here(project) is None


def test_the_champion_is_read_back_with_its_evidence(project: Project) -> None:
    crowned = crown(project, MODEL, verdict())

    assert champion_here(project) == crowned
    assert crowned.pointer == MODEL
    assert crowned.meta["challenger_score"] == 0.4
    assert crowned.meta["holdout"]["rows"] == 168


def test_the_pointer_is_one_that_dvc_can_read(project: Project) -> None:
    crown(project, MODEL, verdict())
    text = pointer_file(project).read_text()

    assert text.startswith("# Written by `titlebout promote`")
    assert yaml.safe_load(text)["outs"] == [
        {"md5": MODEL.md5, "size": 1234, "nfiles": 4, "hash": "md5", "path": "champion"}
    ]


def test_the_same_verdict_writes_the_same_bytes(project: Project) -> None:
    crown(project, MODEL, verdict())
    first = pointer_file(project).read_bytes()
    crown(project, MODEL, verdict())

    assert pointer_file(project).read_bytes() == first


@pytest.mark.parametrize("said", ["keep", "inconclusive", "unchanged", "Promote", "", None])
def test_only_the_verdict_promote_promotes(said: str | None, project: Project) -> None:
    with pytest.raises(UnsafeError, match="the gate did not say promote") as caught:
        crown(project, MODEL, verdict(verdict=said))

    assert repr(said) in str(caught.value.why)
    assert not pointer_file(project).exists()


@pytest.mark.parametrize("document", [{}, {"error": {"exit_code": 3}}])
def test_no_verdict_promotes_nothing(document: dict[str, Any], project: Project) -> None:
    with pytest.raises(UnsafeError):
        crown(project, MODEL, document)


@pytest.mark.parametrize("challenger", [OTHER.md5, "", None])
def test_a_verdict_about_another_model_is_refused(challenger: str | None, project: Project) -> None:
    with pytest.raises(UnsafeError, match="the verdict is about another model") as caught:
        crown(project, MODEL, verdict(challenger=challenger))

    assert MODEL.md5 in str(caught.value.why)
    assert caught.value.exit_code == 7
    assert not pointer_file(project).exists()


@pytest.mark.parametrize("beaten", [None, MODEL])
def test_a_verdict_over_another_champion_is_out_of_date(beaten: Pointer | None, project: Project) -> None:
    crown(project, OTHER, verdict(OTHER))
    before = pointer_file(project).read_bytes()
    third = Pointer("33.dir", 1, 1)

    with pytest.raises(ConflictError, match="the title changed hands") as caught:
        crown(project, third, verdict(third, beaten))
    assert caught.value.exit_code == 6
    assert pointer_file(project).read_bytes() == before


def test_a_verdict_over_an_absent_champion_is_out_of_date(project: Project) -> None:
    with pytest.raises(ConflictError, match="the title changed hands"):
        crown(project, MODEL, verdict(MODEL, OTHER))


def test_a_verdict_that_lacks_its_evidence_is_refused(project: Project) -> None:
    document = verdict()
    del document["holdout"]

    with pytest.raises(DataError, match="the verdict has no 'holdout'"):
        crown(project, MODEL, document)
    assert not pointer_file(project).exists()


def test_a_pointer_with_markers_of_a_merge_conflict_is_a_conflict(project: Project) -> None:
    crown(project, MODEL, verdict())
    text = pointer_file(project).read_text()
    pointer_file(project).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")

    with pytest.raises(ConflictError):
        champion_here(project)


@pytest.mark.parametrize("text", ["", "outs: []\n", "meta: {}\n", "outs:\n- path: champion\n"])
def test_a_pointer_that_names_no_model_is_not_without_a_champion(text: str, project: Project) -> None:
    pointer_file(project).write_text(text)

    with pytest.raises(ConfigError):
        champion_here(project)


def test_a_pointer_without_evidence_is_still_a_pointer(project: Project) -> None:
    pointer_file(project).write_text("meta:\nouts:\n- md5: ab.dir\n  path: champion\n")
    here = champion_here(project)

    assert here is not None
    assert (here.pointer.md5, here.meta) == ("ab.dir", {})


def test_promote_says_what_is_left_to_do(project: Project) -> None:
    result = promote(project, MODEL, verdict())

    assert result.passed
    assert result.champion == MODEL.md5
    assert "pipelines/ferries/champion.dvc" in result.reasons[0]
    assert "commit" in result.reasons[0]
