"""The setup action makes the locked environment, refuses what is not locked, and never takes titlebout from an index."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / ".github" / "actions" / "setup" / "setup.sh"
# What a build environment may need to reach its packages; everything else of this machine stays out.
PASSED_ON = ("HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def set_up(folder: Path, script: Path = SETUP, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder with uv and the system's programs, and nothing of this test's own environment."""
    programs = folder.parent / "programs"
    programs.mkdir(exist_ok=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv is not None
    (programs / "uv").unlink(missing_ok=True)
    (programs / "uv").symlink_to(uv)
    passed_on = {name: os.environ[name] for name in os.environ if name in PASSED_ON or name.startswith("UV_")}
    environment = {"PATH": f"{programs}:/usr/bin:/bin", **passed_on, **variables}
    return subprocess.run(["bash", str(script)], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with nothing but this repository's lock."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "requirements.lock", folder)
    return folder


def vendored(folder: Path, name: str = "titlebout") -> Path:
    """Put a tiny library with a command into vendor/titlebout."""
    library = folder / "vendor" / "titlebout"
    (library / "src" / "titlebout").mkdir(parents=True)
    (library / "src" / "titlebout" / "__init__.py").write_text('def main():\n    print("titlebout, version 9.9.9")\n')
    (library / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "9.9.9"\nscripts = {{ titlebout = "titlebout:main" }}\n'
        '[tool.hatch.build]\ndev-mode-dirs = ["src"]\n[tool.hatch.build.targets.wheel]\npackages = ["src/titlebout"]\n'
    )
    return library


def test_a_storage_that_the_lock_does_not_support_is_named_last(project: Path) -> None:
    vendored(project)
    (project / "pyproject.toml").write_text('[dependency-groups]\nstorage = ["dvc[s3]>=3.67,<4"]\n')
    ran = set_up(project)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == (
        "requirements.lock does not have dvc-s3, which the storage of data and models needs; run: make lock setup"
    )


def test_the_library_that_travels_with_the_repository_comes_first(project: Path, tmp_path: Path) -> None:
    vendored(project)
    ran = set_up(project, GITHUB_PATH=str(tmp_path / "path"), GITHUB_OUTPUT=str(tmp_path / "output"))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "path").read_text() == f"{project}/.venv/bin\n"
    assert (tmp_path / "output").read_text() == "project=.\ntitlebout-version=9.9.9\n"
    again = set_up(project)
    assert again.returncode == 0, again.stderr
    assert "titlebout, version 9.9.9" in again.stdout


def larger(tmp_path: Path, *projects: str) -> Path:
    """Write a larger repository with projects in the given folders."""
    top = tmp_path / "shop"
    top.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=top, check=True)
    for name in projects:
        (top / name).mkdir(parents=True)
        (top / name / "titlebout.toml").touch()
        shutil.copy(ROOT / "requirements.lock", top / name)
        vendored(top / name)
    subprocess.run(["git", "add", "--all"], cwd=top, check=True)
    (top / "notes").mkdir()
    (top / "notes" / "titlebout.toml").touch()  # not tracked
    return top


@pytest.mark.parametrize("folder", ["services/a b", "-ml/é $HOME"])
def test_the_only_project_of_a_larger_repository_is_found(folder: str, tmp_path: Path) -> None:
    top = larger(tmp_path, folder)
    ran = set_up(top, GITHUB_PATH=str(tmp_path / "path"), GITHUB_OUTPUT=str(tmp_path / "output"))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "path").read_text() == f"{top}/{folder}/.venv/bin\n"
    assert (tmp_path / "output").read_text() == f"project={folder}\ntitlebout-version=9.9.9\n"
    assert not (top / ".venv").exists()


def test_of_several_projects_the_input_names_one(tmp_path: Path) -> None:
    top = larger(tmp_path, "a", "b/c")
    ran = set_up(top)
    assert ran.returncode == 2
    assert ran.stderr == "2 folders have a titlebout.toml, so the workflow needs the input project: a b/c\n"
    ran = set_up(top, SETUP_PROJECT="b/c", GITHUB_OUTPUT=str(tmp_path / "output"))
    assert ran.returncode == 0, ran.stderr
    assert "project=b/c\n" in (tmp_path / "output").read_text()


@pytest.mark.parametrize("folder", ["a\nx=1", "a*"])
def test_a_folder_that_an_output_or_a_pattern_cannot_name_is_refused(folder: str, tmp_path: Path) -> None:
    ran = set_up(larger(tmp_path, folder), GITHUB_OUTPUT=str(tmp_path / "output"))
    assert ran.returncode == 2
    assert "rename the folder" in ran.stderr
    assert not (tmp_path / "output").exists()


@pytest.mark.root
def test_the_checkout_of_a_container_job_is_trusted(tmp_path: Path) -> None:
    top = larger(tmp_path, "ml")
    os.chown(top, 1234, 1234)
    workspace = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "GITHUB_WORKSPACE": str(top)}
    assert set_up(top, **workspace).returncode == 2, "outside of a workflow, the user decides"
    ran = set_up(top, **workspace, GITHUB_ACTIONS="true")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "gitconfig").read_text() == f"[safe]\n\tdirectory = {top}\n"


def test_without_it_the_library_beside_the_action_is_taken(project: Path) -> None:
    ran = set_up(project)
    assert ran.returncode == 0, ran.stderr
    program = project / ".venv" / "bin" / "python"
    where = subprocess.run(
        [program, "-c", "import titlebout; print(titlebout.__file__)"], env={}, capture_output=True, text=True
    )
    assert where.stdout.strip() == str(ROOT / "src" / "titlebout" / "__init__.py")


def test_a_vendored_project_of_another_name_is_not_mistaken_for_the_library(project: Path, tmp_path: Path) -> None:
    vendored(project, name="something-else")
    alone = tmp_path / "elsewhere" / ".github" / "actions" / "setup" / "setup.sh"
    alone.parent.mkdir(parents=True)
    shutil.copy(SETUP, alone)
    ran = set_up(project, alone)
    assert ran.returncode == 2
    assert "titlebout is neither in vendor/titlebout nor next to this action" in ran.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}", "Hash mismatch for `iniconfig==2.1.0`"),
        ("iniconfig==2.1.0", "In `--require-hashes` mode, all requirements must have a hash"),
        ("iniconfig", "In `--require-hashes` mode"),
    ],
    ids=["another hash", "no hash", "no version"],
)
def test_a_package_that_is_not_the_locked_one_is_refused(project: Path, line: str, complaint: str) -> None:
    vendored(project)
    (project / "requirements.lock").write_text(f"{line}\n")
    ran = set_up(project)
    assert ran.returncode != 0
    assert complaint in ran.stderr
    assert not list((project / ".venv").glob("lib/*/site-packages/iniconfig"))


def test_a_missing_tool_is_reported_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    ran = set_up(folder, GITHUB_ACTIONS="true")
    assert ran.returncode == 2
    assert ran.stderr == "::error::requirements.lock does not exist; run this in the top folder of the project\n"
    no_uv = subprocess.run(
        ["bash", str(SETUP)], cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert no_uv.returncode == 2
    assert no_uv.stderr.startswith("uv is not installed")


@pytest.mark.parametrize(
    ("named", "variables"),
    [("{running}", {}), ("3.9", {}), ("3.9", {"GITHUB_ACTIONS": "true", "UV_PYTHON_DOWNLOADS": "never"}), (None, {})],
    ids=["installed", "not installed", "not installed, in a workflow without a network", "none named"],
)
def test_the_python_of_the_machine_is_used(project: Path, named: str | None, variables: dict[str, str]) -> None:
    system = subprocess.run(
        ["python3", "-c", "import sys; print('{}.{}'.format(*sys.version_info))"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    ).stdout.strip()
    if named:
        (project / ".python-version").write_text(named.format(running=system) + "\n")
    vendored(project)
    ran = set_up(project, **variables)
    assert ran.returncode == 0, ran.stderr
    assert f"Python {system}." in ran.stdout
    assert ("Python 3.9 of .python-version is not installed" in ran.stderr) == (named == "3.9")


def test_a_version_given_to_the_action_is_not_replaced(project: Path) -> None:
    vendored(project)
    ran = set_up(project, SETUP_PYTHON_VERSION="3.9", UV_PYTHON_DOWNLOADS="never")
    assert ran.returncode != 0
    assert "3.9" in ran.stderr
    assert not (project / ".venv").exists()
