"""What a decision rests on, from data and champions: the same for the live loop and for a backtest."""

from collections.abc import Sequence

import pandas as pd

from titlebout.data.moment import Moment, moment_of
from titlebout.models.champion import Champion
from titlebout.policy.rules import DAY, Attempt, Clock, Reading
from titlebout.settings.config import Settings

SHOWN_COLUMNS = 3


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
