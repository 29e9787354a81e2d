"""The statistics of drift, against other implementations, by simulation, and on inputs that break naive ones."""

import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from titlebout.drift.distances import (
    MIN_WINDOWS,
    DesignEffect,
    Kind,
    NaturalVariation,
    Values,
    _level_counts,
    design_effect,
    distance,
    effect,
    natural_variation,
    null_share,
    robust_scale,
)

numbers = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_nan=True, allow_infinity=True))
codes = hnp.arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([0.0, 1.0, 2.0, 40.0, np.nan]))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@given(numbers, numbers)
def test_any_two_samples_of_numbers_have_a_distance(old: Values, new: Values) -> None:
    found = distance("number", old, new)
    assert 0 <= found.effect < np.inf
    assert 0 <= found.p <= 1
    assert 0 <= found.null_p <= 1
    assert found.null_delta == null_share(new) - null_share(old)
    assert distance("number", old, old).effect == 0


@given(codes, codes)
def test_any_two_samples_of_levels_have_a_distance(old: Values, new: Values) -> None:
    found = distance("level", old, new)
    assert 0 <= found.effect <= np.sqrt(np.log(2)) + 1e-12
    assert 0 <= found.p <= 1
    assert effect("level", old, new) == pytest.approx(effect("level", new, old))
    assert effect("level", old, old) == pytest.approx(0, abs=1e-7)


def test_the_number_distance_is_wasserstein_in_robust_deviations(random: np.random.Generator) -> None:
    old, new = random.normal(3, 2, 5000), random.normal(4, 2, 700)
    raw = scipy.stats.wasserstein_distance(old, new)
    assert effect("number", old, new) == pytest.approx(raw / robust_scale(old))
    assert effect("number", old, new) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("n_old", "n_new"), [(5000, 400), (200, 200), (1000, 100)])
def test_the_p_value_of_numbers_is_kolmogorov_smirnov(random: np.random.Generator, n_old: int, n_new: int) -> None:
    for shift in (0, 0.1, 0.3):
        old, new = random.normal(0, 1, n_old), random.normal(shift, 1, n_new)
        expected = scipy.stats.ks_2samp(old, new, method="exact").pvalue
        assert distance("number", old, new).p == pytest.approx(expected, rel=0.25, abs=0.02)


@pytest.mark.parametrize("scale", [1e-12, 1e-5, 1, 1e9])
def test_the_number_distance_has_no_unit(random: np.random.Generator, scale: float) -> None:
    old, new = random.normal(0, 1, 2000), random.normal(0.3, 1, 2000)
    assert effect("number", scale * old, scale * new) == pytest.approx(effect("number", old, new))


def test_an_outlier_does_not_stretch_the_scale(random: np.random.Generator) -> None:
    values = random.normal(0, 1, 2000)
    assert robust_scale(np.append(values, 1e12)) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("values", "scale"), [([5, 5, 5], 1), ([0] * 98 + [1, 2], None), ([1, 2], None)])
def test_the_scale_is_never_zero(values: list[float], scale: float | None) -> None:
    assert robust_scale(np.array(values, dtype=float)) > 0
    assert scale is None or robust_scale(np.array(values, dtype=float)) == scale


def test_the_level_distance_is_jensen_shannon() -> None:
    old, new = np.repeat([0.0, 1.0], [800, 200]), np.repeat([0.0, 1.0], [700, 300])
    assert effect("level", old, new) == pytest.approx(0.082, abs=0.001)
    assert effect("level", np.zeros(100), np.ones(100)) == pytest.approx(np.sqrt(np.log(2)))


def test_missing_values_are_a_difference_of_their_own(random: np.random.Generator) -> None:
    old, new = random.normal(size=1000), random.normal(size=500)
    new[::5] = np.nan
    found = distance("number", old, new)
    assert found.null_delta == pytest.approx(0.2)
    assert found.null_p < 1e-20
    assert found.p > 0.01
    assert distance("number", old, np.full(500, np.nan)).null_delta == 1


def test_two_rows_of_a_level_never_seen_are_significant_among_many(random: np.random.Generator) -> None:
    old = random.choice(5, 50_000).astype(float)
    new = np.append(random.choice(5, 198), [5, 5]).astype(float)
    assert distance("level", old, new).p < 1e-4
    assert distance("level", old, new[:198]).p > 0.01


def test_one_row_of_an_unseen_level_is_not_drift(random: np.random.Generator) -> None:
    old = random.choice(5, 50_000).astype(float)
    new = np.append(random.choice(5, 199), 5).astype(float)
    assert 1e-3 < distance("level", old, new).p < 0.05


def test_only_the_most_frequent_levels_are_compared_one_by_one() -> None:
    old = np.repeat(np.arange(200.0), 100)
    assert _level_counts(old, old).shape == (2, 51)
    assert _level_counts(old, old).sum(axis=1).tolist() == [20_000, 20_000]


def test_levels_of_single_rows_are_no_difference() -> None:
    assert distance("level", np.arange(1000.0), np.arange(1000.0, 1500.0)).p == 1
    assert effect("level", np.arange(1000.0), np.arange(1000.0, 1500.0)) == 0


@pytest.mark.parametrize(("n_old", "n_new", "levels"), [(2000, 200, 3), (2000, 200, 50), (5000, 500, 2000)])
def test_p_values_of_levels_keep_their_promise(n_old: int, n_new: int, levels: int) -> None:
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, levels + 1) ** 1.3
    shares /= shares.sum()

    def draw(rows: int) -> Values:
        return random.choice(levels, rows, p=shares).astype(float)

    p = np.array([distance("level", draw(n_old), draw(n_new)).p for _ in range(400)])
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert (p <= 0.5).mean() >= 0.3


def test_a_quiet_reference_has_small_windows_and_a_wandering_one_large(random: np.random.Generator) -> None:
    quiet = random.normal(size=4000)
    wandering = quiet + np.repeat(random.normal(size=20), 200)
    small, large = natural_variation("number", quiet, 200), natural_variation("number", wandering, 200)
    assert 0.05 < small.effect < 0.35
    assert large.effect > 2 * small.effect
    assert small.null_delta == 0


def test_a_window_is_compared_with_the_rest_of_the_reference(random: np.random.Generator) -> None:
    values = random.normal(size=800) + np.repeat(np.arange(8), 100)
    windows = [slice(start, start + 100) for start in range(0, 800, 100)]
    found = [effect("number", np.delete(values, window), values[window]) for window in windows]
    assert natural_variation("number", values, 100).effect == pytest.approx(
        np.mean(found) + 4 * np.std(found, ddof=1), rel=0.2
    )


def test_gaps_in_bursts_are_natural_variation(random: np.random.Generator) -> None:
    bursts = random.normal(size=4000)
    bursts[1000:1300] = np.nan
    assert natural_variation("number", bursts, 200).null_delta > 0.5


def test_too_short_a_reference_has_no_natural_variation(random: np.random.Generator) -> None:
    values = random.normal(size=1000)
    assert natural_variation("number", values, 1000 // MIN_WINDOWS + 1) == NaturalVariation(0, 0)
    assert natural_variation("number", values, 1000 // MIN_WINDOWS).effect > 0


def test_extreme_numbers_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old, new = np.array([-1e308, 0.0, 1.0, 1e308]), np.array([1e308, np.inf, -np.inf, np.nan, 5e-324])
        assert np.isfinite(distance("number", old, new).effect)
        tiny, zero = np.array([0, 0, 0, 1e-200, 2e-200]), np.array([0.0, 1e120])
        assert distance("number", tiny, zero).effect == 1e6


@pytest.mark.parametrize("kind", ["number", "level"])
@pytest.mark.parametrize("size", [1, 10, 30])
def test_rows_are_worth_as_much_as_their_group(random: np.random.Generator, kind: Kind, size: int) -> None:
    draw = random.normal if kind == "number" else lambda size: random.choice(5, size).astype(float)
    found = [design_effect(kind, np.repeat(draw(size=6000 // size), size), 32).values for _ in range(10)]
    assert np.mean(found) == pytest.approx(size, rel=0.35)
    assert (size > 1) or found.count(1.0) >= 8


def test_gaps_that_come_in_bursts_are_worth_less(random: np.random.Generator) -> None:
    values = np.where(np.repeat(random.random(300) < 0.2, 10), np.nan, random.normal(size=3000))
    assert design_effect("number", values, 32).gaps > 5
    assert design_effect("number", values, 32).values < 2


def test_a_sorted_column_is_sorted_and_not_clumped(random: np.random.Generator) -> None:
    ordered = np.sort(random.normal(size=2000))
    assert design_effect("number", ordered, 16, in_time=False).values == 1
    assert design_effect("number", ordered, 16, in_time=True).values > 50


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.nan], [1.0, 1.0, 1.0, 1.0], [np.nan] * 50 + [1.0]])
def test_constant_or_missing_values_have_no_design_effect(values: list[float]) -> None:
    for kind in ("number", "level"):
        assert design_effect(kind, np.array(values), 16).values == 1


def test_rows_worth_less_make_a_difference_less_certain(random: np.random.Generator) -> None:
    old, new = random.normal(size=1000), random.normal(0.2, 1, 500)
    levels = random.choice(3, 1000).astype(float), random.choice(3, 500, p=[0.4, 0.3, 0.3]).astype(float)
    worth = DesignEffect(values=10)
    assert distance("number", old, new, worth, worth).p > distance("number", old, new).p
    assert distance("level", *levels, worth, worth).p > distance("level", *levels).p
    assert distance("number", old, new, worth, worth).effect == distance("number", old, new).effect
