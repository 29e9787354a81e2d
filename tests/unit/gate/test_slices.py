"""Slices: one test each, corrected together; what is too small is named and pooled, what is missing is told."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from made_bouts import classification, grouped, pair, sliced, with_answers
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.gate.predictions import Bout
from titlebout.gate.slices import NAMED, OTHER, Slice, examine
from titlebout.metrics.estimates import log_losses
from titlebout.settings.gate import SlicesSettings

ALPHA = 0.05


def losses_of(bout: Bout) -> dict[str, FloatArray]:
    return {who: log_losses(bout.truth, bout.predicted[who]) for who in ("champion", "challenger")}


def slices(bout: Bout, **settings: object) -> tuple[Slice, ...]:
    columns = tuple(bout.columns.columns)
    return examine(bout, losses_of(bout), SlicesSettings(columns=columns, **settings), ALPHA)[0]  # type: ignore[arg-type]


def worse_where(bout: Bout, rows: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Bout:
    """The same bout with a challenger that knows nothing in some rows."""
    given_ = bout.predicted["challenger"].copy()
    given_[rows] = 0.5
    return with_answers(bout, challenger=given_)


def test_p_values_are_those_of_the_paired_t_test_after_holm() -> None:
    carrier = np.repeat(["a", "b", "c"], [100, 200, 300])
    bout = sliced(classification(600), carrier=carrier)
    losses = losses_of(bout)
    gains = losses["champion"] - losses["challenger"]
    raw = {one: stats.ttest_1samp(gains[carrier == one], 0, alternative="less").pvalue for one in "abc"}
    by_size = sorted(raw.values())
    stepped = np.minimum(np.maximum.accumulate([by_size[0] * 3, by_size[1] * 2, by_size[2]]), 1)
    found = {one.level: one for one in slices(bout)}

    assert {one: found[one].p for one in "abc"} == {
        one: pytest.approx(stepped[by_size.index(raw[one])]) for one in "abc"
    }
    assert {one: found[one].rows for one in "abc"} == {"a": 100, "b": 200, "c": 300}
    inside = carrier == "b"
    assert found["b"].champion == pytest.approx(losses["champion"][inside].mean())
    assert found["b"].change == pytest.approx(
        losses["challenger"][inside].mean() / losses["champion"][inside].mean() - 1
    )


def test_a_slice_in_which_the_challenger_knows_nothing_is_red_and_comes_first() -> None:
    carrier = np.tile(["a", "b", "c", "d"], 500)
    first, *others = slices(worse_where(sliced(classification(2000), carrier=carrier), carrier == "c"))

    assert (first.column, first.level, first.status) == ("carrier", "c", "red")
    assert first.change > 0.02
    assert {one.status for one in others} == {"green"}


def test_a_tolerance_is_of_the_size_of_the_loss_and_not_of_chance() -> None:
    carrier = np.tile(["a", "b"], 1000)
    bout = worse_where(sliced(classification(2000), carrier=carrier), carrier == "a")

    assert slices(bout)[0].status == "red"
    assert {one.status for one in slices(bout, tolerance=5.0)} == {"green"}


def test_what_only_its_own_test_shows_is_yellow() -> None:
    """Twenty slices with a challenger that is a little worse: one or the other test says so, corrected none does."""
    carrier = np.tile(np.arange(20).astype(str), 100)
    found = slices(sliced(classification(2000, seed=3, noise={"challenger": 0.62, "champion": 0.5}), carrier=carrier))

    assert "yellow" in {one.status for one in found}
    assert "red" not in {one.status for one in found}
    assert all(one.p is not None and one.p >= ALPHA for one in found if one.status == "yellow")


def test_small_slices_are_named_pooled_and_not_tested() -> None:
    carrier = np.concatenate([np.repeat("large", 300), np.repeat(["s1", "s2", "s3"], 29), ["one"] * 13])
    bout = sliced(classification(400), carrier=carrier)
    found, untested = examine(bout, losses_of(bout), SlicesSettings(columns=("carrier",)), ALPHA)
    by = {one.level: one for one in found}

    assert untested == {"carrier": 4}
    assert {name: one.rows for name, one in by.items()} == {
        "large": 300,
        "s1": 29,
        "s2": 29,
        "s3": 29,
        "one": 13,
        OTHER: 100,
    }
    assert {name for name, one in by.items() if one.status == "grey"} == {"s1", "s2", "s3", "one"}
    assert {name for name, one in by.items() if one.p is None} == {"s1", "s2", "s3", "one"}


def test_a_loss_that_hides_in_many_small_slices_is_found_where_they_are_pooled() -> None:
    carrier = np.concatenate([np.repeat("large", 1000), np.repeat(np.arange(50).astype(str), 20)])
    found = slices(worse_where(sliced(classification(2000), carrier=carrier), carrier != "large"))

    assert [(one.level, one.status) for one in found if one.status != "grey"] == [(OTHER, "red"), ("large", "green")]


def test_one_small_slice_has_nothing_to_be_pooled_with() -> None:
    found = slices(sliced(classification(300), carrier=np.repeat(["large", "small"], [280, 20])))

    assert {(one.level, one.status) for one in found} == {("large", "green"), ("small", "grey")}


def test_a_hundred_thousand_values_are_fast_pooled_and_named_ten_at_most() -> None:
    rows = 200_000
    bout = sliced(classification(rows), key=np.arange(rows) // 2)
    bout = sliced(bout, key=bout.columns["key"].astype(str))
    start = time.perf_counter()
    found, untested = examine(bout, losses_of(bout), SlicesSettings(columns=("key",)), ALPHA)

    assert time.perf_counter() - start < 10
    assert untested == {"key": 100_000}
    assert [one.rows for one in found if one.level == OTHER] == [rows]
    assert len([one for one in found if one.status == "grey"]) == NAMED


def test_many_numbers_are_cut_in_five_and_few_are_not() -> None:
    random = np.random.default_rng(0)
    found = slices(sliced(classification(1000), distance=random.normal(size=1000), seats=random.integers(0, 20, 1000)))

    assert [one.rows for one in found if one.column == "distance"] == [200] * 5
    assert {one.level for one in found if one.column == "seats"} == {str(level) for level in range(20)}


def test_infinite_numbers_belong_to_the_outermost_parts() -> None:
    distance = np.random.default_rng(0).normal(size=1000)
    distance[:100], distance[100:150] = np.inf, -np.inf

    assert [one.rows for one in slices(sliced(classification(1000), distance=distance))] == [200] * 5


@pytest.mark.parametrize(
    "values",
    [
        [None, "a"] * 100,
        pd.Series([np.nan, 1.0] * 100),
        pd.array([None, 1] * 100, dtype="Int64"),
        pd.Categorical([None, "a"] * 100),
        pd.to_datetime(["NaT", "2024-01-01"] * 100),
        pd.array([None, True] * 100, dtype="boolean"),
    ],
    ids=["text", "number", "Int64", "category", "time", "boolean"],
)
def test_missing_is_a_value_of_its_own(values: object) -> None:
    found = slices(sliced(classification(200), c=values))

    assert len(found) == 2
    assert {one.rows for one in found} == {100}
    assert "(missing)" in {one.level for one in found}


def test_a_column_without_any_value_is_one_slice() -> None:
    assert [(one.level, one.rows) for one in slices(sliced(classification(100), c=[np.nan] * 100))] == [
        ("(missing)", 100)
    ]


def test_mostly_equal_numbers_stay_together() -> None:
    delay = np.concatenate([np.zeros(900), np.arange(100) + 1.0])

    assert sum(one.rows for one in slices(sliced(classification(1000), delay=delay))) == 1000


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    bout = sliced(classification(100), carrier=["a"] * 100)

    with pytest.raises(ConfigError, match="no column 'carier'") as caught:
        examine(bout, losses_of(bout), SlicesSettings(columns=("carier",)), ALPHA)
    assert caught.value.why == "there is: carrier"
    with pytest.raises(ConfigError) as caught:
        examine(classification(100), {}, SlicesSettings(columns=("carrier",)), ALPHA)
    assert caught.value.why == "there is: none"


def test_rows_of_one_entity_are_no_test_and_those_of_many_are_one_together() -> None:
    carrier = np.repeat(["one", "many"], [100, 900])
    bout = sliced(
        grouped(classification(1000), np.concatenate([np.zeros(100, int), np.arange(900) // 9 + 1])), carrier=carrier
    )
    found = {one.level: one for one in slices(bout)}

    assert (found["one"].status, found["one"].p) == ("grey", None)
    assert found["many"].p is not None
    copies = np.arange(100).repeat(10)
    small = classification(100, noise={"challenger": 0.9, "champion": 0.5})
    repeated = Bout(small.truth.take(copies), {who: given_[copies] for who, given_ in small.predicted.items()})
    alone = slices(sliced(small, c=["x"] * 100))[0].p
    together = slices(sliced(grouped(repeated, copies), c=["x"] * 1000))[0].p
    assert together == pytest.approx(alone)


def test_a_loss_below_zero_that_rises_is_worse() -> None:
    """A team's own loss may be a negative profit."""
    bout = sliced(classification(200), c=["x"] * 200)
    noise = np.random.default_rng(0).normal(0, 0.1, 200)
    found, _ = examine(
        bout, {"champion": np.full(200, -5.0), "challenger": noise - 3}, SlicesSettings(columns=("c",)), ALPHA
    )

    assert found[0].change == pytest.approx(0.4, abs=0.01)
    assert found[0].status == "red"


@pytest.mark.parametrize(("challenger", "change", "status"), [(0.5, 1.0, "red"), (0.0, 0.0, "green")])
def test_a_champion_without_any_loss_can_only_be_lost_to(challenger: float, change: float, status: str) -> None:
    bout = sliced(classification(200), c=["x"] * 200)
    losses = {"champion": np.zeros(200), "challenger": np.tile([challenger, challenger / 2], 100)}
    found, _ = examine(bout, losses, SlicesSettings(columns=("c",)), ALPHA)

    assert (found[0].change, found[0].status) == (change, status)


@given(seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    bout = sliced(
        classification(300, seed), carrier=random.choice(list("abcdef"), 300), distance=random.normal(size=300)
    )
    order = random.permutation(300)
    shuffled = Bout(
        bout.truth.take(order),
        {who: given_[order] for who, given_ in bout.predicted.items()},
        bout.columns.iloc[order].reset_index(drop=True),
    )

    def told(found: tuple[Slice, ...]) -> dict[tuple[str, str], tuple[int, str, float | None]]:
        return {
            (one.column, one.level): (one.rows, one.status, None if one.p is None else round(one.p, 9)) for one in found
        }

    assert told(slices(shuffled)) == told(slices(bout))


def test_equal_models_are_rarely_called_worse_in_any_of_twenty_slices() -> None:
    carrier = np.tile(np.arange(20).astype(str), 50)
    red = [
        any(one.status == "red" for one in slices(sliced(classification(1000, seed), c=carrier))) for seed in range(200)
    ]

    assert np.mean(red) <= 0.09


def test_no_column_means_no_slice() -> None:
    assert slices(with_answers(classification(100), challenger=pair(np.full(100, 0.5)))) == ()
