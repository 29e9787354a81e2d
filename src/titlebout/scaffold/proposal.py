"""Propose loss, metric, holdout and windows for a table: what fits its target and its pace."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from titlebout.core.results import Record
from titlebout.data.columns import Column
from titlebout.scaffold.columns import RESERVE, ColumnRoles
from titlebout.settings.drift import DriftSettings
from titlebout.settings.gate import GateSettings
from titlebout.settings.params import SplitParams
from titlebout.settings.policy import PolicySettings
from titlebout.settings.retrain import RetrainSettings

MODE_SHARE = 1 / 3  # from this share of one value on, the median is that value for many rows, whatever the inputs are
RARE_SHARE = 0.1  # below this share of a class, accuracy says little
TAIL_SHARE = 1 / 3  # share of the squared deviations in one row of a hundred; 0.1 for a normal distribution
MIN_CLASS_ROWS = 50  # rows of a class from which something can be learned and shown
FOLDS, FEWEST_CROSS_FITTED = 5, 100  # measured by benchmarks/gate/cross_fitting.py
LARGEST_FRACTION = 0.25  # of the rows in a holdout that the model is not trained on
FEWEST_NEW, NEW_SHARE = 50, 10  # a retraining waits for a tenth of the rows of the table, but for at least 50
WINDOW_ROWS = 1.5  # rows in a proposed drift window, per row that it needs
_WEEK = 7


class Proposal(Record):
    """Loss, metric and holdout for a table.

    Attributes
    ----------
    loss : {"log_loss", "squared_error", "absolute_error", "poisson"}
        Loss of the first model.
    metric : str
        Primary metric of the gate; empty for its default.
    guardrails : tuple of str or None
        Guardrail metrics; None for the defaults.
    folds : int
        Number of parts of the holdout for cross-fitting; 1 without.
    min_rows : int or None
        Fewest rows on which the gate decides; None for its default.
    min_new_rows : int
        Fewest new rows for a retraining.
    window_days : int or None
        Length of the drift window; None for its default.
    decay_periods : int or None
        Number of periods on which performance decay is measured; None for its default.
    notes : tuple of str
        Sentences for the user about each decision.
    """

    loss: str
    metric: str = ""
    guardrails: tuple[str, ...] | None = None
    folds: int = 1
    min_rows: int | None = None
    min_new_rows: int = RetrainSettings().min_new_rows
    window_days: int | None = None
    decay_periods: int | None = None
    notes: tuple[str, ...] = ()


def propose(frame: pd.DataFrame, roles: ColumnRoles) -> Proposal:
    """Return what fits a table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    roles : ColumnRoles
        Roles of its columns.
    """
    target = frame[roles.target]
    proposal = _for_classes(target) if roles.task == "classification" else _for_numbers(target.astype(np.float64))
    holdout = _holdout(frame, roles)
    new_rows = min(RetrainSettings().min_new_rows, max(FEWEST_NEW, len(frame) // NEW_SHARE))
    window, periods, pace_notes = _windows(frame[roles.time]) if roles.time else (None, None, ())
    return proposal.replace(
        folds=holdout.folds,
        min_rows=holdout.min_rows,
        min_new_rows=new_rows,
        window_days=window,
        decay_periods=periods,
        notes=(*proposal.notes, *_holdout_notes(frame, roles, holdout), *pace_notes),
    )


def _windows(times: Column) -> tuple[int | None, int | None, tuple[str, ...]]:
    """Return the drift window in days and the periods of decay for a table of few rows a week, and what to say about them."""
    drift, policy = DriftSettings(), PolicySettings()
    span = (times.max() - times.min()).days + 1
    per_week = _WEEK * len(times) / span
    notes, window, periods = [], None, None
    if per_week * drift.window_days < _WEEK * drift.min_rows:
        window = _WEEK * math.ceil(WINDOW_ROWS * drift.min_rows / per_week)
        measured = f"drift is measured on {window} days, which have about {per_week * window / _WEEK:.0f} rows"
        if window > span / 2:
            window, measured = None, f"drift is not measured: it needs {drift.min_rows} new rows"
        notes.append(measured)
    per_period = per_week * policy.period_days / _WEEK
    if per_period * policy.decay_periods < policy.decay_min_rows:
        periods = math.ceil(policy.decay_min_rows / per_period)
        measured = f"performance decay is measured on {periods} weeks"
        if periods > policy.max_age_periods:
            periods = None
            measured = f"performance decay is not measured: it needs {policy.decay_min_rows} new rows"
        notes.append(measured)
    return window, periods, (f"there are about {per_week:.0f} rows a week: {'; '.join(notes)}",) if notes else ()


def _for_classes(target: Column) -> Proposal:
    counts = target.value_counts()
    rarest, rows = str(counts.index[-1]), int(counts.iloc[-1])
    if rows / len(target) >= RARE_SHARE:
        return Proposal(loss="log_loss")
    note = (
        f"class {rarest!r} is rare ({rows:,} of {len(target):,} rows): models are compared by log_loss and roc_auc, and not by "
        f"accuracy, which is {counts.iloc[0] / len(target):.0%} without any model"
    )
    few = (
        f"class {rarest!r} has {rows} {'rows' if rows > 1 else 'row'}, few to learn it from: the gate can show that the model is "
        f"better as a whole, but not that it finds this class; collect about {MIN_CLASS_ROWS}, or merge it with another class"
    )
    notes = (note, few) if rows < MIN_CLASS_ROWS else (note,)
    return Proposal(loss="log_loss", guardrails=("roc_auc",), notes=notes)


def _for_numbers(target: Column) -> Proposal:
    counts = target.value_counts()
    mode, share = float(counts.index[0]), float(counts.iloc[0]) / len(target)
    if share >= MODE_SHARE:
        poisson = target.min() >= 0
        note = (
            f"{share:.0%} of the values of {str(target.name)!r} are {mode:g}: the model predicts the mean, with the "
            f"{'Poisson' if poisson else 'squared'} loss, and is compared by rmse; by the default, mae, it could hardly win "
            f"against {mode:g} for every row"
        )
        return Proposal(loss="poisson" if poisson else "squared_error", metric="rmse", notes=(note,))
    if _tail_share(target) < TAIL_SHARE:
        return Proposal(loss="absolute_error")
    note = (
        f"a few values of {str(target.name)!r} are far from the others: the model predicts the median and is compared by mae; "
        "by rmse, one row of a hundred would decide"
    )
    # Without the guardrail rmse, which these rows would decide.
    return Proposal(loss="absolute_error", guardrails=(), notes=(note,))


def _tail_share(target: Column) -> float:
    """Return the share of the hundredth of the rows that is farthest from the median in the squared deviations.

    0 for less than a hundred rows, of which one value says little.
    """
    squared = np.sort(((target - target.median()) ** 2).to_numpy())
    farthest = len(squared) // 100
    return float(squared[-farthest:].sum() / squared.sum()) if farthest else 0.0


@dataclass(frozen=True)
class _Holdout:
    """A holdout: number of rows, number of folds, and the fewest rows on which the gate decides (None for its default)."""

    rows: int
    folds: int
    min_rows: int | None

    @property
    def missing(self) -> int:
        """Number of rows that the gate needs and the holdout does not have."""
        return max((self.min_rows or GateSettings().min_rows) - self.rows, 0)


def _holdout(frame: pd.DataFrame, roles: ColumnRoles) -> _Holdout:
    """Return the holdout: in folds where it would have too few rows, or a large part of them."""
    rows, enough = _held_out_rows(frame, roles), RESERVE * GateSettings().min_rows
    if rows >= enough and rows <= LARGEST_FRACTION * len(frame):
        return _Holdout(rows, 1, None)
    rows = rows if roles.time else len(frame)
    # Rows that depend on each other in time are worth fewer independent ones; such holdouts are not made smaller.
    return _Holdout(rows, FOLDS, None if roles.time or rows >= enough else FEWEST_CROSS_FITTED)


def _held_out_rows(frame: pd.DataFrame, roles: ColumnRoles) -> int:
    """Return how many rows one part holds out: exactly by time, and about how many by hash."""
    if not roles.time:
        return round(len(frame) * SplitParams(by="hash").fraction)
    times = pd.to_datetime(frame[roles.time], utc=True)
    return int((times > times.max() - pd.Timedelta(days=roles.holdout_days)).sum())


def _holdout_notes(frame: pd.DataFrame, roles: ColumnRoles, holdout: _Holdout) -> tuple[str, ...]:
    where = f"the holdout has {'' if roles.time else 'about '}{holdout.rows:,} of the {len(frame):,} rows"
    if holdout.folds > 1:
        where = (
            f"{where}, in {holdout.folds} parts, each predicted by a model trained on the rows before it"
            if roles.time
            else f"models are compared on all {len(frame):,} rows: each part of {holdout.folds} is predicted by a model trained "
            "without it"
        )
    if not holdout.missing:
        return (where,)
    more = holdout.missing * len(frame) // max(holdout.rows, 1) + 1
    return (
        f"{where}, but the gate needs {holdout.rows + holdout.missing}: until there are about {more} more rows, no model can be "
        "shown to be better than another, and a first one starts by `titlebout promote --unproven`",
    )
