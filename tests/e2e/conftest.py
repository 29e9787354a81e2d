"""End to end: whole workflows, run by act through titlebout.forge.act, with the stand-ins in src/titlebout/forge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import sample
from fakes.github_server import GithubServer
from titlebout.scaffold.generate import Request, new
from workflow_runs import REPOSITORY, with_origin


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
    return with_origin(generated, tmp_path)
