"""Git repositories: read revisions, commit in a temporary worktree, push only over the expected commit."""

import re
import shlex
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from titlebout.core import process
from titlebout.core.errors import (
    Cause,
    ConfigError,
    ConflictError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    first_cause,
)

BOT_NAME = "titlebout[bot]"
BOT_EMAIL = "titlebout[bot]@users.noreply.github.com"

# Settings of a user that would change what git prints.
_PLAIN_OUTPUT = ("-c", "color.ui=false", "-c", "core.quotePath=false", "-c", "log.showSignature=false")

# Git's exit code is 128 for all failures, so its messages are matched.
_CAUSES = (
    Cause(
        r"Authentication failed|could not read Username|Permission denied|returned error: 40[13]",
        PermissionRefusedError,
        "access denied by the git server",
        "check the token and its permission to write to this repository (`contents: write`)",
    ),
    Cause(
        r"Could not resolve host|Failed to connect|Connection \w+|timed out|hung up|returned error: 5\d\d",
        TemporaryError,
        "the git server cannot be reached",
        "check the network, then run the command again",
    ),
    Cause(
        r"not appear to be a git repository|[Rr]epository .*not found|returned error: 404",
        NotFoundError,
        "no repository exists at the address of the remote",
        "check the address with `git remote --verbose`; for a private repository, also check the token",
    ),
)


class Git:
    """A git repository.

    Parameters
    ----------
    root : Path
        Top folder of the work tree.
    env : mapping of str to str, optional
        Environment variables of every git process, for example an authorization header.
    """

    def __init__(self, root: Path, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.env = dict(env or {})

    @classmethod
    def find(cls, start: Path) -> "Git":
        """Return the repository that contains `start`.

        Raises
        ------
        ConfigError
            If `start` is not inside a git repository.
        PermissionRefusedError
            If another user owns the repository.
        """
        completed = cls(start).run("rev-parse", "--show-toplevel", check=False)
        if completed.returncode != 0:
            if error := _owner_error(completed):
                raise error
            raise ConfigError(
                "this is not a git repository",
                where=str(start),
                why=completed.tail(2),
                fix="run `git init -b main && git add -A && git commit -m 'First commit'`",
            )
        return cls(Path(completed.stdout.removesuffix("\n")))

    @classmethod
    def authorized(cls, root: Path, server_url: str, token: str | None) -> "Git":
        """Return a repository whose HTTP requests to `server_url` are authorized with `token`.

        The header is passed in the environment of the git process, and the token is not written to disk: command-line
        arguments are visible to every process, and ``.git/config`` remains after the job.
        """
        if not token:
            return cls(root)
        basic = b64encode(f"x-access-token:{token}".encode()).decode()
        header = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{server_url}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
        return cls(root, header)

    def run(self, *arguments: str, check: bool = True) -> process.Completed:
        """Run git in the top folder of this repository, with messages in English and paths taken literally.

        Raises
        ------
        PermissionRefusedError, TemporaryError, NotFoundError
            If `check` is set and git fails because of the remote server or the owner of the repository.
        ProcessError
            If `check` is set and git fails for another reason.
        """
        environment = {"LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1", **self.env}
        completed = process.run(["git", *_PLAIN_OUTPUT, *arguments], cwd=self.root, env=environment, check=False)
        if check and completed.returncode != 0:
            error = _explain(completed)
            raise error
        return completed

    def output(self, *arguments: str) -> str:
        """Return the standard output of git, stripped."""
        return self.run(*arguments).stdout.strip()

    def path_of(self, path: Path) -> str:
        """Return a path in the work tree as git names it: relative to the top folder, with slashes."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def remote(self) -> str | None:
        """Remote with the base branch and the retrain branch: ``checkout.defaultRemote``, origin, or the only one.

        In a clone of a fork, ``git config checkout.defaultRemote upstream`` selects the repository that was forked.
        """
        remotes = self.output("remote").splitlines()
        preferred = [self.run("config", "checkout.defaultRemote", check=False).stdout.strip(), "origin"]
        return next((name for name in preferred if name in remotes), remotes[0] if len(remotes) == 1 else None)

    @cached_property
    def default_branch(self) -> str:
        """Default branch of the remote if this clone records it, otherwise the current branch."""
        head = self.run("symbolic-ref", "--short", f"refs/remotes/{self.remote}/HEAD", check=False).stdout.strip()
        return head.removeprefix(f"{self.remote}/") or self.current_branch or "main"

    @property
    def current_branch(self) -> str:
        """Name of the current branch; empty if HEAD is detached."""
        return self.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False).stdout.strip()

    def resolve(self, revision: str) -> str | None:
        """Return the full commit id of `revision`, or None when it is not in this clone."""
        completed = self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", check=False)
        return completed.stdout.strip() or None

    def commit_of(self, *candidates: str) -> str:
        """Return the commit of the first revision that exists.

        Raises
        ------
        NotFoundError
            If none exists, possibly because the clone is shallow.
        """
        for candidate in candidates:
            commit = self.resolve(candidate)
            if commit is not None:
                return commit
        shallow = self.output("rev-parse", "--is-shallow-repository") == "true"
        raise NotFoundError(
            f"revision {' or '.join(candidates)} does not exist in this clone",
            where=str(self.root),
            why="the clone is shallow" if shallow else "the branch does not exist, or the repository has no commit yet",
            fix="check out with `fetch-depth: 0`, or run `git fetch --unshallow`"
            if shallow
            else "commit first, or name an existing branch: with --base, or as retrain.base in titlebout.toml",
        )

    def base_commit(self, base: str) -> str:
        """Return the commit of branch `base`: at the remote if it exists there, otherwise the local one."""
        tracked = [f"refs/remotes/{self.remote}/{base}"] if self.remote else []
        return self.commit_of(*tracked, f"refs/heads/{base}", base)

    def merge_base(self, base: str) -> str:
        """Return the merge base of HEAD and `base`, or `base` if the history in this clone is too short."""
        return self.run("merge-base", base, "HEAD", check=False).stdout.strip() or base

    def show(self, revision: str, path: str) -> str | None:
        """Return the text of `path` at `revision`, or None when it is not in that tree.

        Raises
        ------
        ProcessError
            If the revision does not exist or the file cannot be read, which must not be mistaken for a missing file.
        """
        if not self.output("ls-tree", "--name-only", revision, "--", path):
            return None
        return self.run("show", f"{revision}:{path}").stdout

    def private_folder(self) -> Path:
        """Return the folder for local records of this clone: inside the git folder, shared by its worktrees, never committed."""
        common = Path(self.output("rev-parse", "--git-common-dir"))
        return (self.root / common).resolve() / "titlebout"

    def changed_paths(self, base: str = "HEAD", *commit: str) -> tuple[str, ...]:
        """Return the tracked files that differ between `base` and a commit, or the work tree."""
        listed = self.run("-c", "diff.relative=false", "diff", "--no-renames", "--name-only", "-z", base, *commit)
        return tuple(listed.stdout.split("\0")[:-1])

    def ignored(self, *paths: Path) -> tuple[str, ...]:
        """Return those paths in the work tree that a rule of a .gitignore names, as git prints them; none has to exist."""
        # check-ignore takes paths literally anyway, and fails with this variable.
        literal = Git(self.root, {**self.env, "GIT_LITERAL_PATHSPECS": "0"})
        listed = literal.run("check-ignore", "--no-index", "--", *map(self.path_of, paths), check=False)
        return tuple(listed.stdout.splitlines())

    def require_identity(self) -> None:
        """Check that git has an author identity for commits.

        Raises
        ------
        ConfigError
            If it has none.
        """
        if self.run("var", "GIT_AUTHOR_IDENT", check=False).returncode != 0:
            raise ConfigError(
                "git has no author identity",
                where=str(self.root),
                fix='run `git config user.name "Your Name"` and `git config user.email you@example.org`',
            )

    @contextmanager
    def worktree(self, commit: str) -> Iterator["Git"]:
        """Check out `commit` in a temporary worktree, leaving the user's files unchanged."""
        folder = Path(tempfile.mkdtemp(prefix="titlebout-"))
        try:
            self.run("worktree", "add", "--quiet", "--detach", str(folder), commit)
            yield Git(folder.resolve(), self.env)
        finally:
            self.run("worktree", "remove", "--force", str(folder), check=False)
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, message: str, paths: Sequence[str]) -> str:
        """Commit only the given paths, ignored files included, as titlebout's bot; return the commit id."""
        self.run("add", "--force", "--all", "--", *paths)
        identity = ["-c", f"user.name={BOT_NAME}", "-c", f"user.email={BOT_EMAIL}"]
        # The user's hooks and signing key do not apply to commits of the bot.
        options = ["--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=verbatim", "--message", message]
        self.run(*identity, "commit", *options, "--", *paths)
        return self.output("rev-parse", "HEAD")

    def tree(self, commit: str) -> str:
        """Return the tree id of `commit`."""
        return self.output("rev-parse", f"{commit}^{{tree}}")

    def commits_between(self, base: str, tip: str) -> tuple[str, ...]:
        """Return the commits reachable from `tip` but not from `base`, newest first."""
        return tuple(self.output("rev-list", f"{base}..{tip}").splitlines())

    def message(self, commit: str) -> str:
        """Return the full message of `commit`."""
        return self.output("show", "--no-patch", "--format=%B", commit)

    def commit_file(self, name: str, text: str, message: str, parent: str | None) -> str:
        """Create a commit that contains only one file, on no branch, and return its id; the work tree is not changed."""
        with tempfile.TemporaryDirectory(prefix="titlebout-") as folder:
            source = Path(folder, "content")
            source.write_text(text, encoding="utf-8")
            # A temporary index keeps the files that the user has staged.
            repository = Git(self.root, {**self.env, "GIT_INDEX_FILE": str(Path(folder, "index"))})
            blob = repository.output("hash-object", "-w", "--no-filters", str(source))
            repository.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
            tree = repository.output("write-tree")
        identity = ["-c", f"user.name={BOT_NAME}", "-c", f"user.email={BOT_EMAIL}"]
        parents = ["-p", parent] if parent else []
        return self.output(*identity, "commit-tree", "--no-gpg-sign", "-m", message, *parents, tree)

    def set_branch(self, branch: str, commit: str, expected: str | None) -> None:
        """Move a local branch; see :meth:`set_ref`."""
        self.set_ref(f"refs/heads/{branch}", commit, expected)

    def set_ref(self, ref: str, commit: str, expected: str | None) -> None:
        """Set a local ref to `commit` if it is still at `expected`; None means that it does not exist.

        Raises
        ------
        ConflictError
            If the ref was changed concurrently.
        """
        if self.run("update-ref", ref, commit, expected or "", check=False).returncode != 0:
            raise ConflictError(
                f"another process changed {_label(ref)} at the same time",
                where=str(self.root),
                fix="run the command again",
            )

    def push_branch(self, branch: str, commit: str, expected: str | None) -> None:
        """Push `commit` to `branch` of the remote; see :meth:`push_ref`."""
        self.push_ref(f"refs/heads/{branch}", commit, expected)

    def push_ref(self, ref: str, commit: str, expected: str | None) -> None:
        """Push `commit` to a ref of the remote if it is still at `expected`; None means that it does not exist.

        Raises
        ------
        ConflictError
            If the ref was changed concurrently.
        PermissionRefusedError, NotFoundError, TemporaryError, ProcessError
            If the push fails for another reason.
        """
        lease = f"--force-with-lease={ref}:{expected or ''}"
        completed = self.run("push", "--quiet", lease, self._remote(), f"{commit}:{ref}", check=False)
        if completed.returncode == 0:
            return
        if re.search(r"stale info|fetch first|cannot lock ref|reference already exists", completed.stderr):
            raise ConflictError(
                f"another push changed {_label(ref)} on {self.remote} at the same time",
                why=completed.tail(3),
                fix="run the command again",
            )
        error = _explain(completed)
        raise error

    def remote_branch(self, branch: str) -> str | None:
        """Fetch `branch` of the remote and return its commit, or None when it does not exist."""
        return self.remote_ref(f"refs/heads/{branch}", f"refs/remotes/{self.remote}/{branch}")

    def remote_ref(self, ref: str, local_ref: str) -> str | None:
        """Fetch a ref of the remote into `local_ref` and return its commit, or None when it does not exist."""
        listed = self.output("ls-remote", self._remote(), ref).split()
        if not listed:
            return None
        self.run("fetch", "--quiet", self._remote(), f"+{ref}:{local_ref}")
        return listed[0]

    def _remote(self) -> str:
        if self.remote is None:
            raise NotFoundError(
                "this clone has no remote",
                where=str(self.root),
                fix="add one with `git remote add origin URL`, and fetch from it with `git fetch`",
            )
        return self.remote


def _label(ref: str) -> str:
    """Return a ref as named in messages: branches without their prefix."""
    branch = ref.removeprefix("refs/heads/")
    return ref if branch == ref else f"branch {branch}"


def _owner_error(completed: process.Completed) -> PermissionRefusedError | None:
    """Return the error for a repository of another user, as in a container or with sudo; None for other failures."""
    found = re.search(r"dubious ownership in repository at '(.*)'", completed.stderr)
    if found is None:
        return None
    return PermissionRefusedError(
        "git does not read this repository, because another user owns its folder",
        where=found[1],
        why="hooks and settings in a repository can run the programs of its owner",
        fix=f"if you trust its owner, run `git config --global --add safe.directory {shlex.quote(found[1])}`",
    )


def _explain(completed: process.Completed) -> TitleboutError:
    """Return the error for a failed git command, of the class of its cause if the cause is known."""
    if error := _owner_error(completed):
        return error
    cause = first_cause(completed.stderr, _CAUSES)
    if cause is None:
        return process.ProcessError(completed)
    command = " ".join(("git", *completed.command[1 + len(_PLAIN_OUTPUT) :][:2]))
    return cause.error(cause.what, where=command, why=completed.tail(4), fix=cause.fix)
