"""Selection of new rows: it depends on the data only, and counts every row exactly once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.errors import DataError
from titlebout.data.columns import column_kind
from titlebout.data.new_rows import NewRows, NewRowsRule, RowCounts, describe_counts, join_labels, select_new_rows
from titlebout.data.tables import read_table

TIMES = pd.to_datetime(["2024-03-01", "2024-03-02 12:00", "2024-03-10"], utc=True, format="ISO8601")
BY_VALUE, BY_ID, NO_TIME = (
    NewRowsRule("at", "late", (), 5),
    NewRowsRule("at", "late", ("id",), 5),
    NewRowsRule("", "late"),
)
KINDS_OF_ROWS = ("seen", "repeated", "too_late", "set_aside", "new")


def tracked_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {"at": TIMES, "id": ["a", "b", "c"], "flag": [True, False, True], "whole": [1, 2, 3], "late": [0, 1, 0]}
    )


def row(at: str, name: str, **values: Any) -> dict[str, Any]:
    return {"at": pd.Timestamp(at, tz="UTC"), "id": name, "flag": True, "whole": 4, "late": 1, **values}


def rows(*extra: dict[str, Any]) -> pd.DataFrame:
    return pd.concat([tracked_rows(), pd.DataFrame(list(extra))], ignore_index=True)


def ids(arrival: NewRows) -> list[str]:
    return list(arrival.rows["id"])


CURRENT = rows(
    row("2024-03-11", "new"),
    row("2024-03-11", "new"),
    row("2024-03-10", "same time"),
    row("2024-03-05", "five days late"),
    row("2024-03-04 23:59", "later"),
    row("2024-03-12", "unlabeled", late=None),
)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("rule", [BY_VALUE, BY_ID])
def test_untracked_rows_are_new_once_in_every_file_format(rule: NewRowsRule, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"arrived{suffix}"
    if suffix == ".parquet":
        CURRENT.to_parquet(path)
    elif suffix == ".csv":
        CURRENT.to_csv(path, index=False)
    else:
        CURRENT.assign(at=CURRENT["at"].astype(str)).to_json(path, orient="records", lines=True)
    found = select_new_rows(read_table(path), tracked_rows(), rule)

    assert ids(found) == ["five days late", "same time", "new", "unlabeled"]
    assert found.counts == RowCounts(
        watermark="2024-03-10T00:00:00+00:00",
        read=9, seen=3, repeated=1, too_late=1, set_aside=0, new=4, late=2, waiting=1, ready=3, relabelled=0,
    )  # fmt: skip
    both = pd.concat([tracked_rows(), found.ready("late")], ignore_index=True)
    assert {name: column_kind(both[name]) for name in both} == {
        name: column_kind(tracked_rows()[name]) for name in tracked_rows()
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
def test_row_order_and_duplicates_do_not_change_the_new_rows(
    extra_rows: list[dict[str, Any]], rule: NewRowsRule, data: st.DataObject
) -> None:
    label = {name: data.draw(st.sampled_from([0.0, 1.0])) for name in "abcdef"}  # one label per id
    frame = rows(*({**first, "late": label[first["id"]] if first["whole"] > 1 else None} for first in extra_rows))
    frame["late"] = frame["late"].mask(frame["id"].isin(list("abc")) & (frame.index >= 3), other=np.nan)
    duplicates = data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=8))
    order = data.draw(st.permutations([*range(len(frame)), *duplicates]))
    first, second = (
        select_new_rows(frame, tracked_rows(), rule),
        select_new_rows(frame.iloc[order], tracked_rows(), rule),
    )

    pd.testing.assert_frame_equal(first.rows, second.rows)
    depending_on_copies = dict.fromkeys(("read", "repeated", "seen", "too_late"), 0)
    assert first.counts.replace(**depending_on_copies) == second.counts.replace(**depending_on_copies)
    for found, count in ((first, len(frame)), (second, len(order))):
        assert sum(getattr(found.counts, kind) for kind in KINDS_OF_ROWS) == found.counts.read == count


@given(RANDOM_ROWS, st.sampled_from([BY_VALUE, BY_ID, NO_TIME]))
def test_a_tracked_row_is_never_new_again(extra_rows: list[dict[str, Any]], rule: NewRowsRule) -> None:
    frame = rows(*({**first, "late": float(len(first["id"]))} for first in extra_rows)).assign(late=1.0)
    new = select_new_rows(frame, tracked_rows().assign(late=1.0), rule)
    tracked = pd.concat([tracked_rows().assign(late=1.0), new.rows], ignore_index=True)

    assert select_new_rows(frame, tracked, rule).counts.new == 0


# --- equal rows that are rows of their own


SURVEY = NewRowsRule("", "recommend")


def answers(*counts: int, label: object = "yes") -> pd.DataFrame:
    """Return a survey in which the answer 0 occurs as often as the first count says, and so on."""
    price = np.repeat(np.arange(len(counts)), counts)
    return pd.DataFrame({"price": price, "recommend": [label] * len(price)})


def counts_of(rows: pd.DataFrame) -> list[int]:
    return rows["price"].value_counts().sort_index().tolist()


def test_the_third_equal_answer_is_a_third_answer() -> None:
    found = select_new_rows(answers(5, 1), answers(3, 3), SURVEY)

    assert counts_of(found.rows) == [2]
    assert (found.counts.seen, found.counts.repeated, found.counts.new) == (4, 0, 2)


def test_equal_answers_of_a_later_batch_are_new() -> None:
    reference, batch = answers(30, 20), answers(12, 7)
    first = select_new_rows(batch, reference, SURVEY, reference.head(0))
    tracked = pd.concat([reference, first.rows], ignore_index=True)
    again = select_new_rows(answers(13, 7), tracked, SURVEY, first.rows)

    assert counts_of(first.rows) == [12, 7]
    assert counts_of(again.rows) == [1]


def test_an_export_of_the_whole_table_contains_the_reference() -> None:
    found = select_new_rows(answers(31, 20), answers(30, 20), SURVEY, answers(30, 20).head(0))

    assert counts_of(found.rows) == [1]


def test_an_answer_without_its_label_waits_and_is_not_counted_twice() -> None:
    tracked = answers(3, 3)
    current = pd.concat([answers(3), answers(1, label=None)], ignore_index=True)
    found = select_new_rows(current, tracked, SURVEY)

    assert (found.counts.seen, found.counts.waiting) == (3, 1)
    assert select_new_rows(answers(3, label=None), tracked, SURVEY).counts.seen == 3
    assert select_new_rows(current.drop(columns="recommend"), tracked, SURVEY).counts.seen == 3


def test_where_equal_rows_are_rare_a_second_one_is_a_copy() -> None:
    tracked = pd.DataFrame({"price": np.arange(100), "recommend": "yes"})
    current = pd.DataFrame({"price": [5, 200, 200], "recommend": "yes"})
    found = select_new_rows(current, tracked, SURVEY, tracked.head(0))

    assert (found.counts.seen, found.counts.repeated, found.counts.new) == (1, 1, 1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 3), max_size=12), st.randoms())
def test_counted_rows_are_each_counted_once(before: list[int], after: list[int], random: Any) -> None:
    tracked = pd.DataFrame({"price": [*before, *before], "recommend": "yes"})
    current = pd.DataFrame({"price": np.array(after, dtype=int), "recommend": "yes"})
    found = select_new_rows(current, tracked, SURVEY)
    shuffled = select_new_rows(current.sample(frac=1, random_state=random.randrange(99)), tracked, SURVEY)

    wanted = {value: max(0, after.count(value) - 2 * before.count(value)) for value in range(4)}
    assert found.rows["price"].value_counts().to_dict() == {value: count for value, count in wanted.items() if count}
    assert found.counts == shuffled.counts
    both = pd.concat([tracked, found.rows], ignore_index=True)
    assert select_new_rows(current, both, SURVEY).counts.new == 0


# --- times that cannot be right


def test_rows_without_a_plausible_time_are_set_aside_and_counted() -> None:
    tracked = pd.DataFrame(
        {"at": pd.date_range("2025-01-01", periods=500, freq="h", tz="UTC"), "late": 0, "x": range(500)}
    )
    later = tracked.assign(at=tracked["at"] + pd.Timedelta(hours=500), x=tracked["x"] + 500)
    wrong = [later.tail(1).assign(at=at) for at in (pd.Timestamp("2205-01-01", tz="UTC"), pd.NaT)]
    current = pd.concat([later, *wrong], ignore_index=True)
    found = select_new_rows(current, tracked, NewRowsRule("at", "late"))

    assert (found.counts.set_aside, found.counts.new, found.counts.late) == (2, 500, 0)
    assert found.rows["at"].max() == later["at"].max()
    assert "2 set aside because their time is missing or cannot be right" in describe_counts(found.counts)


def test_without_a_time_column_no_row_is_late() -> None:
    found = select_new_rows(CURRENT.drop(columns="at"), tracked_rows().drop(columns="at"), NO_TIME)

    assert set(ids(found)) == {"new", "same time", "five days late", "later", "unlabeled"}
    assert (found.counts.watermark, found.counts.late, found.counts.too_late) == ("", 0, 0)


def test_a_row_read_before_and_after_its_label_is_one_row() -> None:
    current = rows(row("2024-03-11", "x", late=None), row("2024-03-11", "x", late=1), row("2024-03-02 12:00", "b"))
    current.loc[5, ["flag", "whole", "late"]] = [False, 2, None]  # the tracked row b, without its label
    for rule in (BY_VALUE, BY_ID):
        found = select_new_rows(current, tracked_rows(), rule)
        assert found.rows["late"].tolist() == [1]
        assert (found.counts.repeated, found.counts.seen) == (1, 4)


def test_the_newest_row_of_an_id_is_kept() -> None:
    found = select_new_rows(
        rows(row("2024-03-11", "x", whole=5), row("2024-03-12", "x", whole=6)), tracked_rows(), BY_ID
    )

    assert found.rows["whole"].tolist() == [6]
    assert found.counts.repeated == 1


def test_a_tracked_row_with_another_label_is_counted() -> None:
    changed = tracked_rows().assign(late=[1, 1, 0])

    assert select_new_rows(changed, tracked_rows(), BY_ID).counts.relabelled == 1
    assert select_new_rows(tracked_rows(), tracked_rows(), BY_ID).counts.relabelled == 0


def test_ids_of_more_than_53_bits_stay_distinct() -> None:
    before = tracked_rows().assign(id=[2**60, 2**60 + 1, 2**60 + 2])
    after = pd.concat([before, before.iloc[2:].assign(id=2**60 + 3)], ignore_index=True)

    assert select_new_rows(after, before, BY_ID).rows["id"].tolist() == [2**60 + 3]


def test_ids_of_two_columns_do_not_collide() -> None:
    rule = NewRowsRule("", "late", ("id", "part"))
    before = pd.DataFrame({"id": ["a", "ab"], "part": ["bc", "c"], "late": [0, 1]})
    after = pd.concat([before, pd.DataFrame({"id": ["abc"], "part": [""], "late": [1]})], ignore_index=True)

    assert select_new_rows(after, before, rule).rows["id"].tolist() == ["abc"]


def test_a_row_without_an_id_is_refused() -> None:
    with pytest.raises(DataError, match="id column 'id' has missing values") as caught:
        select_new_rows(rows(row("2024-03-11", None)), tracked_rows(), BY_ID)  # type: ignore[arg-type]

    assert caught.value.where == "row 3"


def test_contradictory_labels_are_reported_with_their_id() -> None:
    with pytest.raises(DataError, match="the labels of 1 id contradict") as caught:
        select_new_rows(rows(row("2024-03-11", "x", late=0), row("2024-03-12", "x", late=1)), tracked_rows(), BY_ID)

    assert caught.value.where == "id: x"


def test_new_rows_get_the_column_kinds_of_the_tracked_data() -> None:
    """Times and booleans as text, and numbers as ids, are converted to the kind of the tracked column."""
    before = tracked_rows().assign(id=["1", "2", "x"])
    texts = pd.DataFrame({"at": ["2025-01-01"], "id": [3], "flag": ["TRUE"], "whole": [9], "late": [1]})
    new = select_new_rows(texts, before, BY_VALUE).rows

    assert new.loc[0].tolist() == [pd.Timestamp("2025-01-01", tz="UTC"), "3", True, 9, 1]
    assert {name: column_kind(new[name]) for name in new} == {name: column_kind(before[name]) for name in before}


def test_an_empty_tracked_column_has_no_kind_to_convert_to() -> None:
    assert (
        ids(select_new_rows(rows(row("2024-03-11", "x")), tracked_rows().assign(id=float("nan")), BY_VALUE))[-1] == "x"
    )


def test_a_value_of_another_kind_is_reported_with_its_column() -> None:
    with pytest.raises(DataError, match="column 'whole' cannot be read as integer"):
        select_new_rows(tracked_rows().assign(whole=["a", "b", "c"]), tracked_rows(), BY_VALUE)


# --- labels from a source of their own


def unlabeled_rows() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "whole": [4, 5, 6]})


def labels(*pairs: tuple[Any, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(pairs), columns=["id", "late"])


@pytest.mark.parametrize("kind", ["int64", "float64", "str"])
def test_labels_are_joined_by_id_and_late_labels_are_missing(kind: str) -> None:
    label_rows = labels((3, 1), (1, 0), (1, 0), (9, 1)).astype({"id": kind})
    if kind == "str":
        label_rows["id"] = label_rows["id"].astype(object)
    joined, unknown = join_labels(unlabeled_rows(), label_rows, BY_ID)

    assert joined["late"].tolist()[::2] == [0, 1]
    assert joined["late"].isna().tolist() == [False, True, False]
    assert unknown == 1


def test_an_empty_label_source_leaves_all_labels_missing() -> None:
    joined, unknown = join_labels(unlabeled_rows(), pd.DataFrame(), BY_ID)

    assert joined["late"].isna().all()
    assert unknown == 0


def test_labels_fill_missing_values_and_may_not_contradict_existing_ones() -> None:
    partly_labeled = unlabeled_rows().assign(late=[0, None, None])
    joined, _ = join_labels(partly_labeled, labels((1, 0), (2, 1)), BY_ID)
    assert joined["late"].fillna(-1).tolist() == [0, 1, -1]

    with pytest.raises(DataError, match="contradict") as caught:
        join_labels(partly_labeled, labels((1, 1), (2, 1)), BY_ID)
    assert caught.value.where == "id: 1"


def test_only_the_first_contradictory_ids_are_listed() -> None:
    with pytest.raises(DataError, match="the labels of 8 ids") as caught:
        join_labels(unlabeled_rows(), labels(*[(n, n % 2) for n in range(8)], *[(n, 7) for n in range(8)]), BY_ID)

    assert caught.value.where == "id: 0, 1, 2, 3, 4, ..."


@pytest.mark.parametrize("name", ["id", "late"])
def test_labels_without_their_columns_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"the labels have no column '{name}'"):
        join_labels(unlabeled_rows(), labels((1, 0)).drop(columns=name), BY_ID)


@given(st.permutations([(1, 0), (2, 1), (1, 0), (7, 1), (3, None)]))
def test_the_order_of_labels_does_not_matter(pairs: list[tuple[int, int | None]]) -> None:
    joined, unknown = join_labels(unlabeled_rows(), labels(*pairs), BY_ID)

    assert (joined["late"].fillna(-1).tolist(), unknown) == ([0, 1, -1], 1)


# --- settled rows


@pytest.mark.parametrize("rule", [BY_VALUE, BY_ID])
def test_rows_are_settled_when_they_are_tracked_or_about_to_be(rule: NewRowsRule) -> None:
    mixed = CURRENT.sample(frac=1, random_state=3)
    open_ids = {"later", "unlabeled"}

    settled = select_new_rows(mixed, tracked_rows(), rule).settled

    assert settled.tolist() == [name not in open_ids for name in mixed["id"]]


# --- descriptions


def test_counts_of_zero_are_left_out_of_the_sentence() -> None:
    assert describe_counts(RowCounts(read=3, new=3, late=0, ready=3, seen=0)) == ""
    assert describe_counts(RowCounts(read=3, new=0, seen=3)) == "3 rows read: 0 new, 3 tracked already"
    assert (
        describe_counts(RowCounts(read=1200, new=3, late=2, waiting=1, seen=1000, unfinished=1))
        == "1,200 rows read: 3 new (2 late, 1 wait for their labels), 1,000 tracked already, 1 file with an unfinished last line"
    )
