"""The drift rule by simulation: how often it cries wolf, and what it finds."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from titlebout.data.columns import recent
from titlebout.drift.alignment import Pair, one_per_group
from titlebout.drift.distances import Kind, Values
from titlebout.drift.rule import compare
from titlebout.settings.drift import DriftSettings

SETTINGS = DriftSettings()
Sample = dict[str, tuple[Kind, Values]]


def quiet(random: np.random.Generator, rows: int) -> Sample:
    """Eight columns of the kinds that tables have."""
    zipf = 1 / np.arange(1, 31)
    return {
        "normal": ("number", random.normal(size=rows)),
        "skewed": ("number", random.lognormal(size=rows)),
        "counts": ("number", random.poisson(3, rows).astype(float)),
        "mostly zero": ("number", np.where(random.random(rows) < 0.9, 0, random.gamma(2, 1, rows))),
        "gaps": ("number", np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows))),
        "five levels": ("level", random.choice(5, rows).astype(float)),
        "thirty levels": ("level", random.choice(30, rows, p=zipf / zipf.sum()).astype(float)),
        "label": ("level", (random.random(rows) < 0.2).astype(float)),
    }


def statuses(old: Sample, new: Sample, *, in_time: bool = True) -> dict[str, str]:
    labels = tuple(map(str, range(40)))
    columns = [
        Pair(name, "number", "input", method, values, new[name][1], labels) for name, (method, values) in old.items()
    ]
    return {column.name: column.status for column in compare(columns, SETTINGS, in_time=in_time)}


def rates(runs: list[dict[str, str]]) -> tuple[float, float]:
    """Return in how many runs some column drifted, and in how many some column was not stable."""
    drifted = np.mean(["drift" in run.values() for run in runs])
    restless = np.mean([set(run.values()) != {"stable"} for run in runs])
    return float(drifted), float(restless)


@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.nightly)])
def test_without_drift_the_verdict_is_almost_never_drift(number: int) -> None:
    """The rule promises the false discovery rate for one look, and far less for what both halves confirm."""
    random = np.random.default_rng(0)
    runs = [statuses(quiet(random, 1500), quiet(random, 400)) for _ in range(number)]
    drifted, restless = rates(runs)
    assert drifted <= 0.005
    assert restless <= SETTINGS.false_discovery_rate + 3 * np.sqrt(0.05 * 0.95 / number)


def grouped(random: np.random.Generator, rows: int) -> Sample:
    return {name: (kind, np.repeat(values, 10)) for name, (kind, values) in quiet(random, rows // 10).items()}


@pytest.mark.parametrize("reference", [1000, pytest.param(5000, marks=pytest.mark.nightly)])
def test_rows_in_groups_do_not_count_as_independent(reference: int) -> None:
    """Ten rows per customer: every test that believes in independent rows fires almost always."""
    random = np.random.default_rng(1)
    runs = [statuses(grouped(random, reference), grouped(random, 500)) for _ in range(25)]
    assert rates(runs)[0] <= 0.1


def test_groups_are_seen_too_where_only_the_current_rows_have_them() -> None:
    random = np.random.default_rng(1)
    runs = [statuses(quiet(random, 2000), grouped(random, 1000), in_time=time) for time in [True, False] * 15]
    assert rates(runs)[0] <= 0.1


def test_a_file_that_was_sorted_hides_nothing() -> None:
    """Without a time column the order of rows may be anybody's: blocks of a sorted file differ, and mean nothing."""
    random = np.random.default_rng(4)
    old, new = ({"age": ("number", np.sort(random.normal(40 + shift, 10, 1000)))} for shift in (0, 4))
    assert statuses(old, new, in_time=False) == {"age": "drift"}  # type: ignore[arg-type]
    same = {"age": ("number", np.sort(random.normal(40, 10, 1000)))}
    assert statuses(old, same, in_time=False) == {"age": "stable"}  # type: ignore[arg-type]


def test_a_column_of_seasons_is_no_news_in_another_season() -> None:
    """A year of a quantity with a season, and four weeks of it a year later."""
    random = np.random.default_rng(5)
    days = np.arange(365 * 20) / 20
    year = 10 * np.sin(2 * np.pi * days / 365) + np.repeat(random.normal(0, 3, 365), 20) + random.normal(0, 1, 7300)
    july = 10 + np.repeat(random.normal(0, 3, 28), 20) + random.normal(0, 1, 560)
    assert statuses({"temperature": ("number", year)}, {"temperature": ("number", july)}) == {"temperature": "stable"}
    assert statuses({"temperature": ("number", year)}, {"temperature": ("number", july + 30)}) == {
        "temperature": "drift"
    }


def test_gaps_where_there_are_none_are_no_test_to_correct_for() -> None:
    random = np.random.default_rng(3)
    old, new = quiet(random, 1500), quiet(random, 400)
    new["normal"] = ("number", new["normal"][1] + 0.5)
    labels = tuple(map(str, range(40)))
    pairs = [
        Pair(name, "number", "input", method, values, new[name][1], labels) for name, (method, values) in old.items()
    ]
    found = {column.name: column for column in compare(pairs, SETTINGS, in_time=True)}
    # Eight columns, gaps in one of them, and the zeros and the other values of another.
    assert found["normal"].q <= 11 * found["normal"].p


def test_one_row_of_each_group_stays_in_place() -> None:
    frame = pd.DataFrame({"customer": ["a", "a", "b", None, None, "b", "c"], "n": range(7)})
    kept = one_per_group(frame, ["customer"])
    assert kept["customer"].dropna().tolist() == sorted(kept["customer"].dropna()) == ["a", "b", "c"]
    assert kept["customer"].isna().sum() == 2
    assert kept["n"].is_monotonic_increasing
    assert one_per_group(frame, ["customer"]).equals(kept)
    assert len(one_per_group(frame, ["customer", "n"])) == 7


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("normal", lambda values: values + 0.5),
        ("counts", lambda values: values + 1),
        ("skewed", lambda values: values * 1.8),
        ("gaps", lambda values: np.where(np.arange(len(values)) % 3 == 0, np.nan, values)),
        ("label", lambda values: np.where(np.arange(len(values)) % 5 == 0, 1.0, values)),
        ("five levels", lambda values: np.where(np.arange(len(values)) % 12 == 0, 7.0, values)),
    ],
)
def test_a_lasting_change_of_one_column_is_found(name: str, change: Callable[[Values], Values]) -> None:
    random = np.random.default_rng(2)
    runs = []
    for _ in range(20):
        old, new = quiet(random, 1500), quiet(random, 400)
        kind, values = new[name]
        runs.append(statuses(old, new | {name: (kind, change(values))}))
    assert np.mean([run[name] == "drift" for run in runs]) >= 0.9
    assert np.mean([set(run.values()) - {"stable"} != set() for run in runs]) == 1


def test_recent_rows_keep_the_order_of_rows_of_one_moment() -> None:
    frame = pd.DataFrame(
        {"when": pd.to_datetime(["2024-01-05", "2024-01-01", "2024-01-05", "2024-01-04"], utc=True), "n": range(4)}
    )
    assert recent(frame, "when", 2)["n"].tolist() == [3, 0, 2]
    assert recent(frame, "", 2)["n"].tolist() == [0, 1, 2, 3]
