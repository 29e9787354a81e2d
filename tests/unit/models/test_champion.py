"""The champion file: changed only by an evaluation of exactly this challenger against exactly this champion."""

from pathlib import Path

import pytest
import yaml

import sample
from titlebout.core.errors import ConfigError, ConflictError
from titlebout.data.holdout import Holdout
from titlebout.models.champion import Promotion, champion_in_work_tree, champion_path, set_champion
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.project import Project

MODEL = DvcOutput("0123456789abcdef0123456789abcdef.dir", 1234, 4)
OTHER = DvcOutput("fedcba9876543210fedcba9876543210.dir", 99, 4)


FIRST = Promotion(
    reason="first", challenger_score=0.4, holdout=Holdout(rows=168, fingerprint="ab", start="", end="", uses=1)
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one commit and no champion."""
    return Project.find(sample.write_settings(tmp_path))


def champion_file(project: Project) -> Path:
    return project.root / champion_path(project)


def test_a_new_project_has_no_champion(project: Project) -> None:
    assert champion_in_work_tree(project) is None


def test_the_champion_is_read_back_with_its_metadata(project: Project) -> None:
    champion = set_champion(project, MODEL, FIRST, "")

    assert champion_in_work_tree(project) == champion
    assert champion.output == MODEL
    assert champion.promotion == FIRST


def test_dvc_can_read_the_champion_file(project: Project) -> None:
    set_champion(project, MODEL, FIRST, "")
    text = champion_file(project).read_text()

    assert text.startswith("# Written by `titlebout promote`")
    assert yaml.safe_load(text)["outs"] == [
        {"md5": MODEL.md5, "size": 1234, "nfiles": 4, "hash": "md5", "path": "champion"}
    ]


def test_the_same_evaluation_writes_the_same_bytes(project: Project) -> None:
    set_champion(project, MODEL, FIRST, "")
    first = champion_file(project).read_bytes()
    set_champion(project, MODEL, FIRST, "")

    assert champion_file(project).read_bytes() == first


@pytest.mark.parametrize("previous", [None, MODEL])
def test_an_evaluation_against_another_champion_is_outdated(previous: DvcOutput | None, project: Project) -> None:
    set_champion(project, OTHER, FIRST, "")
    before = champion_file(project).read_bytes()
    third = DvcOutput("33.dir", 1, 1)

    with pytest.raises(ConflictError, match="the champion has changed") as caught:
        set_champion(project, third, FIRST, previous.md5 if previous else "")
    assert caught.value.exit_code == 6
    assert champion_file(project).read_bytes() == before


def test_an_evaluation_against_a_missing_champion_is_outdated(project: Project) -> None:
    with pytest.raises(ConflictError, match="the champion has changed"):
        set_champion(project, MODEL, FIRST, OTHER.md5)


def test_conflict_markers_in_champion_dvc_are_a_conflict(project: Project) -> None:
    set_champion(project, MODEL, FIRST, "")
    text = champion_file(project).read_text()
    champion_file(project).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")

    with pytest.raises(ConflictError):
        champion_in_work_tree(project)


@pytest.mark.parametrize("text", ["", "outs: []\n", "meta: {}\n", "outs:\n- path: champion\n"])
def test_an_invalid_champion_file_is_an_error_and_not_a_missing_champion(text: str, project: Project) -> None:
    champion_file(project).write_text(text)

    with pytest.raises(ConfigError):
        champion_in_work_tree(project)


def test_a_champion_file_without_metadata_is_valid(project: Project) -> None:
    champion_file(project).write_text("meta:\nouts:\n- md5: ab.dir\n  path: champion\n")
    current = champion_in_work_tree(project)

    assert current is not None
    assert (current.output.md5, current.promotion) == ("ab.dir", Promotion())


@pytest.mark.parametrize("meta", ["text", "{holdout: 3}", "{challenger_score: much}", "{surprise: 1}"])
def test_an_invalid_promotion_is_an_error_with_its_field(meta: str, project: Project) -> None:
    champion_file(project).write_text(f"meta: {meta}\nouts:\n- md5: ab.dir\n  path: champion\n")

    with pytest.raises(ConfigError, match="the promotion recorded") as caught:
        champion_in_work_tree(project)
    assert str(caught.value.why).startswith("meta")
