"""Load the models to compare and predict the holdout with each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.data.columns import timestamps
from titlebout.data.holdout import Split, read_labeled_rows, require_no_overlap, split, target_values
from titlebout.data.identity import HashArray
from titlebout.gate.dummy import dummy_predictions
from titlebout.gate.entities import entities_of, require_columns
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import PRIMARY, align_classes, default_losses, encode_ground_truth
from titlebout.metrics.estimates import GroundTruth
from titlebout.metrics.scorers import find_metric
from titlebout.models.artifact import Model
from titlebout.models.champion import Champion, anchor_at, champion_path, require_digest
from titlebout.models.held_out import predict_unseen
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import folder_digest
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.settings.gate import GateSettings
from titlebout.settings.params import Params

ModelOutput = tuple[FloatArray, tuple[object, ...]]  # predictions of one model, and its classes


@dataclass(frozen=True)
class Baselines:
    """Models that a challenger is compared with.

    Attributes
    ----------
    champion : Model or None
        None without a champion.
    anchor : Model or None
        The last champion that was promoted as superior, if it is not the champion itself.
    missing : str
        Why an existing anchor could not be loaded; empty otherwise.
    """

    champion: Model | None = None
    anchor: Model | None = None
    missing: str = ""


@dataclass(frozen=True)
class ScoredHoldout:
    """The holdout with the predictions of all models.

    Attributes
    ----------
    predictions : HoldoutPredictions
        Predictions and ground truth.
    rows : DataFrame of shape (n_rows, n_columns)
        The holdout.
    split : Split
        Division of the data into training rows and holdout.
    missing : str
        Why an existing anchor has no predictions; empty otherwise.
    """

    predictions: HoldoutPredictions
    rows: pd.DataFrame
    split: Split
    missing: str = ""


def load_baselines(project: Project, git: Git, revision: str, champion: Champion | None, folder: Path) -> Baselines:
    """Fetch and load the champion of a revision and its anchor.

    Parameters
    ----------
    project : Project
        Project that both must have been trained for.
    git : Git
        Repository of the project.
    revision : str
        Git revision of the champion.
    champion : Champion or None
        Champion at that revision.
    folder : Path
        Empty folder for the fetched models.

    Raises
    ------
    UnsafeError
        If a fetched model does not have the hash or the digest in ``champion.dvc``.
    InconclusiveError
        If the champion cannot be loaded, or was trained for a different task.
    NotFoundError
        If the champion cannot be fetched.
    """
    if champion is None:
        return Baselines()
    dvc = Dvc(project)
    holder = _fetch(project, dvc, champion, revision, folder / "champion")
    _require_same_task(project, holder)
    found = anchor_at(project, git, revision) if project.settings.gate.anchor else None
    if found is None or found[1].output == champion.output:
        return Baselines(holder)
    try:
        return Baselines(holder, _fetch(project, dvc, found[1], found[0], folder / "anchor"))
    except (NotFoundError, InconclusiveError) as error:
        return Baselines(holder, missing=f"the anchor {found[1].name[:12]} cannot be loaded: {error.what}")


def predict_holdout(project: Project, challenger: Model, against: Baselines) -> ScoredHoldout:
    """Predict the holdout with all models.

    Parameters
    ----------
    project : Project
        Project with its data pulled.
    challenger : Model
        Model to evaluate.
    against : Baselines
        Models to compare it with.

    Raises
    ------
    UnsafeError
        If a model was trained on holdout rows.
    InconclusiveError
        If the champion cannot predict the holdout, or a model was trained on rows newer than the start of the holdout.
    ConfigError
        If the project's code in the challenger fails, or the data lacks a column of the settings.
    """
    frame, params = read_labeled_rows(project), project.params
    holdout_split = split(frame, params)
    holdout_rows, hashes = frame[holdout_split.holdout], holdout_split.hashes[holdout_split.holdout]
    models = {"challenger": challenger, "champion": against.champion, "anchor": against.anchor}
    scored, answers, missing = dict[str, Model](), dict[str, FloatArray](), against.missing
    for name, model in models.items():
        if model is None:
            continue
        try:
            require_no_overlap(hashes, model.held_out.seen(model.trained_rows), name)
            _require_trained_before(params, holdout_split, model, name)
            answers[name] = _predict(project, model, holdout_rows, hashes, name)
        except (InconclusiveError, UnsafeError) as error:
            if name != "anchor":
                raise
            missing = error.what  # matters only under a rule that compares with the anchor
        else:
            scored[name] = model
    given = {name: (answer, scored[name].classes) for name, answer in answers.items()}
    return ScoredHoldout(
        combine_predictions(frame, holdout_split, given, params, project.settings.gate),
        holdout_rows,
        holdout_split,
        missing,
    )


def combine_predictions(
    frame: pd.DataFrame, holdout_split: Split, given: Mapping[str, ModelOutput], params: Params, gate: GateSettings
) -> HoldoutPredictions:
    """Combine the predictions of all models, aligned to the same classes, with those of the dummy model.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        All labeled rows.
    holdout_split : Split
        Which of them are the holdout.
    given : mapping of str to (ndarray, tuple)
        Predictions for the holdout, and the model's classes, by model.
    params : Params
        Task and target.
    gate : GateSettings
        Slice columns and entity column.

    Raises
    ------
    ConfigError
        If the data lacks a column of the settings, or the primary metric does not exist.
    """
    holdout_rows = frame[holdout_split.holdout]
    truth = encode_ground_truth(
        params.data.task, target_values(holdout_rows, params), *(classes for _, classes in given.values())
    )
    predicted = {name: align_classes(answers, classes, truth) for name, (answers, classes) in given.items()}
    trained = encode_ground_truth(params.data.task, target_values(frame[holdout_split.training], params), truth.classes)
    metric = find_metric(gate.primary_metric or PRIMARY[params.data.task], params.data.task)
    predicted["dummy"] = dummy_predictions(metric, trained, truth)
    entity, entities = entities_of(holdout_rows, params, gate.entity, _gains(truth, predicted))
    return HoldoutPredictions(
        truth,
        predicted,
        _columns(holdout_rows, gate),
        entities,
        holdout_split.hashes[holdout_split.holdout],
        entity=entity,
        times=_times(holdout_rows, params.data.time),
    )


def _gains(truth: GroundTruth, predicted: Mapping[str, FloatArray]) -> FloatArray:
    """Return how much the default loss of every row is smaller than the champion's, or the dummy model's without one."""
    baseline = predicted.get("champion", predicted["dummy"])
    gains: FloatArray = default_losses(truth, baseline) - default_losses(truth, predicted["challenger"])
    return gains


def _times(holdout_rows: pd.DataFrame, time: str) -> IntArray | None:
    """Return the position of every row's time in the order of times; None without a time column."""
    return timestamps(holdout_rows, time).rank(method="dense").to_numpy().astype(np.int64) if time else None


def _fetch(project: Project, dvc: Dvc, champion: Champion, revision: str, target: Path) -> Model:
    dvc.pull_champion(revision, target)
    found = folder_digest(target)
    if found != champion.output.md5:
        raise UnsafeError(
            "the fetched champion does not match the content hash in champion.dvc",
            why=f"its hash is {found}, champion.dvc has {champion.output.md5}",
            fix="delete the champion's objects on the DVC remote and run `dvc push` on a machine that has the correct model, "
            "or roll back to an earlier champion",
        )
    require_digest(champion, target, f"{champion_path(project)} at {revision[:12]}")
    return load_project_model(project, target)


def _require_same_task(project: Project, champion: Model) -> None:
    ours = {"task": project.params.data.task, "target": project.params.data.target}
    theirs = {key: champion.manifest[key] for key in ours}
    if theirs != ours:
        raise InconclusiveError(
            "the champion was trained for a different task",
            why=f"it predicts {theirs['target']!r} ({theirs['task']}), params.yaml has "
            f"{ours['target']!r} ({ours['task']})",
            fix="create a separate pipeline for the new task: models for different tasks cannot be compared",
        )


def _require_trained_before(params: Params, holdout_split: Split, model: Model, name: str) -> None:
    until = str(model.manifest["trained_until"])
    if len(model.held_out.rows):  # each part of its holdout is predicted from the rows before it
        return
    if params.split.by == "time" and until and until > holdout_split.start:
        raise InconclusiveError(
            f"the {name} was trained on rows newer than the start of the holdout",
            why=f"its training data ends {until}, the holdout starts {holdout_split.start}",
            fix="merge main into this branch to get the data that the model was trained on",
        )


def _predict(project: Project, model: Model, holdout_rows: pd.DataFrame, hashes: HashArray, name: str) -> FloatArray:
    """Predict the holdout with one model.

    Raises
    ------
    InconclusiveError
        If a model other than the challenger fails: that proves nothing for or against the challenger.
    ConfigError
        If the project's code in the challenger fails.
    DataError
        If the challenger does not accept the data.
    """
    try:
        with project.team_code(f"predicting with the {name}"):
            return predict_unseen(model, holdout_rows, hashes)
    except (ConfigError, DataError) as error:
        if name == "challenger":
            raise
        raise InconclusiveError(
            f"the {name} cannot make predictions for the holdout: {error.what}",
            where=error.where,
            why=error.why or f"it was trained on {', '.join(model.kinds)}",
            fix="restore the columns and the code that it needs, and remove them only after another model is the champion",
        ) from error


def _columns(holdout_rows: pd.DataFrame, gate: GateSettings) -> pd.DataFrame:
    require_columns(holdout_rows, gate.slices.columns, "gate.slices.columns")
    return holdout_rows[list(gate.slices.columns)].reset_index(drop=True)
