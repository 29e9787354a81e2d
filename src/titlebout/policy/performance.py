"""Has the champion's loss grown? Its losses on new labels against those on the very rows it won on, one by one."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray, FloatArray
from titlebout.core.errors import ConfigError, DataError
from titlebout.core.markdown import format_number
from titlebout.data.columns import recent, row_hashes, timestamps
from titlebout.data.holdout import Split, split, target_values
from titlebout.metrics.catalogue import PRIMARY, row_losses
from titlebout.models.artifact import Model
from titlebout.models.champion import Champion
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import Reading
from titlebout.repository.project import Project
from titlebout.settings.params import Params
from titlebout.settings.policy import PolicySettings

_SMALLEST_SE = 1e-12  # of losses that are all alike


def decay(
    model: Predictor, won_on: pd.DataFrame | None, labelled: pd.DataFrame, params: Params, settings: PolicySettings
) -> Reading:
    """Return by how many standard errors the champion's loss on new labels is larger than on the holdout it won on.

    Parameters
    ----------
    model : Predictor
        The champion.
    won_on : DataFrame of shape (n_won_on, n_columns) or None
        The rows of that holdout; None when they are not in the data any more.
    labelled : DataFrame of shape (n_new, n_columns)
        New rows with a label; those of the last periods count.
    params : Params
    settings : PolicySettings
    """
    if won_on is None:
        return Reading(None, "the rows that the champion won on are not in the tracked data any more")
    try:
        return growth(model, won_on, labelled, params, settings)
    except (ConfigError, DataError) as error:
        return Reading(None, f"the champion cannot be asked: {error.what}")


def growth(
    model: Predictor, won_on: pd.DataFrame, labelled: pd.DataFrame, params: Params, settings: PolicySettings
) -> Reading:
    """Return by how many standard errors a model's loss on new labels is larger than on the rows it won on.

    Parameters
    ----------
    model : Predictor
    won_on : DataFrame of shape (n_won_on, n_columns)
        At least two rows.
    labelled : DataFrame of shape (n_new, n_columns)
        New rows with a label. Labels come late, so those of the last periods that have any count.
    params : Params
    settings : PolicySettings
    """
    newest = recent(labelled, params.data.time, settings.decay_periods * settings.period_days)
    if len(newest) < settings.decay_min_rows:
        return Reading(None, f"{len(newest):,} new labels of the last periods; {settings.decay_min_rows:,} are needed")
    before, now = (losses(model, rows, params) for rows in (won_on, newest))
    loss = PRIMARY[params.data.task].replace("_", " ")
    change = f"{loss} {format_number(float(before.mean()))} → {format_number(float(now.mean()))}"
    return Reading(welch(before, now), f"{change} on {len(newest):,} new labels")


def losses(model: Predictor, rows: pd.DataFrame, params: Params) -> FloatArray:
    """Return what a model loses on every row, shape (n_rows,)."""
    return row_losses(params.data.task, target_values(rows, params), model.predict(rows), model.classes)


def welch(before: FloatArray, now: FloatArray) -> float:
    """Return by how many standard errors the mean of `now` is larger than that of `before` (Welch 1947).

    Parameters
    ----------
    before, now : ndarray of shape (n_before,) and (n_now,)
        At least two values each.
    """
    variance = sum(float(losses.var(ddof=1)) / len(losses) for losses in (before, now))
    return float((now.mean() - before.mean()) / max(np.sqrt(variance), _SMALLEST_SE))


def rows_won_on(project: Project, champion: Champion, model: Model, known: pd.DataFrame) -> pd.DataFrame | None:
    """Return the holdout of the evaluation that a champion won, or None when not exactly its rows are in the data.

    Parameters
    ----------
    project : Project
    champion : Champion
        What was recorded when it won names the holdout.
    model : Model
        The same, loaded.
    known : DataFrame of shape (n_known, n_columns)
        The tracked rows.
    """
    held, hashes = champion.meta.get("holdout") or {}, row_hashes(known)
    for rows in _perhaps_held(project, held, ~np.isin(hashes, model.trained_rows), known):
        if Split(rows, hashes, "", "").fingerprint == held.get("fingerprint") and rows.sum() > 1:
            return known[rows]
    return None


def _perhaps_held(
    project: Project, held: Mapping[str, Any], unseen: BoolArray, known: pd.DataFrame
) -> Iterator[BoolArray]:
    """Yield which rows may have been the holdout: those of its time that the model has not seen, or today's holdout."""
    time = project.params.data.time
    if time and held.get("start"):
        stamps = timestamps(known, time)
        yield unseen & stamps.between(pd.Timestamp(held["start"]), pd.Timestamp(held["end"])).to_numpy()
    else:
        yield unseen
    yield split(known, project.params).holdout  # where a model left old rows out, not all it has not seen was held out
