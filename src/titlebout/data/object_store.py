"""Download files from object storage or a server with fsspec, up to a size limit and only into the given folder."""

import re
from collections.abc import Callable, Iterator
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

_GLOB_CHARACTERS = r"[*?\[]"
BLOCK = 2**20  # bytes per read
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "adl": "adlfs"}


def is_bucket(url: str) -> bool:
    """Return whether fsspec has a filesystem for the protocol of a URL."""
    import fsspec

    protocol, separator, _ = url.partition("://")
    return bool(separator) and protocol in fsspec.available_protocols()


def fetch(address: Address, folder: Path, is_wanted: Callable[[str], bool], max_bytes: int) -> int:
    """Download the files below a URL, or those of a glob, and keep their relative paths.

    Parameters
    ----------
    address : Address
        URL of a folder, a glob, or one file.
    folder : Path
        Folder to download to.
    is_wanted : callable
        Returns from the name of a file, without its folder, whether to download it.
    max_bytes : int
        Limit on the total size.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    NotFoundError
        If the bucket, or the file at the URL, does not exist.
    PermissionRefusedError
        If access is denied.
    TemporaryError
        If the storage cannot be reached.
    ConfigError
        If the package for this protocol is not installed.
    DataError
        If the total size is more than `max_bytes`.
    UnsafeError
        If the name of a file points outside the folder.
    """
    require_package(address)
    with _translate_errors(address):
        system, path = _open(address)
        names, base = _find(system, path)
        matching = [name for name in sorted(names) if is_wanted(PurePosixPath(_without_query(name)).name)]
        remaining = max_bytes
        for name in matching:
            remaining = _copy(
                system, name, _target_path(folder, _without_query(name).removeprefix(base), address), remaining
            )
    if remaining < 0:
        fix = "select fewer files in drift.current, or raise sources.max_mb in titlebout.toml"
        raise DataError(f"the files total more than {max_bytes / 1e6:.0f} MB", where=address.written, fix=fix)
    return len(matching)


def require_package(address: Address) -> None:
    """Check that the package for the protocol of a URL is installed, without connecting.

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
    """Return the filesystem, without cached listings, and the path on it."""
    import fsspec

    system, path = fsspec.url_to_fs(address.url, skip_instance_cache=True)
    return system, path


def _find(system: Any, path: str) -> tuple[list[str], str]:
    """Return the names of all files, and their common folder.

    Raises
    ------
    FileNotFoundError
        If the bucket or the file does not exist.
    """
    pattern = _without_query(path)
    base = re.split(_GLOB_CHARACTERS, pattern, maxsplit=1)[0].rpartition("/")[0]
    if re.search(_GLOB_CHARACTERS, pattern):
        names = list(system.glob(path))
    elif PurePosixPath(pattern).suffix and system.isfile(path):
        names = [path]
    else:
        names, base = list(system.find(path)), path
    if not names and not system.exists(base) and not system.exists(base.lstrip("/").partition("/")[0]):
        raise FileNotFoundError(base)
    return names, base


def _without_query(name: str) -> str:
    """Return a name without the query string of an HTTP URL."""
    return name.partition("?")[0] if name.startswith(("http://", "https://")) else name


def _target_path(folder: Path, name: str, address: Address) -> Path:
    target = (folder / name.lstrip("/")).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise UnsafeError(
            "the name of a file points outside its folder (path traversal)",
            where=f"{address.written}: {name}",
            fix="remove the file, and check who has write access to this object store",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _copy(system: Any, name: str, target: Path, remaining: int) -> int:
    """Copy one file within the size limit and return the remaining bytes; negative if the limit was exceeded."""
    with system.open(name, "rb") as remote, target.open("wb") as local:
        while remaining >= 0 and (block := remote.read(BLOCK)):
            local.write(block)
            remaining -= len(block)
    return remaining


@contextmanager
def _translate_errors(address: Address) -> Iterator[None]:
    try:
        yield
    except TitleboutError:
        raise
    except Exception as error:  # each filesystem has its own exception classes
        raise _translate(address, error) from error


def _translate(address: Address, error: Exception) -> TitleboutError:
    """Return a titlebout error for one of a filesystem, without the values of environment variables."""
    kind, why = type(error).__name__, address.masked(str(error) or type(error).__name__)
    if isinstance(error, FileNotFoundError):
        fix = "check the address; `titlebout doctor` shows which environment variables are set"
        return NotFoundError("nothing was found at this address", where=address.written, why=why, fix=fix)
    if isinstance(error, PermissionError) or "Credential" in kind or "Unauthorized" in kind:
        fix = "set credentials that may list and read this address, in the way the cloud provider's tools expect them"
        return PermissionRefusedError("the object store denied access", where=address.written, why=why, fix=fix)
    if isinstance(error, ValueError):
        fix = "correct drift.current or sources.labels in titlebout.toml"
        return ConfigError("the address is not valid", where=address.written, why=why, fix=fix)
    fix = "run the same command again later"
    return TemporaryError("the object store could not be reached", where=address.written, why=f"{kind}: {why}", fix=fix)
