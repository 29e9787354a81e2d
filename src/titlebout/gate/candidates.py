"""Who a challenger meets, on which rows, and what every model answers: the bout before anyone judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.core.errors import ConfigError, DataError, InconclusiveError, NotFoundError, UnsafeError
from titlebout.data.columns import row_hashes
from titlebout.data.holdout import Split, read_labeled_rows, require_no_overlap, split, target_values
from titlebout.gate.predictions import Bout
from titlebout.metrics.catalogue import align_classes, encode_ground_truth
from titlebout.metrics.estimates import GroundTruth
from titlebout.models.artifact import Model
from titlebout.models.champion import Champion, anchor_at
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import folder_digest
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.settings.gate import GateSettings
from titlebout.settings.params import Params

Answers = tuple[FloatArray, tuple[object, ...]]  # of one model, with the classes it knows


@dataclass(frozen=True)
class Opponents:
    """The models that a challenger has to beat, or at least to equal.

    Attributes
    ----------
    champion : Model or None
        None when nobody holds the title.
    anchor : Model or None
        The last champion that won by being better, when it is another one.
    missing : str
        Why an anchor that there is cannot be asked; empty otherwise.
    """

    champion: Model | None = None
    anchor: Model | None = None
    missing: str = ""


@dataclass(frozen=True)
class Meeting:
    """Models on the same rows.

    Attributes
    ----------
    bout : Bout
    rows : DataFrame of shape (n_rows, n_columns)
        The holdout.
    split : Split
    missing : str
        Why an anchor that there is was not asked; empty otherwise.
    """

    bout: Bout
    rows: pd.DataFrame
    split: Split
    missing: str = ""


def opponents(project: Project, git: Git, revision: str, champion: Champion | None, folder: Path) -> Opponents:
    """Fetch and load the champion of a revision and its anchor.

    Parameters
    ----------
    project : Project
    git : Git
    revision : str
    champion : Champion or None
    folder : Path
        An empty folder for what is fetched.

    Raises
    ------
    UnsafeError
        If the champion that was fetched is not the one its pointer names.
    InconclusiveError
        If the champion cannot be loaded, or solves another task.
    NotFoundError
        If it cannot be fetched.
    """
    if champion is None:
        return Opponents()
    dvc = Dvc(project)
    holder = _fetched(project, dvc, champion, revision, folder / "champion")
    _require_same_task(project, holder)
    found = anchor_at(project, git, revision) if project.settings.gate.anchor else None
    if found is None or found[1].output == champion.output:
        return Opponents(holder)
    try:
        return Opponents(holder, _fetched(project, dvc, found[1], found[0], folder / "anchor"))
    except (NotFoundError, InconclusiveError) as error:
        return Opponents(holder, missing=f"the anchor {found[1].output.short} cannot be asked: {error.what}")


def meet(project: Project, challenger: Model, against: Opponents) -> Meeting:
    """Ask all models for their answers to the holdout rows.

    Parameters
    ----------
    project : Project
        Its data must be there.
    challenger : Model
    against : Opponents

    Raises
    ------
    UnsafeError
        If a model was trained on holdout rows.
    InconclusiveError
        If the champion cannot answer, or was trained on rows from after the holdout began.
    ConfigError
        If the team's own code in the challenger fails, or a column of the settings is not there.
    """
    frame, params = read_labeled_rows(project), project.params
    divided = split(frame, params)
    held = frame[divided.holdout]
    models = {"challenger": challenger, "champion": against.champion, "anchor": against.anchor}
    asked, answers, missing = dict[str, Model](), dict[str, FloatArray](), against.missing
    for who, model in models.items():
        if model is None:
            continue
        try:
            require_no_overlap(divided.hashes[divided.holdout], model.trained_rows, who)
            _require_older(params, divided, model, who)
            answers[who] = _answers(project, model, held, who)
        except (InconclusiveError, UnsafeError) as error:
            if who != "anchor":
                raise
            missing = error.what  # only a rule that asks for the anchor suffers
        else:
            asked[who] = model
    given = {who: (answer, asked[who].classes) for who, answer in answers.items()}
    return Meeting(bout_of(frame, divided, given, params, project.settings.gate), held, divided, missing)


def bout_of(
    frame: pd.DataFrame, divided: Split, given: Mapping[str, Answers], params: Params, gate: GateSettings
) -> Bout:
    """Bring answers to the holdout rows together, and those of the best constant with them.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        All rows, in which `divided` names the holdout.
    divided : Split
    given : mapping of str to (ndarray, tuple)
        By model: its answers to the holdout rows, and its classes.
    params : Params
    gate : GateSettings

    Raises
    ------
    ConfigError
        If a column of the settings is not there.
    """
    held = frame[divided.holdout]
    truth = encode_ground_truth(
        params.data.task, target_values(held, params), *(classes for _, classes in given.values())
    )
    predicted = {who: align_classes(answers, classes, truth) for who, (answers, classes) in given.items()}
    predicted["dummy"] = _dummy(target_values(frame[~divided.holdout], params), truth)
    return Bout(truth, predicted, _columns(held, gate), _entities(held, gate), divided.hashes[divided.holdout])


def _fetched(project: Project, dvc: Dvc, champion: Champion, revision: str, target: Path) -> Model:
    dvc.pull_champion(revision, target)
    found = folder_digest(target)
    if found != champion.output.md5:
        raise UnsafeError(
            "the champion that was fetched is not the one champion.dvc names",
            why=f"it is {found}, the pointer says {champion.output.md5}",
            fix="restore the object at the DVC remote, or roll back to a champion that can be fetched",
        )
    return load_project_model(project, target)


def _require_same_task(project: Project, champion: Model) -> None:
    ours = {"task": project.params.data.task, "target": project.params.data.target}
    theirs = {key: champion.manifest[key] for key in ours}
    if theirs != ours:
        raise InconclusiveError(
            "the champion solves another task",
            why=f"it predicts {theirs['target']!r} ({theirs['task']}), params.yaml asks for "
            f"{ours['target']!r} ({ours['task']})",
            fix="give the new task a pipeline of its own: two models that predict different things cannot meet",
        )


def _require_older(params: Params, divided: Split, model: Model, who: str) -> None:
    until = str(model.manifest["trained_until"])
    if params.split.by == "time" and until and until > divided.start:
        raise InconclusiveError(
            f"the {who} has seen rows from after the holdout began",
            why=f"it was trained until {until}, the holdout begins {divided.start}",
            fix="bring the branch up to date with the data that the model was trained on",
        )


def _answers(project: Project, model: Model, held: pd.DataFrame, who: str) -> FloatArray:
    """Ask one model.

    Raises
    ------
    InconclusiveError
        If anyone but the challenger cannot answer: that is not the challenger's fault, and no victory either.
    ConfigError
        If the challenger's own code fails.
    DataError
        If the challenger does not fit the data.
    """
    try:
        with project.team_code(f"asking the {who}"):
            return model.predict(held)
    except (ConfigError, DataError) as error:
        if who == "challenger":
            raise
        raise InconclusiveError(
            f"the {who} cannot be asked: {error.what}",
            where=error.where,
            why=error.why or f"it was trained on {', '.join(model.kinds)}",
            fix="keep the columns and the code that it needs until a challenger has taken the title",
        ) from error


def _dummy(trained: npt.NDArray[np.object_], truth: GroundTruth) -> FloatArray:
    """Return the answers of the best constant: class shares of the training rows, or their median."""
    if not truth.classes:
        return np.full(len(truth.y), float(np.median(trained.astype(np.float64))))
    shares = pd.Series(trained).value_counts(normalize=True)
    constant = np.array([shares.get(label, 0.0) for label in truth.classes], dtype=np.float64)
    unseen = 1 - constant.sum()  # of classes that only the training rows have
    return np.tile((constant + unseen / len(constant)), (len(truth.y), 1))


def _columns(held: pd.DataFrame, gate: GateSettings) -> pd.DataFrame:
    _require_columns(held, gate.slices.columns, "gate.slices.columns")
    return held[list(gate.slices.columns)].reset_index(drop=True)


def _entities(held: pd.DataFrame, gate: GateSettings) -> IntArray | None:
    if not gate.entity:
        return None
    _require_columns(held, (gate.entity,), "gate.entity")
    return np.unique(row_hashes(held[[gate.entity]]), return_inverse=True)[1].astype(np.int64)


def _require_columns(held: pd.DataFrame, names: tuple[str, ...], key: str) -> None:
    missing = [name for name in names if name not in held.columns]
    if missing:
        raise ConfigError(
            f"the data has no column {missing[0]!r}",
            where=f"titlebout.toml: {key}",
            why=f"it has: {', '.join(map(str, held.columns))}",
            fix="correct the name, or remove it",
        )
