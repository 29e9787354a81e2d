"""A repository as the steps see it: found from anywhere in it, its own code first, its failures told as its own."""

import sys
from pathlib import Path

import pytest

import sample
from titlebout.core.errors import ConfigError, NotFoundError
from titlebout.repository.project import Project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The sample's files, without git and data: a project needs neither."""
    for name, text in sample.FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def project(root: Path) -> Project:
    return Project.find(root)


def parameters(project: Project) -> Path:
    return project.pipeline_dir / "params.yaml"


def model(project: Project) -> Path:
    return project.root / "src" / "ferries" / "model.py"


def test_a_project_is_found_from_any_folder_in_it(root: Path) -> None:
    assert Project.find(root / "pipelines" / "ferries").root == root.resolve()


def test_outside_a_project_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "titlebout.toml").mkdir()

    with pytest.raises(NotFoundError, match=r"no titlebout\.toml here") as caught:
        Project.find(tmp_path)

    assert caught.value.where == str(tmp_path)
    assert "titlebout new" in str(caught.value.fix)


def test_the_settings_name_the_pipeline_unless_the_command_does(root: Path) -> None:
    (root / "pipelines" / "other").mkdir()

    assert Project.find(root).pipeline == "ferries"
    assert Project.find(root, "other").pipeline_dir == root.resolve() / "pipelines" / "other"


@pytest.mark.parametrize("name", ["boats", ".", "..", "../pipelines/ferries", "ferries/../..", ""])
def test_a_pipeline_that_is_not_there_is_refused_with_those_that_are(name: str, root: Path) -> None:
    if not name:
        sample.edit(root / "titlebout.toml", 'pipeline = "ferries"', 'pipeline = "boats"')

    with pytest.raises(NotFoundError, match="no pipeline") as caught:
        Project.find(root, name)

    assert caught.value.fix == "choose one of: ferries"


def test_every_place_lies_in_the_repository(project: Project) -> None:
    root = project.root

    assert project.data_dir == root / "data"
    assert project.model_dir == root / "pipelines" / "ferries" / "model"
    assert project.stage_reports == root / "pipelines" / "ferries" / "reports"
    assert project.reports == root / "reports"
    assert project.suite_path == root / "expectations" / "ferries.json"
    assert project.retrain_branch == "retrain/ferries"


def test_the_teams_function_is_called_with_its_hyperparameters(project: Project) -> None:
    sample.edit(parameters(project), "seed: 0", "seed: 7")
    estimator = project.build_model()

    assert estimator[-1].C == 1.0
    assert estimator[-1].random_state == 7
    assert not hasattr(estimator, "classes_")


def test_the_repositorys_own_code_counts_before_an_installed_copy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "ferries"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("raise AssertionError('the installed copy was imported')")
    monkeypatch.syspath_prepend(str(installed.parent))
    project.build_model()
    before = list(sys.path)
    project.import_code()

    assert sys.path == before
    assert sys.path[0] == str(project.root / "src")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ferries.model:build_model", "ferries.models:build_model", "No module named 'ferries.models'"),
        ("ferries.model:build_model", "ferries.model:build", "has no attribute 'build'"),
        ("C: 1.0", "D: 1.0", "unexpected keyword argument 'D'"),
        ("    C: 1.0", "    {}", "missing 1 required positional argument: 'C'"),
    ],
)
def test_parameters_that_do_not_fit_the_code_are_a_mistake_of_configuration(
    old: str, new: str, told: str, project: Project
) -> None:
    sample.edit(parameters(project), old, new)

    with pytest.raises(ConfigError, match=told) as caught:
        project.build_model()

    assert caught.value.where == f"{parameters(project)}: train"
    assert "src/ferries" in str(caught.value.why)


@pytest.mark.parametrize(
    ("old", "new", "told", "line"),
    [
        ("numbers =", "numbers = (", "SyntaxError", None),
        ("from ferries.features", "from ferries.feature", "No module named 'ferries.feature'", 9),
        ("    numbers =", "    1 / 0\n    numbers =", "ZeroDivisionError: division by zero", 14),
    ],
)
def test_a_failure_of_the_teams_code_is_told_with_its_place(
    old: str, new: str, told: str, line: int | None, project: Project
) -> None:
    sample.edit(model(project), old, new)

    with pytest.raises(ConfigError, match=told) as caught:
        project.build_model()

    assert line is None or caught.value.where == f"{model(project)}:{line}"


def test_what_is_no_estimator_is_refused_by_its_type(project: Project) -> None:
    sample.edit(model(project), "return make_pipeline", "return None and make_pipeline")

    with pytest.raises(ConfigError, match=r"ferries\.model:build_model returned NoneType"):
        project.build_model()


def test_an_error_of_ours_inside_the_teams_code_stays_what_it_is(project: Project) -> None:
    def fail() -> None:
        with project.team_code("anything"):
            raise NotFoundError("no model")

    with pytest.raises(NotFoundError, match="no model"):
        fail()
