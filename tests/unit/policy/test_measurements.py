"""Measurements for a decision, from the data and the champion."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError
from titlebout.data.holdout import Holdout
from titlebout.data.identity import identity_hashes
from titlebout.data.moment import Moment
from titlebout.models.champion import Champion, Promotion
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut
from titlebout.policy import performance
from titlebout.policy.measurements import DecisionInputs, LoadedChampion, measure, refused
from titlebout.policy.rules import Attempt, Clock, Measurement, Measurements
from titlebout.repository.dvc_files import DvcOutput
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "project": {"name": "made-up", "package": "made_up", "pipeline": "made-up"},
        "checks": {"suite": "none.json"},
        "policy": {"decay_min_rows": 30},
        "retrain": {"min_new_rows": 50},
    }
)
PARAMS = Params.model_validate(
    {"data": {"task": "regression", "target": "y"}, "split": {"by": "hash"}, "train": {"model": "a:b"}}
)


class Constant:
    """A model that always predicts 0, or fails."""

    classes = ()
    held_out = NOTHING_HELD_OUT

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        if self.fails:
            raise ConfigError("its code fails", fix="correct it")
        return np.zeros(len(frame))


def rows(number: int, spread: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"x": range(number), "y": np.random.default_rng(number).normal(0, spread, number)})


def champion(**meta: Any) -> Champion:
    return Champion(DvcOutput("c0ffee.dir", 1, 1), Promotion(**meta))


def load(rows_held_out: pd.DataFrame | None, *, fails: bool = False, **meta: Any) -> LoadedChampion:
    return LoadedChampion(champion(**meta), Constant(fails=fails), rows_held_out, 400)


INPUTS = DecisionInputs(
    tracked=rows(500),
    new=rows(60),
    labeled=rows(40),
    drift=Measurement(1.0, "in x"),
    loaded=load(rows(100), holdout=Holdout(rows=100, fingerprint="ab", start="", end="", uses=1)),
    champions=(),
    attempts=(),
    requested=frozenset({"schedule"}),
)


def test_measurements_hold_everything_that_a_decision_needs() -> None:
    measured, clock = measure(INPUTS, PARAMS, SETTINGS)

    assert clock == Clock(Moment(560), 50.0)
    assert (measured.new_rows, measured.drift, measured.requested) == (
        40,
        Measurement(1.0, "in x"),
        frozenset({"schedule"}),
    )
    assert (measured.champion, measured.won_at, measured.decayed_at) == ("c0ffee.dir", Moment(500), None)
    assert measured.decay.value is not None
    assert abs(measured.decay.value) < 3


@pytest.mark.parametrize(("rows_a_day", "longer"), [(30, True), (20, False)])
def test_too_few_labels_in_the_periods_say_if_longer_periods_help(rows_a_day: int, longer: bool) -> None:
    labeled = rows(rows_a_day).assign(at=pd.date_range("2024-01-01", periods=rows_a_day, freq="7D", tz="UTC"))
    params = PARAMS.model_copy(update={"data": PARAMS.data.model_copy(update={"time": "at"})})
    measured = performance.decay(Constant(), rows(100), labeled, params, SETTINGS.policy)

    assert measured.detail.endswith("policy.decay_periods can be raised") == longer


def test_a_loss_that_grew_is_measured_as_decay() -> None:
    measured, _ = measure(replace(INPUTS, labeled=rows(40, spread=5.0)), PARAMS, SETTINGS)

    assert measured.decay.value is not None
    assert measured.decay.value > 3


def test_without_a_champion_there_is_no_decay() -> None:
    measured, _ = measure(replace(INPUTS, loaded=None), PARAMS, SETTINGS)

    assert (measured.decay.value, measured.champion, measured.won_at) == (None, "", None)


@pytest.mark.parametrize(
    ("champion_loaded", "why"),
    [(load(None), "not in the tracked data"), (load(rows(100), fails=True), "its code fails")],
)
def test_decay_that_cannot_be_measured_reports_why(champion_loaded: LoadedChampion, why: str) -> None:
    measured, _ = measure(replace(INPUTS, loaded=champion_loaded), PARAMS, SETTINGS)

    assert measured.decay.value is None
    assert why in measured.decay.detail


def test_the_promotion_time_is_the_end_of_the_holdout() -> None:
    held = load(
        rows(100), holdout=Holdout(rows=100, fingerprint="ab", start="", end="2024-03-01T00:00:00+00:00", uses=1)
    )
    measured, _ = measure(replace(INPUTS, loaded=held), PARAMS, SETTINGS)

    assert measured.won_at == Moment.parse("2024-03-01")


def test_a_promotion_for_decay_is_followed_up_from_its_attempt() -> None:
    won = Attempt(Moment(510), "perf_decay", "won")
    followed = replace(INPUTS, champions=(champion(reason="perf_decay"),), attempts=(won,))
    measured, _ = measure(followed, PARAMS, SETTINGS)

    assert measured.decayed_at == Moment(510)


def grown(*attempts: Attempt, labeled: int = 200, **changed: Any) -> Measurement:
    inputs = replace(INPUTS, new=rows(300), labeled=rows(300)[:labeled], attempts=attempts, **changed)
    return measure(inputs, PARAMS, SETTINGS)[0].growth


def test_growth_is_the_share_of_new_rows_in_those_trained_on() -> None:
    assert grown() == Measurement(0.5, "200 new labeled rows, 50% more than at the training of the champion")


def test_growth_starts_from_zero_after_each_attempt_because_of_it() -> None:
    tried = Attempt(Moment(600), "volume", "lost", "c0ffee.dir")  # 100 rows after the 500 that are tracked

    assert grown(tried).value == 100 / 500
    assert grown(replace(tried, at=Moment(550)), tried).value == 100 / 500
    assert grown(replace(tried, at=Moment(700))).value == 0
    assert grown(replace(tried, at=Moment(790)), labeled=200).value == 0  # the newest rows have no label yet
    assert "at the last attempt" in grown(tried).detail


@pytest.mark.parametrize(
    "changed",
    [{"reason": "age"}, {"champion": "0ther.dir"}, {"at": Moment(801)}, {"at": Moment.parse("2024-03-01")}],
    ids=["another reason", "another champion", "later data", "another kind of data time"],
)
def test_other_attempts_do_not_change_the_growth(changed: dict[str, Any]) -> None:
    assert grown(replace(Attempt(Moment(600), "volume", "lost", "c0ffee.dir"), **changed)).value == 0.5


def test_growth_since_an_attempt_counts_the_rows_of_later_times() -> None:
    def hours(first: int, number: int) -> pd.DataFrame:
        return rows(number).assign(
            t=pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(range(first, first + number), "h")
        )

    params = PARAMS.model_copy(update={"data": PARAMS.data.model_copy(update={"time": "t"})})
    new = hours(500, 240)
    tried = Attempt(Moment.parse(new["t"][99].isoformat()), "volume", "inconclusive", "c0ffee.dir")
    inputs = replace(INPUTS, tracked=hours(0, 500), new=new, labeled=new[:200], attempts=(tried,))

    assert measure(inputs, params, SETTINGS)[0].growth.value == 100 / 500
    assert measure(replace(inputs, labeled=new[:0]), params, SETTINGS)[0].growth.value == 0


def test_without_a_champion_there_is_no_growth() -> None:
    assert grown(loaded=None).value is None


def test_refused_data_is_not_measured() -> None:
    assert refused("no rows") == (Measurements(refused="no rows"), Clock(None, 1.0))


@dataclass(frozen=True)
class Remembering:
    """A model that predicts every row of its training exactly; its held-out predictions for them are 0."""

    rows: pd.DataFrame
    classes: tuple[object, ...] = ()

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(identity_hashes(self.rows), np.zeros(len(self.rows)))

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        return np.where(frame["y"].isin(self.rows["y"]), frame["y"], 0.0)


def test_decay_compares_with_held_out_predictions_and_not_with_remembered_rows() -> None:
    trained = rows(400)
    measured = performance.decay(Remembering(trained), trained, rows(401), PARAMS, SETTINGS.policy)

    assert measured.value is not None
    assert abs(measured.value) < 3, "the same loss on rows that were held out and on new ones"


def test_rows_that_the_champion_is_trained_on_count_once_for_its_promotion() -> None:
    holdout = Holdout(rows=400, fingerprint="ab", start="", end="", uses=1)
    loaded = load(rows(400), holdout=holdout)
    measured = [
        measure(replace(INPUTS, loaded=one), PARAMS, SETTINGS)[0]
        for one in (replace(loaded, model=Remembering(rows(400))), loaded)
    ]

    assert [one.won_at for one in measured] == [Moment(400), Moment(800)]
