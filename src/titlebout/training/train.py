"""Training: run the DVC pipeline, and the code of its stages prepare, train and evaluate."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import DataRefusedError, ExitCode, InconclusiveError
from titlebout.core.process import Progress
from titlebout.core.results import SCHEMA_VERSION, StepResult, read_json, write_json
from titlebout.data.columns import column_kind, timestamps
from titlebout.data.holdout import read_labeled_rows, require_no_overlap, split, target_values
from titlebout.data.schema import recorded_schema
from titlebout.metrics.catalogue import row_losses, scores
from titlebout.models import loading
from titlebout.models.artifact import TrainingData, class_labels, predict, save_model, select_inputs
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.training.supported import require_supported
from titlebout.training.window import Window, select_window


class TrainResult(StepResult):
    """Result of `titlebout train`.

    Attributes
    ----------
    changed : bool
        True if a model was trained, or restored from an earlier training with the same inputs.
    ran, skipped : tuple of str
        Stages with new outputs, and stages whose dependencies had not changed.
    challenger : str
        Content hash of the model folder; empty if no model was trained yet.
    metrics : dict of str to float
        Scores of the challenger on the holdout, by metric.
    known_inputs : float
        Share of the holdout rows whose inputs equal those of a training row. A model can remember the labels of such rows, so a
        score on them says less about rows that it has never seen.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"changed": "changed", "stages": "ran", "report": "report"}

    step: Literal["train"] = "train"
    changed: bool = False
    ran: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    challenger: str = ""
    metrics: dict[str, float] | None = None
    known_inputs: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        lines = ["### Training", "", f"{self.reasons[0].capitalize()}." if self.reasons else ""]
        lines += [f"- ran: {', '.join(self.ran) or 'nothing'}", f"- up to date: {', '.join(self.skipped) or 'nothing'}"]
        lines += [f"- {name} on the holdout: {value:.4f}" for name, value in (self.metrics or {}).items()]
        if self.known_inputs:
            lines.append(f"- {self.known_inputs:.0%} of the holdout rows have the inputs of a training row")
        return "\n".join(lines) + "\n"


def train(project: Project, on_line: Progress | None = None) -> TrainResult:
    """Run the pipeline; stages whose dependencies have not changed are skipped.

    Parameters
    ----------
    project : Project
        The project and its pipeline.
    on_line : callable, optional
        Called with each line of progress.

    Raises
    ------
    TitleboutError
        If a stage fails, except for refused data, which is part of the result: the error of the stage.
    """
    dvc = Dvc(project)
    try:
        reproduction = dvc.reproduce(on_line)
    except DataRefusedError as error:
        return TrainResult(passed=False, reasons=(error.what,), ran=("check-data",))
    output = dvc.challenger_output()
    changed = "train" in reproduction.ran
    if reproduction.ran and dvc.remote_in_tree:
        dvc.push()
    outcome = "a model was trained" if changed else "nothing changed, nothing was trained"
    return TrainResult(
        passed=True,
        reasons=(outcome,),
        changed=changed,
        ran=reproduction.ran,
        skipped=reproduction.skipped,
        challenger=output.md5 if output else "",
        metrics=_metrics(project),
        known_inputs=_known_inputs(project),
    )


def prepare(project: Project) -> dict[str, Any]:
    """Run the stage ``prepare``: split the rows and record the holdout in ``reports/split.json``."""
    frame = read_labeled_rows(project)
    record = {"schema_version": SCHEMA_VERSION, **split(frame, project.params).to_dict()}
    write_json(project.stage_reports / "split.json", record)
    return record


def fit(project: Project) -> Path:
    """Run the stage ``train``: fit the model of the user on the training rows and write the model folder.

    Raises
    ------
    InconclusiveError
        If the training rows have only one class.
    """
    params = project.params
    frame = read_labeled_rows(project)
    rows_split = split(frame, params)
    training_rows = frame[~rows_split.holdout]
    window = choose_window(project, training_rows)
    rows = window.of(training_rows, params.data.time)
    estimator, X = fit_estimator(project, rows)
    until = timestamps(rows, params.data.time).max().isoformat() if params.data.time else ""
    hashes = rows_split.hashes[rows.index]
    chosen_window = asdict(window) if window.tried else None
    classes = predicted_classes(project, estimator, rows)
    data = params.data
    forms = {name: one.form for name, one in recorded_schema(data).types.items() if one.form}
    trained = TrainingData(X, hashes, data.target, data.task, until, chosen_window, classes, data.missing, forms)
    kinds = {name: column_kind(frame[name]) for name in X.columns}
    package = project.settings.project.package
    return _replace_folder(project.model_dir, lambda folder: save_model(folder, estimator, trained, kinds, package))


def choose_window(project: Project, rows: pd.DataFrame) -> Window:
    """Choose the training window from the candidates of ``split.windows``; see :func:`titlebout.training.window.select_window`."""
    data = project.params.data

    def losses(fit_rows: pd.DataFrame, validation_rows: pd.DataFrame) -> FloatArray:
        estimator, X = fit_estimator(project, fit_rows)
        inputs = select_inputs(validation_rows, data.target, data.drop)[list(X.columns)]
        with project.team_code("predicting with a candidate for the training window"):
            predictions = predict(estimator, inputs, data.task)
        classes = predicted_classes(project, estimator, fit_rows)
        return row_losses(data.task, target_values(validation_rows, project.params), predictions, classes)

    return select_window(rows, project.params, losses)


def fit_estimator(project: Project, rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Fit the model of the user, and return it with its inputs; a model that cannot work is refused before.

    Parameters
    ----------
    project : Project
        Its parameter ``train.model`` names the function that builds the model.
    rows : DataFrame of shape (n_rows, n_columns)
        Labeled training rows.

    Raises
    ------
    InconclusiveError
        If the rows have only one class.
    ConfigError
        If the model does not fit the task or the data, or cannot be stored.
    UnsafeError
        If it contains types that are not trusted.
    """
    data = project.params.data
    y = _target(rows, project)
    if data.task == "classification" and len(set(y)) < 2:
        raise InconclusiveError(
            f"the training rows have only one class: {y[0]}",
            where=f"column {data.target}",
            fix="add rows of a different class",
        )
    X = select_inputs(rows, data.target, data.drop)
    estimator = project.build_model()
    require_supported(estimator, X, y, data.task, project.settings.project.package)
    with project.team_code("fitting the model"):
        return estimator.fit(X, np.asarray(y.tolist())), X


def predicted_classes(project: Project, estimator: Any, rows: pd.DataFrame) -> tuple[object, ...]:
    """Return the class labels of a fitted model, in its order and as they are in the data; empty for regression.

    Parameters
    ----------
    project : Project
    estimator : object
        Fitted.
    rows : DataFrame of shape (n_rows, n_columns)
        Rows that it was fitted on.
    """
    if project.params.data.task == "regression":
        return ()
    with project.team_code("reading the classes of the model"):
        return class_labels(estimator, _target(rows, project).tolist())


def _target(rows: pd.DataFrame, project: Project) -> npt.NDArray[np.object_]:
    """Return the target; whole-number labels are integers, also if a file with gaps has made them floats."""
    y = target_values(rows, project.params)
    if project.params.data.task == "classification" and all(isinstance(label, float) for label in set(y.tolist())):
        whole = all(label.is_integer() for label in set(y.tolist()))
        return y.astype(np.int64).astype(object) if whole else y
    return y


def score(project: Project) -> dict[str, Any]:
    """Run the stage ``evaluate``: score the challenger on the holdout and write ``reports/metrics.json``."""
    frame = read_labeled_rows(project)
    rows_split = split(frame, project.params)
    model = loading.load_project_model(project, project.model_dir)
    require_no_overlap(rows_split.hashes[rows_split.holdout], model.trained_rows, "challenger")
    holdout = frame[rows_split.holdout]
    y = target_values(holdout, project.params)
    with project.team_code("predicting with the model"):
        predicted = model.predict(holdout)
    metrics = scores(project.params.data.task, y, predicted, model.classes)
    window = {"window_days": model.manifest["window"]["days"]} if "window" in model.manifest else {}
    record = {"schema_version": SCHEMA_VERSION, "rows": len(holdout), **window, **metrics}
    write_json(project.stage_reports / "metrics.json", record)
    return record


def _replace_folder(target: Path, write: Callable[[Path], object]) -> Path:
    """Write a folder under a temporary name and rename it, so that an interrupted run never leaves a partial model."""
    for abandoned in target.parent.glob(f".{target.name}-*"):  # left by a killed run; DVC allows one run at a time
        shutil.rmtree(abandoned)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        write(temporary)
        temporary.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        Path(temporary).replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _known_inputs(project: Project) -> float:
    path = project.stage_reports / "split.json"
    recorded = read_json(path) if path.is_file() else {}
    return float(recorded.get("known_inputs", 0) / recorded["holdout_rows"]) if recorded else 0.0


def _metrics(project: Project) -> dict[str, float] | None:
    path = project.stage_reports / "metrics.json"
    if not path.is_file():
        return None
    document = read_json(path)
    return {key: value for key, value in document.items() if isinstance(value, float)}
