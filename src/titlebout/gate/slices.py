"""Parts of the data in which a challenger may be worse: one test per slice, corrected for how many there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError
from titlebout.core.results import Record
from titlebout.gate.predictions import Bout
from titlebout.metrics.inference import Difference, from_influence, holm
from titlebout.settings.gate import SlicesSettings

FIVE, MANY = 5, 20  # a column of more than MANY different numbers is cut in FIVE
NAMED = 10  # slices with too few rows that are named, per column
WATCHED = 0.05  # level of a slice's own test, uncorrected, that makes it worth a look
OTHER = "(other)"

SliceStatus = Literal["red", "yellow", "green", "grey"]


class Slice(Record):
    """One part of the holdout.

    Attributes
    ----------
    column, level : str
    rows : int
    champion, challenger : float
        Mean loss in the slice.
    change : float
        Relative growth of the loss; negative when the challenger is better.
    lower, upper : float or None
        One-sided bounds of the gain, in units of the loss; None when it was not tested.
    p : float or None
        One-sided p-value of "not worse", corrected over all slices (Holm); None when it was not tested.
    status : {"red", "yellow", "green", "grey"}
        Red: shown to be worse by more than the tolerance. Yellow: worse by more than that, but only the slice's own
        test says so. Grey: too few rows.
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
class _Part:
    column: str
    level: str
    rows: IntArray


def examine(
    bout: Bout, losses: Mapping[str, FloatArray], settings: SlicesSettings, alpha: float
) -> tuple[tuple[Slice, ...], dict[str, int]]:
    """Return the slices, the worst first, and how many levels of each column have too few rows to be tested.

    Parameters
    ----------
    bout : Bout
    losses : mapping of str to ndarray of shape (n_rows,)
        Losses of ``champion`` and ``challenger``.
    settings : SlicesSettings
    alpha : float
        Chance of calling any slice worse when none is.

    Raises
    ------
    ConfigError
        If a column is not in the data.
    """
    parts: list[_Part] = []
    untested: dict[str, int] = {}
    for column in settings.columns:
        groups = _groups(bout, column)
        small = sorted((one for one in groups if len(one.rows) < settings.min_rows), key=lambda one: -len(one.rows))
        untested[column] = len(small)
        parts += [one for one in groups if len(one.rows) >= settings.min_rows] + small[:NAMED]
        if len(small) > 1:
            parts.append(_Part(column, OTHER, np.concatenate([one.rows for one in small])))
    gains = [_gain(bout, losses, one.rows) if len(one.rows) >= settings.min_rows else None for one in parts]
    corrected = iter(holm(np.array([gain.p_worse() for gain in gains if gain])))
    slices = [
        _judged(_weighed(part, losses), gain, float(next(corrected)), settings.tolerance, alpha)
        if gain
        else _weighed(part, losses)
        for part, gain in zip(parts, gains, strict=True)
    ]
    order = {"red": 0, "yellow": 1, "grey": 2, "green": 3}
    return tuple(sorted(slices, key=lambda one: (order[one.status], -one.change))), untested


def _weighed(part: _Part, losses: Mapping[str, FloatArray]) -> Slice:
    """Return a slice as long as it was not tested."""
    champion, challenger = (float(losses[who][part.rows].mean()) for who in ("champion", "challenger"))
    change = (challenger - champion) / abs(champion) if champion else float(challenger > 0)
    return Slice(
        column=part.column,
        level=part.level,
        rows=len(part.rows),
        champion=champion,
        challenger=challenger,
        change=change,
    )


def _judged(one: Slice, gain: Difference, corrected: float, tolerance: float, alpha: float) -> Slice:
    """Return a slice with what its test says; `corrected` is its p-value among all."""
    worse = one.change > tolerance
    status: SliceStatus = (
        "red" if worse and corrected < alpha else "yellow" if worse and gain.p_worse() < WATCHED else "green"
    )
    return one.replace(lower=gain.lower(alpha), upper=gain.upper(alpha), p=corrected, status=status)


def _gain(bout: Bout, losses: Mapping[str, FloatArray], rows: IntArray) -> Difference | None:
    """Return the gain in some rows; None when they all belong to one entity, and nothing can be said of its error."""
    gain = losses["champion"][rows] - losses["challenger"][rows]
    mean = float(gain.mean())
    units = None if bout.entities is None else np.unique(bout.entities[rows], return_inverse=True)[1]
    found = from_influence(mean, gain - mean, units)
    return found if np.isfinite(found.se) else None


def _groups(bout: Bout, column: str) -> list[_Part]:
    """Return the rows of every level of a column.

    Raises
    ------
    ConfigError
        If it is not in the data.
    """
    if column not in bout.columns:
        raise ConfigError(
            f"the data has no column {column!r} to slice by",
            where="titlebout.toml: gate.slices.columns",
            why=f"there is: {', '.join(map(str, bout.columns.columns)) or 'none'}",
            fix="correct the name; with --from-predictions, run `titlebout evaluate` once, which writes the column",
        )
    codes, levels = _levels(bout.columns[column])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return [_Part(column, levels[codes[rows[0]]], rows) for rows in np.split(order, starts[1:]) if len(rows)]


def _levels(values: pd.Series) -> tuple[IntArray, list[str]]:
    """Return the number of every row's level, and the names of the levels; missing is a level."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY:
        finite = values.replace([np.inf, -np.inf], np.nan)  # an infinite number belongs to the outermost part
        values = pd.qcut(values.clip(finite.min(), finite.max()), FIVE, duplicates="drop").astype(object)
    codes, levels = pd.factorize(values.astype(object), use_na_sentinel=False)
    return codes.astype(np.int64), ["(missing)" if pd.isna(level) else str(level) for level in levels]
