"""Attempt log: the retraining attempts of a pipeline, as one file under a git ref, so that no database is needed.

Each line is one attempt, and the file is a set of lines: two versions are merged by taking their union, in any order.
Concurrent writers therefore converge, and a job without write access can pass its lines to a job that has it. Lines
are validated strictly because they may come from other clones; invalid lines are skipped and counted.
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from typing import TypeVar, get_args

from titlebout.core.errors import ConflictError, TitleboutError
from titlebout.core.names import REASONS
from titlebout.data.moment import Moment
from titlebout.policy.rules import Attempt, Outcome
from titlebout.repository.git import Git

FILE = "attempts.jsonl"
KEPT = 1000  # newest attempts; about 19 years of one a week
LINE_LIMIT = 1000  # characters
TRIES = 20

T = TypeVar("T")

_HASH = re.compile(r"[0-9a-f]{0,64}(\.dir)?")


@dataclass(frozen=True)
class AttemptHistory:
    """Attempts read from the log.

    Attributes
    ----------
    attempts : tuple of Attempt
        The oldest first.
    problem : str
        Why the history is missing or incomplete; empty when it is complete.
    """

    attempts: tuple[Attempt, ...] = ()
    problem: str = ""


def log_ref(pipeline: str) -> str:
    """Return the ref of a pipeline's log, the same locally and at origin."""
    return f"refs/titlebout/log/{pipeline}"


def load_attempts(git: Git, pipeline: str) -> AttemptHistory:
    """Return the attempts in this clone's log and origin's; if origin cannot be read, `problem` says so."""
    local = read(git, log_ref(pipeline))
    if git.remote is None:
        return local
    try:
        tip = _fetch(git, pipeline)
    except TitleboutError as error:
        return AttemptHistory(
            local.attempts, f"the log at origin cannot be read ({error.what}); only the log of this clone is used"
        )
    if tip is None:
        return local
    remote = read(git, tip)
    return AttemptHistory(_merge(local.attempts, remote.attempts), remote.problem)


def read(git: Git, revision: str) -> AttemptHistory:
    """Return the attempts of one log; if it is missing or malformed, `problem` says so."""
    commit = git.resolve(revision)
    if commit is None:
        return AttemptHistory(problem="there is no attempt log yet")
    try:
        lines = (git.show(commit, FILE) or "").splitlines()
    except TitleboutError as error:
        return AttemptHistory(problem=f"the log cannot be read: {error.what}")
    attempts = [attempt for line in lines if (attempt := _parse(line)) is not None]
    invalid = len(lines) - len(attempts)
    problem = f"{invalid} of the log's {len(lines)} lines are invalid" if invalid or not lines else ""
    return AttemptHistory(_merge(attempts), problem)


def append_attempt(git: Git, pipeline: str, attempt: Attempt) -> None:
    """Add an attempt to this clone's log.

    Raises
    ------
    ConflictError
        If concurrent updates keep winning.
    """
    ref = log_ref(pipeline)

    def update() -> None:
        tip = git.resolve(ref)
        known = read(git, tip).attempts if tip else ()
        git.set_ref(ref, _commit(git, _merge(known, [attempt]), tip), tip)

    _retry_on_conflict(update)


def compare(git: Git, pipeline: str, revision: str) -> tuple[tuple[Attempt, ...], tuple[Attempt, ...]]:
    """Return the attempts in origin's log, and those that only the given revision has; both the oldest first."""
    tip = _fetch(git, pipeline)
    known = read(git, tip).attempts if tip else ()
    return known, tuple(attempt for attempt in read(git, revision).attempts if attempt not in set(known))


def push_attempts(git: Git, pipeline: str, revision: str) -> AttemptHistory:
    """Add attempts to the log at origin and return those that it did not have before.

    Parameters
    ----------
    git : Git
        A repository whose pushes are authorized.
    pipeline : str
        Name of the pipeline.
    revision : str
        Local revision of the log with the attempts to add.

    Raises
    ------
    ConflictError
        If concurrent updates keep winning.
    PermissionRefusedError, TemporaryError, NotFoundError
        If origin rejects the push.
    """
    ref = log_ref(pipeline)
    ours = read(git, revision)

    def update() -> set[Attempt]:
        tip = _fetch(git, pipeline)
        known = read(git, tip).attempts if tip else ()
        merged = _merge(known, ours.attempts)
        if set(merged) != set(known):
            git.push_ref(ref, _commit(git, merged, tip and git.resolve(tip)), tip)
        return set(known)

    known = _retry_on_conflict(update)
    return AttemptHistory(tuple(attempt for attempt in ours.attempts if attempt not in known), ours.problem)


def _fetch(git: Git, pipeline: str) -> str | None:
    return git.remote_ref(log_ref(pipeline), f"refs/titlebout/origin/log/{pipeline}")


def _commit(git: Git, attempts: Iterable[Attempt], parent: str | None) -> str:
    text = "".join(map(_line, attempts))
    return git.commit_file(FILE, text, "Log retraining attempts", parent)


def _line(attempt: Attempt) -> str:
    values = {field.name: str(getattr(attempt, field.name)) for field in fields(attempt)}
    return f"{json.dumps(values, ensure_ascii=False)}\n"


def _merge(*parts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the union of the parts, in an order that does not depend on that of the parts."""
    union = {attempt for part in parts for attempt in part}
    return tuple(sorted(union, key=lambda attempt: (attempt.at, astuple(attempt)))[-KEPT:])


def _parse(line: str) -> Attempt | None:
    """Return the attempt on one line, or None when the line is invalid."""
    try:
        values = json.loads(line) if len(line) <= LINE_LIMIT else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Attempt)}:
        return None
    if not all(isinstance(value, str) for value in values.values()):
        return None
    at = Moment.read(values["at"])
    if at is None:
        return None
    attempt = Attempt(**{**values, "at": at})
    valid = attempt.reason in REASONS and attempt.outcome in get_args(Outcome)
    return attempt if valid and _HASH.fullmatch(attempt.champion) and _HASH.fullmatch(attempt.inputs) else None


def _retry_on_conflict(update: Callable[[], T]) -> T:
    """Retry on concurrent updates."""
    for _ in range(TRIES - 1):
        with suppress(ConflictError):
            return update()
    return update()
