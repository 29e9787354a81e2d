"""Training: the DVC pipeline and its stages prepare, train and evaluate."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.errors import DataRefusedError, ExitCode, InconclusiveError
from titlebout.core.process import Progress
from titlebout.core.results import SCHEMA_VERSION, StepResult, read_json, write_json
from titlebout.data.columns import column_kind, timestamps
from titlebout.data.holdout import read_labeled_rows, require_no_overlap, split, target_values
from titlebout.metrics.catalogue import row_losses, scores
from titlebout.models import loading
from titlebout.models.artifact import TrainingData, predict, save_model, select_inputs
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.training.window import Window, select_window


class TrainResult(StepResult):
    """What `titlebout train` did.

    Attributes
    ----------
    changed : bool
        True when a model was trained.
    ran, skipped : tuple of str
        Stages that were executed, and stages with nothing to do.
    challenger : str
        Content hash of the model folder.
    metrics : dict of str to float
        The model's own scores on the holdout.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"changed": "changed", "stages": "ran", "report": "report"}

    step: Literal["train"] = "train"
    changed: bool = False
    ran: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    challenger: str = ""
    metrics: dict[str, float] | None = None

    @property
    def exit_code(self) -> ExitCode:
        """What the process ends with."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report for people as Markdown."""
        lines = ["### Training", "", f"{self.reasons[0].capitalize()}." if self.reasons else ""]
        lines += [f"- ran: {', '.join(self.ran) or 'nothing'}", f"- up to date: {', '.join(self.skipped) or 'nothing'}"]
        lines += [f"- {name} on the holdout: {value:.4f}" for name, value in (self.metrics or {}).items()]
        return "\n".join(lines) + "\n"


def train(project: Project, on_line: Progress | None = None) -> TrainResult:
    """Run the pipeline; stages whose dependencies have not changed are skipped.

    Parameters
    ----------
    project : Project
    on_line : callable, optional
        Called with each line of progress.

    Raises
    ------
    TitleboutError
        If a stage fails for another reason than refused data: the error of the stage.
    """
    dvc = Dvc(project)
    try:
        done = dvc.reproduce(on_line)
    except DataRefusedError as error:
        return TrainResult(passed=False, reasons=(error.what,), ran=("check-data",))
    pointer = dvc.challenger_output()
    changed = "train" in done.ran
    if changed:
        dvc.push_in_tree()
    said = "a model was trained" if changed else "nothing changed, nothing was trained"
    return TrainResult(
        passed=True,
        reasons=(said,),
        changed=changed,
        ran=done.ran,
        skipped=done.skipped,
        challenger=pointer.md5 if pointer else "",
        metrics=_metrics(project),
    )


def prepare(project: Project) -> dict[str, Any]:
    """Stage ``prepare``: decide which rows are held out and record it in ``reports/split.json``."""
    frame = read_labeled_rows(project)
    record = {"schema_version": SCHEMA_VERSION, **split(frame, project.params).to_dict()}
    write_json(project.stage_reports / "split.json", record)
    return record


def fit(project: Project) -> Path:
    """Stage ``train``: fit the team's pipeline on the training rows and write the model folder whole.

    Raises
    ------
    InconclusiveError
        If the training rows have one class only.
    """
    params = project.params
    frame = read_labeled_rows(project)
    divided = split(frame, params)
    before = frame[~divided.holdout]
    window = choose_window(project, before)
    rows = window.of(before, params.data.time)
    estimator, X = fit_estimator(project, rows)
    until = timestamps(rows, params.data.time).max().isoformat() if params.data.time else ""
    hashes, told = divided.hashes[rows.index], asdict(window) if window.tried else None
    trained = TrainingData(X, hashes, params.data.target, params.data.task, until, told)
    kinds = {name: column_kind(frame[name]) for name in X.columns}
    package = project.settings.project.package
    return _replace_folder(project.model_dir, lambda folder: save_model(folder, estimator, trained, kinds, package))


def choose_window(project: Project, rows: pd.DataFrame) -> Window:
    """Choose how far back the training rows reach; see :func:`titlebout.training.window.select_window`."""
    data = project.params.data

    def losses(fitted_on: pd.DataFrame, asked: pd.DataFrame) -> FloatArray:
        estimator, X = fit_estimator(project, fitted_on)
        with project.team_code("asking a candidate"):
            answers = predict(estimator, select_inputs(asked, data.target, data.drop)[list(X.columns)], data.task)
        classes = () if data.task == "regression" else tuple(np.asarray(estimator.classes_).tolist())
        return row_losses(data.task, target_values(asked, project.params), answers, classes)

    return select_window(rows, project.params, losses)


def fit_estimator(project: Project, rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Fit the team's pipeline and return it with the inputs it saw.

    Parameters
    ----------
    project : Project
    rows : DataFrame of shape (n_rows, n_columns)
        Labelled training rows.

    Raises
    ------
    InconclusiveError
        If they have one class only.
    """
    data = project.params.data
    y = target_values(rows, project.params)
    if data.task == "classification" and len(set(y)) < 2:
        raise InconclusiveError(
            f"the training rows have one class only: {y[0]}",
            where=f"column {data.target}",
            fix="add data of the other class",
        )
    X = select_inputs(rows, data.target, data.drop)
    estimator = project.build_model()
    with project.team_code("fitting the model"):
        return estimator.fit(X, np.asarray(y.tolist())), X


def score(project: Project) -> dict[str, Any]:
    """Stage ``evaluate``: the challenger's own scores on the holdout, in ``reports/metrics.json``."""
    frame = read_labeled_rows(project)
    divided = split(frame, project.params)
    model = loading.load_project_model(project, project.model_dir)
    require_no_overlap(divided.hashes[divided.holdout], model.trained_rows, "challenger")
    held = frame[divided.holdout]
    y = target_values(held, project.params)
    with project.team_code("asking the model"):
        predicted = model.predict(held)
    found = scores(project.params.data.task, y, predicted, model.classes)
    window = {"window_days": model.manifest["window"]["days"]} if "window" in model.manifest else {}
    record = {"schema_version": SCHEMA_VERSION, "rows": len(held), **window, **found}
    write_json(project.stage_reports / "metrics.json", record)
    return record


def _replace_folder(target: Path, write: Callable[[Path], object]) -> Path:
    """Write a folder under another name and rename it: a killed run leaves the old model or the new one, never a mixture."""
    for abandoned in target.parent.glob(f".{target.name}-*"):  # by a run that was killed; DVC lets one run at a time
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


def _metrics(project: Project) -> dict[str, float] | None:
    path = project.stage_reports / "metrics.json"
    if not path.is_file():
        return None
    document = read_json(path)
    return {key: value for key, value in document.items() if isinstance(value, float)}
