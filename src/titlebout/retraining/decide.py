"""Decide: is a retraining worth an attempt now, and for which reason? One record per run says what it rests on.

Two steps before this one have looked at what arrived, and left their results in ``reports/``. Here the champion is asked
about the new labels, the log of attempts is read, and :mod:`titlebout.policy.rules` decides.
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
from titlebout.data.moment import Moment
from titlebout.data.tables import read_tables
from titlebout.drift.report import DriftResult
from titlebout.forge.client import Forge
from titlebout.models.artifact import Model
from titlebout.models.champion import champion_at, champion_in_work_tree, champions
from titlebout.models.loading import load_project_model
from titlebout.policy import rules as policy_rules
from titlebout.policy.attempts import recall
from titlebout.policy.performance import rows_won_on
from titlebout.policy.rules import Action, Attempt, Clock, Measured, Reading, Signal
from titlebout.policy.signals import Holder, Situation, drifted_in, measure, refused
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.messages import data_topic, refused_body, refused_title
from titlebout.retraining.retrain_commit import INPUTS_TRAILER, tip_of, trailer


class DecideResult(StepResult):
    """What the loop does next, and why: one record per run.

    Attributes
    ----------
    passed : bool
        False when the data is refused.
    action : {"stop", "attempt", "wait", "nothing"}
        Stop: the data is refused. Wait: a signal fires, but an attempt would be too early.
    reason, note : str
        For ``titlebout retrain``; empty without an attempt.
    at : Moment or None
        Where the data stands: its newest time, or its number of rows; None when the data is refused.
    champion : str
        Content hash of the model that holds the title.
    new_rows : int
        New rows with a label.
    signals : tuple of Signal
        Every signal, in the order in which they count.
    attempts : int
        How many attempts are remembered.
    log_problem : str
        Why the log of attempts is empty or incomplete; empty when it is neither.
    url : str
        The issue that tells of refused data, when a forge was asked to have one.
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
    signals: tuple[Signal, ...] = ()
    attempts: int = 0
    log_problem: str = ""
    url: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """What the process ends with."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report for people as Markdown: what is done, and every signal."""
        head = {"stop": "stop", "attempt": "retrain", "wait": "wait", "nothing": "nothing to do"}[self.action]
        rows = [
            (signal.name.replace("_", " "), signal.value, signal.threshold, signal.distance, *_state(signal))
            for signal in self.signals
        ]
        lines = [f"### Decision: {head}", "", f"{escape(self.reasons[0][0].upper() + self.reasons[0][1:])}.", ""]
        lines += [table(["signal", "value", "fires from", "distance", "state", "what it says"], rows)]
        counted = "1 earlier attempt is" if self.attempts == 1 else f"{self.attempts} earlier attempts are"
        known = f"{counted} known" + (f" ({self.log_problem})" if self.log_problem else "")
        stands = f"The data stands at {self.at.short}. " if self.at else ""
        return "\n".join([*lines, escape(f"{stands}{known}.")]) + "\n"


def decide(
    project: Project, asked: frozenset[str] = frozenset(), git: Git | None = None, forge: Forge | None = None
) -> DecideResult:
    """Decide whether a retraining is worth an attempt.

    Parameters
    ----------
    project : Project
        ``reports/check-data.json`` and ``reports/drift.json`` tell about what arrived.
    asked : frozenset of str
        ``manual`` when a person asks for an attempt, ``schedule`` when the calendar started this run.
    git : Git, optional
        A repository that may read origin.
    forge : Forge, optional
        Knows whether the proposal is still open; without it, one is until it is merged or its branch is deleted.

    Raises
    ------
    NotFoundError
        If a step before this one was not run, or there is no data.
    ConflictError
        If the data check was one of the tracked data.
    DataError
        If a file cannot be read, or the result of an earlier step is malformed.
    """
    git = git or Git.find(project.root)
    memory = recall(git, project.pipeline)
    measured, clock = _measure(project, git, asked, memory.attempts)
    measured = replace(measured, proposal=_proposed(project, git, forge, memory.attempts, measured.champion))
    wanted = project.settings.retrain.min_new_rows
    decision = policy_rules.decide(measured, memory.attempts, project.settings.policy, wanted, clock)
    return DecideResult(
        passed=decision.action != "stop",
        reasons=(decision.sentence,),
        action=decision.action,
        reason=decision.reason,
        note=decision.note,
        at=clock.at,
        champion=measured.champion,
        new_rows=measured.new_rows,
        signals=decision.signals,
        attempts=len(memory.attempts),
        log_problem=memory.problem,
    )


def tell_decision(project: Project, forge: Forge, folder: Path) -> DecideResult:
    """Tell people of a decision that another job made: refused data is told in one issue, anything else needs no words.

    Parameters
    ----------
    project : Project
    forge : Forge
    folder : Path
        Reports of the job that decided. It read the data, so nothing but text is taken from them.

    Raises
    ------
    NotFoundError
        If there is no decision in the folder.
    """
    decided = read_result(folder / "decide.json", DecideResult)
    reasons = decided.reasons[:1] or ("no reason was given",)
    if decided.action != "stop":
        return DecideResult(passed=True, reasons=(*reasons, "nothing to tell"), action=decided.action)
    checked = read_result(folder / "check-data.json", CheckResult)
    step = "drift" if checked.passed else "check-data"
    report = (folder / f"{step}.md").read_text(encoding="utf-8")
    body = refused_body(reasons[0], project.settings.drift.current, report)
    issue = forge.ensure_issue(data_topic(project.pipeline), refused_title(project.pipeline), body)
    told = f"issue {issue.number} was {issue.operation}"
    return DecideResult(passed=False, reasons=(*reasons, told), action="stop", url=issue.url)


def _state(signal: Signal) -> tuple[str, str]:
    """Return a signal's state and what there is to say about it."""
    if signal.held_back:
        return "held back", f"{signal.detail}; {signal.held_back}"
    if signal.threshold is None:
        return "off", signal.detail
    state = "fires" if signal.fired else "quiet"
    return ("not measured" if signal.value is None else state), signal.detail


def _measure(project: Project, git: Git, asked: frozenset[str], attempts: Sequence[Attempt]) -> tuple[Measured, Clock]:
    """Return what there is to decide on, and the data's clock."""
    refused_because, drift = _findings(project)
    if refused_because:
        return refused(refused_because, asked)
    known, fresh = _rows(project)
    target = project.params.data.target
    situation = Situation(
        known=known,
        fresh=fresh,
        labelled=fresh[fresh[target].notna()] if target in fresh.columns else fresh.iloc[:0],
        drift=drift,
        holder=_holder(project, known),
        champions=champions(project, git, "HEAD"),
        attempts=attempts,
        asked=asked,
    )
    return measure(situation, project.params, project.settings)


def _holder(project: Project, known: pd.DataFrame) -> Holder | None:
    champion = champion_in_work_tree(project)
    if champion is None:
        return None
    model = load_project_model(project, Dvc(project).pull_model("champion"))
    won_on = rows_won_on(project, champion, model, known)
    return Holder(champion, _TeamModel(project, model), won_on, len(model.trained_rows))


@dataclass(frozen=True)
class _TeamModel:
    """A model whose failures are told as those of the team's own code."""

    project: Project
    model: Model

    @property
    def classes(self) -> tuple[object, ...]:
        return self.model.classes

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        with self.project.team_code("asking the champion"):
            return self.model.predict(frame)


def _proposed(
    project: Project, git: Git, forge: Forge | None, attempts: Sequence[Attempt], champion: str
) -> Attempt | None:
    """Return the attempt that people are asked to merge, if there is one."""
    branch, base = project.retrain_branch, project.settings.retrain.base
    if forge is not None:
        opened = forge.find_open(branch, base)
        evidence = opened.evidence if opened else ""
    else:
        tip = tip_of(git, branch)
        held = champion_at(project, git, tip) if tip else None
        merged = held is None or held.output.md5 == champion
        evidence = "" if tip is None or merged else trailer(git.message(tip), INPUTS_TRAILER) or ""
    shown = [attempt for attempt in attempts if evidence and attempt.inputs == evidence and attempt.outcome == "won"]
    return shown[-1] if shown else None


def _findings(project: Project) -> tuple[str, Reading]:
    """Return why the data is refused, or nothing, and what the drift step found.

    Raises
    ------
    NotFoundError
        If a step was not run.
    ConflictError
        If the data check was one of other data.
    DataError
        If a result is malformed.
    """
    checked = read_result(project.reports / "check-data.json", CheckResult)
    if checked.source != project.settings.drift.current:
        raise ConflictError(
            "the last data check was not one of what arrived",
            where="reports/check-data.json",
            why=f"it was of {checked.source!r}",
            fix="run `titlebout check-data --on current`, `titlebout drift` and this command, one after the other",
        )
    if not checked.passed:
        return next(iter(checked.reasons), "the data check did not pass"), Reading(None)
    found = read_result(project.reports / "drift.json", DriftResult)
    if found.verdict == "structural":
        return next(iter(found.reasons), "other columns"), Reading(None)
    if found.verdict == "insufficient_data":
        return "", Reading(None, next(iter(found.reasons), ""))
    # What the champion hardly looks at is told, but is no reason to train another.
    return "", drifted_in(found.decisive)


def _rows(project: Project) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tracked rows and those that arrived since."""
    Dvc(project).pull_data()
    known = read_tables(project.root, "data")
    fresh = read_new_rows(project, known).rows
    return known, known.iloc[:0] if fresh.empty else fresh
