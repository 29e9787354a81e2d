"""Performance decay: the champion's losses on new labels, compared with its losses on its promotion holdout."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray, FloatArray
from titlebout.core.errors import ConfigError, DataError
from titlebout.core.markdown import format_number
from titlebout.data.columns import epoch_microseconds, recent, timestamps
from titlebout.data.holdout import Holdout, Split, split, target_values
from titlebout.data.identity import identity_hashes
from titlebout.metrics.catalogue import PRIMARY, row_losses
from titlebout.metrics.inference import Dependence, Difference, from_influence
from titlebout.models.artifact import Model
from titlebout.models.champion import Champion
from titlebout.models.held_out import predict_unseen
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import Measurement
from titlebout.repository.project import Project
from titlebout.settings.params import Params
from titlebout.settings.policy import PolicySettings

# Smaller than for the gate: two means of different weeks are compared, each with a standard error of its own, and a factor of 2
# leaves a decay of 80% unfound in a third of the half-years (benchmarks/policy/decay.py).
SLOW_FACTOR = 1.5
_SMALLEST_VARIANCE = 1e-24  # avoids a division by zero when all losses are equal
_SMALLEST_TAIL = 1e-300


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
        few = f"{len(newest):,} new labels in the last periods; at least {settings.decay_min_rows:,} are needed"
        longer = "; policy.decay_periods can be raised" if len(labeled) >= settings.decay_min_rows else ""
        return Measurement(None, few + longer)
    unseen = predict_unseen(model, holdout, identity_hashes(holdout))
    before = _mean_loss(_losses(model, holdout, unseen, params), holdout, params)
    now = _mean_loss(losses(model, newest, params), newest, params)
    loss = PRIMARY[params.data.task].replace("_", " ")
    change = f"{loss} {format_number(before.gain)} → {format_number(now.gain)}"
    worth = f", worth {now.effective_rows:,.0f} independent ones" if now.source else ""
    return Measurement(increase(before, now), f"{change} on {len(newest):,} new labels{worth}")


def losses(model: Predictor, rows: pd.DataFrame, params: Params) -> FloatArray:
    """Return a model's loss on every row, shape (n_rows,)."""
    return _losses(model, rows, model.predict(rows), params)


def _losses(model: Predictor, rows: pd.DataFrame, predicted: FloatArray, params: Params) -> FloatArray:
    return row_losses(params.data.task, target_values(rows, params), predicted, model.classes)


def _mean_loss(found: FloatArray, rows: pd.DataFrame, params: Params) -> Difference:
    """Return the mean of the losses of rows as the `gain` of a difference, with a standard error for dependent rows.

    Rows depend on each other in time, because some days are more difficult than others, and within an entity of the split.
    """
    time, entity = params.data.time, list(params.split.entity)
    times = epoch_microseconds(timestamps(rows, time)) if time else None
    units = rows.groupby(entity, dropna=False, sort=False).ngroup().to_numpy().astype(np.int64) if entity else None
    mean = float(found.mean())
    return from_influence(mean, found - mean, Dependence(times, units, SLOW_FACTOR))


def increase(before: Difference, now: Difference) -> float:
    """Return the z-score of the increase from one mean to another, positive when `now` is larger.

    The t statistic of Welch (1947), with the standard errors and degrees of freedom of the two means, as the normal
    quantile of the same probability.
    """
    from scipy.special import ndtri, stdtr

    variances = [max(one.se**2, _SMALLEST_VARIANCE) for one in (before, now)]
    total = sum(variances)
    degrees = total**2 / sum(one**2 / side.df for one, side in zip(variances, (before, now), strict=True))
    statistic = (now.gain - before.gain) / np.sqrt(total)
    tail = max(float(stdtr(degrees, -abs(statistic))), _SMALLEST_TAIL)
    return float(np.sign(statistic) * -ndtri(tail))


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
    unseen = ~np.isin(hashes, model.held_out.seen(model.trained_rows))
    for rows in _candidate_holdouts(project, recorded, unseen, tracked):
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
