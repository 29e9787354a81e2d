"""How far two samples of a column are apart: a distance with a unit, its p-value, and what is usual for the column.

A p-value alone calls every difference significant once there are rows enough, and a distance alone calls every small
sample different. Drift takes both, and a distance larger than between the column's own past windows.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Kind = Literal["number", "level"]
# Numbers, or levels coded as 0, 1, 2, ...; missing values are NaN.
Values: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]

SAMPLE = 50_000  # rows per side; more would cost time and only make smaller differences significant
LEAST_WINDOWS, MOST_WINDOWS = 8, 16
USUAL_SDS = 4

_MOST_LEVELS = 50
_LEAST_EXPECTED = 5  # rows of a level in the smaller sample, the usual condition for chi-square
_IQR_OF_NORMAL = 1.349
_LARGEST, _SMALLEST_SCALE = 1e150, 1e-150  # their squares are still floats
_MOST_EFFECT = 1e6  # sds; beyond it a number tells no more


@dataclass(frozen=True)
class Distance:
    """What separates two samples of one column.

    Attributes
    ----------
    effect : float
        Wasserstein distance in robust standard deviations of the reference, or Jensen-Shannon distance (nats).
    p : float
        Probability of such a difference without drift, for independent rows (Kolmogorov-Smirnov, chi-square).
    null_delta : float
        Share of missing values in current minus share in reference.
    null_p : float
        Probability of such a difference of the shares without drift.
    """

    effect: float
    p: float
    null_delta: float
    null_p: float


@dataclass(frozen=True)
class Usual:
    """The largest effect and difference of null shares (absolute) that the reference shows within itself."""

    effect: float = 0.0
    null_delta: float = 0.0


def distance(kind: Kind, reference: Values, current: Values) -> Distance:
    """Compare two samples of a column.

    Parameters
    ----------
    kind : {"number", "level"}
    reference, current : ndarray of shape (n_reference,) and (n_current,), n >= 1, dtype float64
        Numbers or codes of levels; NaN and infinite values count as missing.
    """
    old, new = _present(reference), _present(current)
    gaps = np.array([[len(old), len(reference) - len(old)], [len(new), len(current) - len(new)]])
    null_delta = null_share(current) - null_share(reference)
    if len(old) == 0 or len(new) == 0:
        return Distance(0.0, 1.0, null_delta, _independence(gaps))
    p = _kolmogorov_smirnov(old, new) if kind == "number" else _independence(_level_counts(old, new))
    return Distance(effect(kind, reference, current), p, null_delta, _independence(gaps))


def effect(kind: Kind, reference: Values, current: Values) -> float:
    """Return only the distance of :func:`distance`; 0 when a side has no values."""
    old, new = _present(reference), _present(current)
    if len(old) == 0 or len(new) == 0:
        return 0.0
    if kind == "level":
        return _jensen_shannon(_level_counts(old, new))
    return min(_wasserstein(old, new) / robust_scale(old), _MOST_EFFECT)


def null_share(values: Values) -> float:
    """Return the share of missing values."""
    return 1 - len(_present(values)) / len(values)


def robust_scale(values: Values) -> float:
    """Return the standard deviation or, if smaller, the one that the interquartile range suggests: outliers inflate the first."""
    low, high = np.quantile(values, [0.25, 0.75])
    sd = float(np.std(values))
    scale = min(sd, float(high - low) / _IQR_OF_NORMAL) if high > low else sd or 1.0
    return max(scale, _SMALLEST_SCALE)


def usual(kind: Kind, reference: Values, length: int) -> Usual:
    """Return how far windows of a reference are from the rest of it: mean and four standard deviations.

    This is what seasons, bursts and rows that come in groups do to a column without drift.

    Parameters
    ----------
    kind : {"number", "level"}
    reference : ndarray of shape (n_reference,), dtype float64
        In order of time, all of it.
    length : int
        Rows of the sample that will be compared with the reference.

    Returns
    -------
    Usual
        Zeros when the reference has fewer than eight such windows.
    """
    count = len(reference) // length
    if count < LEAST_WINDOWS:
        return Usual()
    sampled = spread(len(reference), SAMPLE)
    found = []
    for start in spread(count, MOST_WINDOWS) * length:
        window = reference[start : start + length][spread(length, SAMPLE)]
        rest = reference[sampled[(sampled < start) | (sampled >= start + length)]]
        found.append((effect(kind, rest, window), abs(null_share(window) - null_share(rest))))
    limits = np.mean(found, axis=0) + USUAL_SDS * np.std(found, axis=0, ddof=1)
    return Usual(*limits.tolist())


def spread(n_rows: int, most: int) -> npt.NDArray[np.int64]:
    """Return up to `most` positions spread evenly over the rows, the same ones every time."""
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.int64)


def _present(values: Values) -> Values:
    return np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)


def _kolmogorov_smirnov(old: Values, new: Values) -> float:
    """Return the p-value from the limiting distribution: good from a hundred rows on, and defined for one."""
    from scipy.special import kolmogorov

    _, gaps = _distribution_gaps(old, new)
    return float(kolmogorov(np.sqrt(len(old) * len(new) / (len(old) + len(new))) * gaps.max()))


def _wasserstein(old: Values, new: Values) -> float:
    """Return the area between the two empirical distribution functions."""
    grid, gaps = _distribution_gaps(old, new)
    return float(np.sum(gaps[:-1] * np.diff(grid)))


def _distribution_gaps(old: Values, new: Values) -> tuple[Values, Values]:
    """Return all values in order, and the difference of the empirical distribution functions at each."""
    old, new = np.sort(old), np.sort(new)
    grid = np.sort(np.concatenate([old, new]), kind="stable")
    shares = [np.searchsorted(side, grid, side="right") / len(side) for side in (old, new)]
    return grid, np.abs(shares[0] - shares[1])


def _level_counts(old: Values, new: Values) -> Counts:
    """Count the frequent levels, and all others together in the last column.

    What is frequent is decided on both samples together, so that the choice favours neither.

    Returns
    -------
    ndarray of shape (2, n_levels), dtype int64
    """
    size = int(max(old.max(), new.max())) + 1
    counts = np.array([np.bincount(codes.astype(np.int64), minlength=size) for codes in (old, new)])
    both = counts.sum(axis=0)
    smaller = min(len(old), len(new)) / (len(old) + len(new))
    frequent = both * smaller >= _LEAST_EXPECTED
    frequent[np.argsort(-both, kind="stable")[_MOST_LEVELS:]] = False
    return np.column_stack([counts[:, frequent], counts[:, ~frequent].sum(axis=1)])


def _jensen_shannon(counts: Counts) -> float:
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(*counts))


def _independence(counts: Counts) -> float:
    """Return the p-value of two rows of counts coming from the same distribution.

    Chi-square, with its condition kept: too rare a last column is tested exactly and on its own, which is what finds a
    handful of rows with a level that was never seen.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    counts = counts[:, counts.any(axis=0)]
    if counts.shape[1] < 2:
        return 1.0
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    if expected.min() >= _LEAST_EXPECTED:
        return float(chi2_contingency(counts, correction=False).pvalue)
    rare = expected < _LEAST_EXPECTED
    exact = float(fisher_exact(np.column_stack([counts[:, rare].sum(axis=1), counts[:, ~rare].sum(axis=1)])).pvalue)
    frequent = counts[:, ~rare]
    if frequent.shape[1] < 2:
        return exact
    return min(1.0, 2 * exact, 2 * float(chi2_contingency(frequent, correction=False).pvalue))
