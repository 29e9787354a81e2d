"""Distance between two samples of a column: effect size, p-value, and the column's natural variation.

With many rows a p-value alone makes every difference significant, and with few rows an effect size alone makes every
sample different. Drift requires both, and an effect larger than between past windows of the same column.
"""

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
    """

    effect: float
    p: float
    null_delta: float
    null_p: float


@dataclass(frozen=True)
class NaturalVariation:
    """Upper limits of the effect and of the change of missing values (absolute) within the reference."""

    effect: float = 0.0
    null_delta: float = 0.0


@dataclass(frozen=True)
class DesignEffect:
    """Design effect of a column, for values and for gaps: how many clustered rows are worth one independent row."""

    values: float = 1.0
    gaps: float = 1.0

    def at_least(self, other: "DesignEffect") -> "DesignEffect":
        """Return the element-wise maximum."""
        return DesignEffect(max(self.values, other.values), max(self.gaps, other.gaps))


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
    p = (
        _kolmogorov_smirnov(past, now, design_effects)
        if kind == "number"
        else _independence(_level_counts(past, now), design_effects)
    )
    return Distance(effect(kind, reference, current), p, null_delta, null_p)


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


def design_effect(kind: Kind, values: Values, blocks: int, *, in_time: bool = True) -> DesignEffect:
    """Return the variance between blocks of consecutive rows relative to that of independent rows.

    Clustered or autocorrelated rows carry less information than the same number of independent rows.

    Parameters
    ----------
    kind : {"number", "level"}
    values : ndarray of shape (n_rows,), dtype float64
        In order of arrival.
    blocks : int
        Number of blocks.
    in_time : bool
        False if the order may not be one of time; then sorted rows count as independent.
    """
    present = values[np.isfinite(values)]
    gaps = np.isfinite(values).astype(np.int64)
    if kind == "number" and len(present):
        bins = np.searchsorted(np.unique(np.quantile(present, _BLOCK_QUANTILES)), present)
    else:
        bins = present.astype(np.int64)
    ordered = kind == "number"
    return DesignEffect(_variance_ratio(bins, blocks, ordered, in_time), _variance_ratio(gaps, blocks, False, in_time))


def _present(values: Values) -> Values:
    return np.clip(values[np.isfinite(values)], -_MAX_VALUE, _MAX_VALUE)


def _variance_ratio(bins: Counts, blocks: int, ordered: bool, in_time: bool) -> float:
    """Return the variance between blocks relative to independent rows; 1 if it could be chance."""
    found = _dispersion(bins, blocks, ordered)
    if found <= 1 + 2 / np.sqrt(blocks - 1):
        return 1.0
    if in_time:
        return found
    return 1.0 if _dispersion(bins, blocks // 4, ordered) > _SORTED_FACTOR * found else found


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


def _kolmogorov_smirnov(old: Values, new: Values, design_effects: tuple[float, float]) -> float:
    """Return the p-value from the limiting distribution, which is accurate from about a hundred rows."""
    from scipy.special import kolmogorov

    _, gaps = _distribution_gaps(old, new)
    variance = design_effects[0] / len(old) + design_effects[1] / len(new)
    return float(kolmogorov(gaps.max() / np.sqrt(variance)))


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
    if not rare.any():
        return _chi_square(worth)
    split = np.column_stack([worth[:, rare].sum(axis=1), worth[:, ~rare].sum(axis=1)])
    exact = float(fisher_exact(np.rint(split).astype(np.int64)).pvalue)
    if (~rare).sum() < 2:
        return exact
    return min(1.0, 2 * exact, 2 * _chi_square(worth[:, ~rare]))


def _chi_square(counts: npt.NDArray[np.float64]) -> float:
    from scipy.special import chdtrc

    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    return float(chdtrc(counts.shape[1] - 1, ((counts - expected) ** 2 / expected).sum()))
