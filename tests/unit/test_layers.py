"""Each outside tool has one owner; the owner is the only module that knows it."""

import ast
from pathlib import Path

import pytest

import titlebout

SOURCE = Path(titlebout.__file__).parent
OWNERS = {
    "bentoml": {"packaging", "serving"},
    "click": {"cli", "console", "__main__"},
    "cookiecutter": {"scaffold"},
    "dvc": {"tracking"},
    "evidently": {"drift_report"},
    "fsspec": {"buckets"},
    "great_expectations": {"checks"},
    "httpx": {"dialects", "forge", "http", "replay", "packaging"},
    "skops": {"models"},
    "sqlalchemy": {"databases"},
    "subprocess": {"process"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a module imports, at its top or inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("tool", sorted(OWNERS))
def test_only_its_owner_imports_a_tool(tool: str) -> None:
    users = {path.stem for path in SOURCE.rglob("*.py") if tool in imported(path)}

    assert users, "an owner that does not use its tool any more should leave the table"
    assert users <= OWNERS[tool]


def test_no_module_outgrows_its_room() -> None:
    longest = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}

    assert {name: lines for name, lines in longest.items() if lines > 500} == {}
