"""The command line: parse, call one library function, and hand its result to the console.

Heavy libraries are imported inside the commands, so that ``--help`` costs no more than click itself.
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from titlebout import __version__
from titlebout.cli.console import Group, Report, progress, step
from titlebout.core.errors import ConfigError, ExitCode
from titlebout.core.names import POLICIES, REASONS

# What each command writes to $GITHUB_OUTPUT; an Action declares exactly these.
OUTPUTS: dict[str, tuple[str, ...]] = {
    "check-data": ("verdict", "passed", "report"),
    "train": ("changed", "stages", "report"),
    "evaluate": ("verdict", "promotion", "report"),
    "package": ("tag", "bento", "model-sha256", "image", "report"),
    "drift": ("verdict", "drift", "columns", "report"),
    "decide": ("action", "reason", "note", "report"),
    "retrain": ("operation", "verdict", "branch", "number", "url", "head-sha", "report"),
}

FORGES = click.Choice(["none", "github"])

if TYPE_CHECKING:
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
) -> Report:
    """Generate a repository that checks, trains, gates, packages and retrains.

    \b
    Example:
      titlebout new flights-delay
      titlebout new churn --data customers.csv --target churned
    """  # noqa: D301
    from titlebout.scaffold.generate import Request, new, render_new

    result = new(
        Request(name, output_dir, data, target, task),
        ask=not no_input and sys.stdin.isatty(),
    )
    return Report(result, render_new(result))


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
def adopt_command(data: Path, target: str, task: str | None) -> Report:
    """Turn a generated repository over to your own data: columns, checks and a first model.

    \b
    Example:
      titlebout adopt --data customers.csv --target churned
    """  # noqa: D301
    from titlebout.scaffold.generate import adopt, render_adopt

    result = adopt(Path.cwd(), data, target, task)
    return Report(result, render_adopt(result))


@step(cli, "check-data")
@click.option(
    "--on",
    type=click.Choice(["tracked", "current"]),
    default="tracked",
    help="The tracked data, or what arrived since.",
)
def check_data_command(pipeline: str | None, on: str) -> Report:
    """Check data against the Great Expectations suite of the repository.

    \b
    Example:
      titlebout check-data --on current
    """  # noqa: D301
    from titlebout.checks.check import render_check

    project = _project(pipeline)
    result = _check(project, on)
    code = ExitCode.OK if result.passed else ExitCode.DATA_REFUSED
    return Report(
        result,
        render_check(result),
        {"verdict": result.verdict, "passed": result.passed} | _at(project, "check-data"),
        code,
    )


@step(cli, "train")
def train_command(pipeline: str | None) -> Report:
    """Run the DVC pipeline: check-data, prepare, train, evaluate; nothing runs when nothing changed.

    \b
    Example:
      titlebout train
    """  # noqa: D301
    from titlebout.training.train import render_train, train

    project = _project(pipeline)
    result = train(project, progress)
    outputs = {"changed": result.changed, "stages": list(result.ran)} | _at(project, "train")
    return Report(result, render_train(result), outputs, ExitCode.OK if result.passed else ExitCode.DATA_REFUSED)


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
) -> Report:
    """Let the challenger meet the champion on the same holdout rows.

    \b
    Example:
      titlebout evaluate --base main
      titlebout evaluate --from-predictions reports/evaluate/predictions.parquet --margin 1%
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import event_base
    from titlebout.gate.evaluate import evaluate, evaluate_again
    from titlebout.gate.report import draw, render_evaluate

    if margin is not None and from_predictions is None:
        fix = "for good, set gate.margin in titlebout.toml"
        raise ConfigError("--margin goes with --from-predictions", fix=fix)
    project = _project(pipeline)
    if from_predictions is not None:
        result = evaluate_again(project, from_predictions, reason, margin)
    else:
        result = evaluate(project, base or event_base(), only_promotions, reason)
    draw(project.reports, result)
    lost = ExitCode.INCONCLUSIVE if result.verdict == "inconclusive" else ExitCode.CHALLENGER_LOST
    outputs = {"verdict": result.verdict, "promotion": result.promotion_requested} | _at(project, "evaluate")
    return Report(result, render_evaluate(result), outputs, ExitCode.OK if result.passed else lost)


@step(cli, "promote")
def promote_command(pipeline: str | None) -> Report:
    """Write the challenger that won into champion.dvc; merging that file to main gives it the title.

    \b
    Example:
      titlebout evaluate && titlebout promote
    """  # noqa: D301
    from titlebout.gate.promotion import promote

    result = promote(_project(pipeline))
    return Report(result, f"### Promotion\n\n{result.reasons[0]}.\n")


@step(cli, "package")
@click.option(
    "--model", type=click.Choice(["champion", "challenger"]), default="champion", help="Which model to package."
)
@click.option("--image", is_flag=True, help="Also build the container image, with docker, podman or buildah.")
def package_command(pipeline: str | None, model: str, image: bool) -> Report:
    """Package a model as a Bento and ask the running service for the golden rows.

    \b
    Example:
      titlebout package --model champion
    """  # noqa: D301
    from titlebout.repository.dvc import Dvc
    from titlebout.serving.package import BASE_IMAGE, package, render_package

    project = _project(pipeline)
    folder = Dvc(project).pull_model(model)
    base = project.settings.package.base_image or BASE_IMAGE
    result = package(project, folder, image=image, base=base)
    outputs = {
        "tag": result.tag,
        "bento": result.bento,
        "model-sha256": result.model_sha256,
        "image": result.image or "",
    }
    return Report(result, render_package(result), outputs | _at(project, "package"))


@step(cli, "drift")
@click.option("--selftest", is_flag=True, help="Count the false alarms on the reference itself, where nothing drifts.")
def drift_command(pipeline: str | None, selftest: bool) -> Report:
    """Compare what arrived with what the champion was trained on.

    \b
    Example:
      titlebout drift --no-fail
      titlebout drift --selftest
    """  # noqa: D301
    from titlebout.drift.measure import measure
    from titlebout.drift.report import render_drift

    project = _project(pipeline)
    if selftest:
        return _selftest(project)
    result = measure(project)
    outputs: dict[str, object] = {
        "verdict": result.verdict,
        "drift": result.verdict == "drift",
        "columns": list(result.drifted),
    }
    codes = {
        "drift": ExitCode.DRIFT_FOUND,
        "structural": ExitCode.DATA_REFUSED,
        "insufficient_data": ExitCode.INCONCLUSIVE,
    }
    return Report(
        result,
        render_drift(result),
        outputs | _at(project, "drift"),
        codes.get(result.verdict, ExitCode.OK),
    )


@step(cli, "decide")
@click.option("--manual", is_flag=True, help="Somebody asks for an attempt: no cool-down counts.")
@click.option("--schedule", is_flag=True, help="The calendar started this run; see policy.schedule.")
@click.option("--forge", type=FORGES, default="none", help="Ask there whether the pull request is still open.")
@click.option(
    "--from-reports",
    type=click.Path(path_type=Path, file_okay=False),
    help="Decide nothing; have an issue at the forge if the data that another job reports on was refused.",
)
def decide_command(pipeline: str | None, manual: bool, schedule: bool, forge: str, from_reports: Path | None) -> Report:
    """Decide whether a retraining is worth an attempt, and for which reason.

    \b
    Example:
      titlebout check-data --on current && titlebout drift --no-fail && titlebout decide
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorised, connected
    from titlebout.retraining.decide import decide, render_decide, tell_decision

    if from_reports and forge != "github":
        raise click.UsageError("--from-reports needs --forge github")
    project = _project(pipeline)
    asked = frozenset(name for name, given in (("manual", manual), ("schedule", schedule)) if given)
    at = connected() if forge == "github" else None
    if at is not None and from_reports:
        result = tell_decision(project, at, from_reports)
    else:
        result = decide(project, asked, authorised(project.root), at)
    outputs = {key: getattr(result, key) for key in ("action", "reason", "note")}
    code = ExitCode.OK if result.passed else ExitCode.DATA_REFUSED
    return Report(result, render_decide(result), outputs | _at(project, "decide"), code)


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
) -> Report:
    """Take in new data, train, let the gate decide, and prepare one pull request.

    \b
    Example:
      titlebout retrain --reason drift --note "March differs"
      titlebout retrain --forge github          # needs TITLEBOUT_TOKEN
    """  # noqa: D301, DOC501 - this is the help text
    from titlebout.cli.run_context import authorised, connected, run_url
    from titlebout.policy.attempts import log_ref
    from titlebout.retraining.bundle import Handed, unpack
    from titlebout.retraining.propose import propose
    from titlebout.retraining.reason import Why
    from titlebout.retraining.retrain import render_retrain, retrain

    if from_bundle and forge != "github":
        raise click.UsageError("--from-bundle needs --forge github")
    project = _project(pipeline)
    git, at = authorised(project.root), connected() if forge == "github" else None
    if from_bundle:
        handed = unpack(project, git, from_bundle)
    else:
        result = retrain(project, Why(reason, note), bundle, progress, git)
        handed = Handed(result.commit, log_ref(project.pipeline), result.title, result.body)
    if at is not None:
        proposed = propose(project, at, handed, git, run_url())
        result = proposed if from_bundle or handed.commit else result.replace(url=proposed.url)
    outputs = {key: getattr(result, key) for key in ("operation", "verdict", "branch", "url")}
    outputs |= {"number": result.number or "", "head-sha": result.commit} | _at(project, "retrain")
    refused = ExitCode.DATA_REFUSED if result.verdict == "data_refused" else ExitCode.CHALLENGER_LOST
    return Report(result, render_retrain(result), outputs, ExitCode.OK if result.passed else refused)


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
@click.option("--policy", "policies", type=click.Choice(POLICIES), multiple=True, help="Who plays; by default all.")
@click.option(
    "--label-delay", type=click.IntRange(min=0), default=0, help="How many periods later labels become known."
)
@click.option("--current", is_flag=True, help="Also play what arrived and has its label.")
def backtest_command(
    pipeline: str | None, every: str, start: float, policies: tuple[str, ...], label_delay: int, current: bool
) -> Report:
    """Play your own past under several policies side by side: what each attempts, gains and costs.

    \b
    Example:
      titlebout backtest --every 28d
      titlebout backtest --policy titlebout --policy every --label-delay 1
    """  # noqa: D301
    from titlebout.backtest.backtest import Plan, backtest
    from titlebout.backtest.report import render_backtest

    project = _project(pipeline)
    result = backtest(project, Plan(every, start, current, policies, label_delay), progress)
    return Report(result, render_backtest(result), _at(project, "backtest"))


@step(cli, "doctor", in_project=False)
def doctor_command() -> Report:
    """Say what is missing here, and how to fix it.

    \b
    Example:
      titlebout doctor
    """  # noqa: D301
    from titlebout import doctor

    result = doctor.doctor(Path.cwd())
    return Report(result, doctor.render_doctor(result), exit_code=ExitCode.OK if result.passed else ExitCode.USAGE)


@cli.command("stage", hidden=True)
@click.argument("name", type=click.Choice(["check-data", "prepare", "train", "evaluate"]))
@click.option("--pipeline", metavar="NAME", required=True, help="Pipeline that the stage belongs to.")
def stage_command(name: str, pipeline: str) -> None:  # noqa: D103 - called by DVC only
    from titlebout.cli import stages

    stages.run(_project(pipeline), name)


def _project(pipeline: str | None) -> "Project":
    from titlebout.repository.project import Project

    return Project.find(Path.cwd(), pipeline or None)


def _selftest(project: "Project") -> Report:
    from titlebout.data.tables import read_tables
    from titlebout.drift import false_alarms
    from titlebout.drift.measure import look_out, settings_of
    from titlebout.repository.dvc import Dvc

    Dvc(project).pull_data()
    reference, _ = look_out(project, read_tables(project.root, "data"))
    roles = project.params.data
    result = false_alarms.selftest(reference, settings_of(project), roles.time, roles.target)
    code = ExitCode.OK if result.passed else ExitCode.DRIFT_FOUND
    outputs = {"verdict": result.verdict} | _at(project, "drift-selftest")
    return Report(result, false_alarms.render_selftest(result), outputs, code)


def _at(project: "Project", name: str) -> dict[str, str]:
    return {"report": (project.reports / f"{name}.md").relative_to(project.root).as_posix()}


def _check(project: "Project", on: str) -> Any:
    from titlebout.checks.check import check_project
    from titlebout.repository.dvc import Dvc

    if on == "tracked":
        Dvc(project).pull_data()
    return check_project(project, on)
