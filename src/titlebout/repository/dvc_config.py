"""DVC's configuration of a project: the levels system, user, repository and this clone (``config.local``), merged.

Read by DVC's own reader, which takes a sixth of the time of starting DVC.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titlebout.core.errors import ConfigError


def default_remote(root: Path) -> str:
    """Return the URL of the default DVC remote, or the absolute path of its folder.

    Parameters
    ----------
    root : Path
        Folder that contains ``.dvc``.

    Raises
    ------
    ConfigError
        If no default remote is set, or a configuration file is malformed.
    """
    config = _read(root)
    remote = config["remote"].get(config["core"].get("remote", ""), {})
    if not remote.get("url"):
        raise ConfigError(
            "no default DVC remote is set",
            where=str(root / ".dvc" / "config"),
            fix="run `dvc remote default in-tree` for the remote in dvc-remote/, or name your own remote",
        )
    return str(remote["url"])


def in_tree_remotes(root: Path, top: Path) -> tuple[Path, ...]:
    """Return the folders of the remotes inside the git repository at `top`, whose objects are committed."""
    urls = [str(remote.get("url", "")) for remote in _read(root)["remote"].values()]
    folders = [Path(url).resolve() for url in urls if url and not _is_url(url)]
    return tuple(folder for folder in folders if top in folder.parents and not root.is_relative_to(folder))


def cache_folder(root: Path) -> Path:
    """Return the folder of DVC's cache; worktrees and other clones may share it."""
    return Path(_read(root)["cache"].get("dir") or root.resolve() / ".dvc" / "cache")


def share_storage(root: Path, other: Path, *, copied: Path | None = None, no_scm: bool = False) -> None:
    """Let another folder use the cache and the remotes of a project, through its ``.dvc/config.local``.

    Parameters
    ----------
    root : Path
        The project.
    other : Path
        Folder that is to use them.
    copied : Path, optional
        Folder around the project of which `other` is a part of a copy. A remote inside it becomes the one of the copy, so
        that its new objects can be committed there.
    no_scm : bool
        Whether `other` is outside of a git repository.

    Raises
    ------
    ConfigError
        If a configuration file is malformed.
    """
    config = _read(root)
    cache, core = {**config["cache"], "dir": cache_folder(root)}, dict(config["core"])
    # The other folder may be on another file system, which hard links and reflinks cannot reach.
    if types := cache.get("type"):
        cache["type"] = [*(types.split(",") if isinstance(types, str) else types), "copy"]
    if no_scm:
        core["no_scm"] = True
    sections = {"core": core, "cache": cache}
    for name, remote in config["remote"].items():
        folder = str(remote.get("url", ""))
        moved = copied and not _is_url(folder) and Path(folder).resolve().is_relative_to(copied)
        url = os.path.normpath(other / os.path.relpath(folder, root)) if moved else folder
        sections[f'remote "{name}"'] = {**remote, "url": url}
    _write(other / ".dvc" / "config.local", sections)


def _write(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a configuration file; DVC's own writer fails on any character that is not ASCII."""
    from configobj import ConfigObj

    path.parent.mkdir(exist_ok=True)
    texts = {
        name: {key: value if isinstance(value, list) else str(value) for key, value in section.items()}
        for name, section in sections.items()
    }
    with path.open("wb") as file:
        ConfigObj(texts, encoding="utf-8", interpolation=False).write(file)


def _read(root: Path) -> dict[str, dict[str, Any]]:
    """Return the merged configuration, with absolute paths.

    Raises
    ------
    ConfigError
        If a file is malformed.
    """
    from dvc.config import Config  # noqa: TID251 - its reader only
    from dvc.config import ConfigError as MalformedError  # noqa: TID251 - its reader only

    try:
        config: dict[str, dict[str, Any]] = Config(str(root / ".dvc")).read()
    except MalformedError as error:
        raise ConfigError(
            "the configuration of DVC is malformed",
            where=str(root / ".dvc"),
            why=str(error),
            fix="correct .dvc/config or .dvc/config.local",
        ) from error
    return config


def _is_url(address: str) -> bool:
    return "://" in address
