"""The metrics that a gate knows by name, and whether predictions are predictions at all."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError, DataError
from titlebout.metrics import estimates
from titlebout.metrics.estimates import Estimate, Truth, of_losses
from titlebout.metrics.inference import Difference, from_influence, from_replicates

Better = Literal["smaller", "larger"]

PRIMARY = {"classification": "log_loss", "regression": "mae"}
ROUNDING = 1e-5  # how far probabilities may be off that somebody averaged, or kept as float32
RELATIVE_MARGIN, ABSOLUTE_MARGIN = 0.02, 0.01  # of a loss without a fixed range; of a rate between 0 and 1


@dataclass(frozen=True)
class Metric:
    """A way to score answers.

    Attributes
    ----------
    name : str
    better : {"smaller", "larger"}
    estimate : callable
        Takes a `Truth`, predictions of shape (n_rows, n_classes) or (n_rows,), and the number of the entity of every
        row or None; returns an `Estimate`.
    margin : float
        Smallest gain worth a promotion by default.
    relative : bool
        Whether the margin is a share of the champion's value.
    """

    name: str
    better: Better
    estimate: Callable[[Truth, FloatArray, IntArray | None], Estimate]
    margin: float
    relative: bool

    def gain(self, one: Estimate, other: Estimate, units: IntArray | None = None) -> Difference | None:
        """Return how much better `one` is than `other` on the same rows; None where either is not defined.

        Parameters
        ----------
        one, other : Estimate
        units : ndarray of shape (n_rows,), dtype int, optional
            Number of the entity of every row.
        """
        sign = -1 if self.better == "smaller" else 1
        gain = sign * (one.value - other.value)
        if not np.isfinite(gain):
            return None
        if one.influence is not None and other.influence is not None:
            return from_influence(gain, sign * (one.influence - other.influence), units)
        if one.replicates is not None and other.replicates is not None:
            return from_replicates(gain, sign * (one.replicates - other.replicates))
        return None

    def worsened(self, one: Estimate, margin: float, relative: bool) -> Estimate:
        """Return an estimate that is worse by a margin.

        Parameters
        ----------
        one : Estimate
        margin : float
        relative : bool
            Whether it is a share of the value. Such a margin is known only as well as the value: its error counts too.
        """
        worse = 1 if self.better == "smaller" else -1
        if not relative:
            return replace(one, value=one.value + worse * margin)
        factor = 1 + worse * margin * float(np.sign(one.value))
        return replace(
            one,
            value=one.value * factor,
            influence=None if one.influence is None else one.influence * factor,
            replicates=None if one.replicates is None else one.replicates * factor,
        )


def truth_of(task: str, y: npt.NDArray[np.object_], *classes: tuple[object, ...]) -> Truth:
    """Return what happened; classes that only occur in `y` come after those that a model knows.

    Parameters
    ----------
    task : {"classification", "regression"}
    y : ndarray of shape (n_rows,)
        True classes or values.
    *classes : tuple
        Labels that each model knows, in its order; none for regression.
    """
    if task == "regression":
        return Truth(task, y.astype(np.float64))
    known = dict.fromkeys(label for labels in classes for label in labels)
    known |= dict.fromkeys(sorted(set(y.tolist()) - set(known), key=str))
    positions = {label: position for position, label in enumerate(known)}
    return Truth(task, np.array([positions[label] for label in y.tolist()], dtype=np.int64), tuple(known))


def aligned(predicted: FloatArray, classes: tuple[object, ...], truth: Truth) -> FloatArray:
    """Return probabilities in the order of ``truth.classes``; a class that the model does not know has probability 0."""
    if truth.task == "regression" or classes == truth.classes:
        return predicted
    out = np.zeros((len(predicted), len(truth.classes)))
    for column, label in enumerate(classes):
        out[:, truth.classes.index(label)] = predicted[:, column]
    return out


def unsound(predicted: FloatArray, rows: int, classes: tuple[object, ...]) -> str | None:
    """Return what is wrong with predictions, or None when they are a value or probabilities of every row."""
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
    y : ndarray of shape (n_rows,)
        True classes or values; a class that is not in `classes` costs as much as one that was ruled out.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities in the order of `classes`, or values.
    classes : tuple
        Class labels; empty for regression.

    Raises
    ------
    DataError
        If a prediction is not finite, or probabilities are no probabilities.
    """
    return losses_of(*_sound(task, y, predicted, classes))


def losses_of(truth: Truth, predicted: FloatArray) -> FloatArray:
    """Return the default loss of every row, shape (n_rows,), of predictions that are aligned."""
    return (estimates.log_losses if truth.classes else estimates.absolute)(truth, predicted)


def scores(
    task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]
) -> dict[str, float]:
    """Return the metrics that a training run shows; parameters and errors are those of :func:`row_losses`."""
    truth, predicted = _sound(task, y, predicted, classes)
    found = {PRIMARY[task]: float(losses_of(truth, predicted).mean())}
    if task == "regression":
        return found | {
            "rmse": estimates.rmse(truth, predicted).value,
            "bias": float((predicted - truth.y).mean()),
        }
    others = {"accuracy": estimates.accuracy(truth, predicted), "roc_auc": estimates.roc_auc(truth, predicted)}
    return found | {name: one.value for name, one in others.items() if np.isfinite(one.value)}


def built_in(name: str, task: str) -> Metric | None:
    """Return one of the metrics that have a standard error in closed form, or None when there is none of that name.

    Raises
    ------
    ConfigError
        If it is one for another task, or has no valid level.
    """
    stem, _, level = name.partition("@")
    if stem not in _BUILT_IN or (level and stem != "pinball"):
        return None
    of, better, estimate = _BUILT_IN[stem]
    if of != task:
        fitting = ", ".join(known for known, (its, *_) in _BUILT_IN.items() if its == task)
        raise ConfigError(f"metric {name!r} is not one of a {task}", fix=f"take one of: {fitting}")
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
        raise ConfigError(f"metric {name!r} has no level between 0 and 1", fix="write for example pinball@0.9")
    return share


def _sound(
    task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]
) -> tuple[Truth, FloatArray]:
    problem = unsound(predicted, len(y), classes)
    if problem:
        raise DataError(problem, fix="look at the model's numeric range and at missing values")
    truth = truth_of(task, y, classes)
    return truth, aligned(predicted, classes, truth)


def _is_probability(predicted: FloatArray) -> bool:
    inside = (predicted >= -ROUNDING).all() and (predicted <= 1 + ROUNDING).all()
    return bool(inside and (np.abs(predicted.sum(axis=1) - 1) <= ROUNDING).all())


_BUILT_IN: dict[str, tuple[str, Better, Callable[[Truth, FloatArray], Estimate]]] = {
    "log_loss": ("classification", "smaller", lambda truth, given: of_losses(estimates.log_losses(truth, given))),
    "brier": ("classification", "smaller", estimates.brier),
    "accuracy": ("classification", "larger", estimates.accuracy),
    "f1": ("classification", "larger", estimates.f1),
    "roc_auc": ("classification", "larger", estimates.roc_auc),
    "average_precision": ("classification", "larger", estimates.average_precision),
    "mae": ("regression", "smaller", lambda truth, given: of_losses(estimates.absolute(truth, given))),
    "mse": ("regression", "smaller", estimates.mean_squared),
    "rmse": ("regression", "smaller", estimates.rmse),
    "pinball": ("regression", "smaller", estimates.pinball(0.5)),
}
