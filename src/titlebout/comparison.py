"""The drift rule: which columns of what arrived differ from the reference, and whether they go on doing so.

A column has drifted when the difference is significant among all columns tested (false discovery rate) and large: larger
than a floor, and larger than between the windows of the reference itself. Rows that come in groups make any test fire
once; so a column counts only when both halves of the window, each on its own, say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.config import DriftSettings
from titlebout.data import Column, column_kind, conform, timestamps
from titlebout.distances import SAMPLE, Distance, Kind, Values, distance, null_share, spread, usual
from titlebout.errors import DataError
from titlebout.suites import canonical

MIN_NULL_DELTA = 0.05  # a smaller change of the share of missing values does not count
LEAST_SHOWN = 10  # rows; a level that is rarer could be one person, so it is not named
METHODS: dict[Kind, str] = {"number": "Wasserstein", "level": "Jensen-Shannon"}

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
    role : {"input", "target"}
    method : {"number", "level"}
    reference, current : ndarray of shape (n_reference,) and (n_current,), dtype float64
    labels : tuple of str
        What the codes of levels stand for; empty for numbers.
    """

    name: str
    kind: str
    role: Literal["input", "target"]
    method: Kind
    reference: Values
    current: Values
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """What one comparison says about one column."""

    found: Distance
    q: float
    null_q: float
    threshold: float
    null_threshold: float
    level: float

    @property
    def drifted(self) -> bool:
        """True when the values or the gaps differ significantly and by enough."""
        values = self.q <= self.level and self.found.effect >= self.threshold
        return values or (self.null_q <= self.level and abs(self.found.null_delta) >= self.null_threshold)


def recent(frame: pd.DataFrame, time: str, days: int) -> pd.DataFrame:
    """Return the rows of the last `days` days in order of time; all rows as they are without a time column."""
    if not time or frame.empty:
        return frame
    stamps = timestamps(frame, time)
    order = np.argsort(stamps.to_numpy(), kind="stable")
    kept = (stamps > stamps.max() - pd.Timedelta(days=days)).to_numpy()
    rows: pd.DataFrame = frame.iloc[order[kept[order]]]
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
        role: Literal["input", "target"] = "target" if name == target else "input"
        few = _FEW_CLASSES if role == "target" else _FEW_LEVELS
        if kind in {"text", "boolean"} or old.nunique() <= few:
            yield _levels(name, kind, role, old, new)
        else:
            yield Pair(name, kind, role, "number", _numbers(old), _numbers(new))


def compare(columns: Sequence[Pair], settings: DriftSettings, *, in_order: bool) -> list[dict[str, Any]]:
    """Apply the rule to the whole window and, when rows have an order, to its halves.

    Parameters
    ----------
    columns : sequence of Pair
    settings : DriftSettings
    in_order : bool
        True when rows are in order of time.

    Returns
    -------
    list of dict
        One per column, with its status: ``drift`` (in the whole and in both halves), ``suspect`` (in the whole or in
        the newer half), ``stable``.
    """
    rows = len(columns[0].current)
    whole = _judge(columns, slice(0, rows), settings)
    older, newer = whole, whole
    if in_order:
        older, newer = (_judge(columns, part, settings) for part in (slice(0, rows // 2), slice(rows // 2, rows)))
    found = []
    for column, *judged in zip(columns, whole, older, newer, strict=True):
        in_whole, in_older, in_newer = (one.drifted for one in judged)
        status = "suspect" if in_whole or in_newer else "stable"
        found.append(_record(column, judged[0], "drift" if in_whole and in_older and in_newer else status))
    return found


def _judge(columns: Sequence[Pair], rows: slice, settings: DriftSettings) -> list[_Judged]:
    from scipy.stats import false_discovery_control

    found = [distance(one.method, _sample(one.reference), _sample(one.current[rows])) for one in columns]
    q = false_discovery_control([[one.p, one.null_p] for one in found], axis=None).reshape(-1, 2)
    floors = {"number": settings.min_effect_numeric, "level": settings.min_effect_categorical}
    judged = []
    for column, one, (value_q, null_q) in zip(columns, found, q.tolist(), strict=True):
        limit = usual(column.method, column.reference, rows.stop - rows.start)
        threshold, null_threshold = max(floors[column.method], limit.effect), max(MIN_NULL_DELTA, limit.null_delta)
        judged.append(_Judged(one, value_q, null_q, threshold, null_threshold, settings.false_discovery_rate))
    return judged


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


def _levels(name: str, kind: str, role: Literal["input", "target"], old: Column, new: Column) -> Pair:
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
