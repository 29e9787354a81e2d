"""Workflows of a project in a folder of a larger repository: where GitHub reads them."""

from pathlib import Path

import pytest

from titlebout.forge.workflow_files import place, unplaced

FILES = ("workflows/ci.yml", "workflows/retrain.yml", "actions/setup/action.yml", "actions/setup/setup.sh")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / ".github" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with four files, in a repository with a workflow of its own."""
    root = tmp_path / "teams" / "ml"
    for name in FILES:
        write(root, name, name)
    (root / ".github" / "actions" / "setup" / "setup.sh").chmod(0o755)
    write(root, "dependabot.yml", "")
    write(tmp_path, "workflows/web.yml", "web")
    return root


def placed(top: Path) -> dict[str, str]:
    folder = top / ".github"
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_workflows_and_actions_are_copied_beside_those_of_the_repository(project: Path, tmp_path: Path) -> None:
    assert unplaced(project, tmp_path) == tuple(sorted(FILES))

    assert place(project, tmp_path) == ()

    assert placed(tmp_path) == {name: name for name in FILES} | {"workflows/web.yml": "web"}
    assert (tmp_path / ".github" / "actions" / "setup" / "setup.sh").stat().st_mode & 0o111
    assert unplaced(project, tmp_path) == ()


def test_a_second_project_shares_the_files_of_the_first(project: Path, tmp_path: Path) -> None:
    place(project, tmp_path)
    before = placed(tmp_path)

    assert place(project, tmp_path) == ()

    assert placed(tmp_path) == before


def test_a_workflow_with_a_taken_name_gets_another_one(project: Path, tmp_path: Path) -> None:
    write(tmp_path, "workflows/ci.yml", "theirs")

    assert place(project, tmp_path) == ()

    assert placed(tmp_path)["workflows/ci.yml"] == "theirs"
    assert placed(tmp_path)["workflows/titlebout-ci.yml"] == "workflows/ci.yml"
    assert unplaced(project, tmp_path) == ()


@pytest.mark.parametrize("name", ["workflows/retrain.yml", "actions/setup/action.yml"])
def test_a_file_that_others_call_by_its_name_is_not_replaced(name: str, project: Path, tmp_path: Path) -> None:
    write(tmp_path, name, "theirs")

    assert place(project, tmp_path) == (name,)

    assert placed(tmp_path)[name] == "theirs"
    assert unplaced(project, tmp_path) == (name,)
    assert set(placed(tmp_path)) == {*FILES, "workflows/web.yml"}


def test_a_copy_that_is_not_updated_is_found(project: Path, tmp_path: Path) -> None:
    place(project, tmp_path)
    write(project, "actions/setup/setup.sh", "newer")

    assert unplaced(project, tmp_path) == ("actions/setup/setup.sh",)
