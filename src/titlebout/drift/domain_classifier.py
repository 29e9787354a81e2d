"""Classifier two-sample test: detects joint changes of the columns that no single column shows."""

from collections.abc import Sequence

import numpy as np

from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import MIN_BLOCKS, Values, design_effect
from titlebout.drift.rule import CONFIRMATION_LEVEL, ColumnDrift, ColumnSummary

ROWS = 2_000  # per side
MIN_AUC, MIN_Z = 0.55, 3.0
NAME = "all columns together"

_FOLDS = 3


def two_sample_classifier(columns: Sequence[Pair]) -> ColumnDrift:
    """Return a record like those of :func:`titlebout.drift.rule.compare`, for the joint distribution of the inputs.

    The effect is the cross-validated AUC of gradient boosting that separates current from reference rows; 0.5 means that
    they are indistinguishable.

    Parameters
    ----------
    columns : sequence of Pair
        Rows in order of arrival.
    """
    from scipy.stats import norm

    inputs = [column for column in columns if column.role == "input"]
    old, new = (np.column_stack([getattr(one, side) for one in inputs]) for side in ("reference", "current"))
    half = len(new) // 2
    (auc, z), *halves = (_separation(old, part) for part in (new, new[:half], new[half:]))
    differs = auc >= MIN_AUC and z >= MIN_Z
    confirmed = all(part >= MIN_AUC and norm.sf(sure) <= CONFIRMATION_LEVEL for part, sure in halves)
    p = float(norm.sf(z))
    return ColumnDrift(
        name=NAME,
        role="joint",
        kind="",
        status="drift" if differs and confirmed else "suspect" if differs else "stable",
        method="AUC of a classifier",
        effect=auc,
        threshold=MIN_AUC,
        p=p,
        q=p,
        null_delta=0.0,
        null_threshold=1.0,
        null_q=1.0,
        reference=ColumnSummary(missing=0.0),
        current=ColumnSummary(missing=0.0),
    )


def _separation(old: Values, new: Values) -> tuple[float, float]:
    """Return the AUC between two samples of shape (n, n_columns), and how many standard errors it is above 0.5."""
    from sklearn.metrics import roc_auc_score

    old, new = (side[evenly_spaced(len(side), ROWS)] for side in (old, new))
    sides = np.concatenate([np.zeros(len(old)), np.ones(len(new))])
    scores = _scores(np.where(np.isfinite(rows := np.concatenate([old, new])), rows, np.nan), sides)
    auc = float(roc_auc_score(sides, scores))
    # Variance of the AUC under the null hypothesis: 1 / 12 is the variance of a uniform rank. Clustered rows count less.
    worth = [
        design_effect("number", scores[sides == side], MIN_BLOCKS).values / (sides == side).sum() for side in (0, 1)
    ]
    return auc, float((auc - 0.5) / np.sqrt(sum(worth) / 12))


def _scores(rows: Values, sides: Values) -> Values:
    """Return the out-of-fold logit of being a current row; folds are blocks, so neighbors of a row are held out too."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores = np.empty(len(rows))
    fold = np.concatenate([np.arange(n) * _FOLDS // n for n in np.bincount(sides.astype(np.int64))])
    for held in range(_FOLDS):
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0, class_weight="balanced")
        model.fit(rows[fold != held], sides[fold != held])
        scores[fold == held] = model.decision_function(rows[fold == held])
    return scores
