"""What DVC wrote down, read without DVC: content addresses in ``.dvc`` files, the remote's address, a folder's digest.

Starting DVC takes a second or two; its files are small YAML.
"""

import configparser
import json
import re
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

from titlebout.core.errors import ConfigError, ConflictError


@dataclass(frozen=True)
class Pointer:
    """What DVC knows of a folder: its content hash, total size in bytes and number of files."""

    md5: str
    size: int
    nfiles: int

    @property
    def short(self) -> str:
        """First 12 characters of the content hash, for people."""
        return self.md5[:12]


def pointer_of(text: str, where: str) -> Pointer:
    """Read the content address out of the text of a ``.dvc`` file.

    Raises
    ------
    ConflictError
        If it holds the markers of a merge conflict.
    ConfigError
        If it is no ``.dvc`` file of one folder.
    """
    try:
        (out,) = parse_yaml(text, where)["outs"]
        return Pointer(out["md5"], int(out.get("size", 0)), int(out.get("nfiles", 1)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError("not a pointer to one folder", where=where, fix="restore the file from git") from error


def model_in_lock(text: str, where: str) -> Pointer | None:
    """Read the trained model's content address out of the text of a ``dvc.lock``; None when nothing was trained.

    Raises
    ------
    ConflictError
        If it holds the markers of a merge conflict.
    ConfigError
        If it is not what DVC writes.
    """
    lock = parse_yaml(text, where)
    try:
        outs = lock["stages"].get("train", {}).get("outs", [])
        found = [out for out in outs if out["path"] == "model"]
        return Pointer(found[0]["md5"], found[0]["size"], found[0].get("nfiles", 1)) if found else None
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            "dvc.lock is not what DVC writes",
            where=where,
            why=f"{type(error).__name__}: {error}",
            fix="restore it from git, or delete it and run `titlebout train`",
        ) from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse a DVC file.

    Raises
    ------
    ConflictError
        If it holds the markers of a merge conflict.
    ConfigError
        If it is not YAML with named entries.
    """
    if re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE):
        raise ConflictError(
            "a merge conflict was not resolved",
            where=where,
            fix="keep one side; for dvc.lock, delete it and run `titlebout train`",
        )
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("a DVC file is not YAML", where=where, why=str(error), fix="restore it from git") from error
    if not isinstance(document, dict):
        raise ConfigError("a DVC file is empty or has no entries", where=where, fix="restore it from git")
    return document


def folder_digest(folder: Path) -> str:
    """Return the content hash that DVC gives a folder: MD5 over the sorted list of its files' MD5s, ``.dir`` at the end."""
    entries = [
        {
            "md5": md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
            "relpath": path.relative_to(folder).as_posix(),
        }
        for path in folder.rglob("*")
        if path.is_file()
    ]
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"


def remote_url(root: Path) -> str:
    """Return the address of the default DVC remote.

    Raises
    ------
    ConfigError
        If none is set.
    """
    config = configparser.ConfigParser(interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    name = config.get("core", "remote", fallback="")
    url = config.get(f"'remote \"{name}\"'", "url", fallback="")
    if not url:
        raise ConfigError("no default DVC remote is set", fix="run `dvc remote default in-tree`")
    return url
