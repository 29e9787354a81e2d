"""Confidence bounds of a difference: Student's t for independent rows, and clustered rows."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from titlebout.core.arrays import FloatArray
from titlebout.metrics.inference import (
    COSINES,
    SLOW_FACTOR,
    Dependence,
    Difference,
    from_influence,
    from_replicates,
    holm,
    quantile,
)

seeds = st.integers(0, 999)


def paired(rows: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0.1, 1, rows)


def mean_difference(gains: FloatArray, units: "np.ndarray[tuple[int], np.dtype[np.int64]] | None" = None) -> Difference:
    return from_influence(float(gains.mean()), gains - gains.mean(), Dependence(units=units))


@given(rows=st.integers(2, 200), seed=seeds, alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_and_p_value_of_a_mean_equal_the_paired_t_test(rows: int, seed: int, alpha: float) -> None:
    gains = paired(rows, seed)
    difference = mean_difference(gains)
    less = stats.ttest_1samp(gains, 0, alternative="less")
    greater = stats.ttest_1samp(gains, 0, alternative="greater")

    assert difference.p_worse() == pytest.approx(less.pvalue)
    assert difference.upper(alpha) == pytest.approx(less.confidence_interval(1 - alpha).high)
    assert difference.lower(alpha) == pytest.approx(greater.confidence_interval(1 - alpha).low)
    assert difference.df == rows - 1


@given(seed=seeds, copies=st.integers(1, 5))
def test_duplicated_rows_of_one_entity_add_no_information(seed: int, copies: int) -> None:
    gains = paired(40, seed)
    alone, together = (
        mean_difference(gains),
        mean_difference(np.repeat(gains, copies), np.repeat(np.arange(40), copies)),
    )

    assert (together.gain, together.se, together.df) == (
        pytest.approx(alone.gain),
        pytest.approx(alone.se),
        alone.df,
    )
    if copies > 1:
        assert mean_difference(np.repeat(gains, copies)).se < together.se


@given(seed=seeds)
def test_one_entity_per_row_equals_no_entities(seed: int) -> None:
    gains = paired(30, seed)

    assert mean_difference(gains, np.arange(30)).se == pytest.approx(mean_difference(gains).se)


@given(seed=seeds)
def test_row_order_and_entity_numbers_do_not_matter(seed: int) -> None:
    random, gains = np.random.default_rng(seed), paired(60, seed)
    units = np.concatenate([np.arange(7), random.integers(0, 7, 53)])
    order, renumbered = random.permutation(60), random.permutation(7)

    assert mean_difference(gains[order], renumbered[units[order]]).se == pytest.approx(mean_difference(gains, units).se)


def test_entities_of_unequal_size_have_the_standard_error_of_a_ratio() -> None:
    """Mean gain = sum of gains / sum of sizes; expected error from the delta method, written out."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(50), random.integers(1, 20, 50))
    gains = random.normal(0, 1, 50)[units] + random.normal(0, 0.3, len(units))
    sums, sizes = np.bincount(units, weights=gains), np.bincount(units)
    left = sums - gains.mean() * sizes

    assert mean_difference(gains, units).se == pytest.approx(np.sqrt(50 * left.var(ddof=1)) / len(gains))


def test_a_single_entity_gives_no_bound() -> None:
    difference = mean_difference(paired(20, 0), np.zeros(20, dtype=np.int64))

    assert (difference.lower(0.05), difference.upper(0.05)) == (-np.inf, np.inf)


@given(rows=st.integers(2, 80), seed=seeds)
def test_jackknife_and_influence_agree_on_the_error_of_a_mean(rows: int, seed: int) -> None:
    gains = paired(rows, seed)
    replicates = (gains.sum() - gains) / (rows - 1) if rows > 1 else gains

    assert from_replicates(gains.mean(), replicates).se == pytest.approx(mean_difference(gains).se)


@pytest.mark.parametrize("replicates", [[], [0.1], [0.1, np.nan, 0.2], [0.1, np.inf]])
def test_too_few_or_undefined_replicates_give_no_bound(replicates: list[float]) -> None:
    assert from_replicates(0.1, np.array(replicates)).lower(0.05) == -np.inf


@pytest.mark.parametrize(("gain", "p"), [(0.0, 1.0), (0.1, 1.0), (-0.1, 0.0)])
def test_with_zero_standard_error_the_sign_of_the_gain_decides(gain: float, p: float) -> None:
    difference = from_influence(gain, np.zeros(10))

    assert (difference.p_worse(), difference.lower(0.05), difference.upper(0.05)) == (p, gain, gain)


def test_holm_adjustment_equals_a_worked_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9, 0.5])).tolist() == [1.0, 1.0, 1.0]
    assert holm(np.array([0.02])).tolist() == [0.02]
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni(values: list[float]) -> None:
    raw, adjusted = np.array(values), holm(np.array(values))

    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(raw), 1)).all()
    assert adjusted.min() == pytest.approx(min(raw.min() * len(raw), 1))
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


@given(share=st.floats(0.001, 0.999), df=st.integers(1, 10**7))
def test_quantiles_are_those_of_students_t(share: float, df: int) -> None:
    assert quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-6, abs=1e-9)


def test_the_estimated_sample_size_has_a_power_of_80_percent() -> None:
    needed = int(2000 * mean_difference(np.random.default_rng(1).normal(0, 1, 2000)).times_needed(0.2, 0.05))
    random = np.random.default_rng(2)
    shown = [mean_difference(random.normal(0.2, 1, needed)).lower(0.05) > 0 for _ in range(1000)]

    assert needed == pytest.approx((1.645 + 0.842) ** 2 / 0.2**2, rel=0.1)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.05)


def autocorrelated(rows: int, seed: int, correlation: float = 0.9) -> FloatArray:
    random = np.random.default_rng(seed)
    steps, gains = random.normal(0, 1, rows), np.zeros(rows)
    for row in range(1, rows):
        gains[row] = correlation * gains[row - 1] + steps[row]
    return gains + random.normal(0, 1, rows)


def in_time(gains: FloatArray, times: FloatArray | None = None) -> Difference:
    ordered = np.arange(len(gains)) if times is None else times
    return from_influence(float(gains.mean()), gains - gains.mean(), Dependence(times=ordered))


def missed(make: Callable[[int], Difference], runs: int = 400) -> float:
    """Share of one-sided 95% bounds, lower and upper, on the wrong side of a true gain of 0."""
    found = [make(seed) for seed in range(runs)]
    return float(np.mean([(one.lower(0.05) > 0) + (one.upper(0.05) < 0) for one in found])) / 2


def test_bounds_hold_for_rows_that_depend_on_each_other_over_time() -> None:
    assert missed(lambda seed: in_time(autocorrelated(336, seed))) < 0.07
    assert missed(lambda seed: mean_difference(autocorrelated(336, seed))) > 0.15


def test_times_cost_little_where_rows_are_independent() -> None:
    wide = [in_time(paired(336, seed)).half_width(0.05) for seed in range(300)]
    narrow = [mean_difference(paired(336, seed)).half_width(0.05) for seed in range(300)]

    assert np.mean(wide) < 1.2 * np.mean(narrow)
    assert missed(lambda seed: in_time(paired(336, seed) - 0.1)) == pytest.approx(0.05, abs=0.025)


def test_rows_that_depend_on_each_other_are_worth_fewer() -> None:
    found = in_time(autocorrelated(1000, 0))

    assert (found.source, found.df) == ("time", COSINES)
    assert found.effective_rows < 150
    assert mean_difference(paired(1000, 0)).effective_rows == 1000


def test_what_is_slower_than_the_rows_cover_widens_the_bound() -> None:
    gains = autocorrelated(1000, 0)
    ordered = np.arange(1000)
    found = [from_influence(0.0, gains - gains.mean(), Dependence(ordered, None, factor)) for factor in (1.0, 1.5)]

    assert found[1].se == pytest.approx(1.5 * found[0].se)
    assert in_time(gains).se == pytest.approx(SLOW_FACTOR * found[0].se)
    assert in_time(paired(1000, 0)).se == pytest.approx(mean_difference(paired(1000, 0)).se, rel=0.3)


@given(seed=seeds)
def test_only_the_order_of_times_counts(seed: int) -> None:
    random, gains = np.random.default_rng(seed), autocorrelated(200, seed)
    order, times = random.permutation(200), np.sort(random.exponential(1, 200)) ** 3
    shuffled = from_influence(0.0, (gains - gains.mean())[order], Dependence(times=times[order]))

    assert shuffled.se == pytest.approx(in_time(gains).se)


@given(seed=seeds, hours=st.integers(2, 40))
def test_rows_of_one_time_enter_together(seed: int, hours: int) -> None:
    random = np.random.default_rng(seed)
    times, gains = random.integers(0, hours, 400), random.normal(0, 1, 400)
    order = random.permutation(400)
    found = in_time(gains, times)

    assert found.df == min(COSINES, len(np.unique(times)) - 1)
    assert in_time(gains[order], times[order]).se == pytest.approx(found.se)


def test_a_shock_to_all_rows_of_an_hour_widens_the_bound() -> None:
    random = np.random.default_rng(0)
    times = np.repeat(np.arange(100), 20)
    shocks = random.normal(0, 1, 100)[times] + random.normal(0, 1, 2000)

    assert in_time(shocks, times).se > 3 * mean_difference(shocks).se


def test_a_single_time_says_nothing_about_dependence() -> None:
    gains = paired(50, 0)

    assert in_time(gains, np.zeros(50)) == mean_difference(gains)


@given(seed=seeds, of=st.sampled_from(["time", "entity"]))
def test_the_wider_of_two_errors_counts(seed: int, of: str) -> None:
    units = np.random.default_rng(seed).permutation(np.repeat(np.arange(40), 10))
    gains = autocorrelated(400, seed, 0.97) if of == "time" else paired(40, seed)[units] + paired(400, seed)
    both = from_influence(0.0, gains - gains.mean(), Dependence(np.arange(400), units))

    wider = max(in_time(gains), mean_difference(gains, units), key=lambda one: one.half_width(0.05))
    assert (both.half_width(0.05), both.source) == (wider.half_width(0.05), wider.source)


@given(seed=seeds)
def test_jackknife_blocks_in_time_find_the_same_dependence(seed: int) -> None:
    gains = autocorrelated(1000, seed, 0.99)
    blocks = np.arange(1000) // 20
    replicates = np.array([gains[blocks != block].mean() for block in range(50)])
    found, expected = from_replicates(gains.mean(), replicates, in_time=True), in_time(gains)

    assert found.se == pytest.approx(expected.se, rel=0.15)
    assert found.df == expected.df


@given(seed=seeds)
def test_a_subset_keeps_its_times_and_units(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(50) < 0.5
    given = Dependence(random.integers(0, 9, 50), random.integers(0, 9, 50))

    assert np.array_equal(given.take(mask).times, given.times[mask])
    assert np.array_equal(given.take(np.flatnonzero(mask)).units, given.units[mask])
    assert Dependence().take(mask) == Dependence()
    assert replace(given, slow_factor=1.5).take(mask).slow_factor == 1.5
