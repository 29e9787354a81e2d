"""Output of every command: result files, workflow outputs, and the terminal. The only module that prints."""

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from titlebout.core.errors import ExitCode, TitleboutError

if TYPE_CHECKING:
    from titlebout.core.results import StepResult

P = ParamSpec("P")

REFUSALS = (ExitCode.DATA_REFUSED, ExitCode.CHALLENGER_LOST, ExitCode.DRIFT_FOUND)


class Group(click.Group):
    """Commands in the order in which they are defined, instead of alphabetical order."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands in the order of their definition."""
        return list(self.commands)


def step(
    group: click.Group, name: str, *, in_project: bool = True, has_verdict: bool = True
) -> "Callable[[Callable[P, StepResult]], Callable[..., None]]":
    """Turn a function that returns a result into a command, with the options that all steps share."""

    def decorate(function: "Callable[P, StepResult]") -> Callable[..., None]:
        @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
        @click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_log_details,
            help="Log details to standard error.",
        )
        @functools.wraps(function)
        def command(as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
            no_fail = kwargs.pop("no_fail", False)  # an option of the commands that have a verdict
            result = function(*args, **kwargs)
            _write_output(result, as_json)
            refused = result.exit_code in {*REFUSALS, ExitCode.INCONCLUSIVE}
            click.get_current_context().exit(int(ExitCode.OK if no_fail and refused else result.exit_code))

        wrapped: Callable[..., None] = command
        if has_verdict:
            wrapped = click.option(
                "--no-fail",
                is_flag=True,
                help="Exit with 0 instead of 3 (inconclusive), 10 (data refused), 11 (champion kept) or 12 (drift found). "
                "Errors keep their exit codes.",
            )(wrapped)
        if in_project:
            wrapped = click.option(
                "--pipeline", metavar="NAME", help="Pipeline to use; by default project.pipeline in titlebout.toml."
            )(wrapped)
        return group.command(name)(wrapped)

    return decorate


def _log_details(_context: click.Context, _parameter: click.Parameter, verbose: bool) -> None:
    if verbose:
        logging.getLogger().setLevel(logging.DEBUG)


def report_error(error: TitleboutError, as_json: bool) -> None:
    """Report an error: as text on standard error, with --json on standard output, in a workflow as an annotation."""
    from titlebout.forge.actions import Ci, annotation, defang

    parts = [("where", error.where), ("why", error.why), ("fix", error.fix), ("state", error.state)]
    text = "\n".join([f"error: {error.what}", *(f"  {name}: {value}" for name, value in parts if value)])
    click.echo(defang(text), err=True)
    if as_json:
        click.echo(_json({"error": error.to_dict()}), nl=False)
    ci = Ci.from_environ()
    if ci.on_actions:
        click.echo(annotation("error", f"{error.what}. {error.fix or ''}".strip(), title="titlebout"), err=True)


def _write_output(result: "StepResult", as_json: bool) -> None:
    """Write a result to its files, to the outputs and the summary of the workflow, and to the terminal."""
    from titlebout.core.markdown import plain, unfolded
    from titlebout.core.results import write_result, write_text_atomically
    from titlebout.forge.actions import Ci, defang
    from titlebout.repository.project import Project

    markdown = result.to_markdown()
    if result.written:
        folder = Project.find(Path.cwd()).reports
        write_result(folder / f"{result.step}.json", result)
        write_text_atomically(folder / f"{result.step}.md", markdown)
    ci = Ci.from_environ()
    ci.write_outputs(result.outputs)
    ci.write_summary(markdown)
    if not as_json and sys.stdout.isatty() and not result.laid_out:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(unfolded(markdown)))
    else:
        click.echo(_json(result.model_dump()) if as_json else defang(plain(markdown)), nl=False)


def _json(document: Mapping[str, Any]) -> str:
    from titlebout.core.results import to_json

    # A GitHub runner executes ##[...] anywhere in a line as a command; escaped, the JSON is equivalent.
    return to_json(document).replace("##[", "\\u0023#[")


def progress(line: str) -> None:
    """Print one line of progress to standard error; the line may be output of a child process."""
    from titlebout.forge.actions import defang

    click.echo(defang(line), err=True)
