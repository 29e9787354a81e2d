"""Other commands of ours, run as people and workflows run them: steps talk through files, never through imports."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from titlebout.core import process
from titlebout.core.errors import ExitCode, TitleboutError
from titlebout.core.process import OnLine
from titlebout.core.results import Result, parse_result
from titlebout.repository.project import Project

# A command that another one runs is not the workflow's step: outputs, summary and annotations are the outer one's.
NOT_A_STEP = {"GITHUB_ACTIONS": "", "GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}


def run_step(project: Project, kind: type[Result], on_line: OnLine | None, *arguments: str) -> Result:
    """Run a command of titlebout in a project and return its result.

    Parameters
    ----------
    project : Project
    kind : type
        Class of the result.
    on_line : callable or None
        Called with each line of progress.
    *arguments : str
        The command and its options.

    Raises
    ------
    TitleboutError
        The command's own error, passed on as if it had happened here.
    ProcessError
        If it did not come to an end of its own.
    """
    command = [sys.executable, "-m", "titlebout", *arguments, "--pipeline", project.pipeline, "--json"]
    completed = process.run(command, cwd=project.root, env=NOT_A_STEP, check=False, on_line=on_line)
    try:
        document = json.loads(completed.stdout)
    except json.JSONDecodeError as error:
        raise process.ProcessError(completed) from error
    if "error" in document:
        error_here = _passed_on(document["error"])
        raise error_here
    return parse_result(completed.stdout, kind, f"output of titlebout {arguments[0]}")


def _passed_on(said: Mapping[str, Any]) -> TitleboutError:
    error = TitleboutError(said["what"], where=said["where"], why=said["why"], fix=said["fix"])
    error.exit_code = ExitCode(said["exit_code"])
    return error
