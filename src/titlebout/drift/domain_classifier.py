"""Columns that changed together: a classifier that tells reference and current rows apart sees what no single column shows."""

from collections.abc import Sequence

import numpy as np

from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair
from titlebout.drift.distances import LEAST_BLOCKS, Values, clumping
from titlebout.drift.rule import CONFIRMING, ColumnDrift, ColumnSummary

ROWS = 2_000  # per side
LEAST_AUC, LEAST_Z = 0.55, 3.0
NAME = "all columns together"

_FOLDS = 3


def tell_apart(columns: Sequence[Pair]) -> ColumnDrift:
    """Return a record like those of :func:`titlebout.drift.rule.compare`, for the joint distribution of the inputs.

    Its effect is the AUC of a gradient boosting between reference and current rows, on rows it was not fitted to: 0.5
    when nothing tells them apart.

    Parameters
    ----------
    columns : sequence of Pair
        Rows in the order in which they came.
    """
    from scipy.stats import norm

    inputs = [column for column in columns if column.role == "input"]
    old, new = (np.column_stack([getattr(one, side) for one in inputs]) for side in ("reference", "current"))
    half = len(new) // 2
    (auc, z), *halves = (_separation(old, part) for part in (new, new[:half], new[half:]))
    differs = auc >= LEAST_AUC and z >= LEAST_Z
    confirmed = all(part >= LEAST_AUC and norm.sf(sure) <= CONFIRMING for part, sure in halves)
    p = float(norm.sf(z))
    return ColumnDrift(
        name=NAME,
        role="joint",
        kind="",
        status="drift" if differs and confirmed else "suspect" if differs else "stable",
        method="AUC of a classifier",
        effect=auc,
        threshold=LEAST_AUC,
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
    # 1 / 12 is the variance of a rank among equals; rows that come in groups are worth less than as many others.
    worth = [clumping("number", scores[sides == side], LEAST_BLOCKS).values / (sides == side).sum() for side in (0, 1)]
    return auc, float((auc - 0.5) / np.sqrt(sum(worth) / 12))


def _scores(rows: Values, sides: Values) -> Values:
    """Return the logit of being current for every row, by a model that has seen neither it nor its neighbours."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores = np.empty(len(rows))
    fold = np.concatenate([np.arange(n) * _FOLDS // n for n in np.bincount(sides.astype(np.int64))])
    for held in range(_FOLDS):
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0, class_weight="balanced")
        model.fit(rows[fold != held], sides[fold != held])
        scores[fold == held] = model.decision_function(rows[fold == held])
    return scores
