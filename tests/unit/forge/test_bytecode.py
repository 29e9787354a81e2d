"""Bytecode is linked for locked packages only, and only of the locked version."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from titlebout.forge.bytecode import link_bytecode


def linked(tmp_path: Path, lock: str) -> list[Path]:
    """Link the bytecode for a lock file; return the paths below the packages' folder."""
    (tmp_path / "lock").write_text(lock, encoding="utf-8")
    link_bytecode(tmp_path / "lock", tmp_path / "target")
    return [path.relative_to(tmp_path / "target") for path in (tmp_path / "target").rglob("*.pyc")]


@pytest.fixture
def locked() -> str:
    """The entry of a package that this test has imported, so that it has bytecode."""
    return f"pluggy=={version('pluggy')} \\\n    --hash=sha256:00\n"


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment")
def test_a_locked_package_has_its_bytecode(tmp_path: Path, locked: str) -> None:
    paths = linked(tmp_path, locked)

    assert paths
    assert {path.parts[-3] for path in paths} == {"pluggy"}
    assert {path.parts[-2] for path in paths} == {"__pycache__"}
    assert all((Path(sys.prefix) / path).samefile(tmp_path / "target" / path) for path in paths)


@pytest.mark.parametrize("lock", ["", "pluggy==0.0.1\n", "no-such-package==1\n", "# pluggy\n"])
def test_nothing_else_is_linked(tmp_path: Path, lock: str) -> None:
    assert linked(tmp_path, lock) == []


def test_a_repository_without_a_lock_file_has_no_bytecode(tmp_path: Path) -> None:
    link_bytecode(tmp_path / "missing", tmp_path / "target")

    assert list((tmp_path / "target").iterdir()) == []
