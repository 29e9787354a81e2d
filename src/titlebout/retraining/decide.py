"""Decide whether to attempt a retraining now, and for which reason; every decision is recorded with its measurements.

``check-data`` and ``drift`` have run on the current data and left their results in ``reports/``. This step scores the
champion on new labels, loads the attempt log, and applies :mod:`titlebout.policy.rules`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from titlebout.checks.check import CheckResult
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConflictError, ExitCode
from titlebout.core.markdown import escape, table
from titlebout.core.results import StepResult, read_result
from titlebout.data.current import read_new_rows
from titlebout.data.holdout import read_tracked
from titlebout.data.moment import Moment
from titlebout.drift.report import DriftResult
from titlebout.forge.client import Forge
from titlebout.models.artifact import Model
from titlebout.models.champion import champion_at, champion_in_work_tree, champions, pull_champion, was_champion
from titlebout.models.held_out import HeldOut
from titlebout.models.loading import load_project_model
from titlebout.policy import rules as policy_rules
from titlebout.policy.attempts import load_attempts
from titlebout.policy.measurements import DecisionInputs, LoadedChampion, drift_measurement, measure, refused
from titlebout.policy.performance import promotion_holdout
from titlebout.policy.rules import Action, Attempt, Clock, Measurement, Measurements, Trigger
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.names import pipeline_name, retrain_branch
from titlebout.repository.project import Project
from titlebout.retraining.messages import data_topic, refused_body, refused_title
from titlebout.retraining.retrain_commit import INPUTS_TRAILER, tip_of, trailer


class DecideResult(StepResult):
    """Decision of the retraining policy, with every trigger.

    Attributes
    ----------
    passed : bool
        False when the data is refused.
    action : {"stop", "attempt", "wait", "nothing"}
        Stop: the data is refused. Wait: a trigger fires, but an attempt would be too early.
    reason, note : str
        Arguments of ``titlebout retrain``; empty without an attempt.
    at : Moment or None
        Data time: the newest time in the data, or its number of rows; None when the data is refused.
    champion : str
        Digest of the champion; empty when there is none.
    new_rows : int
        Number of new labeled rows.
    triggers : tuple of Trigger
        Every trigger, in order of priority.
    attempts : int
        Number of attempts in the log.
    log_problem : str
        Why the attempt log is missing or incomplete; empty when it is complete.
    url : str
        Address of the issue about refused data, when a forge was given.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {
        "action": "action",
        "reason": "reason",
        "note": "note",
        "report": "report",
    }

    step: Literal["decide"] = "decide"
    action: Action
    reason: str = ""
    note: str = ""
    at: Moment | None = None
    champion: str = ""
    new_rows: int = 0
    triggers: tuple[Trigger, ...] = ()
    attempts: int = 0
    log_problem: str = ""
    url: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report as Markdown: the action, and every trigger."""
        headline = {"stop": "stop", "attempt": "retrain", "wait": "wait", "nothing": "nothing to do"}[self.action]
        rows = [
            (trigger.name.replace("_", " "), trigger.value, trigger.threshold, *_state(trigger))
            for trigger in self.triggers
        ]
        lines = [f"### Decision: {headline}", "", f"{escape(self.reasons[0][0].upper() + self.reasons[0][1:])}.", ""]
        lines += [table(["trigger", "value", "threshold", "state", "detail"], rows)]
        history = f"Attempts in the log: {self.attempts}" + (f" ({self.log_problem})" if self.log_problem else "")
        data_time = f"Data time: {self.at.short}. " if self.at else ""
        return "\n".join([*lines, escape(f"{data_time}{history}.")]) + "\n"


def decide(
    project: Project, requested: frozenset[str] = frozenset(), git: Git | None = None, forge: Forge | None = None
) -> DecideResult:
    """Decide whether a retraining is worth an attempt.

    Parameters
    ----------
    project : Project
        Its ``reports/check-data.json`` and ``reports/drift.json`` describe the current data.
    requested : frozenset of str
        ``manual`` for a run that a person requested, ``schedule`` for a scheduled run.
    git : Git, optional
        A repository with read access to origin.
    forge : Forge, optional
        Used to find the open pull request; without it, the retrain branch counts as one until it is merged or deleted.

    Raises
    ------
    NotFoundError
        If an earlier step was not run, or there is no data.
    ConflictError
        If the last data check was of the tracked data.
    DataError
        If a file cannot be read, or the result of an earlier step is malformed.
    """
    git = git or Git.find(project.root)
    history = load_attempts(git, pipeline_name(project, git))
    measured, clock = _measure(project, git, requested, history.attempts)
    measured = replace(measured, open_attempt=_open_attempt(project, git, forge, history.attempts))
    min_new_rows = project.settings.retrain.min_new_rows
    decision = policy_rules.decide(measured, history.attempts, project.settings.policy, min_new_rows, clock)
    return DecideResult(
        passed=decision.action != "stop",
        reasons=(decision.sentence,),
        action=decision.action,
        reason=decision.reason,
        note=decision.note,
        at=clock.at,
        champion=measured.champion,
        new_rows=measured.new_rows,
        triggers=decision.triggers,
        attempts=len(history.attempts),
        log_problem=history.problem,
    )


def publish_decision(project: Project, forge: Forge, folder: Path) -> DecideResult:
    """Publish a decision made by another job: open or update an issue if the data was refused, otherwise do nothing.

    Parameters
    ----------
    project : Project
    forge : Forge
        Client of the project's repository.
    folder : Path
        Reports of the job that decided. That job read untrusted data, so only text is taken from its reports.

    Raises
    ------
    NotFoundError
        If the folder has no decision.
    """
    decided = read_result(folder / "decide.json", DecideResult)
    reasons = decided.reasons[:1] or ("no reason was recorded",)
    if decided.action != "stop":
        return DecideResult(passed=True, reasons=(*reasons, "there is nothing to publish"), action=decided.action)
    checked = read_result(folder / "check-data.json", CheckResult)
    step = "drift" if checked.passed else "check-data"
    report = (folder / f"{step}.md").read_text(encoding="utf-8")
    body = refused_body(reasons[0], project.settings.drift.current, report)
    issue = forge.ensure_issue(
        data_topic(pipeline_name(project, Git.find(project.root))), refused_title(project.pipeline), body
    )
    detail = f"issue {issue.number} was {issue.operation}"
    return DecideResult(passed=False, reasons=(*reasons, detail), action="stop", url=issue.url)


def _state(trigger: Trigger) -> tuple[str, str]:
    """Return a trigger's state and its detail."""
    if trigger.held_back:
        return "held back", f"{trigger.detail}; {trigger.held_back}"
    if trigger.threshold is None:
        return "off", trigger.detail
    state = "fires" if trigger.fired else "quiet"
    return ("not measured" if trigger.value is None else state), trigger.detail


def _measure(
    project: Project, git: Git, requested: frozenset[str], attempts: Sequence[Attempt]
) -> tuple[Measurements, Clock]:
    """Return the measurements behind the decision, and the data clock."""
    refusal, drift = _findings(project)
    if refusal:
        return refused(refusal, requested)
    tracked, new = _rows(project)
    target = project.params.data.target
    inputs = DecisionInputs(
        tracked=tracked,
        new=new,
        labeled=new[new[target].notna()] if target in new.columns else new.iloc[:0],
        drift=drift,
        loaded=_load_champion(project, tracked),
        champions=champions(project, git, "HEAD"),
        attempts=attempts,
        requested=requested,
    )
    return measure(inputs, project.params, project.settings)


def _load_champion(project: Project, tracked: pd.DataFrame) -> LoadedChampion | None:
    champion = champion_in_work_tree(project)
    if champion is None:
        return None
    model = load_project_model(project, pull_champion(project))
    holdout = promotion_holdout(project, champion, model, tracked)
    return LoadedChampion(champion, _ProjectModel(project, model), holdout, len(model.trained_rows))


@dataclass(frozen=True)
class _ProjectModel:
    """A model whose exceptions are reported as errors of the project's own code."""

    project: Project
    model: Model

    @property
    def classes(self) -> tuple[object, ...]:
        return self.model.classes

    @property
    def held_out(self) -> HeldOut:
        return self.model.held_out

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        with self.project.team_code("predicting with the champion"):
            return self.model.predict(frame)


def _open_attempt(project: Project, git: Git, forge: Forge | None, attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that the open pull request proposes, or None."""
    branch, base = retrain_branch(project, git), project.settings.retrain.base
    if forge is not None:
        opened = forge.find_open(branch, base)
        evidence = opened.evidence if opened else ""
    else:
        tip = tip_of(git, branch)
        evidence = (
            "" if tip is None or _was_merged(project, git, tip) else trailer(git.message(tip), INPUTS_TRAILER) or ""
        )
    matching = [attempt for attempt in attempts if evidence and attempt.inputs == evidence and attempt.outcome == "won"]
    return matching[-1] if matching else None


def _was_merged(project: Project, git: Git, tip: str) -> bool:
    """Return whether the model of a retrain branch is or was the champion, however the branch was merged."""
    proposed = champion_at(project, git, tip)
    base = git.base_commit(project.settings.retrain.base)
    return proposed is None or was_champion(project, git, base, proposed.output) is not None


def _findings(project: Project) -> tuple[str, Measurement]:
    """Return why the data is refused (empty when it is not) and the drift measurement.

    Raises
    ------
    NotFoundError
        If a step was not run.
    ConflictError
        If the last data check was of other data.
    DataError
        If a result is malformed.
    """
    checked = read_result(project.reports / "check-data.json", CheckResult)
    if checked.source != project.settings.drift.current:
        raise ConflictError(
            "the last data check was not run on the current data (drift.current)",
            where="reports/check-data.json",
            why=f"it checked {checked.source!r}",
            fix="run `titlebout check-data --on current`, then `titlebout drift`, then this command again",
        )
    if not checked.passed:
        return next(iter(checked.reasons), "the data check did not pass"), Measurement(None)
    drift = read_result(project.reports / "drift.json", DriftResult)
    if drift.verdict == "structural":
        return next(iter(drift.reasons), "the columns differ from the reference data"), Measurement(None)
    if drift.verdict == "insufficient_data":
        return "", Measurement(None, next(iter(drift.reasons), ""))
    # Drift in columns that matter little to the champion is reported, but does not trigger a retraining.
    return "", drift_measurement(drift.decisive)


def _rows(project: Project) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tracked rows and the new rows."""
    Dvc(project).pull_data()
    tracked = read_tracked(project)
    new = read_new_rows(project, tracked).rows
    return tracked, tracked.iloc[:0] if new.empty else new
