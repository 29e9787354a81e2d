"""Measurements behind a decision, computed by the same code in ``decide`` and in a backtest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import pandas as pd

from titlebout.data.columns import timestamps
from titlebout.data.moment import Moment, moment_of
from titlebout.models.champion import Champion, find_champion_after_decay
from titlebout.models.interfaces import Predictor
from titlebout.policy.performance import decay
from titlebout.policy.rules import DAY, Attempt, Clock, Measurement, Measurements
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

SHOWN_COLUMNS = 3
REFRESH_RULES = (
    "non-inferior",
    "non-inferior-and-ahead",
)  # they do not ask for a challenger that is shown to be better


@dataclass(frozen=True)
class LoadedChampion:
    """The champion, loaded, with its promotion holdout.

    Attributes
    ----------
    champion : Champion
        Its digest and metadata.
    model : Predictor
        The champion, loaded.
    holdout : DataFrame or None
        Rows on which it was evaluated when it was promoted; None when they are not in the data any more.
    trained_rows : int
        Number of training rows.
    """

    champion: Champion
    model: Predictor
    holdout: pd.DataFrame | None
    trained_rows: int


@dataclass(frozen=True, kw_only=True)
class DecisionInputs:
    """Data, champion and history from which a decision is computed.

    Attributes
    ----------
    tracked : DataFrame
        The tracked rows.
    new : DataFrame
        Rows that are not tracked yet.
    labeled : DataFrame
        New rows that have their label.
    drift : Measurement
        See :func:`drift_measurement`.
    loaded : LoadedChampion or None
        None when there is no champion.
    champions : iterable of Champion
        Every champion so far, the newest first.
    attempts : sequence of Attempt
        The oldest first.
    requested : frozenset of str
        ``manual`` for a run that a person requested, ``schedule`` for a scheduled run.
    """

    tracked: pd.DataFrame
    new: pd.DataFrame
    labeled: pd.DataFrame
    drift: Measurement
    loaded: LoadedChampion | None
    champions: Iterable[Champion]
    attempts: Sequence[Attempt]
    requested: frozenset[str]


def measure(inputs: DecisionInputs, params: Params, settings: Settings) -> tuple[Measurements, Clock]:
    """Return the measurements for a decision, except for the open pull request, and the data clock.

    Parameters
    ----------
    inputs : DecisionInputs
        Data, champion and history.
    params : Params
        Task and roles of columns.
    settings : Settings
        Its policy has the length of a period and the limits of the measurements.
    """
    loaded, labeled, champions = inputs.loaded, inputs.labeled, list(inputs.champions)
    clock = clock_of(inputs.tracked, inputs.new, params.data.time, settings)
    measured = Measurements(new_rows=len(labeled), drift=inputs.drift, requested=inputs.requested)
    if loaded is None:
        return replace(measured, decay=Measurement(None, "there is no champion")), clock
    return replace(
        measured,
        decay=decay(loaded.model, loaded.holdout, labeled, params, settings.policy),
        growth=_growth(inputs, loaded, clock, params.data.time),
        won_at=_won_at(loaded),
        decayed_at=decayed_at(find_champion_after_decay(champions), inputs.attempts),
        champion=loaded.champion.name,
        refreshes=sum(1 for _ in takewhile(lambda champion: champion.promotion.rule in REFRESH_RULES, champions)),
    ), clock


def refused(reason: str, requested: frozenset[str] = frozenset()) -> tuple[Measurements, Clock]:
    """Return the measurements for refused data: nothing is read from the data, not even its time."""
    return Measurements(refused=reason, requested=requested), Clock(None, 1.0)


def _growth(inputs: DecisionInputs, loaded: LoadedChampion, clock: Clock, time: str) -> Measurement:
    """Return the growth of the labeled data, as a share of the rows of the last training.

    That is the training of the champion, or of the last challenger for ``volume``, whose rows are the champion's and the new
    ones of that time. As these grow, attempts become rarer without a cool-down.
    """
    champion, new = loaded.champion.name, len(inputs.labeled)
    tried = [
        attempt.at
        for attempt in inputs.attempts
        if (attempt.reason, attempt.champion) == ("volume", champion) and _is_past(attempt, clock)
    ]
    used = _rows_until(max(tried), inputs, time) if tried else 0
    growth = (new - used) / max(loaded.trained_rows + used, 1)
    since = "the last attempt" if tried else "the training of the champion"
    return Measurement(growth, f"{new - used:,} new labeled rows, {growth:.0%} more than at {since}")


def _is_past(attempt: Attempt, clock: Clock) -> bool:
    since = clock.since(attempt.at)
    return since is not None and since >= 0


def _rows_until(at: Moment, inputs: DecisionInputs, time: str) -> int:
    """Count the new labeled rows up to a data time, whether or not they had their label by then."""
    labeled = inputs.labeled
    if isinstance(at.value, int):
        return min(max(at.value - len(inputs.tracked), 0), len(labeled))
    return int((timestamps(labeled, time) <= at.value).sum()) if len(labeled) else 0


def _won_at(loaded: LoadedChampion) -> Moment:
    """Return the data time of the champion's promotion: the end of its holdout, or its number of rows."""
    holdout = loaded.champion.promotion.holdout
    end = Moment.read(holdout.end) if holdout else None
    held_out = (
        holdout.rows - len(loaded.model.held_out.rows) if holdout else 0
    )  # rows of the holdout that it is not trained on
    return end or Moment(loaded.trained_rows + held_out)


def clock_of(tracked: pd.DataFrame, new: pd.DataFrame, time: str, settings: Settings) -> Clock:
    """Return the data clock.

    Parameters
    ----------
    tracked, new : DataFrame
        The tracked rows and the new rows; at least one table must have a row.
    time : str
        Time column; empty when rows have no time.
    settings : Settings
        Length of a period in days, or else in rows.
    """
    days, rows = settings.policy.period_days, settings.retrain.min_new_rows
    return Clock(moment_of(tracked, new, time), float(days * DAY if time else rows))


def drift_measurement(names: Sequence[str]) -> Measurement:
    """Return the number of drifted columns, with the first of their names as the detail."""
    shown = ", ".join(names[:SHOWN_COLUMNS])
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return Measurement(float(len(names)), f"in {shown}{more}" if names else "")


def decayed_at(champion: Champion | None, attempts: Sequence[Attempt]) -> Moment | None:
    """Return the data time at which this champion was promoted after performance decay.

    Taken from the attempt log; falls back to the end of the champion's holdout, which is earlier by the label delay.
    """
    if champion is None:
        return None
    won = [attempt.at for attempt in attempts if (attempt.reason, attempt.outcome) == ("perf_decay", "won")]
    holdout = champion.promotion.holdout
    return won[-1] if won else Moment.read(holdout.end if holdout else "")
