"""What a release publishes: the wheel is the same from the tree and from the sdist, and its types can be checked."""

import posixpath
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from generation import run

VENDORED = "{{cookiecutter.project_slug}}/vendor/titlebout/src/titlebout"


@pytest.fixture(scope="module")
def built(framework: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what `make dist` builds: an sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = ("uv", "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable)
    ran = run(*command, "--out-dir", folder, cwd=framework)
    assert ran.returncode == 0, ran.stderr
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_tree(built: Path, framework: Path, tmp_path: Path) -> None:
    ran = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=framework)
    assert ran.returncode == 0, ran.stderr
    (from_tree,), (from_sdist,) = tmp_path.glob("*.whl"), built.glob("*.whl")

    assert contents(from_sdist) == contents(from_tree)


def test_type_checkers_use_the_types_of_the_library(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    assert {"titlebout/py.typed", f"titlebout/_template/{VENDORED}/py.typed"} <= set(contents(wheel))


def test_no_link_of_the_sdist_leads_out_of_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        links = [member for member in archive.getmembers() if member.issym()]
        assert links
        targets = [posixpath.normpath(posixpath.join(posixpath.dirname(link.name), link.linkname)) for link in links]
        assert [name for name in targets if not archive.getmember(name).isfile()] == []
