"""What the rule trusts in the installed scikit-learn: no constructor of it opens, imports, evaluates or starts anything."""

import ast
import importlib
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import sklearn

from titlebout.models.trusted import is_trusted

SPECIAL = ("__init__", "__new__", "__setstate__", "__del__", "__init_subclass__", "__call__", "__getattr__")
FORBIDDEN = {
    "__import__",
    "compile",
    "eval",
    "exec",
    "execfile",
    "import_module",
    "load",
    "loads",
    "memmap",
    "open",
    "Popen",
    "run",
    "system",
    "urlopen",
    "urlretrieve",
    "write",
}


def trusted_classes() -> Iterator[type]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in pkgutil.walk_packages(sklearn.__path__, "sklearn."):
            if any(part in found.name for part in (".tests", ".externals", "conftest", "_build_utils")):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, type) and is_trusted(f"{module.__name__}.{name}", "ferries"):
                    yield value


def calls(method: ast.FunctionDef) -> set[str]:
    """Return the names of what a method calls."""
    nodes = (node.func for node in ast.walk(method) if isinstance(node, ast.Call))
    return {node.id if isinstance(node, ast.Name) else getattr(node, "attr", "") for node in nodes}


def methods(module: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the methods in the source of a module, with the name of their class; nothing for a compiled module."""
    path = Path(str(sys.modules[module].__file__))
    if path.suffix == ".py":
        for kind in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(kind, ast.ClassDef):
                yield from ((kind.name, node) for node in kind.body if isinstance(node, ast.FunctionDef))


def test_no_trusted_class_does_more_than_hold_data_when_created() -> None:
    classes = {f"{kind.__module__}.{kind.__qualname__}" for kind in trusted_classes()}
    found = {
        f"{module}.{kind}.{method.name}": sorted(calls(method) & FORBIDDEN)
        for module in {name.rpartition(".")[0] for name in classes}
        for kind, method in methods(module)
        if method.name in SPECIAL and f"{module}.{kind}" in classes
    }

    assert len(classes) > 300
    assert len(found) > 200
    assert {name: forbidden for name, forbidden in found.items() if forbidden} == {}
