"""Files in a bucket or on a server, fetched by fsspec into a folder of this machine: bounded, and never outside it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from titlebout.core.errors import (
    ConfigError,
    DataError,
    NotFoundError,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
    UnsafeError,
)
from titlebout.settings.addresses import Address

_WILD = r"[*?\[]"
BLOCK = 2**20  # bytes read at a time
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "adl": "adlfs"}


def is_bucket(url: str) -> bool:
    """Return whether fsspec knows the kind of URL."""
    import fsspec

    protocol, separator, _ = url.partition("://")
    return bool(separator) and protocol in fsspec.available_protocols()


def fetch(address: Address, folder: Path, suffixes: Sequence[str], max_bytes: int) -> int:
    """Fetch the files below a URL, or those of a glob, and keep their places among each other.

    Parameters
    ----------
    address : Address
    folder : Path
    suffixes : sequence of str
        Endings of the files to fetch.
    max_bytes : int
        Of all files together.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    NotFoundError
        If the bucket, or the one file that the URL names, is not there.
    PermissionRefusedError
        If the server does not let us read.
    TemporaryError
        If it cannot be asked.
    ConfigError
        If the package for this kind of URL is not installed.
    DataError
        If there is more than `max_bytes`.
    UnsafeError
        If a file's name leads out of the folder.
    """
    require_package(address)
    with _faults_told(address):
        system, path = _open(address)
        names, base = _find(system, path)
        wanted = [name for name in sorted(names) if PurePosixPath(_without_query(name)).suffix.lower() in suffixes]
        left = max_bytes
        for name in wanted:
            left = _copy(system, name, _place(folder, _without_query(name).removeprefix(base), address), left)
    if left < 0:
        fix = "name fewer files, or raise sources.max_mb in titlebout.toml"
        raise DataError(f"there is more than {max_bytes / 1e6:.0f} MB", where=address.written, fix=fix)
    return len(wanted)


def require_package(address: Address) -> None:
    """Import what reads this kind of URL, and ask nobody.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    import fsspec

    protocol = address.url.partition("://")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        package = _PACKAGES.get(protocol, "the package that it names")
        raise ConfigError(
            f"{protocol}:// needs a package that is not installed",
            where=address.written,
            why=str(error),
            fix=f"add {package} to the dependencies in pyproject.toml, then run `make lock setup`",
        ) from error


def _open(address: Address) -> tuple[Any, str]:
    """Return the filesystem, with nothing remembered from an earlier look, and the path on it."""
    import fsspec

    system, path = fsspec.url_to_fs(address.url, skip_instance_cache=True)
    return system, path


def _find(system: Any, path: str) -> tuple[list[str], str]:
    """Return the names of all files, and the part of them that they share.

    Raises
    ------
    FileNotFoundError
        If the bucket or the file is not there.
    """
    pattern = _without_query(path)
    base = re.split(_WILD, pattern, maxsplit=1)[0].rpartition("/")[0]
    if re.search(_WILD, pattern):
        names = list(system.glob(path))
    elif PurePosixPath(pattern).suffix and system.isfile(path):
        names = [path]
    else:
        names, base = list(system.find(path)), path
    if not names and not system.exists(base) and not system.exists(base.lstrip("/").partition("/")[0]):
        raise FileNotFoundError(base)
    return names, base


def _without_query(name: str) -> str:
    """Return a name without the part of a web address that only the server reads."""
    return name.partition("?")[0] if name.startswith(("http://", "https://")) else name


def _place(folder: Path, name: str, address: Address) -> Path:
    place = (folder / name.lstrip("/")).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise UnsafeError(
            "a file's name leads out of its folder",
            where=f"{address.written}: {name}",
            fix="remove the file, and find out who could write it",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _copy(system: Any, name: str, place: Path, left: int) -> int:
    """Copy one file, as long as the bound allows, and return what is left of the bound; below 0 when it was too much."""
    with system.open(name, "rb") as remote, place.open("wb") as local:
        while left >= 0 and (block := remote.read(BLOCK)):
            local.write(block)
            left -= len(block)
    return left


@contextmanager
def _faults_told(address: Address) -> Iterator[None]:
    try:
        yield
    except TitleboutError:
        raise
    except Exception as error:  # every filesystem raises its own types
        raise _told(address, error) from error


def _told(address: Address, error: Exception) -> TitleboutError:
    """Turn what a filesystem raised into ours, without the values of variables."""
    kind, why = type(error).__name__, address.masked(str(error) or type(error).__name__)
    if isinstance(error, FileNotFoundError):
        fix = "check the address; `titlebout doctor` says what is set"
        return NotFoundError("there is nothing at this address", where=address.written, why=why, fix=fix)
    if isinstance(error, PermissionError) or "Credential" in kind or "Unauthorized" in kind:
        fix = "give this machine credentials that may list and read there, as its cloud's tools take them"
        return PermissionRefusedError("we may not read this", where=address.written, why=why, fix=fix)
    if isinstance(error, ValueError):
        return ConfigError("this address cannot be used", where=address.written, why=why, fix="correct it")
    fix = "run the same command again later"
    return TemporaryError("the server could not be asked", where=address.written, why=f"{kind}: {why}", fix=fix)
