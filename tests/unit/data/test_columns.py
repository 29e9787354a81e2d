"""Reading tables, column kinds, and row hashes that do not depend on file format or dtypes."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import share
from titlebout.core.errors import DataError, NotFoundError
from titlebout.data.columns import (
    ROW_HASH_BITS,
    column_kind,
    conform,
    row_hashes,
    timestamps,
)
from titlebout.data.tables import find_tables, read_table, read_tables

TIMES = pd.to_datetime(["2024-03-01T00:00:00Z", "2024-03-01T02:30:00Z", "2024-03-31T23:59:59.5Z"], format="ISO8601")
# Text that no reader takes for a number, a boolean or a missing value, which a CSV file cannot mark as text.
TEXTS = st.text(st.characters(categories=["L", "P", "S", "Zs"]), max_size=8).map(lambda text: f"w{text}")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**53), 2**53)
MOMENTS = st.datetimes(pd.Timestamp("1990"), pd.Timestamp("2100")).map(pd.Timestamp)


def mixed_frames(*, missing: bool = True) -> st.SearchStrategy[pd.DataFrame]:
    """Frames with a column of every kind."""

    def column(values: st.SearchStrategy[Any], rows: int) -> st.SearchStrategy[list[Any]]:
        return st.lists(values | st.none() if missing else values, min_size=rows, max_size=rows)

    def frame(number: list[Any], whole: list[Any], word: list[Any], moment: list[Any], flag: list[Any]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "number": pd.Series(number, dtype="float64"),
                "whole": pd.Series(whole, dtype="float64"),
                "word": pd.Series(word, dtype="object"),
                "moment": pd.to_datetime(pd.Series(moment, dtype="object"), utc=True),
                "flag": pd.Series(flag, dtype="object"),
            }
        )

    return st.integers(1, 6).flatmap(
        lambda rows: st.builds(
            frame,
            column(NUMBERS, rows),
            column(INTEGERS, rows),
            column(TEXTS, rows),
            column(MOMENTS, rows),
            column(st.booleans(), rows),
        )
    )


def write_csv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def write_parquet(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "rows.parquet", index=False)
    return folder / "rows.parquet"


def write_jsonl(frame: pd.DataFrame, folder: Path) -> Path:
    text = frame.assign(moment=frame["moment"].astype(str).where(frame["moment"].notna(), None))
    text.to_json(folder / "rows.jsonl", orient="records", lines=True, double_precision=15)
    return folder / "rows.jsonl"


def table(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- reading


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_jsonl])
def test_every_file_format_gives_the_same_table(write: Callable[..., Path], tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "moment": TIMES,
            "word": ["Ålesund", 'a,b\n"c"', None],
            "number": [0.1, 1e-300, None],
            "whole": [1, -2, 3],
            "flag": [True, False, True],
        }
    )
    found = read_table(write(frame, tmp_path))
    kinds = {name: column_kind(frame[name]) for name in frame}

    assert {name: column_kind(found[name]) for name in found} == kinds
    pd.testing.assert_frame_equal(conform(found, kinds), conform(frame, kinds))


def test_times_in_any_time_zone_are_read_as_utc(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "a.csv", "t\n2024-03-01T02:00:00+02:00\n2024-03-01\n\n"))

    assert found["t"].tolist() == [pd.Timestamp("2024-03-01", tz="UTC")] * 2


@pytest.mark.parametrize("text", ["2024-03-45", "in 2024-03-01", "01/02/2024", "2024-03-01x"])
def test_text_that_only_resembles_a_time_stays_text(text: str, tmp_path: Path) -> None:
    assert read_table(table(tmp_path, "a.csv", f"t,x\n2024-03-01,1\n{text},1\n"))["t"].tolist() == [
        "2024-03-01",
        text,
    ]


def test_json_strings_stay_text(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "a.jsonl", '{"zip": "00501"}\n\n{"zip": "10001"}\n'))

    assert found["zip"].tolist() == ["00501", "10001"]


def test_a_unicode_line_separator_does_not_end_a_json_line(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "a.jsonl", '{"word": "one\u2028two"}\n'))

    assert found["word"].tolist() == ["one\u2028two"]


def test_a_named_index_becomes_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key")).to_parquet(path)

    assert list(read_table(path).columns) == ["key", "x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_endings_are_accepted(end: str, tmp_path: Path) -> None:
    content = end.join(["a,b", '1,"x\ny"', "2,z", ""])

    assert read_table(table(tmp_path, "a.csv", content))["b"].tolist() == ["x\ny", "z"]


@pytest.mark.parametrize(("name", "content"), [("a.csv", b"a,b\n1,2\n"), ("a.jsonl", b'{"a": 1, "b": 2}\n')])
def test_a_byte_order_mark_is_not_part_of_a_column_name(name: str, content: bytes, tmp_path: Path) -> None:
    assert list(read_table(table(tmp_path, name, b"\xef\xbb\xbf" + content)).columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.parquet", "", "the file is empty"),
        ("a.jsonl", "\n\n", "header but no rows"),
        ("a.csv", "a,b\n", "header but no rows"),
        ("a.csv", b"a,b\n1,\xe9\n", "not UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "not UTF-8"),
        ("a.csv", "a,b\n1,\0\n", "NUL"),
        ("a.jsonl", b'{"a": "\xe9"}', "not UTF-8"),
        ("a.csv", "a,b\n1,2,3\n", "line 2 has 3 fields, but the header has 2"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3 has 1 fields, but the header has 2"),
        ("a.csv", 'a,b\n1,"2\n3,4\n', "not valid CSV"),
        ("a.csv", 'a\n"1', "not valid CSV"),
        ("a.csv", 'a,b\n1,"2"3\n', "not valid CSV"),
        ("a.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("a.csv", "a, A \n1,2\n", "two columns are named 'A'"),
        ("a.csv", "a,\n1,2\n", "column 2 has no name"),
        ("a.jsonl", '{"a": 1, "A": 2}\n', "two columns are named 'A'"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "not valid JSON"),
        ("a.jsonl", '{"a": 1}\n[2]\n', "not a JSON object"),
        ("a.jsonl", "[" * 100_000, "not valid JSON"),
        ("a.parquet", "PAR1 but not really", "not valid Parquet"),
        ("a.xlsx", "x", "unsupported file type: .xlsx"),
        ("a", "x", "unsupported file type: no file name extension"),
    ],
)
def test_a_malformed_file_is_refused_with_its_location(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = table(tmp_path, name, content)

    with pytest.raises(DataError, match=message) as caught:
        read_table(path)

    assert caught.value.exit_code == 65
    assert str(path) in str(caught.value.where)


@pytest.mark.parametrize(("name", "content"), [("a.csv", "a,b\n1,2\n1\n"), ("a.jsonl", '{"a": 1}\n\n{"a"\n')])
def test_a_malformed_line_is_reported_by_its_number(name: str, content: str, tmp_path: Path) -> None:
    path = table(tmp_path, name, content)

    with pytest.raises(DataError) as caught:
        read_table(path)

    assert caught.value.where == f"{path}:3"


@given(cut=st.integers(0, 200))
def test_a_truncated_parquet_file_is_refused(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_parquet(pd.DataFrame({"a": range(100)}), tmp_path_factory.mktemp("cut"))
    path.write_bytes(path.read_bytes()[:-1][: cut * 10 or None])

    with pytest.raises(DataError):
        read_table(path)


@given(
    rows=st.lists(st.lists(st.text(max_size=5), min_size=1, max_size=4), min_size=1, max_size=5),
    separator=st.sampled_from([",", ";"]),
)
@example(rows=[["a"], ["\x85"], ["x"]], separator=",")
def test_any_text_gives_a_table_or_a_data_error(
    rows: list[list[str]], separator: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = table(tmp_path_factory.mktemp("any"), "a.csv", "\n".join(separator.join(row) for row in rows))
    try:
        found = read_table(path)
    except DataError:
        return
    assert len(found) >= 1


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"a\.csv does not exist"):
        read_table(tmp_path / "a.csv")


def test_data_files_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.CSV", "sub/c.jsonl", "readme.txt", "_SUCCESS", ".hidden.csv", ".git/d.csv"):
        table(tmp_path, f"in [x]/{name}", "a\n1\n")
    (tmp_path / "in [x]" / "folder.csv").mkdir()

    found = [path.relative_to(tmp_path / "in [x]").as_posix() for path in find_tables(tmp_path, "in [x]")]

    assert found == ["a.CSV", "b.csv", "sub/c.jsonl"]


def test_a_glob_gives_the_tables_it_matches(tmp_path: Path) -> None:
    for name in ("2024/a.csv", "2024/README.md", "2025/c.csv"):
        table(tmp_path, f"in/{name}", "a\n1\n")

    assert [path.name for path in find_tables(tmp_path, "in/2024/*")] == ["a.csv"]
    assert [path.name for path in find_tables(Path("/nowhere"), f"{tmp_path}/in/**/*.csv")] == ["a.csv", "c.csv"]


def test_tables_are_concatenated_with_the_columns_of_the_first(tmp_path: Path) -> None:
    table(tmp_path, "data/1.csv", "a,b\n1,x\n")
    table(tmp_path, "data/2.jsonl", '{"b": null, "a": 2}\n')

    frame = read_tables(tmp_path, "data")

    assert frame["a"].tolist() == [1, 2]
    assert list(frame.columns) == ["a", "b"]
    assert frame.index.tolist() == [0, 1]


def test_tables_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    table(tmp_path, "data/1.csv", "a,b\n1,x\n")
    table(tmp_path, "data/2.csv", "a,c\n1,x\n")

    with pytest.raises(DataError, match=r"2\.csv and 1\.csv have different columns") as caught:
        read_tables(tmp_path, "data")

    assert caught.value.why == "in only one of the files: b, c"


@pytest.mark.parametrize("pattern", ["data", "data/*.csv", "nowhere"])
def test_a_folder_without_tables_is_not_found(pattern: str, tmp_path: Path) -> None:
    table(tmp_path, "data/README.md", "x")

    with pytest.raises(NotFoundError, match="no data files were found at"):
        read_tables(tmp_path, pattern)


# --- kinds


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series([1, 2]), "integer"),
        (pd.Series([1, None], dtype="Int64"), "integer"),
        (pd.Series([2**70, 1], dtype=object), "integer"),
        (pd.Series([1.5, None]), "number"),
        (pd.Series([1, 2.5], dtype=object), "number"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series(["a", None]), "text"),
        (pd.Series(["a", 1], dtype=object), "text"),
        (pd.Series(["a", "b"], dtype="category"), "text"),
        (pd.Series([1, 2], dtype="category"), "integer"),
        (pd.Series(TIMES), "datetime"),
        (pd.Series(TIMES).dt.tz_localize(None), "datetime"),
        (pd.Series([dt.date(2024, 3, 1), None], dtype=object), "datetime"),
        (pd.Series([], dtype=object), "text"),
    ],
)
def test_the_kind_of_a_column_follows_from_its_values(values: "pd.Series[Any]", kind: str) -> None:
    assert column_kind(values) == kind


def test_conform_converts_each_kind_to_its_dtype() -> None:
    frame = pd.DataFrame(
        {
            "number": ["1.5", None],
            "integer": pd.Series([1, None], dtype="Int64"),
            "boolean": ["true", None],
            "text": pd.Series(["a", None], dtype="category"),
            "datetime": ["2024-03-01 02:00:00+02:00", None],
            "other": [1, 2],
        }
    )
    kinds = {name: name for name in ("text", "number", "integer", "boolean", "datetime")}
    found = conform(frame, kinds)

    assert list(found.columns) == list(kinds)
    assert [str(dtype) for dtype in found.dtypes] == ["object", "float64", "float64", "float64", "datetime64[ns, UTC]"]
    assert found.iloc[0].tolist() == ["a", 1.5, 1.0, 1.0, pd.Timestamp("2024-03-01", tz="UTC")]
    assert found["text"].tolist() == ["a", None]
    assert found.iloc[1, 1:].isna().all()


def test_conforming_twice_changes_nothing() -> None:
    frame = pd.DataFrame({"text": [1, "a"], "number": [1, None], "boolean": [True, False], "datetime": TIMES[:2]})
    kinds = {name: name for name in frame}

    pd.testing.assert_frame_equal(conform(conform(frame, kinds), kinds), conform(frame, kinds))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a"], "number"),
        (["1e400"], "number"),
        ([float("-inf")], "number"),
        (["yes"], "boolean"),
        ([2], "boolean"),
        ([[1, 2]], "text"),
        ([{"a": 1}], "text"),
        (["01/02/2024"], "datetime"),
        (["2024-02-30"], "datetime"),
        ([5], "datetime"),
    ],
)
def test_an_invalid_value_is_reported_with_its_column(values: list[Any], kind: str) -> None:
    with pytest.raises(DataError, match=f"column 'x' cannot be read as {kind}") as caught:
        conform(pd.DataFrame({"x": values}), {"x": kind})

    assert caught.value.why


@pytest.mark.parametrize(("kind", "good", "plural"), [("number", "5", "numbers"), ("datetime", "2024-03-01", "times")])
def test_an_invalid_value_is_counted_and_not_shown(kind: str, good: str, plural: str) -> None:
    with pytest.raises(DataError) as caught:
        conform(pd.DataFrame({"x": [good, None, "secret", "secret", good]}), {"x": kind})

    assert caught.value.why == f"2 values are no {plural}, first in row 2"


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match="lacks columns that the model needs: wind, waves") as caught:
        conform(pd.DataFrame({"Wind": [1]}), {"wind": "number", "waves": "number"})

    assert caught.value.why == "the data has: Wind"


# --- row hashes


@share(0.5)
@given(frame=mixed_frames())
def test_a_row_hash_does_not_depend_on_the_file_format(
    frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    expected = row_hashes(frame).tolist()

    assert row_hashes(read_table(write_parquet(frame, folder))).tolist() == expected
    if frame.notna().any(axis=1).all():  # a CSV drops rows without any value
        assert row_hashes(read_table(write_csv(frame, folder))).tolist() == expected


@share(0.5)
@given(frame=mixed_frames(), order=st.permutations(["number", "whole", "word", "moment", "flag"]))
def test_a_row_hash_does_not_depend_on_column_order(frame: pd.DataFrame, order: list[str]) -> None:
    assert row_hashes(frame[order]).tolist() == row_hashes(frame).tolist()


@share(0.5)
@given(frame=mixed_frames(), seed=st.integers(0, 1000))
def test_a_row_hash_does_not_depend_on_other_rows(frame: pd.DataFrame, seed: int) -> None:
    expected = dict(zip(frame.index, row_hashes(frame).tolist(), strict=True))
    sampled = frame.sample(frac=0.5, random_state=seed)

    assert row_hashes(sampled).tolist() == [expected[index] for index in sampled.index]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, 2, -7]), pd.Series([1.0, 2.0, -7.0])),
        (pd.Series([1, 2, 3], dtype="int8"), pd.Series([1, 2, 3], dtype="Int64")),
        (pd.Series([0, 1, 2]), pd.Series([-0.0, 1.0, 2.0])),
        (pd.Series(["a", None, "b"], dtype=object), pd.Series(["a", None, "b"], dtype="str")),
        (pd.Series(["a", None, "b"], dtype=object), pd.Series(["a", None, "b"], dtype="category")),
        (pd.Series([3, 1, 1]), pd.Series([3, 1, 1], dtype="category")),
        (pd.Series([True, False, None], dtype=object), pd.Series([True, False, None], dtype="boolean")),
        (pd.Series(TIMES), pd.Series(TIMES).dt.tz_convert("Europe/Oslo")),
        (pd.Series(TIMES), pd.Series(TIMES).astype("datetime64[ms, UTC]")),
        (pd.Series(["a", 1, True], dtype=object), pd.Series(["a", "1", "True"], dtype=object)),
        (pd.Series([None, None, None], dtype=object), pd.Series([float("nan")] * 3)),
    ],
)
def test_a_row_hash_does_not_depend_on_dtypes(one: "pd.Series[Any]", other: "pd.Series[Any]") -> None:
    assert row_hashes(pd.DataFrame({"x": one})).tolist() == row_hashes(pd.DataFrame({"x": other})).tolist()


@share(0.5)
@given(frame=mixed_frames(missing=False), column=st.sampled_from(["number", "whole", "word", "moment", "flag"]))
def test_a_row_hash_depends_on_every_column(frame: pd.DataFrame, column: str) -> None:
    changed = frame.copy()
    values = {"number": 0.125, "whole": 77, "word": "other", "moment": TIMES[2], "flag": not frame.loc[0, "flag"]}
    changed.loc[0, column] = values[column]
    if changed.loc[0, column] == frame.loc[0, column]:
        return

    assert row_hashes(changed)[0] != row_hashes(frame)[0]
    assert row_hashes(changed)[1:].tolist() == row_hashes(frame)[1:].tolist()


def test_swapped_columns_give_another_row_hash() -> None:
    one, other = pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"a": [2], "b": [1]})

    assert row_hashes(one)[0] != row_hashes(other)[0]


def test_a_hundred_thousand_rows_have_distinct_48_bit_hashes() -> None:
    hashes = row_hashes(pd.DataFrame({"a": range(100_000), "b": 0.0}))

    assert len(np.unique(hashes)) == 100_000
    assert int(hashes.max()) < 2**ROW_HASH_BITS
    assert int(hashes.max()) > 0.99 * 2**ROW_HASH_BITS


def test_row_hashes_do_not_change_between_versions() -> None:
    """Models store the hashes of their training rows, so a change must also raise artifact.MANIFEST_VERSION."""
    frame = pd.DataFrame(
        {"at": TIMES, "word": ["Ålesund", "", None], "number": [0.5, -3, None], "flag": [True, False, True]}
    )

    assert row_hashes(frame).tolist() == [248272367927653, 89028023485458, 177108021818053]


# --- times


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "contains numbers"),
        ([20240301.0, None], "contains numbers"),
        (["2024-03-01", None], "has missing values"),
        ([None, None], "has missing values"),
        ([float("nan")] * 2, "has missing values"),
        (["2024-03-01", "soon"], "cannot be read as datetime"),
    ],
)
def test_a_time_column_needs_a_time_in_every_row(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        timestamps(pd.DataFrame({"at": values}), "at")


def test_a_missing_time_is_reported_with_its_row() -> None:
    with pytest.raises(DataError) as caught:
        timestamps(pd.DataFrame({"at": ["2024-03-01", "2024-03-02", None]}), "at")

    assert caught.value.where == "first in row 2"


def test_a_missing_time_column_is_reported() -> None:
    with pytest.raises(DataError, match="the data has no time column 'at'"):
        timestamps(pd.DataFrame({"At": ["2024-03-01"]}), "at")
