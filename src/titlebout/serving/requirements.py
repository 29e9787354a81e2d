"""The packages a service needs, out of all that the repository's lock holds."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = "requirements.lock"
# One locked package: a line that begins with its name, and the indented lines with its hashes.
LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)[^\n]*(?:\n[ \t]+[^\n]*)*", re.MULTILINE)
# What the service imports. pyarrow, because pandas keeps text in another type without it than with it.
SERVED = ("bentoml", "pandas", "pyarrow", "pydantic", "scikit-learn", "skops", "starlette")
# What only the other steps import; with all they bring along, more than half of the lock.
NOT_SERVED = frozenset({"titlebout", "cookiecutter", "dvc", "evidently", "great-expectations", "matplotlib"})


def serving_requirements(root: Path) -> str:
    """Return the part of ``requirements.lock`` that serving needs; without a lock, what is installed, without hashes.

    Parameters
    ----------
    root : Path
        Top folder of the repository; what the team's code needs is read from its ``pyproject.toml``.

    Returns
    -------
    str
        A requirements file.
    """
    lock = root / LOCK
    if lock.is_file():
        text = lock.read_text(encoding="utf-8")
    else:
        text = "\n".join(sorted(f"{dist.name}=={dist.version}" for dist in importlib.metadata.distributions()))
    blocks = [(canonicalize_name(block[1]), block[0]) for block in LOCKED.finditer(text)]
    needed = _with_dependencies([*(Requirement(name) for name in SERVED), *_own_dependencies(root)])
    return "".join(f"{block}\n" for name, block in blocks if name in needed)


def _own_dependencies(root: Path) -> list[Requirement]:
    """Return what the team's code needs besides titlebout."""
    path = root / "pyproject.toml"
    document = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    stated = [Requirement(text) for text in document.get("project", {}).get("dependencies", [])]
    return [need for need in stated if canonicalize_name(need.name) not in NOT_SERVED]


def _with_dependencies(wanted: list[Requirement]) -> set[str]:
    """Return the names that are wanted, and all that those need on any platform."""
    todo, seen = list(wanted), set[tuple[str, str]]()
    while todo:
        need = todo.pop()
        name = canonicalize_name(need.name)
        for extra in ("", *need.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [more for more in _requires(name) if _applies(more, extra)]
    return {name for name, _ in seen}


def _requires(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:  # locked for another platform
        return []


def _applies(need: Requirement, extra: str) -> bool:
    return need.marker is None or "extra" not in str(need.marker) or need.marker.evaluate({"extra": extra})
