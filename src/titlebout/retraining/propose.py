"""Propose: hand what an attempt came to over to people, as the one pull request, or as the one issue that says why not.

Trains nothing, and trusts nothing that it did not check.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from titlebout.core.errors import ConfigError, PermissionRefusedError
from titlebout.core.process import Progress
from titlebout.forge.client import Forge, PullRequest, PullRequestOutcome
from titlebout.policy.attempts import compare, hand_in, log_ref
from titlebout.policy.rules import OUTCOMES, Attempt
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.bundle import Handed, unpack
from titlebout.retraining.messages import lost_topic, overtaken, with_attempts
from titlebout.retraining.reason import Why
from titlebout.retraining.retrain import RetrainResult, retrain
from titlebout.retraining.retrain_commit import (
    INPUTS_TRAILER,
    TRAILER,
    require_own_branch,
    require_sound,
    split_message,
    trailer,
)

logger = logging.getLogger(__name__)

STATUS_CONTEXT = "titlebout/gate"


@dataclass(frozen=True)
class Destination:
    """Where the outcome of a retraining is proposed.

    Attributes
    ----------
    forge : Forge
    run_url : str or None
        Page of the workflow run, for the readers of an issue.
    """

    forge: Forge
    run_url: str | None = None


def retrain_and_propose(
    project: Project,
    why: Why,
    bundle: Path | None,
    on_line: Progress | None,
    git: Git,
    destination: Destination | None,
) -> RetrainResult:
    """Attempt a retraining and, with a destination, propose its outcome; see :func:`retrain` and :func:`propose`."""
    attempted = retrain(project, why, bundle, on_line, git)
    if destination is None:
        return attempted
    handed = Handed(attempted.commit, log_ref(project.pipeline), attempted.title, attempted.body)
    proposed = propose(project, destination.forge, handed, git, destination.run_url)
    return proposed if attempted.commit else attempted.replace(url=proposed.url)


def propose_bundle(project: Project, bundle: Path, git: Git, destination: Destination) -> RetrainResult:
    """Propose what another job left in a bundle; see :func:`titlebout.retraining.bundle.unpack` and :func:`propose`."""
    return propose(project, destination.forge, unpack(project, git, bundle), git, destination.run_url)


def propose(
    project: Project, forge: Forge, handed: Handed, git: Git | None = None, run_url: str | None = None
) -> RetrainResult:
    """Push the log of attempts and, if a challenger won, the retrain branch, and open or refresh its pull request.

    When no challenger won, an issue says so, and a pull request that is still open is marked as overtaken. Nothing is
    pushed or opened when people closed a pull request that showed the same evidence.

    Parameters
    ----------
    project : Project
    forge : Forge
    handed : Handed
        What came of the attempt, from the job that trained or from here.
    git : Git, optional
        A repository whose pushes are authorized.
    run_url : str, optional
        Page of the workflow run, for who reads the issue.

    Raises
    ------
    ConflictError
        If the base branch moved since the attempt, or somebody else committed to the retrain branch.
    UnsafeError
        If the commit touches anything but data pointers, models and reports.
    """
    git = git or Git.find(project.root)
    base = git.base_commit(project.settings.retrain.base)
    if not handed.commit:
        return _tell(project, forge, handed, git, run_url)
    commit, branch = handed.commit, project.retrain_branch
    require_sound(project, git, base, commit)
    require_own_branch(git, branch, base)
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
        _close_issue(project, forge)
    hand_in(git, project.pipeline, handed.log)
    return _proposed(outcome, wanted, base, commit, trailer(git.message(commit), TRAILER) or "")


def _tell(project: Project, forge: Forge, handed: Handed, git: Git, run_url: str | None) -> RetrainResult:
    """Tell in an issue that no challenger won, unless that was told before; the log is handed in last, as the receipt."""
    pipeline = project.pipeline
    known, new = compare(git, pipeline, handed.log)
    newest, told, url = (new[-1] if new else None), "", ""
    if newest is not None and newest.outcome != "won" and handed.title:
        body = with_attempts(handed.body, [*known, *new], run_url)
        told, url = _have_issue(project, forge, handed.title, body)
        _mark_overtaken(project, forge, git, newest, url or run_url or "")
    hand_in(git, pipeline, handed.log)
    verdicts = {outcome: verdict for verdict, outcome in OUTCOMES.items()}
    ended = f"the attempt ended with {newest.outcome!r}" if newest else "no attempt was handed over that is not known"
    return RetrainResult(
        passed=True,
        reasons=(f"nothing to propose: {ended}{told}; the log of attempts is up to date",),
        operation="none",
        verdict=verdicts[newest.outcome] if newest else "",
        reason=newest.reason if newest else "",
        branch=project.retrain_branch,
        base=git.base_commit(project.settings.retrain.base),
        url=url,
    )


def _have_issue(project: Project, forge: Forge, title: str, body: str) -> tuple[str, str]:
    """Return what was done about the issue, and where it is; a repository without issues still gets its log."""
    try:
        issue = forge.ensure_issue(lost_topic(project.pipeline), title, body)
    except (ConfigError, PermissionRefusedError) as error:
        return f"; no issue could be had: {error.what}, {error.why}; {error.fix}", ""
    return f"; issue {issue.number} was {issue.operation}", issue.url


def _close_issue(project: Project, forge: Forge) -> None:
    try:
        forge.close_issue(lost_topic(project.pipeline))
    except (ConfigError, PermissionRefusedError) as error:
        logger.warning(
            "the issue about earlier attempts could not be closed: %s, %s; %s", error.what, error.why, error.fix
        )


def _mark_overtaken(project: Project, forge: Forge, git: Git, attempt: Attempt, url: str) -> None:
    """Take back what an open pull request of ours claims: newer data does not bear it out."""
    branch = project.retrain_branch
    tip = git.remote_branch(branch)
    message = git.message(tip) if tip else ""
    opened = forge.find_open(branch, project.settings.retrain.base)
    if tip is None or opened is None or not trailer(message, TRAILER):
        return
    wanted = _wanted(project, message)
    forge.set_status(tip, "failure", STATUS_CONTEXT, "on newer data a challenger did not win again", url)
    forge.ensure_pull_request(replace(wanted, body=overtaken(attempt, url, wanted.body)))


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


def _wanted(project: Project, message: str) -> PullRequest:
    """Return the pull request that a retrain commit's message asks for."""
    title, body = split_message(message)
    return PullRequest(
        head=project.retrain_branch,
        base=project.settings.retrain.base,
        title=title,
        body=body,
        labels=project.settings.retrain.pr_labels,
        evidence=trailer(message, INPUTS_TRAILER) or "",
    )


def _told(outcome: PullRequestOutcome) -> str:
    if outcome.operation == "declined":
        return (
            f"pull request {outcome.number} with the same evidence was closed without merging, so it is not opened "
            "again; new data, code, parameters or a new champion will be proposed"
        )
    return f"pull request {outcome.number} was {outcome.operation}"
