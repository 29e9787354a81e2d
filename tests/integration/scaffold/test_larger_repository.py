"""A new project in a folder of a git repository that was there before."""

import tomllib
from pathlib import Path

import pytest

import sample
from titlebout.core.errors import PermissionRefusedError
from titlebout.doctor import doctor
from titlebout.scaffold.generate import Request, new


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A clone of a repository with the default branch `é/v1` and a workflow called ci.yml, on another branch."""
    seed = tmp_path / "seed"
    own = seed / ".github" / "workflows" / "ci.yml"
    own.parent.mkdir(parents=True)
    own.write_text("name: Shop\n", encoding="utf-8")
    sample.git(seed, "init", "--quiet", "--initial-branch", "é/v1")
    sample.commit(seed, "The shop")
    sample.git(tmp_path, "clone", "--quiet", str(seed), "shop it's")
    sample.git(tmp_path / "shop it's", "switch", "--quiet", "-c", "work")
    return tmp_path / "shop it's"


def test_it_becomes_a_part_of_that_repository(shop: Path) -> None:
    result = new(Request("Flights delay", shop / "teams" / "ml"))

    root = Path(result.path)
    assert not (root / ".git").exists()
    assert tomllib.loads((root / "titlebout.toml").read_text(encoding="utf-8"))["retrain"]["base"] == "é/v1"
    assert (shop / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8") == "name: Shop\n"
    assert any("é/v1" in note for note in result.notes)
    (shop / "draft.txt").write_text("not to be committed\n", encoding="utf-8")
    sample.git(shop, "config", "user.name", "Test")
    for step in result.next_steps[:2]:
        if step.startswith("git"):
            _shell(root, step)
    assert sample.git(shop, "status", "--porcelain") == "?? draft.txt"
    findings = {finding.name: finding for finding in doctor(root).findings}
    assert findings["place of workflows"].what == f"copied to {shop}"
    assert findings["base branch"].ok
    assert findings["ignored files"].ok


def _shell(folder: Path, line: str) -> None:
    from titlebout.core import process

    process.run(["bash", "-ec", line], cwd=folder)


def test_a_folder_that_git_ignores_is_a_repository_of_its_own(shop: Path) -> None:
    (shop / ".gitignore").write_text("/build/\n", encoding="utf-8")
    before = sorted(shop.rglob(".github/*"))

    root = Path(new(Request("Flights delay", shop / "build")).path)

    assert (root / ".git").is_dir()
    assert tomllib.loads((root / "titlebout.toml").read_text(encoding="utf-8"))["retrain"]["base"] == "main"
    assert [file for file in sorted(shop.rglob(".github/*")) if root not in file.parents] == before


@pytest.mark.root
def test_in_a_repository_of_another_user_nothing_is_generated(shop: Path) -> None:
    import os

    os.chown(shop, 1234, 1234)

    with pytest.raises(PermissionRefusedError, match="another user owns"):
        new(Request("Flights delay", shop / "teams"))

    assert list((shop / "teams").iterdir()) == []
