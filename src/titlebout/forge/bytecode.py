"""Bytecode for the environments of local workflow runs, taken from the environment of this process.

Each job creates a virtual environment, in which Python would compile thousands of modules again. uv links the same
files, with their modification times, into every environment, so bytecode of the same version of a package is valid
there. Python ignores bytecode of a file with another time or size.
"""

import re
import shutil
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def link_bytecode(lock: Path, target: Path) -> None:
    """Link the bytecode of the locked packages below `target`, as in a virtual environment.

    Only packages of the lock file: a folder of another package, without its modules, would be a namespace package.

    Parameters
    ----------
    lock : Path
        Lock file of the repository; nothing is linked if it does not exist.
    target : Path
        Folder to create.
    """
    target.mkdir(parents=True)
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    for folder in _locked_folders(text):
        for compiled in (folder / "__pycache__").glob("*.pyc"):
            _link(compiled, target / compiled.relative_to(sys.prefix))


@lru_cache(maxsize=1)
def _locked_folders(lock: str) -> frozenset[Path]:
    """Return the folders with modules of all locked packages; it takes seconds to read what a package contains."""
    locked = re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    return frozenset(folder for name, version in locked for folder in _module_folders(name, version))


def _module_folders(name: str, version: str) -> set[Path]:
    """Return the folders with modules of a package; empty if this environment does not have the same version."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return set()
    modules = [file for file in package.files or () if file.suffix == ".py"]
    folders = {Path(str(package.locate_file(file))).parent for file in modules}
    return {folder for folder in folders if package.version == version and folder.is_relative_to(sys.prefix)}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # on another file system
        shutil.copy2(source, target)
