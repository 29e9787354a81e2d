"""Inferred column roles, and tables that are refused before anything is written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.scaffold.columns import infer_column_roles

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
    else:
        frame.to_parquet(path, index=False)
    return path


def test_every_column_gets_a_role_and_a_note(tmp_path: Path) -> None:
    frame, roles = infer_column_roles(write_table(tmp_path, customers()), "churned")
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
    _, by_csv = infer_column_roles(write_table(tmp_path, typed), "churned")
    _, by_parquet = infer_column_roles(write_table(tmp_path, typed, "parquet"), "churned")
    assert by_csv == by_parquet


@pytest.mark.parametrize(("days", "expected"), [(365, 14), (30, 6), (5, 1)])
def test_the_holdout_is_two_weeks_or_a_fifth_of_a_short_history(tmp_path: Path, days: int, expected: int) -> None:
    times = pd.date_range("2024-01-01", pd.Timestamp("2024-01-01") + pd.Timedelta(days=days), periods=ROWS)
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=times)), "churned")
    assert (roles.time, roles.holdout_days) == ("signup", expected)


def test_one_day_of_history_gives_no_time_split(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=ROWS, freq="1min")
    _, roles = infer_column_roles(write_table(tmp_path, customers().assign(signup=times)), "churned")
    assert roles.time == ""
    assert "signup" in roles.drop
    assert "selected by their hash" in roles.notes[1]


@pytest.mark.parametrize(
    ("target", "task"),
    [("churned", "classification"), ("active", "classification"), ("income", "regression"), ("age", "classification")],
)
def test_the_task_is_inferred_from_the_target(tmp_path: Path, target: str, task: str) -> None:
    frame = customers().assign(age=lambda frame: frame["age"] % 3)
    assert infer_column_roles(write_table(tmp_path, frame), target)[1].task == task


def test_a_float_target_cannot_be_classified(tmp_path: Path) -> None:
    frame = customers().assign(churned=np.tile([0.5, 1.5], ROWS // 2))
    assert infer_column_roles(write_table(tmp_path, frame), "churned")[1].task == "regression"
    assert infer_column_roles(write_table(tmp_path, frame), "churned", "classification")[1].task == "classification"


@pytest.mark.parametrize(
    ("change", "target", "task", "error", "message"),
    [
        ({}, "nope", None, NotFoundError, "column 'nope' does not exist"),
        ({"empty": None}, "churned", None, DataError, "'empty' has no values"),
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
        infer_column_roles(write_table(tmp_path, customers().assign(**change)), target, task)


def test_a_time_column_cannot_be_the_target(tmp_path: Path) -> None:
    frame = customers().assign(signup=lambda frame: pd.to_datetime(frame["signup"]))
    with pytest.raises(ConfigError, match="is a time"):
        infer_column_roles(write_table(tmp_path, frame, "parquet"), "signup")


def test_a_table_of_id_columns_has_no_features(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="no features are left"):
        infer_column_roles(write_table(tmp_path, customers()[["customer_id", "country", "churned"]]), "churned")


def test_the_row_of_the_first_missing_label_is_reported(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[7, "churned"] = None
    with pytest.raises(DataError) as caught:
        infer_column_roles(write_table(tmp_path, frame), "churned")
    assert caught.value.where == f"{tmp_path / 'table.csv'}, row 7"
