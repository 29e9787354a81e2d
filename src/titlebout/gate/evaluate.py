"""The gate: champion and challenger on the same holdout rows, and a verdict that is one of three.

This step brings a bout about: it finds who holds the title, fetches the models, makes sure that neither was trained on
the rows that decide, and asks both. What the answers show is the engine's to say (:mod:`titlebout.gate.decision`).
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, ValidationError

from titlebout.core.errors import DataError, UnsafeError
from titlebout.core.results import Record, StepResult
from titlebout.gate.candidates import Meeting, Opponents, meet, opponents
from titlebout.gate.decision import Decision, Guard, decide
from titlebout.gate.holdout_usage import challengers, note
from titlebout.gate.operational import Behaviour, behaviour
from titlebout.gate.predictions import Bout, read_bout, write_bout
from titlebout.gate.report import EvaluateResult, Holdout, draw
from titlebout.metrics.catalogue import PRIMARY
from titlebout.models.champion import Champion, champion_at, champion_in_work_tree, disallowed_paths, was_champion
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.repository.subcommand import run_step
from titlebout.settings.gate import GateSettings, with_margin

PREDICTIONS = "evaluate/predictions.parquet"


def evaluate(
    project: Project, base: str | None = None, only_promotions: bool = False, reason: str | None = None
) -> EvaluateResult:
    """Let the challenger of ``dvc.lock`` meet the champion of the base branch, and draw the verdict's pictures.

    Parameters
    ----------
    project : Project
    base : str, optional
        Git revision whose champion counts; by default the remote's main branch.
    only_promotions : bool
        A lost bout fails only when this commit asks for a promotion.
    reason : str, optional
        Why the challenger was trained, which chooses the rule; by default what ``champion.dvc`` says, when nothing but
        data and models changed, else ``change``.

    Raises
    ------
    UnsafeError
        If a model was trained on holdout rows, or ``champion.dvc`` was changed to anything but the model trained here.
    InconclusiveError
        If the champion cannot be asked: nothing can be said about it.
    ConfigError
        If the team's own code in the challenger fails, or the configuration names what is not there.
    """
    git = Git.find(project.root)
    revision = git.commit_of(base) if base else git.base_commit(project.settings.retrain.base)
    dvc = Dvc(project)
    challenger = dvc.pull_challenger()
    champion = champion_at(project, git, revision)
    fork = git.merge_base(revision)
    requested = _promotion_requested(project, challenger, champion_at(project, git, fork))
    if champion is not None and champion.output == challenger:
        return _drawn(project, _unbeaten(project, challenger, champion, "unchanged", requested))
    if champion is not None and requested and was_champion(project, git, revision, challenger):
        return _drawn(project, _unbeaten(project, challenger, champion, "promote", requested))
    dvc.pull_data()
    told = reason or _recorded_reason(project, git, fork, requested)
    asking = _Asking(project, git, told, requested, only_promotions)
    with tempfile.TemporaryDirectory(prefix="titlebout-bout-") as folder:
        found = asking.decided(challenger, champion, opponents(project, git, revision, champion, Path(folder)))
    return _drawn(project, found)


def evaluate_again(
    project: Project, predictions: Path, reason: str | None = None, margin: str | None = None
) -> EvaluateResult:
    """Decide once more on answers that were kept, under today's settings; nothing is trained and no model is asked.

    Parameters
    ----------
    project : Project
    predictions : Path
        What :func:`evaluate` wrote.
    reason : str, optional
        Another reason, and so another rule.
    margin : str, optional
        Another margin: a number, or a share such as ``2 %``.

    Raises
    ------
    NotFoundError, DataError
        If the file is not there, or is not one.
    ConfigError
        If the margin is none, or a column or metric of the settings does not exist.
    """
    bout = read_bout(predictions)
    facts = _facts_of(bout, predictions)
    facts = facts.replace(reason=reason or facts.reason)
    settings = project.settings.gate if margin is None else with_margin(project.settings.gate, margin)
    project.add_source_to_path()  # a metric may be the team's own
    decision = _decided(bout, settings, facts)
    return _drawn(project, _result(facts, decision, passed=decision.verdict == "promote"))


def _drawn(project: Project, result: EvaluateResult) -> EvaluateResult:
    draw(project.reports, result)
    return result


class EvaluationFacts(Record):
    """What is kept beside the predictions: everything that a decision rests on and that the predictions do not show.

    Attributes
    ----------
    reason : str
        Why the challenger was trained.
    challenger, champion : str
        Content hashes; the champion's is empty when there is none.
    promotion_requested : bool
    anchor_missing : str
        Why an anchor that exists was not compared; empty otherwise.
    latency_ms, size_bytes : dict
        By model.
    holdout : Holdout
    guards : tuple of Guard
        Of what was measured of the models themselves: latency, size, invariance, serving.
    """

    reason: str
    challenger: str
    champion: str
    promotion_requested: bool
    anchor_missing: str
    latency_ms: dict[str, float]
    size_bytes: dict[str, int]
    holdout: Holdout
    guards: tuple[Guard, ...]


@dataclass(frozen=True)
class _Asking:
    """What was asked for, and where."""

    project: Project
    git: Git
    reason: str
    requested: bool
    only_promotions: bool

    def decided(self, challenger: DvcOutput, champion: Champion | None, against: Opponents) -> EvaluateResult:
        """Let the models meet, decide, and keep the answers."""
        model = load_project_model(self.project, self.project.model_dir)
        meeting = meet(self.project, model, against)
        measured = behaviour(model, against.champion, meeting.rows, self.project.settings.gate.resources)
        facts = self._facts(challenger, champion, meeting, measured)
        settings = self.project.settings.gate
        decision = _decided(meeting.bout, settings, facts)
        if decision.verdict == "promote" and settings.smoke_test:
            served = _served(self.project)
            facts = facts.replace(guards=(*facts.guards, served))
            decision = decision.guarded([served])
        write_bout(self.project.reports / PREDICTIONS, replace(meeting.bout, facts=facts.model_dump()))
        passed = decision.verdict == "promote" or (self.only_promotions and not self.requested)
        return _result(facts, decision, passed)

    def _facts(
        self, challenger: DvcOutput, champion: Champion | None, meeting: Meeting, measured: Behaviour
    ) -> EvaluationFacts:
        fingerprint = meeting.split.fingerprint
        note(self.git, fingerprint, challenger.md5)
        return EvaluationFacts(
            reason=self.reason,
            challenger=challenger.md5,
            champion=champion.output.md5 if champion else "",
            promotion_requested=self.requested,
            anchor_missing=meeting.missing,
            latency_ms=measured.latency_ms,
            size_bytes=measured.size_bytes,
            holdout=Holdout(
                rows=len(meeting.rows),
                fingerprint=fingerprint,
                start=meeting.split.start,
                end=meeting.split.end,
                uses=len(challengers(self.project, self.git, fingerprint)),
            ),
            guards=measured.guards,
        )


def _facts_of(bout: Bout, path: Path) -> EvaluationFacts:
    try:
        return EvaluationFacts.model_validate(bout.facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            "the facts that were kept with these predictions are incomplete",
            where=str(path),
            why=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            fix="run `titlebout evaluate` again",
        ) from error


def _decided(bout: Bout, settings: GateSettings, facts: EvaluationFacts) -> Decision:
    """Decide under the rule of the reason; an anchor that cannot be asked is missed only where the rule asks for it."""
    decision = decide(bout, settings, facts.reason, facts.holdout.uses)
    missed = facts.anchor_missing if settings.anchor and decision.rule not in {"first", "superior"} else ""
    anchor = [Guard(name="anchor", status="untested", detail=missed)] if missed else []
    return decision.guarded([*facts.guards, *anchor])


def _recorded_reason(project: Project, git: Git, fork: str, requested: bool) -> str:
    """Return why the model that asks for the title was trained.

    ``champion.dvc`` says it. But a rule that is easier to pass than that of a change is only for what a retraining
    may do: other data, the same code, parameters and policy.
    """
    here = champion_in_work_tree(project)
    refreshed = requested and here is not None and not disallowed_paths(project, git, fork)
    return str(here.meta.get("reason", "change")) if refreshed and here else "change"


class _Packaged(StepResult):
    """What the gate reads of the result of ``titlebout package``."""

    model_config = ConfigDict(extra="ignore")

    step: Literal["package"] = "package"
    golden_rows: int
    max_difference: float


def _served(project: Project) -> Guard:
    """Package the challenger and ask the running service for the golden rows."""
    try:
        packaged = run_step(project, _Packaged, None, "package", "--model", "challenger")
    except UnsafeError as error:
        detail = f"{error.what} ({error.why})" if error.why else error.what
        return Guard(name="serving", status="failed", detail=detail)
    detail = f"{packaged.golden_rows} golden rows over HTTP, largest difference {packaged.max_difference:.2g}"
    return Guard(name="serving", status="passed", detail=detail)


def _result(facts: EvaluationFacts, decision: Decision, passed: bool) -> EvaluateResult:
    primary = decision.metrics[0] if decision.metrics else None
    against_champion = primary if primary and facts.champion else None
    return EvaluateResult(
        passed=passed,
        reasons=decision.reasons,
        verdict=decision.verdict,
        reason=facts.reason if facts.champion else "first",
        rule=decision.rule,
        metric=decision.metric,
        challenger=facts.challenger,
        champion=facts.champion,
        challenger_score=primary.challenger if primary else None,
        champion_score=primary.champion if primary else None,
        dummy_score=primary.dummy if primary else None,
        gain=against_champion.gain if against_champion else None,
        gain_lower=against_champion.lower if against_champion else None,
        gain_upper=against_champion.upper if against_champion else None,
        alpha=decision.alpha,
        margin=decision.margin,
        power=decision.power,
        over_dummy=decision.over_dummy,
        over_anchor=decision.over_anchor,
        metrics=decision.metrics,
        guards=decision.guards,
        slices=decision.slices,
        untested_slices=decision.untested_slices,
        calibration=decision.calibration,
        churn=decision.churn,
        latency_ms=facts.latency_ms,
        size_bytes=facts.size_bytes,
        holdout=facts.holdout,
        promotion_requested=facts.promotion_requested,
        predictions=PREDICTIONS,
    )


def _unbeaten(
    project: Project,
    challenger: DvcOutput,
    champion: Champion,
    verdict: Literal["unchanged", "promote"],
    requested: bool,
) -> EvaluateResult:
    """Return a verdict that needs no bout: nothing changed, or a former champion is brought back.

    A rollback is a person's decision about a model that won before; it must not wait for rows on which it can win again.
    """
    told = {
        "unchanged": "the challenger is the champion: nothing changed since it won the title",
        "promote": "a former champion takes the title back: it won it before, so there is no new bout",
    }
    return EvaluateResult(
        passed=True,
        reasons=(told[verdict],),
        verdict=verdict,
        reason="none" if verdict == "unchanged" else "rollback",
        metric=project.settings.gate.primary_metric or PRIMARY[project.params.data.task],
        challenger=challenger.md5,
        champion=champion.output.md5,
        promotion_requested=requested,
    )


def _promotion_requested(project: Project, challenger: DvcOutput, before: Champion | None) -> bool:
    """Return whether this branch changes the title; `before` is who held it where the branch began.

    Raises
    ------
    UnsafeError
        If it is changed to anything but the challenger.
    """
    here = champion_in_work_tree(project)
    if (here and here.output) == (before and before.output):
        return False
    if here is None or here.output != challenger:
        raise UnsafeError(
            "champion.dvc asks to promote a model that dvc.lock did not train",
            why=f"champion.dvc {f'names {here.output.short}' if here else 'is gone'}, dvc.lock names {challenger.short}",
            fix="run `titlebout train`, `titlebout evaluate` and `titlebout promote`, and commit all their files together",
        )
    return True
