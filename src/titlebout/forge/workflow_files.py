"""Workflows and Actions of a project in a folder of a larger repository: GitHub reads them in the top folder only.

The project keeps its own files, which its updates replace; the top folder has identical copies. Several projects share them.
"""

import shutil
from pathlib import Path

_CALLED = "workflows/retrain.yml"  # drift.yml calls it by its name, and the workflows call the Actions by theirs


def place(root: Path, top: Path) -> tuple[str, ...]:
    """Copy the workflows and Actions of a project to the top folder of its repository.

    A workflow whose name is taken by another file is copied as ``titlebout-NAME``.

    Parameters
    ----------
    root, top : Path
        Folder of the project, and top folder of the repository.

    Returns
    -------
    tuple of str
        Files that were not copied because another file has their name, relative to ``.github``.
    """
    blocked = []
    for name in _files(root):
        target = next((path for path in _places(top, name) if _is_free(path, root / ".github" / name)), None)
        if target is None:
            blocked.append(name)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / ".github" / name, target)
    return tuple(blocked)


def unplaced(root: Path, top: Path) -> tuple[str, ...]:
    """Return the workflows and Actions of a project without an identical copy in the top folder, relative to ``.github``."""
    return tuple(
        name
        for name in _files(root)
        if not any(path.is_file() and _is_free(path, root / ".github" / name) for path in _places(top, name))
    )


def _files(root: Path) -> list[str]:
    folder = root / ".github"
    found = [path for kind in ("workflows", "actions") for path in (folder / kind).rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _places(top: Path, name: str) -> list[Path]:
    path = top / ".github" / name
    renamed = name.startswith("workflows/") and name != _CALLED
    return [path, path.with_name(f"titlebout-{path.name}")] if renamed else [path]


def _is_free(path: Path, file: Path) -> bool:
    """Return whether a file can be copied to a path without a loss: there is none, or the same."""
    return not path.exists() or (path.is_file() and path.read_bytes() == file.read_bytes())
