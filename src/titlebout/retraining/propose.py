"""Publish the outcome of an attempt: as the retrain pull request, or as the issue about unsuccessful attempts.

Runs with write access, so it trains nothing and checks every commit before it is pushed.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from titlebout.core.errors import ConfigError, PermissionRefusedError
from titlebout.core.process import Progress
from titlebout.forge.client import Forge, PullRequest, PullRequestOutcome
from titlebout.policy.attempts import compare, log_ref, push_attempts
from titlebout.policy.rules import OUTCOMES, Attempt
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project
from titlebout.retraining.bundle import BundleContents, unpack
from titlebout.retraining.messages import outdated_body, unsuccessful_topic, with_attempts
from titlebout.retraining.reason import AttemptReason
from titlebout.retraining.retrain import RetrainResult, retrain
from titlebout.retraining.retrain_commit import (
    INPUTS_TRAILER,
    TRAILER,
    require_own_branch,
    require_safe_commit,
    split_message,
    trailer,
)

logger = logging.getLogger(__name__)

STATUS_CONTEXT = "titlebout/gate"


@dataclass(frozen=True)
class Destination:
    """Forge on which an attempt's outcome is published.

    Attributes
    ----------
    forge : Forge
        Client of the project's repository.
    run_url : str or None
        Page of the workflow run, linked from the issue.
    """

    forge: Forge
    run_url: str | None = None


def retrain_and_propose(
    project: Project,
    reason: AttemptReason,
    bundle: Path | None,
    on_line: Progress | None,
    git: Git,
    destination: Destination | None,
) -> RetrainResult:
    """Attempt a retraining and, if a destination is given, publish its outcome; see :func:`retrain` and :func:`propose`."""
    attempted = retrain(project, reason, bundle, on_line, git)
    if destination is None:
        return attempted
    log = log_ref(pipeline_name(project, git))
    contents = BundleContents(attempted.commit, log, attempted.title, attempted.body)
    proposed = propose(project, destination.forge, contents, git, destination.run_url)
    return proposed if attempted.commit else attempted.replace(url=proposed.url)


def propose_bundle(project: Project, bundle: Path, git: Git, destination: Destination) -> RetrainResult:
    """Publish the outcome that another job wrote into a bundle; see :func:`titlebout.retraining.bundle.unpack` and :func:`propose`."""
    return propose(project, destination.forge, unpack(project, git, bundle), git, destination.run_url)


def propose(
    project: Project, forge: Forge, contents: BundleContents, git: Git | None = None, run_url: str | None = None
) -> RetrainResult:
    """Push the attempt log and, if a challenger won, the retrain branch, and open or update its pull request.

    After an unsuccessful attempt, open or update an issue instead, and mark an open pull request as outdated. The
    branch is neither pushed nor proposed if a pull request with the same evidence was closed without merging.

    Parameters
    ----------
    project : Project
    forge : Forge
        Client of the project's repository.
    contents : BundleContents
        Outcome of the attempt, of this process or of another job.
    git : Git, optional
        A repository whose pushes are authorized.
    run_url : str, optional
        Page of the workflow run, linked from the issue.

    Raises
    ------
    ConflictError
        If the base branch has new commits since the attempt, or the retrain branch has commits that titlebout did not
        make.
    UnsafeError
        If the commit changes anything but data pointers, models and reports.
    """
    git = git or Git.find(project.root)
    base = git.base_commit(project.settings.retrain.base)
    if not contents.commit:
        return _publish_unsuccessful(project, forge, contents, git, run_url)
    commit, branch = contents.commit, retrain_branch(project, git)
    require_safe_commit(project, git, base, commit)
    require_own_branch(git, branch, base)
    pushed = git.remote_branch(branch)
    if pushed and git.tree(pushed) == git.tree(commit) and git.output("rev-parse", f"{pushed}^") == base:
        commit = pushed
    request = _pull_request(project, branch, git.message(commit))
    outcome = forge.find_declined(request)
    if outcome is None:
        if commit != pushed:
            git.push_branch(branch, commit, pushed)
        outcome = forge.ensure_pull_request(request)
        forge.set_status(commit, "success", STATUS_CONTEXT, "the challenger passed the gate", outcome.url)
        _close_issue(forge, pipeline_name(project, git))
    push_attempts(git, pipeline_name(project, git), contents.log)
    return _proposed(outcome, request, base, commit, trailer(git.message(commit), TRAILER) or "")


def _publish_unsuccessful(
    project: Project, forge: Forge, contents: BundleContents, git: Git, run_url: str | None
) -> RetrainResult:
    """Open or update the issue about unsuccessful attempts, once per attempt.

    The attempt log is pushed last, so that an interrupted run repeats this step.
    """
    pipeline = pipeline_name(project, git)
    known, new = compare(git, pipeline, contents.log)
    newest, detail, url = (new[-1] if new else None), "", ""
    if newest is not None and newest.outcome != "won" and contents.title:
        body = with_attempts(contents.body, [*known, *new], run_url)
        detail, url = _ensure_issue(forge, pipeline, contents.title, body)
        _mark_outdated(project, forge, git, newest, url or run_url or "")
    push_attempts(git, pipeline, contents.log)
    verdicts = {outcome: verdict for verdict, outcome in OUTCOMES.items()}
    ended = f"the attempt ended with {newest.outcome!r}" if newest else "there is no new attempt"
    return RetrainResult(
        passed=True,
        reasons=(f"nothing to propose: {ended}{detail}; the attempt log is up to date",),
        operation="none",
        verdict=verdicts[newest.outcome] if newest else "",
        reason=newest.reason if newest else "",
        branch=retrain_branch(project, git),
        base=git.base_commit(project.settings.retrain.base),
        url=url,
    )


def _ensure_issue(forge: Forge, pipeline: str, title: str, body: str) -> tuple[str, str]:
    """Open or update the issue and return a description and its URL; without access to issues, describe why not."""
    try:
        issue = forge.ensure_issue(unsuccessful_topic(pipeline), title, body)
    except (ConfigError, PermissionRefusedError) as error:
        return f"; the issue could not be opened or updated: {error.what}, {error.why}; {error.fix}", ""
    return f"; issue {issue.number} was {issue.operation}", issue.url


def _close_issue(forge: Forge, pipeline: str) -> None:
    try:
        forge.close_issue(unsuccessful_topic(pipeline))
    except (ConfigError, PermissionRefusedError) as error:
        logger.warning(
            "the issue about unsuccessful attempts could not be closed: %s, %s; %s", error.what, error.why, error.fix
        )


def _mark_outdated(project: Project, forge: Forge, git: Git, attempt: Attempt, url: str) -> None:
    """Mark an open retrain pull request as outdated: an attempt on newer data was unsuccessful."""
    branch = retrain_branch(project, git)
    tip = git.remote_branch(branch)
    message = git.message(tip) if tip else ""
    opened = forge.find_open(branch, project.settings.retrain.base)
    if tip is None or opened is None or not trailer(message, TRAILER):
        return
    request = _pull_request(project, branch, message)
    forge.set_status(tip, "failure", STATUS_CONTEXT, "a later attempt on newer data was unsuccessful", url)
    forge.ensure_pull_request(replace(request, body=outdated_body(attempt, url, request.body)))


def _proposed(outcome: PullRequestOutcome, request: PullRequest, base: str, commit: str, reason: str) -> RetrainResult:
    return RetrainResult(
        passed=True,
        reasons=(_describe(outcome),),
        operation=outcome.operation,
        verdict="promote",
        reason=reason,
        branch=request.head,
        base=base,
        commit=commit,
        title=request.title,
        body=request.body,
        number=outcome.number,
        url=outcome.url,
    )


def _pull_request(project: Project, branch: str, message: str) -> PullRequest:
    """Return the pull request of a branch, from the message of its retrain commit."""
    title, body = split_message(message)
    return PullRequest(
        head=branch,
        base=project.settings.retrain.base,
        title=title,
        body=body,
        labels=project.settings.retrain.pr_labels,
        evidence=trailer(message, INPUTS_TRAILER) or "",
    )


def _describe(outcome: PullRequestOutcome) -> str:
    if outcome.operation == "declined":
        return (
            f"pull request {outcome.number} with the same evidence was closed without merging, so it is not opened "
            "again; an attempt with new data, code, parameters or a new champion will be proposed"
        )
    return f"pull request {outcome.number} was {outcome.operation}"
