"""Inference on paired differences of metrics: standard errors in closed form, confidence bounds, Holm's correction.

A metric of n rows is a function of their empirical distribution; its derivative by the weight of a row is the
*influence* of the row. For two models scored on the same rows, the influence of a row on the difference of their
metrics is the difference of its influences. The sample standard deviation of these differences, divided by the square
root of n, is the standard error of the difference of the metrics (the infinitesimal jackknife: Efron 1981). If several
rows belong to one entity, influences are summed per entity first, because rows of an entity are not independent.
"""

from dataclasses import dataclass

import numpy as np

from titlebout.core.arrays import FloatArray, IntArray

POWER = 0.8


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
        Degrees of freedom: number of independent rows, entities or blocks, minus one.
    """

    gain: float
    se: float
    df: int

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


def from_influence(gain: float, influence: FloatArray, units: IntArray | None = None) -> Difference:
    """Return a difference with the standard error given by the influence of every row.

    Parameters
    ----------
    gain : float
        In units of the metric.
    influence : ndarray of shape (n_rows,)
        Sums to zero; its mean square divided by n_rows is the variance of `gain`.
    units : ndarray of shape (n_rows,), dtype int, optional
        Entity number of every row, 0 to n_entities - 1; without it, rows are independent.
    """
    n = len(influence)
    sums = influence if units is None else np.bincount(units, weights=influence)
    count = len(sums)
    if count < 2:
        return Difference(gain, float("inf"), 1)
    spread = float(np.sqrt(count / (count - 1) * np.sum((sums - sums.mean()) ** 2)))
    return Difference(gain, spread / n, count - 1)


def from_replicates(gain: float, replicates: FloatArray) -> Difference:
    """Return a difference with the standard error of the delete-a-group jackknife (Kott 2001).

    Parameters
    ----------
    gain : float
        In units of the metric.
    replicates : ndarray of shape (n_blocks,)
        Gain with one block of rows left out. The variance has n_blocks - 1 degrees of freedom.
    """
    count = len(replicates)
    if count < 2 or not np.isfinite(replicates).all():
        return Difference(gain, float("inf"), 1)
    variance = (count - 1) / count * np.sum((replicates - replicates.mean()) ** 2)
    return Difference(gain, float(np.sqrt(variance)), count - 1)


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
