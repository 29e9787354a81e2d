"""Predictions in a file: the same after reading; any other file is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from made_predictions import classification, gate, regression
from titlebout.core.errors import DataError, NotFoundError
from titlebout.gate.decision import decide
from titlebout.gate.predictions import HoldoutPredictions, read_predictions, write_predictions
from titlebout.metrics.estimates import GroundTruth

FACTS = {"reason": "change", "holdout": {"uses": 3}, "models": ["a", None, 1.5]}


def full(kind: Any = classification, rows: int = 600) -> HoldoutPredictions:
    random = np.random.default_rng(0)
    columns = pd.DataFrame(
        {
            "carrier": random.choice(["AA", "BB", None], rows),
            "seats": pd.array(random.integers(1, 5, rows), dtype="Int64"),
            "distance": random.normal(size=rows),
            "kind": pd.Categorical(random.choice(["x", "y"], rows)),
            "when": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 3, rows), unit="D"),
            "night": random.random(rows) < 0.5,
        }
    )
    columns.loc[0, "seats"] = pd.NA
    return replace(
        kind(rows, noise={"challenger": 0.4, "champion": 0.6, "anchor": 0.7}),
        columns=columns,
        entities=random.integers(0, 100, rows),
        rows=random.integers(0, 2**64, rows, dtype=np.uint64),
        facts=FACTS,
    )


@pytest.mark.parametrize("kind", [classification, regression])
def test_what_is_read_is_what_was_written(kind: Any, tmp_path: Path) -> None:
    predictions = full(kind)
    path = write_predictions(tmp_path / "reports" / "answers.parquet", predictions)
    found = read_predictions(path)

    assert path.is_file()
    assert (found.truth.task, found.truth.classes) == (predictions.truth.task, predictions.truth.classes)
    assert np.array_equal(found.truth.y, predictions.truth.y)
    assert list(found.predicted) == list(predictions.predicted)
    assert all(
        np.array_equal(found.predicted[model_name], predictions.predicted[model_name])
        for model_name in predictions.predicted
    )
    pd.testing.assert_frame_equal(found.columns, predictions.columns)
    assert found.entities is not None
    assert np.array_equal(found.entities, predictions.entities)
    assert found.rows is not None
    assert found.rows.dtype == np.uint64
    assert np.array_equal(found.rows, predictions.rows)
    assert found.facts == FACTS


@pytest.mark.parametrize("kind", [classification, regression])
def test_answers_from_a_file_give_the_identical_decision(kind: Any, tmp_path: Path) -> None:
    predictions = full(kind)
    settings = gate(
        slices={"columns": tuple(predictions.columns.columns)},
        floors={"accuracy": 0.5} if predictions.truth.classes else {},
    )

    assert decide(read_predictions(write_predictions(tmp_path / "x.parquet", predictions)), settings, "age") == decide(
        predictions, settings, "age"
    )


def test_missing_parts_are_not_in_the_file(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path / "x.parquet", classification(10)))

    assert (found.entities, found.rows, found.facts, list(found.columns)) == (None, None, {}, [])


@pytest.mark.parametrize("classes", [("1", 1), (True, False), (1, 2.5), ("only one",), ("a: b", "champion 0: a", "|")])
def test_labels_of_any_type_are_distinguished(classes: tuple[object, ...], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = GroundTruth("classification", random.integers(0, len(classes), 20), classes)
    predictions = HoldoutPredictions(
        truth, {model_name: random.dirichlet(np.ones(len(classes)), 20) for model_name in ("challenger", "champion")}
    )
    found = read_predictions(write_predictions(tmp_path / "x.parquet", predictions))

    assert found.truth.classes == classes
    assert [type(label) for label in found.truth.classes] == [type(label) for label in classes]
    assert all(
        np.array_equal(found.predicted[model_name], predictions.predicted[model_name])
        for model_name in predictions.predicted
    )


def test_a_slice_column_may_have_any_name_and_a_mixture_of_types(tmp_path: Path) -> None:
    predictions = classification(6, columns=pd.DataFrame({"y": list("ababab"), "row": [1, "x", None, 2.5, "x", 1]}))
    found = read_predictions(write_predictions(tmp_path / "x.parquet", predictions)).columns

    assert found["y"].tolist() == list("ababab")
    assert found["row"].dropna().tolist() == ["1", "x", "2.5", "x", "1"]
    assert found["row"].isna().tolist() == [False, False, True, False, False, False]


def test_columns_that_are_a_part_of_a_larger_table_keep_their_rows(tmp_path: Path) -> None:
    table = pd.DataFrame({"c": list("abcdef")}, index=[10, 4, 7, 1, 0, 2])
    found = read_predictions(write_predictions(tmp_path / "x.parquet", classification(6, columns=table)))

    assert found.columns["c"].tolist() == list("abcdef")


def test_a_file_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are no predictions") as caught:
        read_predictions(tmp_path / "x.parquet")

    assert "titlebout evaluate" in str(caught.value.fix)


def another_version(path: Path) -> None:
    frame = pd.read_parquet(path)
    frame.attrs["titlebout"]["version"] = 1
    frame.to_parquet(path)


def without(column: str, path: Path) -> None:
    frame = pd.read_parquet(path)
    frame.drop(columns=column).to_parquet(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_text("y,challenger\n1,0.5\n"),
        lambda path: pd.DataFrame({"y": [1]}).to_parquet(path),
        lambda path: without("y", path),
        lambda path: without("champion 1: yes", path),
        another_version,
    ],
    ids=["empty", "cut", "csv", "another table", "no truth", "no answers", "another version"],
)
def test_what_is_no_file_of_predictions_is_refused(damage: Any, tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "x.parquet", classification(10))
    damage(path)

    with pytest.raises(DataError, match="cannot read the predictions file") as caught:
        read_predictions(path)
    assert (caught.value.where, caught.value.fix) == (str(path), "run `titlebout evaluate` again")
