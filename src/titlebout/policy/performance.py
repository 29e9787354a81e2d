"""Performance decay: the champion's losses on new labels, compared with its losses on its promotion holdout."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray, FloatArray
from titlebout.core.errors import ConfigError, DataError
from titlebout.core.markdown import format_number
from titlebout.data.columns import recent, timestamps
from titlebout.data.holdout import Holdout, Split, split, target_values
from titlebout.data.identity import identity_hashes
from titlebout.metrics.catalogue import PRIMARY, row_losses
from titlebout.models.artifact import Model
from titlebout.models.champion import Champion
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import Measurement
from titlebout.repository.project import Project
from titlebout.settings.params import Params
from titlebout.settings.policy import PolicySettings

_SMALLEST_SE = 1e-12  # avoids a division by zero when all losses are equal


def decay(
    model: Predictor, holdout: pd.DataFrame | None, labeled: pd.DataFrame, params: Params, settings: PolicySettings
) -> Measurement:
    """Return the z-score of the increase of the champion's loss from its promotion holdout to new labels.

    Parameters
    ----------
    model : Predictor
        The champion.
    holdout : DataFrame of shape (n_holdout, n_columns) or None
        Rows on which the champion was evaluated when it was promoted; None when they are not in the data any more.
    labeled : DataFrame of shape (n_new, n_columns)
        New labeled rows; the last `decay_periods` periods are used.
    params : Params
        Task and roles of columns.
    settings : PolicySettings
        Number and length of the periods, and the smallest number of rows.
    """
    if holdout is None:
        return Measurement(None, "the champion's promotion holdout is not in the tracked data any more")
    try:
        return growth(model, holdout, labeled, params, settings)
    except (ConfigError, DataError) as error:
        return Measurement(None, f"the champion cannot predict the new rows: {error.what}")


def growth(
    model: Predictor, holdout: pd.DataFrame, labeled: pd.DataFrame, params: Params, settings: PolicySettings
) -> Measurement:
    """Return the z-score of the increase of a model's loss from its promotion holdout to new labels.

    Parameters
    ----------
    model : Predictor
        The champion.
    holdout : DataFrame of shape (n_holdout, n_columns)
        At least two rows.
    labeled : DataFrame of shape (n_new, n_columns)
        New labeled rows. Labels arrive late, so the periods are counted back from the newest label.
    params : Params
        Task and roles of columns.
    settings : PolicySettings
        Number and length of the periods, and the smallest number of rows.
    """
    newest = recent(labeled, params.data.time, settings.decay_periods * settings.period_days)
    if len(newest) < settings.decay_min_rows:
        return Measurement(
            None, f"{len(newest):,} new labels in the last periods; at least {settings.decay_min_rows:,} are needed"
        )
    before, now = (losses(model, rows, params) for rows in (holdout, newest))
    loss = PRIMARY[params.data.task].replace("_", " ")
    change = f"{loss} {format_number(float(before.mean()))} → {format_number(float(now.mean()))}"
    return Measurement(welch(before, now), f"{change} on {len(newest):,} new labels")


def losses(model: Predictor, rows: pd.DataFrame, params: Params) -> FloatArray:
    """Return a model's loss on every row, shape (n_rows,)."""
    return row_losses(params.data.task, target_values(rows, params), model.predict(rows), model.classes)


def welch(before: FloatArray, now: FloatArray) -> float:
    """Return Welch's t statistic (1947) of the difference of means, positive when `now` has the larger mean.

    Parameters
    ----------
    before, now : ndarray of shape (n_before,) and (n_now,)
        At least two values each.
    """
    variance = sum(float(losses.var(ddof=1)) / len(losses) for losses in (before, now))
    return float((now.mean() - before.mean()) / max(np.sqrt(variance), _SMALLEST_SE))


def promotion_holdout(project: Project, champion: Champion, model: Model, tracked: pd.DataFrame) -> pd.DataFrame | None:
    """Return the holdout on which a champion was promoted, or None when its rows are not all in the data.

    Parameters
    ----------
    project : Project
    champion : Champion
        Its metadata has the period and the fingerprint of the holdout.
    model : Model
        The champion, loaded.
    tracked : DataFrame of shape (n_tracked, n_columns)
        The tracked rows.
    """
    recorded, hashes = champion.promotion.holdout, identity_hashes(tracked)
    if recorded is None:
        return None
    for rows in _candidate_holdouts(project, recorded, ~np.isin(hashes, model.trained_rows), tracked):
        if Split(rows, hashes, "", "").fingerprint == recorded.fingerprint and rows.sum() > 1:
            return tracked[rows]
    return None


def _candidate_holdouts(
    project: Project, recorded: Holdout, unseen: BoolArray, tracked: pd.DataFrame
) -> Iterator[BoolArray]:
    """Yield candidate masks: rows in the recorded period that the model was not trained on, then the current holdout."""
    time = project.params.data.time
    if time and recorded.start:
        stamps = timestamps(tracked, time)
        yield unseen & stamps.between(pd.Timestamp(recorded.start), pd.Timestamp(recorded.end)).to_numpy()
    else:
        yield unseen
    # A training window leaves out old rows, so rows that the model was not trained on need not be holdout rows.
    yield split(tracked, project.params).holdout
