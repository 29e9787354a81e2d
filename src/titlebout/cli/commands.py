"""The command line: parse, call one library function, and hand its result to the console.

Heavy libraries are imported inside the commands, so that ``--help`` costs no more than click itself.
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from titlebout import __version__
from titlebout.cli.console import Group, progress, step
from titlebout.core.errors import ConfigError
from titlebout.core.names import REASONS, STRATEGY_NAMES

FORGES = click.Choice(["none", "github"])

if TYPE_CHECKING:
    from titlebout.core.results import StepResult
    from titlebout.repository.project import Project


@click.group(cls=Group, context_settings={"auto_envvar_prefix": "TITLEBOUT", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="titlebout")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done in detail, on standard error.")
def cli(verbose: bool) -> None:
    """CI/CD/CT for machine learning: every retrained model has to win the title from the one that serves.

    \b
    Example:
      titlebout new flights-delay && cd flights-delay
      titlebout train && titlebout evaluate
    """  # noqa: D301 - \b is click's mark for a block that keeps its line ends
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)


@step(cli, "new", in_project=False)
@click.argument("name", required=False)
@click.option(
    "--output-dir", type=click.Path(path_type=Path, file_okay=False), default=".", help="Folder to generate into."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Your own CSV, parquet or JSONL file instead of the flights example.",
)
@click.option("--target", metavar="COLUMN", help="Column of --data to predict.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Kind of prediction; by default told by the target.",
)
@click.option("--no-input", is_flag=True, help="Ask nothing; take the defaults.")
def new_command(
    name: str | None, output_dir: Path, data: Path | None, target: str | None, task: str | None, no_input: bool
) -> "StepResult":
    """Generate a repository that checks, trains, gates, packages and retrains.

    \b
    Example:
      titlebout new flights-delay
      titlebout new churn --data customers.csv --target churned
    """  # noqa: D301
    from titlebout.scaffold.generate import Request, new

    return new(Request(name, output_dir, data, target, task), ask=not no_input and sys.stdin.isatty())


@step(cli, "adopt", in_project=False)
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="CSV, parquet or JSONL file to start from."
)
@click.option("--target", required=True, metavar="COLUMN", help="Column to predict.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Kind of prediction; by default told by the target.",
)
def adopt_command(data: Path, target: str, task: str | None) -> "StepResult":
    """Turn a generated repository over to your own data: columns, checks and a first model.

    \b
    Example:
      titlebout adopt --data customers.csv --target churned
    """  # noqa: D301
    from titlebout.scaffold.generate import adopt

    return adopt(Path.cwd(), data, target, task)


@step(cli, "check-data")
@click.option(
    "--on",
    type=click.Choice(["tracked", "current"]),
    default="tracked",
    help="The tracked data, or what arrived since.",
)
def check_data_command(pipeline: str | None, on: Literal["tracked", "current"]) -> "StepResult":
    """Check data against the Great Expectations suite of the repository.

    \b
    Example:
      titlebout check-data --on current
    """  # noqa: D301
    from titlebout.checks.check import check_data

    return check_data(_project(pipeline), on)


@step(cli, "train")
def train_command(pipeline: str | None) -> "StepResult":
    """Run the DVC pipeline: check-data, prepare, train, evaluate; nothing runs when nothing changed.

    \b
    Example:
      titlebout train
    """  # noqa: D301
    from titlebout.training.train import train

    return train(_project(pipeline), progress)


@step(cli, "evaluate")
@click.option(
    "--base",
    metavar="REVISION",
    help="Whose champion counts; by default what the push or pull request changes, else the main branch of origin.",
)
@click.option("--only-promotions", is_flag=True, help="Fail a lost bout only when this commit changes champion.dvc.")
@click.option(
    "--reason", help="Why the challenger was trained, which chooses the rule; by default what champion.dvc says."
)
@click.option(
    "--from-predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Decide again on the answers kept in this file; no model is asked.",
)
@click.option("--margin", help="With --from-predictions: another margin, a number or a share such as 2%.")
def evaluate_command(
    pipeline: str | None,
    base: str | None,
    only_promotions: bool,
    reason: str | None,
    from_predictions: Path | None,
    margin: str | None,
) -> "StepResult":
    """Let the challenger meet the champion on the same holdout rows.

    \b
    Example:
      titlebout evaluate --base main
      titlebout evaluate --from-predictions reports/evaluate/predictions.parquet --margin 1%
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import event_base
    from titlebout.gate.evaluate import evaluate, evaluate_again

    if margin is not None and from_predictions is None:
        fix = "for good, set gate.margin in titlebout.toml"
        raise ConfigError("--margin goes with --from-predictions", fix=fix)
    project = _project(pipeline)
    if from_predictions is not None:
        return evaluate_again(project, from_predictions, reason, margin)
    return evaluate(project, base or event_base(), only_promotions, reason)


@step(cli, "promote")
def promote_command(pipeline: str | None) -> "StepResult":
    """Write the challenger that won into champion.dvc; merging that file to main gives it the title.

    \b
    Example:
      titlebout evaluate && titlebout promote
    """  # noqa: D301
    from titlebout.gate.promotion import promote

    return promote(_project(pipeline))


@step(cli, "package")
@click.option(
    "--model", type=click.Choice(["champion", "challenger"]), default="champion", help="Which model to package."
)
@click.option("--image", is_flag=True, help="Also build the container image, with docker, podman or buildah.")
def package_command(pipeline: str | None, model: str, image: bool) -> "StepResult":
    """Package a model as a Bento and ask the running service for the golden rows.

    \b
    Example:
      titlebout package --model champion
    """  # noqa: D301
    from titlebout.serving.package import package

    return package(_project(pipeline), model, image=image)


@step(cli, "drift")
@click.option("--selftest", is_flag=True, help="Count the false alarms on the reference itself, where nothing drifts.")
def drift_command(pipeline: str | None, selftest: bool) -> "StepResult":
    """Compare what arrived with what the champion was trained on.

    \b
    Example:
      titlebout drift --no-fail
      titlebout drift --selftest
    """  # noqa: D301
    from titlebout.drift.false_alarms import selftest as selftest_drift
    from titlebout.drift.measure import measure

    project = _project(pipeline)
    return selftest_drift(project) if selftest else measure(project)


@step(cli, "decide")
@click.option("--manual", is_flag=True, help="Somebody asks for an attempt: no cool-down counts.")
@click.option("--schedule", is_flag=True, help="The calendar started this run; see policy.schedule.")
@click.option("--forge", type=FORGES, default="none", help="Ask there whether the pull request is still open.")
@click.option(
    "--from-reports",
    type=click.Path(path_type=Path, file_okay=False),
    help="Decide nothing; have an issue at the forge if the data that another job reports on was refused.",
)
def decide_command(
    pipeline: str | None, manual: bool, schedule: bool, forge: str, from_reports: Path | None
) -> "StepResult":
    """Decide whether a retraining is worth an attempt, and for which reason.

    \b
    Example:
      titlebout check-data --on current && titlebout drift --no-fail && titlebout decide
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorized, connected
    from titlebout.retraining.decide import decide, tell_decision

    if from_reports and forge != "github":
        raise click.UsageError("--from-reports needs --forge github")
    project = _project(pipeline)
    asked = frozenset(name for name, given in (("manual", manual), ("schedule", schedule)) if given)
    at = connected() if forge == "github" else None
    if at is not None and from_reports:
        return tell_decision(project, at, from_reports)
    return decide(project, asked, authorized(project.root), at)


@step(cli, "retrain")
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default="manual",
    help="Why; it chooses what the challenger has to show, see gate.rules.",
)
@click.option("--note", default="", help="More for the reviewer: which columns, whose request.")
@click.option(
    "--forge",
    type=FORGES,
    default="none",
    help="Stop at the local branch, or open a pull request (on GitHub, Gitea, Forgejo: where GITHUB_API_URL says).",
)
@click.option(
    "--bundle", type=click.Path(path_type=Path, dir_okay=False), help="Also write the branch to this git bundle."
)
@click.option(
    "--from-bundle", type=click.Path(path_type=Path, dir_okay=False), help="Train nothing; propose this bundle."
)
def retrain_command(
    pipeline: str | None, reason: str, note: str, forge: str, bundle: Path | None, from_bundle: Path | None
) -> "StepResult":
    """Take in new data, train, let the gate decide, and prepare one pull request.

    \b
    Example:
      titlebout retrain --reason drift --note "March differs"
      titlebout retrain --forge github          # needs TITLEBOUT_TOKEN
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorized, connected, run_url
    from titlebout.retraining.propose import Destination, propose_bundle, retrain_and_propose
    from titlebout.retraining.reason import Why

    if from_bundle and forge != "github":
        raise click.UsageError("--from-bundle needs --forge github")
    project = _project(pipeline)
    git = authorized(project.root)
    destination = Destination(connected(), run_url()) if forge == "github" else None
    if from_bundle and destination:
        return propose_bundle(project, from_bundle, git, destination)
    return retrain_and_propose(project, Why(reason, note), bundle, progress, git, destination)


@step(cli, "backtest")
@click.option(
    "--every",
    metavar="LENGTH",
    default="",
    help="Length of a period: 12h, 28d, 4w, or a number of rows; by default that of the policy, so that there are 6 to 26.",
)
@click.option(
    "--start",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="Share of the data that the first model is made from.",
)
@click.option(
    "--policy", "policies", type=click.Choice(STRATEGY_NAMES), multiple=True, help="Who plays; by default all."
)
@click.option(
    "--label-delay", type=click.IntRange(min=0), default=0, help="How many periods later labels become known."
)
@click.option("--current", is_flag=True, help="Also play what arrived and has its label.")
def backtest_command(
    pipeline: str | None, every: str, start: float, policies: tuple[str, ...], label_delay: int, current: bool
) -> "StepResult":
    """Play your own past under several policies side by side: what each attempts, gains and costs.

    \b
    Example:
      titlebout backtest --every 28d
      titlebout backtest --policy titlebout --policy every --label-delay 1
    """  # noqa: D301
    from titlebout.backtest.backtest import Plan, backtest

    return backtest(_project(pipeline), Plan(every, start, current, policies, label_delay), progress)


@step(cli, "doctor", in_project=False)
def doctor_command() -> "StepResult":
    """Say what is missing here, and how to fix it.

    \b
    Example:
      titlebout doctor
    """  # noqa: D301
    from titlebout.doctor import doctor

    return doctor(Path.cwd())


@cli.command("stage", hidden=True)
@click.argument("name", type=click.Choice(["check-data", "prepare", "train", "evaluate"]))
@click.option("--pipeline", metavar="NAME", required=True, help="Pipeline that the stage belongs to.")
def stage_command(name: str, pipeline: str) -> None:  # noqa: D103 - called by DVC only
    from titlebout.cli import stages

    stages.run(_project(pipeline), name)


def _project(pipeline: str | None) -> "Project":
    from titlebout.repository.project import Project

    return Project.find(Path.cwd(), pipeline or None)
