"""Losses per row and scores per model; a loss is better when it is smaller."""

import numpy as np
import numpy.typing as npt

from titlebout.errors import DataError

FloatArray = npt.NDArray[np.float64]

# A probability of exactly 0 for what happened would cost infinitely much; scikit-learn clips at the same place.
SMALLEST = float(np.finfo(np.float64).eps)

PRIMARY = {"classification": "log_loss", "regression": "mae"}


def row_losses(task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]) -> FloatArray:
    """Return the primary loss of every row: log loss (nats) or absolute error (units of the target).

    Parameters
    ----------
    task : {"classification", "regression"}
    y : ndarray of shape (n_rows,)
        True classes or values.
    predicted : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities in the order of `classes`, or values.
    classes : tuple
        Class labels; empty for regression.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    DataError
        If a prediction is not finite, probabilities are no probabilities, or a label is not a known class.
    """
    if not np.isfinite(predicted).all():
        raise DataError("a prediction is not finite", fix="look at the model's numeric range and at missing values")
    if task == "regression":
        return np.abs(y.astype(np.float64) - predicted)
    if (predicted < 0).any() or (predicted > 1).any() or not np.allclose(predicted.sum(axis=1), 1, atol=1e-6):
        raise DataError(
            "predicted probabilities are outside [0, 1] or do not sum to 1",
            fix="calibrate or normalise the model's output",
        )
    return -np.log(np.clip(_of_true_class(y, predicted, classes), SMALLEST, 1))


def scores(
    task: str, y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]
) -> dict[str, float]:
    """Return the metrics that reports show beside the primary one.

    Parameters are those of :func:`row_losses`; AUC is left out when the holdout has one class only.
    """
    primary = {PRIMARY[task]: float(row_losses(task, y, predicted, classes).mean())}
    return primary | (_regression(y, predicted) if task == "regression" else _classification(y, predicted, classes))


def _of_true_class(y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]) -> FloatArray:
    positions = {label: position for position, label in enumerate(classes)}
    unknown = sorted(str(label) for label in set(y.tolist()) - set(classes))
    if unknown:
        raise DataError(
            f"the holdout has classes that the model does not know: {', '.join(unknown)}",
            fix="retrain on data that has these classes",
        )
    column = np.array([positions[label] for label in y.tolist()])
    probabilities: FloatArray = predicted[np.arange(len(y)), column]
    return probabilities


def _classification(y: npt.NDArray[np.object_], predicted: FloatArray, classes: tuple[object, ...]) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    labels = np.array(classes, dtype=object)
    found = {"accuracy": float((labels[predicted.argmax(axis=1)] == y).mean())}
    if len(classes) == 2 and len(np.unique(y)) == 2:
        found["roc_auc"] = float(roc_auc_score(y == labels[1], predicted[:, 1]))
    return found


def _regression(y: npt.NDArray[np.object_], predicted: FloatArray) -> dict[str, float]:
    errors = y.astype(np.float64) - predicted
    return {"rmse": float(np.sqrt((errors**2).mean())), "bias": float(-errors.mean())}
