"""Files whose rows are all tracked are not read again, and not reading them never changes which rows are new."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sample
from arriving import ARRIVED, configure
from titlebout.checks.check import check_data
from titlebout.data.added import write_added
from titlebout.data.current import files_to_take_in, find_new_rows, read_current, read_new_rows
from titlebout.data.holdout import read_tracked
from titlebout.data.new_rows import NewRows
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project


@pytest.fixture
def project(root: Path) -> Project:
    (root / "data").mkdir(exist_ok=True)
    sample.crossings().to_parquet(root / "data" / "2024-03.parquet", index=False)
    return Project.find(root)


def arrive(project: Project, name: str, frame: pd.DataFrame) -> Path:
    (project.root / "incoming").mkdir(exist_ok=True)
    path = project.root / "incoming" / name
    if name.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def read(project: Project) -> NewRows:
    return read_new_rows(project, read_tracked(project))


def take_in(project: Project, name: str, *, remembered: bool = True) -> NewRows:
    """Add the new labeled rows to the tracked data, as a retraining does."""
    tracked = read_tracked(project)
    current = read_current(project, tracked)
    arrival = find_new_rows(project, current, tracked)
    files = files_to_take_in(current, arrival) if remembered else ()
    write_added(arrival.ready("late"), project.data_dir / f"{name}.parquet", files)
    return arrival


def test_a_file_whose_rows_are_tracked_is_not_read_again(project: Project) -> None:
    arrive(project, "a.parquet", ARRIVED.head(100))
    arrive(project, "b.csv", ARRIVED.iloc[100:200])
    take_in(project, "added")

    assert (read(project).counts.taken_in, read(project).counts.read) == (2, 0)

    arrive(project, "c.parquet", ARRIVED.iloc[200:])
    found = read(project)
    assert (found.counts.taken_in, found.counts.read, found.counts.new) == (2, 100, 100)


def test_a_changed_file_is_read_again(project: Project) -> None:
    arrive(project, "a.csv", ARRIVED.head(100))
    take_in(project, "added")

    arrive(project, "a.csv", ARRIVED.head(120))

    found = read(project)
    assert (found.counts.taken_in, found.counts.seen, found.counts.new) == (0, 100, 20)


def test_a_file_with_a_waiting_row_is_read_again(project: Project) -> None:
    arrive(project, "a.parquet", ARRIVED.head(100).assign(late=[None, *ARRIVED["late"].iloc[1:100]]))
    arrive(project, "b.parquet", ARRIVED.iloc[100:200])
    take_in(project, "added")

    found = read(project)
    assert (found.counts.taken_in, found.counts.seen, found.counts.waiting) == (1, 99, 1)


def test_a_file_with_a_late_row_is_read_again(project: Project) -> None:
    late = ARRIVED.head(2).assign(departure=pd.Timestamp("2024-01-01", tz="UTC"))
    arrive(project, "a.parquet", pd.concat([ARRIVED.head(100), late]))
    take_in(project, "added")

    found = read(project)
    assert (found.counts.taken_in, found.counts.too_late) == (0, 2)


def test_an_unfinished_log_is_read_again(project: Project) -> None:
    (project.root / "incoming").mkdir()
    text = (
        ARRIVED.head(50)
        .assign(departure=lambda rows: rows["departure"].astype(str))
        .to_json(orient="records", lines=True)
    )
    (project.root / "incoming" / "log.jsonl").write_text(text[:-9], encoding="utf-8")
    take_in(project, "added")

    found = read(project)
    assert (found.counts.taken_in, found.counts.seen, found.counts.unfinished) == (0, 49, 1)


def test_where_equal_rows_are_counted_every_file_is_read(project: Project) -> None:
    """Two equal rows of a second file are two more; without the first file they would be the tracked ones."""
    rows = sample.crossings(20)
    tracked = pd.concat([rows] * 5)
    tracked.to_parquet(project.data_dir / "2024-03.parquet", index=False)
    arrive(project, "a.parquet", pd.concat([tracked, rows]))
    take_in(project, "added")
    arrive(project, "b.parquet", rows)

    assert read(project).counts.taken_in == 0
    assert read(project).counts.new == 20


def test_with_labels_of_their_own_every_file_is_read(root: Path, project: Project) -> None:
    tracked = sample.crossings().assign(id=range(sample.ROWS))
    tracked.to_parquet(root / "data" / "2024-03.parquet", index=False)
    sample.edit(root / "pipelines/ferries/params.yaml", "drop: []", "drop: [id]")
    arrived = ARRIVED.assign(id=range(1000, 1300))
    (root / "labels").mkdir()
    arrived[["id", "late"]].to_csv(root / "labels" / "labels.csv", index=False)
    project = configure(root, "incoming", id=["id"], labels="labels")
    arrive(project, "a.parquet", arrived.drop(columns="late"))
    take_in(project, "added")

    found = read(project)
    assert (found.counts.taken_in, found.counts.seen, found.counts.unknown_labels) == (0, 300, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=15), min_size=2, max_size=5),
    first=st.integers(1, 4),
)
def test_not_reading_a_file_never_changes_the_new_rows(parts: list[list[int]], first: int, project: Project) -> None:
    """Rows of any files, with labels or waiting, repeated within and between files."""
    found = []
    for remembered in (True, False):
        for stale in (*(project.root / "incoming").glob("*"), project.data_dir / "added.parquet"):
            stale.unlink(missing_ok=True)
        for number, part in enumerate(parts):
            if number == first:
                take_in(project, "added", remembered=remembered)
            rows = ARRIVED.iloc[part]
            arrive(project, f"{number}.parquet", rows.assign(late=rows["late"].where(rows["harbour"] != "north")))
        found.append(read(project))

    read_less, read_all = (one.rows.reindex(columns=ARRIVED.columns) for one in found)
    pd.testing.assert_frame_equal(read_less, read_all, check_dtype=False)
    assert found[1].counts.taken_in == 0


def test_a_finding_names_the_first_file_and_its_rows(project: Project) -> None:
    arrive(project, "a.parquet", ARRIVED.head(100))
    arrive(project, "b.csv", ARRIVED.iloc[100:200].assign(wind=[1.0, float("inf"), 2.0, float("-inf")] + [3.0] * 96))
    Dvc(project).add_data()

    checked = check_data(project, "current")

    assert (checked.verdict, checked.reasons[0]) == (
        "value_skew",
        "column 'wind': 2 of 200 values are infinite, first in b.csv",
    )
    assert [failure.row_examples for failure in checked.failures if "infinite" in failure.message] == [(1, 3)]
