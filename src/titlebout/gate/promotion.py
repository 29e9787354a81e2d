"""``titlebout promote``: write the challenger into ``champion.dvc`` if the verdict of the gate is *promote*."""

from typing import Literal

from titlebout.core.errors import ChallengerLostError, InconclusiveError, UnsafeError
from titlebout.core.results import StepResult, read_result
from titlebout.gate.report import EvaluateResult
from titlebout.models.artifact import digest_of
from titlebout.models.champion import UNPROVEN, Champion, Promotion, champion_path, set_champion
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.project import Project


class PromoteResult(StepResult):
    """Result of `titlebout promote`.

    Attributes
    ----------
    champion : str
        Digest of the model that becomes the champion on merge.
    """

    step: Literal["promote"] = "promote"
    champion: str

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        return f"### Promotion\n\n{self.reasons[0]}.\n"


def promote(project: Project, *, unproven: bool = False) -> PromoteResult:
    """Write the challenger of ``dvc.lock`` into ``champion.dvc``, and push its objects to the DVC remote.

    Parameters
    ----------
    project : Project
        Project whose ``reports/evaluate.json`` has the verdict.
    unproven : bool
        Accept a first model that is ahead of the dummy model, but was not shown to be better.

    Raises
    ------
    NotFoundError
        If the model or the evaluation does not exist.
    DataError
        If the evaluation cannot be read.
    ChallengerLostError
        If the verdict is *keep* or *unchanged*.
    InconclusiveError
        If the verdict is *inconclusive*.
    UnsafeError
        If the verdict is about another model; with `unproven`, if there is a champion, or the model is
        not ahead of the dummy model, or a guardrail failed.
    ConflictError
        If the champion has changed since the evaluation.
    """
    dvc = Dvc(project)
    challenger = dvc.pull_challenger()
    evaluation = read_result(project.reports / "evaluate.json", EvaluateResult)
    if unproven:
        _require_promising(evaluation)
        evaluation = evaluation.replace(verdict="promote", rule=UNPROVEN)
    champion = promote_challenger(project, challenger, evaluation)
    dvc.push()
    path = champion_path(project)
    return PromoteResult(
        passed=True,
        reasons=(f"{champion.name[:12]} is now in {path}; commit it with dvc.lock and dvc-remote, and merge to main",),
        champion=champion.name,
    )


def _require_promising(evaluation: EvaluateResult) -> None:
    """Check that a model may become the first champion without proof.

    Raises
    ------
    UnsafeError
        If there is a champion, or the model is not ahead of the dummy model, or a guardrail failed.
    """
    if evaluation.champion:
        why = f"there is a champion, {evaluation.champion[:12]}, which it has to be compared with"
    elif evaluation.over_dummy is None:
        why = f"its gain over the dummy model is not known: {evaluation.reasons[0]}"
    elif evaluation.over_dummy.gain <= 0:
        why = "it is not better than the dummy model on average"
    elif evaluation.verdict == "keep":
        why = f"the verdict of the gate is {evaluation.verdict!r}"
    elif failed := [guard.name for guard in evaluation.guards if guard.status == "failed"]:
        why = f"these guardrails failed: {', '.join(failed)}"
    else:
        return
    raise UnsafeError(
        "the challenger cannot be promoted without proof",
        why=why,
        fix="read reports/evaluate.md; --unproven is for a first model that is better than the dummy model on average",
    )


def promote_challenger(project: Project, challenger: DvcOutput, evaluation: EvaluateResult) -> Champion:
    """Write a model into ``champion.dvc``, with its digest and a summary of its evaluation.

    Parameters
    ----------
    project : Project
        Project that gets the new champion, with the model to promote in its model folder.
    challenger : DvcOutput
        Content hash of this model's folder.
    evaluation : EvaluateResult
        Evaluation of this model.

    Raises
    ------
    ChallengerLostError
        If the verdict is *keep* or *unchanged*.
    InconclusiveError
        If the verdict is *inconclusive*.
    NotFoundError
        If the model folder is empty.
    UnsafeError
        If the verdict is about another model.
    ConflictError
        If the champion has changed since the evaluation.
    """
    if evaluation.verdict != "promote":
        kind = InconclusiveError if evaluation.verdict == "inconclusive" else ChallengerLostError
        raise kind(
            "the challenger cannot be promoted",
            why=f"the verdict of the gate is {evaluation.verdict!r}, not 'promote'",
            fix="read reports/evaluate.md; only a challenger with the verdict promote can be promoted, or, with --unproven, a "
            "first model that is better than the dummy model on average",
        )
    digest = digest_of(project.model_dir)
    if (evaluation.challenger, evaluation.challenger_md5) != (digest, challenger.md5):
        raise UnsafeError(
            "the last evaluation was of a different model",
            why=f"the gate evaluated {evaluation.challenger} (content hash {evaluation.challenger_md5}), "
            f"the model trained last is {digest} (content hash {challenger.md5})",
            fix="run `titlebout evaluate` again",
        )
    copied = Promotion.model_fields.keys() - {"digest"}
    promotion = Promotion(digest=digest, **{name: getattr(evaluation, name) for name in copied})
    return set_champion(project, challenger, promotion, evaluation.champion_md5)
