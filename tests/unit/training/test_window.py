"""How far back to learn from: all of it in a quiet world, what came after a change otherwise."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from titlebout.core.errors import InconclusiveError
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams
from titlebout.training.window import Window, choose

DAYS = 210


def params(*windows: int, **split: Any) -> Params:
    return Params(
        data=DataParams(task="regression", target="y", time="when"),
        split=SplitParams(by="time", windows=windows, **split),
        train=TrainParams(model="team.model:build"),
    )


def world(changed_days_ago: int = 0, seed: int = 0, per_day: int = 20) -> pd.DataFrame:
    """Rows whose relation is turned round so many days before the end; 0: never."""
    random = np.random.default_rng(seed)
    when = pd.date_range("2024-01-01", periods=DAYS, tz="UTC").repeat(per_day)
    x = random.normal(size=len(when))
    slope = np.where(when >= when.max() - pd.Timedelta(days=changed_days_ago - 1), -1.0, 1.0)
    return pd.DataFrame(
        {"when": when, "x": x, "y": (slope if changed_days_ago else 1) * x + random.normal(size=len(x))}
    )


def losses(fitted_on: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray[Any, Any]:
    model = LinearRegression().fit(fitted_on[["x"]], fitted_on["y"])
    return np.abs(model.predict(asked[["x"]]) - asked["y"]).to_numpy()


def test_without_candidates_nothing_is_fitted() -> None:
    def never(fitted_on: pd.DataFrame, asked: pd.DataFrame) -> Any:
        raise AssertionError

    assert choose(world(), params(), never) == Window(0, ())


def test_in_a_quiet_world_all_rows_are_nearly_always_used() -> None:
    chosen = [choose(world(seed=seed), params(182, 84, 42), losses).days for seed in range(20)]

    assert chosen.count(0) >= 16


@pytest.mark.parametrize(("ago", "expected"), [(65, 42), (100, 84)])
def test_after_a_change_what_came_before_it_is_left_out(ago: int, expected: int) -> None:
    chosen = [choose(world(ago, seed=seed), params(182, 84, 42), losses).days for seed in range(5)]

    assert set(chosen) == {expected}


def test_the_longest_within_one_standard_error_of_the_best_is_chosen() -> None:
    found = choose(world(100, seed=3), params(42, 182, 84), losses)

    best = min(one["loss"] for one in found.tried)
    assert [one["days"] for one in found.tried] == [0, 182, 84, 42]
    assert [one["rows"] for one in found.tried] == [(DAYS - 14) * 20, 182 * 20, 84 * 20, 42 * 20]
    assert found.days == next(one["days"] for one in found.tried if one["loss"] - best <= one["se"])


def test_candidates_that_hold_everything_are_not_tried_beside_all() -> None:
    found = choose(world(), params(10_000, 196, 42), losses)

    assert [one["days"] for one in found.tried] == [0, 42]


def test_a_candidate_that_cannot_be_fitted_is_left_out() -> None:
    def picky(fitted_on: pd.DataFrame, asked: pd.DataFrame) -> Any:
        if len(fitted_on) < 50 * 20:
            raise InconclusiveError("one class only")
        return losses(fitted_on, asked)

    assert [one["days"] for one in choose(world(65), params(84, 42), picky).tried] == [0, 84]


def test_with_too_few_rows_to_compare_on_all_are_used() -> None:
    few = world(65, per_day=2)

    assert choose(few, params(42), losses) == Window(0, ())
    assert choose(few, params(42, window_test_days=15), losses).tried


def test_the_window_ends_at_the_newest_row_whatever_the_order() -> None:
    rows = world().sample(frac=1, random_state=0)

    kept = Window(7).of(rows, "when")

    assert len(kept) == 7 * 20
    assert kept["when"].min() == pd.Timestamp("2024-07-22", tz="UTC")
    assert choose(rows, params(84, 42), losses).days == choose(world(), params(84, 42), losses).days
