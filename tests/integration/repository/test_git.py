"""Git with real repositories: revisions, commits, worktrees and concurrent pushes."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

import pytest

import sample
from titlebout.core import process
from titlebout.core.errors import ConfigError, ConflictError, NotFoundError, PermissionRefusedError, TitleboutError
from titlebout.repository.git import BOT_EMAIL, BOT_NAME, Git


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    root = tmp_path / "seed"
    root.mkdir()
    sample.git(root, "init", "--quiet", "--initial-branch", "main")
    write(root, "policy.toml", "a = 1\n")
    sample.commit(root, "First commit")
    sample.git(tmp_path, "clone", "--quiet", "--bare", str(root), "origin.git")
    return tmp_path / "origin.git"


@pytest.fixture
def git(origin: Path, tmp_path: Path) -> Git:
    return clone(origin, tmp_path / "clone")


def clone(origin: Path, target: Path, *options: str) -> Git:
    sample.git(target.parent, "clone", "--quiet", *options, origin.as_uri(), str(target))
    return Git(target)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_repository_is_found_from_any_folder_in_it(git: Git) -> None:
    folder = git.root / "a" / "b"
    folder.mkdir(parents=True)

    assert Git.find(folder).root == git.root


def test_a_folder_outside_a_repository_is_refused_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a git repository") as caught:
        Git.find(tmp_path)

    assert "git init" in str(caught.value.fix)


@pytest.mark.root
def test_a_repository_of_another_user_is_refused_with_a_command(git: Git) -> None:
    folder = git.root / "o'ne"
    folder.mkdir()
    os.chown(git.root, 1234, 1234)

    with pytest.raises(PermissionRefusedError, match="another user owns") as caught:
        Git.find(folder)

    assert caught.value.where == str(git.root)
    subprocess.run(str(caught.value.fix).split("`")[1], shell=True, check=True)
    assert Git.find(folder).root == git.root
    sample.git(git.root, "config", "--global", "--unset", "safe.directory")


def test_a_repository_with_a_broken_configuration_is_its_own_error(git: Git) -> None:
    (git.root / ".git" / "config").write_text("[core\n")

    with pytest.raises(ConfigError) as caught:
        Git.find(git.root)

    assert "bad config" in str(caught.value.why)


@pytest.mark.parametrize(
    "name", ["a b", "-x", " x ", "#1", "100%", "$HOME", "'q'", '"q"', "é", "*?[x]", ":(top)x", "模型"]
)
def test_any_character_may_be_in_a_path(name: str, origin: Path, tmp_path: Path) -> None:
    git = clone(origin, tmp_path / name)
    sample.git(git.root, "config", "core.quotePath", "true")
    write(git.root, f"{name}/{name}.txt", "1")
    write(git.root, "xx.txt", "another file, which a pattern would match")
    commit = git.commit("Title", [f"{name}/{name}.txt"])

    assert Git.find(git.root / name).root == git.root
    assert git.path_of(git.root / name / f"{name}.txt") == f"{name}/{name}.txt"
    assert git.changed_paths(f"{commit}^", commit) == (f"{name}/{name}.txt",)
    assert git.show(commit, f"{name}/{name}.txt") == "1"
    with git.worktree(commit) as tree:
        assert (tree.root / name / f"{name}.txt").read_text() == "1"


def test_settings_of_the_user_do_not_change_what_is_read(git: Git) -> None:
    first = git.output("rev-parse", "HEAD")
    for setting in ("color.ui=always", "diff.relative=true", "log.showSignature=true", "core.quotePath=true"):
        sample.git(git.root, "config", *setting.split("="))
    write(git.root, "é/b", "1")
    second = git.commit("Second", ["é/b"])

    assert Git(git.root / "é").changed_paths(first, second) == ("é/b",)
    assert git.output("log", "--format=%H", "--", "é").splitlines() == [second]
    assert git.output("grep", "--files-with-matches", "1", second) == f"{second}:policy.toml\n{second}:é/b"


@pytest.mark.parametrize("branch", ["main", "master", "trunk", "release/v1", "é"])
def test_the_default_branch_may_have_any_name(branch: str, git: Git, origin: Path, tmp_path: Path) -> None:
    sample.git(git.root, "switch", "--quiet", "-c", branch if branch != "main" else "other")
    sample.git(git.root, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    sample.git(origin, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    other = clone(origin, tmp_path / "other")

    assert other.default_branch == branch
    sample.git(other.root, "remote", "set-head", "origin", "--delete")
    assert Git(other.root).default_branch == branch, "the current branch"
    sample.git(other.root, "checkout", "--quiet", "--detach")
    sample.git(other.root, "branch", "--quiet", "-D", branch)
    assert other.base_commit(branch) == other.output("rev-parse", "HEAD")
    assert Git(other.root).current_branch == ""


def test_in_a_clone_of_a_fork_the_default_remote_decides(git: Git, origin: Path, tmp_path: Path) -> None:
    fork = git.output("rev-parse", "HEAD")
    ahead = clone(origin, tmp_path / "ahead")
    sample.git(ahead.root, "remote", "rename", "origin", "company")
    write(ahead.root, "b", "")
    newest = sample.commit(ahead.root, "Second")
    assert ahead.remote == "company", "the only one"
    sample.git(git.root, "remote", "add", "upstream", str(ahead.root))
    sample.git(git.root, "fetch", "--quiet", "upstream")

    assert (git.remote, git.base_commit("main")) == ("origin", fork)
    sample.git(git.root, "config", "checkout.defaultRemote", "upstream")
    chosen = Git(git.root)
    assert (chosen.remote, chosen.base_commit("main"), chosen.remote_branch("main")) == ("upstream", newest, newest)
    chosen.push_ref("refs/heads/mine", fork, None)
    assert sample.git(ahead.root, "rev-parse", "mine") == fork


def test_without_a_remote_a_push_names_the_way_to_add_one(tmp_path: Path) -> None:
    sample.git(tmp_path, "init", "--quiet")

    with pytest.raises(NotFoundError, match="no remote") as caught:
        Git(tmp_path).push_ref("refs/heads/main", "0" * 40, None)

    assert "git remote add origin" in str(caught.value.fix)


def test_a_revision_resolves_to_its_commit_or_none(git: Git) -> None:
    head = sample.git(git.root, "rev-parse", "HEAD")

    assert git.resolve("main") == git.resolve(head[:10]) == head
    assert git.resolve("nowhere") is None
    assert git.resolve("--help") is None


def test_the_base_is_the_remote_branch_before_the_local_one(git: Git) -> None:
    remote = git.output("rev-parse", "HEAD")
    write(git.root, "b", "")
    local = sample.commit(git.root, "Not pushed")

    assert git.base_commit("main") == remote
    sample.git(git.root, "remote", "remove", "origin")
    assert git.base_commit("main") == local


def test_a_missing_revision_is_reported_with_a_fix(git: Git) -> None:
    with pytest.raises(NotFoundError, match="revision main2 or v1 does not exist in this clone") as caught:
        git.commit_of("main2", "v1")

    assert "--base" in str(caught.value.fix)


def test_a_revision_missing_from_a_shallow_clone_has_its_own_fix(origin: Path, tmp_path: Path) -> None:
    full = clone(origin, tmp_path / "full")
    first = full.output("rev-parse", "HEAD")
    write(full.root, "b", "")
    sample.commit(full.root, "Second")
    sample.git(full.root, "push", "--quiet")
    shallow = clone(origin, tmp_path / "shallow", "--depth", "1")

    with pytest.raises(NotFoundError) as caught:
        shallow.commit_of(first)

    assert caught.value.why == "the clone is shallow"
    assert "fetch-depth: 0" in str(caught.value.fix)


def test_a_repository_without_commits_is_reported(tmp_path: Path) -> None:
    sample.git(tmp_path, "init", "--quiet")

    with pytest.raises(NotFoundError) as caught:
        Git(tmp_path).base_commit("main")

    assert "has no commit yet" in str(caught.value.why)


def test_a_file_is_read_at_a_revision(git: Git) -> None:
    first = git.output("rev-parse", "HEAD")
    write(git.root, "policy.toml", "a = 'Å'\n")
    second = sample.commit(git.root, "Second")

    assert git.show(first, "policy.toml") == "a = 1\n"
    assert git.show(second, "policy.toml") == "a = 'Å'\n"
    assert git.show(first, "nowhere.toml") is None


def test_a_missing_revision_is_not_a_missing_file(git: Git) -> None:
    """Mistaken for "no champion yet", it would let any challenger be promoted."""
    with pytest.raises(process.ProcessError):
        git.show("0" * 40, "policy.toml")


def test_changed_files_have_their_exact_names(git: Git) -> None:
    write(git.root, "data/Å b.csv", "1")
    sample.commit(git.root, "Second")
    assert git.changed_paths() == ()

    write(git.root, "data/Å b.csv", "2")
    write(git.root, "policy.toml", "a = 2\n")
    write(git.root, "untracked", "")

    assert git.changed_paths() == ("data/Å b.csv", "policy.toml")


def test_a_configured_identity_is_accepted(git: Git) -> None:
    git.require_identity()


def test_a_missing_identity_is_refused_with_two_commands(git: Git, no_identity: None) -> None:
    with pytest.raises(ConfigError, match="has no author identity") as caught:
        git.require_identity()

    assert "git config user.name" in str(caught.value.fix)
    assert "user.email" in str(caught.value.fix)


def test_the_bot_commits_as_itself_and_only_the_given_paths(git: Git, no_identity: None) -> None:
    write(git.root, ".gitignore", "*.lock\n")
    write(git.root, "dvc.lock", "new")
    write(git.root, "reports/a.json", "{}")
    write(git.root, "secret.txt", "")
    commit = git.commit("Title\n\n# not a comment\n\nTrailer: x\n", ["dvc.lock", "reports"])

    assert git.output("show", "--name-only", "--format=%an <%ae>", commit).splitlines() == [
        f"{BOT_NAME} <{BOT_EMAIL}>",
        "",
        "dvc.lock",
        "reports/a.json",
    ]
    assert git.message(commit) == "Title\n\n# not a comment\n\nTrailer: x"


def test_files_staged_before_are_not_committed(git: Git) -> None:
    write(git.root, "policy.toml", "a = 2\n")
    write(git.root, "dvc.lock", "new")
    sample.git(git.root, "add", "policy.toml")
    commit = git.commit("Title", ["dvc.lock"])

    assert git.output("show", "--name-only", "--format=", commit).splitlines() == ["dvc.lock"]


def test_hooks_and_signing_keys_of_the_user_are_not_used(git: Git) -> None:
    hook = git.root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    sample.git(git.root, "config", "commit.gpgSign", "true")
    sample.git(git.root, "config", "gpg.program", "false")
    write(git.root, "dvc.lock", "new")

    assert git.commit("Title", ["dvc.lock"]) == git.output("rev-parse", "HEAD")


def test_a_deleted_path_is_committed_as_deleted(git: Git) -> None:
    (git.root / "policy.toml").unlink()
    commit = git.commit("Title", ["policy.toml"])

    assert git.output("show", "--name-status", "--format=", commit) == "D\tpolicy.toml"


def test_a_worktree_leaves_the_users_files_unchanged(git: Git) -> None:
    head = git.output("rev-parse", "HEAD")
    write(git.root, "policy.toml", "half-finished")
    with git.worktree(head) as tree:
        folder = tree.root
        assert (folder / "policy.toml").read_text() == "a = 1\n"
        write(folder, "policy.toml", "a = 3\n")
        commit = tree.commit("In the tree", ["policy.toml"])

    assert (git.root / "policy.toml").read_text() == "half-finished"
    assert git.output("rev-parse", "HEAD") == head
    assert git.show(commit, "policy.toml") == "a = 3\n"
    assert not folder.exists()
    assert len(git.output("worktree", "list").splitlines()) == 1


def test_a_worktree_is_removed_after_an_error(git: Git) -> None:
    folders: list[Path] = []

    def fail() -> None:
        with git.worktree("main") as tree:
            folders.append(tree.root)
            write(tree.root, "policy.toml", "dirty")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not folders[0].exists()
    assert len(git.output("worktree", "list").splitlines()) == 1


def test_history_is_read_between_two_commits(git: Git) -> None:
    base = git.output("rev-parse", "HEAD")
    write(git.root, "b", "1")
    first = sample.commit(git.root, "One\n\nBody")
    write(git.root, "b", "2")
    second = sample.commit(git.root, "Two")

    assert git.commits_between(base, second) == (second, first)
    assert git.commits_between(second, second) == ()
    assert git.message(first) == "One\n\nBody"
    assert git.tree(first) != git.tree(second)


def test_the_merge_base_is_where_the_branch_left_the_base(git: Git, origin: Path, tmp_path: Path) -> None:
    first = git.output("rev-parse", "HEAD")
    write(git.root, "b", "1")
    sample.commit(git.root, "Mine")
    other = clone(origin, tmp_path / "other")
    write(other.root, "c", "1")
    theirs = sample.commit(other.root, "Theirs")
    sample.git(other.root, "push", "--quiet")
    sample.git(git.root, "fetch", "--quiet")

    assert git.merge_base(theirs) == first
    assert git.merge_base(first) == first
    shallow = clone(origin, tmp_path / "shallow", "--depth", "1")
    assert shallow.merge_base("0" * 40) == "0" * 40


def test_a_branch_is_set_only_from_the_expected_commit(git: Git) -> None:
    first = git.output("rev-parse", "HEAD")
    write(git.root, "b", "")
    second = sample.commit(git.root, "Second")

    git.set_branch("retrain/x", first, None)
    git.set_branch("retrain/x", second, first)
    assert git.resolve("retrain/x") == second
    for expected in (first, None):
        with pytest.raises(ConflictError, match="another process changed branch retrain/x at the same time"):
            git.set_branch("retrain/x", first, expected)
    assert git.resolve("retrain/x") == second


def test_a_push_succeeds_only_over_the_expected_commit(git: Git, origin: Path, tmp_path: Path) -> None:
    first = git.output("rev-parse", "HEAD")
    assert git.remote_branch("retrain/x") is None
    git.push_branch("retrain/x", first, None)
    assert git.remote_branch("retrain/x") == git.resolve("refs/remotes/origin/retrain/x") == first

    other = clone(origin, tmp_path / "other")
    write(other.root, "b", "")
    theirs = sample.commit(other.root, "Theirs")
    other.push_branch("retrain/x", theirs, first)

    for expected in (first, None):
        with pytest.raises(
            ConflictError, match="another push changed branch retrain/x on origin at the same time"
        ) as caught:
            git.push_branch("retrain/x", first, expected)
        assert caught.value.exit_code == 6
    assert sample.git(origin, "rev-parse", "retrain/x") == theirs
    assert git.remote_branch("retrain/x") == theirs


def test_a_push_refused_by_the_server_is_not_a_conflict(git: Git, origin: Path) -> None:
    hook = origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'protected by policy' >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(process.ProcessError) as caught:
        git.push_branch("retrain/x", git.output("rev-parse", "HEAD"), None)

    assert "protected by policy" in str(caught.value.why)


def test_a_token_is_passed_in_the_environment_only(git: Git) -> None:
    repository = Git.authorized(git.root, "https://git.example", "s3cret")

    assert repository.output("config", "http.https://git.example/.extraheader").startswith("Authorization: Basic ")
    assert "extraheader" not in (git.root / ".git" / "config").read_text()
    assert Git.authorized(git.root, "https://git.example", None).env == {}


@contextmanager
def server(status: int) -> Iterator[str]:
    """A git server on the loopback interface that answers every request with one status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Write no log."""

    with ThreadingTCPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/ferries.git"
        listening.shutdown()


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (404, 5), (500, 75), (503, 75)])
@pytest.mark.parametrize("token", [None, "s3cret"])
def test_a_refusal_of_the_server_has_its_cause(status: int, code: int, token: str | None, git: Git) -> None:
    with server(status) as url:
        sample.git(git.root, "remote", "set-url", "origin", url)
        repository = Git.authorized(git.root, url.rpartition("/")[0], token)
        for operation in (
            lambda: repository.remote_branch("main"),
            lambda: repository.push_branch("retrain/x", git.output("rev-parse", "HEAD"), None),
        ):
            with pytest.raises(TitleboutError) as caught:
                operation()
            assert caught.value.exit_code == code, caught.value.why
            assert caught.value.fix
            assert "s3cret" not in str(caught.value.to_dict())


@pytest.mark.parametrize(
    ("url", "code"), [("http://127.0.0.1:1/x.git", 75), ("http://titlebout.invalid/x.git", 75), ("/nowhere/x.git", 5)]
)
def test_an_absent_server_has_its_cause(url: str, code: int, git: Git) -> None:
    sample.git(git.root, "remote", "set-url", "origin", url)

    with pytest.raises(TitleboutError) as caught:
        git.remote_branch("main")
    assert caught.value.exit_code == code


def test_git_messages_are_english_in_any_locale(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    assert git.output("-c", "alias.language=!echo $LC_ALL", "language") == "C"
