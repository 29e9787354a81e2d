"""Sample repositories that take long to build, kept on disk for the other processes of a run and for later runs.

A repository is found by a hash of all that it is made from. It is built in a folder beside its place and moved there
when it is whole; a lock file lets one process build while the others wait, and falls with the process that holds it.
"""

import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import titlebout

TESTS = Path(__file__).parent
LIBRARY = Path(titlebout.__file__).parent
LOCK = TESTS.parent / "requirements-dev.lock"
KEPT_SECONDS = 7 * 86_400  # of what no run has used since


def cache_folder() -> Path:
    """Return the folder that all runs on this machine share."""
    return Path(os.environ["XDG_CACHE_HOME"]) / "titlebout-tests"


def content_key(*sources: Path) -> str:
    """Return a hash of this Python and of the text of all files; of a folder, all but its bytecode counts."""
    digest = sha256(f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}".encode())
    for source in sources:
        paths = sorted(source.rglob("*")) if source.is_dir() else [source]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(source).as_posix()
                digest.update(f"\n{source.name}/{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def built(cache: Path, name: str, build: Callable[[Path], object], *sources: Path) -> Path:
    """Return the folder that `build` fills, from the cache if it was built from the same sources before.

    Nothing may be changed in it: others read it, too.
    """
    folder = cache / f"{name}-{content_key(*sources)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            _forget_old(cache)
            unfinished = Path(mkdtemp(prefix=f"{name}-unfinished-", dir=cache))
            try:
                build(unfinished)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        os.utime(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forget_old(cache: Path) -> None:
    for path in cache.iterdir():
        if path.is_dir() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
