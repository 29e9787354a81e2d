"""The drift rule: which columns of what arrived differ from the reference, and whether they go on doing so.

A column has drifted when the difference is significant among all columns tested (false discovery rate) and large: larger
than a floor, and larger than between the windows of the reference itself. Rows that come in groups, or depend on those
before, make any test fire; so rows count as no more than they are worth (:func:`titlebout.distances.clumping`), and a
column has drifted only when both halves of the window, each on its own, confirm it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.config import DriftSettings
from titlebout.data import Column, column_kind, conform, timestamps
from titlebout.distances import (
    LEAST_BLOCKS,
    MOST_BLOCKS,
    SAMPLE,
    Distance,
    Kind,
    Usual,
    Values,
    clumping,
    distance,
    null_share,
    spread,
    usual,
)
from titlebout.errors import DataError
from titlebout.suites import canonical

MIN_NULL_DELTA = 0.05  # a smaller change of the share of missing values does not count
LEAST_SHOWN = 10  # rows; a level that is rarer could be one person, so it is not named
CONFIRMING = 0.05  # p of each half, for a column that differs in the whole window
METHODS: dict[Kind, str] = {"number": "Wasserstein", "level": "Jensen-Shannon"}

Role = Literal["input", "target", "prediction"]

_FEW_LEVELS, _FEW_CLASSES = 2, 20
_CERTAIN = 1e-6
_SHOWN_LEVELS = 3
# Kinds that a column of a kind may arrive as; whether its values fit is for `conform` to say.
_ARRIVES_AS = {
    "number": {"number", "integer", "boolean"},
    "integer": {"number", "integer", "boolean"},
    "boolean": {"number", "integer", "boolean", "text"},
    "text": {"text"},
    "datetime": {"datetime", "text"},
}


@dataclass(frozen=True)
class Pair:
    """One column on both sides, coded as the distances want it.

    Attributes
    ----------
    name, kind : str
        Column, and its kind in the reference.
    role : {"input", "target", "prediction"}
    method : {"number", "level"}
    reference, current : ndarray of shape (n_reference,) and (n_current,), dtype float64
    labels : tuple of str
        What the codes of levels stand for; empty for numbers.
    """

    name: str
    kind: str
    role: Role
    method: Kind
    reference: Values
    current: Values
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """What one comparison says about one column: its values and its gaps, each with what counts."""

    found: Distance
    q: float
    null_q: float
    floor: float
    usual: Usual

    @property
    def threshold(self) -> float:
        """Smallest effect that counts."""
        return max(self.floor, self.usual.effect)

    @property
    def null_threshold(self) -> float:
        """Smallest change of the share of missing values that counts."""
        return max(MIN_NULL_DELTA, self.usual.null_delta)

    def differs(self, level: float) -> tuple[bool, bool]:
        """Return whether values and gaps differ, significantly among all columns and by more than is usual."""
        found = self.found
        by_gaps = self.null_q <= level and abs(found.null_delta) >= self.null_threshold
        return self.q <= level and found.effect >= self.threshold, by_gaps

    def confirms(self) -> tuple[bool, bool]:
        """Return whether values and gaps differ, for one column that is asked again."""
        found = self.found
        by_gaps = found.null_p <= CONFIRMING and abs(found.null_delta) >= MIN_NULL_DELTA
        return found.p <= CONFIRMING and found.effect >= self.floor, by_gaps


def recent(frame: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    """Return the rows of the last `days` days in order of time; all rows as they are without a time column."""
    if not time or frame.empty:
        return frame
    stamps = timestamps(frame, time)
    order = np.argsort(stamps.to_numpy(), kind="stable")
    kept = (stamps > stamps.max() - pd.Timedelta(days=days)).to_numpy()
    rows: pd.DataFrame = frame.iloc[order[kept[order]]]
    return rows


def one_per_group(frame: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    """Return one row of every group, drawn with a fixed seed, in the order in which they came.

    Parameters
    ----------
    frame : DataFrame
    group : sequence of str
        Columns whose values together name the group; a row that lacks one of them stands for itself.
    """
    drawn = np.random.default_rng(0).permutation(len(frame))
    keys = frame[list(group)].iloc[drawn]
    kept = ~keys.astype(str).duplicated().to_numpy() | keys.isna().any(axis=1).to_numpy()
    rows: pd.DataFrame = frame.iloc[np.sort(drawn[kept])]
    return rows


def structure(
    reference: pd.DataFrame, current: pd.DataFrame, time: str, target: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the columns that cannot be compared: no distance means anything for them.

    Parameters
    ----------
    reference, current : DataFrame
        Without the columns that are ignored.
    time : str
        Time column, of kind datetime even where a file has it as text; may be empty.
    target : str, optional
        Column that `current` may lack.

    Yields
    ------
    dict
        name, kind (in the reference), status: ``repeated``, ``missing``, ``new``, ``retyped`` or ``empty``.
    """
    for name in current.columns[current.columns.duplicated()].unique():
        yield {"name": name, "kind": "", "status": "repeated"}
    kinds = kinds_of(reference) | ({time: "datetime"} if time in reference.columns else {})
    for name in sorted(set(current.columns) - set(kinds)):
        yield {"name": name, "kind": "", "status": "new"}
    for name, kind in kinds.items():
        if name not in current.columns:
            if name != target:
                yield {"name": name, "kind": kind, "status": "missing"}
        elif not (current.columns == name).sum() > 1:
            status = _column_status(reference[name], current[name], kind)
            if status:
                yield {"name": name, "kind": kind, "status": status}


def kinds_of(frame: pd.DataFrame) -> dict[str, str]:
    """Return the kind of every column, whatever dtype it is stored as."""
    plain = canonical(frame)
    return {name: column_kind(plain[name]) for name in plain.columns}


def pairs(reference: pd.DataFrame, current: pd.DataFrame, names: Sequence[str], target: str | None) -> Iterator[Pair]:
    """Yield the columns to compare; how is decided by the reference alone, so that it never changes with what arrives."""
    kinds = kinds_of(reference[list(names)])
    for name, kind in kinds.items():
        old, new = _as_kind(reference[name], kind), _as_kind(current[name], kind)
        role: Role = "target" if name == target else "input"
        few = _FEW_CLASSES if role == "target" else _FEW_LEVELS
        if kind in {"text", "boolean"} or old.nunique() <= few:
            yield levels(name, kind, role, old, new)
        else:
            yield Pair(name, kind, role, "number", _numbers(old), _numbers(new))


def compare(columns: Sequence[Pair], settings: DriftSettings, *, in_time: bool) -> list[dict[str, Any]]:
    """Apply the rule to the whole window, and ask each of its halves again.

    Parameters
    ----------
    columns : sequence of Pair
        Rows in the order in which they came.
    settings : DriftSettings
    in_time : bool
        True when that order is one of time; else it may be one that somebody sorted by.

    Returns
    -------
    list of dict
        One per column, with its status: ``drift`` (differs in the whole, and each half confirms it), ``suspect``
        (differs in the whole or, in order of time, in the newer half), ``stable``.
    """
    level = settings.false_discovery_rate
    whole, older, newer = (_judge(columns, part, settings, in_time) for part in ((0, 2), (0, 1), (1, 2)))
    found = []
    for column, *judged in zip(columns, whole, older, newer, strict=True):
        differs = judged[0].differs(level)
        confirmed = (all(three) for three in zip(differs, judged[1].confirms(), judged[2].confirms(), strict=True))
        again = in_time and any(judged[2].differs(level))
        status = "drift" if any(confirmed) else "suspect" if any(differs) or again else "stable"
        found.append(_record(column, judged[0], status))
    return found


def _judge(columns: Sequence[Pair], part: tuple[int, int], settings: DriftSettings, in_time: bool) -> list[_Judged]:
    """Compare one part of the window, from `part[0]` halves to `part[1]` halves, with the reference."""
    floors = {"number": settings.min_effect_numeric, "level": settings.min_effect_categorical}
    rows = [_part(one.current, part) for one in columns]
    found = [_distance(one, now, in_time) for one, now in zip(columns, rows, strict=True)]
    q = _false_discoveries(np.array([[one.p, one.null_p] for one in found]))
    judged = []
    for column, now, one, (value_q, null_q) in zip(columns, rows, found, q.tolist(), strict=True):
        limit = usual(column.method, column.reference, len(now))
        judged.append(_Judged(one, value_q, null_q, floors[column.method], limit))
    return judged


def _false_discoveries(p: Values) -> Values:
    """Return q-values (Benjamini-Hochberg); what cannot differ at all, as gaps where there are none, is no test."""
    from scipy.stats import false_discovery_control

    q = np.ones_like(p)
    tested = p < 1
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _part(values: Values, part: tuple[int, int]) -> Values:
    return values[part[0] * len(values) // 2 : part[1] * len(values) // 2]


def _distance(column: Pair, now: Values, in_time: bool) -> Distance:
    old, new = _sample(column.reference), _sample(now)
    blocks = int(np.clip(len(column.reference) // len(now), LEAST_BLOCKS, MOST_BLOCKS))
    past = clumping(column.method, old, blocks, in_time=in_time)
    present = clumping(column.method, new, LEAST_BLOCKS, in_time=in_time)
    return distance(column.method, old, new, past, present.at_least(past))


def _column_status(reference: Column, current: Column, kind: str) -> str:
    """Return ``empty`` when values stopped arriving, ``retyped`` when they are of another kind, else an empty text."""
    if current.isna().all():
        by_chance = float(reference.isna().mean()) ** len(current)
        return "empty" if by_chance < _CERTAIN else ""
    if reference.isna().all():
        return ""
    if column_kind(canonical(current.to_frame()).iloc[:, 0]) not in _ARRIVES_AS[kind]:
        return "retyped"
    try:
        _as_kind(current, kind)
    except DataError:
        return "retyped"
    return ""


def _as_kind(column: Column, kind: str) -> Column:
    """Return values of a kind, as `conform` does, but keep what it refuses: infinite numbers, lists in cells."""
    plain = canonical(column.to_frame())
    if kind in {"number", "integer"}:
        return plain.iloc[:, 0].astype("float64")
    if kind == "text":
        return plain.iloc[:, 0].map(str, na_action="ignore")
    return conform(plain, {str(column.name): kind}).iloc[:, 0]


def levels(name: str, kind: str, role: Role, old: Column, new: Column) -> Pair:
    """Code the levels of both sides of a column, in the order in which they occur."""
    codes, labels = pd.factorize(pd.concat([old, new], ignore_index=True))
    values = np.where(codes < 0, np.nan, codes.astype(np.float64))
    named = {0.0: "False", 1.0: "True"} if kind == "boolean" else {}
    shown = tuple(named.get(label, f"{label:g}" if isinstance(label, float) else str(label)) for label in labels)
    return Pair(name, kind, role, "level", values[: len(old)], values[len(old) :], shown)


def _numbers(column: Column) -> Values:
    """Return numbers, or times as seconds since 1970."""
    if column_kind(column) == "datetime":
        column = (column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return column.to_numpy(dtype=np.float64)


def _sample(values: Values) -> Values:
    return values[spread(len(values), SAMPLE)]


def _record(column: Pair, judged: _Judged, status: str) -> dict[str, Any]:
    found = judged.found
    return {
        "name": column.name,
        "role": column.role,
        "kind": column.kind,
        "status": status,
        "method": METHODS[column.method],
        "effect": found.effect,
        "threshold": judged.threshold,
        "p": found.p,
        "q": judged.q,
        "null_delta": found.null_delta,
        "null_threshold": judged.null_threshold,
        "null_q": judged.null_q,
        "reference": _summary(column, column.reference),
        "current": _summary(column, column.current),
    }


def _summary(column: Pair, values: Values) -> dict[str, Any]:
    """Describe one side: share of missing values, and the mean or the most frequent levels with their shares."""
    present = values[np.isfinite(values)]
    summary: dict[str, Any] = {"missing": null_share(values)}
    if column.method == "level":
        counts: npt.NDArray[np.int64] = np.bincount(present.astype(np.int64), minlength=len(column.labels))
        top = [code for code in np.argsort(-counts, kind="stable")[:_SHOWN_LEVELS] if counts[code] >= LEAST_SHOWN]
        return summary | {"levels": {column.labels[code]: counts[code] / len(present) for code in top}}
    mean = float(present.mean()) if len(present) else None
    if column.kind == "datetime" and mean is not None:
        return summary | {"mean": pd.Timestamp(mean, unit="s", tz="UTC").isoformat(timespec="seconds")}
    return summary | {"mean": mean}
