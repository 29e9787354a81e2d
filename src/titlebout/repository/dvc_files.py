"""DVC's own files, read without DVC: outputs in ``.dvc`` and ``dvc.lock`` files, folder hashes.

Starting DVC takes one to two seconds, while its files are small YAML documents.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

from titlebout.core.errors import ConfigError, ConflictError

BYTECODE = "__pycache__"  # in .dvcignore


@dataclass(frozen=True)
class DvcOutput:
    """A folder tracked by DVC, identified by its content.

    Attributes
    ----------
    md5 : str
        Content hash of the folder, with the suffix ``.dir``.
    size : int
        Total size in bytes.
    nfiles : int
        Number of files.
    """

    md5: str
    size: int
    nfiles: int

    @property
    def short(self) -> str:
        """First 12 characters of the content hash, for messages and reports."""
        return self.md5[:12]

    def to_dvc_file(self, path: str) -> str:
        """Return the text of a ``.dvc`` file that tracks this content as the folder `path`."""
        out = {"md5": self.md5, "size": self.size, "nfiles": self.nfiles, "hash": "md5", "path": path}
        return yaml.safe_dump({"outs": [out]}, sort_keys=False)


def parse_dvc_file(text: str, where: str) -> DvcOutput:
    """Parse the text of a ``.dvc`` file that tracks one folder.

    Raises
    ------
    ConflictError
        If the text contains merge conflict markers.
    ConfigError
        If the text is not a ``.dvc`` file that tracks one folder.
    """
    try:
        (out,) = parse_yaml(text, where)["outs"]
        return DvcOutput(out["md5"], int(out.get("size", 0)), int(out.get("nfiles", 1)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "the file is not a .dvc file that tracks one folder", where=where, fix="restore the file from git"
        ) from error


def parse_trained_model(text: str, where: str) -> DvcOutput | None:
    """Parse the text of a ``dvc.lock`` and return the trained model, or None when nothing was trained.

    Raises
    ------
    ConflictError
        If the text contains merge conflict markers.
    ConfigError
        If the text is not a valid ``dvc.lock``.
    """
    lock = parse_yaml(text, where)
    try:
        outs = lock["stages"].get("train", {}).get("outs", [])
        models = [out for out in outs if out["path"] == "model"]
        return DvcOutput(models[0]["md5"], models[0]["size"], models[0].get("nfiles", 1)) if models else None
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            "dvc.lock is malformed",
            where=where,
            why=f"{type(error).__name__}: {error}",
            fix="restore it from git, or delete it and run `titlebout train`",
        ) from error


def changed_inputs(text: str, folder: Path, known: Mapping[Path, str]) -> tuple[str, ...]:
    """Return the dependencies and parameters of the stage ``train`` that differ from those of a ``dvc.lock``.

    Parameters
    ----------
    text : str
        Text of the ``dvc.lock``, valid and with a trained model.
    folder : Path
        Folder of the pipeline, which paths are relative to.
    known : mapping of Path to str
        Content hashes that are not computed.
    """
    stage = yaml.safe_load(text)["stages"]["train"]
    recorded = {(folder / one["path"]).resolve(): one for one in stage.get("deps", [])}
    changed = [one["path"] for path, one in recorded.items() if (known.get(path) or _digest(path)) != one.get("md5")]
    for name, values in stage.get("params", {}).items():
        present = yaml.safe_load((folder / name).read_text(encoding="utf-8")) if (folder / name).is_file() else {}
        changed += [f"{name}: {key}" for key, value in values.items() if present.get(key) != value]
    return tuple(changed)


def _digest(path: Path) -> str:
    """Return DVC's content hash of a file or folder; empty if it does not exist."""
    if path.is_dir():
        return folder_digest(path, leave_out=BYTECODE)
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse a DVC file.

    Raises
    ------
    ConflictError
        If the text contains merge conflict markers.
    ConfigError
        If the text is not a YAML mapping.
    """
    if re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE):
        raise ConflictError(
            "unresolved merge conflict",
            where=where,
            fix="keep one side; for dvc.lock, delete it and run `titlebout train`",
        )
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            "a DVC file is not valid YAML", where=where, why=str(error), fix="restore it from git"
        ) from error
    if not isinstance(document, dict):
        raise ConfigError("a DVC file is empty or has no entries", where=where, fix="restore it from git")
    return document


def folder_digest(folder: Path, leave_out: str = "") -> str:
    """Compute DVC's content hash of a folder: MD5 of the JSON list of its files' MD5 hashes, with the suffix ``.dir``.

    Parameters
    ----------
    folder : Path
    leave_out : str
        Name of folders within it that do not count; of data and models, every file does.
    """
    entries = [
        {
            "md5": md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
            "relpath": path.relative_to(folder).as_posix(),
        }
        for path in folder.rglob("*")
        if path.is_file() and leave_out not in path.relative_to(folder).parts
    ]
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
