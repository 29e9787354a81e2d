"""The holdout: drawn from the data itself, the same one for everybody, never a training row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sample
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, UnsafeError
from titlebout.data.holdout import Split, labelled, require_no_overlap, split, target_values
from titlebout.repository.project import Project
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams


def params(task: str = "classification", time: str = "departure", **how: Any) -> Params:
    data = DataParams.model_validate({"task": task, "target": "late", "time": time})
    divided = SplitParams.model_validate({"by": "time" if time else "hash"} | how)
    return Params(data=data, split=divided, train=TrainParams(model="a:b"))


def sides(frame: pd.DataFrame, found: Split) -> tuple[set[int], set[int]]:
    return set(found.hashes[found.holdout].tolist()), set(found.hashes[~found.holdout].tolist())


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Tables in any order, with repeated rows and repeated times."""
    day = st.integers(0, 40)
    rows = draw(st.lists(st.tuples(day, st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=30))
    rows += draw(st.lists(st.sampled_from(rows), max_size=5))
    frame = pd.DataFrame(rows, columns=["day", "ship", "late"])
    return frame.assign(departure=pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(frame.pop("day"), unit="D"))


def divide(frame: pd.DataFrame, how: Params) -> Split | None:
    try:
        return split(frame, how)
    except InconclusiveError:
        return None


WAYS = st.sampled_from(
    [params(), params(holdout_days=3), params(time="", fraction=0.5), params(time="", fraction=0.5, entity=["ship"])]
)


@given(frame=tables(), how=WAYS)
def test_no_row_is_on_both_sides_and_none_is_lost(frame: pd.DataFrame, how: Params) -> None:
    found = divide(frame, how)
    if found is None:
        return
    held, trained = sides(frame, found)

    assert not held & trained
    assert held | trained == set(found.hashes.tolist())
    assert len(found.holdout) == len(frame)
    record = found.to_dict()
    assert record["train_rows"] + record["holdout_rows"] == len(frame)  # type: ignore[operator]


@given(frame=tables(), how=WAYS, data=st.data())
def test_the_order_of_rows_changes_nothing(frame: pd.DataFrame, how: Params, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(frame))))
    found, again = divide(frame, how), divide(frame.iloc[order].reset_index(drop=True), how)

    assert (found is None) == (again is None)
    if found is not None and again is not None:
        assert again.to_dict() == found.to_dict()
        assert again.holdout.tolist() == found.holdout[order].tolist()


@settings(max_examples=20)
@given(frame=tables(), added=tables(), how=st.sampled_from([params(time="", fraction=0.5)]))
def test_by_hash_a_row_stays_on_its_side_when_others_arrive(
    frame: pd.DataFrame, added: pd.DataFrame, how: Params
) -> None:
    before, after = divide(frame, how), divide(pd.concat([frame, added], ignore_index=True), how)
    if before is not None and after is not None:
        assert after.holdout[: len(frame)].tolist() == before.holdout.tolist()


@given(frame=tables())
def test_by_entity_all_rows_of_an_entity_are_on_one_side(frame: pd.DataFrame) -> None:
    found = divide(frame, params(time="", fraction=0.5, entity=["ship"]))
    if found is not None:
        assert not set(frame["ship"][found.holdout]) & set(frame["ship"][~found.holdout])


def test_by_time_the_last_days_are_held_out() -> None:
    frame = sample.crossings()
    found = split(frame, params())

    assert found.holdout.sum() == 14 * 12
    assert frame["departure"][found.holdout].min() > frame["departure"][~found.holdout].max()
    assert found.to_dict() == {
        "train_rows": 432,
        "holdout_rows": 168,
        "fingerprint": found.fingerprint,
        "start": "2024-04-06T00:00:00+00:00",
        "end": "2024-04-19T22:00:00+00:00",
    }


def test_by_hash_about_the_wanted_share_is_held_out() -> None:
    found = split(sample.crossings(5000), params(time="", fraction=0.2))

    assert 0.17 < found.holdout.mean() < 0.23
    assert (found.start, found.end) == ("", "")


def test_a_fingerprint_is_of_the_held_out_rows_only() -> None:
    frame = sample.crossings()
    same, other = frame.copy(), frame.copy()
    same.loc[0, "wind"] = 99.0
    other.loc[599, "wind"] = 99.0

    assert split(same, params()).fingerprint == split(frame, params()).fingerprint
    assert split(other, params()).fingerprint != split(frame, params()).fingerprint


@pytest.mark.parametrize(
    ("how", "what"),
    [
        (params(holdout_days=100), "the training part would be empty"),
        (params(time="", fraction=1e-9), "the holdout would be empty"),
        (params(time="", fraction=0.999999999), "the training part would be empty"),
    ],
)
def test_an_empty_side_decides_nothing(how: Params, what: str) -> None:
    with pytest.raises(InconclusiveError, match=what) as caught:
        split(sample.crossings(), how)

    assert caught.value.exit_code == 3


def test_a_key_that_is_no_column_is_named() -> None:
    with pytest.raises(ConfigError, match="no column 'vessel'") as caught:
        split(sample.crossings(), params(time="", entity=["harbour", "vessel"]))

    assert "split.entity" in str(caught.value.where)


def test_a_model_is_not_scored_on_its_training_rows() -> None:
    found = split(sample.crossings(), params())
    held, trained = found.hashes[found.holdout], found.hashes[~found.holdout]
    require_no_overlap(held, trained, "champion")

    with pytest.raises(UnsafeError, match="the champion was trained on 2 of the 168 holdout rows") as caught:
        require_no_overlap(held, np.append(trained, held[3:5]), "champion")
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
def test_labels_are_plain_values(values: "pd.Series[Any]", expected: list[object]) -> None:
    found = target_values(pd.DataFrame({"late": values}), params())

    assert found.dtype == object
    assert [(type(label), label) for label in found] == [(type(label), label) for label in expected]


def test_a_regressions_target_is_numbers() -> None:
    found = target_values(pd.DataFrame({"late": [3, 4]}), params("regression"))

    assert [(type(value), value) for value in found] == [(float, 3.0), (float, 4.0)]


@pytest.mark.parametrize("values", [["soon", "late"], [1.0, float("inf")]])
def test_a_regressions_target_that_is_no_number_is_malformed_data(values: list[object]) -> None:
    with pytest.raises(DataError, match="column 'late' is not of kind number"):
        target_values(pd.DataFrame({"late": values}), params("regression"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("titlebout.toml", "pipelines/ferries/params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(sample.FILES[name], encoding="utf-8")
    (tmp_path / "data").mkdir()
    return Project.find(tmp_path)


def test_labelled_rows_are_all_tracked_rows(project: Project) -> None:
    for month, start in (("03", "2024-03-01"), ("04", "2024-04-01")):
        sample.crossings(10, start=start).to_parquet(project.data_dir / f"2024-{month}.parquet")

    assert len(labelled(project)) == 20


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"late": None}, "target column 'late' has 10 missing values"),
        ({"late": [None] * 9 + [1]}, "target column 'late' has 9 missing values"),
    ],
)
def test_a_row_without_its_label_is_refused(change: dict[str, object], what: str, project: Project) -> None:
    sample.crossings(10).assign(**change).to_csv(project.data_dir / "a.csv", index=False)

    with pytest.raises(DataError, match=what) as caught:
        labelled(project)
    assert caught.value.where == str(project.data_dir)


def test_a_renamed_target_is_refused_with_what_there_is(project: Project) -> None:
    sample.crossings(10).rename(columns={"late": "Late"}).to_parquet(project.data_dir / "a.parquet")

    with pytest.raises(DataError, match="target column 'late' is missing") as caught:
        labelled(project)
    assert "passengers, Late" in str(caught.value.why)
