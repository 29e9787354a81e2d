"""``python -m demo``, started by ``make demo``."""

import sys
from pathlib import Path

import click

from demo.replay import demo
from demo.report import DemoResult
from titlebout.cli.console import progress, step
from titlebout.cli.main import run


@click.group()
def commands() -> None:
    """Hold the one command, so that it reports and fails as every command of titlebout does."""


@step(commands, "demo", in_project=False)
@click.option(
    "--output-dir", type=click.Path(path_type=Path, file_okay=False), default="build/demo", help="Folder for the demo."
)
@click.option("--full", is_flag=True, help="Use all flights of 2013 instead of the sample.")
@click.option("--months", type=click.IntRange(1, 10), help="Stop after this many months of production data.")
def demo_command(output_dir: Path, full: bool, months: int | None) -> DemoResult:
    """Generate a repository and replay a year of flights through the loop.

    \b
    Example:
      make demo ARGS="--months 3"
    """  # noqa: D301 - \b is click's mark for a block that keeps its line ends
    return demo(output_dir, full, months, progress)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], commands.commands["demo"], "make demo"))
