"""The gate: champion and challenger on the same holdout rows, and a verdict that is one of three.

The two models are compared row by row: the mean of the paired differences of their losses has a standard error in
closed form, and the challenger wins only if the one-sided lower bound of its gain is above zero. It must also beat a
model that knows nothing (the dummy). What cannot be shown is not a promotion.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout import registry
from titlebout.config import GateSettings
from titlebout.errors import InconclusiveError, UnsafeError
from titlebout.git import Git
from titlebout.holdout import labelled, require_no_overlap, split, target_values
from titlebout.inference import FloatArray
from titlebout.metrics import PRIMARY, row_losses, scores
from titlebout.models import Model, load_model_of
from titlebout.pointers import Pointer, folder_digest
from titlebout.project import Project
from titlebout.reporting import score as decimals
from titlebout.reporting import table
from titlebout.results import StepResult
from titlebout.tracking import Dvc


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(StepResult):
    """The verdict and what it rests on.

    Attributes
    ----------
    verdict : {"promote", "keep", "inconclusive", "unchanged"}
    reason : {"first", "change", "rollback", "none"}
        Which rule was used: no champion yet, challenger against champion, a former champion back, nothing to compare.
    metric : str
        The primary loss; smaller is better.
    challenger, champion : str
        Content hashes of the models; `champion` is empty when nobody holds the title.
    challenger_score, champion_score, dummy_score : float or None
        Mean loss on the holdout.
    gain, gain_lower, gain_upper : float or None
        Mean loss that the challenger saves per row, and its one-sided bounds at level `alpha`.
    alpha : float
        Level of the bounds.
    holdout : dict
        Number of rows, fingerprint, first and last time.
    scores : dict
        Other metrics, by model.
    promotion_requested : bool
        True when this commit changes ``champion.dvc``.
    """

    step: ClassVar[str] = "evaluate"
    verdict: str
    reason: str
    metric: str
    challenger: str
    champion: str = ""
    challenger_score: float | None = None
    champion_score: float | None = None
    dummy_score: float | None = None
    gain: float | None = None
    gain_lower: float | None = None
    gain_upper: float | None = None
    alpha: float = 0.05
    holdout: dict[str, Any] | None = None
    scores: dict[str, dict[str, float]] | None = None
    promotion_requested: bool = False


@dataclass(frozen=True)
class Gain:
    """How much smaller one model's losses are than another's on the same rows.

    Attributes
    ----------
    mean : float
        Mean of the paired differences; positive when the first model is better.
    lower, upper : float
        One-sided bounds at level `alpha` from Student's t with n - 1 degrees of freedom.
    n : int
    """

    mean: float
    lower: float
    upper: float
    n: int


def paired_gain(better: FloatArray, than: FloatArray, alpha: float) -> Gain:
    """Return the gain of the losses `better` over the losses `than`, paired by row.

    Parameters
    ----------
    better, than : ndarray of shape (n_rows,), n_rows >= 2
    alpha : float
        One-sided level of the bounds.

    Raises
    ------
    InconclusiveError
        If there is one row only.
    """
    from scipy.stats import t

    difference = than - better
    n = len(difference)
    if n < 2:
        raise InconclusiveError("one holdout row cannot decide anything", fix="add data, or hold out more of it")
    mean = float(difference.mean())
    half_width = float(t.ppf(1 - alpha, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    return Gain(mean, mean - half_width, mean + half_width, n)


def decide(over_champion: Gain | None, over_dummy: Gain, settings: GateSettings) -> tuple[str, str]:
    """Return the verdict and the sentence that explains it.

    Parameters
    ----------
    over_champion : Gain or None
        None when nobody holds the title yet.
    over_dummy : Gain
    settings : GateSettings
    """
    if over_dummy.n < settings.min_rows:
        return (
            "inconclusive",
            f"{over_dummy.n} holdout rows are too few to decide; the rule asks for {settings.min_rows}: "
            "add data, hold out more of it (split in params.yaml), or lower gate.min_rows in titlebout.toml",
        )
    if over_dummy.lower <= 0:
        return "keep", "the challenger is not shown to be better than a model that knows nothing"
    if over_champion is None:
        return "promote", "nobody holds the title yet, and the challenger is better than a model that knows nothing"
    if over_champion.lower > 0:
        return "promote", f"the challenger is better: it saves {_bounds(over_champion)} per row"
    if over_champion.mean <= 0:
        return "keep", f"the challenger is not better: it saves {_bounds(over_champion)} per row"
    return (
        "inconclusive",
        f"the challenger may be better, but {over_champion.n} rows cannot show it: it saves {_bounds(over_champion)} per row",
    )


def evaluate(project: Project, base: str | None = None, only_promotions: bool = False) -> EvaluateResult:
    """Let the challenger of ``dvc.lock`` meet the champion of the base branch.

    Parameters
    ----------
    project : Project
    base : str, optional
        Git revision whose champion counts; by default the remote's main branch.
    only_promotions : bool
        A lost bout fails only when this commit asks for a promotion.

    Raises
    ------
    UnsafeError
        If a model was trained on holdout rows, or ``champion.dvc`` was changed to anything but the model trained here.
    ConfigError
        If the team's own code in a model fails.
    """
    git = Git.find(project.root)
    revision = git.commit_of(base) if base else git.base_commit(project.settings.retrain.base)
    dvc = Dvc(project)
    challenger = dvc.pull_challenger()
    champion = registry.champion_at(project, git, revision)
    requested = _promotion_requested(project, challenger, registry.champion_at(project, git, git.fork_of(revision)))
    if champion is not None and champion.pointer == challenger:
        return _unbeaten(project, challenger, champion, "unchanged", requested)
    if champion is not None and requested and registry.held_before(project, git, revision, challenger):
        return _unbeaten(project, challenger, champion, "promote", requested)
    dvc.pull_data()
    with tempfile.TemporaryDirectory(prefix="titlebout-champion-") as folder:
        opponent = _load_champion(project, dvc, champion, revision, Path(folder)) if champion else None
        return _bout(project, challenger, champion, opponent, requested, only_promotions)


def render_evaluate(result: EvaluateResult) -> str:
    """Return the Markdown fragment of the step."""
    title = {
        "promote": "promote",
        "keep": "keep the champion",
        "inconclusive": "inconclusive",
        "unchanged": "nothing to decide",
    }
    lines = [
        f"### Gate: {title[result.verdict]}",
        "",
        *(f"{reason[0].upper()}{reason[1:]}." for reason in result.reasons),
    ]
    if result.holdout is None:
        return "\n".join(lines) + "\n"
    rows = [
        ("challenger", result.challenger[:12], result.challenger_score),
        ("champion", result.champion[:12] or "none yet", result.champion_score),
        ("dummy", "knows nothing", result.dummy_score),
    ]
    lines += ["", table(["model", "", result.metric], [(name, what, decimals(loss)) for name, what, loss in rows])]
    others = result.scores or {}
    if others:
        names = [name for name in others["challenger"] if name != result.metric]
        lines += [
            "",
            table(
                ["", *names], [(who, *(decimals(values.get(name)) for name in names)) for who, values in others.items()]
            ),
        ]
    period = f", {result.holdout['start'][:10]} to {result.holdout['end'][:10]}" if result.holdout["start"] else ""
    lines += [
        "",
        f"Holdout: {result.holdout['rows']} rows{period}, never trained on by either model "
        f"(fingerprint `{result.holdout['fingerprint'][:12]}`). One-sided level {result.alpha:g}.",
    ]
    return "\n".join(lines) + "\n"


def _bout(
    project: Project,
    challenger: Pointer,
    champion: registry.Champion | None,
    opponent: Model | None,
    requested: bool,
    only_promotions: bool,
) -> EvaluateResult:
    frame = labelled(project)
    divided = split(frame, project.params)
    held, task = frame[divided.holdout], project.params.data.task
    y = target_values(held, project.params)
    model = load_model_of(project, project.model_dir)
    contestants = {"challenger": model} | ({"champion": opponent} if opponent else {})
    for who, contestant in contestants.items():
        require_no_overlap(divided.hashes[divided.holdout], contestant.trained_rows, who)
    with project.team_code("asking the models"):
        predicted = {who: contestant.predict(held) for who, contestant in contestants.items()}
    losses = {who: row_losses(task, y, predicted[who], contestants[who].classes) for who in contestants}
    losses["dummy"] = _dummy_losses(target_values(frame[~divided.holdout], project.params), y, task)
    gate = project.settings.gate
    gain = paired_gain(losses["challenger"], losses["champion"], gate.alpha) if opponent else None
    verdict, sentence = decide(gain, paired_gain(losses["challenger"], losses["dummy"], gate.alpha), gate)
    means = {who: float(loss.mean()) for who, loss in losses.items()}
    return EvaluateResult(
        passed=verdict == "promote" or (only_promotions and not requested),
        reasons=(sentence,),
        verdict=verdict,
        reason="change" if opponent else "first",
        metric=PRIMARY[task],
        challenger=challenger.md5,
        champion=champion.pointer.md5 if champion else "",
        challenger_score=means["challenger"],
        champion_score=means.get("champion"),
        dummy_score=means["dummy"],
        gain=gain.mean if gain else None,
        gain_lower=gain.lower if gain else None,
        gain_upper=gain.upper if gain else None,
        alpha=gate.alpha,
        holdout={"rows": len(held), "fingerprint": divided.fingerprint, "start": divided.start, "end": divided.end},
        scores={who: scores(task, y, predicted[who], contestants[who].classes) for who in contestants},
        promotion_requested=requested,
    )


def _unbeaten(
    project: Project, challenger: Pointer, champion: registry.Champion, verdict: str, requested: bool
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
        metric=PRIMARY[project.params.data.task],
        challenger=challenger.md5,
        champion=champion.pointer.md5,
        promotion_requested=requested,
    )


def _promotion_requested(project: Project, challenger: Pointer, before: registry.Champion | None) -> bool:
    """Return whether this branch changes the title; `before` is who held it where the branch began.

    Raises
    ------
    UnsafeError
        If it is changed to anything but the challenger.
    """
    here = registry.champion_here(project)
    if (here and here.pointer) == (before and before.pointer):
        return False
    if here is None or here.pointer != challenger:
        raise UnsafeError(
            "champion.dvc asks to promote a model that dvc.lock did not train",
            why=f"champion.dvc {f'names {here.pointer.short}' if here else 'is gone'}, dvc.lock names {challenger.short}",
            fix="run `titlebout train`, `titlebout evaluate` and `titlebout promote`, and commit all their files together",
        )
    return True


def _load_champion(project: Project, dvc: Dvc, champion: registry.Champion, revision: str, folder: Path) -> Model:
    target = folder / "champion"
    dvc.pull_champion(revision, target)
    found = folder_digest(target)
    if found != champion.pointer.md5:
        raise UnsafeError(
            "the champion that was fetched is not the one champion.dvc names",
            why=f"it is {found}, the pointer says {champion.pointer.md5}",
            fix="restore the object at the DVC remote, or roll back to a champion that can be fetched",
        )
    return load_model_of(project, target)


def _dummy_losses(trained: npt.NDArray[np.object_], y: npt.NDArray[np.object_], task: str) -> FloatArray:
    """Losses of the best constant: class shares of the training rows, or their median."""
    if task == "regression":
        return row_losses(task, y, np.full(len(y), float(np.median(trained.astype(np.float64)))), ())
    shares = pd.Series(trained).value_counts(normalize=True)
    classes = tuple(sorted({*shares.index, *np.unique(y)}))
    constant = np.array([shares.get(label, 0.0) for label in classes])
    return row_losses(task, y, np.tile(constant, (len(y), 1)), classes)


def _bounds(gain: Gain) -> str:
    return f"{gain.mean:+.4f} ({gain.lower:+.4f} to {gain.upper:+.4f})"
