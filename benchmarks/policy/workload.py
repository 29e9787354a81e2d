"""Workload of the synthetic worlds: a logistic regression on hinge features, and the drift rules."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import wasserstein_distance
from sklearn.linear_model import LogisticRegression
from worlds import COLUMNS, TARGET, TIME, FloatArray

from titlebout.backtest.simulation import Predictor
from titlebout.data.columns import recent, row_hashes
from titlebout.data.holdout import Split
from titlebout.drift.importance import ChampionContext
from titlebout.drift.measure import build_champion_context, drift
from titlebout.metrics.catalogue import row_losses
from titlebout.models.held_out import NOTHING_HELD_OUT, HeldOut
from titlebout.settings.checks import ChecksSettings
from titlebout.settings.params import DataParams, Params, SplitParams, TrainParams
from titlebout.settings.project import ProjectSettings
from titlebout.settings.settings import Settings
from titlebout.training.window import select_window

KNOTS = (0,)
WINDOWS = (42, 84, 182)  # days: 6, 12 and 26 weeks
EVIDENTLY_FROM = 0.1  # of a normed Wasserstein distance, Evidently's default above 1,000 reference rows
PARAMS = Params(
    data=DataParams(task="classification", target=TARGET, time=TIME),
    split=SplitParams(by="time", holdout_days=14, windows=WINDOWS),
    train=TrainParams(model="team:hinges"),
)
SETTINGS = Settings(
    project=ProjectSettings(name="benchmark", package="benchmark", pipeline="benchmark"),
    checks=ChecksSettings(suite="none"),
)

Key = tuple[int, pd.Timestamp, pd.Timestamp]


def hinges(rows: pd.DataFrame) -> FloatArray:
    """Return inputs of the model, shape (n_rows, 24): piecewise linear in every column, without interactions."""
    x = rows[list(COLUMNS)].to_numpy()
    return np.column_stack([x, *(np.maximum(0, x - knot) for knot in KNOTS)])


@dataclass(frozen=True, eq=False)
class Hinged:
    """A fitted logistic model of hinges; `about` identifies its training rows."""

    estimator: LogisticRegression
    about: Key
    trained_rows: npt.NDArray[np.uint64]
    classes: tuple[object, ...] = (0, 1)
    held_out: HeldOut = NOTHING_HELD_OUT

    @property
    def kinds(self) -> dict[str, str]:
        """Kinds of the input columns."""
        return dict.fromkeys(COLUMNS, "number")

    def predict(self, rows: pd.DataFrame) -> FloatArray:
        """Return probabilities of shape (n_rows, 2)."""
        found: FloatArray = self.estimator.predict_proba(hinges(rows))
        return found


@dataclass(frozen=True)
class Workload:
    """Fits with a training window, and caches the drift results that variants with equal inputs share.

    Attributes
    ----------
    params : Params
        Task, roles of columns, and training windows.
    settings : Settings
        Retraining policy and drift settings.
    contexts, results : dict
        Caches: column importance by champion, and drifted columns.
    """

    params: Params = PARAMS
    settings: Settings = SETTINGS
    contexts: dict[Any, tuple[pd.DataFrame, ChampionContext]] = field(default_factory=dict)
    results: dict[Any, tuple[str, ...]] = field(default_factory=dict)

    def fit(self, rows: pd.DataFrame, rows_split: Split) -> Hinged:
        """Return a model of the selected training window."""
        rows = rows[rows_split.training]
        used = select_window(rows, self.params, _losses).of(rows, TIME)
        return Hinged(_fit(used), _key(used), row_hashes(used))

    def drifted_columns(self, reference: pd.DataFrame, current: pd.DataFrame, champion: Predictor) -> tuple[str, ...]:
        """Return the columns that drifted and matter to the champion, by titlebout's rule."""
        assert isinstance(champion, Hinged)
        if not self.settings.policy.drift:  # the drift trigger is off
            return ()
        current = recent(current, TIME, self.settings.drift.window_days)  # the rows that the drift rule uses
        about = champion.about, _key(reference)
        key = *about, _key(current)
        if about not in self.contexts:
            self.contexts[about] = build_champion_context(
                champion, reference, self.params, self.settings.drift.min_rows
            )
        if key not in self.results:
            past, outlook = self.contexts[about]
            self.results[key] = drift(past, current, self.settings.drift, TIME, TARGET, outlook).decisive
        return self.results[key]

    def drifted_share(self, reference: pd.DataFrame, current: pd.DataFrame) -> float:
        """Return the share of columns that drifted by Evidently's defaults, as Evidently itself would."""
        moved = [_normed(reference[name], current[name]) >= EVIDENTLY_FROM for name in COLUMNS]
        return float(np.mean(moved))


def _normed(old: "pd.Series[float]", new: "pd.Series[float]") -> float:
    return float(wasserstein_distance(old, new) / max(float(np.std(old)), 0.001))


def _fit(rows: pd.DataFrame) -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky").fit(hinges(rows), rows[TARGET].to_numpy())


def _losses(fitted_on: pd.DataFrame, scored: pd.DataFrame) -> FloatArray:
    predictions = _fit(fitted_on).predict_proba(hinges(scored))
    return row_losses("classification", scored[TARGET].to_numpy().astype(object), predictions, (0, 1))


def _key(rows: pd.DataFrame) -> Key:
    return len(rows), rows[TIME].min(), rows[TIME].max()
