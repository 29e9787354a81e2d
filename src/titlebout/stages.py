"""The stages of the pipeline, as DVC runs them: ``titlebout stage NAME``."""

from collections.abc import Callable

from titlebout import checks, training
from titlebout.errors import ExitCode, TitleboutError
from titlebout.project import Project
from titlebout.results import write_json
from titlebout.tracking import STAGE_ERROR_FILE


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
        "prepare": training.prepare,
        "train": training.fit,
        "evaluate": training.score,
    }
    try:
        stages[name](project)
    except TitleboutError as error:
        write_json(project.root / STAGE_ERROR_FILE, {"stage": name, **error.to_dict()})
        raise


def _check(project: Project) -> None:
    """Check the tracked data: the result goes into git, a refusal ends the pipeline with the check's own exit code."""
    result = checks.check_project(project, "tracked")
    write_json(project.stage_reports / "check-data.json", result.to_dict())
    if not result.passed:
        refused = TitleboutError(result.reasons[0], where="data/", fix="read pipelines/*/reports/check-data.json")
        refused.exit_code = ExitCode.DATA_REFUSED
        raise refused
