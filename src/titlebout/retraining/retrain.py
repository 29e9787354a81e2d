"""Retraining: take in what arrived, train, let the gate decide, and make ONE reviewable commit on ONE branch.

Everything happens in a temporary worktree at the base branch's commit: the user's files stay as they are, and a run
that is killed leaves nothing behind. The commit carries data pointers, model, verdict and, as its message, the pull
request's text. A second job, the only one with a write token, checks the commit and opens or refreshes the request.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from titlebout.core.errors import ExitCode, InconclusiveError
from titlebout.core.markdown import escape
from titlebout.core.process import Progress
from titlebout.core.results import StepResult, read_result
from titlebout.data.columns import ROW_HASH_BITS, row_hashes, timestamps
from titlebout.data.current import find_new_rows, read_current
from titlebout.data.moment import Moment, moment_of
from titlebout.data.new_rows import NewRows, RowCounts, describe_counts
from titlebout.data.tables import read_tables
from titlebout.gate.promotion import promote_challenger
from titlebout.gate.report import EvaluateResult
from titlebout.models.champion import allowed_paths, champion_in_work_tree
from titlebout.policy.attempts import log_ref, write_down
from titlebout.policy.rules import OUTCOMES, Attempt
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.repository.subcommand import run_step
from titlebout.retraining import retrain_commit
from titlebout.retraining.bundle import Handed, pack
from titlebout.retraining.decide import DecideResult
from titlebout.retraining.messages import lost_body, lost_title
from titlebout.retraining.reason import Why
from titlebout.training.train import TrainResult

Operation = Literal["none", "committed", "unchanged", "created", "updated", "declined"]
Verdict = Literal["promote", "keep", "inconclusive", "data_refused", ""]


class RetrainResult(StepResult):
    """What came of a retraining attempt.

    Attributes
    ----------
    operation : {"none", "committed", "unchanged", "created", "updated", "declined"}
        What was done to the branch or, with a forge, to the pull request; "declined" when people closed a pull request
        with the same evidence, so that nothing was done.
    verdict : {"promote", "keep", "inconclusive", "data_refused", ""}
        Empty when nothing was handed over.
    reason : str
        Why the attempt was made: ``drift``, ``schedule``, ``manual``, ...
    branch, base, commit : str
        The branch, the commit it stands on, and its tip; `commit` is empty when nothing was proposed.
    title, body : str
        Text of the pull request (Markdown), or of the issue that says why there is none.
    new_rows : int
        Rows that were added to the training data.
    arrival : RowCounts or None
        What became of the rows that were read.
    evaluation : EvaluateResult or None
        The result of ``evaluate``; None when nothing was compared.
    number, url : int or None, str
        The pull request, when a forge was asked; without one, `url` is that of the issue that says why.
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
        """What the process ends with."""
        refused = ExitCode.DATA_REFUSED if self.verdict == "data_refused" else ExitCode.CHALLENGER_LOST
        return ExitCode.OK if self.passed else refused

    def to_markdown(self) -> str:
        """Return the report for people as Markdown."""
        lines = [
            f"### Retraining: {self.verdict.replace('_', ' ') or 'nothing new'}",
            "",
            *(f"{r[0].upper()}{r[1:]}." for r in self.reasons),
        ]
        if counts := describe_counts(self.arrival) if self.arrival else "":
            lines += ["", f"{counts}."]
        if self.url:
            lines += ["", self.url]
        if self.body:
            lines += ["", f"**{escape(self.title)}**", "", self.body]
        return "\n".join(lines) + "\n"


def retrain(
    project: Project, why: Why, bundle: Path | None = None, on_line: Progress | None = None, git: Git | None = None
) -> RetrainResult:
    """Attempt a retraining, write down how it ended, and, when the challenger wins, commit it to the retrain branch.

    Parameters
    ----------
    project : Project
    why : Why
        Chooses the gate's rule, and is shown in the pull request.
    bundle : Path, optional
        Where to write the branch and the log of attempts as a git bundle, for another job to push.
    on_line : callable, optional
        Called with each line of progress.
    git : Git, optional
        A repository that may read origin.

    Raises
    ------
    ConflictError
        If somebody else committed to the retrain branch.
    InconclusiveError
        If there are too few new rows to learn from.
    """
    git = git or Git.find(project.root)
    base = git.base_commit(project.settings.retrain.base)
    branch = project.retrain_branch
    tip = retrain_commit.require_own_branch(git, branch, base)
    with git.worktree(base) as tree:
        work = Project.find(tree.root, project.pipeline)
        _share_cache(project, work)
        fresh, arrival, at = _take_in(project, work)
        key = _inputs_key(work, tree, fresh)
        champion = champion_in_work_tree(work)
        standing = tip is not None and git.output("rev-parse", f"{tip}^") == base
        if tip and standing and retrain_commit.trailer(git.message(tip), retrain_commit.INPUTS_TRAILER) == key:
            result = _proposed_before(git, branch, base, tip, why)
        else:
            why = replace(why, evidence=_evidence(project, why.reason, at))
            result = _attempt(work, tree, why, key, len(fresh), on_line)
            _keep_reports(work, project)
            if result.commit:
                git.set_branch(branch, result.commit, git.resolve(f"refs/heads/{branch}"))
            outcome, holder = OUTCOMES.get(result.verdict, "lost"), champion.output.md5 if champion else ""
            write_down(git, project.pipeline, Attempt(at, why.reason, outcome, holder, key))
        result = result.replace(arrival=arrival.counts)
    log = log_ref(project.pipeline)
    if bundle is not None:
        pack(project, git, bundle, base, Handed(result.commit, log, result.title, result.body))
    return result


def _attempt(work: Project, tree: Git, why: Why, key: str, rows: int, on_line: Progress | None) -> RetrainResult:
    """Train and evaluate in the worktree as the commands that people and workflows run; they talk through files."""
    common: dict[str, Any] = {
        "reason": why.reason,
        "branch": work.retrain_branch,
        "base": tree.output("rev-parse", "HEAD"),
        "new_rows": rows,
    }
    trained = run_step(work, TrainResult, on_line, "train", "--no-fail")
    if not trained.passed:
        return _lost(work, why, "data_refused", trained, common)
    options = ("--no-fail", "--base", common["base"], f"--reason={why.reason}")
    evaluation = run_step(work, EvaluateResult, on_line, "evaluate", *options)
    # The new rows can lead to the very model that is the champion; then it stays.
    verdict = "keep" if evaluation.verdict == "unchanged" else evaluation.verdict
    if verdict != "promote":
        return _lost(work, why, verdict, evaluation, common).replace(evaluation=evaluation)
    dvc = Dvc(work)
    promote_challenger(work, dvc.pull_challenger(), evaluation)
    dvc.push()
    title = retrain_commit.title(work, evaluation)
    body = retrain_commit.body(work, why, rows, _report(work, "evaluate"))
    commit = tree.commit(
        retrain_commit.message(title, body, why.reason, key),
        [path for path in allowed_paths(work) if (work.root / path).exists()],
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


def _lost(work: Project, why: Why, verdict: Verdict, ended: StepResult, common: dict[str, Any]) -> RetrainResult:
    """Return the result of an attempt that proposes nothing, with what the step that ended it reports."""
    return RetrainResult(
        passed=False,
        reasons=ended.reasons,
        operation="none",
        verdict=verdict,
        title=lost_title(work.pipeline, verdict),
        body=lost_body(why, common["new_rows"], verdict, _report(work, ended.step)),
        **common,
    )


def _evidence(project: Project, reason: str, at: Moment) -> str:
    """Return what led to this attempt, folded away, if the reports that lie here are of it and not of an earlier one."""
    path = project.reports / "decide.json"
    if not path.is_file():
        return ""
    decided = read_result(path, DecideResult)
    fitting = (decided.action, decided.reason) == ("attempt", reason)
    if not fitting or decided.at is None or not decided.at.comparable(at) or decided.at < at:
        return ""
    found = {"decide": "The decision and every signal", "drift": "Drift: what differs, and since when"}
    texts = {
        words: (project.reports / f"{step}.md").read_text(encoding="utf-8").strip()
        for step, words in found.items()
        if (project.reports / f"{step}.md").is_file()
    }
    return "\n\n".join(f"<details><summary>{words}</summary>\n\n{text}\n\n</details>" for words, text in texts.items())


def _report(work: Project, step: str) -> str:
    return (work.reports / f"{step}.md").read_text(encoding="utf-8").strip()


def _take_in(project: Project, work: Project) -> tuple[pd.DataFrame, NewRows, Moment]:
    """Add the rows that arrived, are new and have their label as one more file, and track it.

    Returns
    -------
    tuple of DataFrame, Arrival and Moment
        The rows, what arrived, and where the data stands with them.

    Raises
    ------
    InconclusiveError
        If they have no labels yet, or are too few.
    """
    dvc = Dvc(work)
    dvc.pull_data()
    known = read_tables(work.root, "data")
    current = read_current(project, known)
    where = project.settings.drift.current
    if current.frame.empty:
        raise InconclusiveError("nothing has arrived yet", where=where, fix="wait for data to arrive")
    missing = sorted(set(known.columns) - set(current.frame.columns))
    if missing:
        raise InconclusiveError(
            f"the data that arrived has no {', '.join(missing)}",
            where=where,
            fix="wait for the labels, or run `titlebout check-data --on current` to see what is wrong with it",
        )
    arrival = find_new_rows(project, replace(current, frame=current.frame[known.columns]), known)
    fresh = arrival.ready(work.params.data.target)
    wanted = work.settings.retrain.min_new_rows
    if len(fresh) < wanted:
        raise InconclusiveError(
            f"{len(fresh)} new rows are too few to retrain on; the policy asks for {wanted}",
            where=where,
            why=describe_counts(arrival.counts) or None,
            fix="wait for more data or labels, or lower retrain.min_new_rows in titlebout.toml",
        )
    fresh.to_parquet(_new_file(work, fresh), index=False, compression="zstd")
    dvc.add_data()
    # Rows that wait for their label are no part of the attempt, but the data stands where they are: `decide` says so, too.
    return fresh, arrival, moment_of(known, arrival.rows, work.params.data.time)


def _new_file(work: Project, fresh: pd.DataFrame) -> Path:
    """Return where to put rows; rows that came late can be of the same period as others before them."""
    name = _file_name(fresh, work.params.data.time)
    path = work.data_dir / f"{name}.parquet"
    return path if not path.exists() else work.data_dir / f"{name}_{_fingerprint(fresh)[:12]}.parquet"


def _file_name(fresh: pd.DataFrame, time: str) -> str:
    """Name a batch by what is in it: its period, or its content when rows have no time."""
    if not time:
        return f"rows-{_fingerprint(fresh)[:12]}"
    stamps = timestamps(fresh, time)
    return f"{stamps.min():%Y-%m-%d}_{stamps.max():%Y-%m-%d}"


def _fingerprint(fresh: pd.DataFrame) -> str:
    hashes = row_hashes(fresh)
    hashes.sort()
    return sha256(hashes.tobytes() + bytes([ROW_HASH_BITS])).hexdigest()


def _inputs_key(work: Project, tree: Git, fresh: pd.DataFrame) -> str:
    """Name an attempt by what goes into it: the same code, parameters, policy, data and champion give the same key."""
    pipeline = work.pipeline_dir.relative_to(work.root).as_posix()
    own = [f"{pipeline}/{name}" for name in ("dvc.yaml", "params.yaml", "champion.dvc")]
    shared = ["data.dvc", "requirements.lock", "titlebout.toml", work.settings.checks.suite, "src"]
    inputs = tree.output("ls-tree", "HEAD", "--", *own, *shared)
    return sha256(f"{inputs}:{_fingerprint(fresh)}".encode()).hexdigest()[:16]


def _keep_reports(work: Project, project: Project) -> None:
    """Take the reports of the attempt's commands, with their pictures and answers, out of the worktree before it goes."""
    for name in ("train", "evaluate"):
        shutil.rmtree(project.reports / name, ignore_errors=True)
    shutil.copytree(work.reports, project.reports, dirs_exist_ok=True)


def _share_cache(project: Project, work: Project) -> None:
    """Let the worktree use the repository's DVC cache: what was trained or fetched once is not moved again."""
    cache = project.root / ".dvc" / "cache"
    (work.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")


def _proposed_before(git: Git, branch: str, base: str, tip: str, why: Why) -> RetrainResult:
    title, body = retrain_commit.split_message(git.message(tip))
    git.run("update-ref", f"refs/heads/{branch}", tip)
    return RetrainResult(
        passed=True,
        reasons=("the same attempt was made before: its branch is up to date",),
        operation="unchanged",
        verdict="promote",
        reason=why.reason,
        branch=branch,
        base=base,
        commit=tip,
        title=title,
        body=body,
    )
