"""The stages of the pipeline, as DVC runs them: ``titlebout stage NAME``."""

from collections.abc import Callable

from titlebout.checks.check import check_project
from titlebout.core.errors import ExitCode, TitleboutError
from titlebout.core.results import write_json, write_result
from titlebout.repository.dvc import STAGE_ERROR_FILE
from titlebout.repository.project import Project
from titlebout.training.train import fit, prepare, score


def run(project: Project, name: str) -> None:
    """Run one stage; why it failed is written down, because DVC, our parent process, replaces exit code and words.

    Parameters
    ----------
    project : Project
    name : {"check-data", "prepare", "train", "evaluate"}

    Raises
    ------
    TitleboutError
        If it fails, or the data is refused.
    """
    stages: dict[str, Callable[[Project], object]] = {
        "check-data": _check,
        "prepare": prepare,
        "train": fit,
        "evaluate": score,
    }
    try:
        stages[name](project)
    except TitleboutError as error:
        write_json(project.root / STAGE_ERROR_FILE, {"stage": name, **error.to_dict()})
        raise


def _check(project: Project) -> None:
    """Check the tracked data: the result goes into git, a refusal ends the pipeline with the check's own exit code."""
    result = check_project(project, "tracked")
    write_result(project.stage_reports / "check-data.json", result)
    if not result.passed:
        refused = TitleboutError(result.reasons[0], where="data/", fix="read pipelines/*/reports/check-data.json")
        refused.exit_code = ExitCode.DATA_REFUSED
        raise refused
