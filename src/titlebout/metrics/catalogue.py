"""Built-in metrics by name, ground truth encoding, and validation of predictions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError, DataError
from titlebout.metrics import estimates
from titlebout.metrics.estimates import Estimate, GroundTruth, mean_loss
from titlebout.metrics.inference import INDEPENDENT, Dependence, Difference, from_influence, from_replicates, widest

Better = Literal["smaller", "larger"]

PRIMARY = {"classification": "log_loss", "regression": "mae"}
ROUNDING = 1e-5  # tolerance for probabilities, which may have been averaged or stored as float32
RELATIVE_MARGIN, ABSOLUTE_MARGIN = 0.02, 0.01  # for losses without an upper bound; for rates between 0 and 1


@dataclass(frozen=True)
class Metric:
    """A metric with its direction and default margin.

    Attributes
    ----------
    name : str
        Name in titlebout.toml.
    better : {"smaller", "larger"}
        Which values are better.
    estimate : callable
        Takes a `GroundTruth`, predictions of shape (n_rows, n_classes) or (n_rows,), and the `Dependence` of the rows;
        returns an `Estimate`.
    margin : float
        Default for the smallest gain worth a promotion.
    relative : bool
        Whether the margin is a fraction of the champion's value.
    """

    name: str
    better: Better
    estimate: Callable[[GroundTruth, FloatArray, Dependence], Estimate]
    margin: float
    relative: bool

    def gain(self, first: Estimate, second: Estimate, dependence: Dependence = INDEPENDENT) -> Difference | None:
        """Return how much better `first` is than `second` on the same rows; None if either is undefined.

        Parameters
        ----------
        first, second : Estimate
            Estimates of this metric for two models.
        dependence : Dependence
            Times and entities of the rows; jackknife replicates already are of blocks that do not depend on each other.
        """
        sign = -1 if self.better == "smaller" else 1
        gain = sign * (first.value - second.value)
        if not np.isfinite(gain):
            return None
        if first.influence is not None and second.influence is not None:
            found = from_influence(gain, sign * (first.influence - second.influence), dependence)
            # One more row that only one model gets right (Agresti and Min 2005): from few such rows, or none, the sample
            # standard deviation is far too small.
            fewest = min([found.df, *(one.df for one in (first, second) if one.df is not None)])
            return replace(found, se=float(np.hypot(found.se, max(first.step, second.step))), df=fewest)
        jackknifed = [
            from_replicates(gain, sign * (one - other), in_time=in_time)
            for one, other, in_time in (
                (first.replicates, second.replicates, False),
                (first.replicates_in_time, second.replicates_in_time, True),
            )
            if one is not None and other is not None
        ]
        return widest(jackknifed) if jackknifed else None

    def worsened(self, estimate: Estimate, margin: float, relative: bool) -> Estimate:
        """Return an estimate that is worse by a margin.

        Parameters
        ----------
        estimate : Estimate
        margin : float
            Nonnegative, in units of the metric or as a fraction.
        relative : bool
            Whether the margin is a fraction of the value. Such a margin is as uncertain as the value, so the influence
            is scaled too.
        """
        worse = 1 if self.better == "smaller" else -1
        if not relative:
            return replace(estimate, value=estimate.value + worse * margin)
        factor = 1 + worse * margin * float(np.sign(estimate.value))
        return replace(
            estimate,
            value=estimate.value * factor,
            influence=None if estimate.influence is None else estimate.influence * factor,
            replicates=None if estimate.replicates is None else estimate.replicates * factor,
            replicates_in_time=None if estimate.replicates_in_time is None else estimate.replicates_in_time * factor,
        )


def encode_ground_truth(task: str, y: npt.NDArray[np.object_], *classes: tuple[object, ...]) -> GroundTruth:
    """Encode the ground truth; classes of the models come first, then those that occur in `y` only.

    Parameters
    ----------
    task : {"classification", "regression"}
        Regression ignores `classes`.
    y : ndarray of shape (n_rows,)
        True classes or values.
    *classes : tuple
        Class labels of each model, in its order.
    """
    if task == "regression":
        return GroundTruth(task, y.astype(np.float64))
    labels_in_order = dict.fromkeys(label for labels in classes for label in labels)
    labels_in_order |= dict.fromkeys(sorted(set(y.tolist()) - set(labels_in_order), key=str))
    positions = {label: position for position, label in enumerate(labels_in_order)}
    return GroundTruth(
        task, np.array([positions[label] for label in y.tolist()], dtype=np.int64), tuple(labels_in_order)
    )


def align_classes(predicted: FloatArray, classes: tuple[object, ...], truth: GroundTruth) -> FloatArray:
    """Return probabilities in the order of ``truth.classes``; classes unknown to the model get probability 0."""
    if truth.task == "regression" or classes == truth.classes:
        return predicted
    out = np.zeros((len(predicted), len(truth.classes)))
    for column, label in enumerate(classes):
        out[:, truth.classes.index(label)] = predicted[:, column]
    return out


def validate_predictions(predicted: FloatArray, rows: int, classes: tuple[object, ...]) -> str | None:
    """Return why predictions are invalid; None if they have one value, or valid probabilities, per row."""
    if predicted.shape != ((rows, len(classes)) if classes else (rows,)):
        return f"predictions have the shape {predicted.shape} for {rows} rows{f' and {len(classes)} classes' * bool(classes)}"
    finite = np.isfinite(predicted)
    broken = rows - int((finite.all(axis=1) if classes else finite).sum())
    if broken:
        return f"{broken} of {rows} predictions are not finite"
    if classes and not _is_probability(predicted):
        return "predicted probabilities are outside [0, 1] or do not sum to 1"
    return None


def row_losses(task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]) -> FloatArray:
    """Return the default loss of every row: log loss (nats) or absolute error (units of the target).

    Parameters
    ----------
    task : {"classification", "regression"}
        Selects the loss.
    y : ndarray of shape (n_rows,)
        True classes or values; a class that is not in `classes` costs as much as one with predicted probability 0.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities in the order of `classes`, or values.
    classes : tuple
        Class labels; empty for regression.

    Raises
    ------
    DataError
        If a prediction is not finite, or probabilities are outside [0, 1] or do not sum to 1.
    """
    return default_losses(*_validated(task, y, predicted, classes))


def default_losses(truth: GroundTruth, predicted: FloatArray) -> FloatArray:
    """Return the default loss of every row, shape (n_rows,), for predictions aligned with ``truth.classes``."""
    return (estimates.log_losses if truth.classes else estimates.absolute_errors)(truth, predicted)


def scores(
    task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]
) -> dict[str, float]:
    """Return the metrics shown after training; parameters and errors are those of :func:`row_losses`."""
    truth, predicted = _validated(task, y, predicted, classes)
    values = {PRIMARY[task]: float(default_losses(truth, predicted).mean())}
    if task == "regression":
        return values | {
            "rmse": estimates.rmse(truth, predicted).value,
            "bias": float((predicted - truth.y).mean()),
        }
    others = {"accuracy": estimates.accuracy(truth, predicted), "roc_auc": estimates.roc_auc(truth, predicted)}
    return values | {name: estimate.value for name, estimate in others.items() if np.isfinite(estimate.value)}


def built_in_metric(name: str, task: str) -> Metric | None:
    """Return a metric with a closed-form standard error by name; None for any other name.

    Raises
    ------
    ConfigError
        If it is a metric for the other task, or its quantile level is not valid.
    """
    stem, _, level = name.partition("@")
    if stem not in _BUILT_IN or (level and stem != "pinball"):
        return None
    metric_task, better, estimate = _BUILT_IN[stem]
    if metric_task != task:
        fitting = ", ".join(known for known, (known_task, *_) in _BUILT_IN.items() if known_task == task)
        raise ConfigError(f"metric {name!r} is not a {task} metric", fix=f"use one of: {fitting}")
    if stem == "pinball":
        estimate = estimates.pinball(_level(name, level or "0.5"))
    relative = better == "smaller" and stem != "brier"
    margin = RELATIVE_MARGIN if relative else ABSOLUTE_MARGIN
    return Metric(name, better, lambda truth, predicted, _: estimate(truth, predicted), margin, relative)


def _level(name: str, level: str) -> float:
    try:
        share = float(level)
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise ConfigError(
            f"the quantile level of metric {name!r} is not between 0 and 1", fix="use a level such as pinball@0.9"
        )
    return share


def _validated(
    task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]
) -> tuple[GroundTruth, FloatArray]:
    problem = validate_predictions(predicted, len(y), classes)
    if problem:
        raise DataError(problem, fix="check the model for overflow and for missing values in its inputs")
    truth = encode_ground_truth(task, y, classes)
    return truth, align_classes(predicted, classes, truth)


def _is_probability(predicted: FloatArray) -> bool:
    in_range = (predicted >= -ROUNDING).all() and (predicted <= 1 + ROUNDING).all()
    return bool(in_range and (np.abs(predicted.sum(axis=1) - 1) <= ROUNDING).all())


_BUILT_IN: dict[str, tuple[str, Better, Callable[[GroundTruth, FloatArray], Estimate]]] = {
    "log_loss": (
        "classification",
        "smaller",
        lambda truth, predicted: mean_loss(estimates.log_losses(truth, predicted)),
    ),
    "brier": ("classification", "smaller", estimates.brier),
    "accuracy": ("classification", "larger", estimates.accuracy),
    "f1": ("classification", "larger", estimates.f1),
    "roc_auc": ("classification", "larger", estimates.roc_auc),
    "average_precision": ("classification", "larger", estimates.average_precision),
    "mae": ("regression", "smaller", lambda truth, predicted: mean_loss(estimates.absolute_errors(truth, predicted))),
    "mse": ("regression", "smaller", estimates.mean_squared),
    "rmse": ("regression", "smaller", estimates.rmse),
    "pinball": ("regression", "smaller", estimates.pinball(0.5)),
}
