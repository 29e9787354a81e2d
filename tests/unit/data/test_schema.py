"""Types of columns: inferred once, and every later batch is read as them, whatever its file format."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from examples import share
from tables_of_any_kind import SCHEMA, TABLES, TYPES, Rows, as_jsonl
from titlebout.core.errors import DataError
from titlebout.data.columns import conform, row_hashes
from titlebout.data.database import Query, read_rows
from titlebout.data.schema import RawTable, Schema, infer_schema, read_as, read_readable, schema_of
from titlebout.data.tables import as_types, is_data_file, read_growing, read_raw, read_table, read_tables
from titlebout.settings.addresses import Address
from titlebout.settings.column_type import ColumnType
from titlebout.settings.params import DataParams


def text_table(**columns: list[str]) -> RawTable:
    return RawTable(pd.DataFrame(columns, dtype=object), typed=False, where="a.csv")


def typed_table(**columns: Any) -> RawTable:
    return RawTable(pd.DataFrame(columns), typed=True, where="a.parquet")


def types_of(*tables: RawTable) -> dict[str, str]:
    return {name: str(one) for name, one in infer_schema(tables).types.items()}


# --- inference


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", ""], "integer"),
        (["1,234", "2", "1,000,000"], "integer"),
        (["1,234.5", "2"], "number"),
        (["1", "2.5", "NA"], "number"),
        (["02134", "10115"], "text"),
        (["+1", "2"], "number"),
        (["999999999999999999", "1"], "integer"),
        (["9999999999999999999", "1"], "text"),
        (["true", "FALSE"], "boolean"),
        (["yes", "no"], "text"),
        (["NA", "EU"], "text"),
        (["NA", "null"], "text"),
        (["1e3", "inf"], "number"),
        (["1", "n/a", "none", r"\N", "."], "integer"),
        (["1_000", "2"], "text"),
        (["2025-01-01", "2025-W02"], "datetime"),
        (["31/01/2025", "01/02/2025"], "datetime %d/%m/%Y"),
        (["01/02/2025", "02/03/2025"], "text"),
        (["", ""], "text"),
        (["0100001", "0108200"], "text"),  # a code, not a day of the year 100
        (["1001-001", "1001-002"], "text"),
        (["4711-01", "4719-12"], "text"),
        (["2024-01", "2024-02"], "datetime"),
        (["2024-01-01", "9999-12-31"], "datetime"),
        (["9" * 5000, "1"], "text"),
    ],
)
def test_the_type_of_a_column_of_text(values: list[str], expected: str) -> None:
    assert types_of(text_table(x=values)) == {"x": expected}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None], "integer"),
        (np.array([1.5, 2], dtype="float32"), "number"),
        ([Decimal("1.5"), None], "number"),
        (["a", None], "text"),
        (["2025-01-01", None], "datetime"),
        ([date(2025, 1, 1), date(9999, 12, 31)], "datetime"),
        ([UUID(int=1), UUID(int=2)], "text"),
        ([[1, 2], [3]], "text"),
        ([{"a": 1}, None], "text"),
        ([b"x", b"y"], "text"),
        ([True, None], "boolean"),
        (np.array([2**63, 1], dtype="uint64"), "text"),
        (pd.Series([1, 2], dtype="category"), "integer"),
        (pd.to_timedelta([1, 2], "h"), "number"),
        (pd.PeriodIndex(["2025-01", "2025-02"], freq="M"), "datetime"),
    ],
)
def test_the_type_of_a_stored_column(values: Any, expected: str) -> None:
    column = values if not isinstance(values, list) else pd.Series(values, dtype=object)

    assert types_of(typed_table(x=column)) == {"x": expected}


def test_a_name_of_a_time_makes_seconds_since_1970_a_time() -> None:
    values = ["1735689600", "1735689700"]

    assert types_of(text_table(asked_at=values, amount=values)) == {"asked_at": "datetime epoch-s", "amount": "integer"}


def test_all_files_decide_together() -> None:
    one, other = text_table(code=["10115", "20095"], size=["1", "2"]), text_table(code=["02134"], size=["1.5"])

    assert types_of(one, other) == {"code": "text", "size": "number"}
    frame, _ = as_types([one, other], Schema())
    assert frame["code"].tolist() == ["10115", "20095", "02134"]


# --- reading


def test_later_batches_are_read_as_the_recorded_types() -> None:
    schema = Schema(
        {"code": ColumnType("text"), "label": ColumnType("integer"), "at": ColumnType("datetime", "%d/%m/%Y")}
    )
    frame = read_as(text_table(code=["10115", ""], label=["1", ""], at=["01/02/2025", "03/02/2025"]), schema)

    assert frame["code"].tolist() == ["10115", None]
    assert frame["label"].dtype == "Int64"
    assert frame["label"].tolist() == [1, pd.NA]
    assert frame["at"].tolist() == list(pd.to_datetime(["2025-02-01", "2025-02-03"], utc=True))


@pytest.mark.parametrize(
    ("kind", "stored", "value"),
    [
        ("text", 5.0, "5"),
        ("text", 2134, "2134"),
        ("text", UUID(int=1), str(UUID(int=1))),
        ("integer", "7", 7),
        ("integer", 7.0, 7),
        ("integer", True, 1),
        ("integer", Decimal(10**17 + 1), 10**17 + 1),
        ("number", "1,234.5", 1234.5),
        ("number", Decimal("1.5"), 1.5),
        ("number", np.float32(0.1), 0.1),
        ("boolean", 1, True),
        ("boolean", "FALSE", False),
        ("datetime", date(2025, 1, 1), pd.Timestamp("2025-01-01", tz="UTC")),
        ("datetime", datetime(2025, 1, 1, tzinfo=UTC), pd.Timestamp("2025-01-01", tz="UTC")),
        ("datetime epoch-s", 1735689600, pd.Timestamp("2025-01-01", tz="UTC")),
        ("datetime %d/%m/%Y", "2025-01-01", pd.Timestamp("2025-01-01", tz="UTC")),
    ],
)
def test_a_stored_value_is_read_as_the_type_of_its_column(kind: str, stored: object, value: object) -> None:
    column = pd.Series([stored], dtype="float32" if isinstance(stored, np.float32) else object)
    read = read_as(typed_table(x=column), Schema({"x": ColumnType.parse(kind)}))["x"]

    assert read.tolist() == [value]


@pytest.mark.parametrize(
    ("kind", "value", "plural"),
    [
        ("integer", "ten", "whole numbers"),
        ("integer", "9999999999999999999", "whole numbers"),
        ("number", "1_000", "numbers"),
        ("boolean", "yes", "true or false"),
        ("datetime", "soon", "times"),
        ("datetime", "1735689600", "times"),
        ("datetime %d/%m/%Y", "13/13/2025", "times of the form %d/%m/%Y"),
    ],
)
def test_a_value_of_another_type_is_reported_with_its_row(kind: str, value: str, plural: str) -> None:
    table, schema = text_table(x=["", value, value]), Schema({"x": ColumnType.parse(kind)})

    with pytest.raises(DataError, match=f"column 'x': 2 values are not {plural}") as caught:
        read_as(table, schema)
    assert caught.value.where == "a.csv, first in row 1"
    frame, (found,) = read_readable(table, schema)
    assert (found.column, found.count, found.rows) == ("x", 2, (1, 2))
    assert frame["x"].tolist() == [None, value, value]


@pytest.mark.parametrize(("code", "count"), [("9007199254740993", 1), ("9007199254740992", 0)])
def test_a_fraction_never_rounds_an_id(code: str, count: int) -> None:
    schema = Schema({"x": ColumnType("integer")})

    assert sum(one.count for one in read_readable(text_table(x=[code, "0.5"]), schema)[1]) == count


def test_numbers_are_not_times() -> None:
    schema = Schema({"x": ColumnType("datetime")})

    assert read_readable(typed_table(x=[1735689600, 1]), schema)[1][0].count == 2


def test_a_word_for_missing_values_applies_to_every_type() -> None:
    schema = infer_schema([text_table(a=["unknown", "x"], b=["unknown", "1"])], Schema(missing=("unknown",)))
    frame = read_as(text_table(a=["unknown", "NA"], b=["unknown", "NA"]), schema)

    assert frame["a"].tolist() == [None, "NA"]
    assert frame["b"].isna().all()


def test_the_schema_of_tracked_data_prefers_recorded_types() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [None, None], "d": pd.to_datetime(["2025-01-01"] * 2)})
    data = DataParams(task="regression", target="a", columns={"b": "datetime %d/%m/%Y"}, missing=("-1",))

    found = schema_of(frame, data)
    assert {name: str(one) for name, one in found.types.items()} == {"a": "integer", "b": "datetime %d/%m/%Y"}
    assert found.missing == ("-1",)


# --- the same table in every format


def as_csv(rows: Rows, folder: Path) -> pd.DataFrame:
    pd.DataFrame(rows, dtype=object).to_csv(folder / "t.csv", index=False)
    return read_table(folder / "t.csv", SCHEMA)


def as_gzipped_tsv(rows: Rows, folder: Path) -> pd.DataFrame:
    pd.DataFrame(rows, dtype=object).to_csv(folder / "t.tsv.gz", index=False, sep="\t")
    return read_table(folder / "t.tsv.gz", SCHEMA)


def as_parquet(rows: Rows, folder: Path) -> pd.DataFrame:
    frame = pd.DataFrame(rows, dtype=object)
    frame = frame.assign(label=frame["label"].astype("Int64"), flag=frame["flag"].astype("boolean"))
    frame.assign(number=frame["number"].astype(float)).to_parquet(folder / "t.parquet")
    return read_table(folder / "t.parquet", SCHEMA)


def as_sqlite(rows: Rows, folder: Path) -> pd.DataFrame:
    (folder / "t.db").unlink(missing_ok=True)
    connection = sqlite3.connect(folder / "t.db")
    connection.execute(f"CREATE TABLE t ({', '.join(TYPES)})")
    ordered = [[row[name] for name in TYPES] for row in rows]
    values = [[str(value) if isinstance(value, datetime) else value for value in row] for row in ordered]
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(TYPES))})", values)
    connection.commit()
    connection.close()
    frame = read_rows(Address("sqlite:///t.db", "sqlite:///t.db", ()), Query("t"), folder)
    return read_as(RawTable(frame, typed=True, where="t"), SCHEMA)


@share(0.4)
@given(rows=TABLES)
def test_a_table_is_the_same_in_every_format(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("formats")
    formats: list[Callable[[Rows, Path], pd.DataFrame]] = [as_csv, as_gzipped_tsv, as_jsonl, as_parquet, as_sqlite]
    tables = [read(rows, folder) for read in formats]
    kinds = {name: kind for name, kind in TYPES.items() if name != "identifier"}

    for other in tables[1:]:
        assert row_hashes(other).tolist() == row_hashes(tables[0]).tolist()
        assert other["identifier"].tolist() == [row["identifier"] for row in rows]
        pd.testing.assert_frame_equal(conform(other, kinds), conform(tables[0], kinds), check_dtype=False)
    assert tables[0]["word"].tolist() == [row["word"] for row in rows]


# --- what files can hide


def test_whole_decimals_are_integers_and_others_numbers(tmp_path: Path) -> None:
    first = 900_000_000_000_000_000
    ids, amounts = [Decimal(first + at) for at in range(3)], [Decimal("5.00"), None, Decimal("2.50")]
    pd.DataFrame({"id": ids, "amount": amounts, "huge": [Decimal(10**25)] * 3}).to_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")

    assert types_of(read_raw(tmp_path / "t.parquet")) == {"id": "integer", "amount": "number", "huge": "text"}
    assert read["id"].tolist() == [first, first + 1, first + 2]
    assert read["huge"].tolist() == [str(10**25)] * 3


def test_one_time_that_cannot_be_read_is_the_only_one_named() -> None:
    schema = Schema({"day": ColumnType("datetime", "%d/%m/%Y")})
    frame, (found,) = read_readable(text_table(day=["31/01/2025", "31/02/2025", "2025-03-01"]), schema)

    assert (found.count, found.rows) == (1, (1,))
    assert frame["day"].tolist() == ["31/01/2025", "31/02/2025", "2025-03-01"]
    read = read_as(text_table(day=["31/01/2025", "2025-03-01"]), schema)
    assert read["day"].tolist() == [pd.Timestamp("2025-01-31", tz="UTC"), pd.Timestamp("2025-03-01", tz="UTC")]


def test_an_index_that_repeats_a_column_is_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": pd.date_range("2025-01-01", periods=3), "index": [7, 8, 9]})
    frame.set_index(pd.Index(frame["t"], name="t")).to_parquet(tmp_path / "a.parquet")
    frame.set_index(pd.Index([5, 5, 7])).to_parquet(tmp_path / "b.parquet")

    repeated = read_raw(tmp_path / "a.parquet")
    assert (set(repeated.frame.columns), repeated.notes) == ({"t", "index"}, ("the index repeats the column 't'",))
    assert list(read_raw(tmp_path / "b.parquet").frame.columns) == ["level_0", "t", "index"]


def test_an_index_with_the_name_of_another_column_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [1, 2, 3]})
    frame.set_index(pd.Index([4, 5, 6], name="t")).to_parquet(tmp_path / "t.parquet")

    with pytest.raises(DataError, match="the index and a column are both named 't'"):
        read_raw(tmp_path / "t.parquet")


def test_columns_of_a_parquet_file_have_names_of_text(tmp_path: Path) -> None:
    for names, expected in (
        ([0, 1], ["0", "1"]),
        (pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]), ["a.x", "a.y"]),
    ):
        pd.DataFrame([[1, 2], [3, 4]], columns=names).to_parquet(tmp_path / "t.parquet")
        assert list(read_raw(tmp_path / "t.parquet").frame.columns) == expected


@pytest.mark.parametrize(
    ("line", "why"), [('{"a": 1, "a": 2}', "the key 'a' occurs twice"), ('{"a": "\\ud83d"}', "surrogates not allowed")]
)
def test_a_line_of_json_that_loses_something_is_refused(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"a": 3}}\n{line}\n', encoding="utf-8")

    with pytest.raises(DataError, match="not valid JSON") as caught:
        read_raw(tmp_path / "t.jsonl")
    assert why in caught.value.why
    assert caught.value.where.endswith("t.jsonl:2")


@pytest.mark.parametrize("name", ["_2025-05.csv", "readme_customers.csv", "part.CSV.gz"])
def test_a_file_that_ends_like_a_table_is_data(name: str) -> None:
    assert is_data_file(name)


@pytest.mark.parametrize("name", ["_SUCCESS", "_metadata", "README.md", "readme.txt", ".b.csv"])
def test_markers_and_notes_are_no_data(name: str) -> None:
    assert not is_data_file(name)


def test_a_link_that_leads_nowhere_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")

    with pytest.raises(DataError, match="the link leads nowhere") as caught:
        read_tables(tmp_path, ".")
    assert str(caught.value.where).endswith("b.csv")


def test_true_and_false_as_text_are_as_in_a_csv_file() -> None:
    assert read_as(typed_table(a=[True, "x"]), Schema({"a": ColumnType("text")}))["a"].tolist() == ["true", "x"]


def test_a_row_has_the_same_hash_beside_a_distant_year() -> None:
    times = ["2025-01-01T00:00:00.123456789Z", "9999-12-31"]
    together = read_as(text_table(at=times), Schema({"at": ColumnType("datetime")}))
    alone = read_as(text_table(at=times[:1]), Schema({"at": ColumnType("datetime")}))

    assert row_hashes(together)[0] == row_hashes(alone)[0]


def test_a_long_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"a,b\n1,{'x' * 200_000}\n", encoding="utf-8")

    assert len(read_raw(tmp_path / "t.csv").frame["b"][0]) == 200_000


def test_the_index_of_a_parquet_file_becomes_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(3)})
    for index, names in (
        (pd.MultiIndex.from_arrays([list("xyz"), [1, 2, 3]], names=["who", None]), ["who", "level_1", "a"]),
        (pd.date_range("2025-01-01", periods=3), ["index", "a"]),
        (pd.Index([7, 5, 7], name=None), ["index", "a"]),
        (pd.Index([3, 5, 9], name="id"), ["id", "a"]),
    ):
        frame.set_index(index).to_parquet(tmp_path / "t.parquet")
        assert list(read_raw(tmp_path / "t.parquet").frame.columns) == names


def test_row_numbers_that_pandas_left_are_mentioned(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(9)}).iloc[[1, 4, 8]].to_parquet(tmp_path / "t.parquet")
    raw = read_raw(tmp_path / "t.parquet")

    assert list(raw.frame.columns) == ["a"]
    assert raw.notes == ("the row numbers that pandas stored in the file are left out",)


def test_integers_with_gaps_in_a_parquet_file_are_exact(tmp_path: Path) -> None:
    ids = [2**60 + 1, None, 2**60 + 3]
    pd.DataFrame({"id": pd.array(ids, dtype="Int64")}).to_parquet(tmp_path / "t.parquet")

    assert read_table(tmp_path / "t.parquet")["id"].tolist() == [2**60 + 1, pd.NA, 2**60 + 3]


def test_another_delimiter_is_not_one_long_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1,5;2\n")

    with pytest.raises(DataError, match="the columns are separated by ';', not by ','"):
        read_raw(tmp_path / "t.csv")


def test_parts_without_rows_and_late_labels_do_not_refuse_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("x\n3\n", encoding="utf-8")
    (tmp_path / "c.csv").write_text("x,y,z\n", encoding="utf-8")

    found = read_growing(tmp_path, ".", late="y").frame
    assert found["x"].tolist() == [1, 3]
    assert found["y"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="have different columns"):
        read_growing(tmp_path, ".")


def test_row_numbers_of_joined_tables_are_left_out(tmp_path: Path) -> None:
    part = pd.DataFrame({"x": [5.0, 6.0, 7.0]})
    pd.concat([part, part]).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"x": [5.0, 6.0, 7.0]}, index=[7, 7, 9]).to_parquet(tmp_path / "b.parquet")

    assert list(read_raw(tmp_path / "a.parquet").frame.columns) == ["x"]
    assert list(read_raw(tmp_path / "b.parquet").frame.columns) == ["index", "x"]


@pytest.mark.parametrize(
    ("kind", "stored", "read"),
    [("integer", "True", [1]), ("integer", True, [1]), ("number", "true", None), ("number", True, None)],
)
def test_true_is_a_whole_number_in_every_format(kind: str, stored: str | bool, read: list[int] | None) -> None:
    make = text_table if isinstance(stored, str) else typed_table
    frame, unreadable = read_readable(make(x=[stored]), Schema({"x": ColumnType(kind)}))

    assert (None if unreadable else frame["x"].tolist()) == read


@pytest.mark.parametrize("stored", ["1.00E+17", 1e17])
def test_an_id_that_a_float_has_rounded_is_refused(stored: str | float) -> None:
    make = text_table if isinstance(stored, str) else typed_table

    assert read_readable(make(x=[stored]), Schema({"x": ColumnType("integer")}))[1][0].count == 1


def test_spaces_around_numbers_and_times_are_not_read() -> None:
    table = text_table(a=[" 1.5", "2", " "], b=["2025-01-01 ", " 2025-01-02", ""], c=[" 02134", "1", "2"])

    schema = infer_schema([table])
    assert {name: str(one) for name, one in schema.types.items()} == {"a": "number", "b": "datetime", "c": "text"}
    assert read_as(table, schema)["a"].tolist()[:2] == [1.5, 2]
    assert read_as(table, schema).isna().sum().tolist() == [1, 1, 0]
