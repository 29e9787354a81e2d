"""Every error has a fix; the output of outside tools is mapped to causes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import titlebout
from titlebout.core import errors
from titlebout.core.errors import Cause, ConfigError, DiskError, TemporaryError, TitleboutError, first_cause

SOURCE = Path(titlebout.__file__).parent
NAMES = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, TitleboutError)}


def raised(path: Path) -> Iterator[ast.Call]:
    """Yield every call in a module that creates one of our errors."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield node


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_error_in_a_module_has_a_fix(path: Path) -> None:
    without_fix = [
        call.lineno for call in raised(path) if not {"fix", None} & {keyword.arg for keyword in call.keywords}
    ]

    assert without_fix == []


def test_an_error_becomes_a_document_of_its_parts_and_exit_code() -> None:
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


CAUSES = (
    Cause(r"No space left|quota \w+", DiskError, "the disk is full", "free some space"),
    Cause(r"No \w+", TemporaryError, "something is missing", "run it again"),
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("quota exceeded", CAUSES[0]),
        ("error: No route", CAUSES[1]),
        ("No space left", CAUSES[0]),
        ("all is well", None),
    ],
)
def test_the_first_matching_pattern_decides_the_cause(text: str, cause: Cause | None) -> None:
    assert first_cause(text, CAUSES) == cause


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
