"""Attempt log in real repositories: append, merge and push, also concurrently."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import sample
from titlebout.core.errors import ConflictError, NotFoundError
from titlebout.data.moment import Moment
from titlebout.policy import attempts
from titlebout.policy.attempts import FILE, append_attempt, load_attempts, log_ref, push_attempts, read
from titlebout.policy.rules import Attempt
from titlebout.repository.git import BOT_NAME, Git

REF = log_ref("ferries")


def attempt(day: int, reason: str = "drift") -> Attempt:
    return Attempt(Moment.parse(f"2024-05-{day:02d}T00:00:00+00:00"), reason, "lost", "c0ffee.dir", f"{day:04x}")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    seed = tmp_path / "seed"
    seed.mkdir()
    sample.git(seed, "init", "--quiet", "--initial-branch", "main")
    (seed / "policy.toml").write_text("a = 1\n", encoding="utf-8")
    sample.commit(seed, "First commit")
    sample.git(tmp_path, "clone", "--quiet", "--bare", str(seed), "origin.git")
    return tmp_path / "origin.git"


def clone(origin: Path, name: str) -> Git:
    sample.git(origin.parent, "clone", "--quiet", origin.as_uri(), name)
    return Git(origin.parent / name)


@pytest.fixture
def git(origin: Path) -> Git:
    return clone(origin, "clone")


def test_attempts_are_loaded_in_order(git: Git) -> None:
    for day in (3, 1, 2):
        append_attempt(git, "ferries", attempt(day))

    history = load_attempts(git, "ferries")

    assert history.attempts == (attempt(1), attempt(2), attempt(3))
    assert history.problem == ""


def test_appending_changes_neither_files_nor_branches(git: Git) -> None:
    before = git.output("for-each-ref", "refs/heads", "refs/remotes")
    (git.root / "draft.txt").write_text("mine\n", encoding="utf-8")
    git.run("add", "draft.txt")

    append_attempt(git, "ferries", attempt(1))

    assert git.output("status", "--porcelain") == "A  draft.txt"
    assert git.output("for-each-ref", "refs/heads", "refs/remotes") == before
    assert git.output("ls-tree", "-r", "--name-only", REF) == FILE
    assert git.output("show", "--no-patch", "--format=%an", REF) == BOT_NAME


def test_the_log_is_written_without_a_git_identity(git: Git, no_identity: None) -> None:
    append_attempt(git, "ferries", attempt(1))

    assert load_attempts(git, "ferries").attempts == (attempt(1),)


def test_every_pipeline_has_its_own_log(git: Git) -> None:
    append_attempt(git, "ferries", attempt(1))

    assert load_attempts(git, "buses").attempts == ()


def test_a_missing_log_is_empty_and_reported(git: Git) -> None:
    history = load_attempts(git, "ferries")

    assert history.attempts == ()
    assert history.problem == "there is no attempt log yet"


GOOD = attempts._line(attempt(1)).strip()
LINE = json.loads(attempts._line(attempt(2)))
GARBLED = {
    "not a log": "\x00\x01 binary",
    "half a line": GOOD[:-5],
    "a list": "[1, 2]",
    "deep nesting": "[" * 900,
    "too long": json.dumps(LINE | {"inputs": "a" * 2000}),
    "a key more": json.dumps(LINE | {"note": "x"}),
    "a key less": json.dumps({"at": "2024-05-01"}),
    "a number for a time": json.dumps(LINE | {"at": 5}),
    "no time": json.dumps(LINE | {"at": "soon"}),
    "an unknown reason": json.dumps(LINE | {"reason": "<img src=x>"}),
    "an unknown outcome": json.dumps(LINE | {"outcome": "glory"}),
    "words for a hash": json.dumps(LINE | {"champion": "$(touch x)"}),
}


def store(git: Git, text: str) -> str:
    commit = git.commit_file(FILE, text, "Garbled", None)
    git.run("update-ref", REF, commit)
    return commit


@pytest.mark.parametrize("name", GARBLED)
def test_an_invalid_line_is_left_out_and_reported(git: Git, name: str) -> None:
    store(git, f"{GARBLED[name]}\n{GOOD}\n")

    history = load_attempts(git, "ferries")

    assert history.attempts == (attempt(1),)
    assert history.problem == "1 of the log's 2 lines are invalid"


@pytest.mark.parametrize("text", ["", "nonsense\n", "\n\n"])
def test_a_malformed_log_is_empty_and_can_be_appended_to(git: Git, text: str) -> None:
    store(git, text)
    assert load_attempts(git, "ferries").attempts == ()
    assert "are invalid" in load_attempts(git, "ferries").problem

    append_attempt(git, "ferries", attempt(1))

    assert load_attempts(git, "ferries").attempts == (attempt(1),)
    assert load_attempts(git, "ferries").problem == ""


def test_a_ref_without_a_log_is_replaced(git: Git) -> None:
    git.run("push", "--quiet", "origin", f"{git.output('rev-parse', 'HEAD:policy.toml')}:{REF}")
    assert load_attempts(git, "ferries").attempts == ()

    append_attempt(git, "ferries", attempt(1))
    push_attempts(git, "ferries", REF)

    assert load_attempts(git, "ferries").attempts == (attempt(1),)


def test_pushed_attempts_are_loaded_by_every_clone(origin: Path, git: Git) -> None:
    append_attempt(git, "ferries", attempt(1))

    new = push_attempts(git, "ferries", REF)

    assert new.attempts == (attempt(1),)
    assert load_attempts(clone(origin, "another"), "ferries").attempts == (attempt(1),)


def test_pushing_again_changes_nothing(origin: Path, git: Git) -> None:
    append_attempt(git, "ferries", attempt(1))
    push_attempts(git, "ferries", REF)
    before = sample.git(origin, "rev-parse", REF)

    assert push_attempts(git, "ferries", REF).attempts == ()
    assert sample.git(origin, "rev-parse", REF) == before


def test_pushing_nothing_creates_no_log(origin: Path, git: Git) -> None:
    assert push_attempts(git, "ferries", REF).attempts == ()
    assert sample.git(origin, "for-each-ref", "refs/titlebout") == ""


def test_without_origin_the_local_log_is_used(git: Git) -> None:
    append_attempt(git, "ferries", attempt(1))
    git.run("remote", "set-url", "origin", str(git.root / "nowhere"))

    history = load_attempts(git, "ferries")

    assert history.attempts == (attempt(1),)
    assert "cannot be read" in history.problem
    with pytest.raises(NotFoundError):
        push_attempts(git, "ferries", REF)


def at_once(jobs: Sequence[Callable[[], object]]) -> None:
    """Run all jobs concurrently in threads; errors are raised here."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        barrier.wait()
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in pool.map(run, jobs):
            pass


def test_concurrent_writers_in_one_clone_lose_nothing(git: Git) -> None:
    at_once([partial(append_attempt, git, "ferries", attempt(day)) for day in range(1, 7)])

    assert load_attempts(git, "ferries").attempts == tuple(attempt(day) for day in range(1, 7))


def test_clones_that_push_concurrently_converge(origin: Path) -> None:
    clones = [clone(origin, f"clone-{day}") for day in range(1, 6)]
    for day, one in enumerate(clones, start=1):
        append_attempt(one, "ferries", attempt(day))

    at_once([partial(push_attempts, one, "ferries", REF) for one in clones])

    everything = tuple(attempt(day) for day in range(1, 6))
    assert [load_attempts(one, "ferries").attempts for one in clones] == [everything] * 5
    assert read(Git(origin), REF).attempts == everything
    assert len(sample.git(origin, "rev-list", REF).splitlines()) == 5


def test_a_push_that_never_succeeds_is_an_error(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRIES", 3)
    append_attempt(git, "ferries", attempt(1))
    hooks = Path(sample.git(git.root, "remote", "get-url", "origin").removeprefix("file://")) / "hooks"
    (hooks / "pre-receive").write_text("#!/bin/sh\necho 'stale info' >&2\nexit 1\n")
    (hooks / "pre-receive").chmod(0o755)

    with pytest.raises(ConflictError, match="at the same time"):
        push_attempts(git, "ferries", REF)


def test_the_log_stays_small_and_keeps_the_newest(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "KEPT", 3)
    for day in (5, 1, 4, 2, 3):
        append_attempt(git, "ferries", attempt(day))

    assert load_attempts(git, "ferries").attempts == (attempt(3), attempt(4), attempt(5))
