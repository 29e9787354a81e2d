"""``titlebout evaluate``: compare champion and challenger on the same holdout rows.

This step finds the champion, fetches the models, checks that none of them was trained on holdout rows, and predicts the
holdout with each. The decision rule itself is in :mod:`titlebout.gate.decision`.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, ValidationError

from titlebout.core.errors import DataError, UnsafeError
from titlebout.core.results import Record, StepResult
from titlebout.data.holdout import Holdout
from titlebout.gate.candidates import Baselines, ScoredHoldout, load_baselines, predict_holdout
from titlebout.gate.decision import Decision, GuardrailResult, decide
from titlebout.gate.looks import find_looks, record_look
from titlebout.gate.operational import OperationalChecks, run_operational_checks
from titlebout.gate.predictions import HoldoutPredictions, read_predictions, write_predictions
from titlebout.gate.report import EvaluateResult, draw
from titlebout.gate.selftest import GateSelftestResult, RuleRates, measure_rates
from titlebout.gate.selftest import selftest as measure_selftest
from titlebout.metrics.catalogue import PRIMARY
from titlebout.models.artifact import Model, digest_of
from titlebout.models.champion import (
    UNPROVEN,
    Champion,
    champion_at,
    champion_in_work_tree,
    champion_path,
    disallowed_paths,
    require_digest,
    was_champion,
)
from titlebout.models.loading import load_project_model
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.repository.subcommand import run_step
from titlebout.settings.gate import GateSettings, with_margin

PREDICTIONS = "evaluate/predictions.parquet"
# Runs in the report of the first champion, and rows above which they would take minutes and are left out;
# `titlebout evaluate --selftest` takes longer and is more exact.
FIRST_RUNS, MOST_FIRST_ROWS = 50, 40_000


def evaluate(
    project: Project, base: str | None = None, only_promotions: bool = False, reason: str | None = None
) -> EvaluateResult:
    """Evaluate the challenger of ``dvc.lock`` against the champion of the base branch, and draw the figures.

    Parameters
    ----------
    project : Project
        Project with a trained challenger.
    base : str, optional
        Git revision with the champion to compare with; by default the remote's main branch.
    only_promotions : bool
        Without a verdict *promote*, fail only if this commit requests a promotion.
    reason : str, optional
        Why the challenger was trained, which selects the rule. By default the reason recorded in ``champion.dvc`` if only
        data and models changed, and ``change`` otherwise.

    Raises
    ------
    UnsafeError
        If a model was trained on holdout rows, or ``champion.dvc`` was changed to anything but the model trained here, or a
        model does not have the digest recorded there.
    InconclusiveError
        If the champion cannot be loaded or cannot predict the holdout, so that no comparison is possible.
    ConfigError
        If the project's code in the challenger fails, or the configuration names a missing column or metric.
    ConflictError
        If code, parameters or data were changed after the training.
    """
    git = Git.find(project.root)
    revision = git.commit_of(base) if base else git.base_commit(project.settings.retrain.base)
    dvc = Dvc(project)
    challenger = dvc.pull_challenger()
    champion = champion_at(project, git, revision)
    fork = git.merge_base(revision)
    requested = _promotion_requested(project, challenger, champion_at(project, git, fork))
    if champion is not None and requested and was_champion(project, git, revision, challenger):
        return _draw(project, _without_evaluation(project, challenger, champion, "promote", requested))
    dvc.require_current_challenger()
    if champion is not None and champion.output == challenger:
        require_digest(champion, project.model_dir, f"{champion_path(project)} at {revision[:12]}")
        return _draw(project, _without_evaluation(project, challenger, champion, "unchanged", requested))
    dvc.pull_data()
    rule_reason = reason or _recorded_reason(project, git, fork, requested)
    evaluation = _Evaluation(project, git, revision, rule_reason, requested, only_promotions)
    with tempfile.TemporaryDirectory(prefix="titlebout-evaluate-") as folder:
        result = evaluation.run(challenger, champion, load_baselines(project, git, revision, champion, Path(folder)))
    return _draw(project, result)


def evaluate_again(
    project: Project, predictions: Path, reason: str | None = None, margin: str | None = None
) -> EvaluateResult:
    """Repeat the decision on saved predictions with the current settings, without training or loading any model.

    Parameters
    ----------
    project : Project
        Project whose settings apply.
    predictions : Path
        File written by :func:`evaluate`.
    reason : str, optional
        Reason that selects a different rule.
    margin : str, optional
        A different margin: a number, or a percentage such as ``2%``.

    Raises
    ------
    NotFoundError, DataError
        If the file does not exist, or is not a file of predictions.
    ConfigError
        If the margin is invalid, or a column or metric of the settings does not exist.
    """
    stored = read_predictions(predictions)
    facts = _facts_of(stored, predictions)
    facts = facts.replace(reason=reason or facts.reason)
    settings = project.settings.gate if margin is None else with_margin(project.settings.gate, margin)
    project.add_source_to_path()  # for metrics defined in the project
    decision = _decide(stored, settings, facts)
    return _draw(project, _result(facts, decision, passed=decision.verdict == "promote"))


def selftest(project: Project, predictions: Path | None = None) -> GateSelftestResult:
    """Measure error rates and power of the project's rules on the holdout of the last evaluation.

    Parameters
    ----------
    project : Project
        Project whose settings apply.
    predictions : Path, optional
        File written by :func:`evaluate`; by default that of the last evaluation.

    Raises
    ------
    NotFoundError, DataError
        If the file does not exist, or is not a file of predictions.
    InconclusiveError
        If the holdout has too few rows for any verdict.
    ConfigError
        If a column or metric of the settings does not exist.
    """
    stored = read_predictions(predictions or project.reports / PREDICTIONS)
    project.add_source_to_path()  # for metrics defined in the project
    return measure_selftest(stored, project.settings.gate)


def _draw(project: Project, result: EvaluateResult) -> EvaluateResult:
    draw(project.reports, result)
    return result


class EvaluationFacts(Record):
    """Facts stored with the predictions: inputs of the decision that the predictions do not contain.

    Attributes
    ----------
    reason : str
        Why the challenger was trained.
    challenger, champion : str
        Digests; the champion's is empty without a champion.
    challenger_md5, champion_md5 : str
        DVC's content hashes of their folders.
    promotion_requested : bool
        True when the commit changes ``champion.dvc``.
    anchor : str
        Digest of the anchor; empty without one.
    anchor_missing : str
        Why an existing anchor could not be compared; empty otherwise.
    latency_ms, size_bytes : dict
        Latency and size by model.
    holdout : Holdout
        Rows that were predicted.
    guards : tuple of GuardrailResult
        Guardrails that need the model itself: invariance, golden rows, latency, size, serving.
    """

    reason: str
    challenger: str
    champion: str
    challenger_md5: str
    champion_md5: str
    promotion_requested: bool
    anchor: str = ""
    anchor_missing: str
    latency_ms: dict[str, float]
    size_bytes: dict[str, int]
    holdout: Holdout
    guards: tuple[GuardrailResult, ...]


@dataclass(frozen=True)
class _Evaluation:
    """One run of the gate."""

    project: Project
    git: Git
    revision: str
    reason: str
    requested: bool
    only_promotions: bool

    def run(self, challenger: DvcOutput, champion: Champion | None, against: Baselines) -> EvaluateResult:
        """Predict the holdout with all models, decide, and save the predictions."""
        model = load_project_model(self.project, self.project.model_dir)
        scored = predict_holdout(self.project, model, against)
        measured = run_operational_checks(model, against.champion, scored.rows, self.project.settings.gate.resources)
        names = {"challenger": _digest(model), "champion": _digest(against.champion), "anchor": _digest(against.anchor)}
        hashes = {
            "challenger_md5": challenger.md5,
            "champion_md5": champion.output.md5 if champion else "",
        }
        facts = self._facts({**names, **hashes}, scored, measured)
        settings = self.project.settings.gate
        decision = _decide(scored.predictions, settings, facts)
        if settings.smoke_test and _may_be_promoted(decision, champion):
            served = _serving_guardrail(self.project)
            facts = facts.replace(guards=(*facts.guards, served))
            decision = decision.with_guardrails([served])
        write_predictions(self.project.reports / PREDICTIONS, replace(scored.predictions, facts=facts.model_dump()))
        accepted = champion is None and decision.verdict == "inconclusive" and self._accepted()
        passed = decision.verdict == "promote" or (self.only_promotions and not self.requested) or accepted
        return _result(facts, decision, passed).replace(rates=self._rates(scored.predictions, champion))

    def _accepted(self) -> bool:
        """Return whether ``champion.dvc`` records that a person accepted this first model without proof."""
        here = champion_in_work_tree(self.project)
        return self.requested and here is not None and here.promotion.rule == UNPROVEN

    def _rates(self, predictions: HoldoutPredictions, champion: Champion | None) -> RuleRates | None:
        """Return what to expect of the gate, for the pull request of the first champion; None later."""
        settings = self.project.settings.gate
        if champion is not None or not settings.min_rows <= len(predictions.truth.y) <= MOST_FIRST_ROWS:
            return None
        return measure_rates(predictions, settings, ("superior",), FIRST_RUNS)

    def _facts(self, models: Mapping[str, str], scored: ScoredHoldout, measured: OperationalChecks) -> EvaluationFacts:
        now, challenger = datetime.now(UTC), models["challenger_md5"]
        looks = find_looks(self.project, self.git, self.revision, scored.split.end, now)
        record_look(self.project, self.git, challenger, now)
        return EvaluationFacts(
            **models,
            reason=self.reason,
            promotion_requested=self.requested,
            anchor_missing=scored.missing,
            latency_ms=measured.latency_ms,
            size_bytes=measured.size_bytes,
            holdout=scored.split.summary(looks.number(challenger)),
            guards=measured.guards,
        )


def _digest(model: Model | None) -> str:
    return model.digest if model else ""


def _may_be_promoted(decision: Decision, champion: Champion | None) -> bool:
    """Return whether the challenger won, or is a first model that a person may accept without proof."""
    ahead = decision.over_dummy is not None and decision.over_dummy.gain > 0
    return decision.verdict == "promote" or (champion is None and decision.verdict == "inconclusive" and ahead)


def _facts_of(stored: HoldoutPredictions, path: Path) -> EvaluationFacts:
    try:
        return EvaluationFacts.model_validate(stored.facts)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            "the metadata stored with the predictions is incomplete",
            where=str(path),
            why=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            fix="run `titlebout evaluate` again",
        ) from error


def _decide(stored: HoldoutPredictions, settings: GateSettings, facts: EvaluationFacts) -> Decision:
    """Apply the rule of the reason; a missing anchor counts only under a rule that compares with it."""
    decision = decide(stored, settings, facts.reason, facts.holdout.uses)
    missed = facts.anchor_missing if settings.anchor and decision.rule not in {"first", "superior"} else ""
    anchor = [GuardrailResult(name="anchor", status="untested", detail=missed)] if missed else []
    decided = decision.with_guardrails([*facts.guards, *anchor])
    better = decided.verdict != "promote" and decided.anchor_over_champion and decided.anchor_over_champion.lower > 0
    return replace(decided, reasons=(*decided.reasons, _roll_back(facts.anchor))) if better else decided


def _roll_back(anchor: str) -> str:
    return f"the champion is significantly worse than the anchor, the former champion {anchor[:12]}: consider rolling back to it"


def _recorded_reason(project: Project, git: Git, fork: str, requested: bool) -> str:
    """Return the reason recorded in ``champion.dvc``, or ``change`` if the branch changes more than a retraining does.

    Otherwise a change of code, parameters or policy could claim one of the rules for retraining, which are easier to pass.
    """
    here = champion_in_work_tree(project)
    refreshed = requested and here is not None and not disallowed_paths(project, git, fork)
    return here.promotion.reason if refreshed and here else "change"


class _Packaged(StepResult):
    """Fields of the result of ``titlebout package`` that the gate reads."""

    model_config = ConfigDict(extra="ignore")

    step: Literal["package"] = "package"
    golden_rows: int
    max_difference: float


def _serving_guardrail(project: Project) -> GuardrailResult:
    """Package the challenger, start its service, and compare its predictions for the golden rows."""
    try:
        packaged = run_step(project, _Packaged, None, "package", "--model", "challenger")
    except UnsafeError as error:
        detail = f"{error.what} ({error.why})" if error.why else error.what
        return GuardrailResult(name="serving", status="failed", detail=detail)
    detail = f"{packaged.golden_rows} golden rows over HTTP, largest difference {packaged.max_difference:.2g}"
    return GuardrailResult(name="serving", status="passed", detail=detail)


def _result(facts: EvaluationFacts, decision: Decision, passed: bool) -> EvaluateResult:
    primary = decision.metrics[0] if decision.metrics else None
    against_champion = primary if primary and facts.champion else None
    return EvaluateResult(
        passed=passed,
        reasons=decision.reasons,
        verdict=decision.verdict,
        reason=facts.reason if facts.champion else "first",
        cause=decision.cause,
        rule=decision.rule,
        metric=decision.metric,
        challenger=facts.challenger,
        champion=facts.champion,
        challenger_md5=facts.challenger_md5,
        champion_md5=facts.champion_md5,
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
        anchor=facts.anchor,
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


def _without_evaluation(
    project: Project,
    challenger: DvcOutput,
    champion: Champion,
    verdict: Literal["unchanged", "promote"],
    requested: bool,
) -> EvaluateResult:
    """Return a verdict that needs no evaluation: nothing changed, or a former champion is restored.

    A rollback is a person's decision and must be possible at any time. On the current holdout the former champion might
    not pass the rule again.
    """
    message = {
        "unchanged": "the challenger is the champion: nothing changed since it was promoted",
        "promote": "this is a rollback to a former champion, which passed the gate before and is not evaluated again",
    }
    digest = digest_of(project.model_dir)
    return EvaluateResult(
        passed=True,
        reasons=(message[verdict],),
        verdict=verdict,
        reason="none" if verdict == "unchanged" else "rollback",
        metric=project.settings.gate.primary_metric or PRIMARY[project.params.data.task],
        challenger=digest,
        champion=digest if champion.output == challenger else champion.name,
        challenger_md5=challenger.md5,
        champion_md5=champion.output.md5,
        promotion_requested=requested,
    )


def _promotion_requested(project: Project, challenger: DvcOutput, before: Champion | None) -> bool:
    """Return whether this branch changes the champion; `before` is the champion at the merge base.

    Raises
    ------
    UnsafeError
        If the branch changes ``champion.dvc`` to a model other than the challenger, or to another digest.
    """
    here = champion_in_work_tree(project)
    if _identity(here) == _identity(before):
        return False
    if here is None or here.output != challenger:
        raise UnsafeError(
            "champion.dvc names a model other than the challenger in dvc.lock",
            why=f"champion.dvc {f'has the content hash {here.output.short}' if here else 'was deleted'}, "
            f"dvc.lock has {challenger.short}",
            fix="run `titlebout train`, `titlebout evaluate` and `titlebout promote`, and commit all their files together",
        )
    require_digest(here, project.model_dir, champion_path(project))
    return True


def _identity(champion: Champion | None) -> tuple[DvcOutput, str] | None:
    return (champion.output, champion.promotion.digest) if champion else None
