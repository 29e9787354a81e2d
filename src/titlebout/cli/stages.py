"""Stages of the pipeline, run by DVC as ``titlebout stage NAME``."""

from collections.abc import Callable

from titlebout.checks.check import check_stage
from titlebout.core.errors import TitleboutError
from titlebout.core.results import write_json
from titlebout.repository.dvc import STAGE_ERROR_FILE
from titlebout.repository.project import Project
from titlebout.training.train import fit, prepare, score


def run(project: Project, name: str) -> None:
    """Run one stage.

    An error is also written to a file, because DVC, the parent process, replaces the exit code and the message.

    Parameters
    ----------
    project : Project
        The project and the pipeline of the stage.
    name : {"check-data", "prepare", "train", "evaluate"}

    Raises
    ------
    TitleboutError
        If the stage fails, or the data is refused.
    """
    stages: dict[str, Callable[[Project], object]] = {
        "check-data": check_stage,
        "prepare": prepare,
        "train": fit,
        "evaluate": score,
    }
    try:
        stages[name](project)
    except TitleboutError as error:
        write_json(project.root / STAGE_ERROR_FILE, error.to_dict())
        raise
