"""The map of the rooms in CONTRIBUTING.md is the one that import-linter checks, and the files it names exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "titlebout"
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
    "contracts"
]
LAYERS = [
    layer for contract in CONTRACTS if contract["type"] == "layers" for layer in contract["layers"] if layer[0] != "_"
]
PROTECTED = [contract for contract in CONTRACTS if contract["type"] == "protected"]


def rooms() -> dict[str, tuple[str, str, str]]:
    """The rows of the map: purpose, face and libraries of every room."""
    table = TEXT.partition("| room | purpose |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name.strip("`"): (purpose, face, owns) for name, purpose, face, owns in rows}


def test_the_map_has_every_room_in_the_order_of_the_layers() -> None:
    assert list(rooms()) == [room for layer in LAYERS for room in layer.split(" | ")]
    assert f"```text\n{chr(10).join(LAYERS)}\n```" in TEXT


def test_the_face_of_a_room_is_what_no_contract_protects() -> None:
    private = {module for contract in PROTECTED for module in contract["protected_modules"]}
    for room, (_, face, _) in rooms().items():
        if face in {"all of it", "itself"}:
            assert not [module for module in private if module.startswith(f"titlebout.{room}.")]
            continue
        modules = {path.stem for path in (SOURCE / room).glob("*.py")} - {"__init__"}
        assert set(re.findall(r"`(\w+)`", face)) == {
            module for module in modules if f"titlebout.{room}.{module}" not in private
        }, room


def test_the_owner_of_a_library_is_one_that_its_contract_allows() -> None:
    listed = {library: room for room, row in rooms().items() for library in re.findall(r"\w+(?=,|$| \()", row[2])}
    allowed = {
        contract["protected_modules"][0]: {importer.split(".")[1] for importer in contract["allowed_importers"]}
        for contract in PROTECTED
        if not contract["protected_modules"][0].startswith("titlebout.")
    }
    allowed["dvc"] = {"repository"}  # never imported, by a rule of ruff

    assert set(listed) == set(allowed)
    assert [library for library, room in listed.items() if room not in allowed[library]] == []


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"`((?:src|tests|docs|scripts|cookiecutter|\.github)/[\w./-]*)`", TEXT)

    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(re.findall(r"`[^`]+`|^\$ .+$", TEXT, re.MULTILINE))))

    assert named <= targets
