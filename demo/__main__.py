"""Command line of the demo: ``python -m demo``, run by ``make demo``."""

import sys
from pathlib import Path

import click

from demo.replay import demo
from demo.report import DemoResult
from titlebout.cli.console import progress, step
from titlebout.cli.main import run


@click.group()
def commands() -> None:
    """Group of the single command, so that its output and exit codes are those of the other titlebout commands."""


@step(commands, "demo", in_project=False)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="build/demo",
    help="Folder for the repository and the report; an earlier demo there is replaced.",
)
@click.option("--full", is_flag=True, help="Use all flights of 2013 instead of the sample.")
@click.option("--months", type=click.IntRange(1, 10), help="Stop after this many months of production data.")
def demo_command(output_dir: Path, full: bool, months: int | None) -> DemoResult:
    """Generate a repository and simulate a year of flights in it.

    Each month of flights arrives as new data; the data check, the drift measurement, the decision and the retraining run
    as in the workflow drift.yml. The result is a table, and an HTML report beside the repository.

    \b
    Example:
      make demo ARGS="--months 3"
    """  # noqa: D301 - \b marks a block whose line breaks click keeps
    return demo(output_dir, full, months, progress)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], commands.commands["demo"], "make demo"))
