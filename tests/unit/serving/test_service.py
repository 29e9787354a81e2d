"""The types of a request and an answer: what they take, what they refuse, and which field they name."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from crossings import KINDS, REQUIRED
from titlebout.serving.service import MAX_COMPLAINTS, MAX_ROWS, answer_type, request_type

COLUMNS = [{"name": name, "kind": kind, "nullable": name not in REQUIRED} for name, kind in KINDS.items()]
ROW = {
    "distance": 1000.5,
    "seats": 100,
    "international": False,
    "carrier": "AA",
    "when": "2013-01-01T05:00:00+00:00",
    "model_copy": 0.5,
}
Request = request_type(COLUMNS)


def read(*rows: Any) -> BaseModel:
    return Request.model_validate_json(json.dumps({"rows": list(rows)}))


def complaints(error: ValidationError) -> list[str]:
    return [".".join(map(str, item["loc"])) for item in error.errors()]


def value(row: BaseModel, name: str) -> Any:
    return getattr(row, f"column_{list(KINDS).index(name)}")


def test_a_row_keeps_the_value_of_every_column() -> None:
    (row,) = read(ROW).rows  # type: ignore[attr-defined]
    assert {name: value(row, name) for name in KINDS} == ROW | {"when": datetime(2013, 1, 1, 5, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("name", "given_value", "read_value"),
    [
        ("distance", 3, 3.0),
        ("distance", None, None),
        ("carrier", "", ""),
        ("carrier", "\x00' OR 1=1", "\x00' OR 1=1"),
        ("when", "2013-01-01", datetime(2013, 1, 1, tzinfo=UTC)),
        ("when", "2013-01-01T05:00:00", datetime(2013, 1, 1, 5, tzinfo=UTC)),
        ("when", "2013-01-01T05:00:00+02:00", datetime(2013, 1, 1, 3, tzinfo=UTC)),
        ("seats", -(2**63), -(2**63)),
        ("seats", 2**63 - 1, 2**63 - 1),
    ],
)
def test_a_value_of_the_kind_of_its_column_is_read(name: str, given_value: Any, read_value: Any) -> None:
    (row,) = read(ROW | {name: given_value}).rows  # type: ignore[attr-defined]
    assert value(row, name) == read_value
    assert type(value(row, name)) is type(read_value)


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("distance", "NaN"),
        ("distance", "Infinity"),
        ("distance", "-Infinity"),
        ("distance", "1e999"),
        ("distance", "1" + "0" * 400),
        ("distance", '"1.5"'),
        ("distance", "true"),
        ("seats", "1.0"),
        ("seats", "1.5"),
        ("seats", "true"),
        ("seats", '"1"'),
        ("seats", "null"),
        ("seats", str(2**63)),
        ("seats", "[1]"),
        ("international", "1"),
        ("international", '"yes"'),
        ("international", '"true"'),
        ("carrier", "7"),
        ("carrier", '{"a": 1}'),
        ("when", "1672531200"),
        ("when", '"1672531200"'),
        ("when", '"2013-13-01"'),
        ("when", '"yesterday"'),
        ("when", '"9999-01-01T00:00:00Z"'),
        ("when", '"1677-12-31T00:00:00Z"'),
        ("when", '"0001-01-01T00:00:00+14:00"'),
    ],
)
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_column(name: str, literal: str) -> None:
    body = json.dumps({"rows": [ROW | {name: "@"}]}).replace('"@"', literal)
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(body)
    assert complaints(caught.value) == [f"rows.0.{name}"]


@pytest.mark.parametrize("name", KINDS)
def test_a_column_may_be_left_out_exactly_when_it_had_missing_values_in_training(name: str) -> None:
    row = {key: item for key, item in ROW.items() if key != name}
    if name not in REQUIRED:
        assert value(read(row).rows[0], name) is None  # type: ignore[attr-defined]
        return
    with pytest.raises(ValidationError) as caught:
        read(row)
    assert complaints(caught.value) == [f"rows.0.{name}"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{}", "rows"),
        ("[]", ""),
        ("null", ""),
        ('{"rows": []}', "rows"),
        ('{"rows": {}}', "rows"),
        ('{"rows": [null]}', "rows.0"),
        ('{"rows": [', ""),
        ("\ufeff{}", ""),
        ("[" * 100_000, ""),
        (json.dumps({"rows": [ROW], "more": 1}), "more"),
        (json.dumps({"rows": [ROW | {"Seats": 1}]}), "rows.0.Seats"),
        (json.dumps({"rows": [ROW | {"column_1": 1}]}), "rows.0.column_1"),
    ],
)
def test_a_body_of_another_form_is_refused(body: str, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(body)
    assert complaints(caught.value) == [path]


def test_as_many_rows_as_allowed_are_read_and_one_more_is_refused() -> None:
    assert len(read(*[ROW] * MAX_ROWS).rows) == MAX_ROWS  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match=f"at most {MAX_ROWS} items"):
        read(*[ROW] * (MAX_ROWS + 1))


def test_only_the_first_wrong_row_is_told() -> None:
    with pytest.raises(ValidationError) as caught:
        read(ROW, ROW | {"seats": "a", "carrier": 1}, ROW | {"seats": "b"})
    assert complaints(caught.value) == ["rows.1.seats", "rows.1.carrier"]


def test_a_flood_of_unknown_columns_is_one_complaint() -> None:
    flood = {f"k{i}": 1 for i in range(MAX_COMPLAINTS + 1)}
    with pytest.raises(ValidationError) as caught:
        read(ROW | flood)
    assert complaints(caught.value) == ["rows"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(list(KINDS)), anything=ANY_JSON)
def test_any_json_value_is_read_or_refused_by_the_name_of_its_column(name: str, anything: Any) -> None:
    told: list[str] = []
    try:
        read(ROW | {name: anything})
    except ValidationError as error:
        told = complaints(error)
    assert told in ([], [f"rows.0.{name}"])


def test_a_label_has_the_type_of_the_classes() -> None:
    for classes, kind in ((["a", "b"], "string"), ([0, 1], "integer"), ([False, True], "boolean")):
        schema = answer_type(classes).model_json_schema()["$defs"]["Prediction"]["properties"]
        assert schema["label"]["type"] == kind


def test_an_answer_without_a_finite_number_is_no_answer() -> None:
    with pytest.raises(ValidationError):
        answer_type([]).model_validate({"predictions": [{"value": float("nan")}], "model": "0"})
