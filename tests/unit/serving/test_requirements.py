"""The packages a service needs, out of all that the repository's lock holds."""

from importlib.metadata import version
from pathlib import Path

import pytest

from titlebout.serving.requirements import LOCK, SERVED, serving_requirements

HASHES = " \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb"
LOCKED = (
    "bentoml",
    "cattrs",
    "dvc",
    "evidently",
    "great-expectations",
    "joblib",
    "numpy",
    "pandas",
    "plotly",
    "pyarrow",
    "pydantic",
    "pytest",
    "python_dateutil",
    "scikit-learn",
    "skops",
    "starlette",
    "statsmodels",
    "zipp",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lines = ["# made by a tool", *(f"{name}==1.0{HASHES}" for name in LOCKED)]
    lines.append('colorama==1.0 ; sys_platform == "win32"' + HASHES)
    (tmp_path / LOCK).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def names(root: Path) -> list[str]:
    return [line.split("==")[0] for line in serving_requirements(root).splitlines() if not line.startswith(" ")]


def state(root: Path, *dependencies: str) -> None:
    text = f'[project]\nname = "crossings"\ndependencies = {list(dependencies)}\n'
    (root / "pyproject.toml").write_text(text, encoding="utf-8")


def test_what_serving_needs_is_kept_with_its_hashes(root: Path) -> None:
    text = serving_requirements(root)
    assert f"scikit-learn==1.0{HASHES}\n" in text
    assert text.count("--hash") == 2 * len(names(root))


def test_what_only_other_steps_need_is_left_out(root: Path) -> None:
    kept = {"cattrs", "joblib", "numpy", "python_dateutil"}  # brought by bentoml, scikit-learn and pandas
    assert set(names(root)) == kept | set(SERVED)


def test_what_the_teams_code_needs_is_kept_but_not_the_tools_of_other_steps(root: Path) -> None:
    state(root, "Statsmodels>=0.14", "dvc[s3]>=3", "titlebout")
    assert set(names(root)) >= {"statsmodels"}
    assert not {"dvc", "evidently"} & set(names(root))


def test_a_locked_package_that_is_not_installed_here_is_kept_when_it_is_named(root: Path) -> None:
    state(root, "colorama")
    assert "colorama" in names(root)


def test_without_a_lock_the_installed_versions_are_named(tmp_path: Path) -> None:
    text = serving_requirements(tmp_path)
    assert f"bentoml=={version('bentoml')}\n" in text
    assert "--hash" not in text
    assert "pytest" not in text
