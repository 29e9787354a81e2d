"""What is proposed for a target: loss, metric, guardrails and a holdout that is large enough, with a note for each."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.scaffold import proposal as scaffold_proposal
from titlebout.scaffold.columns import ColumnRoles
from titlebout.scaffold.proposal import Proposal, propose
from titlebout.settings.gate import GateSettings

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=1000)


def proposed(target: object, task: str = "regression", **columns: object) -> Proposal:
    frame = pd.DataFrame({"paid": target, **columns})
    time = "at" if columns else ""
    days = 10 if columns else 0
    return propose(frame, roles(task, time, days, bool(columns)))


def roles(task: str, time: str, days: int, by_time: bool) -> ColumnRoles:
    return ColumnRoles(
        task=task,
        target="paid",
        time=time if by_time else "",
        drop=(),
        numeric=(),
        categorical=(),
        holdout_days=days if by_time else 0,
        types={},
        rivals=(),
        notes=(),
    )


@pytest.mark.parametrize(
    ("target", "loss", "metric", "guardrails", "note"),
    [
        (NORMAL, "absolute_error", "", None, ""),
        (NORMAL * 1e6 + 1e9, "absolute_error", "", None, ""),
        (np.exp(NORMAL), "absolute_error", "", (), "far from the others"),
        (np.exp(NORMAL) * -1, "absolute_error", "", (), "compared by mae"),
        (np.where(NORMAL > 0.5, np.exp(NORMAL), 0), "poisson", "rmse", None, "are 0: the model predicts the mean"),
        (RANDOM.poisson(0.5, 1000), "poisson", "rmse", None, "Poisson loss"),
        (np.where(NORMAL > 0.5, NORMAL - 1, 0), "squared_error", "rmse", None, "squared loss"),
        (np.where(NORMAL > 0, 99.0, NORMAL), "squared_error", "rmse", None, "47% of the values of 'paid' are 99"),
    ],
)
def test_the_loss_and_the_metric_fit_the_target(
    target: np.ndarray, loss: str, metric: str, guardrails: tuple[str, ...] | None, note: str
) -> None:
    found = proposed(target)

    assert (found.loss, found.metric, found.guardrails) == (loss, metric, guardrails)
    assert note in found.notes[0]
    assert len(found.notes) == (2 if note else 1)


@pytest.mark.parametrize(
    ("counts", "guardrails", "parts"),
    [
        ({"no": 700, "yes": 300}, None, []),
        ({"no": 1900, "yes": 100}, ("roc_auc",), ["class 'yes' is rare (100 of 2,000 rows)", "accuracy, which is 95%"]),
        (
            {"no": 990, "yes": 10},
            ("roc_auc",),
            ["is rare", "class 'yes' has 10 rows, few to learn it from", "collect about 50"],
        ),
        ({0: 500, 1: 499, 2: 1}, ("roc_auc",), ["class '2' has 1 row, few to learn", "merge it with another class"]),
    ],
)
def test_a_rare_class_is_named(counts: dict[object, int], guardrails: tuple[str, ...] | None, parts: list[str]) -> None:
    found = proposed([label for label, count in counts.items() for _ in range(count)], "classification")

    assert (found.loss, found.metric, found.guardrails) == ("log_loss", "", guardrails)
    assert [part for part in parts if part not in " | ".join(found.notes)] == []


@given(rows=st.integers(10, 100_000), days=st.integers(1, 300), by_time=st.booleans())
def test_the_holdout_has_enough_rows_where_it_can(rows: int, days: int, by_time: bool) -> None:
    times = pd.date_range("2024-01-01", periods=rows, freq="2h", tz="UTC")
    found = scaffold_proposal._holdout(
        pd.DataFrame({"paid": 0.0, "at": times}), roles("regression", "at", days, by_time)
    )
    held_out = min(12 * days, rows) if by_time else round(0.2 * rows)

    if found.folds == 1:
        assert 250 <= held_out <= rows / 4
        assert (found.rows, found.min_rows) == (held_out, None)
    else:
        assert held_out < 250 or held_out > rows / 4
        assert found.rows == (held_out if by_time else rows)
        assert found.min_rows == (100 if not by_time and rows < 250 else None)
    assert found.missing == max((found.min_rows or GateSettings().min_rows) - found.rows, 0)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (5000, "the holdout has about 1,000 of the 5,000 rows"),
        (600, "models are compared on all 600 rows: each part of 5 is predicted by a model trained without it"),
        (150, "models are compared on all 150 rows: each part of 5 is predicted by a model trained without it"),
        (
            60,
            "but the gate needs 100: until there are about 41 more rows, no model can be shown to be better than another",
        ),
    ],
)
def test_a_holdout_without_time_is_described(rows: int, note: str) -> None:
    assert note in proposed(np.resize(NORMAL, rows)).notes[-1]


def test_a_holdout_by_time_is_counted() -> None:
    times = pd.date_range("2024-01-01", periods=400, freq="h", tz="UTC")

    expected = (
        "the holdout has 240 of the 400 rows, in 5 parts, each predicted by a model trained on the rows before it"
    )
    assert expected in proposed(NORMAL[:400], at=times).notes


@pytest.mark.parametrize(
    ("rows", "step", "window", "periods", "note"),
    [
        (1000, "h", None, None, ""),
        (1000, "5h", None, 9, "about 33 rows a week: performance decay is measured on 9 weeks"),
        (
            1000,
            "D",
            154,
            None,
            "about 7 rows a week: drift is measured on 154 days, which have about 154 rows; performance decay is not measured: "
            "it needs 300 new rows",
        ),
        (
            200,
            "D",
            None,
            None,
            "about 7 rows a week: drift is not measured: it needs 100 new rows; performance decay is not",
        ),
    ],
)
def test_windows_hold_enough_rows_where_few_come_in_a_week(
    rows: int, step: str, window: int | None, periods: int | None, note: str
) -> None:
    found = proposed(NORMAL[:rows], at=pd.date_range("2024-01-01", periods=rows, freq=step, tz="UTC"))

    assert (found.window_days, found.decay_periods) == (window, periods)
    assert [one for one in found.notes if one.startswith("there are about") and note in one] or not note
    assert len(found.notes) == (2 if note else 1)


@pytest.mark.parametrize(("rows", "fewest"), [(60, 50), (1000, 100), (9000, 500)])
def test_a_retraining_waits_for_a_tenth_of_the_table(rows: int, fewest: int) -> None:
    assert proposed(np.resize(NORMAL, rows)).min_new_rows == fewest
