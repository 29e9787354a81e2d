"""Which modules of titlebout a service needs: a bento carries these and no others."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
SERVICE = f"{LIBRARY.name}.serving.service"


def copy_library(target: Path) -> None:
    """Copy the modules that the service imports, directly or through others.

    Parameters
    ----------
    target : Path
        Folder that gets the package ``titlebout``.
    """
    for module in sorted(import_closure(SERVICE)):
        source = _file(module)
        copied = target / source.relative_to(LIBRARY.parent)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)


def import_closure(module: str) -> set[str]:
    """Return a module of titlebout, the packages around it, and all that these import, at their top or in a function."""
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= todo
        todo = {needed for name in todo for needed in (*_packages(name), *_imported(name))} - found
    return found


def _packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _imported(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_file(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == LIBRARY.name and _file(name).is_file())


def _file(module: str) -> Path:
    path = LIBRARY.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
