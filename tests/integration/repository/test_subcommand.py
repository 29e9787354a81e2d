"""A command that another one starts: its result comes back typed, and its error with its own class."""

import pytest

import sample
from titlebout.core.errors import ConfigError, ConflictError, DataRefusedError, NotFoundError, TitleboutError
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.repository.subcommand import run_step
from titlebout.training.train import TrainResult

LOCK = "schema: '2.0'\n<<<<<<< ours\n=======\n>>>>>>> theirs\n"


def test_a_conflict_in_a_child_is_a_conflict_here(project: Project) -> None:
    (project.pipeline_dir / "dvc.lock").write_text(LOCK, encoding="utf-8")

    with pytest.raises(ConflictError) as caught:
        run_step(project, TrainResult, None, "train")
    assert "merge conflict" in caught.value.what
    assert "dvc.lock" in str(caught.value.where)


def test_what_a_child_does_not_find_is_not_found_here(project: Project) -> None:
    (project.root / "data.dvc").unlink()

    with pytest.raises(NotFoundError, match="no data is tracked"):
        run_step(project, TrainResult, None, "train")


def test_an_unknown_option_of_a_subcommand_is_a_usage_error(project: Project) -> None:
    with pytest.raises(ConfigError, match="--fast"):
        run_step(project, TrainResult, None, "train", "--fast")


def test_the_error_of_a_stage_keeps_its_class_through_dvc(project: Project) -> None:
    """The stage is a child of DVC, which is a child of the command, which is a child of the test."""
    suite = project.suite_path
    sample.edit(suite, "expect_column_values_to_not_be_null", "expect_column_values_to_be_nonsense")

    with pytest.raises(ConfigError) as caught:
        run_step(project, TrainResult, None, "train")
    assert "nonsense" in str(caught.value.to_dict())
    with pytest.raises(TitleboutError) as direct:
        Dvc(project).reproduce()
    assert type(direct.value) is type(caught.value)


def test_data_that_a_stage_refuses_is_refused_data(project: Project) -> None:
    sample.edit(project.suite_path, '"value_set": [0, 1]', '"value_set": [2, 3]')

    with pytest.raises(DataRefusedError):
        Dvc(project).reproduce()
    assert not run_step(project, TrainResult, None, "train", "--no-fail").passed
