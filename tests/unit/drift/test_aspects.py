"""Aspects of a column that the comparison of all its values would hide."""

from collections.abc import Callable

import numpy as np
import pytest

from titlebout.drift.alignment import Pair
from titlebout.drift.aspects import FREQUENT_VALUE, NEW_LEVELS, OTHER_VALUES, aspects
from titlebout.drift.distances import Values
from titlebout.drift.rule import ColumnDrift, compare
from titlebout.settings.drift import DriftSettings

SETTINGS = DriftSettings()


def text(old: Values, new: Values) -> Pair:
    names = tuple(map(str, range(int(max(old.max(), new.max())) + 1)))
    return Pair("product", "text", "input", "level", old.astype(float), new.astype(float), names)


def number(old: Values, new: Values) -> Pair:
    return Pair("amount", "number", "input", "number", old, new)


def found(column: Pair) -> ColumnDrift:
    return compare([column], SETTINGS, in_time=True)[0]


def zipf(random: np.random.Generator, rows: int, levels: int = 5000) -> Values:
    shares = 1 / np.arange(1, levels + 1)
    return random.choice(levels, rows, p=shares / shares.sum())


def amounts(random: np.random.Generator, rows: int, zeros: float = 0.85) -> Values:
    return np.where(random.random(rows) < zeros, 0.0, random.lognormal(3, 1, rows))


def test_without_a_change_no_aspect_differs() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        level = found(text(zipf(random, 4000), zipf(random, 1000)))
        amount = found(number(amounts(random, 4000), amounts(random, 1000)))
        assert [one.name for one in (*level.aspects, *amount.aspects)] == [NEW_LEVELS, FREQUENT_VALUE, OTHER_VALUES]
        assert {one.status for one in (level, amount, *level.aspects, *amount.aspects)} == {"stable"}


def test_a_new_level_among_thousands_is_found() -> None:
    random = np.random.default_rng(1)
    new = np.where(random.random(1000) < 0.2, 5000, zipf(random, 1000))
    assert found(text(zipf(random, 4000), new)).status == "drift"


def test_many_new_levels_are_found_though_each_is_rare() -> None:
    random = np.random.default_rng(1)
    new = np.where(random.random(1000) < 0.4, 5000 + random.integers(0, 150, 1000), zipf(random, 1000))
    level = found(text(zipf(random, 4000), new))
    assert (level.status, level.aspects[0].status) == ("drift", "drift")
    assert level.aspects[0].current.levels is not None
    assert level.aspects[0].current.levels["new"] > 0.4


def test_levels_that_always_come_and_go_are_no_news() -> None:
    """A catalogue of which a tenth is new in every block: later rows always have levels that were not there before."""
    random = np.random.default_rng(2)
    catalogue = (np.arange(5000) // 25 + random.integers(0, 30, 5000)).astype(float)
    assert found(text(catalogue[:4000], catalogue[4000:])).aspects[0].status != "drift"


def test_fewer_new_levels_than_before_are_no_drift() -> None:
    random = np.random.default_rng(3)
    old = zipf(random, 4000)
    assert found(text(old, random.choice(old, 1000))).aspects[0].status == "stable"


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        (lambda values: values * 3, OTHER_VALUES),
        (lambda values: np.where(np.arange(1000) % 8, values, 20.0), FREQUENT_VALUE),
    ],
)
def test_zeros_do_not_hide_the_other_values(change: Callable[[Values], Values], aspect: str) -> None:
    random = np.random.default_rng(4)
    amount = found(number(amounts(random, 4000), change(amounts(random, 1000))))
    assert amount.status == "drift"
    assert {one.name: one.status for one in amount.aspects}[aspect] == "drift"


def test_a_number_without_a_frequent_value_has_no_aspects() -> None:
    random = np.random.default_rng(5)
    assert list(aspects(number(random.normal(size=500), random.normal(size=100)))) == []
    assert list(aspects(number(np.full(500, np.nan), random.normal(size=100)))) == []


def test_the_first_gaps_of_a_column_count_from_fewer_on() -> None:
    random = np.random.default_rng(6)
    old, new = random.normal(size=4000), random.normal(size=1000)
    gaps = np.where(random.random(1000) < 0.04, np.nan, new)
    assert found(number(old, gaps)).status == "drift"
    assert found(number(np.where(random.random(4000) < 0.1, np.nan, old), gaps)).status != "drift"


def test_a_larger_spread_is_found() -> None:
    random = np.random.default_rng(7)
    assert found(number(random.normal(size=4000), 1.25 * random.normal(size=1000))).status == "drift"
