"""Distance between two samples of a column: effect size, p-value, and the column's natural variation.

With many rows a p-value alone makes every difference significant, and with few rows an effect size alone makes every
sample different. Drift requires both, and an effect larger than between past windows of the same column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from titlebout.data.sampling import evenly_spaced

Kind = Literal["number", "level"]
# Numbers, or levels coded as 0, 1, 2, ...; missing values are NaN.
Values: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]

SAMPLE = 20_000  # rows per side; more rows cost time and only make smaller differences significant
MIN_WINDOWS, MAX_WINDOWS = 8, 16
VARIATION_SDS = 4
MIN_BLOCKS, MAX_BLOCKS = 16, 64

_MAX_LEVELS = 50
_SMALLEST_P = 1e-300
_BLOCK_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_SORTED_FACTOR = 3  # ratio of dispersions with blocks four times as long; above it rows are sorted, not clustered
_MIN_EXPECTED = 5  # expected rows of a level in the smaller sample, the usual condition of the chi-square test
_IQR_OF_NORMAL = 1.349
_MAX_VALUE, _MIN_SCALE = 1e150, 1e-150  # their squares are still floats
_NEGLIGIBLE = 1e-12
_GRID = 2_000  # values of the reference at which its windows are compared
_MAX_EFFECT = 1e6  # standard deviations; larger effects are cut off


@dataclass(frozen=True)
class Distance:
    """Difference between two samples of one column.

    Attributes
    ----------
    effect : float
        Wasserstein distance in robust standard deviations of the reference, or Jensen-Shannon distance (nats).
    p : float
        p-value of the difference (Kolmogorov-Smirnov or chi-square), corrected for clustered rows.
    null_delta : float
        Share of missing values in current minus share in reference.
    null_p : float
        p-value of that difference of shares.
    spread_p : float
        p-value of the distances from the median of the reference (Kolmogorov-Smirnov), which detect a change of the
        spread that moves the distribution function little; 1 for levels.
    """

    effect: float
    p: float
    null_delta: float
    null_p: float
    spread_p: float = 1.0


@dataclass(frozen=True)
class NaturalVariation:
    """Upper limits of the effect and of the change of missing values (absolute) within the reference."""

    effect: float = 0.0
    null_delta: float = 0.0


@dataclass(frozen=True)
class DesignEffect:
    """Design effect of a column: how many clustered rows are worth one independent row.

    Attributes
    ----------
    values, gaps, spread : float
        For the values, for missing values, and for the distances of numbers from their median.
    """

    values: float = 1.0
    gaps: float = 1.0
    spread: float = 1.0

    def at_least(self, other: "DesignEffect") -> "DesignEffect":
        """Return the element-wise maximum."""
        return DesignEffect(max(self.values, other.values), max(self.gaps, other.gaps), max(self.spread, other.spread))


def distance(
    kind: Kind,
    reference: Values,
    current: Values,
    old: DesignEffect = DesignEffect(),
    new: DesignEffect = DesignEffect(),
) -> Distance:
    """Compare two samples of a column.

    Parameters
    ----------
    kind : {"number", "level"}
    reference, current : ndarray of shape (n_reference,) and (n_current,), n >= 1, dtype float64
        Numbers or codes of levels; NaN and infinite values count as missing.
    old, new : DesignEffect
        Design effects of `reference` and of `current`; by default rows are independent.
    """
    past, now = _present(reference), _present(current)
    gaps = np.array([[len(past), len(reference) - len(past)], [len(now), len(current) - len(now)]])
    null_delta = null_share(current) - null_share(reference)
    null_p = _independence(gaps, (old.gaps, new.gaps))
    if len(past) == 0 or len(now) == 0:
        return Distance(0.0, 1.0, null_delta, null_p)
    design_effects = (old.values, new.values)
    if kind == "level":
        p = _independence(_level_counts(past, now), design_effects)
        return Distance(effect(kind, reference, current), p, null_delta, null_p)
    grid, gaps_between = _distribution_gaps(past, now)
    size = min(float(np.sum(gaps_between[:-1] * np.diff(grid))) / robust_scale(past), _MAX_EFFECT)
    p = _kolmogorov_smirnov(gaps_between, (len(past), len(now)), design_effects)
    center = np.median(past)
    _, folded = _distribution_gaps(np.abs(past - center), np.abs(now - center))
    spread_p = _kolmogorov_smirnov(folded, (len(past), len(now)), (old.spread, new.spread))
    return Distance(size, p, null_delta, null_p, spread_p)


def effect(kind: Kind, reference: Values, current: Values) -> float:
    """Return only the effect of :func:`distance`; 0 if one side has no values."""
    old, new = _present(reference), _present(current)
    if len(old) == 0 or len(new) == 0:
        return 0.0
    if kind == "level":
        return _jensen_shannon(_level_counts(old, new))
    return min(_wasserstein(old, new) / robust_scale(old), _MAX_EFFECT)


def null_share(values: Values) -> float:
    """Return the share of missing values."""
    return 1 - len(_present(values)) / len(values)


def robust_scale(values: Values) -> float:
    """Return the smaller of the standard deviation, which outliers inflate, and its estimate from the quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    sd = float(np.std(values))
    scale = min(sd, float(high - low) / _IQR_OF_NORMAL) if high > low else sd or 1.0
    return max(scale, _MIN_SCALE)


def natural_variation(kind: Kind, reference: Values, length: int) -> NaturalVariation:
    """Return how far windows of the reference are from the rest of it: mean plus four standard deviations.

    This is the effect of seasons, bursts and clustered rows on a column without drift.

    Parameters
    ----------
    kind : {"number", "level"}
    reference : ndarray of shape (n_reference,), dtype float64
        The whole reference in order of time.
    length : int
        Number of rows of the sample to compare with the reference.

    Returns
    -------
    NaturalVariation
        Zeros if the reference has fewer than eight windows of this length.
    """
    count = len(reference) // length
    if count < MIN_WINDOWS:
        return NaturalVariation()
    starts = evenly_spaced(count, MAX_WINDOWS) * length
    windows = [reference[start : start + length] for start in starts]
    rest = len(reference) / (len(reference) - length)  # converts a distance from the whole into one from the rest
    gaps = [abs(null_share(window) - null_share(reference)) * rest for window in windows]
    found = np.column_stack([_effects_within(kind, reference, windows, rest), gaps])
    limits = found.mean(axis=0) + VARIATION_SDS * found.std(axis=0, ddof=1)
    return NaturalVariation(*limits.tolist())


def design_effect(
    kind: Kind, values: Values, blocks: int, *, in_time: bool = True, groups: Sequence[Counts] = ()
) -> DesignEffect:
    """Return the variance between blocks of consecutive rows, or between groups, relative to independent rows.

    Clustered or autocorrelated rows carry less information than the same number of independent rows.

    Parameters
    ----------
    kind : {"number", "level"}
    values : ndarray of shape (n_rows,), dtype float64
        In order of arrival.
    blocks : int
        Number of blocks; 0 for the groups alone.
    in_time : bool
        False if the order may not be one of time; then sorted rows count as independent.
    groups : sequence of ndarray of shape (n_rows,), dtype int64
        Partitions of the rows into groups, such as the rows of one customer, wherever they are in the file.
    """
    known = np.isfinite(values)
    present, ordered = values[known], kind == "number"
    within = [group[known] for group in groups]
    if not ordered or not len(present):
        bins, folded = present.astype(np.int64), np.zeros(0, np.int64)
    else:
        bins, folded = _bins(present), _bins(np.abs(present - np.median(present)))
    return DesignEffect(
        _variance_ratio(bins, blocks, ordered, in_time, within),
        _variance_ratio(known.astype(np.int64), blocks, False, in_time, groups),
        _variance_ratio(folded, blocks, True, in_time, within) if len(folded) else 1.0,
    )


def _bins(values: Values) -> Counts:
    """Return the number of the quantiles below each value."""
    return np.searchsorted(np.unique(np.quantile(values, _BLOCK_QUANTILES)), values)


def _present(values: Values) -> Values:
    return np.clip(values[np.isfinite(values)], -_MAX_VALUE, _MAX_VALUE)


def _variance_ratio(bins: Counts, blocks: int, ordered: bool, in_time: bool, groups: Sequence[Counts]) -> float:
    """Return the larger variance, between blocks or between groups, relative to independent rows."""
    return max(_block_ratio(bins, blocks, ordered, in_time), *(group_ratio(bins, one, ordered) for one in groups), 1.0)


def _block_ratio(bins: Counts, blocks: int, ordered: bool, in_time: bool) -> float:
    """Return the variance between blocks relative to independent rows; 1 if it could be chance."""
    found = _dispersion(bins, blocks, ordered)
    if blocks < 2 or found <= 1 + 2 / np.sqrt(blocks - 1):
        return 1.0
    if in_time:
        return found
    return 1.0 if _dispersion(bins, blocks // 4, ordered) > _SORTED_FACTOR * found else found


def group_ratio(bins: Counts, groups: Counts, ordered: bool) -> float:
    """Return the variance of shares of rows in groups relative to independent rows; 1 if it could be chance.

    The variance is that of a mean of clustered observations, the sum over groups of the squared sums of deviations (Liang
    and Zeger, 1986), so that a few large groups count as much as they should.

    Parameters
    ----------
    bins : ndarray of shape (n_rows,), dtype int64
        Levels, or the interval of each number.
    groups : ndarray of shape (n_rows,), dtype int64
        Group of each row.
    ordered : bool
        Whether bins are intervals, whose cumulative shares are compared.
    """
    if len(bins) == 0:
        return 1.0
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    if len(sizes) < 2:
        return 1.0
    if ordered:
        flags = [(bins <= bin_).astype(np.float64) for bin_ in range(int(bins.max()))]
    else:
        most = np.argsort(-np.bincount(bins), kind="stable")[:_MAX_LEVELS]
        flags = [(bins == bin_).astype(np.float64) for bin_ in most]
    sums = [np.bincount(group, flag - flag.mean()) for flag in flags]
    expected = len(bins) * sum(float(flag.mean() * (1 - flag.mean())) for flag in flags)
    if expected <= _NEGLIGIBLE * len(bins):
        return 1.0
    found = sum(float(one @ one) for one in sums) / expected * len(sizes) / (len(sizes) - 1)
    return found if found > 1 + 2 / np.sqrt(len(sizes) - 1) else 1.0


def _dispersion(bins: Counts, blocks: int, ordered: bool) -> float:
    blocks = min(blocks, len(bins) // 2)
    if blocks < 2:
        return 1.0
    size = int(bins.max()) + 1
    block = np.arange(len(bins)) * blocks // len(bins)
    counts = np.bincount(block * size + bins, minlength=blocks * size).reshape(blocks, size)
    rows = counts.sum(axis=1, keepdims=True)
    shares = counts.cumsum(axis=1) / rows if ordered else counts / rows
    overall = np.average(shares, axis=0, weights=rows[:, 0])
    expected = (blocks - 1) * float((overall * (1 - overall)).sum())
    return float((rows * (shares - overall) ** 2).sum()) / expected if expected > _NEGLIGIBLE else 1.0


def _effects_within(kind: Kind, reference: Values, windows: list[Values], rest: float) -> list[float]:
    """Return the effect of every window against the rest of the reference, computed on one common grid."""
    every = _present(reference)
    if len(every) == 0:
        return [0.0] * len(windows)
    if kind == "level":
        total = np.bincount(every.astype(np.int64))
        counts = [np.bincount(_present(window).astype(np.int64), minlength=len(total)) for window in windows]
        return [_jensen_shannon(_merge_rare(np.array([total - one, one]))) if one.any() else 0.0 for one in counts]
    grid = np.unique(np.sort(every)[evenly_spaced(len(every), _GRID)])
    share = _shares_below(grid, every)
    steps = np.diff(grid) / robust_scale(every)
    found = [np.abs(_shares_below(grid, _present(window)) - share) for window in windows]
    return [min(float(gaps[:-1] @ steps) * rest, _MAX_EFFECT) for gaps in found]


def _shares_below(grid: Values, values: Values) -> Values:
    """Return the empirical distribution function on a grid; zeros without values."""
    position = np.minimum(np.searchsorted(grid, values), len(grid) - 1)
    shares: Values = np.cumsum(np.bincount(position, minlength=len(grid))) / max(len(values), 1)
    return shares


def _kolmogorov_smirnov(gaps: Values, rows: tuple[int, int], design_effects: tuple[float, float]) -> float:
    """Return the p-value from the limiting distribution, which is accurate from about a hundred rows.

    Its tail is that of a normal distribution with half the scale; an estimated design effect gives it the tail of a
    t distribution instead.
    """
    from scipy.special import kolmogorov, ndtri, stdtr

    found = gaps.max() / np.sqrt(design_effects[0] / rows[0] + design_effects[1] / rows[1])
    degrees = _degrees(rows, design_effects)
    if np.isfinite(degrees):
        found = -ndtri(max(stdtr(degrees, -2 * found), _SMALLEST_P)) / 2
    return float(kolmogorov(found))


def _degrees(rows: tuple[int, int], design_effects: tuple[float, float]) -> float:
    """Return the degrees of freedom of the variance of a difference; infinite if all rows are independent.

    That of independent rows is known, and the excess of the design effects is estimated from blocks (Satterthwaite, 1946).
    """
    variance = sum(effect / n for effect, n in zip(design_effects, rows, strict=True))
    excess = sum((effect - 1) / n for effect, n in zip(design_effects, rows, strict=True))
    return (MIN_BLOCKS - 1) * (variance / excess) ** 2 if excess > 0 else float("inf")


def _wasserstein(old: Values, new: Values) -> float:
    """Return the area between the two empirical distribution functions."""
    grid, gaps = _distribution_gaps(old, new)
    return float(np.sum(gaps[:-1] * np.diff(grid)))


def _distribution_gaps(old: Values, new: Values) -> tuple[Values, Values]:
    """Return all values sorted, and the absolute difference of the distribution functions at each."""
    old, new = np.sort(old), np.sort(new)
    grid = np.sort(np.concatenate([old, new]), kind="stable")
    shares = [np.searchsorted(side, grid, side="right") / len(side) for side in (old, new)]
    return grid, np.abs(shares[0] - shares[1])


def _level_counts(old: Values, new: Values) -> Counts:
    """Count the levels of both samples.

    Returns
    -------
    ndarray of shape (2, n_levels), dtype int64
        See :func:`_merge_rare`.
    """
    size = int(max(old.max(), new.max())) + 1
    return _merge_rare(np.array([np.bincount(codes.astype(np.int64), minlength=size) for codes in (old, new)]))


def _merge_rare(counts: Counts) -> Counts:
    """Keep the counts of frequent levels, and merge all others into the last column.

    Both samples together decide which levels are frequent, so that the choice favors neither.
    """
    both, rows = counts.sum(axis=0), counts.sum(axis=1)
    frequent = both * rows.min() / rows.sum() >= _MIN_EXPECTED
    frequent[np.argsort(-both, kind="stable")[_MAX_LEVELS:]] = False
    return np.column_stack([counts[:, frequent], counts[:, ~frequent].sum(axis=1)])


def _jensen_shannon(counts: Counts) -> float:
    shares = counts / counts.sum(axis=1, keepdims=True)
    middle = shares.mean(axis=0)
    ratios = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    return float(np.sqrt(max(0.0, (shares * np.log(ratios)).sum() / 2)))


def _independence(counts: Counts, design_effects: tuple[float, float]) -> float:
    """Return the p-value of the hypothesis that two rows of counts come from the same distribution.

    Chi-square test on effective sample sizes (counts divided by the design effect). Columns with too small an expected
    count are tested separately with Fisher's exact test, which detects a few rows with a new level.
    """
    from scipy.stats import fisher_exact

    worth = counts[:, counts.any(axis=0)] / np.array(design_effects)[:, np.newaxis]
    if worth.shape[1] < 2:
        return 1.0
    expected = worth.sum(axis=0) * worth.sum(axis=1).min() / worth.sum()
    rare = expected < _MIN_EXPECTED
    degrees = _degrees(tuple(counts.sum(axis=1).tolist()), design_effects)
    if not rare.any():
        return _chi_square(worth, degrees)
    split = np.column_stack([worth[:, rare].sum(axis=1), worth[:, ~rare].sum(axis=1)])
    exact = float(fisher_exact(np.rint(split).astype(np.int64)).pvalue)
    if (~rare).sum() < 2:
        return exact
    return min(1.0, 2 * exact, 2 * _chi_square(worth[:, ~rare], degrees))


def _chi_square(counts: npt.NDArray[np.float64], degrees: float) -> float:
    """Return the p-value of the chi-square test; with finite degrees of freedom of the counts' scale, of an F test."""
    from scipy.special import chdtrc, fdtrc

    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    found, levels = float(((counts - expected) ** 2 / expected).sum()), counts.shape[1] - 1
    return float(fdtrc(levels, degrees, found / levels) if np.isfinite(degrees) else chdtrc(levels, found))
