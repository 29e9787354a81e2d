"""Slices of the holdout in which a challenger may be worse: one test per slice, corrected for multiple testing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError
from titlebout.core.results import Record
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.inference import Difference, from_influence
from titlebout.settings.gate import SlicesSettings

QUANTILE_BINS, MAX_DISTINCT_NUMBERS = 5, 20  # numeric columns with more distinct values are cut into quantile bins
MAX_SMALL_SLICES = 10  # slices with too few rows that are listed, per column
WARNING_LEVEL = 0.05  # level of a slice's own, uncorrected test for a warning
OTHER_LEVEL = "(other)"

SliceStatus = Literal["red", "yellow", "green", "grey"]


class Slice(Record):
    """One slice of the holdout.

    Attributes
    ----------
    column, level : str
        Column, and the value or interval that the rows of the slice share.
    rows : int
        Number of rows.
    champion, challenger : float
        Mean loss in the slice.
    change : float
        Relative change of the loss; negative when the challenger is better.
    lower, upper : float or None
        One-sided confidence bounds of the gain, in units of the loss; None if the slice was not tested.
    p : float or None
        One-sided p-value of "not worse", corrected over all guardrails (Holm); None if the slice was not tested.
    status : {"red", "yellow", "green", "grey"}
        Red: worse by more than the tolerance, significantly after correction. Yellow: the same, but significant only
        without correction. Green: neither. Grey: too few rows to test.
    """

    column: str
    level: str
    rows: int
    champion: float
    challenger: float
    change: float
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    status: SliceStatus = "grey"


@dataclass(frozen=True)
class _SliceRows:
    column: str
    level: str
    rows: IntArray


@dataclass(frozen=True)
class MeasuredSlice:
    """A slice, and the gain of the challenger in it; None if it has too few rows or entities to test."""

    shown: Slice
    gain: Difference | None


def measure_slices(
    predictions: HoldoutPredictions, losses: Mapping[str, FloatArray], settings: SlicesSettings
) -> tuple[tuple[MeasuredSlice, ...], dict[str, int]]:
    """Return the slices, and the number of levels with too few rows to test by column.

    Parameters
    ----------
    predictions : HoldoutPredictions
        With the columns that define slices.
    losses : mapping of str to ndarray of shape (n_rows,)
        Losses of ``champion`` and ``challenger``.
    settings : SlicesSettings
        Columns and smallest slice.

    Raises
    ------
    ConfigError
        If a column is not in the data.
    """
    parts: list[_SliceRows] = []
    untested: dict[str, int] = {}
    for column in settings.columns:
        groups = _groups(predictions, column)
        small = sorted((one for one in groups if len(one.rows) < settings.min_rows), key=lambda one: -len(one.rows))
        untested[column] = len(small)
        parts += [one for one in groups if len(one.rows) >= settings.min_rows] + small[:MAX_SMALL_SLICES]
        if len(small) > 1:
            parts.append(_SliceRows(column, OTHER_LEVEL, np.concatenate([one.rows for one in small])))
    return tuple(
        MeasuredSlice(
            _untested_slice(part, losses),
            _gain(predictions, losses, part.rows) if len(part.rows) >= settings.min_rows else None,
        )
        for part in parts
    ), untested


def classify_slices(
    measured: Sequence[MeasuredSlice], corrected: Sequence[float], tolerance: float, alpha: float
) -> tuple[Slice, ...]:
    """Return slices with their test results, worst first.

    Parameters
    ----------
    measured : sequence of MeasuredSlice
    corrected : sequence of float
        p-values of the slices with a gain, after correction for multiple testing.
    tolerance : float
        Allowed relative increase of the loss.
    alpha : float
        Family-wise error rate: probability of a red slice when none is worse.
    """
    p_values = iter(corrected)
    slices = [
        _with_test(one.shown, one.gain, next(p_values), tolerance, alpha) if one.gain else one.shown for one in measured
    ]
    order = {"red": 0, "yellow": 1, "grey": 2, "green": 3}
    return tuple(sorted(slices, key=lambda one: (order[one.status], -one.change)))


def _untested_slice(part: _SliceRows, losses: Mapping[str, FloatArray]) -> Slice:
    """Return a slice without a test result."""
    champion, challenger = (float(losses[model][part.rows].mean()) for model in ("champion", "challenger"))
    change = (challenger - champion) / abs(champion) if champion else float(challenger > 0)
    return Slice(
        column=part.column,
        level=part.level,
        rows=len(part.rows),
        champion=champion,
        challenger=challenger,
        change=change,
    )


def _with_test(one: Slice, gain: Difference, corrected: float, tolerance: float, alpha: float) -> Slice:
    """Return a slice with its test result; `corrected` is its p-value after correction."""
    worse = one.change > tolerance
    status: SliceStatus = (
        "red" if worse and corrected < alpha else "yellow" if worse and gain.p_worse() < WARNING_LEVEL else "green"
    )
    return one.replace(lower=gain.lower(alpha), upper=gain.upper(alpha), p=corrected, status=status)


def _gain(predictions: HoldoutPredictions, losses: Mapping[str, FloatArray], rows: IntArray) -> Difference | None:
    """Return the gain in some rows; None if they all belong to one entity, so that the standard error is unknown."""
    gain = losses["champion"][rows] - losses["challenger"][rows]
    mean = float(gain.mean())
    found = from_influence(mean, gain - mean, predictions.dependence.take(rows))
    return found if np.isfinite(found.se) else None


def _groups(predictions: HoldoutPredictions, column: str) -> list[_SliceRows]:
    """Return the rows of every level of a column.

    Raises
    ------
    ConfigError
        If the column is not in the data.
    """
    if column not in predictions.columns:
        raise ConfigError(
            f"the data has no column {column!r} to slice by",
            where="titlebout.toml: gate.slices.columns",
            why=f"the data has: {', '.join(map(str, predictions.columns.columns)) or 'no slice columns'}",
            fix="correct the name; with --from-predictions, first run `titlebout evaluate` without it, which saves the column",
        )
    codes, levels = _levels(predictions.columns[column])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return [_SliceRows(column, levels[codes[rows[0]]], rows) for rows in np.split(order, starts[1:]) if len(rows)]


def _levels(values: pd.Series) -> tuple[IntArray, list[str]]:
    """Return the level of every row as a number, and the names of the levels; missing values are a level."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MAX_DISTINCT_NUMBERS:
        finite = values.replace([np.inf, -np.inf], np.nan)  # infinite values go into the outermost bin
        values = pd.qcut(values.clip(finite.min(), finite.max()), QUANTILE_BINS, duplicates="drop").astype(object)
    codes, levels = pd.factorize(values.astype(object), use_na_sentinel=False)
    return codes.astype(np.int64), ["(missing)" if pd.isna(level) else str(level) for level in levels]
