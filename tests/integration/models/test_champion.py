"""The champion of a commit, as champion.dvc names it there."""

from pathlib import Path

import pytest

import sample
from titlebout.core import process
from titlebout.core.errors import ConfigError, ConflictError
from titlebout.data.holdout import Holdout
from titlebout.models.champion import (
    Promotion,
    champion_at,
    champion_in_work_tree,
    champion_path,
    champions,
    set_champion,
)
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.git import Git
from titlebout.repository.project import Project

MODEL = DvcOutput("0123456789abcdef0123456789abcdef.dir", 1234, 4)
OTHER = DvcOutput("fedcba9876543210fedcba9876543210.dir", 99, 4)
FIRST = Promotion(
    reason="first", challenger_score=0.4, holdout=Holdout(rows=168, fingerprint="ab", start="", end="", uses=1)
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one commit and no champion."""
    sample.write_settings(tmp_path)
    sample.git(tmp_path, "init", "--quiet")
    sample.commit(tmp_path, "First commit")
    return Project.find(tmp_path)


def pointer_file(project: Project) -> Path:
    return project.root / champion_path(project)


def test_a_first_commit_has_no_champion(project: Project) -> None:
    assert champion_at(project, Git(project.root), "HEAD") is None


def test_an_unknown_revision_is_an_error(project: Project) -> None:
    with pytest.raises(process.ProcessError):
        champion_at(project, Git(project.root), "0" * 40)


def test_the_champion_of_a_commit_is_what_it_committed(project: Project) -> None:
    git = Git(project.root)
    set_champion(project, MODEL, FIRST, "")
    first = sample.commit(project.root, "First champion")
    set_champion(project, OTHER, FIRST, MODEL.md5)

    at = champion_at(project, git, first)
    assert at is not None
    assert at.output == MODEL
    here = champion_in_work_tree(project)
    assert here is not None
    assert here.output == OTHER


def test_a_project_below_the_top_of_its_repository_has_its_champion(tmp_path: Path) -> None:
    """Searched for at the top, there would be no champion, and any challenger would be promoted."""
    root = tmp_path / "models" / "ferries"
    project = Project.find(sample.write_settings(root))
    set_champion(project, MODEL, FIRST, "")
    sample.git(tmp_path, "init", "--quiet")
    sample.commit(tmp_path, "First commit")
    at = champion_at(project, Git.find(root), "HEAD")

    assert at is not None
    assert at.output == MODEL


def test_a_committed_merge_conflict_is_a_conflict(project: Project) -> None:
    set_champion(project, MODEL, FIRST, "")
    text = pointer_file(project).read_text()
    pointer_file(project).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    sample.commit(project.root, "Markers")

    with pytest.raises(ConflictError):
        champion_at(project, Git(project.root), "HEAD")


def test_the_history_ends_at_a_record_of_an_older_version(project: Project) -> None:
    set_champion(project, OTHER, FIRST, "")
    text = pointer_file(project).read_text()
    pointer_file(project).write_text(text.replace("uses:", "evaluations:"))
    sample.commit(project.root, "First champion, by an older version")
    with pytest.raises(ConfigError):
        list(champions(project, Git(project.root), "HEAD"))
    pointer_file(project).unlink()
    set_champion(project, MODEL, FIRST, "")
    sample.commit(project.root, "Second champion")

    assert [champion.output for champion in champions(project, Git(project.root), "HEAD")] == [MODEL]
