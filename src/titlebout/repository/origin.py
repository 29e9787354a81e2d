"""Origin of a generated repository: version, commit and answers in ``.titlebout.toml``, and the library that it uses.

The library is source in ``vendor/titlebout``, whose hash is recorded, or one release in ``requirements-titlebout.lock``.
The hook of the template uses this module before anything is installed, so it imports only the standard library.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from titlebout import __version__
from titlebout.core.errors import ConfigError, DataError, NotFoundError, UnsafeError

ORIGIN_FILE = ".titlebout.toml"
VENDORED = "vendor/titlebout"
SUMS_FILE = "SHA256SUMS"
RELEASE_LOCK = "requirements-titlebout.lock"
UPGRADE_PAGE = "https://github.com/titlebout/titlebout/blob/main/docs/how-to/upgrade.md"

_HEADER = "# Written by titlebout: what this repository was generated from. `titlebout doctor` checks it.\n"
_RELEASE = re.compile(r"^(?:titlebout *(?:==|@) *)?(?P<source>[^\s\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAMED_FILES = 5


@dataclass(frozen=True)
class Origin:
    """What a repository was generated from.

    Attributes
    ----------
    version : str
        Version of titlebout.
    commit : str
        Commit of titlebout, with the suffix ``-dirty`` after uncommitted changes; empty if unknown.
    answers : mapping of str to str
        Answers to the questions of the template.
    vendor_sha256 : str
        SHA-256 digest of ``vendor/titlebout``, see :func:`sums`; empty if the library is a release.
    """

    version: str
    commit: str
    answers: Mapping[str, str]
    vendor_sha256: str = ""

    @classmethod
    def read(cls, path: Path) -> "Origin":
        """Read a ``.titlebout.toml``.

        Parameters
        ----------
        path : Path
            The file.

        Raises
        ------
        NotFoundError
            If it does not exist.
        DataError
            If it is malformed.
        """
        import tomllib

        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            version, commit = document["titlebout"]["version"], document["titlebout"].get("commit", "")
            return cls(version, commit, document["answers"], document.get("vendor", {}).get("sha256", ""))
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{path.name} does not exist",
                where=str(path),
                why="this is not a generated repository, or an early version of titlebout generated it",
                fix=f"upgrade the repository: {UPGRADE_PAGE}",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path.name} is malformed", where=str(path), why=str(error), fix="restore the file from git"
            ) from error

    def write(self, root: Path) -> None:
        """Write the ``.titlebout.toml`` of a repository."""
        tables = {
            "titlebout": {"version": self.version, **({"commit": self.commit} if self.commit else {})},
            "answers": self.answers,
            **({"vendor": {"sha256": self.vendor_sha256}} if self.vendor_sha256 else {}),
        }
        lines = [_HEADER, "schema_version = 1\n"]
        for name, table in tables.items():
            lines += [f"\n[{name}]\n", *(f"{key} = {_quoted(value)}\n" for key, value in table.items())]
        # Bytes: on Windows, text would have other line endings.
        (root / ORIGIN_FILE).write_bytes("".join(lines).encode())


def record(root: Path, commit: str, answers: Mapping[str, str]) -> None:
    """Write the ``.titlebout.toml`` of a new repository.

    Parameters
    ----------
    root : Path
        Top folder of the repository.
    commit : str
        Commit of titlebout; empty if unknown.
    answers : mapping of str to str
        Answers to the questions of the template.
    """
    Origin(__version__, commit, answers).write(root)
    if (root / VENDORED).is_dir():
        record_vendored(root)


def record_vendored(root: Path) -> None:
    """Record the files of ``vendor/titlebout`` as they are: each in ``SHA256SUMS``, all in ``.titlebout.toml``.

    Parameters
    ----------
    root : Path
        Top folder of the repository.

    Raises
    ------
    NotFoundError
        If there is no vendored library or no ``.titlebout.toml``.
    DataError
        If ``.titlebout.toml`` is malformed.
    """
    if not (root / VENDORED).is_dir():
        raise NotFoundError(f"{VENDORED} does not exist", where=str(root), fix="run it in a repository that has it")
    origin, listing = Origin.read(root / ORIGIN_FILE), sums(root / VENDORED)
    (root / VENDORED / SUMS_FILE).write_bytes(listing.encode())
    replace(origin, vendor_sha256=_sha256(listing.encode())).write(root)


def sums(folder: Path) -> str:
    """Return the SHA-256 digest of every file of a folder, in the form of the program ``sha256sum``, sorted by path.

    Bytecode is left out, as is the list itself. The digest of this text is the digest of the folder.

    Parameters
    ----------
    folder : Path
        Folder of the vendored library.
    """
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    counted = sorted(name for name in names if "__pycache__" not in name.split("/") and name != SUMS_FILE)
    return "".join(f"{_sha256(names[name].read_bytes())}  {name}\n" for name in counted)


def is_pinned(root: Path) -> bool:
    """Return whether the library is vendored, or a release pinned by a hash, as ``make lock`` does it."""
    lock = root / RELEASE_LOCK
    return not lock.is_file() or _HASH.search(lock.read_text(encoding="utf-8")) is not None


def check_library(root: Path, installed: str) -> str:
    """Check that the library is the one that was recorded, and return a description of it.

    Parameters
    ----------
    root : Path
        Top folder of the repository.
    installed : str
        Version of titlebout that is installed.

    Raises
    ------
    UnsafeError
        If ``vendor/`` was changed.
    ConfigError
        If the release is not pinned by a hash, or another version is installed.
    NotFoundError
        If ``.titlebout.toml`` or the file of the release does not exist.
    DataError
        If ``.titlebout.toml`` is malformed.
    """
    if (root / RELEASE_LOCK).is_file():
        return _check_release(root, installed)
    if (root / VENDORED).is_dir():
        return _check_vendored(root)
    return f"titlebout {installed}, not part of this repository"


def _check_vendored(root: Path) -> str:
    """Check the files of the vendored library.

    Raises
    ------
    UnsafeError
        If they are not the recorded ones.
    """
    origin, found = Origin.read(root / ORIGIN_FILE), sums(root / VENDORED)
    if _sha256(found.encode()) == origin.vendor_sha256:
        return f"{VENDORED}, titlebout {origin.version}, SHA-256 {origin.vendor_sha256[:12]}"
    path = root / VENDORED / SUMS_FILE
    expected = path.read_text(encoding="utf-8") if path.is_file() else ""
    is_recorded = _sha256(expected.encode()) == origin.vendor_sha256
    changed = sorted({line[66:] for line in {*found.splitlines()} ^ {*expected.splitlines()}})
    raise UnsafeError(
        f"{VENDORED} was changed: {_listed(changed if is_recorded else [SUMS_FILE])}",
        where=str(root / VENDORED),
        why=f"its files are not those recorded in {ORIGIN_FILE}",
        fix=f"restore it with `rm -r {VENDORED} && git checkout $(git log -1 --format=%h -- {ORIGIN_FILE}) -- {VENDORED}`; to "
        "keep the change, run `titlebout doctor --accept-vendor`",
    )


def _check_release(root: Path, installed: str) -> str:
    """Check the pin of the release, its file if the repository has it, and the installed version.

    Raises
    ------
    ConfigError
        If it is not pinned by a hash, or another version is installed.
    """
    text = (root / RELEASE_LOCK).read_text(encoding="utf-8")
    source, digests = _RELEASE.search(text), _HASH.findall(text)
    if source is None or not digests:
        raise ConfigError(f"{RELEASE_LOCK} does not pin titlebout by a hash", fix="run `make lock setup`")
    release = source["source"]
    if release.startswith("./"):
        _check_file(root / release, digests)
    version = re.search(r"(?:titlebout-)?([^/-]+)(?:-py3-none-any\.whl)?$", release)
    if version is None or version[1] != installed:
        raise ConfigError(
            f"titlebout {installed} is installed, and {RELEASE_LOCK} has {release}", fix="run `make setup`"
        )
    place = "a package index" if release == installed else release
    return f"titlebout {installed} from {place}, SHA-256 {digests[0][:12]}"


def _check_file(path: Path, digests: list[str]) -> None:
    """Check the file of a release.

    Raises
    ------
    NotFoundError
        If it does not exist.
    UnsafeError
        If its digest is not one of the pinned ones.
    """
    if not path.is_file():
        raise NotFoundError(f"{path.name} does not exist", where=str(path), fix="restore the file from git")
    if _sha256(path.read_bytes()) not in digests:
        raise UnsafeError(
            f"{path.name} is not the file whose hash {RELEASE_LOCK} has",
            where=str(path),
            fix="restore both from git, or run `make lock` if you replaced the release",
        )


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED_FILES
    return ", ".join(names[:_NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _quoted(text: str) -> str:
    """Return a TOML string; a JSON string is one, as long as it does not escape characters in pairs."""
    return json.dumps(text, ensure_ascii=False)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
