"""DVC: the only module that runs it. Data and models are addressed by content; ``dvc.lock`` is the memo of what was trained.

Commands that change something are run as `dvc` in the pipeline's folder (``dvc repro --pull`` resolves dependencies
against the current folder); pointers are small YAML files that we read ourselves, 20 times faster than starting DVC.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from titlebout.core import process
from titlebout.core.errors import (
    ConfigError,
    DiskError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    error_class,
)
from titlebout.repository.dvc_files import Pointer, folder_digest, model_in_lock, pointer_of, remote_url
from titlebout.repository.project import Project

logger = logging.getLogger(__name__)

LOCK_TRIES = 5
LOCK_WAIT_SECONDS = 2.0
STAGE_ERROR_FILE = "build/stage-error.json"

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Reproduction:
    """What one run of the pipeline did.

    Attributes
    ----------
    ran, skipped : tuple of str
        Stages that were executed, and stages whose dependencies had not changed.
    """

    ran: tuple[str, ...]
    skipped: tuple[str, ...]


class Dvc:
    """DVC in one pipeline of one repository."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def reproduce(self, on_line: OnLine | None = None) -> Reproduction:
        """Run the stages whose dependencies changed, downloading only what these need.

        Raises
        ------
        ConfigError
            If ``data/`` is not what ``data.dvc`` says: DVC would train on whatever part is there.
        ConflictError
            If ``dvc.lock`` holds the markers of a merge conflict.
        TitleboutError
            If a stage fails: the error of the stage, of its own class.
        """
        self.require_whole_data()
        self.challenger_pointer()  # DVC has no exit code of its own for a lock file that it cannot read
        error_file = self.project.root / STAGE_ERROR_FILE
        error_file.unlink(missing_ok=True)
        completed = self._run("repro", "--pull", "--allow-missing", on_line=on_line, check=False)
        lines = completed.stdout.splitlines()
        if completed.returncode != 0:
            raise _stage_failure(error_file, completed) or _explain(completed)
        skipped = tuple(dict.fromkeys(re.findall(r"^Stage '([\w-]+)' didn't change", completed.stdout, re.MULTILINE)))
        ran = tuple(match[1] for line in lines if (match := re.match(r"Running stage '([\w-]+)'", line)))
        return Reproduction(ran, skipped)

    def require_whole_data(self) -> None:
        """Refuse a data folder that differs from ``data.dvc``.

        Raises
        ------
        ConfigError
            If it does.
        """
        recorded = self.data_pointer()
        if not self.project.data_dir.is_dir() or folder_digest(self.project.data_dir) == recorded.md5:
            return
        raise ConfigError(
            "data/ is not what data.dvc says",
            where=str(self.project.data_dir),
            why="files were added, changed or removed since `dvc add data`, or only a part was pulled",
            fix="record the change with `dvc add data`, or restore the data with `dvc checkout data.dvc --force`",
        )

    def pull_data(self) -> None:
        """Make ``data/`` complete; files that were never recorded are not overwritten, but refused.

        Raises
        ------
        ConfigError
            If ``data/`` holds such files.
        NotFoundError
            If the data is not at the remote.
        """
        if not self._has(self.project.data_dir, self.data_pointer()):
            self._run("pull", str(self.project.root / "data.dvc"))

    def pull_challenger(self) -> Pointer:
        """Make the model that ``dvc.lock`` names complete and return its pointer.

        Raises
        ------
        NotFoundError
            If no model was ever trained.
        """
        pointer = self.challenger_pointer()
        if pointer is None:
            raise NotFoundError(
                f"no model was trained in pipeline {self.project.pipeline}",
                where=str(self.project.pipeline_dir / "dvc.lock"),
                fix="run `titlebout train`",
            )
        if not self._has(self.project.model_dir, pointer):
            self._run("pull", "--force", "model")
        return pointer

    def pull_model(self, which: str) -> Path:
        """Make the folder of the champion or the challenger of the work tree complete and return it.

        Raises
        ------
        NotFoundError
            If nobody holds the title, or no model was trained.
        """
        if which == "challenger":
            self.pull_challenger()
            return self.project.model_dir
        path = self.project.pipeline_dir / "champion.dvc"
        if not path.is_file():
            raise NotFoundError(
                "nobody holds the title yet", where=str(path), fix="run `titlebout evaluate && titlebout promote`"
            )
        folder = self.project.pipeline_dir / "champion"
        if not self._has(folder, pointer_of(path.read_text(encoding="utf-8"), str(path))):
            self._run("pull", "--force", path.name)
        return folder

    def pull_champion(self, revision: str, target: Path) -> None:
        """Copy the champion of a git revision to `target`.

        Raises
        ------
        NotFoundError
            If its objects are neither in the cache nor at the remote.
        PermissionRefusedError, TemporaryError, DiskError
            If something else keeps them from being fetched.
        """
        # In a process of its own, as all of DVC: its database connections belong to threads that nobody can ask to close them.
        source = (self.project.pipeline_dir / "champion").relative_to(self.project.root).as_posix()
        get = ("get", str(self.project.root), source, "--rev", revision, "--out", str(target))
        completed = self._run(*get, check=False)
        if completed.returncode == 0:
            return
        cause = _explain(completed)
        if isinstance(cause, PermissionRefusedError | TemporaryError | DiskError):
            raise cause
        raise NotFoundError(
            "the champion's model cannot be fetched",
            where=f"{source}.dvc at {revision[:12]}",
            why=completed.tail(6),
            fix="bring the branch up to date if its dvc-remote/ is older than that commit; else run `dvc push` on a "
            "machine that has the model, or check the remote with `titlebout doctor`",
        )

    def add_data(self) -> Pointer:
        """Record the content of ``data/`` in ``data.dvc``."""
        self._run("add", "--quiet", "data", cwd=self.project.root)
        return self.data_pointer()

    def push(self) -> None:
        """Copy the objects of all tracked files to the remote.

        Raises
        ------
        NotFoundError
            If an object to push is not in the cache; DVC itself only warns.
        """
        completed = self._run("push", cwd=self.project.root)
        missing = [
            line for line in completed.stderr.splitlines() if "do not exist neither locally nor on remote" in line
        ]
        if missing:
            raise NotFoundError(
                "some objects cannot be pushed because they are not here",
                why=completed.tail(5),
                fix="run `dvc pull` first, or `dvc push` on a machine that has them",
            )

    def push_in_tree(self) -> None:
        """Push when the remote is a folder of this repository: what a commit names has to travel with the commit.

        A remote elsewhere is left to `titlebout promote`, `titlebout retrain` and ``dvc push``: training asks for no
        credentials.
        """
        url, root = remote_url(self.project.root), self.project.root.resolve()
        if "://" not in url and (root / ".dvc" / url).resolve().is_relative_to(root):
            self.push()

    def data_pointer(self) -> Pointer:
        """Return what ``data.dvc`` says.

        Raises
        ------
        NotFoundError
            If there is no ``data.dvc``.
        """
        path = self.project.root / "data.dvc"
        if not path.is_file():
            raise NotFoundError(
                "no data is tracked",
                where=str(path),
                fix="put your files into data/ and run `dvc add data`, or `titlebout adopt`",
            )
        return pointer_of(path.read_text(encoding="utf-8"), str(path))

    def challenger_pointer(self) -> Pointer | None:
        """Return the model that ``dvc.lock`` names, or None when nothing was trained.

        Raises
        ------
        ConflictError
            If the file holds the markers of a merge conflict.
        ConfigError
            If it is not what DVC writes.
        """
        path = self.project.pipeline_dir / "dvc.lock"
        if not path.is_file():
            return None
        return model_in_lock(path.read_text(encoding="utf-8"), str(path))

    def _has(self, folder: Path, pointer: Pointer) -> bool:
        return folder.is_dir() and folder_digest(folder) == pointer.md5

    def _run(
        self, *arguments: str, cwd: Path | None = None, check: bool = True, on_line: OnLine | None = None
    ) -> process.Completed:
        # DVC gives up on a busy lock after three seconds; two commands at once are ordinary here.
        environment = {"DVC_NO_ANALYTICS": "1", "DVC_NO_UPDATE": "1"}
        for attempt in range(LOCK_TRIES):
            completed = process.run(
                ["dvc", *arguments],
                cwd=cwd or self.project.pipeline_dir,
                env=environment,
                check=False,
                on_line=on_line,
                on_output=_stages_only(on_line),
            )
            if "Unable to acquire lock" not in completed.stderr:
                break
            logger.info("another DVC command is running; waiting (%d of %d)", attempt + 1, LOCK_TRIES)
            time.sleep(LOCK_WAIT_SECONDS)
        if check and completed.returncode != 0:
            raise _explain(completed)
        return completed


def _stages_only(on_line: OnLine | None) -> OnLine | None:
    """Pass on which stage runs or has nothing to do, without DVC's advice for people who work with it by hand."""

    def say(line: str) -> None:
        if on_line is not None and line.startswith(("Running stage", "Stage '")):
            on_line(line)

    return say


def _stage_failure(error_file: Path, completed: process.Completed) -> TitleboutError | None:
    """Return the error of the failing stage, or how it ended; DVC replaces every exit code by its own."""
    if not error_file.is_file():
        crashed = re.search(r"failed to reproduce '([\w-]+)': failed to run: .*, exited with (-?\d+)", completed.stderr)
        return _crash(crashed[1], int(crashed[2]), completed) if crashed else None
    return TitleboutError.from_dict(json.loads(error_file.read_text(encoding="utf-8")))


def _crash(stage: str, code: int, completed: process.Completed) -> TitleboutError:
    # DVC runs a stage through the shell, and a shell that does not step aside tells a signal as 128 + its number.
    signal = -code if code < 0 else code - 128
    told = f"was ended by signal {signal}" if signal > 0 else f"ended with exit code {code}"
    fix = "read its last lines above; run `titlebout train` again when the cause is gone"
    return error_class(code)(f"stage {stage} {told}", why=completed.tail(8), fix=fix)


def _explain(completed: process.Completed) -> TitleboutError:
    """Name the cause of a failed DVC command; DVC's exit codes do not tell them apart."""
    # Without paths and addresses: a folder may be called 403.
    text = re.sub(r"\S*/\S*", " ", completed.stderr + completed.stdout)
    causes: tuple[tuple[str, type[TitleboutError], str, str], ...] = (
        (
            r"without confirmation",
            ConfigError,
            "a tracked folder holds files that were never recorded",
            "record them with `dvc add data`, or give them up with `dvc checkout data.dvc --force`",
        ),
        (
            r"credentials|Permission denied|Forbidden|\b40[13]\b",
            PermissionRefusedError,
            "the DVC remote did not let us in",
            "check the credentials of the remote; `titlebout doctor` says which remote",
        ),
        (
            r"No space left|quota exceeded|Read-only file system",
            DiskError,
            "DVC cannot write",
            "free some space or check the permissions",
        ),
        (
            r"Unable to acquire lock|is busy",
            TemporaryError,
            "another DVC command is running here",
            "wait for it to end, then run the command again",
        ),
        (
            r"[Cc]onnect|timed out|Temporary failure|\b50[0-9]\b",
            TemporaryError,
            "the DVC remote cannot be reached",
            "check the network, then run the command again",
        ),
        (
            r"not in cache|missing|Checkout failed|No such file|failed to pull",
            NotFoundError,
            "data or a model is missing from the DVC remote",
            "run `dvc push` on a machine that has it, or check the remote with `titlebout doctor`",
        ),
    )
    for pattern, kind, what, fix in causes:
        if re.search(pattern, text):
            return kind(what, where=" ".join(completed.command), why=completed.tail(6), fix=fix)
    return process.ProcessError(completed)
