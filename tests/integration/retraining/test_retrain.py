"""A retraining attempt with the real tools: its commit, its limits, and its pull request or issue."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import pandas as pd
import pytest

import sample
from fakes.github_server import Fault, GithubServer, refusal
from sample import CommandResult
from titlebout.cli.main import run
from titlebout.core import process
from titlebout.core.errors import (
    ConflictError,
    DataRefusedError,
    ExitCode,
    InconclusiveError,
    TemporaryError,
    TitleboutError,
    UnsafeError,
)
from titlebout.core.results import to_json
from titlebout.data.added import read_taken_in
from titlebout.data.moment import Moment
from titlebout.forge.client import Forge
from titlebout.models.champion import allowed_paths, champion_at, champion_in_work_tree
from titlebout.policy import attempts as policy_attempts
from titlebout.policy.rules import Attempt
from titlebout.repository.dvc_files import parse_dvc_file
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining import bundle as retraining_bundle
from titlebout.retraining import propose as retraining_propose
from titlebout.retraining import retrain as retraining_retrain
from titlebout.retraining import retrain_commit
from titlebout.retraining.bundle import BundleContents
from titlebout.retraining.changes import describe_changes
from titlebout.retraining.decide import DecideResult
from titlebout.retraining.reason import AttemptReason

BRANCH, LOG = "retrain/ferries", "refs/titlebout/log/ferries"


def origin_of(project: Project) -> Path:
    return Path(sample.git(project.root, "remote", "get-url", "origin"))


def logs_at_origin(project: Project) -> list[tuple[str, str]]:
    """Return reason and outcome of the attempts in the log at origin."""
    return [
        (attempt.reason, attempt.outcome) for attempt in policy_attempts.read(Git(origin_of(project)), LOG).attempts
    ]


def propose(project: Project, forge: Forge, bundle: Path | None = None) -> retraining_retrain.RetrainResult:
    """Propose a bundle, or else the local branch."""
    git = Git(project.root)
    if bundle is None:
        return retraining_propose.propose(
            project, forge, BundleContents(git.resolve(f"refs/heads/{BRANCH}") or "", LOG), git
        )
    return retraining_propose.propose(
        project, forge, retraining_bundle.unpack(project, git, bundle), git, "https://forge.example/run/7"
    )


def stormy(rows: int, start: str = "2024-04-21", seed: int = 1) -> pd.DataFrame:
    """Crossings with nearly twice as many late ones, so that the champion underestimates the rate."""
    frame = sample.crossings(rows, start=start, seed=seed)
    late = frame["late"] | (np.random.default_rng(seed).random(rows) < 0.6)
    return frame.assign(late=late.astype(np.int64))


def arrive(root: Path, frame: pd.DataFrame, name: str) -> None:
    (root / "incoming").mkdir(exist_ok=True)
    frame.to_parquet(root / "incoming" / f"{name}.parquet", index=False)


@pytest.fixture(scope="module")
def attempted(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, retraining_retrain.RetrainResult]:
    """A repository after a successful attempt, and its result; read-only."""
    folder = tmp_path_factory.mktemp("attempted")
    origin = folder / "origin.git"
    process.run(["git", "clone", "--quiet", "--bare", str(calm), str(origin)])
    root = folder / sample.NAME
    process.run(["git", "clone", "--quiet", str(origin), str(root)])
    arrive(root, stormy(620), "2024-05")
    (root / "notes.txt").write_text("not committed yet\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        result = retraining_retrain.retrain(
            Project.find(root), AttemptReason("drift"), root / "build" / "retrain.bundle"
        )
    return root, result


@pytest.fixture
def calm_project(calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = sample.copy(calm, tmp_path / sample.NAME)
    monkeypatch.chdir(root)
    return Project.find(root)


@pytest.fixture
def after(attempted: tuple[Path, retraining_retrain.RetrainResult], tmp_path: Path) -> Project:
    """A copy of the repository after the attempt, with an origin of its own."""
    root = sample.copy(attempted[0], tmp_path / "after")
    origin = tmp_path / "origin.git"
    process.run(["git", "clone", "--quiet", "--bare", sample.git(root, "remote", "get-url", "origin"), str(origin)])
    sample.git(root, "remote", "set-url", "origin", str(origin))
    return Project.find(root)


@pytest.fixture
def github() -> Iterator[GithubServer]:
    with GithubServer("acme/ferries") as server:
        yield server
        assert server.violations == []


@pytest.fixture
def forge(github: GithubServer) -> Forge:
    return Forge.connect(github.url, "acme/ferries", "secret-token")


def test_a_better_challenger_becomes_one_commit_on_one_branch(
    attempted: tuple[Path, retraining_retrain.RetrainResult],
) -> None:
    root, result = attempted
    project, git = Project.find(root), Git(root)

    assert (result.operation, result.verdict, result.passed) == ("committed", "promote", True)
    assert result.new_rows == 620
    assert git.resolve(BRANCH) == result.commit
    assert git.output("rev-parse", f"{BRANCH}^") == git.output("rev-parse", "main")
    touched = git.output("diff", "--name-only", "main", BRANCH).splitlines()
    allowed = allowed_paths(project, Git(project.root))
    assert [path for path in touched if not path.startswith(allowed)] == []
    assert {"data.dvc", "pipelines/ferries/dvc.lock", "pipelines/ferries/champion.dvc"} <= set(touched)


def test_the_users_files_stay_as_they_were(attempted: tuple[Path, retraining_retrain.RetrainResult]) -> None:
    root, _ = attempted

    assert sample.git(root, "status", "--porcelain").splitlines() == ["?? incoming/", "?? notes.txt"]
    assert sample.git(root, "branch", "--show-current") == "main"
    assert len(sample.git(root, "worktree", "list").splitlines()) == 1
    assert not (root / "data").exists()


def test_a_fresh_clone_of_the_branch_needs_no_secret(
    attempted: tuple[Path, retraining_retrain.RetrainResult], tmp_path: Path
) -> None:
    root, _ = attempted
    clone = tmp_path / "clone"
    process.run(["git", "clone", "--quiet", "--branch", BRANCH, str(root), str(clone)])

    sample.dvc(clone, "pull", "--quiet", "data.dvc", "pipelines/ferries/champion.dvc")

    assert sum(len(pd.read_parquet(path)) for path in (clone / "data").iterdir()) == sample.ROWS + 620
    assert (clone / "pipelines/ferries/champion/model.skops").is_file()


def test_the_commit_message_is_the_pull_requests_text(attempted: tuple[Path, retraining_retrain.RetrainResult]) -> None:
    root, result = attempted

    message = Git(root).message(result.commit)

    assert retrain_commit.split_message(message) == (result.title, result.body)
    assert retrain_commit.trailer(message, retrain_commit.TRAILER) == "drift"
    assert result.title.startswith("Retrain ferries: log loss 0.")
    assert "### Gate: promote" in result.body
    assert result.title.endswith(" (better)")
    assert result.body.index("620 rows more, 2024-04-2") < result.body.index("### Gate: promote")
    assert "**Trained on** " in result.body
    assert "since the champion was trained: unchanged" in result.body


def test_what_reproduces_the_training_works_in_a_fresh_clone_of_the_branch(
    attempted: tuple[Path, retraining_retrain.RetrainResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, result = attempted
    clone = tmp_path / "clone"
    process.run(["git", "clone", "--quiet", "--branch", BRANCH, str(root), str(clone)])
    monkeypatch.chdir(clone)
    written = re.search(r"`(titlebout train --force) && (titlebout evaluate --base main)`", result.body)

    assert written is not None
    trained = json.loads(process.run([*written[1].split(), "--json"], cwd=clone).stdout)
    assert trained["ran"] == ["check-data", "prepare", "train", "evaluate"]
    assert trained["reasons"] == ["a model was trained: the same as before"]
    assert sample.git(clone, "status", "--porcelain") == ""
    process.run(["git", "branch", "--quiet", "main", "origin/main"], cwd=clone)
    evaluated = json.loads(process.run([*written[2].split(), "--json"], cwd=clone).stdout)
    assert evaluated["verdict"] == "promote"


def test_code_that_changed_since_the_champion_is_named_to_the_reviewer(calm_project: Project) -> None:
    sample.edit(calm_project.root / "src" / "ferries" / "features.py", "def ", "# Changed.\ndef ")
    sample.commit(calm_project.root, "A change without a champion of its own")
    work, git = calm_project, Git(calm_project.root)

    (changed,) = [line for line in describe_changes(work, git, stormy(10)).splitlines() if "Code" in line]
    assert changed.endswith("since the champion was trained: src/ferries changed")


def test_an_attempt_is_logged_with_its_outcome(attempted: tuple[Path, retraining_retrain.RetrainResult]) -> None:
    root, result = attempted
    champion = champion_at(Project.find(root), Git(root), "main")
    assert champion is not None

    history = policy_attempts.read(Git(root), LOG)

    key = retrain_commit.trailer(Git(root).message(result.commit), retrain_commit.INPUTS_TRAILER)
    assert history.attempts == (
        Attempt(Moment.parse("2024-06-11T14:00:00+00:00"), "drift", "won", champion.name, key or ""),
    )


def test_the_same_attempt_again_trains_nothing_and_keeps_the_commit(
    after: Project, attempted: tuple[Path, retraining_retrain.RetrainResult]
) -> None:
    output: list[str] = []

    again = retraining_retrain.retrain(after, AttemptReason("drift"), on_line=output.append)

    assert (again.operation, again.commit) == ("unchanged", attempted[1].commit)
    assert (again.title, again.body) == (attempted[1].title, attempted[1].body)
    assert output == []
    assert len(policy_attempts.read(Git(after.root), LOG).attempts) == 1


def test_what_the_branch_has_taken_in_is_new_for_its_base(
    after: Project, attempted: tuple[Path, retraining_retrain.RetrainResult]
) -> None:
    sample.git(after.root, "checkout", "--quiet", BRANCH)
    sample.dvc(after.root, "checkout", "--force", "data.dvc")
    assert read_taken_in(after.data_dir)

    again = retraining_retrain.retrain(after, AttemptReason("drift"))

    assert (again.operation, again.commit) == ("unchanged", attempted[1].commit)


def test_more_data_refreshes_the_one_branch(
    after: Project, attempted: tuple[Path, retraining_retrain.RetrainResult]
) -> None:
    arrive(after.root, stormy(60, start="2024-06-12", seed=2), "2024-06")

    again = retraining_retrain.retrain(after, AttemptReason("drift"))

    assert again.operation == "committed"
    assert again.commit != attempted[1].commit
    assert Git(after.root).commits_between("main", BRANCH) == (again.commit,)


def test_the_reports_of_an_attempt_are_kept(
    attempted: tuple[Path, retraining_retrain.RetrainResult],
) -> None:
    root, result = attempted
    reports = root / "reports"

    assert json.loads((reports / "evaluate.json").read_text(encoding="utf-8")) == json.loads(
        to_json(result.evaluation.model_dump())
    )
    assert (reports / "evaluate.md").read_text(encoding="utf-8").strip() in result.body
    kept = {path.name for path in (reports / "evaluate").iterdir()}
    assert kept == {"predictions.parquet", "gains.svg", "calibration.svg"}


@pytest.mark.parametrize(("touched", "reason"), [(None, "drift"), ("README.md", "change")])
def test_a_branch_with_changed_data_only_keeps_its_rule(
    touched: str | None,
    reason: str,
    after: Project,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., CommandResult],
) -> None:
    monkeypatch.chdir(after.root)
    sample.git(after.root, "checkout", "--quiet", BRANCH)
    if touched:
        (after.root / touched).write_text("news\n", encoding="utf-8")
        sample.commit(after.root, "A change in between")
    output = command("evaluate", "--base", "main", "--only-promotions").document

    assert (output["verdict"], output["promotion_requested"]) == ("promote", True)
    assert (output["reason"], output["rule"]) == (reason, "non-inferior-and-ahead" if touched is None else "superior")


def test_a_branch_with_other_commits_is_not_overwritten(after: Project) -> None:
    sample.git(after.root, "checkout", "--quiet", BRANCH)
    (after.root / "README.md").write_text("my improvement\n", encoding="utf-8")
    sample.git(after.root, "add", "README.md")
    sample.git(after.root, "commit", "--quiet", "-m", "My improvement")
    mine = sample.git(after.root, "rev-parse", "HEAD")
    sample.git(after.root, "checkout", "--quiet", "main")

    with pytest.raises(ConflictError, match="commits that titlebout did not make"):
        retraining_retrain.retrain(after, AttemptReason("drift"))

    assert Git(after.root).resolve(BRANCH) == mine


def test_a_challenger_that_is_no_better_leaves_no_branch(calm_project: Project) -> None:
    arrive(calm_project.root, sample.crossings(240, start="2024-04-21", seed=5), "2024-05")

    result = retraining_retrain.retrain(calm_project, AttemptReason("schedule"))

    assert result.verdict in {"keep", "inconclusive"}
    assert (result.operation, result.commit, result.passed) == ("none", "", False)
    assert Git(calm_project.root).resolve(BRANCH) is None
    assert result.evaluation is not None
    assert result.evaluation.gain_lower <= 0
    (written,) = policy_attempts.read(Git(calm_project.root), LOG).attempts
    assert (written.reason, written.outcome) == ("schedule", {"keep": "lost"}.get(result.verdict, result.verdict))


@pytest.fixture(scope="module")
def external(calm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, retraining_retrain.RetrainResult]:
    """A repository with a remote outside, after an attempt whose newest rows have no label yet, and its result; read-only."""
    folder = tmp_path_factory.mktemp("external")
    root = sample.copy(calm, folder / sample.NAME)
    (root / "dvc-remote").rename(folder / "store")
    sample.edit(root / ".dvc" / "config", "../dvc-remote", str(folder / "store"))
    sample.commit(root, "Use a remote outside the repository")
    rows = stormy(680)
    arrive(root, rows.assign(late=rows["late"].astype("float64").where(rows.index < 620)), "2024-05")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return root, retraining_retrain.retrain(Project.find(root), AttemptReason("drift"))


def test_an_attempt_is_dated_by_its_newest_row_even_without_a_label(
    external: tuple[Path, retraining_retrain.RetrainResult],
) -> None:
    root, result = external

    (written,) = policy_attempts.read(Git(root), LOG).attempts
    assert str(written.at) == stormy(680)["departure"].max().isoformat()
    assert result.arrival.waiting == 60


def test_data_and_model_of_an_attempt_are_in_the_external_remote(
    external: tuple[Path, retraining_retrain.RetrainResult],
) -> None:
    root, result = external
    store = root.parent / "store" / "files" / "md5"

    champion, data = (
        parse_dvc_file(sample.git(root, "show", f"{result.commit}:{name}"), name)
        for name in ("pipelines/ferries/champion.dvc", "data.dvc")
    )

    assert result.operation == "committed"
    assert champion.md5 != champion_in_work_tree(Project.find(root)).output.md5
    assert all((store / digest[:2] / digest[2:]).is_file() for digest in (champion.md5, data.md5))
    assert not (root / "dvc-remote").exists()


def test_refused_data_is_never_trained_on(calm_project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    arrive(calm_project.root, stormy(200).assign(late=7), "2024-05")

    code = run(["retrain", "--json"])

    output = json.loads(capsys.readouterr().out)
    assert code == ExitCode.DATA_REFUSED
    assert (output["verdict"], output["operation"], output["evaluation"]) == ("data_refused", "none", None)
    assert Git(calm_project.root).resolve(BRANCH) is None
    assert [written.outcome for written in policy_attempts.read(Git(calm_project.root), LOG).attempts] == ["refused"]


def test_an_attempt_without_a_commit_is_pushed_and_reported(
    calm_project: Project, github: GithubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = calm_project.root.parent / "origin.git"
    process.run(["git", "clone", "--quiet", "--bare", str(calm_project.root), str(origin)])
    sample.git(calm_project.root, "remote", "add", "origin", str(origin))
    arrive(calm_project.root, stormy(200).assign(late=7), "2024-05")
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/ferries")
    monkeypatch.setenv("TITLEBOUT_TOKEN", "secret-token")

    code = run(["retrain", "--reason", "age", "--forge", "github", "--json"])

    assert code == ExitCode.DATA_REFUSED
    assert logs_at_origin(calm_project) == [("age", "refused")]
    (issue,) = github.repository.issues
    assert issue["title"] == "Retraining ferries: the data check failed"
    assert "Column 'late'" in issue["body"]
    assert json.loads(capsys.readouterr().out)["url"] == issue["html_url"]


def test_a_missing_forge_configuration_fails_before_training(calm_project: Project) -> None:
    arrive(calm_project.root, stormy(200), "2024-05")

    assert run(["retrain", "--forge", "github", "--json"]) == ExitCode.USAGE
    assert policy_attempts.read(Git(calm_project.root), LOG).attempts == ()


class Closed(BaseHTTPRequestHandler):
    """A private repository that records the credentials and denies access."""

    credentials: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.credentials.append(self.headers.get("Authorization", ""))
        self.send_error(HTTPStatus.FORBIDDEN)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_private_repository_is_read_with_the_token(calm_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        sample.git(calm_project.root, "remote", "add", "origin", f"{url}/acme/ferries.git")
        monkeypatch.setenv("GITHUB_SERVER_URL", url)
        monkeypatch.setenv("TITLEBOUT_TOKEN", "secret-token")

        code = run(["retrain", "--json"])
        server.shutdown()

    assert code == ExitCode.PERMISSION
    expected = b64encode(b"x-access-token:secret-token").decode()
    assert set(Closed.credentials) == {f"Basic {expected}"}


def test_too_few_new_rows_fail_before_training(calm_project: Project) -> None:
    arrive(calm_project.root, stormy(49), "2024-05")

    with pytest.raises(InconclusiveError, match="49 new rows are too few"):
        retraining_retrain.retrain(calm_project, AttemptReason("drift"))

    assert len(sample.git(calm_project.root, "worktree", "list").splitlines()) == 1
    assert policy_attempts.read(Git(calm_project.root), LOG).attempts == (), "no attempt is logged without training"


def test_late_rows_of_a_period_that_is_tracked_overwrite_nothing(calm_project: Project) -> None:
    rows = stormy(120)
    path = retraining_retrain._new_file(calm_project, rows)
    path.parent.mkdir(exist_ok=True)
    rows.to_parquet(path)

    other = retraining_retrain._new_file(calm_project, rows.assign(late=0))
    assert path.name == "2024-04-21_2024-04-30.parquet"
    assert other.name.startswith("2024-04-21_2024-04-30_")
    assert other == retraining_retrain._new_file(calm_project, rows.sample(frac=1, random_state=0).assign(late=0))


def test_rows_without_labels_wait(calm_project: Project) -> None:
    arrive(calm_project.root, stormy(200).drop(columns="late"), "2024-05")

    with pytest.raises(InconclusiveError, match="no labels yet: no column 'late'"):
        retraining_retrain.retrain(calm_project, AttemptReason("drift"))


def test_a_renamed_column_is_refused(calm_project: Project) -> None:
    arrive(calm_project.root, stormy(200).rename(columns={"wind": "Wind"}), "2024-05")

    with pytest.raises(DataRefusedError, match="lacks columns of the tracked data: wind"):
        retraining_retrain.retrain(calm_project, AttemptReason("drift"))


def test_a_failing_stage_reports_its_error_and_leaves_nothing(calm_project: Project) -> None:
    sample.edit(calm_project.root / "src/ferries/model.py", "return make_pipeline", "return None and make_pipeline")
    sample.commit(calm_project.root, "Break the model")
    arrive(calm_project.root, stormy(200), "2024-05")

    with pytest.raises(TitleboutError, match="has no fit and predict") as raised:
        retraining_retrain.retrain(calm_project, AttemptReason("drift"))

    assert raised.value.exit_code == ExitCode.USAGE
    assert len(sample.git(calm_project.root, "worktree", "list").splitlines()) == 1
    assert Git(calm_project.root).resolve(BRANCH) is None


def test_a_bundle_is_proposed_as_a_single_pull_request(after: Project, forge: Forge, github: GithubServer) -> None:
    sample.git(after.root, "branch", "-D", BRANCH)
    bundle = after.root / "build" / "retrain.bundle"

    first = propose(after, forge, bundle)
    second = propose(after, forge, bundle)

    assert (first.operation, second.operation) == ("created", "unchanged")
    assert first.number == second.number
    assert Git(after.root).remote_branch(BRANCH) == first.commit
    assert logs_at_origin(after) == [("drift", "won")]
    state = httpx.get(f"{github.url}/_stand-in/state").json()
    assert [(pull["title"], pull["head"]["ref"]) for pull in state["pulls"]] == [(first.title, BRANCH)]
    assert {(status["sha"], status["context"]) for status in state["statuses"]} == {(first.commit, "titlebout/gate")}


def test_the_local_branch_is_pushed_and_its_pull_request_carries_the_evidence(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    result = propose(after, forge)

    message = Git(after.root).message(result.commit)
    assert Git(after.root).remote_branch(BRANCH) == result.commit
    evidence = retrain_commit.trailer(message, retrain_commit.INPUTS_TRAILER)
    assert github.repository.pulls[0]["body"].startswith(f"<!-- titlebout: evidence {evidence} -->\n")


def test_an_attempt_that_was_declined_is_not_pushed_or_opened_again(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    first = propose(after, forge)
    github.repository.close_pull(first.number or 0)
    sample.git(after.root, "push", "--quiet", "origin", "--delete", BRANCH)
    statuses = len(github.repository.statuses)

    second = propose(after, forge)

    assert (second.operation, second.number, second.url, second.passed) == ("declined", first.number, first.url, True)
    assert second.reasons[0].startswith(f"pull request {first.number} with the same evidence was closed")
    assert Git(after.root).remote_branch(BRANCH) is None
    assert len(github.repository.pulls) == 1
    assert len(github.repository.statuses) == statuses


def test_new_evidence_is_proposed_after_the_old_was_declined(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    github.repository.close_pull(propose(after, forge).number or 0)
    arrive(after.root, stormy(60, start="2024-06-12", seed=2), "2024-06")
    assert retraining_retrain.retrain(after, AttemptReason("drift")).operation == "committed"

    again = propose(after, forge)

    assert (again.operation, again.number) == ("created", 2)
    assert [pull["state"] for pull in github.repository.pulls] == ["closed", "open"]


def test_a_decline_still_holds_after_unrelated_commits(after: Project, forge: Forge, github: GithubServer) -> None:
    github.repository.close_pull(propose(after, forge).number or 0)
    (after.root / "README.md").write_text("news\n", encoding="utf-8")
    sample.git(after.root, "add", "README.md")
    sample.git(after.root, "commit", "--quiet", "-m", "News on main")
    sample.git(after.root, "push", "--quiet", "origin", "main")
    assert retraining_retrain.retrain(after, AttemptReason("drift")).operation == "committed"

    assert propose(after, forge).operation == "declined"
    assert len(github.repository.pulls) == 1


def unsuccessful(
    project: Project, *attempts: Attempt, title: str = "Retraining ferries: the challenger was not promoted"
) -> Path:
    """Write the bundle of an unsuccessful attempt, and delete the local log."""
    git, bundle = Git(project.root), project.root / "build" / "lost.bundle"
    git.run("update-ref", "-d", LOG)
    for attempt in attempts:
        policy_attempts.append_attempt(git, "ferries", attempt)
    retraining_bundle.pack(
        project, git, bundle, git.output("rev-parse", "main"), BundleContents("", LOG, title, "### Gate: keep\n")
    )
    git.run("update-ref", "-d", LOG)
    return bundle


def test_an_unsuccessful_attempt_opens_one_issue_and_no_pull_request(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    sample.git(after.root, "branch", "-D", BRANCH)
    bundle = unsuccessful(
        after,
        Attempt(Moment.parse("2024-06-15"), "drift", "won"),
        Attempt(Moment.parse("2024-06-18"), "schedule", "lost"),
    )

    first = propose(after, forge, bundle)
    calls = len(github.calls)
    second = propose(after, forge, bundle)

    assert len(github.calls) == calls, "an attempt is published once"
    assert (first.passed, first.operation, first.verdict, first.reason) == (True, "none", "keep", "schedule")
    assert (second.passed, second.operation, second.verdict) == (True, "none", "")
    assert "nothing new" in second.to_markdown()
    assert logs_at_origin(after) == [("drift", "won"), ("schedule", "lost")]
    assert Git(after.root).remote_branch(BRANCH) is None
    state = httpx.get(f"{github.url}/_stand-in/state").json()
    assert state["pulls"] == []
    (issue,) = state["issues"]
    assert (issue["title"], issue["state"]) == ("Retraining ferries: the challenger was not promoted", "open")
    assert issue["body"].startswith("<!-- titlebout: retrain ferries -->\n### Gate: keep")
    assert issue["body"].index("| 2024-06-18 | schedule | lost |") < issue["body"].index("| 2024-06-15 | drift | won |")
    assert "[Workflow run and reports](https://forge.example/run/7)" in issue["body"]
    assert issue["html_url"] == first.url


def test_an_unsuccessful_attempt_updates_the_issue_and_a_promotion_closes_it(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    commit_of_a_win = Git(after.root).resolve(f"refs/heads/{BRANCH}")
    propose(after, forge, unsuccessful(after, Attempt(Moment.parse("2024-06-01"), "drift", "lost")))
    propose(
        after,
        forge,
        unsuccessful(
            after,
            Attempt(Moment.parse("2024-06-08"), "drift", "inconclusive"),
            title="Retraining ferries: the evaluation was inconclusive",
        ),
    )

    (issue,) = github.repository.issues
    assert (issue["title"], issue["state"]) == ("Retraining ferries: the evaluation was inconclusive", "open")
    assert "| 2024-06-08 | drift | inconclusive |" in issue["body"]
    assert "| 2024-06-01 | drift | lost |" in issue["body"], "attempts in the log at origin are listed too"

    retraining_propose.propose(after, forge, BundleContents(commit_of_a_win or "", LOG), Git(after.root))
    assert [issue["state"] for issue in github.repository.issues] == ["closed"]


def test_a_later_unsuccessful_attempt_marks_the_pull_request_outdated(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    won = propose(after, forge)
    propose(after, forge, unsuccessful(after, Attempt(Moment.parse("2024-07-01"), "drift", "lost")))

    (pull,) = github.repository.pulls
    (issue,) = github.repository.issues
    assert pull["state"] == "open"
    assert (
        "> [!WARNING]\n> A later attempt, on data up to 2024-07-01, did not produce a challenger that passes the gate (lost): "
        in pull["body"]
    )
    assert issue["html_url"] in pull["body"]
    assert pull["body"].endswith(won.body)
    newest = github.repository.statuses[-1]
    assert (newest["sha"], newest["context"], newest["state"]) == (won.commit, "titlebout/gate", "failure")

    propose(after, forge)
    assert "WARNING" not in github.repository.pulls[0]["body"]
    assert github.repository.statuses[-1]["state"] == "success"


def test_an_unpublished_attempt_is_published_by_the_next_run(
    after: Project, forge: Forge, github: GithubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = unsuccessful(after, Attempt(Moment.parse("2024-06-01"), "drift", "lost"))
    with monkeypatch.context() as patch:
        patch.setattr(forge, "ensure_issue", _gone_for_now)
        with pytest.raises(TemporaryError):
            propose(after, forge, bundle)

    propose(after, forge, bundle)

    assert len(github.repository.issues) == 1
    assert logs_at_origin(after) == [("drift", "lost")]


def _gone_for_now(*_: object) -> None:
    raise TemporaryError("the forge does not answer")


@pytest.mark.parametrize(
    ("decided", "shown"),
    [
        ({"action": "attempt", "reason": "drift", "at": "2024-06-10T14:00:00+00:00"}, True),
        ({"action": "attempt", "reason": "drift", "at": "2024-06-11T14:00:00+00:00"}, True),
        ({"action": "attempt", "reason": "drift", "at": "2024-06-09T14:00:00+00:00"}, False),
        ({"action": "attempt", "reason": "age", "at": "2024-06-10T14:00:00+00:00"}, False),
        ({"action": "wait", "reason": "drift", "at": "2024-06-10T14:00:00+00:00"}, False),
        ({"action": "attempt", "reason": "drift", "at": "12000"}, False),
        ({"action": "attempt", "reason": "drift", "at": None}, False),
        ({"action": "attempt", "reason": "drift", "at": "2024-06-10T14:00:00+00:00", "champion": "another"}, False),
        (None, False),
    ],
)
def test_only_the_decision_behind_an_attempt_is_its_evidence(
    calm_project: Project, decided: dict[str, Any] | None, shown: bool
) -> None:
    calm_project.reports.mkdir(exist_ok=True)
    (calm_project.reports / "decide.md").write_text("### Decision: retrain\n", encoding="utf-8")
    if decided is not None:
        document = {"schema_version": 1, "step": "decide", "passed": True, "champion": "abc", "note": "`wind`"}
        (calm_project.reports / "decide.json").write_text(json.dumps(document | decided), encoding="utf-8")

    output: list[str] = []
    at = Moment.parse("2024-06-10T14:00:00+00:00")
    decision = retraining_retrain._decision(calm_project, at, "abc")
    found = retraining_retrain._by_decision(AttemptReason("drift"), decision, calm_project, output.append)

    assert bool(found.evidence) == shown
    assert ("### Decision: retrain" in found.evidence) == shown
    assert "Drift" not in found.evidence, "there is no drift report"
    assert found.note == ("`wind`" if shown else "")
    assert output == (["reason of the last decision (reports/decide.json): drift, `wind`"] if shown else [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (AttemptReason(""), "drift, wind"),
        (AttemptReason("drift"), "drift, wind"),
        (AttemptReason("drift", "storms"), "drift, storms"),
        (AttemptReason("age"), "age"),
        (AttemptReason("", "new prices"), "manual, new prices"),
    ],
    ids=str,
)
def test_what_is_not_given_is_that_of_the_last_decision(
    calm_project: Project, given: AttemptReason, expected: str
) -> None:
    decided = DecideResult(passed=True, reasons=("it is worth it",), action="attempt", reason="drift", note="wind")

    assert str(retraining_retrain._by_decision(given, decided, calm_project, None)) == expected
    assert retraining_retrain._by_decision(AttemptReason(""), None, calm_project, None).reason == "manual"


def test_a_forge_without_issues_stops_neither_the_log_nor_the_branch(
    after: Project, forge: Forge, github: GithubServer
) -> None:
    github.faults = [Fault(refusal(410, "Issues are disabled for this repo"), path="/issues$", times=9)]
    tried = propose(after, forge, unsuccessful(after, Attempt(Moment.parse("2024-06-01"), "drift", "lost")))

    assert "the issue could not be opened or updated" in tried.reasons[0]
    assert logs_at_origin(after) == [("drift", "lost")]
    assert propose(after, forge).operation == "created"


def test_invalid_lines_of_a_log_never_reach_origin(after: Project, forge: Forge) -> None:
    git = Git(after.root)
    good = policy_attempts._line(Attempt(Moment.parse("2024-06-11"), "age", "lost"))
    commit = git.commit_file(policy_attempts.FILE, f'{good}\n{{"at": "$(touch x)"}}\n', "Tampered", None)
    git.run("update-ref", LOG, commit)
    bundle = after.root / "build" / "tampered.bundle"
    retraining_bundle.pack(after, git, bundle, git.output("rev-parse", "main"), BundleContents("", LOG))

    propose(after, forge, bundle)

    assert logs_at_origin(after) == [("age", "lost")]
    assert "touch" not in sample.git(origin_of(after), "show", f"{LOG}:{policy_attempts.FILE}")
    assert commit not in sample.git(origin_of(after), "rev-list", "--all")


def test_a_commit_that_touches_code_is_refused_before_it_is_pushed(after: Project, forge: Forge) -> None:
    sample.git(after.root, "checkout", "--quiet", BRANCH)
    sample.edit(after.root / "src/ferries/model.py", "import", "import os  # smuggled\nimport")
    sample.git(after.root, "commit", "--quiet", "--amend", "--no-edit", "--all")
    sample.git(after.root, "checkout", "--quiet", "main")

    with pytest.raises(UnsafeError, match=r"changes 'src/ferries/model.py'"):
        propose(after, forge)

    assert Git(after.root).remote_branch(BRANCH) is None


def amend(project: Project) -> None:
    """Add the work tree to the retrain commit, as a compromised training job could."""
    sample.git(project.root, "add", "--all", "--force", "pipelines")
    sample.git(project.root, "commit", "--quiet", "--amend", "--no-edit")
    sample.git(project.root, "checkout", "--quiet", "main")


@pytest.mark.parametrize("trick", ["a link", "a pointer elsewhere", "a renamed workflow"])
def test_a_commit_that_would_write_elsewhere_is_refused(after: Project, forge: Forge, trick: str) -> None:
    sample.git(after.root, "checkout", "--quiet", BRANCH)
    pipeline = after.pipeline_dir
    if trick == "a link":
        (pipeline / "reports" / "metrics.json").unlink()
        (pipeline / "reports" / "metrics.json").symlink_to("../../../src/ferries/model.py")
    elif trick == "a pointer elsewhere":
        sample.edit(pipeline / "champion.dvc", "path: champion", "path: ../../src/ferries")
    else:
        sample.git(after.root, "mv", "src/ferries/model.py", "dvc-remote/model.py")
    amend(after)

    with pytest.raises(UnsafeError):
        propose(after, forge)

    assert Git(after.root).remote_branch(BRANCH) is None


def test_a_base_with_new_commits_is_a_conflict(after: Project, forge: Forge) -> None:
    (after.root / "README.md").write_text("news\n", encoding="utf-8")
    sample.git(after.root, "add", "README.md")
    sample.git(after.root, "commit", "--quiet", "-m", "News on main")
    sample.git(after.root, "push", "--quiet", "origin", "main")

    with pytest.raises(ConflictError, match="the base branch has new commits"):
        propose(after, forge)
