"""The memory of the loop without a database: which retrainings were attempted, as one file behind a ref of its own.

A line says one attempt, and the file is the set of its lines: two that were written apart are put together by taking
all lines of both, in whatever order. So concurrent writers converge, and a job that must not write can hand its lines
to one that may. What comes from elsewhere is read strictly; what is no attempt is left out and counted.
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
KEPT = 1000  # attempts, the newest; some decades of one a week
LINE_LIMIT = 1000  # characters
TRIES = 20

T = TypeVar("T")

_HASH = re.compile(r"[0-9a-f]{0,64}(\.dir)?")


@dataclass(frozen=True)
class Memory:
    """What is remembered.

    Attributes
    ----------
    attempts : tuple of Attempt
        The oldest first.
    problem : str
        Why it is empty, or not all of it; empty when nothing is wrong.
    """

    attempts: tuple[Attempt, ...] = ()
    problem: str = ""


def log_ref(pipeline: str) -> str:
    """Return the ref of a pipeline's log, here and at origin."""
    return f"refs/titlebout/log/{pipeline}"


def recall(git: Git, pipeline: str) -> Memory:
    """Return what this clone and origin remember together; that origin cannot be reached is said, not raised."""
    here = read(git, log_ref(pipeline))
    if "origin" not in git.output("remote").split():
        return here
    try:
        tip = _fetch(git, pipeline)
    except TitleboutError as error:
        return Memory(here.attempts, f"the log at origin cannot be read ({error.what}): only this clone's counts")
    if tip is None:
        return here
    there = read(git, tip)
    return Memory(_together(here.attempts, there.attempts), there.problem)


def read(git: Git, revision: str) -> Memory:
    """Return the attempts of one log; one that is missing or garbled is an empty memory, which is said."""
    commit = git.resolve(revision)
    if commit is None:
        return Memory(problem="no attempt was written down yet")
    try:
        lines = (git.show(commit, FILE) or "").splitlines()
    except TitleboutError as error:
        return Memory(problem=f"the log cannot be read: {error.what}")
    attempts = [attempt for line in lines if (attempt := _parse(line)) is not None]
    left_out = len(lines) - len(attempts)
    problem = f"{left_out} of the log's {len(lines)} lines are no attempts" if left_out or not lines else ""
    return Memory(_together(attempts), problem)


def write_down(git: Git, pipeline: str, attempt: Attempt) -> None:
    """Add an attempt to this clone's log.

    Raises
    ------
    ConflictError
        If others go on writing at the same time.
    """
    ref = log_ref(pipeline)

    def once() -> None:
        tip = git.resolve(ref)
        known = read(git, tip).attempts if tip else ()
        git.set_ref(ref, _commit(git, _together(known, [attempt]), tip), tip)

    _until_it_holds(once)


def compare(git: Git, pipeline: str, handed: str) -> tuple[tuple[Attempt, ...], tuple[Attempt, ...]]:
    """Return the attempts that origin knows and those of a revision that it does not, each the oldest first."""
    tip = _fetch(git, pipeline)
    known = read(git, tip).attempts if tip else ()
    return known, tuple(attempt for attempt in read(git, handed).attempts if attempt not in set(known))


def hand_in(git: Git, pipeline: str, handed: str) -> Memory:
    """Put attempts into the log of origin and return them, without those that were there before.

    Parameters
    ----------
    git : Git
        A repository whose pushes are authorized.
    pipeline : str
    handed : str
        The revision that holds them.

    Raises
    ------
    ConflictError
        If others go on writing at the same time.
    PermissionRefusedError, TemporaryError, NotFoundError
        If origin does not take them.
    """
    ref = log_ref(pipeline)
    ours = read(git, handed)

    def once() -> set[Attempt]:
        tip = _fetch(git, pipeline)
        known = read(git, tip).attempts if tip else ()
        wanted = _together(known, ours.attempts)
        if set(wanted) != set(known):
            git.push_ref(ref, _commit(git, wanted, tip and git.resolve(tip)), tip)
        return set(known)

    known = _until_it_holds(once)
    return Memory(tuple(attempt for attempt in ours.attempts if attempt not in known), ours.problem)


def _fetch(git: Git, pipeline: str) -> str | None:
    return git.remote_ref(log_ref(pipeline), f"refs/titlebout/origin/log/{pipeline}")


def _commit(git: Git, attempts: Iterable[Attempt], parent: str | None) -> str:
    text = "".join(map(_line, attempts))
    return git.commit_file(FILE, text, "Attempts at a retraining", parent)


def _line(attempt: Attempt) -> str:
    words = {field.name: str(getattr(attempt, field.name)) for field in fields(attempt)}
    return f"{json.dumps(words, ensure_ascii=False)}\n"


def _together(*parts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts of all parts, each once, in an order that depends on nothing but them."""
    every = {attempt for part in parts for attempt in part}
    return tuple(sorted(every, key=lambda attempt: (attempt.at, astuple(attempt)))[-KEPT:])


def _parse(line: str) -> Attempt | None:
    """Read one line, or return None when it is no attempt as we write it."""
    try:
        given = json.loads(line) if len(line) <= LINE_LIMIT else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict) or set(given) != {field.name for field in fields(Attempt)}:
        return None
    if not all(isinstance(value, str) for value in given.values()):
        return None
    at = Moment.read(given["at"])
    if at is None:
        return None
    attempt = Attempt(**{**given, "at": at})
    known = attempt.reason in REASONS and attempt.outcome in get_args(Outcome)
    return attempt if known and _HASH.fullmatch(attempt.champion) and _HASH.fullmatch(attempt.inputs) else None


def _until_it_holds(once: Callable[[], T]) -> T:
    """Do again what somebody else was faster than."""
    for _ in range(TRIES - 1):
        with suppress(ConflictError):
            return once()
    return once()
