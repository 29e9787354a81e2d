"""What a decision rests on: built here for the live loop and for a backtest alike, so that they cannot differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from titlebout.data.moment import Moment, moment_of
from titlebout.models.champion import Champion, find_champion_after_decay
from titlebout.models.interfaces import Predictor
from titlebout.policy.performance import decay
from titlebout.policy.rules import DAY, Attempt, Clock, Measured, Reading
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

SHOWN_COLUMNS = 3


@dataclass(frozen=True)
class Holder:
    """The champion, as a decision asks for it.

    Attributes
    ----------
    champion : Champion
    model : Predictor
    won_on : DataFrame or None
        The holdout of the evaluation that it won; None when its rows are not in the data any more.
    trained_rows : int
        Number of rows that it was trained on.
    """

    champion: Champion
    model: Predictor
    won_on: pd.DataFrame | None
    trained_rows: int


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known when a decision is due.

    Attributes
    ----------
    known : DataFrame
        The tracked rows.
    fresh : DataFrame
        Rows that came after them.
    labelled : DataFrame
        Those of them whose label is known.
    drift : Reading
        See :func:`drifted_in`.
    holder : Holder or None
        None when there is no champion.
    champions : iterable of Champion
        Every champion so far, the newest first.
    attempts : sequence of Attempt
        The oldest first.
    asked : frozenset of str
        ``manual`` and ``schedule``, where they are reasons of this run.
    """

    known: pd.DataFrame
    fresh: pd.DataFrame
    labelled: pd.DataFrame
    drift: Reading
    holder: Holder | None
    champions: Iterable[Champion]
    attempts: Sequence[Attempt]
    asked: frozenset[str]


def measure(situation: Situation, params: Params, settings: Settings) -> tuple[Measured, Clock]:
    """Return everything that a decision rests on, but for an open proposal, and the data's clock.

    Parameters
    ----------
    situation : Situation
    params : Params
    settings : Settings
    """
    holder, labelled = situation.holder, situation.labelled
    clock = clock_of(situation.known, situation.fresh, params.data.time, settings)
    measured = Measured(new_rows=len(labelled), drift=situation.drift, asked=situation.asked)
    if holder is None:
        return replace(measured, decay=Reading(None, "nobody holds the title")), clock
    return replace(
        measured,
        decay=decay(holder.model, holder.won_on, labelled, params, settings.policy),
        won_at=_won_at(holder),
        decayed_at=decayed_at(find_champion_after_decay(situation.champions), situation.attempts),
        champion=holder.champion.output.md5,
    ), clock


def refused(reason: str, asked: frozenset[str] = frozenset()) -> tuple[Measured, Clock]:
    """Return what a decision on refused data rests on: nothing is read from the data, not even its time."""
    return Measured(refused=reason, asked=asked), Clock(None, 1.0)


def _won_at(holder: Holder) -> Moment:
    """Return where the data stood when the champion won: at the end of its holdout, or at its number of rows."""
    held = holder.champion.meta.get("holdout") or {}
    return Moment.read(str(held.get("end") or "")) or Moment(holder.trained_rows + held.get("rows", 0))


def clock_of(known: pd.DataFrame, fresh: pd.DataFrame, time: str, settings: Settings) -> Clock:
    """Return the data's own clock.

    Parameters
    ----------
    known, fresh : DataFrame
        The tracked rows and those that came after them; at least one must have a row.
    time : str
        Time column; empty when rows have no order.
    settings : Settings
    """
    days, rows = settings.policy.period_days, settings.retrain.min_new_rows
    return Clock(moment_of(known, fresh, time), float(days * DAY if time else rows))


def drifted_in(names: Sequence[str]) -> Reading:
    """Return how many columns drifted, and which, as what a decision rests on."""
    shown = ", ".join(names[:SHOWN_COLUMNS])
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return Reading(float(len(names)), f"in {shown}{more}" if names else "")


def decayed_at(champion: Champion | None, attempts: Sequence[Attempt]) -> Moment | None:
    """Return where the data stood when a champion won after a decay: the log knows it, or the end of what it won on tells.

    The latter is earlier by as much as labels come late.
    """
    if champion is None:
        return None
    won = [attempt.at for attempt in attempts if (attempt.reason, attempt.outcome) == ("perf_decay", "won")]
    return won[-1] if won else Moment.read(str((champion.meta.get("holdout") or {}).get("end") or ""))
