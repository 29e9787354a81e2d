"""Inference on paired differences of metrics: standard errors in closed form, confidence bounds, Holm's correction.

A metric of n rows is a function of their empirical distribution; its derivative by the weight of a row is the
*influence* of the row. For two models scored on the same rows, the influence of a row on the difference of their
metrics is the difference of its influences. The sample standard deviation of these differences, divided by the square
root of n, is the standard error of the difference of the metrics (the infinitesimal jackknife: Efron 1981).

That holds for independent rows. Rows of one entity are not independent, so influences are summed per entity first. Rows
that follow each other in time are not independent either: their standard error is that of the equal-weighted cosine
estimator (Lazarus, Lewis, Stock and Watson 2018), from the slowest movements of the influence over the holdout. The
wider of the two counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from titlebout.core.arrays import BoolArray, FloatArray, IntArray

POWER = 0.8
# Replicates that must differ for a jackknife of a ratio of small counts: with five positives only five blocks have one.
MIN_INFORMATIVE = 10
# Few cosines see dependence over long stretches of the rows; each is one degree of freedom.
COSINES = 20
# Level of the test for dependence in time, and the factor on the standard error where it finds some: what moves slowly
# within the holdout also moves over longer times than the holdout covers. Chosen on the tuning series of benchmarks/gate.
DEPENDENCE_LEVEL, SLOW_FACTOR = 0.1, 2.0
_BINS = 512  # bins of consecutive rows: fine enough for the cosines, and as fast for a million rows as for a thousand
_COMPARED_AT = 0.05  # level at which intervals with different degrees of freedom are compared


@dataclass(frozen=True)
class Dependence:
    """Which rows may depend on each other; without times and units, rows are independent.

    Attributes
    ----------
    times : ndarray of shape (n_rows,), dtype int or float, or None
        Time of every row in any unit; only its order counts. Equal times are allowed.
    units : ndarray of shape (n_rows,), dtype int, or None
        Entity of every row, as a number.
    slow_factor : float
        How many times as large the standard error is for what moves over longer times than the rows cover.
    """

    times: IntArray | FloatArray | None = None
    units: IntArray | None = None
    slow_factor: float = SLOW_FACTOR

    def take(self, rows: IntArray | BoolArray) -> "Dependence":
        """Return the dependence among a subset of the rows, given by position or as a mask."""
        return replace(
            self,
            times=None if self.times is None else self.times[rows],
            units=None if self.units is None else self.units[rows],
        )


INDEPENDENT = Dependence()


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between two models on the same rows.

    Attributes
    ----------
    gain : float
        Positive if the first model is better, in units of the metric.
    se : float
        Standard error of the gain.
    df : int
        Degrees of freedom: number of independent rows, entities or blocks, minus one, or number of cosines.
    effective_rows : float
        Number of independent rows that would have the same standard error; at most the number of rows, and equal to it
        where no dependence was found. NaN if it is unknown.
    source : {"", "time", "entity"}
        What the rows were found to depend on.
    """

    gain: float
    se: float
    df: int
    effective_rows: float = float("nan")
    source: Literal["", "time", "entity"] = ""

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower bound of the gain at level `alpha` (Student's t)."""
        return self.gain - self.half_width(alpha)

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper bound of the gain at level `alpha`."""
        return self.gain + self.half_width(alpha)

    def half_width(self, alpha: float) -> float:
        """Return the distance of the one-sided bound from the gain: the smallest gain these rows can detect."""
        return quantile(1 - alpha, self.df) * self.se

    def p_worse(self) -> float:
        """Return the one-sided p-value of the null hypothesis that the first model is not worse."""
        if self.se == 0:
            return 1.0 if self.gain >= 0 else 0.0
        return _cdf(self.gain / self.se, self.df)

    def times_needed(self, gain: float, alpha: float) -> float:
        """Return how many times as many rows would detect a true `gain` with a power of 80% at level `alpha`.

        The standard error shrinks with the square root of the number of rows, so the factor is
        ((t_alpha + t_power) * se / gain)^2.
        """
        widths = quantile(1 - alpha, self.df) + quantile(POWER, self.df)
        return float((widths * self.se / gain) ** 2)


def from_influence(gain: float, influence: FloatArray, dependence: Dependence = INDEPENDENT) -> Difference:
    """Return a difference with the standard error given by the influence of every row.

    Parameters
    ----------
    gain : float
        In units of the metric.
    influence : ndarray of shape (n_rows,)
        Sums to zero; for independent rows its mean square divided by n_rows is the variance of `gain`. For a mean it is
        the value of every row minus the mean.
    dependence : Dependence
        Times and entities of the rows. With both, the wider standard error counts. Two distinct times or entities leave
        one degree of freedom, so that nothing is shown; of a single entity nothing is known at all.
    """
    n = len(influence)
    if n < 2:
        return Difference(gain, float("inf"), 1, float(n))
    independent = Difference(gain, _spread(influence) / n, n - 1, float(n))
    clustered = None if dependence.units is None else _clustered(gain, influence, dependence.units)
    serial = None if dependence.times is None else _serial(gain, influence, dependence.times, dependence.slow_factor)
    return widest([one for one in (clustered, serial) if one is not None] or [independent])


def from_replicates(gain: float, replicates: FloatArray, *, in_time: bool = False) -> Difference:
    """Return a difference with the standard error of the delete-a-group jackknife (Kott 2001).

    Parameters
    ----------
    gain : float
        In units of the metric.
    replicates : ndarray of shape (n_blocks,)
        Gain with one block of rows left out. The variance has n_blocks - 1 degrees of freedom. If less than ten blocks
        matter, the standard error is unknown: their number is (sum d^2)^2 / sum d^4 for deviations d from the mean.
    in_time : bool
        True if the blocks follow each other in time, so that they may depend on each other.
    """
    count = len(replicates)
    if count < 2 or not np.isfinite(replicates).all() or _few_matter(replicates):
        return Difference(gain, float("inf"), 1)
    if in_time:
        influence = (count - 1) * (replicates.mean() - replicates)
        found = from_influence(gain, influence, Dependence(times=np.arange(count)))
        return Difference(gain, found.se, found.df)
    variance = (count - 1) / count * np.sum((replicates - replicates.mean()) ** 2)
    return Difference(gain, float(np.sqrt(variance)), count - 1)


def widest(found: Sequence[Difference]) -> Difference:
    """Return the difference with the widest interval; `found` has at least one."""
    return max(found, key=lambda one: one.half_width(_COMPARED_AT))


def _clustered(gain: float, influence: FloatArray, units: IntArray) -> Difference:
    """Return the difference for rows that depend on each other within an entity only."""
    n = len(influence)
    sums = np.bincount(np.unique(units, return_inverse=True)[1], weights=influence).astype(np.float64)
    if len(sums) < 2:
        return Difference(gain, float("inf"), 1, 1.0, "entity")
    spread, independent = _spread(sums), _spread(influence)
    depends = spread > independent
    effective = n * (independent / spread) ** 2 if depends else float(n)
    return Difference(gain, spread / n, len(sums) - 1, effective, "entity" if depends else "")


def _serial(gain: float, influence: FloatArray, times: IntArray | FloatArray, slow_factor: float) -> Difference | None:
    """Return the difference for rows that depend on each other over time; None if all have the same time.

    The projections of the influence on slow cosines over the ordered rows have the variance of the mean. Rows of one time
    enter together. The cosines are orthogonalized, since they are orthogonal only without ties.
    """
    n = len(influence)
    _, position, counts = np.unique(times, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / n
    bins = np.unique((middle * _BINS).astype(np.int64), return_inverse=True)[1]
    rows = np.bincount(bins, weights=counts)
    if len(rows) < 2:
        return None
    sums = np.bincount(bins[position], weights=influence)
    basis = _cosine_basis(tuple(rows.tolist()))
    cosines = basis.shape[1]
    slow, independent = float(np.mean((basis.T @ (sums / np.sqrt(rows))) ** 2)), _spread(influence) ** 2 / n
    depends = slow > _largest_by_chance(cosines) * independent
    se = float(np.sqrt(slow / n)) * (slow_factor if depends else 1.0)
    effective = independent / se**2 if depends else float(n)
    return Difference(gain, se, cosines, effective, "time" if depends else "")


@lru_cache(maxsize=64)  # every metric, slice and guardrail of an evaluation has the same times
def _cosine_basis(rows: tuple[float, ...]) -> FloatArray:
    """Return slow cosines over ordered bins with these numbers of rows, orthogonal to each other and to a constant.

    Returns
    -------
    ndarray of shape (n_bins, n_cosines)
        Weighted by the square roots of the numbers of rows.
    """
    counts = np.array(rows)
    cosines = min(COSINES, len(counts) - 1)
    center = (np.cumsum(counts) - counts / 2) / counts.sum()
    waves = np.cos(np.pi * np.outer(center, np.arange(cosines + 1)))
    return np.linalg.qr(np.sqrt(counts)[:, np.newaxis] * waves)[0][:, 1:]


def _few_matter(replicates: FloatArray) -> bool:
    """Return whether less than ten of fifty blocks change the gain."""
    squares = (replicates - replicates.mean()) ** 2
    fewest = min(MIN_INFORMATIVE, len(replicates) / 5)
    return float(np.sum(squares)) ** 2 <= fewest * float(np.sum(squares**2))


def _spread(sums: FloatArray) -> float:
    """Return the standard deviation of a sum of independent terms."""
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * np.sum((sums - sums.mean()) ** 2)))


def _largest_by_chance(df: int) -> float:
    """Return the ratio of variances that independent rows exceed with probability `DEPENDENCE_LEVEL`."""
    from scipy.special import chdtri

    return float(chdtri(df, DEPENDENCE_LEVEL)) / df


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted to control the family-wise error rate (Holm 1979).

    Parameters
    ----------
    p_values : ndarray of shape (n_tests,)
        Unadjusted, in any order.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(count, 0, -1))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def quantile(share: float, df: int) -> float:
    """Return the quantile of Student's t at level `share`; with scipy.special, as scipy.stats takes a second to import."""
    from scipy.special import stdtrit

    return float(stdtrit(df, share))


def _cdf(value: float, df: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(df, value))
