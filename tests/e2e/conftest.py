"""End to end: whole workflows, run by act through titlebout.act (the harness; stand-ins are in src/titlebout/standins)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import sample
from fakes.github_server import GithubServer
from titlebout.scaffold import Request, new
from workflow_runs import REPOSITORY


@pytest.fixture
def github() -> Iterator[GithubServer]:
    with GithubServer(REPOSITORY) as server:
        yield server


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flights example as a user has it after the first commit; not to be changed."""
    root = Path(new(Request("Flights delay", tmp_path_factory.mktemp("generated"))).path)
    sample.commit(root, "First commit")
    return root


@pytest.fixture
def example(generated: Path, tmp_path: Path) -> Path:
    """A copy of it whose origin is a bare repository beside it."""
    root = tmp_path / generated.name
    shutil.copytree(generated, root)
    sample.git(root, "clone", "--quiet", "--bare", str(root), str(tmp_path / "origin.git"))
    sample.git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    sample.git(root, "fetch", "--quiet", "origin")
    return root
