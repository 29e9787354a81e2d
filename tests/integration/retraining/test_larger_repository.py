"""A project in a folder of a larger repository: its retraining, its pull request, and the three ways to merge it.

The base branch is not main, the folder's name has awkward characters, and DVC's cache and default remote are outside.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import sample
from fakes.github_server import GithubServer
from sample import Command
from titlebout.core.errors import NotFoundError
from titlebout.forge.client import Forge
from titlebout.gate.looks import find_looks
from titlebout.models.champion import anchor_at, champion_at, champions, was_champion
from titlebout.policy.attempts import load_attempts, log_ref
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project
from titlebout.retraining.bundle import unpack
from titlebout.retraining.decide import _open_attempt
from titlebout.retraining.propose import propose
from titlebout.retraining.reason import AttemptReason
from titlebout.retraining.retrain import RetrainResult, retrain
from titlebout.retraining.retrain_commit import require_own_branch

FOLDER, BASE = "-teams/fähren & 50%[a]#'1", "release/v1"
PATHS = {f"pipelines/ferries/{name}" for name in ("champion.dvc", "dvc.lock")} | {"data.dvc"}
LOCAL = """\
[cache]
    dir = "../../../../outside/cache #1é"
    type = symlink
[core]
    remote = mine
['remote "mine"']
    url = ../../../../outside/store
"""


def build(calm: Path, folder: Path) -> Path:
    """Put the sample into a larger repository with an origin, and return the project's folder."""
    top = folder / "shop"
    root = sample.copy(calm, top / FOLDER)
    (root / ".git").rename(folder / "unused")
    (top / "web").mkdir()
    (top / "web" / "titlebout.txt").write_text("not ours\n", encoding="utf-8")
    sample.edit(root / "titlebout.toml", "[retrain]\n", f'[retrain]\nbase = "{BASE}"\n')
    (root / ".dvc" / "config.local").write_text(LOCAL, encoding="utf-8")
    (folder / "outside").mkdir()
    (root / ".dvc" / "cache").rename(folder / "outside" / "cache #1é")
    sample.git(top, "init", "--quiet", "--initial-branch", BASE)
    sample.commit(top, "First commit")
    sample.git(folder, "clone", "--quiet", "--bare", str(top), "origin.git")
    sample.git(top, "remote", "add", "origin", str(folder / "origin.git"))
    sample.git(top, "push", "--quiet", "--set-upstream", "origin", BASE)
    return root


def arrive(root: Path) -> None:
    """Put crossings into the folder of current data, with nearly twice as many late ones as the champion expects."""
    frame = sample.crossings(620, start="2024-04-21", seed=1)
    late = frame["late"] | (np.random.default_rng(1).random(620) < 0.6)
    (root / "incoming").mkdir()
    frame.assign(late=late.astype(np.int64)).to_parquet(root / "incoming" / "2024-05.parquet", index=False)


@pytest.fixture(scope="module")
def attempted(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RetrainResult]:
    """The project's folder after a successful attempt, and its result; not to be changed."""
    root = build(calm, tmp_path_factory.mktemp("larger"))
    arrive(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "incoming")
        return root, retrain(Project.find(Path.cwd()), AttemptReason("drift"), root / "build" / "retrain.bundle")


@pytest.fixture
def root(attempted: tuple[Path, RetrainResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all of it, in which the project's folder is the current one."""
    parent = attempted[0].parents[2]
    sample.copy(parent, tmp_path / "copy")
    copied = tmp_path / "copy" / attempted[0].relative_to(parent)
    sample.git(copied, "remote", "set-url", "origin", str(tmp_path / "copy" / "origin.git"))
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture
def github() -> Iterator[GithubServer]:
    with GithubServer("acme/shop") as server:
        yield server
        assert server.violations == []


def changed(git: Git, commit: str) -> set[str]:
    return set(git.changed_paths(f"{commit}^", commit))


def test_a_retraining_commits_only_files_of_its_project(attempted: tuple[Path, RetrainResult]) -> None:
    root, result = attempted
    git = Git.find(root)
    reports = {f"pipelines/ferries/reports/{name}.json" for name in ("check-data", "metrics", "split")}

    assert (result.operation, result.verdict) == ("committed", "promote")
    assert result.branch.startswith("retrain/ferries@teams-f-hren-50-a-1-")
    assert changed(git, result.commit) == {f"{FOLDER}/{name}" for name in PATHS | reports}
    assert git.output("rev-parse", f"{result.commit}^") == git.output("rev-parse", BASE)
    assert git.changed_paths() == ()
    assert sample.git(root, "worktree", "list").count("\n") == 0


def test_it_uses_the_cache_and_the_remote_of_this_clone(attempted: tuple[Path, RetrainResult]) -> None:
    root, result = attempted
    project = Project.find(root)
    champion = champion_at(project, Git.find(root), result.commit)

    assert champion is not None
    for store in ("outside/store", "outside/cache #1é"):
        assert (root.parents[2] / store / "files/md5" / champion.output.md5[:2] / champion.output.md5[2:]).is_file()
    assert not (root / ".dvc" / "cache").exists()
    assert (root / ".dvc" / "config.local").read_text(encoding="utf-8") == LOCAL


def test_the_pull_request_and_the_log_have_names_of_their_own(root: Path, github: GithubServer) -> None:
    project, git = Project.find(root), Git.find(root)
    forge = Forge.connect(github.url, "acme/shop", "secret-token")

    proposed = propose(project, forge, unpack(project, git, root / "build" / "retrain.bundle"), git)

    (pull,) = github.state()["pulls"]
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (proposed.branch, BASE)
    log = log_ref(pipeline_name(project, git))
    assert sorted(line.split("\t")[1] for line in git.output("ls-remote", "origin").splitlines()) == sorted(
        ["HEAD", f"refs/heads/{BASE}", f"refs/heads/{proposed.branch}", log]
    )


def test_a_project_that_is_not_on_the_base_branch_is_not_found(calm: Path, tmp_path: Path) -> None:
    root = build(calm, tmp_path)
    git = Git.find(root)
    sample.git(git.root, "checkout", "--quiet", "-b", "new")
    (git.root / FOLDER).rename(git.root / "moved")

    with pytest.raises(NotFoundError, match="does not have this project"):
        retrain(Project.find(git.root / "moved"), AttemptReason("drift"))


def merge(git: Git, branch: str, how: str) -> str:
    """Merge a branch at origin as the three buttons of a pull request do, and return how to revert it."""
    sample.git(git.root, "commit", "--quiet", "--allow-empty", "-m", "Work of others")
    if how == "merge":
        sample.git(git.root, "merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", branch)
    elif how == "squash":
        sample.git(git.root, "merge", "--quiet", "--squash", branch)
        sample.git(git.root, "commit", "--quiet", "-m", "Retrain ferries (#1)")
    else:
        sample.git(git.root, "cherry-pick", branch)
    sample.git(git.root, "push", "--quiet", "origin", BASE)
    return "--mainline=1" if how == "merge" else "--no-edit"


@pytest.mark.parametrize(
    ("how", "deleted"), [("merge", True), ("squash", True), ("rebase", True), ("squash", False), ("rebase", False)]
)
def test_every_way_of_merging_promotes_the_challenger(
    root: Path, attempted: tuple[Path, RetrainResult], command: Command, how: str, deleted: bool
) -> None:
    project, git = Project.find(root), Git.find(root)
    branch, first = retrain_branch(project, git), champion_at(project, git, BASE)
    proposed = champion_at(project, git, branch)
    assert first is not None
    assert proposed is not None
    sample.git(git.root, "push", "--quiet", "origin", branch)
    revert = merge(git, branch, how)
    if deleted:
        sample.git(git.root, "branch", "--quiet", "-D", branch)
        sample.git(git.root, "push", "--quiet", "origin", "--delete", branch)
    base = git.base_commit(BASE)

    assert champion_at(project, git, base) == proposed
    assert [champion.output for champion in champions(project, git, base)] == [proposed.output, first.output]
    assert was_champion(project, git, base, first.output)
    assert was_champion(project, git, base, proposed.output)
    anchor = anchor_at(project, git, base)
    assert anchor is not None
    assert anchor[1] == first  # the challenger was promoted as non-inferior
    looks = find_looks(project, git, base, "", datetime.now(UTC))
    assert set(looks.challengers) == {proposed.output.md5}  # the first champion won before it
    attempts = load_attempts(git, pipeline_name(project, git)).attempts
    assert [attempt.outcome for attempt in attempts] == ["won"]
    assert _open_attempt(project, git, None, attempts) is None
    assert (require_own_branch(git, branch, base) is None) == deleted
    assert command("evaluate").document["verdict"] == "unchanged"

    # A rollback needs no new evaluation, and the merged branch does not count as open again.
    sample.git(git.root, "revert", "--no-edit", revert, "HEAD")
    rolled_back = command("evaluate").document
    assert (rolled_back["verdict"], rolled_back["reason"], rolled_back["challenger"]) == (
        "promote",
        "rollback",
        first.name,
    )
    sample.git(git.root, "push", "--quiet", "origin", BASE)
    assert champion_at(project, git, git.base_commit(BASE)) == first
    assert _open_attempt(project, git, None, attempts) is None
    assert git.show(BASE, "web/titlebout.txt") == "not ours\n"
