"""Training: run the DVC pipeline, and the code of its stages prepare, train and evaluate."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from titlebout.core.errors import DataRefusedError, ExitCode
from titlebout.core.process import Progress
from titlebout.core.results import SCHEMA_VERSION, StepResult, read_json, write_json
from titlebout.data.columns import timestamps
from titlebout.data.holdout import read_labeled_rows, require_no_overlap, split, target_values
from titlebout.data.schema import recorded_schema
from titlebout.metrics.catalogue import scores
from titlebout.models import loading
from titlebout.models.artifact import TrainingData, save_model
from titlebout.models.held_out import predict_unseen
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.training.fitting import fit_split


class TrainResult(StepResult):
    """Result of `titlebout train`.

    Attributes
    ----------
    changed : bool
        True if a model was trained, or restored from an earlier training with the same inputs.
    ran, skipped : tuple of str
        Stages with new outputs, and stages whose dependencies had not changed.
    challenger : str
        Digest of the model, as ``metrics.json`` records it; empty if no model was trained yet.
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


def train(project: Project, on_line: Progress | None = None, *, force: bool = False) -> TrainResult:
    """Run the pipeline; stages whose dependencies have not changed are skipped.

    Parameters
    ----------
    project : Project
        The project and its pipeline.
    on_line : callable, optional
        Called with each line of progress.
    force : bool
        Run all stages.

    Raises
    ------
    TitleboutError
        If a stage fails, except for refused data, which is part of the result: the error of the stage. If nothing changed,
        but data or model exist nowhere: NotFoundError.
    """
    dvc = Dvc(project)
    try:
        before = dvc.challenger_output()
        reproduction = dvc.reproduce(on_line, force=force)
    except DataRefusedError as error:
        return TrainResult(passed=False, reasons=(error.what,), ran=("check-data",))
    output = dvc.challenger_output()
    changed = "train" in reproduction.ran
    if not reproduction.ran:
        dvc.require_outputs()
    elif dvc.remote_in_tree:
        dvc.push()
    outcome = "a model was trained" if changed else "nothing changed, nothing was trained"
    if force and before is not None:
        outcome += ": the same as before" if output == before else ", and differs from the one before"
    metrics = _metrics(project)
    return TrainResult(
        passed=True,
        reasons=(outcome,),
        changed=changed,
        ran=reproduction.ran,
        skipped=reproduction.skipped,
        challenger=str(metrics.get("model", "")),
        metrics={key: value for key, value in metrics.items() if isinstance(value, float)} or None,
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
    frame = read_labeled_rows(project)
    model = fit_split(project, frame, split(frame, project.params))
    data = project.params.data
    trained = TrainingData(
        X=model.X,
        hashes=model.trained_rows,
        target=data.target,
        task=data.task,
        until=timestamps(model.rows, data.time).max().isoformat() if data.time else "",
        window=asdict(model.window) if model.window.tried else None,
        classes=model.classes,
        missing=data.missing,
        forms={name: one.form for name, one in recorded_schema(data).types.items() if one.form},
        held_out=model.held_out,
    )
    package = project.settings.project.package
    return _replace_folder(
        project.model_dir, lambda folder: save_model(folder, model.estimator, trained, model.kinds, package)
    )


def score(project: Project) -> dict[str, Any]:
    """Run the stage ``evaluate``: score the challenger on the holdout and write ``reports/metrics.json``."""
    frame = read_labeled_rows(project)
    rows_split = split(frame, project.params)
    model = loading.load_project_model(project, project.model_dir)
    hashes = rows_split.hashes[rows_split.holdout]
    require_no_overlap(hashes, model.held_out.seen(model.trained_rows), "challenger")
    holdout = frame[rows_split.holdout]
    y = target_values(holdout, project.params)
    with project.team_code("predicting with the model"):
        predicted = predict_unseen(model, holdout, hashes)
    metrics = scores(project.params.data.task, y, predicted, model.classes)
    window = {"window_days": model.manifest["window"]["days"]} if "window" in model.manifest else {}
    record = {"schema_version": SCHEMA_VERSION, "model": model.digest, "rows": len(holdout), **window, **metrics}
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


def _metrics(project: Project) -> dict[str, Any]:
    path = project.stage_reports / "metrics.json"
    return read_json(path) if path.is_file() else {}
