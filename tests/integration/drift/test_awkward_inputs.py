"""Inputs that break drift libraries: none may crash, and nothing that changed may be passed over in silence."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titlebout.core.results import to_json
from titlebout.drift.measure import drift
from titlebout.drift.report import DriftResult
from titlebout.settings.drift import DriftSettings

ROWS_OLD, ROWS_NEW = 1000, 500
Frames = tuple[pd.DataFrame, pd.DataFrame]
Case = Callable[[pd.DataFrame, pd.DataFrame], Frames]
Make = Callable[[int, bool], Any]


def shop(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": random.normal(20, 5, rows),
            "items": random.poisson(3, rows),
            "country": random.choice(["no", "se", "dk"], rows),
            "member": random.random(rows) < 0.3,
            "label": (random.random(rows) < 0.2).astype("int64"),
        }
    )


def new_only(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Case:
    return lambda old, new: (old, change(new))


def old_only(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Case:
    return lambda old, new: (change(old), new)


def both(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Case:
    return lambda old, new: (change(old), change(new))


def extra(make: Make, *, moved: bool) -> Case:
    """Add a column to both sides; `make` gets the rows and whether the values have moved."""
    return lambda old, new: (old.assign(extra=make(len(old), False)), new.assign(extra=make(len(new), moved)))


def words(few: Any, many: Any) -> Make:
    """Return two values mixed 7 : 3, or 2 : 8 when moved."""

    def make(rows: int, moved: bool) -> "pd.Series[Any]":
        chosen = np.random.default_rng(rows).random(rows) < (0.8 if moved else 0.3)
        return pd.Series([many if one else few for one in chosen], dtype=object)

    return make


def numbers(scale: float = 1, dtype: str = "float64") -> Make:
    """Return normal numbers, two standard deviations higher when moved."""

    def make(rows: int, moved: bool) -> "pd.Series[Any]":
        values = np.random.default_rng(rows).normal(20 + 10 * moved, 5, rows) * scale
        return pd.Series(values.round() if "int" in dtype.lower() else values).astype(dtype)  # type: ignore[call-overload]

    return make


def times(rows: int, moved: bool) -> pd.DatetimeIndex:
    return pd.date_range("2025-01-01" if moved else "2024-01-01", periods=1000, freq="h")[
        np.random.default_rng(rows).integers(0, 1000, rows)
    ]


def spans(rows: int, moved: bool) -> pd.TimedeltaIndex:
    return pd.to_timedelta(np.random.default_rng(rows).normal(50 + 10 * moved, 5, rows), unit="min")


def renamed(names: list[Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.set_axis(names, axis=1)


CASES: dict[str, tuple[str, Case]] = {
    # too little
    "no current rows": ("structural insufficient_data", new_only(lambda f: f.head(0))),
    "no reference rows": ("structural insufficient_data", old_only(lambda f: f.head(0))),
    "one current row": ("insufficient_data", new_only(lambda f: f.head(1))),
    "five current rows": ("insufficient_data", new_only(lambda f: f.head(5))),
    "one reference row": ("insufficient_data", old_only(lambda f: f.head(1))),
    "five rows on both sides": ("insufficient_data", both(lambda f: f.head(5))),
    # columns without values
    "numbers all missing in current": ("structural", new_only(lambda f: f.assign(price=np.nan))),
    "words all missing in current": ("structural", new_only(lambda f: f.assign(country=None))),
    "numbers all missing in the reference": ("drift", old_only(lambda f: f.assign(price=np.nan))),
    "words all missing in the reference": ("drift", old_only(lambda f: f.assign(country=None))),
    "numbers all missing on both sides": ("stable", both(lambda f: f.assign(price=np.nan))),
    "words all missing on both sides": ("stable", both(lambda f: f.assign(country=None))),
    "half of the numbers missing": ("drift", new_only(lambda f: f.assign(price=f["price"].where(f.index % 2 == 0)))),
    "half of the words missing": ("drift", new_only(lambda f: f.assign(country=f["country"].where(f.index % 2 == 0)))),
    "half of the labels missing": ("drift", new_only(lambda f: f.assign(label=f["label"].where(f.index % 2 == 0)))),
    # other columns
    "a column is missing": ("structural", new_only(lambda f: f.drop(columns="price"))),
    "a column is new": ("structural", new_only(lambda f: f.assign(extra=1.0))),
    "a column was renamed": ("structural", new_only(lambda f: f.rename(columns={"price": "cost"}))),
    "a column occurs twice": ("structural", new_only(lambda f: pd.concat([f, f[["price"]]], axis=1))),
    "the label is missing": ("stable", new_only(lambda f: f.drop(columns="label"))),
    "columns in another order": ("stable", new_only(lambda f: f[list(f.columns[::-1])])),
    # other types
    "numbers became words": ("structural", new_only(lambda f: f.assign(price=f["price"].astype(str)))),
    "words became numbers": ("structural", new_only(lambda f: f.assign(country=1.0))),
    "truths became words": ("structural", new_only(lambda f: f.assign(member=f["member"].map({True: "y", False: "n"})))),
    "one unreadable number": ("structural", new_only(lambda f: f.assign(price=f["price"].astype(object).where(f.index > 0, "n/a")))),
    "whole numbers became fractions": ("stable", new_only(lambda f: f.assign(items=f["items"].astype(float)))),
    "truths became 0 and 1": ("stable", new_only(lambda f: f.assign(member=f["member"].astype(int)))),
    "nullable numbers": ("drift", extra(numbers(dtype="Int64"), moved=True)),
    "nullable fractions with gaps": ("drift", lambda old, new: (old.assign(extra=numbers(dtype="Float64")(ROWS_OLD, False).mask(old.index % 9 == 0)), new.assign(extra=numbers(dtype="Float64")(ROWS_NEW, True).mask(new.index % 9 == 0)))),
    "nullable truths": ("drift", new_only(lambda f: f.assign(member=pd.array([True] * len(f), dtype="boolean")))),
    "pyarrow numbers": ("drift", extra(numbers(dtype="double[pyarrow]"), moved=True)),
    "pyarrow everywhere": ("stable", both(lambda f: f.convert_dtypes(dtype_backend="pyarrow"))),
    "small whole numbers": ("drift", extra(numbers(dtype="uint8"), moved=True)),
    "small fractions": ("drift", extra(numbers(dtype="float32"), moved=True)),
    "categories": ("stable", both(lambda f: f.astype({"country": "category"}))),
    "a category that moved": ("drift", new_only(lambda f: f.assign(country=pd.Categorical(["no"] * len(f))))),
    "times that moved": ("drift", extra(times, moved=True)),
    "times that did not": ("stable", extra(times, moved=False)),
    "time spans that moved": ("drift", extra(spans, moved=True)),
    "decimals that moved": ("drift", extra(words(Decimal("1.5"), Decimal("2.5")), moved=True)),
    "numbers and words mixed": ("drift", extra(words(1, "a"), moved=True)),
    "lists in cells": ("drift", extra(words([1], [2, 3]), moved=True)),
    "dictionaries in cells": ("drift", extra(words({"a": 1}, {"a": 2}), moved=True)),
    "bytes": ("drift", extra(words(b"a", b"b"), moved=True)),
    # names
    "names are numbers": ("drift", lambda old, new: (renamed([0, 1, 2, 3, 4])(old), renamed([0, 1, 2, 3, 4])(new.assign(price=99.0)))),
    "names are tuples": ("drift", lambda old, new: (renamed(list(zip("aabbc", "xyxyx", strict=True)))(old), renamed(list(zip("aabbc", "xyxyx", strict=True)))(new.assign(price=99.0)))),
    "names with markup": ("drift", lambda old, new: (old.rename(columns={"price": "<b>|`"}), new.assign(price=99.0).rename(columns={"price": "<b>|`"}))),
    "an index with repeats": ("stable", both(lambda f: f.set_index(pd.Index([0] * len(f))))),
    # values
    "a fifth of the numbers infinite": ("drift", new_only(lambda f: f.assign(price=f["price"].where(f.index % 5 > 0, np.inf)))),
    "a tiny scale": ("drift", extra(numbers(1e-6), moved=True)),
    "a huge scale": ("drift", extra(numbers(1e100), moved=True)),
    "one outlier on both sides": ("drift", lambda old, new: (old.assign(price=old["price"].where(old.index > 0, 1e9)), new.assign(price=(new["price"] + 5).where(new.index > 0, 1e9)))),
    "a constant on both sides": ("stable", both(lambda f: f.assign(price=1.0))),
    "a constant that changed": ("drift", lambda old, new: (old.assign(price=1.0), new.assign(price=2.0))),
    "numbers became constant": ("drift", new_only(lambda f: f.assign(price=20.0))),
    "a level that was never seen": ("drift", new_only(lambda f: f.assign(country=f["country"].where(f.index % 10 > 0, "xx")))),
    "a level that is gone": ("drift", new_only(lambda f: f.assign(country=f["country"].where(f["country"] != "dk", "no")))),
    "identifiers": ("stable", lambda old, new: (old.assign(extra=[f"a{i}" for i in range(len(old))]), new.assign(extra=[f"b{i}" for i in range(len(new))]))),
    "eleven whole numbers instead of ten": ("stable", lambda old, new: (old.assign(extra=old.index % 10), new.assign(extra=(new.index % 10) + (new.index == 7)))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_awkward_input_is_judged(case: str) -> None:
    expected, change = CASES[case]
    old, new = change(shop(ROWS_OLD, 0), shop(ROWS_NEW, 1))

    result = drift(old, new, DriftSettings(), "", "label")

    assert result.verdict in expected.split(), result.reasons
    assert isinstance(result, DriftResult)
    assert to_json(result.model_dump())


def test_the_list_is_as_long_as_its_promise() -> None:
    assert len(CASES) == 59
