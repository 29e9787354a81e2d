"""Held-out predictions stand for those of the model on the rows that it was trained on, and only there."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.arrays import FloatArray
from titlebout.data.holdout import split
from titlebout.data.identity import identity_hashes
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut, hold_out, predict_unseen
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams


@dataclass(frozen=True)
class Seen:
    """A model that predicts for every row whether it was fitted on it."""

    rows: frozenset[int]
    classes: tuple[object, ...] = ()
    held_out: HeldOut = field(default=NOTHING_HELD_OUT)

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        return np.array([float(row in self.rows) for row in frame["id"].tolist()])


def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"id": range(rows), "at": pd.date_range("2024-01-01", periods=rows, tz="UTC"), "y": 1.0})


def params(**options: object) -> Params:
    return Params(
        data=DataParams(task="regression", target="y", time="at"),
        split=SplitParams.model_validate(options),
        train=TrainParams(model="a:b"),
    )


@given(
    options=st.sampled_from([params(by="hash", folds=4), params(by="time", holdout_days=10, folds=3)]),
    rows=st.integers(20, 60),
    later=st.integers(0, 10),
)
def test_no_row_is_predicted_by_a_model_that_has_seen_it(options: Params, rows: int, later: int) -> None:
    everything, known = table(rows + later), table(rows)
    rows_split = split(known, options)
    held_out = hold_out(known, rows_split, (), lambda fitted: Seen(frozenset(fitted["id"])))
    model = Seen(frozenset(range(rows)), held_out=held_out)
    scored = pd.concat([everything[: len(known)][rows_split.holdout], everything[rows:]])

    predicted = predict_unseen(model, scored, identity_hashes(everything)[scored["id"]])

    assert not predicted.any()
    assert set(held_out.rows) == set(rows_split.hashes[rows_split.holdout])
    seen = held_out.seen(rows_split.hashes)
    assert set(seen) == set(rows_split.hashes[~rows_split.holdout])


def test_a_class_that_a_fold_does_not_know_has_probability_zero() -> None:
    @dataclass(frozen=True)
    class Classes(Seen):
        classes: tuple[object, ...] = ("b", "a")

        def predict(self, frame: pd.DataFrame, /) -> FloatArray:
            return np.tile([0.25, 0.75], (len(frame), 1))

    known = table(30)
    rows_split = split(known, params(by="hash", folds=2))
    held_out = hold_out(known, rows_split, ("a", "b", "c"), lambda _: Classes(frozenset()))

    assert np.unique(held_out.predictions, axis=0).tolist() == [[0.75, 0.25, 0.0]]


def test_without_folds_the_model_predicts_everything() -> None:
    known = table(30)
    rows_split = split(known, params(by="time", holdout_days=7))

    assert hold_out(known, rows_split, (), lambda _: Seen(frozenset())) == NOTHING_HELD_OUT
    assert predict_unseen(Seen(frozenset({1})), known, rows_split.hashes).sum() == 1
