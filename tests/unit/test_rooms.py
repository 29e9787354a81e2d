"""The house: rooms and nothing beside them, faces that load nothing, modules that one can read in one sitting.

What a room may import, and which outside library belongs to which module, are import-linter's contracts in pyproject.toml.
"""

import ast
from pathlib import Path

import titlebout

SOURCE = Path(titlebout.__file__).parent
BESIDE_THE_ROOMS = {"__init__.py", "__main__.py", "doctor.py", "py.typed"}
MOST_LINES = 500


def test_there_are_no_modules_beside_the_rooms() -> None:
    assert {path.name for path in SOURCE.iterdir() if path.is_file()} <= BESIDE_THE_ROOMS


def test_every_room_says_what_it_is_and_loads_nothing() -> None:
    rooms = [path for path in SOURCE.iterdir() if path.is_dir() and path.name not in {"__pycache__", "_template"}]
    for room in rooms:
        module = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(module), room.name
        assert len(module.body) == 1, f"{room.name}/__init__.py does more than say what the room is"


def test_no_module_outgrows_its_room() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
