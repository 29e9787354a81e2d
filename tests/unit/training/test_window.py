"""The choice of the training window: all rows without concept drift, rows after the change with it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from titlebout.core.errors import InconclusiveError
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams
from titlebout.training.window import Window, select_window

DAYS = 210


def params(*windows: int, **split: Any) -> Params:
    return Params(
        data=DataParams(task="regression", target="y", time="when"),
        split=SplitParams(by="time", windows=windows, **split),
        train=TrainParams(model="team.model:build"),
    )


def rows_with_change(changed_days_ago: int = 0, seed: int = 0, per_day: int = 20) -> pd.DataFrame:
    """Return rows whose slope changes its sign this many days before the end; 0 for no change."""
    random = np.random.default_rng(seed)
    when = pd.date_range("2024-01-01", periods=DAYS, tz="UTC").repeat(per_day)
    x = random.normal(size=len(when))
    slope = np.where(when >= when.max() - pd.Timedelta(days=changed_days_ago - 1), -1.0, 1.0)
    return pd.DataFrame(
        {"when": when, "x": x, "y": (slope if changed_days_ago else 1) * x + random.normal(size=len(x))}
    )


def losses(train_rows: pd.DataFrame, test_rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    model = LinearRegression().fit(train_rows[["x"]], train_rows["y"])
    return np.abs(model.predict(test_rows[["x"]]) - test_rows["y"]).to_numpy()


def test_without_candidates_nothing_is_fitted() -> None:
    def fail(train_rows: pd.DataFrame, test_rows: pd.DataFrame) -> Any:
        raise AssertionError

    assert select_window(rows_with_change(), params(), fail) == Window(0, ())


def test_without_a_change_all_rows_are_almost_always_used() -> None:
    chosen = [select_window(rows_with_change(seed=seed), params(182, 84, 42), losses).days for seed in range(20)]

    assert chosen.count(0) >= 16


@pytest.mark.parametrize(("ago", "expected"), [(65, 42), (100, 84)])
def test_rows_before_a_change_are_left_out(ago: int, expected: int) -> None:
    chosen = [select_window(rows_with_change(ago, seed=seed), params(182, 84, 42), losses).days for seed in range(5)]

    assert set(chosen) == {expected}


def test_the_longest_window_within_one_standard_error_is_chosen() -> None:
    window = select_window(rows_with_change(100, seed=3), params(42, 182, 84), losses)

    best = min(candidate["loss"] for candidate in window.tried)
    assert [candidate["days"] for candidate in window.tried] == [0, 182, 84, 42]
    assert [candidate["rows"] for candidate in window.tried] == [(DAYS - 14) * 20, 182 * 20, 84 * 20, 42 * 20]
    assert window.days == next(
        candidate["days"] for candidate in window.tried if candidate["loss"] - best <= candidate["se"]
    )


def test_a_candidate_that_equals_all_rows_is_skipped() -> None:
    window = select_window(rows_with_change(), params(10_000, 196, 42), losses)

    assert [candidate["days"] for candidate in window.tried] == [0, 42]


def test_a_candidate_that_cannot_be_fitted_is_left_out() -> None:
    def losses_of_long_windows(train_rows: pd.DataFrame, test_rows: pd.DataFrame) -> Any:
        if len(train_rows) < 50 * 20:
            raise InconclusiveError("one class only")
        return losses(train_rows, test_rows)

    assert [
        candidate["days"]
        for candidate in select_window(rows_with_change(65), params(84, 42), losses_of_long_windows).tried
    ] == [0, 84]


def test_with_too_few_rows_to_compare_all_are_used() -> None:
    few_rows = rows_with_change(65, per_day=2)

    assert select_window(few_rows, params(42), losses) == Window(0, ())
    assert select_window(few_rows, params(42, window_test_days=15), losses).tried


def test_the_window_ends_at_the_newest_row_whatever_the_order() -> None:
    rows = rows_with_change().sample(frac=1, random_state=0)

    in_window = Window(7).of(rows, "when")

    assert len(in_window) == 7 * 20
    assert in_window["when"].min() == pd.Timestamp("2024-07-22", tz="UTC")
    assert (
        select_window(rows, params(84, 42), losses).days
        == select_window(rows_with_change(), params(84, 42), losses).days
    )
