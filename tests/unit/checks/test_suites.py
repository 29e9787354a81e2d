"""Expectation suites: validation on reading, scaffolding from data, and canonical dtypes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titlebout.checks.suites import Expectation, load_suite, scaffold_suite
from titlebout.core.errors import ConfigError, DataError, NotFoundError
from titlebout.data.canonical import canonical, canonical_kwargs
from titlebout.settings.params import DataParams

ROLES = DataParams(task="classification", target="late", time="when")


def write_suite(folder: Path, *expectations: dict[str, Any], **fields: Any) -> Path:
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": "s", "expectations": expectations, **fields}), encoding="utf-8")
    return path


def column_expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_column_values_to_{kind}", "kwargs": {"column": "x", **kwargs}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelled field": (column_expectation("not_be_null") | {"severty": "warning"}, "severty"),
    "a severity that does not exist": (column_expectation("not_be_null") | {"severity": "fatal"}, "severity"),
    "no arguments": ({"type": "expect_column_values_to_not_be_null"}, "kwargs"),
    "swapped bounds": (column_expectation("be_between", min_value=2, max_value=1), "min_value 2 is greater"),
    "an empty set": (column_expectation("be_in_set", value_set=[]), "value_set is empty"),
    "an empty name": (column_expectation("not_be_null", column=""), "column is empty"),
    "a share of 0": (column_expectation("not_be_null", mostly=0), "always passes"),
    "a database": ({"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "x"}}, "database"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_useless_expectation_is_refused_with_file_and_index(tmp_path: Path, case: str) -> None:
    invalid, message = REFUSED[case]
    path = write_suite(tmp_path, column_expectation("not_be_null"), invalid)
    with pytest.raises(ConfigError) as caught:
        load_suite(path)
    assert message in f"{caught.value.what} {caught.value.where}"
    assert str(path) in str(caught.value.where)
    assert "expectations.1" in str(caught.value.where)


@pytest.mark.parametrize("fields", [{"expectation": []}, {"expectations": []}, {"name": 3}, {"expectations": "all"}])
def test_an_invalid_suite_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"suite\.json is not valid"):
        load_suite(write_suite(tmp_path, column_expectation("not_be_null"), **fields))


def test_an_unreadable_suite_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_suite(tmp_path / "suite.json")
    (tmp_path / "suite.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        load_suite(tmp_path / "suite.json")


def test_fields_written_by_great_expectations_are_accepted(tmp_path: Path) -> None:
    item = column_expectation("not_be_null") | {
        "id": "1",
        "meta": {"a": 1},
        "notes": "n",
        "description": "d",
        "severity": "info",
    }
    (read,) = load_suite(write_suite(tmp_path, item, id="2", meta={}, notes=None))
    assert (read.columns, read.severity) == (("x",), "info")


def test_a_column_can_be_removed_from_an_expectation() -> None:
    columns = Expectation(type="expect_table_columns_to_match_set", kwargs={"column_set": ["x", "y"]})
    both = Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": ["x", "y"]})
    kept = columns.without("y")
    assert kept is not None
    assert kept.kwargs == {"column_set": ["x"]}
    assert both.columns == ("x", "y")
    assert both.without("y") is None
    assert both.without("z") == both


DTYPES: dict[str, tuple[Any, str]] = {
    "int8": (pd.array([1, 2], dtype="int8"), "int64"),
    "Int64": (pd.array([1, 2], dtype="Int64"), "int64"),
    "Int64 with a gap": (pd.array([1, None], dtype="Int64"), "float64"),
    "uint64 beyond int64": (np.array([1, 2**64 - 1], dtype="uint64"), "float64"),
    "float32": (np.array([1.5, np.nan], dtype="float32"), "float64"),
    "pyarrow": (pd.array([1, 2], dtype="int32[pyarrow]"), "int64"),
    "pyarrow with a gap": (pd.array([1, None], dtype="int32[pyarrow]"), "float64"),
    "pyarrow text": (pd.array(["a", None], dtype="string[pyarrow]"), "object"),
    "text": (["a", None], "object"),
    "category of text": (pd.Categorical(["a", None]), "object"),
    "category of numbers": (pd.Categorical([1, 2]), "int64"),
    "switch": ([True, False], "bool"),
    "switch with a gap": (pd.array([True, None], dtype="boolean"), "object"),
    "nothing": ([None, np.nan], "object"),
    "decimals": ([Decimal("1.5"), None], "float64"),
    "time": (pd.to_datetime(["2024-01-01", None], utc=True).astype("datetime64[ms, UTC]"), "datetime64[us]"),
    "time without zone": (pd.to_datetime(["2024-01-01"] * 2), "datetime64[us]"),
    "times far away": (np.array(["9999-12-31"] * 2, dtype="datetime64[s]"), "datetime64[us]"),
    "differences": (pd.to_timedelta([1, 2]), "timedelta64[ns]"),
}


@pytest.mark.parametrize("case", DTYPES)
def test_every_kind_has_one_canonical_dtype(case: str) -> None:
    values, dtype = DTYPES[case]
    frame = canonical(pd.DataFrame({"x": pd.Series(values)}))
    assert str(frame["x"].dtype) == dtype
    assert frame["x"].isna().tolist() == pd.Series(values).isna().tolist()


def test_times_are_compared_in_utc() -> None:
    frame = canonical(pd.DataFrame({"x": pd.to_datetime(["2024-01-01T01:00+01:00"])}))
    assert frame["x"][0] == pd.Timestamp("2024-01-01")
    bounds = {"min_value": "2024-01-01", "max_value": "2024-01-01T01:00:00+01:00"}
    assert canonical_kwargs(bounds) == {"min_value": "2024-01-01T00:00:00", "max_value": "2024-01-01T00:00:00"}
    assert canonical_kwargs({"min_value": "later", "max_value": 3}) == {"min_value": "later", "max_value": 3}


def test_type_names_are_converted_like_columns() -> None:
    names = ["int8", "Int64", "float32", "bool", "boolean", "string", "str", "object", "datetime64[ms, UTC]", "Decimal"]
    assert canonical_kwargs({"type_list": names})["type_list"] == [
        "int64", "float64", "bool", "str", "object", "datetime64[us]", "Decimal",
    ]  # fmt: skip
    assert canonical_kwargs({"type_": "Float32"}) == {"type_": "float64"}


def flights(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
            "carrier": random.choice(["AA", "BB"], rows),
            "gate": random.choice([f"G{i}" for i in range(30)], rows),
            "code": [f"{seed}-{i}" for i in range(rows)],
            "temp": np.where(random.random(rows) < 0.04, np.nan, random.normal(10, 5, rows)),
            "empty": np.nan,
            "constant": 7,
            "cell": [[1]] * rows,
            "late": random.choice([0, 1], rows),
        }
    )


def expectations_of(suite: dict[str, Any], column: str) -> dict[str, dict[str, Any]]:
    return {
        f"{item['type'].removeprefix('expect_column_')} {item['severity']}": item["kwargs"]
        for item in suite["expectations"]
        if item["kwargs"].get("column") == column
    }


def test_a_scaffolded_suite_fits_each_column_kind(tmp_path: Path) -> None:
    frame = flights()
    suite = scaffold_suite(frame, ROLES, "flights")
    assert len(load_suite(write_suite(tmp_path, **suite))) == len(suite["expectations"])
    assert suite["expectations"][1]["kwargs"] == {"column_set": list(frame.columns), "exact_match": True}
    assert expectations_of(suite, "carrier")["values_to_be_in_set critical"]["value_set"] == ["AA", "BB"]
    assert len(expectations_of(suite, "gate")["values_to_be_in_set warning"]["value_set"]) == 30
    assert list(expectations_of(suite, "code")) == [
        "values_to_be_in_type_list critical", "values_to_not_be_null critical", "values_to_not_be_null warning",
    ]  # fmt: skip
    assert expectations_of(suite, "late")["values_to_be_in_set critical"]["value_set"] == [0, 1]
    assert expectations_of(suite, "empty") == {}
    assert "mean_to_be_between warning" not in expectations_of(suite, "constant")
    assert "values_to_be_in_type_list critical" not in expectations_of(suite, "cell")


def test_a_scaffolded_suite_has_no_range_for_times() -> None:
    when = expectations_of(scaffold_suite(flights(), ROLES, "flights"), "when")
    assert when == {
        "values_to_be_in_type_list critical": {"column": "when", "type_list": ["datetime64[us]", "str", "object"]},
        "values_to_not_be_null critical": {"column": "when", "mostly": 0.9},
        "values_to_not_be_null warning": {"column": "when", "mostly": pytest.approx(0.988, abs=1e-3)},
    }


def test_a_scaffolded_suite_accepts_the_next_batch() -> None:
    frame = flights()
    temp = expectations_of(scaffold_suite(frame, ROLES, "flights"), "temp")
    share = frame["temp"].isna().mean()
    low, high = frame["temp"].quantile([0.001, 0.999])
    mean, half = frame["temp"].mean(), frame["temp"].std() / 2
    assert temp["values_to_not_be_null critical"]["mostly"] == pytest.approx(0.9 - share, abs=1e-4)
    assert 1 - share - 0.06 < temp["values_to_not_be_null warning"]["mostly"] < 1 - share - 0.04
    assert temp["values_to_be_between warning"] == {
        "column": "temp", "min_value": pytest.approx(low), "max_value": pytest.approx(high), "mostly": 0.99,
    }  # fmt: skip
    bounds = temp["mean_to_be_between warning"]
    assert (bounds["min_value"], bounds["max_value"]) == pytest.approx((mean - half, mean + half), rel=1e-3)


def test_an_id_that_no_model_uses_has_no_range() -> None:
    frame = pd.DataFrame({"order": range(50), "x": [1.0, 2.0] * 25, "y": ["a", "b"] * 25})
    suite = scaffold_suite(frame, DataParams(task="classification", target="y", drop=("order",)), "orders")

    columns = {expectation["kwargs"].get("column") for expectation in suite["expectations"]}
    assert columns == {None, "x", "y"}
