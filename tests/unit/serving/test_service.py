"""The request and response types of a service: accepted values, rejected values, and reported fields."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from crossings import KINDS, REQUIRED
from tables_of_any_kind import TABLES, TYPES, Rows, as_jsonl
from titlebout.data.columns import conform
from titlebout.models.artifact import Model
from titlebout.serving.service import MAX_ERRORS, MAX_ROWS, request_type, response_type, to_frame

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


def invalid_fields(error: ValidationError) -> list[str]:
    return [".".join(map(str, item["loc"])) for item in error.errors()]


def value(row: BaseModel, name: str) -> Any:
    return getattr(row, f"column_{list(KINDS).index(name)}")


def test_a_parsed_row_keeps_every_value() -> None:
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
        ("when", "2013-01-01 05:00:00,5 UTC", datetime(2013, 1, 1, 5, 0, 0, 500_000, tzinfo=UTC)),
        ("when", "2013-W01-2", datetime(2013, 1, 1, tzinfo=UTC)),
        ("when", "9999-12-31", datetime(9999, 12, 31, tzinfo=UTC)),
        ("when", "2013-01-01T00:00:00.123456789Z", pd.Timestamp("2013-01-01T00:00:00.123456789Z")),
        ("seats", -(2**63), -(2**63)),
        ("seats", 2**63 - 1, 2**63 - 1),
    ],
)
def test_a_value_of_the_column_kind_is_accepted(name: str, given_value: Any, read_value: Any) -> None:
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
        ("when", '"2013"'),
        ("when", '"0001-01-01T00:00:00+14:00"'),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_column(name: str, literal: str) -> None:
    body = json.dumps({"rows": [ROW | {name: "@"}]}).replace('"@"', literal)
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(body)
    assert invalid_fields(caught.value) == [f"rows.0.{name}"]


@pytest.mark.parametrize(
    ("form", "raw", "schema"), [("%d/%m/%Y", "31/12/2013", "string"), ("epoch-ms", 1388448000000, "number")]
)
def test_a_time_is_read_in_the_form_of_the_data_as_well(form: str, raw: Any, schema: str) -> None:
    request = request_type([{"name": "day", "kind": "datetime", "nullable": False, "form": form}])
    rows = {"rows": [{"day": raw}, {"day": "2013-12-31"}]}

    first, second = request.model_validate_json(json.dumps(rows)).rows  # type: ignore[attr-defined]
    assert first == second
    assert request.model_json_schema()["$defs"]["Row"]["properties"]["day"]["anyOf"][1] == {"type": schema}
    with pytest.raises(ValidationError, match=f"ISO 8601, or of the form {form}"):
        request.model_validate_json(json.dumps({"rows": [{"day": "tomorrow"}]}))


@given(table=TABLES)
def test_a_request_is_the_same_table_as_a_file(table: Rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    columns = [{"name": name, "kind": kind, "nullable": True} for name, kind in TYPES.items()]
    body = json.dumps({"rows": table}, default=str)

    request = request_type(columns).model_validate_json(body)
    asked = Model(None, {"columns": columns}, Path())._inputs(to_frame(list(TYPES), request.rows))  # type: ignore[attr-defined]
    in_file = conform(as_jsonl(table, tmp_path_factory.mktemp("file")), TYPES)
    pd.testing.assert_frame_equal(asked, in_file)


@pytest.mark.parametrize("name", KINDS)
def test_only_a_nullable_column_may_be_left_out(name: str) -> None:
    row = {key: item for key, item in ROW.items() if key != name}
    if name not in REQUIRED:
        assert value(read(row).rows[0], name) is None  # type: ignore[attr-defined]
        return
    with pytest.raises(ValidationError) as caught:
        read(row)
    assert invalid_fields(caught.value) == [f"rows.0.{name}"]


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
def test_a_body_with_another_schema_is_refused(body: str, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(body)
    assert invalid_fields(caught.value) == [path]


def test_the_row_limit_is_inclusive() -> None:
    assert len(read(*[ROW] * MAX_ROWS).rows) == MAX_ROWS  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match=f"at most {MAX_ROWS} items"):
        read(*[ROW] * (MAX_ROWS + 1))


def test_only_the_first_invalid_row_is_reported() -> None:
    with pytest.raises(ValidationError) as caught:
        read(ROW, ROW | {"seats": "a", "carrier": 1}, ROW | {"seats": "b"})
    assert invalid_fields(caught.value) == ["rows.1.seats", "rows.1.carrier"]


def test_many_unknown_columns_are_one_error() -> None:
    unknown_columns = {f"k{i}": 1 for i in range(MAX_ERRORS + 1)}
    with pytest.raises(ValidationError) as caught:
        read(ROW | unknown_columns)
    assert invalid_fields(caught.value) == ["rows"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(list(KINDS)), anything=ANY_JSON)
def test_any_json_value_is_parsed_or_refused_with_its_column(name: str, anything: Any) -> None:
    invalid_paths: list[str] = []
    try:
        read(ROW | {name: anything})
    except ValidationError as error:
        invalid_paths = invalid_fields(error)
    assert invalid_paths in ([], [f"rows.0.{name}"])


def test_a_label_has_the_type_of_the_classes() -> None:
    for classes, kind in ((["a", "b"], "string"), ([0, 1], "integer"), ([False, True], "boolean")):
        schema = response_type(classes).model_json_schema()["$defs"]["Prediction"]["properties"]
        assert schema["label"]["type"] == kind


def test_a_prediction_that_is_not_finite_is_invalid() -> None:
    with pytest.raises(ValidationError):
        response_type([]).model_validate({"predictions": [{"value": float("nan")}], "model": "0"})
