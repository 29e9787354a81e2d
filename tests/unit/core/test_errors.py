"""Every failure says what to do."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import titlebout
from titlebout.core import errors
from titlebout.core.errors import ConfigError, TitleboutError

SOURCE = Path(titlebout.__file__).parent
NAMES = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, TitleboutError)}


def raised(path: Path) -> Iterator[ast.Call]:
    """Yield every place of a module where one of our errors is made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield node


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_error_that_a_module_makes_says_what_to_do(path: Path) -> None:
    silent = [call.lineno for call in raised(path) if not {"fix", None} & {keyword.arg for keyword in call.keywords}]

    assert silent == []


def test_an_error_is_its_parts_and_its_code() -> None:
    error = ConfigError("a", where="b", why="c", fix="d")

    assert str(error) == "a"
    assert error.to_dict() == {
        "type": "ConfigError",
        "exit_code": 2,
        "what": "a",
        "where": "b",
        "why": "c",
        "fix": "d",
        "state": "nothing was changed",
    }


KINDS = sorted(NAMES)


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_read_back_with_its_class(name: str) -> None:
    error = getattr(errors, name)("a", where="b", why="c", fix="d", state="half done")
    again = TitleboutError.from_dict(error.to_dict())

    assert type(again) is type(error)
    assert again.to_dict() == error.to_dict()


@pytest.mark.parametrize("name", KINDS)
def test_an_unknown_class_becomes_the_one_with_its_code(name: str) -> None:
    kind = getattr(errors, name)
    document = kind("a").to_dict() | {"type": "SuiteError"}

    assert type(TitleboutError.from_dict(document)) is kind


def test_a_code_that_no_error_has_is_a_bug() -> None:
    assert errors.error_class(99) is TitleboutError
