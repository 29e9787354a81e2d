"""Retraining: take in what arrived, train, let the gate decide, and make ONE reviewable commit on ONE branch.

Everything happens in a temporary worktree at the base branch's commit: the user's files stay as they are, and a run
that is killed leaves nothing behind. The commit carries data pointers, model, verdict and, as its message, the pull
request's text. A second job, the only one with a write token, checks the commit and opens or refreshes the request.
"""

import shutil
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from titlebout import handover, logbook, proposal
from titlebout.arrivals import Arrival, told
from titlebout.children import run_step
from titlebout.data import ROW_HASH_BITS, moment, row_hashes, timestamps
from titlebout.errors import InconclusiveError
from titlebout.forge import Forge, PullRequest, PullRequestOutcome
from titlebout.git import Git
from titlebout.logbook import Memory
from titlebout.policy import OUTCOMES, Attempt
from titlebout.project import Project
from titlebout.proposal import Why
from titlebout.registry import champion_here, crown
from titlebout.reporting import escape
from titlebout.results import StepResult
from titlebout.sources import new_rows, read_current
from titlebout.tables import read_tables
from titlebout.tracking import Dvc, OnLine

STATUS_CONTEXT = "titlebout/gate"


@dataclass(frozen=True, kw_only=True)
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
        Text of the pull request (Markdown).
    new_rows : int
        Rows that were added to the training data.
    arrival : dict
        What became of the rows that were read; as in the result of ``drift``.
    evaluation : dict or None
        The document of the gate.
    number, url : int or None, str
        The pull request, when a forge was asked.
    """

    step: ClassVar[str] = "retrain"
    operation: str
    verdict: str
    reason: str
    branch: str
    base: str
    commit: str = ""
    title: str = ""
    body: str = ""
    new_rows: int = 0
    arrival: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] | None = None
    number: int | None = None
    url: str = ""


def retrain(project: Project, why: Why, bundle: Path | None = None, on_line: OnLine | None = None) -> RetrainResult:
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

    Raises
    ------
    ConflictError
        If somebody else committed to the retrain branch.
    InconclusiveError
        If there are too few new rows to learn from.
    """
    git = Git.find(project.root)
    base = git.base_commit(project.settings.retrain.base)
    branch = project.retrain_branch
    tip = proposal.require_own_branch(git, branch, base)
    with git.worktree(base) as tree:
        work = Project.find(tree.root, project.pipeline)
        _share_cache(project, work)
        fresh, arrival, at = _take_in(project, work)
        key = _inputs_key(work, tree, fresh)
        champion = champion_here(work)
        standing = tip is not None and git.output("rev-parse", f"{tip}^") == base
        if tip and standing and proposal.trailer(git.message(tip), proposal.INPUTS_TRAILER) == key:
            result = _proposed_before(git, branch, base, tip, why)
        else:
            result = _attempt(work, tree, why, key, len(fresh), on_line)
            _keep_reports(work, project)
            if result.commit:
                git.set_branch(branch, result.commit, git.resolve(f"refs/heads/{branch}"))
            outcome, holder = OUTCOMES.get(result.verdict, "lost"), champion.pointer.md5 if champion else ""
            logbook.write_down(git, project.pipeline, Attempt(at, why.reason, outcome, holder, key))
        result = replace(result, arrival=arrival.to_dict())
    if bundle is not None:
        handover.pack(project, git, bundle, base, result.commit)
    return result


def propose(project: Project, forge: Forge, bundle: Path | None = None, git: Git | None = None) -> RetrainResult:
    """Push the log of attempts and, if a challenger won, the retrain branch, and open or refresh its pull request.

    Trains nothing, and trusts nothing that it did not check.

    Nothing is pushed or opened when people closed a pull request that showed the same evidence.

    Parameters
    ----------
    project : Project
    forge : Forge
    bundle : Path, optional
        Branch and log as a git bundle from the job that trained; without it the local branch is taken.
    git : Git, optional
        A repository whose pushes are authorised.

    Raises
    ------
    NotFoundError
        If there is no such bundle.
    ConflictError
        If the base branch moved since the attempt, or somebody else committed to the retrain branch.
    UnsafeError
        If the commit touches anything but data pointers, models and reports.
    """
    git = git or Git.find(project.root)
    branch, base = project.retrain_branch, git.base_commit(project.settings.retrain.base)
    if bundle is None:
        commit, log = git.resolve(f"refs/heads/{branch}"), logbook.log_ref(project.pipeline)
    else:
        commit, log = handover.unpack(project, git, bundle)
    if commit is None:
        return _nothing_to_propose(project, base, logbook.hand_in(git, project.pipeline, log))
    proposal.require_sound(project, git, base, commit)
    proposal.require_own_branch(git, branch, base)
    pushed = git.remote_branch(branch)
    if pushed and git.tree(pushed) == git.tree(commit) and git.output("rev-parse", f"{pushed}^") == base:
        commit = pushed
    wanted = _wanted(project, git.message(commit))
    outcome = forge.find_declined(wanted)
    if outcome is None:
        if commit != pushed:
            git.push_branch(branch, commit, pushed)
        outcome = forge.ensure_pull_request(wanted)
        forge.set_status(commit, "success", STATUS_CONTEXT, "the challenger won the title bout", outcome.url)
    logbook.hand_in(git, project.pipeline, log)
    return _proposed(outcome, wanted, base, commit, proposal.trailer(git.message(commit), proposal.TRAILER) or "")


def _proposed(outcome: PullRequestOutcome, wanted: PullRequest, base: str, commit: str, reason: str) -> RetrainResult:
    return RetrainResult(
        passed=True,
        reasons=(_told(outcome),),
        operation=outcome.operation,
        verdict="promote",
        reason=reason,
        branch=wanted.head,
        base=base,
        commit=commit,
        title=wanted.title,
        body=wanted.body,
        number=outcome.number,
        url=outcome.url,
    )


def render_retrain(result: RetrainResult) -> str:
    """Return the Markdown fragment of the step."""
    lines = [
        f"### Retraining: {result.verdict.replace('_', ' ') or 'nothing new'}",
        "",
        *(f"{r[0].upper()}{r[1:]}." for r in result.reasons),
    ]
    if said := told(result.arrival):
        lines += ["", f"{said}."]
    if result.url:
        lines += ["", result.url]
    if result.body:
        lines += ["", f"**{escape(result.title)}**", "", result.body]
    return "\n".join(lines) + "\n"


def _attempt(work: Project, tree: Git, why: Why, key: str, rows: int, on_line: OnLine | None) -> RetrainResult:
    """Train and evaluate in the worktree as the commands that people and workflows run; they talk through files."""
    common: dict[str, Any] = {
        "reason": why.reason,
        "branch": work.retrain_branch,
        "base": tree.output("rev-parse", "HEAD"),
        "new_rows": rows,
    }
    trained = run_step(work, on_line, "train", "--no-fail")
    if not trained["passed"]:
        return RetrainResult(
            passed=False, reasons=tuple(trained["reasons"]), operation="none", verdict="data_refused", **common
        )
    evaluation = run_step(work, on_line, "evaluate", "--no-fail", "--base", common["base"], f"--reason={why.reason}")
    verdict = evaluation["verdict"]
    if verdict != "promote":
        return RetrainResult(
            passed=False,
            reasons=tuple(evaluation["reasons"]),
            operation="none",
            verdict=verdict,
            evaluation=evaluation,
            **common,
        )
    dvc = Dvc(work)
    crown(work, dvc.pull_challenger(), evaluation)
    dvc.push()
    title = proposal.title(work, evaluation)
    body = proposal.body(work, why, rows, (work.reports / "evaluate.md").read_text(encoding="utf-8"))
    commit = tree.commit(
        proposal.message(title, body, why.reason, key),
        [path for path in proposal.allowed_paths(work) if (work.root / path).exists()],
    )
    return RetrainResult(
        passed=True,
        reasons=tuple(evaluation["reasons"]),
        operation="committed",
        verdict=verdict,
        commit=commit,
        title=title,
        body=body,
        evaluation=evaluation,
        **common,
    )


def _take_in(project: Project, work: Project) -> tuple[pd.DataFrame, Arrival, str]:
    """Add the rows that arrived, are new and have their label as one more file, and track it.

    Returns
    -------
    tuple of DataFrame, Arrival and str
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
    arrival = new_rows(project, replace(current, frame=current.frame[known.columns]), known)
    fresh = arrival.ready(work.params.data.target)
    wanted = work.settings.retrain.min_new_rows
    if len(fresh) < wanted:
        raise InconclusiveError(
            f"{len(fresh)} new rows are too few to retrain on; the policy asks for {wanted}",
            where=where,
            why=told(arrival.counts) or None,
            fix="wait for more data or labels, or lower retrain.min_new_rows in titlebout.toml",
        )
    fresh.to_parquet(_new_file(work, fresh), index=False, compression="zstd")
    dvc.add_data()
    # Rows that wait for their label are no part of the attempt, but the data stands where they are: `decide` says so, too.
    return fresh, arrival, moment(known, arrival.rows, work.params.data.time)


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


def _nothing_to_propose(project: Project, base: str, handed: Memory) -> RetrainResult:
    verdicts = {outcome: verdict for verdict, outcome in OUTCOMES.items()}
    newest = handed.attempts[-1] if handed.attempts else None
    ended = f"the attempt ended with {newest.outcome!r}" if newest else "no attempt was handed over that is not known"
    return RetrainResult(
        passed=True,
        reasons=(f"nothing to propose: {ended}; the log of attempts is up to date",),
        operation="none",
        verdict=verdicts[newest.outcome] if newest else "",
        reason=newest.reason if newest else "",
        branch=project.retrain_branch,
        base=base,
    )


def _wanted(project: Project, message: str) -> PullRequest:
    """Return the pull request that a retrain commit's message asks for."""
    title, body = proposal.split_message(message)
    return PullRequest(
        head=project.retrain_branch,
        base=project.settings.retrain.base,
        title=title,
        body=body,
        labels=project.settings.retrain.labels,
        evidence=proposal.trailer(message, proposal.INPUTS_TRAILER) or "",
    )


def _told(outcome: PullRequestOutcome) -> str:
    if outcome.operation == "declined":
        return (
            f"pull request {outcome.number} with the same evidence was closed without merging, so it is not opened "
            "again; new data, code, parameters or a new champion will be proposed"
        )
    return f"pull request {outcome.number} was {outcome.operation}"


def _proposed_before(git: Git, branch: str, base: str, tip: str, why: Why) -> RetrainResult:
    title, body = proposal.split_message(git.message(tip))
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
