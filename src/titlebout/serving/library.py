"""Copy the modules of titlebout that the service imports into a bento."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
SERVICE = f"{LIBRARY.name}.serving.service"


def copy_library(target: Path) -> None:
    """Copy the modules that the service imports, directly or indirectly.

    Parameters
    ----------
    target : Path
        Folder in which the package ``titlebout`` is created.
    """
    for module in sorted(import_closure(SERVICE)):
        source = _file(module)
        copied = target / source.relative_to(LIBRARY.parent)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)


def import_closure(module: str) -> set[str]:
    """Return a titlebout module with all titlebout modules that it imports, directly or indirectly.

    Includes the ``__init__`` of every package on the way, and imports inside functions.
    """
    modules: set[str] = set()
    queue = {module}
    while queue:
        modules |= queue
        queue = {imported for name in queue for imported in (*_packages(name), *_imported(name))} - modules
    return modules


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
