"""Bounds of a difference: Student's t where rows are independent, and as good where they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from titlebout.core.arrays import FloatArray
from titlebout.metrics.inference import Difference, from_influence, from_replicates, holm, quantile

seeds = st.integers(0, 999)


def paired(rows: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0.1, 1, rows)


def of(gains: FloatArray, units: "np.ndarray[tuple[int], np.dtype[np.int64]] | None" = None) -> Difference:
    return from_influence(float(gains.mean()), gains - gains.mean(), units)


@given(rows=st.integers(2, 200), seed=seeds, alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_and_p_value_of_a_mean_are_those_of_the_paired_t_test(rows: int, seed: int, alpha: float) -> None:
    gains = paired(rows, seed)
    found = of(gains)
    less = stats.ttest_1samp(gains, 0, alternative="less")
    greater = stats.ttest_1samp(gains, 0, alternative="greater")

    assert found.p_worse() == pytest.approx(less.pvalue)
    assert found.upper(alpha) == pytest.approx(less.confidence_interval(1 - alpha).high)
    assert found.lower(alpha) == pytest.approx(greater.confidence_interval(1 - alpha).low)
    assert found.df == rows - 1


@given(seed=seeds, copies=st.integers(1, 5))
def test_copies_of_a_row_tell_nothing_when_they_are_known_to_belong_together(seed: int, copies: int) -> None:
    gains = paired(40, seed)
    alone, together = of(gains), of(np.repeat(gains, copies), np.repeat(np.arange(40), copies))

    assert (together.gain, together.se, together.df) == (
        pytest.approx(alone.gain),
        pytest.approx(alone.se),
        alone.df,
    )
    if copies > 1:
        assert of(np.repeat(gains, copies)).se < together.se


@given(seed=seeds)
def test_every_row_for_itself_is_what_rows_are_without_entities(seed: int) -> None:
    gains = paired(30, seed)

    assert of(gains, np.arange(30)).se == pytest.approx(of(gains).se)


@given(seed=seeds)
def test_neither_the_order_of_rows_nor_the_numbers_of_entities_matter(seed: int) -> None:
    random, gains = np.random.default_rng(seed), paired(60, seed)
    units = np.concatenate([np.arange(7), random.integers(0, 7, 53)])
    order, other = random.permutation(60), random.permutation(7)

    assert of(gains[order], other[units[order]]).se == pytest.approx(of(gains, units).se)


def test_entities_of_unequal_size_have_the_error_of_a_ratio() -> None:
    """Mean gain = sum of gains over sum of sizes; the delta method by hand."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(50), random.integers(1, 20, 50))
    gains = random.normal(0, 1, 50)[units] + random.normal(0, 0.3, len(units))
    sums, sizes = np.bincount(units, weights=gains), np.bincount(units)
    left = sums - gains.mean() * sizes

    assert of(gains, units).se == pytest.approx(np.sqrt(50 * left.var(ddof=1)) / len(gains))


def test_what_rows_of_one_entity_tell_has_no_bound() -> None:
    found = of(paired(20, 0), np.zeros(20, dtype=np.int64))

    assert (found.lower(0.05), found.upper(0.05)) == (-np.inf, np.inf)


@given(rows=st.integers(2, 80), seed=seeds)
def test_leaving_out_one_row_after_the_other_gives_the_same_error_of_a_mean(rows: int, seed: int) -> None:
    gains = paired(rows, seed)
    replicates = (gains.sum() - gains) / (rows - 1) if rows > 1 else gains

    assert from_replicates(gains.mean(), replicates).se == pytest.approx(of(gains).se)


@pytest.mark.parametrize("replicates", [[], [0.1], [0.1, np.nan, 0.2], [0.1, np.inf]])
def test_replicates_that_are_too_few_or_undefined_give_no_bound(replicates: list[float]) -> None:
    assert from_replicates(0.1, np.array(replicates)).lower(0.05) == -np.inf


@pytest.mark.parametrize(("gain", "p"), [(0.0, 1.0), (0.1, 1.0), (-0.1, 0.0)])
def test_without_any_spread_the_gain_decides(gain: float, p: float) -> None:
    found = from_influence(gain, np.zeros(10))

    assert (found.p_worse(), found.lower(0.05), found.upper(0.05)) == (p, gain, gain)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9, 0.5])).tolist() == [1.0, 1.0, 1.0]
    assert holm(np.array([0.02])).tolist() == [0.02]
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferronis(values: list[float]) -> None:
    raw, adjusted = np.array(values), holm(np.array(values))

    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(raw), 1)).all()
    assert adjusted.min() == pytest.approx(min(raw.min() * len(raw), 1))
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


@given(share=st.floats(0.001, 0.999), df=st.integers(1, 10**7))
def test_quantiles_are_students(share: float, df: int) -> None:
    assert quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-6, abs=1e-9)


def test_the_rows_that_are_said_to_be_needed_show_the_gain_in_four_of_five_cases() -> None:
    needed = int(2000 * of(np.random.default_rng(1).normal(0, 1, 2000)).times_needed(0.2, 0.05))
    random = np.random.default_rng(2)
    shown = [of(random.normal(0.2, 1, needed)).lower(0.05) > 0 for _ in range(1000)]

    assert needed == pytest.approx((1.645 + 0.842) ** 2 / 0.2**2, rel=0.1)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.05)
