"""What a difference measured on the same rows can show: standard errors in closed form, bounds, and many tests at once.

A metric of n rows is a function of their empirical distribution; how much each row moves it is its *influence*. Two
models scored on the same rows have the difference of their influences, whose sample standard deviation over the square
root of n is the standard error of the difference of the two metrics (the infinitesimal jackknife: Efron 1981). Where
rows of one entity belong together, influences are summed per entity first.
"""

from dataclasses import dataclass

import numpy as np

from titlebout.core.arrays import FloatArray, IntArray

POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same rows.

    Attributes
    ----------
    gain : float
        Positive when the first model is better, in units of the metric.
    se : float
        Its standard error.
    df : int
        Degrees of freedom: independent rows, entities or blocks of rows, less one.
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
        """Return how far the one-sided bound is from the gain: what the rows at hand resolve."""
        return quantile(1 - alpha, self.df) * self.se

    def p_worse(self) -> float:
        """Return the one-sided p-value of "the first model is no worse"."""
        if self.se == 0:
            return 1.0 if self.gain >= 0 else 0.0
        return _cdf(self.gain / self.se, self.df)

    def times_needed(self, gain: float, alpha: float) -> float:
        """Return how many times the rows at hand would show a true `gain` in 80 of 100 cases, if more are like them."""
        widths = quantile(1 - alpha, self.df) + quantile(POWER, self.df)
        return float((widths * self.se / gain) ** 2)


def from_influence(gain: float, influence: FloatArray, units: IntArray | None = None) -> Difference:
    """Return a difference from what every row contributes to it.

    Parameters
    ----------
    gain : float
    influence : ndarray of shape (n_rows,)
        Sums to zero; its mean square over n is the variance of `gain`.
    units : ndarray of shape (n_rows,), dtype int, optional
        Number of the entity of every row, 0 to n_entities - 1; without it each row stands for itself.
    """
    n = len(influence)
    sums = influence if units is None else np.bincount(units, weights=influence)
    count = len(sums)
    if count < 2:
        return Difference(gain, float("inf"), 1)
    spread = float(np.sqrt(count / (count - 1) * np.sum((sums - sums.mean()) ** 2)))
    return Difference(gain, spread / n, count - 1)


def from_replicates(gain: float, replicates: FloatArray) -> Difference:
    """Return a difference from its values when one block of rows after the other is left out.

    Parameters
    ----------
    gain : float
    replicates : ndarray of shape (n_blocks,)
        The delete-a-group jackknife of Kott (2001); its variance has n_blocks - 1 degrees of freedom.
    """
    count = len(replicates)
    if count < 2 or not np.isfinite(replicates).all():
        return Difference(gain, float("inf"), 1)
    variance = (count - 1) / count * np.sum((replicates - replicates.mean()) ** 2)
    return Difference(gain, float(np.sqrt(variance)), count - 1)


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted so that the chance of one false rejection in the family is kept (Holm 1979).

    Parameters
    ----------
    p_values : ndarray of shape (n_tests,)
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(count, 0, -1))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def quantile(share: float, df: int) -> float:
    """Return the quantile of Student's t; scipy.special, because scipy.stats takes a second to import."""
    from scipy.special import stdtrit

    return float(stdtrit(df, share))


def _cdf(value: float, df: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(df, value))
