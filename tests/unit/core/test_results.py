"""What steps hand over: one strict JSON document, written whole or not at all."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from titlebout.core.errors import DataError, DiskError, NotFoundError
from titlebout.core.results import (
    Record,
    StepResult,
    parse_result,
    read_json,
    read_result,
    to_json,
    write_json,
    write_text_atomically,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class Crew(Record):
    """A nested record of the tests' own."""

    name: str
    years: int | None = None


class LaunchResult(StepResult):
    """A step of the tests' own."""

    step: Literal["launch"] = "launch"
    stages: tuple[str, ...] = ()
    height: float | None = None
    crew: tuple[Crew, ...] = ()


@given(document=st.dictionaries(st.text(), JSON))
def test_what_is_written_is_what_is_read(document: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "deep" / "result.json"

    assert read_json(write_json(path, document)) == json.loads(json.dumps(document))


@given(
    passed=st.booleans(),
    reasons=st.lists(st.text()).map(tuple),
    stages=st.lists(st.text()).map(tuple),
    height=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_result_survives_its_document(
    passed: bool, reasons: tuple[str, ...], stages: tuple[str, ...], height: float | None
) -> None:
    result = LaunchResult(
        passed=passed, reasons=reasons, stages=stages, height=height, crew=(Crew(name="Ada", years=3), Crew(name="Bo"))
    )

    assert parse_result(to_json(result.model_dump()), LaunchResult, "here") == result


def test_a_document_names_its_step_and_its_schema() -> None:
    assert LaunchResult(passed=True, crew=(Crew(name="Ada"),)).model_dump() == {
        "schema_version": 1,
        "step": "launch",
        "passed": True,
        "reasons": (),
        "stages": (),
        "height": None,
        "crew": ({"name": "Ada", "years": None},),
    }


LAUNCH = {"schema_version": 1, "step": "launch", "passed": True}
MALFORMED: dict[str, tuple[dict[str, object], str]] = {
    "another step": (LAUNCH | {"step": "landing"}, "step: "),
    "another schema": (LAUNCH | {"schema_version": 2}, "schema_version: "),
    "no step": ({"schema_version": 1, "passed": True}, "step: Field required"),
    "no schema": ({"step": "launch", "passed": True}, "schema_version: Field required"),
    "nothing": ({}, "passed: Field required"),
    "no verdict": ({"schema_version": 1, "step": "launch"}, "passed: Field required"),
    "an unknown field": (LAUNCH | {"weather": "clear"}, "weather: "),
    "a text for a truth": (LAUNCH | {"passed": "no"}, "passed: "),
    "a number for a truth": (LAUNCH | {"passed": 1}, "passed: "),
    "a number for a text": (LAUNCH | {"reasons": [1]}, "reasons.0: "),
    "an unknown field of a nested record": (LAUNCH | {"crew": [{"name": "Ada", "age": 3}]}, "crew.0.age: "),
    "a nested record that lacks a field": (LAUNCH | {"crew": [{}]}, "crew.0.name: Field required"),
}


@pytest.mark.parametrize(("document", "why"), MALFORMED.values(), ids=MALFORMED)
def test_a_document_that_is_not_this_result_is_refused(document: dict[str, object], why: str, tmp_path: Path) -> None:
    path = write_json(tmp_path / "launch.json", document)
    with pytest.raises(DataError, match="not a result of `titlebout launch` in schema version 1") as caught:
        read_result(path, LaunchResult)

    assert str(caught.value.why).startswith(why)
    assert caught.value.where == str(path)
    assert "titlebout launch" in str(caught.value.fix)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"launch"'])
def test_text_that_is_no_object_is_no_result(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a result of `titlebout launch`"):
        read_result(write_text_atomically(tmp_path / "launch.json", text), LaunchResult)


def test_a_missing_result_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"launch\.json does not exist"):
        read_result(tmp_path / "launch.json", LaunchResult)


def test_a_record_is_replaced_never_changed() -> None:
    ada = Crew(name="Ada")

    assert ada.replace(years=4) == Crew(name="Ada", years=4)
    with pytest.raises(ValidationError):
        ada.replace(years="many")
    with pytest.raises(ValidationError):
        ada.replace(age=4)
    with pytest.raises(ValidationError):
        ada.years = 4  # type: ignore[misc]


def test_values_of_the_fields_libraries_become_plain_json() -> None:
    values = {
        "integer": np.int64(3),
        "number": np.float32(0.5),
        "flag": np.True_,
        "moment": pd.Timestamp("2024-03-01", tz="UTC"),
        "path": Path("data") / "a.csv",
    }

    assert json.loads(to_json(values)) == {
        "integer": 3,
        "number": 0.5,
        "flag": True,
        "moment": "2024-03-01T00:00:00+00:00",
        "path": "data/a.csv",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("-inf")])
def test_what_json_cannot_say_is_never_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"score": value})

    assert list(tmp_path.iterdir()) == []


def test_an_unknown_type_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a value of type set, which cannot be converted to JSON"):
        write_json(tmp_path / "result.json", {"score": {1, 2}})


@given(old=st.text(), new=st.text())
def test_a_write_replaces_the_whole_file_and_leaves_no_other(
    old: str, new: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("text") / "report.md"
    for text in (old, new):
        write_text_atomically(path, text)

    assert path.read_bytes() == new.encode()
    assert list(path.parent.iterdir()) == [path]


def test_everybody_may_read_what_was_written(tmp_path: Path) -> None:
    assert write_text_atomically(tmp_path / "report.md", "text").stat().st_mode & 0o777 == 0o644


def test_a_file_in_the_way_of_a_folder_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")

    with pytest.raises(DiskError) as caught:
        write_json(tmp_path / "reports" / "train.json", {})

    assert caught.value.exit_code == 74


def test_a_missing_document_says_which_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"train\.json does not exist") as caught:
        read_json(tmp_path / "train.json")

    assert "run the command that writes it" in str(caught.value.fix)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe{}", b"{'a': 1}"])
def test_what_is_no_json_object_is_refused(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(raw)

    with pytest.raises(DataError) as caught:
        read_json(path)

    assert caught.value.where == str(path)
