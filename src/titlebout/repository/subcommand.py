"""Other commands of ours, run as people and workflows run them: steps talk through files, never through imports."""

import json
import sys

from titlebout.core import process
from titlebout.core.errors import TitleboutError
from titlebout.core.process import Progress
from titlebout.core.results import Result, parse_result
from titlebout.repository.project import Project

# A command that another one runs is not the workflow's step: outputs, summary and annotations are the outer one's.
NOT_A_STEP = {"GITHUB_ACTIONS": "", "GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}


def run_step(project: Project, kind: type[Result], on_line: Progress | None, *arguments: str) -> Result:
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
        The command's own error, of its own class.
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
        error_there = TitleboutError.from_dict(document["error"])
        raise error_there
    return parse_result(completed.stdout, kind, f"output of titlebout {arguments[0]}")
