"""What is new is decided by the data: by no clock, by no order, and no row is left out without being counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.errors import DataError
from titlebout.data.columns import column_kind
from titlebout.data.new_rows import Arrival, ArrivalCounts, Rule, describe, what_is_new, with_labels
from titlebout.data.tables import read_table

TIMES = pd.to_datetime(["2024-03-01", "2024-03-02 12:00", "2024-03-10"], utc=True, format="ISO8601")
BY_VALUE, BY_ID, NO_TIME = Rule("at", "late", (), 5), Rule("at", "late", ("id",), 5), Rule("", "late")
KINDS_OF_ROWS = ("seen", "repeated", "too_late", "new")


def known() -> pd.DataFrame:
    return pd.DataFrame(
        {"at": TIMES, "id": ["a", "b", "c"], "flag": [True, False, True], "whole": [1, 2, 3], "late": [0, 1, 0]}
    )


def row(at: str, name: str, **values: Any) -> dict[str, Any]:
    return {"at": pd.Timestamp(at, tz="UTC"), "id": name, "flag": True, "whole": 4, "late": 1, **values}


def rows(*given: dict[str, Any]) -> pd.DataFrame:
    return pd.concat([known(), pd.DataFrame(list(given))], ignore_index=True)


def ids(arrival: Arrival) -> list[str]:
    return list(arrival.rows["id"])


ARRIVED = rows(
    row("2024-03-11", "new"),
    row("2024-03-11", "new"),
    row("2024-03-10", "same time"),
    row("2024-03-05", "five days late"),
    row("2024-03-04 23:59", "later"),
    row("2024-03-12", "unlabelled", late=None),
)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("rule", [BY_VALUE, BY_ID])
def test_new_is_what_is_not_tracked_each_once_whatever_file_it_came_in(rule: Rule, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"arrived{suffix}"
    if suffix == ".parquet":
        ARRIVED.to_parquet(path)
    elif suffix == ".csv":
        ARRIVED.to_csv(path, index=False)
    else:
        ARRIVED.assign(at=ARRIVED["at"].astype(str)).to_json(path, orient="records", lines=True)
    found = what_is_new(read_table(path), known(), rule)

    assert ids(found) == ["five days late", "same time", "new", "unlabelled"]
    assert found.counts == ArrivalCounts(
        watermark="2024-03-10T00:00:00+00:00",
        read=9, seen=3, repeated=1, too_late=1, new=4, late=2, waiting=1, ready=3, relabelled=0,
    )  # fmt: skip
    both = pd.concat([known(), found.ready("late")], ignore_index=True)
    assert {name: column_kind(both[name]) for name in both} == {
        name: column_kind(known()[name]) for name in known()
    } | {"late": column_kind(both["late"])}
    assert list(found.ready("late")["id"]) == ["five days late", "same time", "new"]


RANDOM_ROWS = st.lists(
    st.builds(
        lambda day, name, whole, late: row(f"2024-03-{day:02d}", name, whole=whole, late=late),
        st.integers(1, 20),
        st.sampled_from("abcdef"),
        st.integers(1, 3),
        st.none(),
    ),
    max_size=12,
)


@given(RANDOM_ROWS, st.sampled_from([BY_VALUE, BY_ID, NO_TIME]), st.data())
def test_the_order_of_rows_and_copies_of_them_change_nothing(
    given_rows: list[dict[str, Any]], rule: Rule, data: st.DataObject
) -> None:
    label = {name: data.draw(st.sampled_from([0.0, 1.0])) for name in "abcdef"}  # one label per id, here or not
    frame = rows(*({**one, "late": label[one["id"]] if one["whole"] > 1 else None} for one in given_rows))
    frame["late"] = frame["late"].mask(frame["id"].isin(list("abc")) & (frame.index >= 3), other=np.nan)
    again = data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=8))
    order = data.draw(st.permutations([*range(len(frame)), *again]))
    one, other = what_is_new(frame, known(), rule), what_is_new(frame.iloc[order], known(), rule)

    pd.testing.assert_frame_equal(one.rows, other.rows)
    depending_on_copies = dict.fromkeys(("read", "repeated", "seen", "too_late"), 0)
    assert one.counts.replace(**depending_on_copies) == other.counts.replace(**depending_on_copies)
    for found, count in ((one, len(frame)), (other, len(order))):
        assert sum(getattr(found.counts, kind) for kind in KINDS_OF_ROWS) == found.counts.read == count


@given(RANDOM_ROWS, st.sampled_from([BY_VALUE, BY_ID, NO_TIME]))
def test_what_was_taken_in_is_never_new_again(given_rows: list[dict[str, Any]], rule: Rule) -> None:
    frame = rows(*({**one, "late": float(len(one["id"]))} for one in given_rows)).assign(late=1.0)
    fresh = what_is_new(frame, known().assign(late=1.0), rule)
    tracked = pd.concat([known().assign(late=1.0), fresh.rows], ignore_index=True)

    assert what_is_new(frame, tracked, rule).counts.new == 0


def test_without_a_time_nothing_is_late() -> None:
    found = what_is_new(ARRIVED.drop(columns="at"), known().drop(columns="at"), NO_TIME)

    assert set(ids(found)) == {"new", "same time", "five days late", "later", "unlabelled"}
    assert (found.counts.watermark, found.counts.late, found.counts.too_late) == ("", 0, 0)


def test_a_row_that_comes_again_with_its_label_is_one_row() -> None:
    twice = rows(row("2024-03-11", "x", late=None), row("2024-03-11", "x", late=1), row("2024-03-02 12:00", "b"))
    twice.loc[5, ["flag", "whole", "late"]] = [False, 2, None]  # tracked as b, here before its label
    for rule in (BY_VALUE, BY_ID):
        found = what_is_new(twice, known(), rule)
        assert found.rows["late"].tolist() == [1]
        assert (found.counts.repeated, found.counts.seen) == (1, 4)


def test_of_rows_of_one_id_the_newest_counts() -> None:
    found = what_is_new(rows(row("2024-03-11", "x", whole=5), row("2024-03-12", "x", whole=6)), known(), BY_ID)

    assert found.rows["whole"].tolist() == [6]
    assert found.counts.repeated == 1


def test_a_tracked_row_with_another_label_is_counted() -> None:
    changed = known().assign(late=[1, 1, 0])

    assert what_is_new(changed, known(), BY_ID).counts.relabelled == 1
    assert what_is_new(known(), known(), BY_ID).counts.relabelled == 0


def test_ids_of_more_than_53_bits_stay_apart() -> None:
    before = known().assign(id=[2**60, 2**60 + 1, 2**60 + 2])
    after = pd.concat([before, before.iloc[2:].assign(id=2**60 + 3)], ignore_index=True)

    assert what_is_new(after, before, BY_ID).rows["id"].tolist() == [2**60 + 3]


def test_ids_of_two_columns_are_not_confused() -> None:
    rule = Rule("", "late", ("id", "part"))
    before = pd.DataFrame({"id": ["a", "ab"], "part": ["bc", "c"], "late": [0, 1]})
    after = pd.concat([before, pd.DataFrame({"id": ["abc"], "part": [""], "late": [1]})], ignore_index=True)

    assert what_is_new(after, before, rule).rows["id"].tolist() == ["abc"]


def test_a_row_without_an_id_is_refused() -> None:
    with pytest.raises(DataError, match="id column 'id' has missing values") as caught:
        what_is_new(rows(row("2024-03-11", None)), known(), BY_ID)  # type: ignore[arg-type]

    assert caught.value.where == "row 3"


def test_labels_that_contradict_each_other_are_refused_by_id() -> None:
    with pytest.raises(DataError, match="1 rows have labels that contradict") as caught:
        what_is_new(rows(row("2024-03-11", "x", late=0), row("2024-03-12", "x", late=1)), known(), BY_ID)

    assert caught.value.where == "id: x"


def test_rows_take_the_kinds_that_are_tracked() -> None:
    """The text of a time, words for true and false, numbers as names: a tracked column says what is meant."""
    before = known().assign(id=["1", "2", "x"])
    texts = pd.DataFrame({"at": ["2025-01-01"], "id": [3], "flag": ["TRUE"], "whole": [9], "late": [1]})
    fresh = what_is_new(texts, before, BY_VALUE).rows

    assert fresh.loc[0].tolist() == [pd.Timestamp("2025-01-01", tz="UTC"), "3", True, 9, 1]
    assert {name: column_kind(fresh[name]) for name in fresh} == {name: column_kind(before[name]) for name in before}


def test_a_tracked_column_without_values_says_nothing_about_its_kind() -> None:
    assert ids(what_is_new(rows(row("2024-03-11", "x")), known().assign(id=float("nan")), BY_VALUE))[-1] == "x"


def test_values_that_do_not_fit_are_refused_by_column() -> None:
    with pytest.raises(DataError, match="column 'whole' is not of kind integer"):
        what_is_new(known().assign(whole=["a", "b", "c"]), known(), BY_VALUE)


# --- labels of their own


def unlabelled() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "whole": [4, 5, 6]})


def labels(*pairs: tuple[Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(pairs), columns=["id", "late"])


@pytest.mark.parametrize("kind", ["int64", "float64", "str"])
def test_labels_are_joined_by_id_and_late_ones_are_missing(kind: str) -> None:
    arrived = labels((3, 1), (1, 0), (1, 0), (9, 1)).astype({"id": kind})
    if kind == "str":
        arrived["id"] = arrived["id"].astype(object)
    joined, unknown = with_labels(unlabelled(), arrived, BY_ID)

    assert joined["late"].tolist()[::2] == [0, 1]
    assert joined["late"].isna().tolist() == [False, True, False]
    assert unknown == 1


def test_no_label_has_arrived_yet() -> None:
    joined, unknown = with_labels(unlabelled(), pd.DataFrame(), BY_ID)

    assert joined["late"].isna().all()
    assert unknown == 0


def test_labels_fill_the_gaps_and_may_not_contradict_what_is_there() -> None:
    some = unlabelled().assign(late=[0, None, None])
    joined, _ = with_labels(some, labels((1, 0), (2, 1)), BY_ID)
    assert joined["late"].fillna(-1).tolist() == [0, 1, -1]

    with pytest.raises(DataError, match="contradict") as caught:
        with_labels(some, labels((1, 1), (2, 1)), BY_ID)
    assert caught.value.where == "id: 1"


def test_many_contradictions_are_told_by_the_first_few_ids() -> None:
    with pytest.raises(DataError, match="8 rows") as caught:
        with_labels(unlabelled(), labels(*[(n, n % 2) for n in range(8)], *[(n, 7) for n in range(8)]), BY_ID)

    assert caught.value.where == "id: 0, 1, 2, 3, 4, ..."


@pytest.mark.parametrize("name", ["id", "late"])
def test_labels_without_their_columns_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"the labels have no column '{name}'"):
        with_labels(unlabelled(), labels((1, 0)).drop(columns=name), BY_ID)


@given(st.permutations([(1, 0), (2, 1), (1, 0), (7, 1), (3, None)]))
def test_the_order_of_labels_changes_nothing(pairs: list[tuple[int, int | None]]) -> None:
    joined, unknown = with_labels(unlabelled(), labels(*pairs), BY_ID)

    assert (joined["late"].fillna(-1).tolist(), unknown) == ([0, 1, -1], 1)


# --- what is said


def test_what_is_told_leaves_out_what_there_is_none_of() -> None:
    assert describe(ArrivalCounts(read=3, new=3, late=0, ready=3, seen=0)) == ""
    assert describe(ArrivalCounts(read=3, new=0, seen=3)) == "3 rows read: 0 new, 3 tracked already"
    assert (
        describe(ArrivalCounts(read=1200, new=3, late=2, waiting=1, seen=1000, unfinished=1))
        == "1,200 rows read: 3 new (2 late, 1 wait for their labels), 1,000 tracked already, 1 files with an unfinished last line"
    )
