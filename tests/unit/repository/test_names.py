"""Names of pipelines in a git repository that several projects share."""

import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sample
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project

TOP = Path("/shop")
SAFE = set(string.ascii_letters + string.digits + "@_-")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.find(sample.write_settings(tmp_path_factory.mktemp("project")))


def named(project: Project, folder: str) -> str:
    return pipeline_name(Project(TOP / folder, project.settings, project.pipeline), Git(TOP))


@pytest.mark.parametrize(
    ("folder", "name"), [(".", "ferries"), ("ml", "ferries@ml"), ("ml/a", "ferries@ml-a-"), ("-x y", "ferries@x-y-")]
)
def test_the_folder_is_a_part_of_the_name(project: Project, folder: str, name: str) -> None:
    assert named(project, folder).startswith(name)
    assert retrain_branch(project, Git(project.root)) == "retrain/ferries"


@example(folders=["-", "0"])
@example(folders=["-x", "x", "a" * 90])
@given(
    folders=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=2)
)
def test_folders_have_different_names_that_git_accepts(project: Project, folders: list[str]) -> None:
    paths = {(TOP / folder.strip("/")) for folder in folders if folder.strip("/") and ".." not in folder}
    names = {named(project, str(path.relative_to(TOP))) for path in paths}

    assert len(names) == len(paths)
    assert all(set(name) <= SAFE and not name.endswith("@") and len(name) < 80 for name in names)
