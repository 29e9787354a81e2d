"""Projects: found from any folder, their own code imported first, errors of user code reported with their place."""

import sys
from pathlib import Path

import pytest

import sample
from titlebout.core.errors import ConfigError, NotFoundError
from titlebout.repository.project import Project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files of the sample repository, without git and data, which a project does not need."""
    for name, text in sample.FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def project(root: Path) -> Project:
    return Project.find(root)


def params_file(project: Project) -> Path:
    return project.pipeline_dir / "params.yaml"


def model_file(project: Project) -> Path:
    return project.root / "src" / "ferries" / "model.py"


def test_a_project_is_found_from_any_folder_in_it(root: Path) -> None:
    assert Project.find(root / "pipelines" / "ferries").root == root.resolve()


def test_no_project_is_found_outside_one(tmp_path: Path) -> None:
    (tmp_path / "titlebout.toml").mkdir()

    with pytest.raises(NotFoundError, match=r"titlebout\.toml not found in this folder") as caught:
        Project.find(tmp_path)

    assert caught.value.where == str(tmp_path)
    assert "titlebout new" in str(caught.value.fix)


def test_the_pipeline_argument_overrides_the_settings(root: Path) -> None:
    (root / "pipelines" / "other").mkdir()

    assert Project.find(root).pipeline == "ferries"
    assert Project.find(root, "other").pipeline_dir == root.resolve() / "pipelines" / "other"


@pytest.mark.parametrize("name", ["boats", ".", "..", "../pipelines/ferries", "ferries/../..", ""])
def test_a_missing_pipeline_is_refused_with_the_existing_names(name: str, root: Path) -> None:
    if not name:
        sample.edit(root / "titlebout.toml", 'pipeline = "ferries"', 'pipeline = "boats"')

    with pytest.raises(NotFoundError, match="no pipeline") as caught:
        Project.find(root, name)

    assert caught.value.fix == "choose one of: ferries"


def test_all_paths_are_inside_the_repository(project: Project) -> None:
    root = project.root

    assert project.data_dir == root / "data"
    assert project.model_dir == root / "pipelines" / "ferries" / "model"
    assert project.stage_reports == root / "pipelines" / "ferries" / "reports"
    assert project.reports == root / "reports"
    assert project.suite_path == root / "expectations" / "ferries.json"


def test_the_model_function_receives_its_hyperparameters(project: Project) -> None:
    sample.edit(params_file(project), "seed: 0", "seed: 7")
    estimator = project.build_model()

    assert estimator[-1].C == 1.0
    assert estimator[-1].random_state == 7
    assert not hasattr(estimator, "classes_")


def test_code_of_the_repository_is_imported_before_an_installed_copy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "ferries"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("raise AssertionError('the installed copy was imported')")
    monkeypatch.syspath_prepend(str(installed.parent))
    project.build_model()
    before = list(sys.path)
    project.add_source_to_path()

    assert sys.path == before
    assert sys.path[0] == str(project.root / "src")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ferries.model:build_model", "ferries.models:build_model", "No module named 'ferries.models'"),
        ("ferries.model:build_model", "ferries.model:build", "has no attribute 'build'"),
        ("C: 1.0", "D: 1.0", "unexpected keyword argument 'D'"),
        ("    C: 1.0", "    {}", "missing 1 required positional argument: 'C'"),
    ],
)
def test_parameters_that_do_not_fit_the_code_are_a_configuration_error(
    old: str, new: str, message: str, project: Project
) -> None:
    sample.edit(params_file(project), old, new)

    with pytest.raises(ConfigError, match=message) as caught:
        project.build_model()

    assert caught.value.where == f"{params_file(project)}: train"
    assert "src/ferries" in str(caught.value.why)


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("numbers =", "numbers = (", "SyntaxError", None),
        ("from ferries.features", "from ferries.feature", "No module named 'ferries.feature'", 9),
        ("    numbers =", "    1 / 0\n    numbers =", "ZeroDivisionError: division by zero", 14),
    ],
)
def test_an_error_in_user_code_is_reported_with_its_line(
    old: str, new: str, message: str, line: int | None, project: Project
) -> None:
    sample.edit(model_file(project), old, new)

    with pytest.raises(ConfigError, match=message) as caught:
        project.build_model()

    assert line is None or caught.value.where == f"{model_file(project)}:{line}"


def test_a_model_function_must_return_an_estimator(project: Project) -> None:
    sample.edit(model_file(project), "return make_pipeline", "return None and make_pipeline")

    with pytest.raises(ConfigError, match=r"ferries\.model:build_model returned NoneType"):
        project.build_model()


def test_a_titlebout_error_inside_user_code_is_passed_on(project: Project) -> None:
    def fail() -> None:
        with project.team_code("anything"):
            raise NotFoundError("no model")

    with pytest.raises(NotFoundError, match="no model"):
        fail()
