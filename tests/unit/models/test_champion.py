"""Who holds the title: a file in git, changed only by a verdict about exactly this model and this champion."""

from pathlib import Path

import pytest
import yaml

import sample
from titlebout.core import process
from titlebout.core.errors import ConfigError, ConflictError
from titlebout.models.champion import champion_at, champion_here, champion_path, set_champion
from titlebout.repository.dvc_files import Pointer
from titlebout.repository.git import Git
from titlebout.repository.project import Project

MODEL = Pointer("0123456789abcdef0123456789abcdef.dir", 1234, 4)
OTHER = Pointer("fedcba9876543210fedcba9876543210.dir", 99, 4)


META = {"reason": "first", "challenger_score": 0.4, "holdout": {"rows": 168}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one commit and no champion."""
    for name in ("titlebout.toml", "pipelines/ferries/params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(sample.FILES[name], encoding="utf-8")
    sample.git(tmp_path, "init", "--quiet")
    sample.commit(tmp_path, "First commit")
    return Project.find(tmp_path)


def pointer_file(project: Project) -> Path:
    return project.root / champion_path(project)


def test_nobody_holds_the_title_at_first(project: Project) -> None:
    assert champion_here(project) is None
    assert champion_at(project, Git(project.root), "HEAD") is None


def test_a_revision_that_is_not_there_is_not_without_a_champion(project: Project) -> None:
    with pytest.raises(process.ProcessError):
        champion_at(project, Git(project.root), "0" * 40)


def test_the_champion_is_read_back_with_its_evidence(project: Project) -> None:
    champion = set_champion(project, MODEL, META, "")

    assert champion_here(project) == champion
    assert champion.pointer == MODEL
    assert champion.meta["challenger_score"] == 0.4
    assert champion.meta["holdout"]["rows"] == 168


def test_the_pointer_is_one_that_dvc_can_read(project: Project) -> None:
    set_champion(project, MODEL, META, "")
    text = pointer_file(project).read_text()

    assert text.startswith("# Written by `titlebout promote`")
    assert yaml.safe_load(text)["outs"] == [
        {"md5": MODEL.md5, "size": 1234, "nfiles": 4, "hash": "md5", "path": "champion"}
    ]


def test_the_same_verdict_writes_the_same_bytes(project: Project) -> None:
    set_champion(project, MODEL, META, "")
    first = pointer_file(project).read_bytes()
    set_champion(project, MODEL, META, "")

    assert pointer_file(project).read_bytes() == first


def test_the_title_of_a_revision_is_what_was_committed_there(project: Project) -> None:
    git = Git(project.root)
    set_champion(project, MODEL, META, "")
    first = sample.commit(project.root, "First champion")
    set_champion(project, OTHER, META, MODEL.md5)

    at = champion_at(project, git, first)
    assert at is not None
    assert at.pointer == MODEL
    here = champion_here(project)
    assert here is not None
    assert here.pointer == OTHER


def test_the_title_is_found_in_a_project_below_the_top_of_its_repository(tmp_path: Path) -> None:
    """Looked for at the top, it would seem as if nobody held the title, and any challenger would win."""
    root = tmp_path / "models" / "ferries"
    for name in ("titlebout.toml", "pipelines/ferries/params.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(sample.FILES[name], encoding="utf-8")
    project = Project.find(root)
    set_champion(project, MODEL, META, "")
    sample.git(tmp_path, "init", "--quiet")
    sample.commit(tmp_path, "First commit")
    at = champion_at(project, Git.find(root), "HEAD")

    assert at is not None
    assert at.pointer == MODEL


@pytest.mark.parametrize("beaten", [None, MODEL])
def test_a_verdict_over_another_champion_is_out_of_date(beaten: Pointer | None, project: Project) -> None:
    set_champion(project, OTHER, META, "")
    before = pointer_file(project).read_bytes()
    third = Pointer("33.dir", 1, 1)

    with pytest.raises(ConflictError, match="the title changed hands") as caught:
        set_champion(project, third, META, beaten.md5 if beaten else "")
    assert caught.value.exit_code == 6
    assert pointer_file(project).read_bytes() == before


def test_a_verdict_over_a_champion_that_is_not_here_is_out_of_date(project: Project) -> None:
    with pytest.raises(ConflictError, match="the title changed hands"):
        set_champion(project, MODEL, META, OTHER.md5)


def test_a_pointer_with_markers_of_a_merge_conflict_is_a_conflict(project: Project) -> None:
    set_champion(project, MODEL, META, "")
    text = pointer_file(project).read_text()
    pointer_file(project).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    sample.commit(project.root, "Markers")

    for read in (lambda: champion_here(project), lambda: champion_at(project, Git(project.root), "HEAD")):
        with pytest.raises(ConflictError):
            read()


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
