"""Commands of the command line: each parses its options and calls one library function.

Heavy libraries are imported inside the commands, so that ``--help`` starts as fast as click itself.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from titlebout import __version__
from titlebout.cli.console import Group, progress, step
from titlebout.cli.options import own_data, scaffold, template_answers
from titlebout.core.errors import ConfigError
from titlebout.core.names import REASONS, STRATEGY_NAMES

FORGES = click.Choice(["none", "github"])

if TYPE_CHECKING:
    from titlebout.core.results import StepResult
    from titlebout.repository.project import Project
    from titlebout.scaffold.generate import Choices


@click.group(
    cls=Group,
    context_settings={"auto_envvar_prefix": "TITLEBOUT", "help_option_names": ["-h", "--help"]},
    epilog="Documentation: https://github.com/titlebout/titlebout/tree/main/docs",
)
@click.version_option(__version__, prog_name="titlebout")
@click.option("-v", "--verbose", is_flag=True, help="Log details to standard error.")
def cli(verbose: bool) -> None:
    """CI/CD/CT for machine learning: every retrained model has to win the title from the one that serves.

    The champion is the model in production; the challenger is the model that was trained last. It replaces the
    champion only after both are compared on the same held-out rows. Commands run in a repository that `titlebout new`
    generated, and the workflows of that repository run the same commands.

    \b
    Example:
      titlebout new flights-delay && cd flights-delay
      titlebout train && titlebout evaluate
    """  # noqa: D301 - \b marks a block whose line breaks click keeps
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)


@step(cli, "new", in_project=False, has_verdict=False)
@click.argument("name", required=False)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Parent folder of the new repository.",
)
@own_data(required=False)
@template_answers
@click.option(
    "--answers",
    "earlier",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Use the answers in this .titlebout.toml of an earlier repository, instead of prompting.",
)
@click.option("--no-input", is_flag=True, help="Do not prompt; use the default answers.")
def new_command(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: str | None,
    output_dir: Path,
    data: Path | None,
    given: "Choices | None",
    answers: Mapping[str, str],
    earlier: Path | None,
    no_input: bool,
) -> "StepResult":
    """Generate a repository with a model, checks and workflows.

    NAME is the name of the project and of its folder. Without --data the repository contains the flights example,
    with a trained champion.

    \b
    Example:
      titlebout new flights-delay
      titlebout new churn --data customers.csv --target churned
      titlebout new churn --remote s3://acme-models/churn
      titlebout new flights-delay --library dist/titlebout-0.1.0-py3-none-any.whl
      titlebout new --answers .titlebout.toml --output-dir build/upgrade
    """  # noqa: D301
    with scaffold():
        from titlebout.scaffold.generate import Request, new

    ask = not no_input and earlier is None and sys.stdin.isatty()
    return new(Request(name, output_dir, data, given, answers, earlier), ask=ask)


@step(cli, "adopt", in_project=False, has_verdict=False)
@own_data(required=True)
def adopt_command(data: Path, given: "Choices") -> "StepResult":
    """Replace the flights example with your own data.

    Run it in a generated repository. It writes the parameters, the expectation suite and the model code for the columns
    of the file, and removes the files of the example. Commit all changes first.

    \b
    Example:
      titlebout adopt --data customers.csv --target churned
    """  # noqa: D301
    with scaffold():
        from titlebout.scaffold.generate import adopt

    return adopt(Path.cwd(), data, given)


@step(cli, "check-data")
@click.option(
    "--on",
    type=click.Choice(["tracked", "current"]),
    default="tracked",
    help="Data to check: tracked (the data tracked by DVC) or current (the new data at drift.current).",
)
def check_data_command(pipeline: str | None, on: Literal["tracked", "current"]) -> "StepResult":
    """Check data against the Great Expectations suite.

    The suite file is set by checks.suite in titlebout.toml. Exit code 10 means that an expectation with severity
    "critical" failed.

    \b
    Example:
      titlebout check-data --on current
    """  # noqa: D301
    from titlebout.checks.check import check_data

    return check_data(_project(pipeline), on)


@step(cli, "train")
@click.option(
    "--force", is_flag=True, help="Run every stage, also if nothing changed: shows that the model is reproducible."
)
def train_command(pipeline: str | None, force: bool) -> "StepResult":
    """Train the challenger by running the DVC pipeline.

    The stages are check-data, prepare, train and evaluate, which only computes the challenger's metrics; run
    `titlebout evaluate` to compare it with the champion. Stages whose data, code and parameters have not changed are
    skipped.

    \b
    Example:
      titlebout train
    """  # noqa: D301
    from titlebout.training.train import train

    return train(_project(pipeline), progress, force=force)


@step(cli, "evaluate")
@click.option(
    "--base",
    metavar="REVISION",
    help="Git revision whose champion the challenger is compared with; by default the base of the push or pull request, "
    "else the branch retrain.base of the remote.",
)
@click.option(
    "--only-promotions",
    is_flag=True,
    help="Fail on a negative verdict only if this branch changes champion.dvc, which requests a promotion; otherwise exit "
    "with 0.",
)
@click.option(
    "--reason",
    help="Why the challenger was trained: a key of gate.rules such as drift, which selects the rule. By default `change`, "
    "or the reason recorded in champion.dvc if this branch changes only data and models.",
)
@click.option(
    "--from-predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Repeat the decision on the predictions saved in this file, without loading a model.",
)
@click.option(
    "--margin",
    help="Margin to use instead of gate.margin: a number, or a percentage of the champion's value such as 2%. Only with "
    "--from-predictions.",
)
@click.option(
    "--selftest",
    is_flag=True,
    help="Measure on the holdout of the last evaluation how often the rules promote models that are as good as the "
    "champion, better or worse, and what each guardrail costs.",
)
def evaluate_command(  # noqa: PLR0913, PLR0917 - one parameter per option
    pipeline: str | None,
    base: str | None,
    only_promotions: bool,
    reason: str | None,
    from_predictions: Path | None,
    margin: str | None,
    selftest: bool,
) -> "StepResult":
    """Compare challenger and champion on the same holdout rows.

    The verdict is promote, keep, inconclusive, or unchanged if the challenger is the champion. Exit code 11 means that
    the champion is kept, 3 that the evidence is not sufficient for a decision. With --selftest, 11 means that a rule
    promotes too often.

    \b
    Example:
      titlebout evaluate --base main
      titlebout evaluate --from-predictions reports/evaluate/predictions.parquet --margin 1%
      titlebout evaluate --selftest
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import event_base
    from titlebout.gate.evaluate import evaluate, evaluate_again
    from titlebout.gate.evaluate import selftest as selftest_gate

    if margin is not None and from_predictions is None:
        fix = "add --from-predictions FILE, or set gate.margin in titlebout.toml"
        raise ConfigError("--margin can be used only with --from-predictions", fix=fix)
    project = _project(pipeline)
    if selftest:
        return selftest_gate(project, from_predictions)
    if from_predictions is not None:
        return evaluate_again(project, from_predictions, reason, margin)
    return evaluate(project, base or event_base(), only_promotions, reason)


@step(cli, "promote", has_verdict=False)
@click.option("--unproven", is_flag=True, help="Accept a first model that is ahead of the dummy model, without proof.")
def promote_command(pipeline: str | None, unproven: bool) -> "StepResult":
    """Point champion.dvc to the challenger.

    The verdict of the last `titlebout evaluate` must be promote. The challenger becomes the champion when champion.dvc is
    merged into the main branch. With --unproven, a first model becomes the champion without proof, if it has little data.

    \b
    Example:
      titlebout evaluate && titlebout promote
    """  # noqa: D301
    from titlebout.gate.promotion import promote

    return promote(_project(pipeline), unproven=unproven)


@step(cli, "package")
@click.option(
    "--model", type=click.Choice(["champion", "challenger"]), default="champion", help="Which model to package."
)
@click.option("--image", is_flag=True, help="Also build a container image, with docker, podman or buildah.")
def package_command(pipeline: str | None, model: str, image: bool) -> "StepResult":
    """Package a model as a Bento and test the running service.

    The test starts the service, sends it the golden rows (training rows stored with the model), and compares its
    predictions with the stored ones.

    \b
    Example:
      titlebout package --model champion
    """  # noqa: D301
    from titlebout.serving.package import package

    return package(_project(pipeline), model, image=image)


@step(cli, "drift")
@click.option(
    "--selftest", is_flag=True, help="Measure the false alarm rate on the reference data, where there is no drift."
)
def drift_command(pipeline: str | None, selftest: bool) -> "StepResult":
    """Compare new data with the training data of the champion.

    Exit code 12 means that drift was found, or with --selftest that there are too many false alarms.

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
@click.option("--manual", is_flag=True, help="Treat this run as a request of a user to retrain: no cool-down applies.")
@click.option("--schedule", is_flag=True, help="Treat this run as started by a schedule; see policy.schedule.")
@click.option(
    "--forge",
    type=FORGES,
    default="none",
    help="github: check on the forge (GitHub, Gitea or Forgejo) whether the retrain pull request is still open. none: "
    "check only its branch.",
)
@click.option(
    "--from-reports",
    type=click.Path(path_type=Path, file_okay=False),
    help="Do not decide: read the decision that another job wrote to this folder, and open or update an issue on the "
    "forge if it refused the new data. Needs --forge github.",
)
def decide_command(
    pipeline: str | None, manual: bool, schedule: bool, forge: str, from_reports: Path | None
) -> "StepResult":
    """Decide whether to retrain, by the rules of the policy.

    Reads the results of check-data and drift in reports/, and the thresholds in the table [policy] of titlebout.toml.

    \b
    Example:
      titlebout check-data --on current && titlebout drift --no-fail && titlebout decide
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorized, connected
    from titlebout.retraining.decide import decide, publish_decision

    if from_reports and forge != "github":
        raise click.UsageError("--from-reports needs --forge github")
    project = _project(pipeline)
    asked = frozenset(name for name, given in (("manual", manual), ("schedule", schedule)) if given)
    at = connected() if forge == "github" else None
    if at is not None and from_reports:
        return publish_decision(project, at, from_reports)
    return decide(project, asked, authorized(project.root), at)


@step(cli, "retrain")
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    help="Reason for the retraining, which selects the rule of the gate (see gate.rules). By default that of the last "
    "`titlebout decide` with its note, if data and champion are the same; else, or with --note, manual.",
)
@click.option(
    "--note", default="", help="Details for the reviewer of the pull request, for example the columns that drifted."
)
@click.option(
    "--forge",
    type=FORGES,
    default="none",
    help="none: create only a local branch. github: open a pull request through the API at GITHUB_API_URL, on Gitea and "
    "Forgejo too.",
)
@click.option(
    "--bundle", type=click.Path(path_type=Path, dir_okay=False), help="Also write the branch to this git bundle."
)
@click.option(
    "--from-bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Do not train: push the branch of this bundle and open its pull request.",
)
def retrain_command(
    pipeline: str | None, reason: str | None, note: str, forge: str, bundle: Path | None, from_bundle: Path | None
) -> "StepResult":
    """Train a challenger on new data and propose its promotion.

    Adds the new data, trains and evaluates. If the verdict is promote, the result is one commit on one branch, and with
    --forge github one pull request.

    \b
    Example:
      titlebout retrain --reason drift --note "April differs"
      titlebout retrain --forge github          # needs TITLEBOUT_TOKEN
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorized, connected, run_url
    from titlebout.retraining.propose import Destination, propose_bundle, retrain_and_propose
    from titlebout.retraining.reason import AttemptReason

    if from_bundle and forge != "github":
        raise click.UsageError("--from-bundle needs --forge github")
    project = _project(pipeline)
    git = authorized(project.root)
    destination = Destination(connected(), run_url()) if forge == "github" else None
    if from_bundle and destination:
        return propose_bundle(project, from_bundle, git, destination)
    return retrain_and_propose(
        project, AttemptReason(reason or "", note, run_url=run_url() or ""), bundle, progress, git, destination
    )


@step(cli, "backtest")
@click.option(
    "--every",
    metavar="LENGTH",
    default="",
    help="Length of a period: 12h, 28d, 4w, or a number of rows. By default policy.period_days, for "
    "the last 52 periods; shorter if there would be fewer than 6.",
)
@click.option(
    "--start",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.3,
    show_default=True,
    help="Share of the data, between 0 and 1 and oldest first, that trains the first model.",
)
@click.option(
    "--strategy",
    "strategies",
    type=click.Choice(STRATEGY_NAMES),
    multiple=True,
    help="Strategy to simulate; can be repeated. By default all.",
)
@click.option(
    "--label-delay",
    type=click.IntRange(min=0),
    default=0,
    help="Number of periods, see --every, until the labels of a row are available.",
)
@click.option("--current", is_flag=True, help="Also use the new, labeled rows of drift.current.")
def backtest_command(
    pipeline: str | None, every: str, start: float, strategies: tuple[str, ...], label_delay: int, current: bool
) -> "StepResult":
    """Compare retraining strategies on your past data.

    Each strategy is simulated period by period; --every sets the length of a period. The report shows for each strategy
    how many models were trained and promoted, the mean loss, and the time spent on training.

    \b
    Example:
      titlebout backtest --every 28d
      titlebout backtest --strategy titlebout --strategy every --label-delay 1
    """  # noqa: D301
    from titlebout.backtest.backtest import Plan, backtest

    return backtest(_project(pipeline), Plan(every, start, current, strategies, label_delay), progress)


@step(cli, "doctor", in_project=False, has_verdict=False)
@click.option(
    "--library",
    is_flag=True,
    help="Check only the library that this repository uses: vendor/titlebout has the recorded files, or the release the "
    "recorded hash.",
)
@click.option(
    "--accept-vendor",
    is_flag=True,
    help="First record the files of vendor/titlebout as they are, to keep your changes.",
)
def doctor_command(library: bool, accept_vendor: bool) -> "StepResult":
    """Report problems of this machine and repository, and fixes.

    The network is not used. Exit code 2 means that something is missing, 7 that vendor/titlebout was changed.

    \b
    Example:
      titlebout doctor
      titlebout doctor --library
    """  # noqa: D301
    from titlebout.doctor import doctor
    from titlebout.repository.origin import record_vendored
    from titlebout.repository.project import Project

    if accept_vendor:
        record_vendored(Project.find(Path.cwd()).root)
    return doctor(Path.cwd(), only_library=library)


@step(cli, "act", in_project=False, has_verdict=False)
@click.argument("workflow", metavar="WORKFLOW")
@click.argument("event", default="push")
def act_command(workflow: str, event: str) -> "StepResult":
    """Run a workflow on this machine, without GitHub.

    EVENT is the event that starts it, by default push. The workflow runs on a copy of the repository, with act in host
    mode. Permissions, filters of the trigger and concurrency exist on GitHub only, and a step that needs GitHub, such as
    opening a pull request, fails.

    \b
    Example:
      titlebout act ci.yml push
    """  # noqa: D301
    from titlebout.forge.act import act
    from titlebout.repository.git import Git

    return act(Git.find(Path.cwd()).root, workflow, event, progress)


@cli.command("stage", hidden=True)
@click.argument("name", type=click.Choice(["check-data", "prepare", "train", "evaluate"]))
@click.option("--pipeline", metavar="NAME", required=True, help="Pipeline that the stage belongs to.")
def stage_command(name: str, pipeline: str) -> None:
    """Run one stage of the DVC pipeline; DVC calls this command, see dvc.yaml."""
    from titlebout.cli import stages

    stages.run(_project(pipeline), name)


def _project(pipeline: str | None) -> "Project":
    from titlebout.repository.project import Project

    return Project.find(Path.cwd(), pipeline or None)
