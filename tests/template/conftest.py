"""Repositories generated from what is in git or about to be: never from what a working copy has lying around."""

from pathlib import Path

import pytest

from generation import Generate, commit_framework, run


@pytest.fixture(scope="session")
def framework(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as a commit: tracked files and those that git would add, links as links."""
    # cookiecutter distinguishes a repository from a folder by the word "git" in its address.
    return commit_framework(tmp_path_factory.mktemp("framework") / "titlebout-git")


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
