"""Run another titlebout command in a child process, because steps do not import each other."""

import json
import sys

from titlebout.core import process
from titlebout.core.errors import TitleboutError
from titlebout.core.process import Progress
from titlebout.core.results import Result, parse_result
from titlebout.repository.project import Project

# Outputs, summary and annotations of a workflow step are written by the outer command only.
NO_WORKFLOW = {"GITHUB_ACTIONS": "", "GITHUB_OUTPUT": "", "GITHUB_STEP_SUMMARY": ""}


def run_step(project: Project, kind: type[Result], on_line: Progress | None, *arguments: str) -> Result:
    """Run a command of titlebout in a project and return its result.

    Parameters
    ----------
    project : Project
        Project and pipeline to run it in.
    kind : type
        Class of the result.
    on_line : callable or None
        Called with each line of progress.
    *arguments : str
        The command and its options.

    Raises
    ------
    TitleboutError
        The error of the command, with its class.
    ProcessError
        If the command crashed and printed no JSON.
    """
    command = [sys.executable, "-m", "titlebout", *arguments, "--pipeline", project.pipeline, "--json"]
    completed = process.run(
        command, cwd=project.root, env=NO_WORKFLOW, check=False, on_line=process.without_errors(on_line)
    )
    try:
        document = json.loads(completed.stdout)
    except json.JSONDecodeError as error:
        raise process.ProcessError(completed) from error
    if "error" in document:
        reported = TitleboutError.from_dict(document["error"])
        raise reported
    return parse_result(completed.stdout, kind, f"output of titlebout {arguments[0]}")
