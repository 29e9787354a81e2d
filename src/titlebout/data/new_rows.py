"""What is new among the rows that a source holds: decided by the data alone, whatever their order and however often they come.

The watermark is the newest tracked time, never a clock. A row is told by its id columns or, without any, by all its
values; every row that was read is counted once: as seen before, repeated, too late, or new.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import DataError
from titlebout.core.results import Record
from titlebout.data.columns import Column, alike, column_kind, row_hashes, timestamps

SHOWN_IDS = 5
_DAY = 86_400_000_000_000  # nanoseconds

Mask: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True)
class Rule:
    """How rows are told apart and put in order.

    Attributes
    ----------
    time : str
        Column that says when a row happened; empty: rows have no order, and none is late.
    target : str
        Column to predict; a row without it waits.
    ids : tuple of str
        Columns that name a row; empty: all of them do.
    late_days : int
        Rows that are older than the watermark by more are too late.
    """

    time: str
    target: str
    ids: tuple[str, ...] = ()
    late_days: int = 28


class ArrivalCounts(Record):
    """What became of the rows that were read; what was not counted, because the columns do not fit, is null.

    Attributes
    ----------
    watermark : str
        Newest tracked time (ISO 8601); empty without a time column.
    read : int
        Rows that were read: seen, repeated, too_late and new together.
    seen, repeated, too_late, new : int or None
        Tracked already, copies, older than the watermark by too much, and new.
    late, waiting, ready : int or None
        Of the new ones: not newer than the watermark, without a label, and with one.
    relabelled : int or None
        Of those seen, the ones with another label than is tracked.
    unknown_labels : int
        Labels of rows that are not there.
    unfinished : int
        Files whose last line is still being written.
    """

    watermark: str = ""
    read: int
    seen: int | None = None
    repeated: int | None = None
    too_late: int | None = None
    new: int | None = None
    late: int | None = None
    waiting: int | None = None
    ready: int | None = None
    relabelled: int | None = None
    unknown_labels: int = 0
    unfinished: int = 0


@dataclass(frozen=True)
class Arrival:
    """The rows that the tracked data has not, and what became of the others.

    Attributes
    ----------
    rows : DataFrame
        In order of time, the same order for the same rows; columns of the kinds that the tracked data has.
    counts : ArrivalCounts
    """

    rows: pd.DataFrame
    counts: ArrivalCounts

    def ready(self, target: str) -> pd.DataFrame:
        """Return the rows that have their label."""
        rows: pd.DataFrame = self.rows[self.rows[target].notna()].reset_index(drop=True)
        return rows


def what_is_new(current: pd.DataFrame, known: pd.DataFrame, rule: Rule) -> Arrival:
    """Return the rows of `current` that `known` has not, each once; the same for every order of the rows.

    Parameters
    ----------
    current : DataFrame of shape (n_read, n_columns)
        Must have no column that `known` has not.
    known : DataFrame of shape (n_known, n_known_columns)
        The tracked data.
    rule : Rule

    Raises
    ------
    DataError
        If a value does not fit the kind of its column, a time or an id is missing, or two rows of one id have
        different labels.
    """
    current = alike(current, known)
    known = known[list(current.columns)]
    labelled = _labelled(current, rule.target)
    require_one_label(current[labelled], rule)
    hashes = row_hashes(current)
    age = _age(current, known, rule.time)
    order = np.lexsort((hashes, age, ~labelled))  # of one row's copies, the first of these counts
    current, labelled, hashes, age = current.iloc[order], labelled[order], hashes[order], age[order]
    seen, repeated = _seen_and_repeated(current, known, labelled, rule)
    too_late = ~seen & ~repeated & (age > rule.late_days * _DAY)
    new = ~seen & ~repeated & ~too_late
    counts = ArrivalCounts(
        watermark=timestamps(known, rule.time).max().isoformat() if rule.time else "",
        read=len(current),
        seen=int(seen.sum()),
        repeated=int(repeated.sum()),
        too_late=int(too_late.sum()),
        new=int(new.sum()),
        late=int((new & (age >= 0)).sum()) if rule.time else 0,
        waiting=int((new & ~labelled).sum()),
        ready=int((new & labelled).sum()),
        relabelled=_relabelled(current[seen & labelled], known, rule),
    )
    in_order = np.argsort(-age[new], kind="stable")
    return Arrival(current[new].iloc[in_order].reset_index(drop=True), counts)


def with_labels(current: pd.DataFrame, labels: pd.DataFrame, rule: Rule) -> tuple[pd.DataFrame, int]:
    """Give rows the labels that arrived on their own.

    Parameters
    ----------
    current : DataFrame of shape (n_rows, n_columns)
        May have some labels already.
    labels : DataFrame of shape (n_labels, n_label_columns)
        Has the id columns and the target; others are left out. Without columns: none has arrived yet.
    rule : Rule
        Must have ids.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns) or (n_rows, n_columns + 1)
        With the target, missing where a label has not arrived.
    unknown : int
        Labels of rows that are not there.

    Raises
    ------
    DataError
        If an id column or the target is missing, or labels of one id contradict each other.
    """
    if rule.target not in current:
        current = current.assign(**{rule.target: pd.Series(np.nan, index=current.index, dtype=object)})
    if labels.empty:
        return current, 0
    wanted = [*rule.ids, rule.target]
    for frame, what in ((current, "the current data"), (labels, "the labels")):
        missing = [name for name in wanted if name not in frame]
        if missing:
            raise DataError(
                f"{what} have no column {missing[0]!r}", fix="add it, or change sources.id in titlebout.toml"
            )
    arrived = labels[wanted].dropna(subset=[rule.target]).reset_index(drop=True)
    ids = list(rule.ids)
    arrived[ids] = alike(arrived[ids], current[ids])
    own = current.loc[current[rule.target].notna(), wanted]
    known = pd.concat([part.astype(object) for part in (own, arrived)], ignore_index=True)
    require_one_label(known, rule)
    by_id = pd.Series(known[rule.target].to_numpy(), index=keys(known, ids)).groupby(level=0).first()
    names = keys(current, ids)
    joined = current.assign(**{rule.target: names.map(by_id).infer_objects().to_numpy()})
    return joined, int((~keys(arrived, ids).drop_duplicates().isin(names)).sum())


def require_one_label(labelled: pd.DataFrame, rule: Rule) -> None:
    """Look for ids that have more than one label.

    Raises
    ------
    DataError
        If there are any; names them.
    """
    if not rule.ids or labelled.empty:
        return
    names = keys(labelled, rule.ids)
    labels = pd.Series(row_hashes(labelled[[rule.target]]), index=names.index)
    different = labels.groupby(names).nunique()
    contradicted = sorted(different.index[different > 1])
    if contradicted:
        shown = ", ".join(name.replace("\x1f", " / ") for name in contradicted[:SHOWN_IDS])
        raise DataError(
            f"{len(contradicted)} rows have labels that contradict each other",
            where=f"{' / '.join(rule.ids)}: {shown}{', ...' if len(contradicted) > SHOWN_IDS else ''}",
            why=f"{rule.target!r} has more than one value for each of them",
            fix="correct the labels, or leave all but the right one out of what arrives",
        )


def keys(frame: pd.DataFrame, ids: "list[str] | tuple[str, ...]") -> Column:
    """Return one text per row that names it: exact, where a hash would confuse two rows of a billion.

    Raises
    ------
    DataError
        If a row has no id.
    """
    parts = [_words(frame[name]) for name in ids]
    return pd.Series(["\x1f".join(words) for words in zip(*parts, strict=True)], index=frame.index, dtype=object)


def describe(counts: ArrivalCounts) -> str:
    """Return one sentence about the rows that were read, without those kinds of which there are none.

    It is empty when all of them are new, in time and labelled.
    """
    new = [f"{count:,} {words}" for kind, words in _OF_THE_NEW.items() if (count := getattr(counts, kind))]
    others = [f"{count:,} {words}" for kind, words in _OTHERS.items() if (count := getattr(counts, kind))]
    if not new and not others:
        return ""
    inner = f" ({', '.join(new)})" if new else ""
    return ", ".join([f"{counts.read:,} rows read: {counts.new or 0:,} new{inner}", *others])


_OF_THE_NEW = {"late": "late", "waiting": "wait for their labels"}
_OTHERS = {
    "seen": "tracked already",
    "repeated": "repeated",
    "too_late": "too late",
    "relabelled": "tracked with another label",
    "unknown_labels": "labels of rows that are not there",
    "unfinished": "files with an unfinished last line",
}


def _seen_and_repeated(current: pd.DataFrame, known: pd.DataFrame, labelled: Mask, rule: Rule) -> tuple[Mask, Mask]:
    """Say of rows, those with a label first, which are tracked, and which are copies of a row before them."""
    if rule.ids:
        names = keys(current, rule.ids)
        seen = names.isin(keys(known, rule.ids)).to_numpy()
        return seen, ~seen & names.duplicated().to_numpy()
    hashes = row_hashes(current)
    seen, repeated = np.isin(hashes, row_hashes(known)), pd.Series(hashes).duplicated().to_numpy()
    if not labelled.all() and rule.target in current and len(current.columns) > 1:
        # The same row once more, before its label was known.
        bare = row_hashes(current.drop(columns=rule.target))
        seen = seen | (~labelled & np.isin(bare, row_hashes(known.drop(columns=rule.target))))
        repeated = repeated | (~labelled & np.isin(bare, bare[labelled]))
    return seen, ~seen & repeated


def _age(current: pd.DataFrame, known: pd.DataFrame, time: str) -> npt.NDArray[np.int64]:
    """Return by how many nanoseconds each row is older than the watermark; 0 without an order."""
    if not time:
        return np.zeros(len(current), dtype=np.int64)
    ages = timestamps(known, time).max() - timestamps(current, time)
    return np.asarray(ages.to_numpy(dtype="timedelta64[ns]"), dtype=np.int64)


def _labelled(frame: pd.DataFrame, target: str) -> Mask:
    if target not in frame:
        return np.zeros(len(frame), dtype=np.bool_)
    return frame[target].notna().to_numpy(dtype=np.bool_)


def _relabelled(seen: pd.DataFrame, known: pd.DataFrame, rule: Rule) -> int:
    """Return how many tracked rows arrived with another label."""
    if not rule.ids or seen.empty:
        return 0
    tracked = pd.Series(row_hashes(known[[rule.target]]), index=keys(known, rule.ids)).groupby(level=0).first()
    names = keys(seen, rule.ids)
    return int(names[(names.map(tracked) != row_hashes(seen[[rule.target]])).to_numpy()].nunique())


def _words(column: Column) -> list[str]:
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise DataError(f"id column {column.name!r} has missing values", where=f"row {row}", fix="give every row an id")
    if column_kind(column) in {"number", "boolean"}:  # a whole number that a file could only keep as 1.0 is still 1
        whole = column.astype("float64")
        if (whole % 1 == 0).all():
            column = whole.astype("int64")
    return [str(value) for value in column]
