"""Dependent rows without a named entity are found by their values, and quantities, levels and changes are not taken for them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from titlebout.drift.alignment import Pair, pairs
from titlebout.drift.entities import candidates, find_entities, with_groups
from titlebout.drift.rule import compare
from titlebout.settings.drift import DriftSettings

SETTINGS = DriftSettings()


def customers(random: np.random.Generator, rows: int, first: int, key: str) -> pd.DataFrame:
    """Return rows of customers of five rows each, spread over the table."""
    owner = random.permutation(np.repeat(np.arange(rows // 5), 5))
    many = rows // 5
    each = {
        "age": random.integers(18, 80, many)[owner],
        "region": random.choice([f"r{number}" for number in range(20)], many)[owner],
        "score": random.normal(size=many)[owner] + 0.3 * random.normal(size=len(owner)),
        "spent": random.lognormal(size=len(owner)),
    }
    ids: dict[str, Any] = {
        "number": {"customer": owner + first},
        "random number": {"customer": random.choice(10**8, many, replace=False)[owner]},
        "text": {"customer": [f"c{one + first}" for one in owner]},
        "exact number": {"income": random.lognormal(10, 0.5, many)[owner]},
        "columns": {},
    }
    return pd.DataFrame(ids[key] | each)


def columns(old: pd.DataFrame, new: pd.DataFrame) -> list[Pair]:
    return list(pairs(old, new, list(old), None))


@pytest.mark.parametrize("key", ["number", "random number", "text", "exact number", "columns"])
def test_rows_of_customers_are_found_and_are_no_drift(key: str) -> None:
    random = np.random.default_rng(0)
    for _ in range(2):
        both = columns(customers(random, 3000, 0, key), customers(random, 500, 10_000, key))
        entities = find_entities(both)
        found = compare(with_groups(both, entities), SETTINGS, in_time=True)

        names = {name for entity in entities for name in entity.names}
        assert names & {"customer", "income"} if key != "columns" else len(entities[0].names) > 1
        assert 4 < entities[0].rows_each < 9
        assert {column.status for column in found} == {"stable"}
        assert {column.status for column in compare(both, SETTINGS, in_time=True)} != {"stable"}  # without the groups


def test_names_and_counters_are_not_compared_but_numbers_are() -> None:
    random = np.random.default_rng(1)
    for key, compared in (("text", False), ("number", False), ("exact number", True)):
        both = columns(customers(random, 3000, 0, key), customers(random, 500, 10_000, key))
        names = {column.name for column in with_groups(both, find_entities(both))}
        assert bool(names & {"customer", "income"}) == compared


def independent(random: np.random.Generator, rows: int) -> pd.DataFrame:
    levels = 1 / np.arange(1, 1001)
    return pd.DataFrame(
        {
            "product": random.choice([f"p{number}" for number in range(1000)], rows, p=levels / levels.sum()),
            "age": np.clip(random.normal(45, 15, rows), 18, 95).astype(int),
            "minute": random.integers(0, 60, rows),
            "price": np.round(random.exponential(20, rows), 1),
            "noise": random.normal(size=rows),
        }
    )


def test_returning_customers_are_known_entities() -> None:
    random = np.random.default_rng(2)
    rows = customers(random, 4000, 0, "number").sample(frac=1, random_state=0)
    assert find_entities(columns(rows.iloc[:3000], rows.iloc[3000:])) == []
    assert find_entities(columns(independent(random, 3000), independent(random, 800))) == []


@pytest.mark.parametrize("change", ["unit", "new products", "upper case"])
def test_a_change_is_not_taken_for_new_entities(change: str) -> None:
    random = np.random.default_rng(3)
    old, new = independent(random, 3000), independent(random, 800)
    if change == "unit":
        new["price"] *= 100
    if change == "new products":
        new["product"] = np.where(random.random(800) < 0.3, "new", new["product"])
    if change == "upper case":
        new["product"] = new["product"].str.upper()
    both = columns(old, new)
    found = {
        column.name: column.status for column in compare(with_groups(both, find_entities(both)), SETTINGS, in_time=True)
    }
    assert found == dict.fromkeys(old, "stable") | {"price" if change == "unit" else "product": "drift"}


def test_the_reference_alone_shows_what_may_be_an_entity() -> None:
    random = np.random.default_rng(4)
    rows = customers(random, 3000, 0, "text")
    assert candidates(columns(rows, rows.head(1)))[0].names == ("customer",)
    rows = independent(random, 3000)
    assert candidates(columns(rows, rows.head(1))) == []
