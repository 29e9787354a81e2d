"""The log of attempts, with real repositories: what is written down, put together and handed in, by however many."""

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
from titlebout.policy.attempts import FILE, hand_in, log_ref, read, recall, write_down
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


def test_what_was_written_down_is_remembered_in_order(git: Git) -> None:
    for day in (3, 1, 2):
        write_down(git, "ferries", attempt(day))

    memory = recall(git, "ferries")

    assert memory.attempts == (attempt(1), attempt(2), attempt(3))
    assert memory.problem == ""


def test_writing_down_touches_neither_files_nor_branches(git: Git) -> None:
    before = git.output("for-each-ref", "refs/heads", "refs/remotes")
    (git.root / "draft.txt").write_text("mine\n", encoding="utf-8")
    git.run("add", "draft.txt")

    write_down(git, "ferries", attempt(1))

    assert git.output("status", "--porcelain") == "A  draft.txt"
    assert git.output("for-each-ref", "refs/heads", "refs/remotes") == before
    assert git.output("ls-tree", "-r", "--name-only", REF) == FILE
    assert git.output("show", "--no-patch", "--format=%an", REF) == BOT_NAME


def test_nobody_has_to_be_known_to_git_to_write_the_log(git: Git, no_identity: None) -> None:
    write_down(git, "ferries", attempt(1))

    assert recall(git, "ferries").attempts == (attempt(1),)


def test_every_pipeline_has_its_own_log(git: Git) -> None:
    write_down(git, "ferries", attempt(1))

    assert recall(git, "buses").attempts == ()


def test_a_missing_log_is_an_empty_memory_and_said(git: Git) -> None:
    memory = recall(git, "ferries")

    assert memory.attempts == ()
    assert memory.problem == "no attempt was written down yet"


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
def test_a_garbled_line_is_left_out_and_said_and_the_others_count(git: Git, name: str) -> None:
    store(git, f"{GARBLED[name]}\n{GOOD}\n")

    memory = recall(git, "ferries")

    assert memory.attempts == (attempt(1),)
    assert memory.problem == "1 of the log's 2 lines are no attempts"


@pytest.mark.parametrize("text", ["", "nonsense\n", "\n\n"])
def test_a_garbled_log_is_an_empty_memory_and_goes_on_being_written(git: Git, text: str) -> None:
    store(git, text)
    assert recall(git, "ferries").attempts == ()
    assert "are no attempts" in recall(git, "ferries").problem

    write_down(git, "ferries", attempt(1))

    assert recall(git, "ferries").attempts == (attempt(1),)
    assert recall(git, "ferries").problem == ""


def test_a_log_that_is_something_else_altogether_is_replaced(git: Git) -> None:
    git.run("push", "--quiet", "origin", f"{git.output('rev-parse', 'HEAD:policy.toml')}:{REF}")
    assert recall(git, "ferries").attempts == ()

    write_down(git, "ferries", attempt(1))
    hand_in(git, "ferries", REF)

    assert recall(git, "ferries").attempts == (attempt(1),)


def test_what_is_handed_in_is_known_to_every_clone(origin: Path, git: Git) -> None:
    write_down(git, "ferries", attempt(1))

    new = hand_in(git, "ferries", REF)

    assert new.attempts == (attempt(1),)
    assert recall(clone(origin, "another"), "ferries").attempts == (attempt(1),)


def test_handing_in_again_changes_nothing(origin: Path, git: Git) -> None:
    write_down(git, "ferries", attempt(1))
    hand_in(git, "ferries", REF)
    before = sample.git(origin, "rev-parse", REF)

    assert hand_in(git, "ferries", REF).attempts == ()
    assert sample.git(origin, "rev-parse", REF) == before


def test_handing_in_nothing_makes_no_log(origin: Path, git: Git) -> None:
    assert hand_in(git, "ferries", REF).attempts == ()
    assert sample.git(origin, "for-each-ref", "refs/titlebout") == ""


def test_an_origin_that_is_away_is_said_and_this_clone_counts(git: Git) -> None:
    write_down(git, "ferries", attempt(1))
    git.run("remote", "set-url", "origin", str(git.root / "nowhere"))

    memory = recall(git, "ferries")

    assert memory.attempts == (attempt(1),)
    assert "cannot be read" in memory.problem
    with pytest.raises(NotFoundError):
        hand_in(git, "ferries", REF)


def at_once(jobs: Sequence[Callable[[], object]]) -> None:
    """Run all jobs as close together as threads can; what one of them raises is raised here."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        barrier.wait()
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in pool.map(run, jobs):
            pass


def test_writers_in_one_clone_lose_nothing(git: Git) -> None:
    at_once([partial(write_down, git, "ferries", attempt(day)) for day in range(1, 7)])

    assert recall(git, "ferries").attempts == tuple(attempt(day) for day in range(1, 7))


def test_clones_that_hand_in_at_the_same_time_converge(origin: Path) -> None:
    clones = [clone(origin, f"clone-{day}") for day in range(1, 6)]
    for day, one in enumerate(clones, start=1):
        write_down(one, "ferries", attempt(day))

    at_once([partial(hand_in, one, "ferries", REF) for one in clones])

    everything = tuple(attempt(day) for day in range(1, 6))
    assert [recall(one, "ferries").attempts for one in clones] == [everything] * 5
    assert read(Git(origin), REF).attempts == everything
    assert len(sample.git(origin, "rev-list", REF).splitlines()) == 5


def test_who_never_gets_a_turn_is_told(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRIES", 3)
    write_down(git, "ferries", attempt(1))
    hooks = Path(sample.git(git.root, "remote", "get-url", "origin").removeprefix("file://")) / "hooks"
    (hooks / "pre-receive").write_text("#!/bin/sh\necho 'stale info' >&2\nexit 1\n")
    (hooks / "pre-receive").chmod(0o755)

    with pytest.raises(ConflictError, match="was changed concurrently"):
        hand_in(git, "ferries", REF)


def test_the_log_stays_small_and_keeps_the_newest(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "KEPT", 3)
    for day in (5, 1, 4, 2, 3):
        write_down(git, "ferries", attempt(day))

    assert recall(git, "ferries").attempts == (attempt(3), attempt(4), attempt(5))
