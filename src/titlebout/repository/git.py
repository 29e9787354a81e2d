"""Git, as far as the loop needs it: read revisions, build one commit in a worktree, push with a lease."""

import re
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from titlebout.core import process
from titlebout.core.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
)

BOT_NAME = "titlebout[bot]"
BOT_EMAIL = "titlebout[bot]@users.noreply.github.com"


class Git:
    """A git repository, addressed by its top folder.

    Parameters
    ----------
    root : Path
        The work tree.
    env : mapping of str to str, optional
        Variables for every git process, for example an authorization header.
    """

    def __init__(self, root: Path, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.env = dict(env or {})

    @classmethod
    def find(cls, start: Path) -> "Git":
        """Return the repository that `start` lies in.

        Raises
        ------
        ConfigError
            If it lies in none.
        """
        completed = process.run(["git", "rev-parse", "--show-toplevel"], cwd=start, check=False)
        if completed.returncode != 0:
            raise ConfigError(
                "this is not a git repository",
                where=str(start),
                why=completed.tail(2),
                fix="run `git init -b main && git add -A && git commit -m 'First commit'`",
            )
        return cls(Path(completed.stdout.strip()))

    @classmethod
    def authorised(cls, root: Path, server_url: str, token: str | None) -> "Git":
        """Return a repository whose http(s) traffic to `server_url` carries a token that is written nowhere.

        The header travels in the environment of the git process: not in its arguments, which every process can
        read, and not in ``.git/config``, which the checkout leaves behind.
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
        """Run git in this repository, in English.

        Raises
        ------
        PermissionRefusedError, TemporaryError, NotFoundError
            If `check` is set and a server is why it fails.
        ProcessError
            If `check` is set and it fails for another reason.
        """
        completed = process.run(["git", *arguments], cwd=self.root, env={"LC_ALL": "C", **self.env}, check=False)
        if check and completed.returncode != 0:
            error = _explain(completed)
            raise error
        return completed

    def output(self, *arguments: str) -> str:
        """Return what git prints, without its last line end."""
        return self.run(*arguments).stdout.strip()

    def resolve(self, revision: str) -> str | None:
        """Return the full commit id of `revision`, or None when this clone does not know it."""
        completed = self.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", check=False)
        return completed.stdout.strip() or None

    def commit_of(self, *candidates: str) -> str:
        """Return the commit of the first revision that exists.

        Raises
        ------
        NotFoundError
            If none does; in a shallow clone the history may just not be there.
        """
        for candidate in candidates:
            commit = self.resolve(candidate)
            if commit is not None:
                return commit
        shallow = self.output("rev-parse", "--is-shallow-repository") == "true"
        raise NotFoundError(
            f"no revision {' or '.join(candidates)} in this clone",
            where=str(self.root),
            why="the clone is shallow" if shallow else "the branch does not exist, or nothing was committed yet",
            fix="check out with `fetch-depth: 0`, or run `git fetch --unshallow`"
            if shallow
            else "commit first, or name the base with --base",
        )

    def base_commit(self, base: str) -> str:
        """Return the commit that pull requests are measured against: the remote's `base`, else the local one."""
        return self.commit_of(f"refs/remotes/origin/{base}", f"refs/heads/{base}", base)

    def fork_of(self, base: str) -> str:
        """Return the commit where HEAD left `base`; `base` itself when this clone does not reach back that far."""
        return self.run("merge-base", base, "HEAD", check=False).stdout.strip() or base

    def show(self, revision: str, path: str) -> str | None:
        """Return the text of `path` at `revision`, or None when it is not in that tree.

        A revision that is not there, or a file that cannot be read, raises :class:`titlebout.core.process.ProcessError`:
        it must not look as if there was no file.
        """
        if not self.output("ls-tree", "--name-only", revision, "--", path):
            return None
        return self.run("show", f"{revision}:{path}").stdout

    def private_folder(self) -> Path:
        """Return where we may keep notes of this clone: in the git folder, common to its worktrees, never committed."""
        common = Path(self.output("rev-parse", "--git-common-dir"))
        return (self.root / common).resolve() / "titlebout"

    def changed_paths(self) -> tuple[str, ...]:
        """Return the tracked files that differ from the last commit."""
        return tuple(self.output("diff", "--name-only", "-z", "HEAD").split("\0")[:-1])

    def require_identity(self) -> None:
        """Make sure that git knows who commits.

        Raises
        ------
        ConfigError
            If it does not.
        """
        if self.run("var", "GIT_AUTHOR_IDENT", check=False).returncode != 0:
            raise ConfigError(
                "git does not know who you are",
                where=str(self.root),
                fix='run `git config user.name "Your Name"` and `git config user.email you@example.org`',
            )

    @contextmanager
    def worktree(self, commit: str) -> Iterator["Git"]:
        """Check `commit` out in a temporary folder of its own, so that the user's files stay as they are."""
        folder = Path(tempfile.mkdtemp(prefix="titlebout-"))
        try:
            self.run("worktree", "add", "--quiet", "--detach", str(folder), commit)
            yield Git(folder.resolve(), self.env)
        finally:
            self.run("worktree", "remove", "--force", str(folder), check=False)
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, message: str, paths: Sequence[str]) -> str:
        """Commit the named paths, ignored or not, and nothing else, as titlebout's bot; return the commit id."""
        self.run("add", "--force", "--all", "--", *paths)
        identity = ["-c", f"user.name={BOT_NAME}", "-c", f"user.email={BOT_EMAIL}"]
        how = ["--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=verbatim", "--message", message]
        self.run(*identity, "commit", *how, "--", *paths)
        return self.output("rev-parse", "HEAD")

    def tree(self, commit: str) -> str:
        """Return the id of the tree of `commit`."""
        return self.output("rev-parse", f"{commit}^{{tree}}")

    def commits_between(self, base: str, tip: str) -> tuple[str, ...]:
        """Return the commits that `tip` has and `base` has not, newest first."""
        return tuple(self.output("rev-list", f"{base}..{tip}").splitlines())

    def message(self, commit: str) -> str:
        """Return the whole message of `commit`."""
        return self.output("show", "--no-patch", "--format=%B", commit)

    def commit_file(self, name: str, text: str, message: str, parent: str | None) -> str:
        """Return a commit, on no branch, that holds one file and nothing else; the work tree stays as it is."""
        with tempfile.TemporaryDirectory(prefix="titlebout-") as folder:
            source = Path(folder, "content")
            source.write_text(text, encoding="utf-8")
            beside = Git(self.root, {**self.env, "GIT_INDEX_FILE": str(Path(folder, "index"))})
            blob = beside.output("hash-object", "-w", "--no-filters", str(source))
            beside.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
            tree = beside.output("write-tree")
        identity = ["-c", f"user.name={BOT_NAME}", "-c", f"user.email={BOT_EMAIL}"]
        on_parent = ["-p", parent] if parent else []
        return self.output(*identity, "commit-tree", "--no-gpg-sign", "-m", message, *on_parent, tree)

    def set_branch(self, branch: str, commit: str, expected: str | None) -> None:
        """Move a local branch; see :meth:`set_ref`."""
        self.set_ref(f"refs/heads/{branch}", commit, expected)

    def set_ref(self, ref: str, commit: str, expected: str | None) -> None:
        """Move a local ref, unless somebody else moved it meanwhile.

        Raises
        ------
        ConflictError
            If the ref is not at `expected` any more.
        """
        if self.run("update-ref", ref, commit, expected or "", check=False).returncode != 0:
            raise ConflictError(f"{_told(ref)} was moved meanwhile", where=str(self.root), fix="run the command again")

    def push_branch(self, branch: str, commit: str, expected: str | None) -> None:
        """Push `commit` to `branch` of origin; see :meth:`push_ref`."""
        self.push_ref(f"refs/heads/{branch}", commit, expected)

    def push_ref(self, ref: str, commit: str, expected: str | None) -> None:
        """Push `commit` to a ref of origin, unless somebody else pushed there meanwhile.

        Raises
        ------
        ConflictError
            If origin's ref is not at `expected` any more.
        PermissionRefusedError, NotFoundError, TemporaryError, ProcessError
            If the push fails for another reason.
        """
        lease = f"--force-with-lease={ref}:{expected or ''}"
        completed = self.run("push", "--quiet", lease, "origin", f"{commit}:{ref}", check=False)
        if completed.returncode == 0:
            return
        if re.search(r"stale info|fetch first|cannot lock ref|reference already exists", completed.stderr):
            raise ConflictError(
                f"{_told(ref)} of origin was moved meanwhile", why=completed.tail(3), fix="run the command again"
            )
        error = _explain(completed)
        raise error

    def remote_branch(self, branch: str) -> str | None:
        """Return the commit of `branch` at origin and make it known here, or None when there is none."""
        return self.remote_ref(f"refs/heads/{branch}", f"refs/remotes/origin/{branch}")

    def remote_ref(self, ref: str, here: str) -> str | None:
        """Return what a ref of origin points at and make it known as `here`, or None when there is none."""
        listed = self.output("ls-remote", "origin", ref).split()
        if not listed:
            return None
        self.run("fetch", "--quiet", "origin", f"+{ref}:{here}")
        return listed[0]


def _told(ref: str) -> str:
    branch = ref.removeprefix("refs/heads/")
    return ref if branch == ref else f"branch {branch}"


def _explain(completed: process.Completed) -> TitleboutError:
    """Name the cause of a failed git command, where a server had a part in it; git's exit code is 128 for all of them."""
    causes: tuple[tuple[str, type[TitleboutError], str, str], ...] = (
        (
            r"Authentication failed|could not read Username|Permission denied|returned error: 40[13]",
            PermissionRefusedError,
            "the git server did not let us in",
            "check the token, and that it may write to this repository (`contents: write`)",
        ),
        (
            r"Could not resolve host|Failed to connect|Connection \w+|timed out|hung up|returned error: 5\d\d",
            TemporaryError,
            "the git server cannot be reached",
            "check the network, then run the command again",
        ),
        (
            r"not appear to be a git repository|[Rr]epository .*not found|returned error: 404",
            NotFoundError,
            "there is no repository at origin",
            "check the address with `git remote get-url origin`; for a private repository, also the token",
        ),
    )
    for pattern, kind, what, fix in causes:
        if re.search(pattern, completed.stderr):
            return kind(what, where=" ".join(completed.command[:3]), why=completed.tail(4), fix=fix)
    return process.ProcessError(completed)
