"""Entities: named, those of the split, or an identifier-like column within whose values gains are correlated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.gate.entities import clustering, entities_of
from titlebout.settings.params import Params


def params(**split: object) -> Params:
    return Params.model_validate(
        {"data": {"target": "y", "task": "regression"}, "split": {"by": "hash", **split}, "train": {"model": "a:b"}}
    )


PARAMS, OF_SPLIT = params(), params(entity=["shop", "till"])


def table(rows: int = 1000, each: int = 5, seed: int = 0) -> tuple[pd.DataFrame, FloatArray]:
    """Customers with a gain of their own, spread over the file, beside columns that are no identifiers."""
    random = np.random.default_rng(seed)
    customer = random.permutation(np.arange(rows) // each)
    gains = random.normal(0, 1, rows // each)[customer] + random.normal(0, 1, rows)
    frame = pd.DataFrame(
        {
            "customer": customer,
            "row": np.arange(rows),
            "color": random.choice(["red", "green", "blue"], rows),
            "price": random.normal(10, 3, rows).round(2),
            "y": customer,
        }
    )
    return frame, gains


def spelled(customer: "pd.Series[int]", kind: str) -> "pd.Series[object]":
    made = {"text": lambda: "c" + customer.astype(str), "integral": lambda: customer.astype(float)}
    return made.get(kind, lambda: customer)()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["integer", "text", "integral"])
def test_an_unnamed_entity_is_found(kind: str) -> None:
    frame, gains = table()
    name, units = entities_of(frame.assign(customer=spelled(frame["customer"], kind)), PARAMS, "", gains)

    assert name == "customer"
    assert units is not None
    assert (pd.Series(units).groupby(frame["customer"]).nunique() == 1).all()
    assert len(np.unique(units)) == 200


@pytest.mark.parametrize("changed", [{"customer": 0.5}, {"customer": 1}, {"customer": None}])
def test_what_is_no_identifier_is_no_entity(changed: dict[str, object]) -> None:
    """Fractions, one value, and no values."""
    frame, gains = table()
    other = frame["customer"] + 0.5 if changed["customer"] == 0.5 else changed["customer"]

    assert entities_of(frame.assign(customer=other), PARAMS, "", gains) == ("", None)


def test_the_column_with_the_clearest_correlation_is_the_entity() -> None:
    frame, gains = table()
    frame["visit"] = np.random.default_rng(1).permutation(np.arange(1000) // 4)

    assert entities_of(frame, PARAMS, "", gains)[0] == "customer"


def test_missing_identifiers_are_entities_of_their_own() -> None:
    frame, gains = table()
    missing = np.arange(1000) % 10 == 0
    name, units = entities_of(frame.assign(customer=frame["customer"].mask(missing)), PARAMS, "", gains)

    assert name == "customer"
    assert units is not None
    assert (np.bincount(units)[units[missing]] == 1).all()


def test_named_columns_win_then_those_of_the_split() -> None:
    frame, gains = table()
    frame = frame.assign(shop=np.arange(1000) % 7, till=np.arange(1000) % 2)
    by_name, by_split = (entities_of(frame, OF_SPLIT, named, gains) for named in ("color", ""))

    assert (by_name[0], by_split[0]) == ("color", "shop, till")
    assert by_name[1] is not None
    assert by_split[1] is not None
    assert (len(np.unique(by_name[1])), len(np.unique(by_split[1]))) == (3, 14)
    with pytest.raises(ConfigError, match="no column 'buyer'"):
        entities_of(frame, PARAMS, "buyer", gains)


@given(seed=st.integers(0, 99))
def test_independent_gains_have_a_standard_normal_clustering(seed: int) -> None:
    frame, _ = table()
    found = [
        clustering(np.random.default_rng((seed, run)).normal(0, 1, 1000), frame["customer"].to_numpy())
        for run in range(30)
    ]

    assert stats.kstest(found, "norm").pvalue > 1e-5


def test_gains_without_any_difference_have_no_clustering() -> None:
    assert clustering(np.zeros(10), np.arange(10) // 2) == 0
    assert clustering(np.arange(10.0), np.arange(10)) == 0


def test_independent_gains_rarely_have_an_entity() -> None:
    frame, _ = table(400)
    columns = {f"id {at}": np.random.default_rng(at).integers(0, 80, 400) for at in range(6)}
    found = [
        entities_of(frame.assign(**columns), PARAMS, "", np.random.default_rng(seed).normal(0, 1, 400))[0]
        for seed in range(40)
    ]

    assert sum(name != "" for name in found) <= 8
