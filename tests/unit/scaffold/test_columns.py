"""What a stranger's table is turned into, and which tables are refused before anything is written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError
from titlebout.scaffold.columns import read_roles

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


def saved(folder: Path, frame: pd.DataFrame, ending: str = "csv") -> Path:
    path = folder / f"table.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def test_every_column_gets_one_role_and_every_decision_a_sentence(tmp_path: Path) -> None:
    frame, roles = read_roles(saved(tmp_path, customers()), "churned")
    assert roles.task == "classification"
    assert roles.time == "signup"
    assert roles.drop == ("customer_id", "row", "cancelled", "comment", "country")
    assert roles.numeric == ("age", "income", "active")
    assert roles.categorical == ("plan",)
    assert {roles.target, roles.time, *roles.drop, *roles.numeric, *roles.categorical} == set(frame.columns)
    assert [note for note in roles.notes if note.startswith("'customer_id' is left out: it numbers the rows")]
    assert len(roles.notes) == 3 + len(roles.drop)


def test_a_csv_and_a_parquet_file_of_one_table_get_the_same_roles(tmp_path: Path) -> None:
    typed = customers().assign(
        signup=lambda frame: pd.to_datetime(frame["signup"]), cancelled=lambda frame: pd.to_datetime(frame["cancelled"])
    )
    _, by_csv = read_roles(saved(tmp_path, typed), "churned")
    _, by_parquet = read_roles(saved(tmp_path, typed, "parquet"), "churned")
    assert by_csv == by_parquet


@pytest.mark.parametrize(("days", "expected"), [(365, 14), (30, 6), (5, 1)])
def test_the_holdout_is_two_weeks_or_a_fifth_of_a_short_history(tmp_path: Path, days: int, expected: int) -> None:
    times = pd.date_range("2024-01-01", pd.Timestamp("2024-01-01") + pd.Timedelta(days=days), periods=ROWS)
    _, roles = read_roles(saved(tmp_path, customers().assign(signup=times)), "churned")
    assert (roles.time, roles.holdout_days) == ("signup", expected)


def test_a_history_of_a_day_orders_nothing(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=ROWS, freq="1min")
    _, roles = read_roles(saved(tmp_path, customers().assign(signup=times)), "churned")
    assert roles.time == ""
    assert "signup" in roles.drop
    assert "chosen by their content" in roles.notes[1]


@pytest.mark.parametrize(
    ("target", "task"),
    [("churned", "classification"), ("active", "classification"), ("income", "regression"), ("age", "classification")],
)
def test_the_target_tells_the_task(tmp_path: Path, target: str, task: str) -> None:
    frame = customers().assign(age=lambda frame: frame["age"] % 3)
    assert read_roles(saved(tmp_path, frame), target)[1].task == task


def test_a_number_with_a_fraction_is_no_class(tmp_path: Path) -> None:
    frame = customers().assign(churned=np.tile([0.5, 1.5], ROWS // 2))
    assert read_roles(saved(tmp_path, frame), "churned")[1].task == "regression"
    assert read_roles(saved(tmp_path, frame), "churned", "classification")[1].task == "classification"


@pytest.mark.parametrize(
    ("change", "target", "task", "error", "words"),
    [
        ({}, "nope", None, NotFoundError, "no column 'nope'"),
        ({"empty": None}, "churned", None, DataError, "'empty' has no values"),
        ({"churned": [None, *["yes"] * (ROWS - 1)]}, "churned", None, DataError, "1 missing"),
        ({"churned": "yes"}, "churned", None, InconclusiveError, "always 'yes'"),
        ({"price": 1.0}, "price", "regression", InconclusiveError, "always '1.0'"),
        ({}, "churned", "regression", ConfigError, "cannot be predicted as a number"),
        ({}, "income", "classification", ConfigError, "more than 50 classes"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(
    tmp_path: Path, change: dict[str, object], target: str, task: str | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_roles(saved(tmp_path, customers().assign(**change)), target, task)


def test_a_time_is_no_target(tmp_path: Path) -> None:
    frame = customers().assign(signup=lambda frame: pd.to_datetime(frame["signup"]))
    with pytest.raises(ConfigError, match="is a time"):
        read_roles(saved(tmp_path, frame, "parquet"), "signup")


def test_a_table_of_identities_has_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="no column is left"):
        read_roles(saved(tmp_path, customers()[["customer_id", "country", "churned"]]), "churned")


def test_the_row_of_the_first_missing_label_is_named(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[7, "churned"] = None
    with pytest.raises(DataError) as refused:
        read_roles(saved(tmp_path, frame), "churned")
    assert refused.value.where == f"{tmp_path / 'table.csv'}, row 7"
