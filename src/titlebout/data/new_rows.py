"""Select the new rows of current data: those that are not yet in the tracked data.

The selection depends on the data only, not on the order of the rows or on a clock: the watermark is the newest tracked time.
Every row is counted exactly once: as seen (already tracked), repeated, too late, set aside (its time is missing or cannot be right), or new.

A row is identified by its id columns or, without id columns, by all its values. Where equal rows are rare, a second one is a
copy of the first. Where they are common, as the answers of a survey, equal rows are counted: the third equal answer is a third
answer, and a row is seen only if the tracked data has as many.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import DataError
from titlebout.core.results import Record
from titlebout.data.columns import (
    Column,
    column_kind,
    conform_like,
    epoch_parts,
    present_timestamps,
    row_hashes,
    timestamps,
)
from titlebout.data.identity import HashArray, has_equal_rows, occurrences
from titlebout.data.plausible import implausible_current

SHOWN_IDS = 5
_DAY = 86_400_000_000_000  # nanoseconds
_MAX_SECONDS = 9 * 10**9  # 285 years; as nanoseconds, within 64 bits

Mask: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True)
class NewRowsRule:
    """Columns that identify and order the rows.

    Attributes
    ----------
    time : str
        Time column; if empty, rows have no order and are never late.
    target : str
        Column to predict; a row without it waits for its label.
    ids : tuple of str
        Id columns; if empty, a row is identified by all its values.
    late_days : int
        Rows that are older than the watermark by more days are too late.
    longest_pause_days : int
        Longest plausible pause in days, see :mod:`titlebout.data.plausible`; 0 derives it from the tracked data.
    """

    time: str
    target: str
    ids: tuple[str, ...] = ()
    late_days: int = 28
    longest_pause_days: int = 0


class RowCounts(Record):
    """Counts of the rows that were read; null if not counted because the columns do not match the tracked data.

    Attributes
    ----------
    watermark : str
        Newest tracked time (ISO 8601); empty without a time column.
    read : int
        All rows that were read: seen + repeated + too_late + set_aside + new.
    seen, repeated, too_late, set_aside, new : int or None
        Rows already tracked, duplicates, rows too much older than the watermark, rows without a plausible time, and new rows.
    late, waiting, ready : int or None
        New rows that are not newer than the watermark, without a label, and with a label.
    relabelled : int or None
        Seen rows whose label differs from the tracked one.
    unknown_labels : int
        Labels without a matching row.
    unfinished : int
        Files whose last line is still being written.
    taken_in : int
        Files that were not read again, because all their rows are tracked.
    """

    watermark: str = ""
    read: int
    seen: int | None = None
    repeated: int | None = None
    too_late: int | None = None
    set_aside: int | None = None
    new: int | None = None
    late: int | None = None
    waiting: int | None = None
    ready: int | None = None
    relabelled: int | None = None
    unknown_labels: int = 0
    unfinished: int = 0
    taken_in: int = 0


@dataclass(frozen=True)
class NewRows:
    """New rows of current data, and counts of all rows that were read.

    Attributes
    ----------
    rows : DataFrame
        New rows sorted by time, then by hash; columns have the kinds of the tracked data.
    counts : RowCounts
        Counts of all rows that were read.
    settled : ndarray of shape (n_read,), dtype bool
        For each row that was read, in its order there: whether it is tracked once the new rows with a label are added.
    """

    rows: pd.DataFrame
    counts: RowCounts
    settled: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def ready(self, target: str) -> pd.DataFrame:
        """Return the rows that have a label."""
        rows: pd.DataFrame = self.rows[self.rows[target].notna()].reset_index(drop=True)
        return rows


def select_new_rows(
    current: pd.DataFrame, tracked: pd.DataFrame, rule: NewRowsRule, added: pd.DataFrame | None = None
) -> NewRows:
    """Return the rows of `current` that are not in `tracked`, whatever their order.

    Parameters
    ----------
    current : DataFrame of shape (n_read, n_columns)
        Its columns must be a subset of those of `tracked`.
    tracked : DataFrame of shape (n_tracked, n_tracked_columns)
        The tracked data.
    rule : NewRowsRule
    added : DataFrame of shape (n_added, n_tracked_columns), optional
        Tracked rows that an earlier retraining added from current data; used only where equal rows are counted and rows have
        no time. By default all tracked rows.

    Raises
    ------
    DataError
        If a value cannot be converted to the kind of its column, an id is missing, or two rows with the same id have
        different labels.
    """
    current = conform_like(current, tracked)
    tracked = tracked[list(current.columns)]
    is_labeled = _is_labeled(current, rule.target)
    require_one_label(current[is_labeled], rule)
    hashes = row_hashes(current)
    age = _age(current, tracked, rule.time)
    order = np.lexsort((hashes, age, ~is_labeled))  # of duplicates, keep a labeled row, then the newest
    current, is_labeled, hashes, age = current.iloc[order], is_labeled[order], hashes[order], age[order]
    if not rule.ids and has_equal_rows(tracked):
        seen, repeated = (
            _seen_by_count(current, tracked, is_labeled, rule, added),
            np.zeros(len(current), dtype=np.bool_),
        )
    else:
        seen, repeated = _seen_and_repeated(current, tracked, is_labeled, rule)
    too_late = ~seen & ~repeated & (age > rule.late_days * _DAY)
    implausible = ~seen & ~repeated & ~too_late & _implausible(current, tracked, rule)
    new = ~seen & ~repeated & ~too_late & ~implausible
    counts = RowCounts(
        watermark=timestamps(tracked, rule.time).max().isoformat() if rule.time else "",
        read=len(current),
        seen=int(seen.sum()),
        repeated=int(repeated.sum()),
        too_late=int(too_late.sum()),
        set_aside=int(implausible.sum()),
        new=int(new.sum()),
        late=int((new & (age >= 0)).sum()) if rule.time else 0,
        waiting=int((new & ~is_labeled).sum()),
        ready=int((new & is_labeled).sum()),
        relabelled=_relabelled(current[seen & is_labeled], tracked, rule),
    )
    in_order = np.argsort(-age[new], kind="stable")
    settled = np.empty(len(current), dtype=np.bool_)
    settled[order] = seen | ((repeated | new) & is_labeled)
    return NewRows(current[new].iloc[in_order].reset_index(drop=True), counts, settled)


def join_labels(current: pd.DataFrame, labels: pd.DataFrame, rule: NewRowsRule) -> tuple[pd.DataFrame, int]:
    """Join labels from a source of their own to current data.

    Parameters
    ----------
    current : DataFrame of shape (n_rows, n_columns)
        May already have some labels.
    labels : DataFrame of shape (n_labels, n_label_columns)
        Has the id columns and the target; other columns are ignored. Without columns if there are no labels yet.
    rule : NewRowsRule
        Must have id columns.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns) or (n_rows, n_columns + 1)
        Has the target; missing in rows without a label.
    unknown : int
        Number of labels without a matching row.

    Raises
    ------
    DataError
        If an id column or the target is missing, or labels of the same id contradict each other.
    """
    if rule.target not in current:
        current = current.assign(**{rule.target: pd.Series(np.nan, index=current.index, dtype=object)})
    if labels.empty:
        return current, 0
    required = [*rule.ids, rule.target]
    for frame, what in ((current, "the current data"), (labels, "the labels")):
        missing = [name for name in required if name not in frame]
        if missing:
            raise DataError(
                f"{what} have no column {missing[0]!r}",
                why="labels are joined by the id columns in sources.id",
                fix="add the column, or change sources.id in titlebout.toml",
            )
    label_rows = labels[required].dropna(subset=[rule.target]).reset_index(drop=True)
    ids = list(rule.ids)
    label_rows[ids] = conform_like(label_rows[ids], current[ids])
    existing_labels = current.loc[current[rule.target].notna(), required]
    all_labels = pd.concat([part.astype(object) for part in (existing_labels, label_rows)], ignore_index=True)
    require_one_label(all_labels, rule)
    by_id = pd.Series(all_labels[rule.target].to_numpy(), index=keys(all_labels, ids)).groupby(level=0).first()
    row_ids = keys(current, ids)
    found = row_ids.map(by_id)  # integers with gaps stay integers: the class 1 must not become 1.0
    joined_labels = found.astype("Int64") if column_kind(by_id) == "integer" else found.infer_objects()
    joined = current.assign(**{rule.target: joined_labels.array})
    return joined, int((~keys(label_rows, ids).drop_duplicates().isin(row_ids)).sum())


def require_one_label(labeled: pd.DataFrame, rule: NewRowsRule) -> None:
    """Require that no id has more than one label.

    Raises
    ------
    DataError
        If an id has several; names the first of them.
    """
    if not rule.ids or labeled.empty:
        return
    row_ids = keys(labeled, rule.ids)
    labels = pd.Series(row_hashes(labeled[[rule.target]]), index=row_ids.index)
    different = labels.groupby(row_ids).nunique()
    contradictory = sorted(different.index[different > 1])
    if contradictory:
        shown = ", ".join(name.replace("\x1f", " / ") for name in contradictory[:SHOWN_IDS])
        raise DataError(
            f"the labels of {len(contradictory)} {'id' if len(contradictory) == 1 else 'ids'} contradict each other",
            where=f"{' / '.join(rule.ids)}: {shown}{', ...' if len(contradictory) > SHOWN_IDS else ''}",
            why=f"the target {rule.target!r} has more than one value for each of these ids",
            fix="correct the source so that each id has one label",
        )


def keys(frame: pd.DataFrame, ids: "list[str] | tuple[str, ...]") -> Column:
    """Return the id of each row as text; exact, unlike a 48-bit hash, which can collide.

    Raises
    ------
    DataError
        If a row has no id.
    """
    columns = [_id_texts(frame[name]) for name in ids]
    return pd.Series(["\x1f".join(texts) for texts in zip(*columns, strict=True)], index=frame.index, dtype=object)


def describe_counts(counts: RowCounts) -> str:
    """Return one sentence about the rows that were read, without counts that are 0.

    It is empty if all rows are new, on time and labeled.
    """
    new = [f"{count:,} {label}" for name, label in _NEW_LABELS.items() if (count := getattr(counts, name))]
    others = [_counted(count, label) for name, label in _OTHER_LABELS.items() if (count := getattr(counts, name))]
    if not new and not others:
        return ""
    inner = f" ({', '.join(new)})" if new else ""
    return ", ".join([f"{counts.read:,} rows read: {counts.new or 0:,} new{inner}", *others])


def _counted(count: int, label: str) -> str:
    singular = re.sub(r"^(file|label)s", r"\1", label)
    return f"{count:,} {singular if count == 1 else label}"


_NEW_LABELS = {"late": "late", "waiting": "wait for their labels"}
_OTHER_LABELS = {
    "seen": "tracked already",
    "repeated": "repeated",
    "too_late": "too late",
    "set_aside": "set aside because their time is missing or cannot be right",
    "relabelled": "tracked with a different label",
    "unknown_labels": "labels without a matching row",
    "unfinished": "files with an unfinished last line",
    "taken_in": "files taken in already",
}


def _seen_and_repeated(
    current: pd.DataFrame, tracked: pd.DataFrame, is_labeled: Mask, rule: NewRowsRule
) -> tuple[Mask, Mask]:
    """Return masks of tracked rows, and of duplicates of an earlier row; labeled rows must come first."""
    if rule.ids:
        row_ids = keys(current, rule.ids)
        seen = row_ids.isin(keys(tracked, rule.ids)).to_numpy()
        return seen, ~seen & row_ids.duplicated().to_numpy()
    hashes = row_hashes(current)
    seen, repeated = np.isin(hashes, row_hashes(tracked)), pd.Series(hashes).duplicated().to_numpy()
    if not is_labeled.all() and rule.target in current and len(current.columns) > 1:
        # A row without a label may be an earlier copy of a row that now has one, so the label is left out of the hash.
        hashes_without_label = row_hashes(current.drop(columns=rule.target))
        seen = seen | (~is_labeled & np.isin(hashes_without_label, row_hashes(tracked.drop(columns=rule.target))))
        repeated = repeated | (~is_labeled & np.isin(hashes_without_label, hashes_without_label[is_labeled]))
    return seen, ~seen & repeated


def _seen_by_count(
    current: pd.DataFrame, tracked: pd.DataFrame, is_labeled: Mask, rule: NewRowsRule, added: pd.DataFrame | None
) -> Mask:
    """Return which rows are tracked already, where equal rows are counted; labeled rows must come first."""
    seen = np.zeros(len(current), dtype=np.bool_)
    counted = _counted_rows(current[is_labeled], tracked, rule, added)
    seen[is_labeled] = _within_count(row_hashes(current[is_labeled]), row_hashes(counted))
    if is_labeled.all() or rule.target not in current or len(current.columns) == 1:
        if rule.target not in current:
            seen = _within_count(row_hashes(current), row_hashes(counted))
        return seen
    # A row without a label may be an earlier copy of a tracked row that now has one, so the label is left out of the hash.
    by_features = row_hashes(current.drop(columns=rule.target))
    order = np.argsort(~seen, kind="stable")  # rows that are seen use up their tracked equals first
    within = np.zeros(len(current), dtype=np.bool_)
    within[order] = _within_count(by_features[order], row_hashes(counted.drop(columns=rule.target)))
    return seen | (~is_labeled & within)


def _counted_rows(
    labeled: pd.DataFrame, tracked: pd.DataFrame, rule: NewRowsRule, added: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the tracked rows that current data can contain.

    Without a time, equal rows of the reference data and of a later batch are different rows, so only those count that were added
    from current data; unless current data contains every tracked row, as an export of the whole table does.
    """
    if rule.time or added is None or _within_count(row_hashes(tracked), row_hashes(labeled)).all():
        return tracked
    return added[list(tracked.columns)]


def _within_count(hashes: HashArray, others: HashArray) -> Mask:
    """Return for each row whether it is among the first of its equals, as many as there are in `others`."""
    counts = pd.Series(others).value_counts()
    return occurrences(hashes) < pd.Series(hashes).map(counts).fillna(0).to_numpy()


def _age(current: pd.DataFrame, tracked: pd.DataFrame, time: str) -> npt.NDArray[np.int64]:
    """Return how many nanoseconds each row is older than the watermark; 0 for rows without a time."""
    if not time:
        return np.zeros(len(current), dtype=np.int64)
    watermark = timestamps(tracked, time).max()
    (newest,), (newest_rest,) = epoch_parts(pd.Series([watermark]))
    seconds, rest = epoch_parts(present_timestamps(current, time).fillna(watermark))
    # A year such as 9999 is further away than 64 bits of nanoseconds.
    seconds_old = np.clip(newest - seconds, -_MAX_SECONDS, _MAX_SECONDS)
    return np.asarray(seconds_old * 10**9 + (newest_rest - rest), dtype=np.int64)


def _implausible(current: pd.DataFrame, tracked: pd.DataFrame, rule: NewRowsRule) -> Mask:
    if not rule.time:
        return np.zeros(len(current), dtype=np.bool_)
    times = present_timestamps(current, rule.time)
    return implausible_current(times, timestamps(tracked, rule.time), rule.longest_pause_days)


def _is_labeled(frame: pd.DataFrame, target: str) -> Mask:
    if target not in frame:
        return np.zeros(len(frame), dtype=np.bool_)
    return frame[target].notna().to_numpy(dtype=np.bool_)


def _relabelled(seen: pd.DataFrame, tracked: pd.DataFrame, rule: NewRowsRule) -> int:
    """Return how many ids have another label in current data than in the tracked data."""
    if not rule.ids or seen.empty:
        return 0
    tracked_label = (
        pd.Series(row_hashes(tracked[[rule.target]]), index=keys(tracked, rule.ids)).groupby(level=0).first()
    )
    row_ids = keys(seen, rule.ids)
    return int(row_ids[(row_ids.map(tracked_label) != row_hashes(seen[[rule.target]])).to_numpy()].nunique())


def _id_texts(column: Column) -> list[str]:
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise DataError(f"id column {column.name!r} has missing values", where=f"row {row}", fix="give every row an id")
    if column_kind(column) in {"number", "boolean"}:  # an integer id may have been stored as a float: 1.0 is id 1
        whole = column.astype("float64")
        if (whole % 1 == 0).all():
            column = whole.astype("int64")
    return [str(value) for value in column]
