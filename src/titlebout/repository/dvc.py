"""DVC commands in one pipeline: reproduce, pull, push and add. The only module that runs DVC.

DVC is run as a program in the pipeline's folder, because ``dvc repro --pull`` resolves dependencies against the current
folder. Its YAML files are read without it (:mod:`titlebout.repository.dvc_files`), 20 times faster than starting DVC.
"""

import json
import logging
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from titlebout.core import process
from titlebout.core.errors import (
    Cause,
    ConfigError,
    ConflictError,
    DiskError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    error_class,
    first_cause,
)
from titlebout.core.process import Progress
from titlebout.repository.dvc_config import cache_folder, default_remote, in_tree_remotes, share_storage
from titlebout.repository.dvc_files import DvcOutput, changed_inputs, folder_digest, parse_dvc_file, parse_trained_model
from titlebout.repository.git import Git
from titlebout.repository.project import Project

logger = logging.getLogger(__name__)

LOCK_TRIES = 5
LOCK_WAIT_SECONDS = 2.0
DATA_DEPENDENCY = "../../data"  # of every stage, in dvc.yaml
STAGE_ERROR_FILE = "build/stage-error.json"

# DVC's exit codes do not distinguish causes, so its messages are matched.
_CAUSES = (
    Cause(
        r"requires these missing dependencies|is supported, but requires",
        ConfigError,
        "DVC's support for this remote is not installed",
        'name it in the group `storage` of pyproject.toml, for example "dvc[s3]", and run `make lock setup`',
    ),
    Cause(
        r"without confirmation",
        ConfigError,
        "a tracked folder contains untracked files",
        "add them with `dvc add data`, or discard them with `dvc checkout data.dvc --force`",
    ),
    Cause(
        r"credentials|Permission denied|Forbidden|\b40[13]\b",
        PermissionRefusedError,
        "access denied by the DVC remote",
        "check the credentials of the remote; `titlebout doctor` shows its address",
    ),
    Cause(
        r"No space left|quota exceeded|Read-only file system",
        DiskError,
        "DVC cannot write",
        "free some disk space, or check the permissions",
    ),
    Cause(
        r"Unable to acquire lock|is busy",
        TemporaryError,
        "another DVC command is running in this repository",
        "wait until it finishes, then run the command again",
    ),
    Cause(
        r"[Cc]onnect|timed out|Temporary failure|\b50[0-9]\b",
        TemporaryError,
        "the DVC remote cannot be reached",
        "check the network, then run the command again",
    ),
    Cause(
        r"not in cache|missing|Checkout failed|No such file|failed to pull",
        NotFoundError,
        "data or a model is missing from the DVC remote",
        "run `dvc push` on a machine that has it, or check the remote with `titlebout doctor`",
    ),
)


@dataclass(frozen=True)
class Reproduction:
    """Stages of one pipeline run.

    Attributes
    ----------
    ran, skipped : tuple of str
        Stages with new outputs, and stages whose dependencies had not changed. New outputs are those of an execution, or
        are restored from DVC's run cache: the outputs of an earlier execution with the same inputs.
    """

    ran: tuple[str, ...]
    skipped: tuple[str, ...]


class Dvc:
    """DVC in one pipeline of one repository."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def reproduce(self, on_line: Progress | None = None, *, force: bool = False) -> Reproduction:
        """Run the stages whose dependencies changed, or all of them by force, and download only their inputs.

        Raises
        ------
        ConfigError
            If ``data/`` differs from ``data.dvc``: DVC would train on the files that are present; or if this is not a git
            repository.
        PermissionRefusedError
            If another user owns the git repository.
        ConflictError
            If ``dvc.lock`` contains merge conflict markers.
        TitleboutError
            If a stage fails: the error of the stage, with its own class.
        """
        self.require_unchanged_data()
        self.challenger_output()  # parsed first, because DVC has no exit code for a malformed lock file
        Git.find(self.project.root)  # raises before any stage runs
        error_file = self.project.root / STAGE_ERROR_FILE
        error_file.unlink(missing_ok=True)
        if force:
            self.pull_data()  # by force, DVC would record the data again, and fails where they are not here
        completed = self._run(
            "repro",
            "--pull",
            "--allow-missing",
            *(["--force"] if force else []),
            on_line=process.without_errors(on_line),
            check=False,
        )
        if completed.returncode != 0:
            raise _stage_failure(error_file, completed) or _explain(completed)
        skipped = tuple(dict.fromkeys(re.findall(r"^Stage '([\w-]+)' didn't change", completed.stdout, re.MULTILINE)))
        ran = re.findall(r"^(?:Running stage|Stage) '([\w-]+)'(?::| is cached)", completed.stdout, re.MULTILINE)
        return Reproduction(tuple(ran), skipped)

    def require_unchanged_data(self) -> None:
        """Check that the data folder matches ``data.dvc``.

        Raises
        ------
        ConfigError
            If it differs.
        """
        recorded = self.data_output()
        if not self.project.data_dir.is_dir() or folder_digest(self.project.data_dir) == recorded.md5:
            return
        raise ConfigError(
            "data/ differs from data.dvc",
            where=str(self.project.data_dir),
            why="files were added, changed or removed after `dvc add data`, or the last pull was incomplete",
            fix="record the change with `dvc add data`, or restore the data with `dvc checkout data.dvc --force`",
        )

    def require_current_challenger(self) -> None:
        """Check that the trained model belongs to the present code, parameters and data.

        Raises
        ------
        ConflictError
            If one of them was changed after the training.
        """
        text = (self.project.pipeline_dir / "dvc.lock").read_text(encoding="utf-8")
        data = {self.project.data_dir.resolve(): self.data_output().md5}
        changed = changed_inputs(text, self.project.pipeline_dir, data)
        if not changed or not (DATA_DEPENDENCY in changed or self._is_stale("train")):
            return
        raise ConflictError(
            "the model is older than the code, the parameters or the data",
            where=str(self.project.pipeline_dir / "dvc.lock"),
            why=f"changed since the training: {', '.join(changed)}",
            fix="run `titlebout train`, then this command again",
        )

    def _is_stale(self, stage: str) -> bool:
        """Return what DVC says, which is slow to start, but knows what the repository's .dvcignore leaves out."""
        return bool(json.loads(self._run("status", "--json", stage).stdout).get(stage))

    def pull_data(self) -> None:
        """Download missing files of ``data/``; untracked files are never overwritten.

        Raises
        ------
        ConfigError
            If ``data/`` contains untracked files that DVC would have to remove.
        NotFoundError
            If the data is not in the remote.
        """
        if not self._matches(self.project.data_dir, self.data_output()):
            self._run("pull", str(self.project.root / "data.dvc"))

    def pull_challenger(self) -> DvcOutput:
        """Download the model recorded in ``dvc.lock`` if it is incomplete, and return its content address.

        Raises
        ------
        NotFoundError
            If no model was trained.
        """
        output = self.challenger_output()
        if output is None:
            raise NotFoundError(
                f"no model has been trained yet in pipeline {self.project.pipeline}",
                where=str(self.project.pipeline_dir / "dvc.lock"),
                fix="run `titlebout train`",
            )
        if not self._matches(self.project.model_dir, output):
            self._run("pull", "--force", "model")
        return output

    def pull_model(self, role: str) -> Path:
        """Download the champion or the challenger of the work tree if it is incomplete, and return its folder.

        Parameters
        ----------
        role : str
            ``champion`` or ``challenger``.

        Raises
        ------
        NotFoundError
            If the model does not exist.
        """
        if role == "challenger":
            self.pull_challenger()
            return self.project.model_dir
        path = self.project.pipeline_dir / "champion.dvc"
        if not path.is_file():
            raise NotFoundError(
                "there is no champion yet", where=str(path), fix="run `titlebout evaluate && titlebout promote`"
            )
        folder = self.project.pipeline_dir / "champion"
        if not self._matches(folder, parse_dvc_file(path.read_text(encoding="utf-8"), str(path))):
            self._run("pull", "--force", path.name)
        return folder

    def pull_champion(self, revision: str, target: Path) -> None:
        """Copy the champion of a git revision to `target`.

        Raises
        ------
        NotFoundError
            If its objects are neither in the cache nor in the remote.
        PermissionRefusedError, TemporaryError, DiskError
            If the download fails for another reason.
        """
        path = self.project.pipeline_dir / "champion.dvc"
        git = Git.find(self.project.root)
        where = f"{path.relative_to(self.project.root).as_posix()} at {revision[:12]}"
        output = parse_dvc_file(git.show(revision, git.path_of(path)) or "", where)
        with tempfile.TemporaryDirectory(prefix="titlebout-") as folder:
            share_storage(self.project.root, Path(folder), no_scm=True)
            Path(folder, path.name).write_text(output.to_dvc_file(target.name), encoding="utf-8")
            completed = self._run("pull", cwd=Path(folder), check=False)
            if completed.returncode == 0:
                shutil.move(Path(folder, target.name), target)
                return
        cause = _explain(completed)
        if isinstance(cause, PermissionRefusedError | TemporaryError | DiskError):
            raise cause
        raise NotFoundError(
            "the champion's model cannot be fetched",
            where=where,
            why=completed.tail(6),
            fix="merge the base branch, which updates dvc-remote/; if that does not help, run `dvc push` on a machine that has "
            "the model",
        )

    def add_data(self) -> DvcOutput:
        """Run ``dvc add data`` and return the new content address."""
        self._run("add", "--quiet", "data", cwd=self.project.root)
        return self.data_output()

    def push(self) -> None:
        """Upload the objects of all tracked files to the remote.

        Raises
        ------
        NotFoundError
            If an object is not in the cache; DVC itself only warns.
        """
        completed = self._run("push", cwd=self.project.root)
        missing = [
            line for line in completed.stderr.splitlines() if "do not exist neither locally nor on remote" in line
        ]
        if missing:
            raise NotFoundError(
                "some objects cannot be pushed because they are not in the local cache",
                why=completed.tail(5),
                fix="run `dvc pull` first, or `dvc push` on a machine that has them",
            )

    def missing_file(self, output: DvcOutput) -> str:
        """Return a file of a tracked folder whose object is neither in the cache nor in the default remote; empty if none is.

        A remote that is not a folder is not asked: it is taken to have everything.
        """
        url = default_remote(self.project.root)
        stores = [Path(url), cache_folder(self.project.root)]
        if "://" in url:
            return ""
        listing = _find_object(stores, output.md5)
        entries = json.loads(listing.read_text(encoding="utf-8")) if listing else []
        missing = [str(entry["relpath"]) for entry in entries if _find_object(stores, entry["md5"]) is None]
        return next(iter(missing), "") if listing else output.short

    def require_outputs(self) -> None:
        """Check that data and model exist: in the work tree, the cache or the remote.

        Raises
        ------
        NotFoundError
            If one of them does not.
        """
        outputs = {self.project.data_dir: self.data_output(), self.project.model_dir: self.challenger_output()}
        for folder, output in outputs.items():
            if output is None or self._matches(folder, output) or not (missing := self.missing_file(output)):
                continue
            again = (
                "" if folder == self.project.data_dir else "; or train the model again with `titlebout train --force`"
            )
            raise NotFoundError(
                f"nothing changed, but {missing} of {folder.name}/ exists nowhere",
                where=str(folder),
                why="its object is neither in DVC's cache nor in the remote",
                fix=f"run `git checkout HEAD -- dvc-remote`, or `dvc push` on a machine that has it{again}",
            )

    @property
    def remote_in_tree(self) -> bool:
        """True if the default remote is a folder of this repository.

        Then `titlebout train` pushes, so that a commit contains the objects that it refers to. An external remote is
        pushed by `titlebout promote`, `titlebout retrain` and ``dvc push``, because training needs no credentials.
        """
        root = self.project.root
        return Path(default_remote(root)).resolve() in in_tree_remotes(root, Git.find(root).root)

    def data_output(self) -> DvcOutput:
        """Return the content address recorded in ``data.dvc``.

        Raises
        ------
        NotFoundError
            If ``data.dvc`` does not exist.
        """
        path = self.project.root / "data.dvc"
        if not path.is_file():
            raise NotFoundError(
                "no data is tracked by DVC",
                where=str(path),
                fix="copy your files into data/ and run `dvc add data`, or run `titlebout adopt --data FILE --target COLUMN`",
            )
        return parse_dvc_file(path.read_text(encoding="utf-8"), str(path))

    def challenger_output(self) -> DvcOutput | None:
        """Return the model recorded in ``dvc.lock``, or None when nothing was trained.

        Raises
        ------
        ConflictError
            If the file contains merge conflict markers.
        ConfigError
            If the file is malformed.
        """
        path = self.project.pipeline_dir / "dvc.lock"
        if not path.is_file():
            return None
        return parse_trained_model(path.read_text(encoding="utf-8"), str(path))

    def _matches(self, folder: Path, output: DvcOutput) -> bool:
        return folder.is_dir() and folder_digest(folder) == output.md5

    def _run(
        self, *arguments: str, cwd: Path | None = None, check: bool = True, on_line: Progress | None = None
    ) -> process.Completed:
        # DVC gives up on a busy lock after three seconds, but concurrent commands are normal here.
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


def _find_object(stores: list[Path], md5: str) -> Path | None:
    paths = (store / "files" / "md5" / md5[:2] / md5[2:] for store in stores)
    return next((path for path in paths if path.is_file()), None)


def _stages_only(on_line: Progress | None) -> Progress | None:
    """Return a callback that passes on only the stage names, without DVC's hints for interactive use."""

    def report(line: str) -> None:
        if on_line is not None and line.startswith(("Running stage", "Stage '")):
            on_line(line)

    return report


def _stage_failure(error_file: Path, completed: process.Completed) -> TitleboutError | None:
    """Return the error of the failing stage, or of its crash; DVC replaces the exit code of a stage by its own."""
    if not error_file.is_file():
        crashed = re.search(r"failed to reproduce '([\w-]+)': failed to run: .*, exited with (-?\d+)", completed.stderr)
        return _crash(crashed[1], int(crashed[2]), completed) if crashed else None
    return TitleboutError.from_dict(json.loads(error_file.read_text(encoding="utf-8")))


def _crash(stage: str, code: int, completed: process.Completed) -> TitleboutError:
    # DVC runs a stage in a shell. A shell that does not exec the command reports a signal as 128 + its number.
    signal = -code if code < 0 else code - 128
    ending = f"was ended by signal {signal}" if signal > 0 else f"ended with exit code {code}"
    fix = "fix the cause shown in the output above, then run `titlebout train` again"
    return error_class(code)(f"stage {stage} {ending}", why=completed.tail(8), fix=fix)


def _explain(completed: process.Completed) -> TitleboutError:
    """Return the error for a failed DVC command, of the class of its cause if the cause is known."""
    # Paths and URLs are removed first: a folder may be named "403".
    text = re.sub(r"\S*/\S*", " ", completed.stderr + completed.stdout)
    cause = first_cause(text, _CAUSES)
    if cause is None:
        return process.ProcessError(completed)
    return cause.error(cause.what, where=" ".join(completed.command), why=completed.tail(6), fix=cause.fix)
