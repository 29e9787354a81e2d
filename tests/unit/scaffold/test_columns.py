"""Inferred column roles, and tables that are refused before anything is written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.scaffold.columns import Choices, infer_column_roles
from titlebout.settings.column_type import ColumnType

ROWS = 60


def customers() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "customer_id": generator.permutation(ROWS) + 1000,
            "row": np.arange(ROWS),
            "signup": pd.date_range("2024-01-01", periods=ROWS, freq="D").astype(str),
            "cancelled": [None, *pd.date_range("2024-03-01", periods=ROWS - 1, freq="D").astype(str)],
            "age": generator.integers(18, 80, ROWS),
            "income": np.arange(ROWS) * 7 + 20_000,
            "active": generator.random(ROWS) < 0.5,
            "plan": generator.choice(["basic", "pro"], ROWS),
            "comment": [f"note {row}" for row in range(ROWS)],
            "country": "NL",
            "churned": generator.choice(["yes", "no"], ROWS),
        }
    )


def write_table(folder: Path, frame: pd.DataFrame, ending: str = "csv") -> Path:
    path = folder / f"table.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path, index=False)
    return path


def test_every_column_gets_a_role_and_a_note(tmp_path: Path) -> None:
    frame, roles = infer_column_roles(write_table(tmp_path, customers()), Choices("churned"))
    assert roles.task == "classification"
    assert roles.time == "signup"
    assert roles.drop == ("customer_id", "row", "cancelled", "comment", "country")
    assert roles.numeric == ("age", "income", "active")
    assert roles.categorical == ("plan",)
    assert {roles.target, roles.time, *roles.drop, *roles.numeric, *roles.categorical} == set(frame.columns)
    assert [note for note in roles.notes if note.startswith("'customer_id' is left out: it is a row number or an id")]
    assert len(roles.notes) == 3 + len(roles.drop)


def test_csv_and_parquet_give_the_same_roles(tmp_path: Path) -> None:
    typed = customers().assign(
        signup=lambda frame: pd.to_datetime(frame["signup"]), cancelled=lambda frame: pd.to_datetime(frame["cancelled"])
    )
    _, by_csv = infer_column_roles(write_table(tmp_path, typed), Choices("churned"))
    _, by_parquet = infer_column_roles(write_table(tmp_path, typed, "parquet"), Choices("churned"))
    assert by_csv == by_parquet


@pytest.mark.parametrize(
    ("days", "rows", "expected"),
    [
        (365, 73_000, 14),  # two weeks have 2,800 rows
        (365, 18_250, 40),  # 2,000 rows, 50 a day
        (250, 6_000, 50),  # a fifth of the time has 1,200 rows
        (30, 6_000, 6),
        (100, 600, 42),  # the gate needs 200 rows, 6 a day
        (100, 60, 67),  # and can have them only for two thirds of the rows
    ],
)
def test_the_holdout_has_enough_rows(tmp_path: Path, days: int, rows: int, expected: int) -> None:
    times = pd.date_range("2024-01-01", pd.Timestamp("2024-01-01") + pd.Timedelta(days=days), periods=rows)
    age = np.random.default_rng(0).integers(18, 80, rows)
    frame = pd.DataFrame({"signup": times, "age": age, "churned": age > 30})
    _, roles = infer_column_roles(write_table(tmp_path, frame, "parquet"), Choices("churned"))
    assert (roles.time, roles.holdout_days) == ("signup", expected)


def test_one_day_of_history_gives_no_time_split(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=ROWS, freq="1min")
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=times)), Choices("churned"))
    assert roles.time == ""
    assert "signup" in roles.drop
    assert "rows are held out by their hash" in roles.notes[1]


@pytest.mark.parametrize(
    ("target", "task"),
    [("churned", "classification"), ("active", "classification"), ("income", "regression"), ("age", "classification")],
)
def test_the_task_is_inferred_from_the_target(tmp_path: Path, target: str, task: str) -> None:
    frame = customers().assign(age=lambda frame: frame["age"] % 3)
    assert infer_column_roles(write_table(tmp_path, frame), Choices(target))[1].task == task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1], "classification"),
        ([3, 7], "classification"),
        ([1, 2, 3, 4, 5], "classification"),
        ([0.0, 1.0], "classification"),
        ([0.5, 1.5], "regression"),
        ([0, 5, 10, 25], "regression"),  # amounts
        ([*range(21)], "regression"),
    ],
)
def test_whole_numbers_are_classes_if_they_are_codes(tmp_path: Path, values: list[float], task: str) -> None:
    frame = customers().assign(given=np.resize(values, ROWS))
    _, roles = infer_column_roles(write_table(tmp_path, frame), Choices("given"))

    assert roles.task == task
    assert (
        f"; for {'regression' if task == 'classification' else 'classification'} instead, add --task" in roles.notes[0]
    ) == (len(values) > 2)


def test_a_float_target_cannot_be_classified(tmp_path: Path) -> None:
    frame = customers().assign(churned=np.tile([0.5, 1.5], ROWS // 2))
    assert infer_column_roles(write_table(tmp_path, frame), Choices("churned"))[1].task == "regression"
    assert (
        infer_column_roles(write_table(tmp_path, frame), Choices("churned", "classification"))[1].task
        == "classification"
    )


@pytest.mark.parametrize(
    ("change", "target", "task", "error", "message"),
    [
        ({}, "nope", None, NotFoundError, "column 'nope' does not exist"),
        ({"churned": None}, "churned", None, DataError, "the target 'churned' has no values"),
        ({"churned": [None, *["yes"] * (ROWS - 1)]}, "churned", None, DataError, "1 missing"),
        ({"churned": "yes"}, "churned", None, InconclusiveError, "always 'yes'"),
        ({"price": 1.0}, "price", "regression", InconclusiveError, "always '1.0'"),
        ({}, "churned", "regression", ConfigError, "cannot be predicted as a number"),
        ({}, "income", "classification", ConfigError, "at most 50"),
    ],
)
def test_an_unusable_table_is_refused(
    tmp_path: Path, change: dict[str, object], target: str, task: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        infer_column_roles(write_table(tmp_path, customers().assign(**change)), Choices(target, task))


@pytest.mark.parametrize(
    ("good", "bad", "kind"),
    [("2025-01-{:02}", "2025-02-30", "times"), ("{}.5", "12 %", "numbers"), ("{}", "no value", "numbers")],
)
def test_few_values_that_make_a_column_text_are_mentioned(tmp_path: Path, good: str, bad: str, kind: str) -> None:
    values = [good.format(1 + at % 28) for at in range(ROWS)]
    values[17] = bad
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(code=values)), Choices("churned"))

    expected = f"'code' is read as text, because 1 of {ROWS:,} values are not {kind}, first in row 17"
    assert any(note.startswith(expected) for note in roles.notes), roles.notes


@pytest.mark.parametrize(
    "good",
    [
        "${:,}",
        "{}%",
        "{},5",
        "1.234.{:03},00",
        "1'234.{:03}",
        "{} EUR",
        "EUR {}",
        "1\N{NARROW NO-BREAK SPACE}{:03}",
        "({}.5)",
    ],
)
def test_numbers_with_other_signs_are_mentioned(tmp_path: Path, good: str) -> None:
    values = [good.format(100 + at % 9) for at in range(ROWS)]
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(code=values)), Choices("churned"))

    assert [
        note for note in roles.notes if note.startswith("'code' is read as text, because its values look like numbers")
    ]
    with pytest.raises(ConfigError, match="cannot be predicted as a number") as caught:
        infer_column_roles(write_table(tmp_path, customers().assign(code=values)), Choices("code", "regression"))
    assert "look like numbers" in str(caught.value.why)


@pytest.mark.parametrize("good", ["0{}", "AB{}", "{}a", "10.0.0.{}", "v1.{}", "{} Main Street"])
def test_codes_are_plain_text(tmp_path: Path, good: str) -> None:
    values = [good.format(100 + at % 9) for at in range(ROWS)]
    values[17] = "1012 AB"
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(code=values)), Choices("churned"))

    assert not [note for note in roles.notes if note.startswith("'code'")]


def test_thousands_separators_are_mentioned(tmp_path: Path) -> None:
    values = [f"{1000 + 7 * at:,}" for at in range(ROWS)]
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(income=values)), Choices("churned"))

    assert [note for note in roles.notes if note.startswith("commas in 'income' are read as thousands separators")]


def test_few_numbers_that_are_no_dates_are_mentioned(tmp_path: Path) -> None:
    days = [20250101 + at % 28 for at in range(ROWS)]
    days[17] = 99999999
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=days)), Choices("churned"))

    expected = (
        f"'signup' is read as numbers, because 1 of {ROWS} values are not dates of the form 20250131, first in row 17"
    )
    assert any(note.startswith(expected) for note in roles.notes), roles.notes


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{:02}.01.2025", "1 of 60 values are not times of the form %d.%m.%Y, first in row 17"),
        ("le {} janvier 2025", "its form of a time is not known: add --type 'ts=datetime FORM'"),
    ],
)
def test_a_time_that_is_not_read_is_mentioned(tmp_path: Path, form: str, expected: str) -> None:
    days = [form.format(1 + at % 28) for at in range(ROWS)]
    days[17] = "00.00.0000"
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(ts=days)), Choices("churned"))

    assert [note for note in roles.notes if note.startswith(f"'ts' is read as text, because {expected}")], roles.notes


def test_days_of_a_spreadsheet_are_mentioned(tmp_path: Path) -> None:
    frame = customers().assign(date=45658.25 + np.arange(ROWS) % 28)
    _, roles = infer_column_roles(write_table(tmp_path, frame), Choices("churned"))

    assert [
        note for note in roles.notes if note.startswith("'date' is used as a number; if these are days of a spread")
    ]


@pytest.mark.parametrize("values", [["9999-12-31"] * 2, ["0001-01-01"] * 2, ["9999-12-31"]])
def test_a_column_whose_newest_times_are_most_rows_does_not_order_them(tmp_path: Path, values: list[str]) -> None:
    frame = customers().assign(signup=[*values, "2025-01-01"] * (ROWS // (len(values) + 1)), cancelled=None)
    frame["signup"] = [
        f"2025-01-{1 + at % 28:02}" if day == "2025-01-01" else day for at, day in enumerate(frame["signup"])
    ]
    _, roles = infer_column_roles(write_table(tmp_path, frame), Choices("churned"))

    assert roles.time == ""
    assert any(note.startswith("'signup' is left out: it is a time, but") for note in roles.notes)


def test_the_only_time_that_does_not_advance_is_mentioned(tmp_path: Path) -> None:
    frame = (
        customers()
        .drop(columns="cancelled")
        .assign(signup=lambda rows: rows["signup"].sample(frac=1, random_state=0).array)
    )
    _, roles = infer_column_roles(write_table(tmp_path, frame), Choices("churned"))

    assert roles.time == "signup"
    assert not roles.is_order_clear
    assert [note for note in roles.notes if "do not advance with the rows" in note and "--time none" in note]


@pytest.mark.parametrize("values", [[f"${1000 + at:,}" for at in range(ROWS)], [f"class {at}" for at in range(ROWS)]])
def test_a_target_of_many_texts_is_refused(tmp_path: Path, values: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"classification supports at most 50"):
        infer_column_roles(write_table(tmp_path, customers().assign(churned=values)), Choices("churned"))


@pytest.mark.parametrize("name", ["customer_id", "row"])
def test_a_target_that_numbers_the_rows_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"the target '{name}' is a row number or an id"):
        infer_column_roles(write_table(tmp_path, customers()), Choices(name))


def test_a_table_that_does_not_exist_is_named_without_advice_about_dvc(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.csv does not exist") as caught:
        infer_column_roles(tmp_path / "nowhere.csv", Choices("y"))

    assert caught.value.fix == "correct the path of --data"


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
@pytest.mark.parametrize("value", [["red", "small"], {"color": "red"}])
def test_a_target_of_lists_or_objects_is_refused(tmp_path: Path, form: str, value: object) -> None:
    frame = customers()
    frame["churned"] = frame["churned"].astype(object)
    frame.at[7, "churned"] = value
    frame.loc[:6, "churned"] = frame.loc[8:, "churned"] = None

    with pytest.raises(DataError, match=rf"'churned' has a list or an object in 1 of {ROWS}") as caught:
        infer_column_roles(write_table(tmp_path, frame, form), Choices("churned"))
    assert str(caught.value.where).endswith("first in row 7")


@pytest.mark.parametrize("other", ["yes ", "  yes", "Yes"])
def test_classes_that_differ_in_spaces_or_capitals_are_mentioned(tmp_path: Path, other: str) -> None:
    values = ["yes" if at % 2 else "no" for at in range(ROWS)]
    values[5] = other
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(churned=values)), Choices("churned"))

    first, second = sorted([other, "yes"])
    assert [note for note in roles.notes if f"the classes {first!r}, {second!r} of 'churned' differ only" in note]


def test_a_gap_in_a_time_is_mentioned(tmp_path: Path) -> None:
    days = [f"2025-01-{1 + at % 28:02}" for at in range(ROWS)]
    days[5] = ""
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=days)), Choices("churned"))

    assert "'signup' is left out: it is a time with 1 missing value" in roles.notes


def test_a_column_without_values_is_left_out(tmp_path: Path) -> None:
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(empty=None)), Choices("churned"))

    assert "empty" in roles.drop
    assert any("'empty' is left out: it has no values" in note for note in roles.notes), roles.notes


def test_a_time_column_cannot_be_the_target(tmp_path: Path) -> None:
    frame = customers().assign(signup=lambda frame: pd.to_datetime(frame["signup"]))
    with pytest.raises(ConfigError, match="is a time"):
        infer_column_roles(write_table(tmp_path, frame, "parquet"), Choices("signup"))


def test_a_table_of_id_columns_has_no_features(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="no features are left"):
        infer_column_roles(
            write_table(tmp_path, customers()[["customer_id", "country", "churned"]]), Choices("churned")
        )


def test_the_row_of_the_first_missing_label_is_reported(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[7, "churned"] = None
    with pytest.raises(DataError) as caught:
        infer_column_roles(write_table(tmp_path, frame), Choices("churned"))
    assert caught.value.where == f"{tmp_path / 'table.csv'}, row 7"


# --- what the user is asked or shown


def test_every_type_is_recorded(tmp_path: Path) -> None:
    _, roles = infer_column_roles(write_table(tmp_path, customers()), Choices("churned"))

    assert set(roles.types) == set(customers().columns)
    assert {roles.types[name] for name in ("customer_id", "signup", "plan", "active")} == {
        "integer",
        "datetime",
        "text",
        "boolean",
    }


def test_rivals_of_the_time_column_are_shown_and_can_be_chosen(tmp_path: Path) -> None:
    born = pd.date_range("1960-01-01", periods=ROWS, freq="90D").astype(str)[::-1]
    path = write_table(tmp_path, customers().assign(cancelled=np.roll(born, 30)))
    _, roles = infer_column_roles(path, Choices("churned"))
    _, chosen = infer_column_roles(path, Choices("churned", time="cancelled"))
    _, none = infer_column_roles(path, Choices("churned", time="none"))

    assert (roles.time, roles.rivals) == ("signup", ("cancelled",))
    assert [note for note in roles.notes if "'signup' (advances with the rows) was chosen over 'cancelled'" in note]
    assert chosen.time == "cancelled"
    assert none.time == ""


def test_a_column_that_is_no_time_cannot_order_the_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'plan' does not have a time in nearly every row"):
        infer_column_roles(write_table(tmp_path, customers()), Choices("churned", time="plan"))


@pytest.mark.parametrize(
    "given", [Choices("churned", time="when"), Choices("churned", types={"when": ColumnType("text")})]
)
def test_an_unknown_column_is_named(given: Choices, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="column 'when' does not exist"):
        infer_column_roles(write_table(tmp_path, customers()), given)


@pytest.mark.parametrize("gap", ["02/01/2025", "NA", ""])
def test_ambiguous_dates_are_asked_about(tmp_path: Path, gap: str) -> None:
    dates = ["01/02/2025", "03/04/2025", gap] * 20
    path = write_table(tmp_path, customers().assign(signup=dates))
    with pytest.raises(ConfigError, match="can be read in 2 ways: %d/%m/%Y, %m/%d/%Y") as caught:
        infer_column_roles(path, Choices("churned"))
    assert "--type 'signup=datetime %d/%m/%Y'" in str(caught.value.fix)

    types = {"signup": ColumnType("datetime", "%m/%d/%Y")}
    assert infer_column_roles(path, Choices("churned", types=types))[1].types["signup"] == "datetime %m/%d/%Y"


def test_the_order_of_the_rows_decides_between_days_and_months(tmp_path: Path) -> None:
    days = [f"{day:02}/{month:02}/2025" for month in range(1, 11) for day in (1, 3, 5, 7, 9, 11)]
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=days)), Choices("churned"))

    assert roles.types["signup"] == "datetime %d/%m/%Y"
    assert roles.time == "signup"


def test_numbers_that_may_be_times_are_mentioned(tmp_path: Path) -> None:
    _, roles = infer_column_roles(
        write_table(tmp_path, customers().assign(income=1735689600 + np.arange(ROWS) ** 2)), Choices("churned")
    )

    assert "'income' is used as a number; if it is a time, add --type 'income=datetime epoch-s'" in roles.notes


def test_rows_without_a_time_are_counted_and_those_with_one_ordered(tmp_path: Path) -> None:
    days = pd.date_range("2025-01-01", periods=ROWS, freq="D").strftime("%Y-%m-%d").where(np.arange(ROWS) != 7, "")
    _, roles = infer_column_roles(
        write_table(tmp_path, customers().assign(signup=days, cancelled="")), Choices("churned")
    )

    assert (roles.time, roles.is_order_clear) == ("signup", True)
    assert infer_column_roles(tmp_path / "table.csv", Choices("churned", time="signup"))[1].time == "signup"
    assert roles.notes[0].startswith("60 rows, 59 used and 1 set aside: their time is missing or cannot be right")


def test_rows_with_a_mistyped_year_are_counted(tmp_path: Path) -> None:
    signup = customers()["signup"].where(customers().index != 5, "2205-01-06")
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=signup)), Choices("churned"))

    assert roles.notes[0].startswith("60 rows, 59 used and 1 set aside: their time is missing or cannot be right")
    assert roles.holdout_days == 39


def test_infinite_values_are_refused_with_their_row(tmp_path: Path) -> None:
    income = customers()["income"].astype(float).where(customers().index != 5, np.inf)
    with pytest.raises(DataError, match="'income' has 1 infinite value") as caught:
        infer_column_roles(write_table(tmp_path, customers().assign(income=income)), Choices("churned"))

    assert str(caught.value.where).endswith("first in row 5")


@pytest.mark.parametrize("value", ["red", 5, 2.5, True, pd.Timestamp("2025-01-01")])
@pytest.mark.parametrize("gaps", [0, 1])
def test_a_column_of_one_category_is_no_obstacle(value: object, gaps: int, tmp_path: Path) -> None:
    same = pd.Categorical([None] * gaps + [value] * (ROWS - gaps))
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(same=same), "parquet"), Choices("churned"))

    assert ("same" in roles.drop) == (gaps == 0 or isinstance(value, pd.Timestamp))


def test_nested_columns_are_left_out_with_a_note(tmp_path: Path) -> None:
    frame = customers().assign(tags=[[1, 2]] * ROWS)
    _, roles = infer_column_roles(write_table(tmp_path, frame, "parquet"), Choices("churned"))

    assert "'tags' is left out: its values are lists or objects" in roles.notes


def test_a_table_of_equal_rows_without_id_and_time_gets_an_offer(tmp_path: Path) -> None:
    frame = pd.DataFrame({"price": ["high", "low"] * 30, "churned": ["yes", "no", "yes"] * 20})
    _, roles = infer_column_roles(write_table(tmp_path, frame), Choices("churned"))

    assert [note for note in roles.notes if "name it in sources.id" in note]
