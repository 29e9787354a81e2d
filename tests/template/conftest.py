"""Repositories generated from what is in git or about to be: never from what a working copy has lying around."""

import os
import shutil
from pathlib import Path

import pytest

from generation import ROOT, Generate, run


@pytest.fixture(scope="session")
def framework(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as a commit: tracked files and those that git would add, links as links."""
    # cookiecutter distinguishes a repository from a folder by the word "git" in its address.
    copy = tmp_path_factory.mktemp("framework") / "titlebout-git"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        target = copy / name
        if not os.path.lexists(ROOT / name):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    run("git", "init", "--quiet", "-b", "main", cwd=copy)
    run("git", "add", "--all", cwd=copy)
    committed = run("git", "commit", "--quiet", "--message", "Everything", cwd=copy)
    assert committed.returncode == 0, committed.stderr
    return copy


@pytest.fixture(scope="session")
def generate(framework: Path, tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """Return a function that generates a repository as a user does and returns its folder."""

    def generated(**answers: str) -> Path:
        folder = tmp_path_factory.mktemp("generated")
        given = [f"{key}={value}" for key, value in answers.items()]
        ran = run("cookiecutter", framework, "--no-input", "--output-dir", folder, *given, cwd=folder)
        assert ran.returncode == 0, ran.stderr
        (project,) = folder.glob("*/titlebout.toml")
        return project.parent

    return generated


@pytest.fixture(scope="session")
def project(generate: Generate) -> Path:
    """The repository of the default answers; to be read, not written."""
    return generate()
