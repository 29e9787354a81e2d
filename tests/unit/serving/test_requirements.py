"""The locked packages of a bento."""

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from titlebout.core.errors import NotFoundError
from titlebout.serving.requirements import serving_requirements

ROOT = Path(__file__).parents[3]


def packages(name: str) -> dict[str, set[str]]:
    """Return the packages of a lock, each version with its hashes."""
    blocks = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip())
    return {block.split()[0]: set(re.findall(r"--hash=\S+", block)) for block in blocks}


def test_the_serving_lock_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("everything==1\n", encoding="utf-8")
    assert serving_requirements(tmp_path) == "everything==1\n"
    (tmp_path / "requirements-serve.lock").write_text("served==1\n", encoding="utf-8")
    assert serving_requirements(tmp_path) == "served==1\n"


def test_a_missing_lock_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        serving_requirements(tmp_path)
    assert "make lock" in str(caught.value.fix)


def test_a_bento_serves_with_the_versions_that_were_tested() -> None:
    served, tested = packages("requirements-serve.lock"), packages("requirements.lock")
    assert {name for name, hashes in served.items() if tested.get(name) != hashes} == set()


def test_packages_of_other_steps_are_left_out() -> None:
    names = {canonicalize_name(name.partition("==")[0]) for name in packages("requirements-serve.lock")}
    wanted = (ROOT / "requirements-serve.in").read_text(encoding="utf-8").splitlines()[1:]
    assert names >= set(wanted)
    assert not names & {"dvc", "evidently", "great-expectations", "cookiecutter", "matplotlib", "uv", "pytest"}
