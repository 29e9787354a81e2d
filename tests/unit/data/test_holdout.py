"""The holdout split: deterministic, stable and disjoint from the training rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample
from examples import share
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, UnsafeError
from titlebout.data.holdout import Split, read_labeled_rows, require_no_overlap, split, target_values
from titlebout.repository.project import Project
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams


def params(task: str = "classification", time: str = "departure", **options: Any) -> Params:
    data = DataParams.model_validate({"task": task, "target": "late", "time": time})
    split_params = SplitParams.model_validate({"by": "time" if time else "hash"} | options)
    return Params(data=data, split=split_params, train=TrainParams(model="a:b"))


def hashes_by_side(frame: pd.DataFrame, found: Split) -> tuple[set[int], set[int]]:
    return set(found.hashes[found.holdout].tolist()), set(found.hashes[~found.holdout].tolist())


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Tables in any order, with repeated rows and repeated times."""
    day = st.integers(0, 40)
    rows = draw(st.lists(st.tuples(day, st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=30))
    rows += draw(st.lists(st.sampled_from(rows), max_size=5))
    frame = pd.DataFrame(rows, columns=["day", "ship", "late"])
    return frame.assign(departure=pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D"))


def split_or_none(frame: pd.DataFrame, options: Params) -> Split | None:
    try:
        return split(frame, options)
    except InconclusiveError:
        return None


SPLITS = st.sampled_from(
    [params(), params(holdout_days=3), params(time="", fraction=0.5), params(time="", fraction=0.5, entity=["ship"])]
)
IN_FOLDS = st.sampled_from(
    [
        params(folds=3),
        params(holdout_days=9, folds=4),
        params(time="", folds=2),
        params(time="", folds=5, entity=["ship"]),
    ]
)


@given(frame=tables(), options=SPLITS)
def test_no_row_is_on_both_sides_and_none_is_lost(frame: pd.DataFrame, options: Params) -> None:
    found = split_or_none(frame, options)
    if found is None:
        return
    holdout, trained = hashes_by_side(frame, found)

    assert not holdout & trained
    assert holdout | trained == set(found.hashes.tolist())
    assert len(found.holdout) == len(frame)
    record = found.to_dict()
    assert record["train_rows"] + record["holdout_rows"] == len(frame)  # type: ignore[operator]


@given(frame=tables(), options=IN_FOLDS)
def test_every_holdout_row_is_in_one_fold_and_predicted_from_others(frame: pd.DataFrame, options: Params) -> None:
    found = split_or_none(frame, options)
    if found is None:
        return

    assert found.training.all()
    assert (sum(fold.held_out.astype(int) for fold in found.folds) == found.holdout.astype(int)).all()
    for fold in found.folds:
        assert fold.held_out.any()
        assert fold.fitted.any()
        assert not (fold.fitted & fold.held_out).any()
        if options.split.by == "time":
            assert frame["departure"][fold.fitted].max() < frame["departure"][fold.held_out].min()
        else:
            assert found.holdout.all()
            assert (fold.fitted | fold.held_out).all()
        if options.split.entity:
            assert not set(frame["ship"][fold.fitted]) & set(frame["ship"][fold.held_out])


@given(frame=tables(), options=SPLITS | IN_FOLDS, data=st.data())
def test_the_order_of_rows_changes_nothing(frame: pd.DataFrame, options: Params, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(frame))))
    found, again = split_or_none(frame, options), split_or_none(frame.iloc[order].reset_index(drop=True), options)

    assert (found is None) == (again is None)
    if found is not None and again is not None:
        assert again.to_dict() == found.to_dict()
        # Equal rows are interchangeable: as many of them are in the holdout, whichever they are.
        sides = [sorted(zip(one.hashes.tolist(), one.holdout.tolist(), strict=True)) for one in (found, again)]
        assert sides[0] == sides[1]


@share(0.4)
@given(
    frame=tables(), added=tables(), options=st.sampled_from([params(time="", fraction=0.5), params(time="", folds=3)])
)
def test_a_hash_split_is_stable_when_rows_are_added(frame: pd.DataFrame, added: pd.DataFrame, options: Params) -> None:
    before, after = split_or_none(frame, options), split_or_none(pd.concat([frame, added], ignore_index=True), options)
    if before is None or after is None:
        return

    assert after.holdout[: len(frame)].tolist() == before.holdout.tolist()
    together = [sum(number * fold.held_out for number, fold in enumerate(one.folds)) for one in (before, after)]
    if len(before.folds) == len(after.folds) > 0:  # a fold without rows has no number
        assert together[1][: len(frame)].tolist() == together[0].tolist()


@given(frame=tables())
def test_all_rows_of_an_entity_are_on_one_side(frame: pd.DataFrame) -> None:
    found = split_or_none(frame, params(time="", fraction=0.5, entity=["ship"]))
    if found is not None:
        assert not set(frame["ship"][found.holdout]) & set(frame["ship"][~found.holdout])


def test_a_time_split_holds_out_the_last_days() -> None:
    frame = sample.crossings()
    found = split(frame, params())

    assert found.holdout.sum() == 14 * 12
    assert frame["departure"][found.holdout].min() > frame["departure"][~found.holdout].max()
    assert found.to_dict() == {
        "train_rows": 432,
        "holdout_rows": 168,
        "known_inputs": 0,
        "fingerprint": found.fingerprint,
        "start": "2024-04-06T00:00:00+00:00",
        "end": "2024-04-19T22:00:00+00:00",
    }


def test_a_hash_split_holds_out_about_the_configured_fraction() -> None:
    found = split(sample.crossings(5000), params(time="", fraction=0.2))

    assert 0.17 < found.holdout.mean() < 0.23
    assert (found.start, found.end) == ("", "")


def test_folds_in_time_have_about_the_same_number_of_rows() -> None:
    found = split(sample.crossings(), params(folds=4))

    assert [int(fold.held_out.sum()) for fold in found.folds] == [42, 42, 42, 42]
    assert [int(fold.fitted.sum()) for fold in found.folds] == [432, 474, 516, 558]
    assert (found.to_dict()["train_rows"], found.to_dict()["folds"]) == (600, 4)


def test_known_inputs_are_those_that_the_model_of_a_fold_has_seen() -> None:
    frame = pd.DataFrame({"x": np.arange(40) % 20, "late": np.arange(40) % 2})
    found = split(frame, params(time="", folds=4))
    number = sum((at * fold.held_out for at, fold in enumerate(found.folds)), np.zeros(40))

    assert found.known_inputs == 2 * int((number[:20] != number[20:]).sum()) > 0


def test_the_fingerprint_depends_on_the_holdout_rows_only() -> None:
    frame = sample.crossings()
    same, other = frame.copy(), frame.copy()
    same.loc[0, "wind"] = 99.0
    other.loc[599, "wind"] = 99.0

    assert split(same, params()).fingerprint == split(frame, params()).fingerprint
    assert split(other, params()).fingerprint != split(frame, params()).fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (params(holdout_days=100), "leaves no training rows"),
        (params(time="", fraction=1e-9), "leaves no holdout rows"),
        (params(time="", fraction=0.999999999), "leaves no training rows"),
    ],
)
def test_a_split_with_an_empty_side_is_inconclusive(options: Params, message: str) -> None:
    with pytest.raises(InconclusiveError, match=message) as caught:
        split(sample.crossings(), options)

    assert caught.value.exit_code == 3


def test_a_split_key_that_is_not_a_column_is_reported() -> None:
    with pytest.raises(ConfigError, match="no column 'vessel'") as caught:
        split(sample.crossings(), params(time="", entity=["harbour", "vessel"]))

    assert "split.entity" in str(caught.value.where)


def test_a_model_is_not_scored_on_its_training_rows() -> None:
    found = split(sample.crossings(), params())
    holdout, trained = found.hashes[found.holdout], found.hashes[~found.holdout]
    require_no_overlap(holdout, trained, "champion")

    with pytest.raises(UnsafeError, match="2 of the 168 holdout rows were used to train the champion") as caught:
        require_no_overlap(holdout, np.append(trained, holdout[3:5]), "champion")
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series([0, 1]), [0, 1]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series(["on time", "late"], dtype="category"), ["on time", "late"]),
        (pd.Series(["late", 3], dtype=object), ["late", "3"]),
    ],
)
def test_labels_are_plain_python_values(values: "pd.Series[Any]", expected: list[object]) -> None:
    found = target_values(pd.DataFrame({"late": values}), params())

    assert found.dtype == object
    assert [(type(label), label) for label in found] == [(type(label), label) for label in expected]


def test_the_target_of_a_regression_is_float() -> None:
    found = target_values(pd.DataFrame({"late": [3, 4]}), params("regression"))

    assert [(type(value), value) for value in found] == [(float, 3.0), (float, 4.0)]


@pytest.mark.parametrize("values", [["soon", "late"], [1.0, float("inf")]])
def test_a_regression_target_that_is_not_a_number_is_refused(values: list[object]) -> None:
    with pytest.raises(DataError, match="column 'late' cannot be read as number"):
        target_values(pd.DataFrame({"late": values}), params("regression"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    sample.write_settings(tmp_path)
    (tmp_path / "data").mkdir()
    return Project.find(tmp_path)


def test_all_tracked_rows_are_read(project: Project) -> None:
    for month, start in (("03", "2024-03-01"), ("04", "2024-04-01")):
        sample.crossings(10, start=start).to_parquet(project.data_dir / f"2024-{month}.parquet")

    assert len(read_labeled_rows(project)) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"late": None}, "target column 'late' has 10 missing values"),
        ({"late": [None] * 9 + [1]}, "target column 'late' has 9 missing values"),
    ],
)
def test_a_tracked_row_without_a_label_is_refused(change: dict[str, object], message: str, project: Project) -> None:
    sample.crossings(10).assign(**change).to_csv(project.data_dir / "a.csv", index=False)

    with pytest.raises(DataError, match=message) as caught:
        read_labeled_rows(project)
    assert caught.value.where == str(project.data_dir)


def test_a_missing_target_is_reported_with_the_existing_columns(project: Project) -> None:
    sample.crossings(10).rename(columns={"late": "Late"}).to_parquet(project.data_dir / "a.parquet")

    with pytest.raises(DataError, match="target column 'late' is missing") as caught:
        read_labeled_rows(project)
    assert "passengers, Late" in str(caught.value.why)


def test_holdout_rows_with_the_inputs_of_a_training_row_are_counted() -> None:
    times = pd.date_range("2024-03-01", periods=4, freq="30D", tz="UTC")
    frame = pd.DataFrame({"ship": [1, 1, 2, 3], "late": [0, 1, 0, 0], "departure": times})

    assert split(frame, params()).known_inputs == 0
    assert split(frame.assign(ship=[3, 1, 2, 3], late=[1, 0, 0, 0]), params()).to_dict()["known_inputs"] == 1


@given(frame=tables(), label=st.integers(0, 1))
def test_a_split_by_hash_does_not_depend_on_the_label(frame: pd.DataFrame, label: int) -> None:
    first = frame.drop_duplicates(["ship", "departure"]).reset_index(drop=True)
    found = [split_or_none(one, params(time="", fraction=0.5)) for one in (first, first.assign(late=label))]

    if found[0] is not None and found[1] is not None:
        assert found[0].holdout.tolist() == found[1].holdout.tolist()
    else:
        assert found == [None, None]
