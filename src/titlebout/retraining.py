"""Retraining: take in what arrived, train, let the gate decide, and make ONE reviewable commit on ONE branch.

Everything happens in a temporary worktree at the base branch's commit: the user's files stay as they are, and a run
that is killed leaves nothing behind. The commit carries data pointers, model, verdict and, as its message, the pull
request's text. A second job, the only one with a write token, checks the commit and opens or refreshes the request.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from titlebout import handover, logbook, proposal
from titlebout.children import run_step
from titlebout.data import ROW_HASH_BITS, moment, new_rows, row_hashes, timestamps
from titlebout.errors import InconclusiveError
from titlebout.forge import Forge, PullRequest
from titlebout.git import Git
from titlebout.logbook import Memory
from titlebout.policy import Attempt, Outcome
from titlebout.project import Project
from titlebout.proposal import Why
from titlebout.registry import champion_here, crown
from titlebout.reporting import escape
from titlebout.results import StepResult
from titlebout.tables import read_tables
from titlebout.tracking import Dvc, OnLine

STATUS_CONTEXT = "titlebout/gate"

_OUTCOMES: dict[str, Outcome] = {
    "promote": "won",
    "keep": "lost",
    "inconclusive": "inconclusive",
    "data_refused": "refused",
}


@dataclass(frozen=True, kw_only=True)
class RetrainResult(StepResult):
    """What came of a retraining attempt.

    Attributes
    ----------
    operation : {"none", "committed", "unchanged", "created", "updated"}
        What was done to the branch or, with a forge, to the pull request.
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
    arrived = read_tables(project.root, project.settings.drift.current)
    with git.worktree(base) as tree:
        work = Project.find(tree.root, project.pipeline)
        _share_cache(project, work)
        fresh, at = _take_in(work, arrived)
        key = _inputs_key(base, fresh)
        champion = champion_here(work)
        if tip and proposal.trailer(git.message(tip), proposal.INPUTS_TRAILER) == key:
            result = _proposed_before(git, branch, base, tip, why)
        else:
            result = _attempt(work, tree, why, key, len(fresh), on_line)
            if result.commit:
                git.set_branch(branch, result.commit, git.resolve(f"refs/heads/{branch}"))
            outcome, holder = _OUTCOMES.get(result.verdict, "lost"), champion.pointer.md5 if champion else ""
            logbook.write_down(git, project.pipeline, Attempt(at, why.reason, outcome, holder, key))
    if bundle is not None:
        handover.pack(project, git, bundle, base, result.commit)
    return result


def propose(project: Project, forge: Forge, bundle: Path | None = None, git: Git | None = None) -> RetrainResult:
    """Push the log of attempts and, if a challenger won, the retrain branch, and open or refresh its pull request.

    Trains nothing, and trusts nothing that it did not check.

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
    pushed = proposal.require_own_branch(git, branch, base)
    if pushed is None or git.tree(pushed) != git.tree(commit) or git.output("rev-parse", f"{pushed}^") != base:
        git.push_branch(branch, commit, pushed)
    else:
        commit = pushed
    title, body = proposal.split_message(git.message(commit))
    labels = project.settings.retrain.labels
    outcome = forge.ensure_pull_request(
        PullRequest(head=branch, base=project.settings.retrain.base, title=title, body=body, labels=labels)
    )
    forge.set_status(commit, "success", STATUS_CONTEXT, "the challenger won the title bout", outcome.url)
    logbook.hand_in(git, project.pipeline, log)
    return RetrainResult(
        passed=True,
        reasons=(f"pull request {outcome.number} was {outcome.operation}",),
        operation=outcome.operation,
        verdict="promote",
        reason=proposal.trailer(git.message(commit), proposal.TRAILER) or "",
        branch=branch,
        base=base,
        commit=commit,
        title=title,
        body=body,
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


def _take_in(work: Project, arrived: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Add the rows that arrived since the tracked data's newest row as one more file, and track it.

    Returns
    -------
    tuple of DataFrame and str
        The rows, and where the data stands with them.

    Raises
    ------
    InconclusiveError
        If they have no labels yet, or are too few.
    """
    dvc = Dvc(work)
    dvc.pull_data()
    known = read_tables(work.root, "data")
    missing = sorted(set(known.columns) - set(arrived.columns))
    if missing:
        raise InconclusiveError(
            f"the data that arrived has no {', '.join(missing)}",
            where=work.settings.drift.current,
            fix="wait for the labels, or run `titlebout check-data --on current` to see what is wrong with it",
        )
    fresh = new_rows(arrived[known.columns], known, work.params.data.time)
    wanted = work.settings.retrain.min_new_rows
    if len(fresh) < wanted:
        raise InconclusiveError(
            f"{len(fresh)} new rows are too few to retrain on; the policy asks for {wanted}",
            where=work.settings.drift.current,
            fix="wait for more data, or lower retrain.min_new_rows in titlebout.toml",
        )
    fresh.to_parquet(
        work.data_dir / f"{_file_name(fresh, work.params.data.time)}.parquet", index=False, compression="zstd"
    )
    dvc.add_data()
    return fresh, moment(known, fresh, work.params.data.time)


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


def _inputs_key(base: str, fresh: pd.DataFrame) -> str:
    """Name an attempt by what goes into it: the same code, parameters, data and champion give the same key."""
    return sha256(f"{base}:{_fingerprint(fresh)}".encode()).hexdigest()[:16]


def _share_cache(project: Project, work: Project) -> None:
    """Let the worktree use the repository's DVC cache: what was trained or fetched once is not moved again."""
    cache = project.root / ".dvc" / "cache"
    (work.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache}\n", encoding="utf-8")


def _nothing_to_propose(project: Project, base: str, handed: Memory) -> RetrainResult:
    verdicts = {outcome: verdict for verdict, outcome in _OUTCOMES.items()}
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
