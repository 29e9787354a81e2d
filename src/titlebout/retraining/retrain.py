"""Retraining: add the new rows, train, evaluate, and make one reviewable commit on the retrain branch.

Everything happens in a temporary worktree at the base branch's commit: the user's files do not change, and a killed run
leaves nothing behind. The commit holds data pointers, the model and the verdict; its message is the pull request's
text. A second job, the only one with a write token, checks the commit and opens or updates the pull request.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from titlebout.core.errors import DataRefusedError, ExitCode, InconclusiveError, NotFoundError
from titlebout.core.markdown import escape, folded
from titlebout.core.process import Progress
from titlebout.core.results import StepResult, read_result
from titlebout.data.added import write_added
from titlebout.data.columns import ROW_HASH_BITS, timestamps
from titlebout.data.current import NO_NEW_DATA, files_to_take_in, find_new_rows, read_current
from titlebout.data.holdout import read_tracked
from titlebout.data.identity import identity_hashes
from titlebout.data.moment import Moment, moment_of
from titlebout.data.new_rows import NewRows, RowCounts, describe_counts
from titlebout.gate.promotion import promote_challenger
from titlebout.gate.report import EvaluateResult
from titlebout.models.champion import allowed_paths, champion_in_work_tree
from titlebout.policy.attempts import append_attempt, log_ref
from titlebout.policy.rules import OUTCOMES, Attempt
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_config import share_storage
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project
from titlebout.repository.subcommand import run_step
from titlebout.retraining import retrain_commit
from titlebout.retraining.bundle import BundleContents, pack
from titlebout.retraining.changes import describe_changes
from titlebout.retraining.decide import DecideResult
from titlebout.retraining.messages import unsuccessful_body, unsuccessful_title
from titlebout.retraining.reason import AttemptReason
from titlebout.settings.addresses import SETTINGS_FILE
from titlebout.training.train import TrainResult

Operation = Literal["none", "committed", "unchanged", "created", "updated", "declined"]
Verdict = Literal["promote", "keep", "inconclusive", "data_refused", ""]


class RetrainResult(StepResult):
    """Outcome of a retraining attempt.

    Attributes
    ----------
    operation : {"none", "committed", "unchanged", "created", "updated", "declined"}
        What was done to the branch or, with a forge, to the pull request; "declined": nothing, because a pull request
        with the same evidence was closed without merging.
    verdict : {"promote", "keep", "inconclusive", "data_refused", ""}
        Empty when there was no new attempt to publish.
    reason : str
        Reason for the attempt: ``drift``, ``schedule``, ``manual``, ...
    branch, base, commit : str
        The branch, its base commit, and its tip; `commit` is empty when nothing was committed.
    title, body : str
        Text of the pull request (Markdown), or of the issue about the unsuccessful attempt.
    new_rows : int
        Number of rows added to the training data.
    arrival : RowCounts or None
        How many of the rows read were used, and why others were not.
    evaluation : EvaluateResult or None
        Result of ``evaluate``; None when there was no evaluation.
    number, url : int or None, str
        Number and address of the pull request, when a forge was given; when nothing was committed, `url` is the issue's.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {
        "operation": "operation",
        "verdict": "verdict",
        "branch": "branch",
        "number": "number",
        "url": "url",
        "head-sha": "commit",
        "report": "report",
    }

    step: Literal["retrain"] = "retrain"
    operation: Operation
    verdict: Verdict
    reason: str
    branch: str
    base: str
    commit: str = ""
    title: str = ""
    body: str = ""
    new_rows: int = 0
    arrival: RowCounts | None = None
    evaluation: EvaluateResult | None = None
    number: int | None = None
    url: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        unsuccessful = {"data_refused": ExitCode.DATA_REFUSED, "inconclusive": ExitCode.INCONCLUSIVE}
        return ExitCode.OK if self.passed else unsuccessful.get(self.verdict, ExitCode.CHALLENGER_LOST)

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        lines = [
            f"### Retraining: {self.verdict.replace('_', ' ') or 'nothing new'}",
            "",
            *(f"{reason[0].upper()}{reason[1:]}." for reason in self.reasons),
        ]
        if counts := describe_counts(self.arrival) if self.arrival else "":
            lines += ["", f"{counts}."]
        if self.url:
            lines += ["", self.url]
        if self.body:
            lines += ["", f"**{escape(self.title)}**", "", self.body]
        return "\n".join(lines) + "\n"


def retrain(
    project: Project,
    reason: AttemptReason,
    bundle: Path | None = None,
    on_line: Progress | None = None,
    git: Git | None = None,
) -> RetrainResult:
    """Attempt a retraining, record its outcome, and, if the challenger wins, commit it to the retrain branch.

    Parameters
    ----------
    project : Project
    reason : AttemptReason
        Selects the gate's rule, and is shown in the pull request. Completed by the last decision, if it was taken on the same
        data and champion.
    bundle : Path, optional
        Where to write the branch and the attempt log as a git bundle, for another job to push.
    on_line : callable, optional
        Called with each line of progress.
    git : Git, optional
        A repository with read access to origin.

    Raises
    ------
    ConflictError
        If the retrain branch has commits that titlebout did not make.
    InconclusiveError
        If there are too few new rows to train on.
    """
    git = git or Git.find(project.root)
    base = git.base_commit(project.settings.retrain.base)
    pipeline, branch = pipeline_name(project, git), retrain_branch(project, git)
    tip = retrain_commit.require_own_branch(git, branch, base)
    with git.worktree(base) as tree:
        work = _project_in(tree, git.path_of(project.root), project)
        share_storage(project.root, work.root, copied=git.root)
        new_rows, arrival, at = _add_new_rows(project, work)
        key = _inputs_key(work, tree, new_rows)
        champion = champion_in_work_tree(work)
        name = champion.name if champion else ""
        reason = _by_decision(reason, _decision(project, at, name), project, on_line)
        on_base = tip is not None and git.output("rev-parse", f"{tip}^") == base
        if tip and on_base and retrain_commit.trailer(git.message(tip), retrain_commit.INPUTS_TRAILER) == key:
            result = _proposed_before(git, branch, base, tip, reason)
        else:
            result = _attempt(work, tree, reason, key, new_rows, on_line)
            _keep_reports(work, project)
            if result.commit:
                git.set_branch(branch, result.commit, git.resolve(f"refs/heads/{branch}"))
            outcome = OUTCOMES.get(result.verdict, "lost")
            append_attempt(git, pipeline, Attempt(at, reason.reason, outcome, name, key))
        result = result.replace(arrival=arrival.counts)
    log = log_ref(pipeline)
    if bundle is not None:
        pack(project, git, bundle, base, BundleContents(result.commit, log, result.title, result.body))
    return result


def _project_in(tree: Git, folder: str, project: Project) -> Project:
    """Return the project as it is in a worktree.

    Raises
    ------
    NotFoundError
        If the base branch does not have it.
    """
    root = tree.root / folder
    if not (root / SETTINGS_FILE).is_file():
        raise NotFoundError(
            f"the base branch {project.settings.retrain.base} does not have this project",
            where=tree.path_of(root / SETTINGS_FILE),
            why="a retraining starts from the base branch, and the project's files are not committed there",
            fix="merge the project into the base branch, or set retrain.base in titlebout.toml to the branch that has it",
        )
    return Project.find(root, project.pipeline)


def _attempt(
    work: Project, tree: Git, reason: AttemptReason, key: str, new_rows: pd.DataFrame, on_line: Progress | None
) -> RetrainResult:
    """Train and evaluate in the worktree, with the same commands that people and workflows run; results are files."""
    common: dict[str, Any] = {
        "reason": reason.reason,
        "branch": retrain_branch(work, tree),
        "base": tree.output("rev-parse", "HEAD"),
        "new_rows": len(new_rows),
    }
    trained = run_step(work, TrainResult, on_line, "train", "--no-fail")
    if not trained.passed:
        return _unsuccessful(work, reason, "data_refused", trained, common)
    options = ("--no-fail", "--base", common["base"], f"--reason={reason.reason}")
    evaluation = run_step(work, EvaluateResult, on_line, "evaluate", *options)
    # Training on the new rows can reproduce the champion exactly; then there is nothing to promote.
    verdict = "keep" if evaluation.verdict == "unchanged" else evaluation.verdict
    if verdict != "promote":
        return _unsuccessful(work, reason, verdict, evaluation, common).replace(evaluation=evaluation)
    dvc = Dvc(work)
    changes = describe_changes(work, tree, new_rows)
    promote_challenger(work, dvc.pull_challenger(), evaluation)
    if not (trained.changed and dvc.remote_in_tree):  # otherwise `titlebout train` has pushed the same objects
        dvc.push()
    title = retrain_commit.title(work, evaluation)
    body = retrain_commit.body(work, reason, changes, _report(work, "evaluate"), evaluation.challenger)
    commit = tree.commit(
        retrain_commit.message(title, body, reason.reason, key),
        [path for path in allowed_paths(work, tree) if (tree.root / path).exists()],
    )
    return RetrainResult(
        passed=True,
        reasons=evaluation.reasons,
        operation="committed",
        verdict=verdict,
        commit=commit,
        title=title,
        body=body,
        evaluation=evaluation,
        **common,
    )


def _unsuccessful(
    work: Project, reason: AttemptReason, verdict: Verdict, ended: StepResult, common: dict[str, Any]
) -> RetrainResult:
    """Return the result of an attempt that commits nothing, with the report of the step that ended it."""
    return RetrainResult(
        passed=False,
        reasons=ended.reasons,
        operation="none",
        verdict=verdict,
        title=unsuccessful_title(work.pipeline, verdict),
        body=unsuccessful_body(reason, common["new_rows"], verdict, _report(work, ended.step)),
        **common,
    )


def _decision(project: Project, at: Moment, champion: str) -> DecideResult | None:
    """Return the last decision, if it was to attempt a retraining on these data and this champion."""
    path = project.reports / "decide.json"
    if not path.is_file():
        return None
    decided = read_result(path, DecideResult)
    if decided.action != "attempt" or decided.champion != champion:
        return None
    is_current = decided.at is not None and decided.at.comparable(at) and not decided.at < at
    return decided if is_current else None


def _by_decision(
    given: AttemptReason, decided: DecideResult | None, project: Project, on_line: Progress | None
) -> AttemptReason:
    """Return the reason that was given, or that of the decision, with the note and the reports of the decision if they agree."""
    reason = given.reason or ("manual" if given.note or decided is None else decided.reason)
    if decided is None or reason != decided.reason:
        return replace(given, reason=reason)
    completed = replace(given, reason=reason, note=given.note or decided.note, evidence=_evidence(project))
    if on_line is not None and str(completed) != str(given):
        on_line(f"reason of the last decision (reports/decide.json): {completed}")
    return completed


def _evidence(project: Project) -> str:
    """Return the reports behind the decision as collapsed sections."""
    summaries = {"decide": "Decision and triggers", "drift": "Drift report"}
    texts = {
        summary: (project.reports / f"{step}.md").read_text(encoding="utf-8").strip()
        for step, summary in summaries.items()
        if (project.reports / f"{step}.md").is_file()
    }
    return "\n\n".join(folded(summary, text) for summary, text in texts.items())


def _report(work: Project, step: str) -> str:
    return (work.reports / f"{step}.md").read_text(encoding="utf-8").strip()


def _add_new_rows(project: Project, work: Project) -> tuple[pd.DataFrame, NewRows, Moment]:
    """Add the new labeled rows as one more data file, and track it.

    Returns
    -------
    tuple of DataFrame, NewRows and Moment
        The added rows, all new rows, and the data time with them.

    Raises
    ------
    InconclusiveError
        If there are no labels yet, or too few new rows.
    DataRefusedError
        If a column is missing.
    """
    dvc = Dvc(work)
    dvc.pull_data()
    tracked = read_tracked(work)
    current = read_current(project, tracked, work.data_dir)
    where = project.settings.drift.current
    if current.frame.empty:
        raise InconclusiveError(NO_NEW_DATA, where=where, fix="wait for new data")
    missing = sorted(set(tracked.columns) - set(current.frame.columns))
    if missing == [work.params.data.target]:
        raise InconclusiveError(
            f"the current data has no labels yet: no column {missing[0]!r}", where=where, fix="wait for the labels"
        )
    if missing:
        raise DataRefusedError(
            f"the current data lacks columns of the tracked data: {', '.join(missing)}",
            where=where,
            fix="run `titlebout check-data --on current` to see every problem, and correct the source",
        )
    current = replace(current, frame=current.frame[tracked.columns])
    arrival = find_new_rows(work, current, tracked)
    new_rows = arrival.ready(work.params.data.target)
    wanted = work.settings.retrain.min_new_rows
    if len(new_rows) < wanted:
        raise InconclusiveError(
            f"{len(new_rows)} new rows are too few to retrain on; at least {wanted} are needed",
            where=where,
            why=describe_counts(arrival.counts) or None,
            fix="wait for more data or labels, or lower retrain.min_new_rows in titlebout.toml",
        )
    write_added(new_rows, _new_file(work, new_rows), files_to_take_in(current, arrival))
    dvc.add_data()
    # Rows without a label yet are not used for training, but they count for the data time, as they do in `decide`.
    return new_rows, arrival, moment_of(tracked, arrival.rows, work.params.data.time)


def _new_file(work: Project, new_rows: pd.DataFrame) -> Path:
    """Return the path of the new file; late rows can cover the same period as an earlier file, so its name gets a hash."""
    name = _file_name(new_rows, work.params.data.time)
    path = work.data_dir / f"{name}.parquet"
    return path if not path.exists() else work.data_dir / f"{name}_{_fingerprint(new_rows)[:12]}.parquet"


def _file_name(new_rows: pd.DataFrame, time: str) -> str:
    """Return a batch's file name: its period, or a hash of its content when rows have no time."""
    if not time:
        return f"rows-{_fingerprint(new_rows)[:12]}"
    stamps = timestamps(new_rows, time)
    return f"{stamps.min():%Y-%m-%d}_{stamps.max():%Y-%m-%d}"


def _fingerprint(new_rows: pd.DataFrame) -> str:
    hashes = identity_hashes(new_rows)
    hashes.sort()
    return sha256(hashes.tobytes() + bytes([ROW_HASH_BITS])).hexdigest()


def _inputs_key(work: Project, tree: Git, new_rows: pd.DataFrame) -> str:
    """Return a hash of an attempt's inputs: code, parameters, settings, data and champion."""
    pipeline_paths = [work.pipeline_dir / name for name in ("dvc.yaml", "params.yaml", "champion.dvc")]
    shared_names = ["data.dvc", "requirements.lock", "titlebout.toml", work.settings.checks.suite, "src"]
    paths = [*pipeline_paths, *(work.root / name for name in shared_names)]
    inputs = tree.output("ls-tree", "HEAD", "--", *map(tree.path_of, paths))
    return sha256(f"{inputs}:{_fingerprint(new_rows)}".encode()).hexdigest()[:16]


def _keep_reports(work: Project, project: Project) -> None:
    """Copy the reports of the attempt's commands out of the worktree before it is removed."""
    for name in ("train", "evaluate"):
        shutil.rmtree(project.reports / name, ignore_errors=True)
    shutil.copytree(work.reports, project.reports, dirs_exist_ok=True)


def _proposed_before(git: Git, branch: str, base: str, tip: str, reason: AttemptReason) -> RetrainResult:
    title, body = retrain_commit.split_message(git.message(tip))
    git.run("update-ref", f"refs/heads/{branch}", tip)
    return RetrainResult(
        passed=True,
        reasons=("an attempt with the same inputs was made before; its branch is up to date",),
        operation="unchanged",
        verdict="promote",
        reason=reason.reason,
        branch=branch,
        base=base,
        commit=tip,
        title=title,
        body=body,
    )
