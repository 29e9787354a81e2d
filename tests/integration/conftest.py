"""Repositories that several integration tests start from."""

from collections.abc import Callable
from pathlib import Path

import pytest

import sample
import states as four
from built import built, cache_folder


@pytest.fixture(scope="session")
def states(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Repositories in four states, and the output of each training; not to be changed."""
    kept = built(cache_folder(), "states", lambda folder: four.build(repository, folder), *four.SOURCES)
    folder = tmp_path_factory.mktemp("states")
    for name in four.NAMES:
        sample.copy(kept / name, folder / name)
    return {name: folder / name / sample.NAME for name in four.NAMES}


@pytest.fixture(scope="session")
def calm(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repository with a champion; not to be changed."""
    kept = built(cache_folder(), "calm", lambda folder: four.build_calm(repository, folder), *four.SOURCES)
    return sample.copy(kept / sample.NAME, tmp_path_factory.mktemp("calm") / sample.NAME)


@pytest.fixture
def at(states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Copy one of the states and go there."""

    def go(name: str) -> Path:
        root = sample.copy(states[name], tmp_path / sample.NAME)
        monkeypatch.chdir(root)
        return root

    return go


@pytest.fixture
def cloned(states: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Clone one of the states, without any of its caches, and go there."""

    def go(name: str) -> Path:
        root = four.clone(states[name], tmp_path / sample.NAME)
        monkeypatch.chdir(root)
        return root

    return go
