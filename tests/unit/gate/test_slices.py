"""Slices: one test each, corrected together; small levels are listed and pooled, missing values are a level."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from made_predictions import classification, grouped, pair, sliced, with_answers
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.gate.slices import MAX_SMALL_SLICES, OTHER_LEVEL, Slice, classify_slices, measure_slices
from titlebout.metrics.estimates import log_losses
from titlebout.metrics.inference import holm
from titlebout.settings.gate import SlicesSettings

ALPHA = 0.05


def losses_of(predictions: HoldoutPredictions) -> dict[str, FloatArray]:
    return {
        model_name: log_losses(predictions.truth, predictions.predicted[model_name])
        for model_name in ("champion", "challenger")
    }


def compare_slices(
    predictions: HoldoutPredictions, losses: Mapping[str, FloatArray], settings: SlicesSettings, alpha: float
) -> tuple[tuple[Slice, ...], dict[str, int]]:
    """Slices as their own family of tests."""
    measured, untested = measure_slices(predictions, losses, settings)
    corrected = holm(np.array([one.gain.p_worse() for one in measured if one.gain]))
    return classify_slices(measured, corrected.tolist(), settings.tolerance, alpha), untested


def slices(predictions: HoldoutPredictions, **settings: object) -> tuple[Slice, ...]:
    columns = tuple(predictions.columns.columns)
    return compare_slices(predictions, losses_of(predictions), SlicesSettings(columns=columns, **settings), ALPHA)[0]  # type: ignore[arg-type]


def worse_where(
    predictions: HoldoutPredictions, rows: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> HoldoutPredictions:
    """The same holdout with a challenger that is uninformative in some rows."""
    given_ = predictions.predicted["challenger"].copy()
    given_[rows] = 0.5
    return with_answers(predictions, challenger=given_)


def test_p_values_are_those_of_the_paired_t_test_after_holm() -> None:
    carrier = np.repeat(["a", "b", "c"], [100, 200, 300])
    predictions = sliced(classification(600), carrier=carrier)
    losses = losses_of(predictions)
    gains = losses["champion"] - losses["challenger"]
    raw = {one: stats.ttest_1samp(gains[carrier == one], 0, alternative="less").pvalue for one in "abc"}
    by_size = sorted(raw.values())
    stepped = np.minimum(np.maximum.accumulate([by_size[0] * 3, by_size[1] * 2, by_size[2]]), 1)
    found = {one.level: one for one in slices(predictions)}

    assert {one: found[one].p for one in "abc"} == {
        one: pytest.approx(stepped[by_size.index(raw[one])]) for one in "abc"
    }
    assert {one: found[one].rows for one in "abc"} == {"a": 100, "b": 200, "c": 300}
    inside = carrier == "b"
    assert found["b"].champion == pytest.approx(losses["champion"][inside].mean())
    assert found["b"].change == pytest.approx(
        losses["challenger"][inside].mean() / losses["champion"][inside].mean() - 1
    )


def test_a_slice_with_a_useless_challenger_is_red_and_first() -> None:
    carrier = np.tile(["a", "b", "c", "d"], 500)
    first, *others = slices(worse_where(sliced(classification(2000), carrier=carrier), carrier == "c"))

    assert (first.column, first.level, first.status) == ("carrier", "c", "red")
    assert first.change > 0.02
    assert {one.status for one in others} == {"green"}


def test_a_tolerance_bounds_the_loss_and_not_its_noise() -> None:
    carrier = np.tile(["a", "b"], 1000)
    predictions = worse_where(sliced(classification(2000), carrier=carrier), carrier == "a")

    assert slices(predictions)[0].status == "red"
    assert {one.status for one in slices(predictions, tolerance=5.0)} == {"green"}


def test_what_only_its_own_test_shows_is_yellow() -> None:
    """Twenty slices with a challenger that is a little worse: one or the other test says so, corrected none does."""
    carrier = np.tile(np.arange(20).astype(str), 100)
    found = slices(sliced(classification(2000, seed=3, noise={"challenger": 0.62, "champion": 0.5}), carrier=carrier))

    assert "yellow" in {one.status for one in found}
    assert "red" not in {one.status for one in found}
    assert all(one.p is not None and one.p >= ALPHA for one in found if one.status == "yellow")


def test_small_slices_are_named_pooled_and_not_tested() -> None:
    carrier = np.concatenate([np.repeat("large", 300), np.repeat(["s1", "s2", "s3"], 29), ["one"] * 13])
    predictions = sliced(classification(400), carrier=carrier)
    found, untested = compare_slices(predictions, losses_of(predictions), SlicesSettings(columns=("carrier",)), ALPHA)
    by = {one.level: one for one in found}

    assert untested == {"carrier": 4}
    assert {name: one.rows for name, one in by.items()} == {
        "large": 300,
        "s1": 29,
        "s2": 29,
        "s3": 29,
        "one": 13,
        OTHER_LEVEL: 100,
    }
    assert {name for name, one in by.items() if one.status == "grey"} == {"s1", "s2", "s3", "one"}
    assert {name for name, one in by.items() if one.p is None} == {"s1", "s2", "s3", "one"}


def test_a_loss_in_many_small_slices_is_found_by_pooling() -> None:
    carrier = np.concatenate([np.repeat("large", 1000), np.repeat(np.arange(50).astype(str), 20)])
    found = slices(worse_where(sliced(classification(2000), carrier=carrier), carrier != "large"))

    assert [(one.level, one.status) for one in found if one.status != "grey"] == [
        (OTHER_LEVEL, "red"),
        ("large", "green"),
    ]


def test_one_small_slice_has_nothing_to_be_pooled_with() -> None:
    found = slices(sliced(classification(300), carrier=np.repeat(["large", "small"], [280, 20])))

    assert {(one.level, one.status) for one in found} == {("large", "green"), ("small", "grey")}


def test_a_hundred_thousand_values_are_pooled_and_ten_named() -> None:
    """The budget of a unit test keeps it fast: the work for a value may not grow with their number."""
    rows = 200_000
    predictions = sliced(classification(rows), key=np.arange(rows) // 2)
    predictions = sliced(predictions, key=predictions.columns["key"].astype(str))
    found, untested = compare_slices(predictions, losses_of(predictions), SlicesSettings(columns=("key",)), ALPHA)

    assert untested == {"key": 100_000}
    assert [one.rows for one in found if one.level == OTHER_LEVEL] == [rows]
    assert len([one for one in found if one.status == "grey"]) == MAX_SMALL_SLICES


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


def test_an_unknown_slice_column_is_reported_with_the_existing_ones() -> None:
    predictions = sliced(classification(100), carrier=["a"] * 100)

    with pytest.raises(ConfigError, match="no column 'carier'") as caught:
        compare_slices(predictions, losses_of(predictions), SlicesSettings(columns=("carier",)), ALPHA)
    assert caught.value.why == "the data has: carrier"
    with pytest.raises(ConfigError) as caught:
        compare_slices(classification(100), {}, SlicesSettings(columns=("carrier",)), ALPHA)
    assert caught.value.why == "the data has: no slice columns"


def test_rows_of_one_entity_are_pooled_with_others() -> None:
    carrier = np.repeat(["one", "many"], [100, 900])
    predictions = sliced(
        grouped(classification(1000), np.concatenate([np.zeros(100, int), np.arange(900) // 9 + 1])), carrier=carrier
    )
    found = {one.level: one for one in slices(predictions)}

    assert (found["one"].status, found["one"].p) == ("grey", None)
    assert found["many"].p is not None
    copies = np.arange(100).repeat(10)
    small = classification(100, noise={"challenger": 0.9, "champion": 0.5})
    repeated = HoldoutPredictions(
        small.truth.take(copies), {model_name: given_[copies] for model_name, given_ in small.predicted.items()}
    )
    alone = slices(sliced(small, c=["x"] * 100))[0].p
    together = slices(sliced(grouped(repeated, copies), c=["x"] * 1000))[0].p
    assert together == pytest.approx(alone)


def test_a_loss_below_zero_that_rises_is_worse() -> None:
    """A team's own loss may be a negative profit."""
    predictions = sliced(classification(200), c=["x"] * 200)
    noise = np.random.default_rng(0).normal(0, 0.1, 200)
    found, _ = compare_slices(
        predictions, {"champion": np.full(200, -5.0), "challenger": noise - 3}, SlicesSettings(columns=("c",)), ALPHA
    )

    assert found[0].change == pytest.approx(0.4, abs=0.01)
    assert found[0].status == "red"


@pytest.mark.parametrize(("challenger", "change", "status"), [(0.5, 1.0, "red"), (0.0, 0.0, "green")])
def test_a_champion_without_any_loss_can_only_be_lost_to(challenger: float, change: float, status: str) -> None:
    predictions = sliced(classification(200), c=["x"] * 200)
    losses = {"champion": np.zeros(200), "challenger": np.tile([challenger, challenger / 2], 100)}
    found, _ = compare_slices(predictions, losses, SlicesSettings(columns=("c",)), ALPHA)

    assert (found[0].change, found[0].status) == (change, status)


@given(seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    predictions = sliced(
        classification(300, seed), carrier=random.choice(list("abcdef"), 300), distance=random.normal(size=300)
    )
    order = random.permutation(300)
    shuffled = HoldoutPredictions(
        predictions.truth.take(order),
        {model_name: given_[order] for model_name, given_ in predictions.predicted.items()},
        predictions.columns.iloc[order].reset_index(drop=True),
    )

    def detail(found: tuple[Slice, ...]) -> dict[tuple[str, str], tuple[int, str, float | None]]:
        return {
            (one.column, one.level): (one.rows, one.status, None if one.p is None else round(one.p, 9)) for one in found
        }

    assert detail(slices(shuffled)) == detail(slices(predictions))


def test_equal_models_are_rarely_called_worse_in_any_of_twenty_slices() -> None:
    carrier = np.tile(np.arange(20).astype(str), 50)
    red = [
        any(one.status == "red" for one in slices(sliced(classification(1000, seed), c=carrier))) for seed in range(200)
    ]

    assert np.mean(red) <= 0.09


def test_no_column_means_no_slice() -> None:
    assert slices(with_answers(classification(100), challenger=pair(np.full(100, 0.5)))) == ()
