"""The retrain commit: one commit on one branch, marked as ours, whose message is the pull request's text.

What it may touch is fixed here, so that the job that can write refuses whatever a training job could smuggle in.
"""

import re

from titlebout.core.errors import ConflictError, UnsafeError
from titlebout.core.markdown import escape, format_score
from titlebout.gate.report import EvaluateResult
from titlebout.models.champion import allowed_paths, champion_path, disallowed_paths
from titlebout.repository.dvc_files import parse_yaml
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.reason import Why

TRAILER = "Titlebout-Retrain"
INPUTS_TRAILER = "Titlebout-Inputs"


def require_sound(project: Project, git: Git, base: str, commit: str) -> None:
    """Check a retrain commit that another job made before it is pushed.

    Parameters
    ----------
    project : Project
    git : Git
    base : str
        Commit that the base branch is at.
    commit : str
        The retrain commit.

    Raises
    ------
    ConflictError
        If it does not stand on `base`.
    UnsafeError
        If it touches anything but data pointers, models and reports.
    """
    if git.output("rev-parse", f"{commit}^") != base:
        raise ConflictError(
            "the base branch moved since this attempt",
            why=f"the commit stands on {git.output('rev-parse', f'{commit}^')[:12]}, the base is at {base[:12]}",
            fix="run the retrain workflow again; it rebuilds on the new base",
        )
    foreign = disallowed_paths(project, git, base, commit)
    if foreign:
        raise UnsafeError(
            f"the retrain commit touches {foreign[0]!r}",
            why=f"it may only touch {', '.join(allowed_paths(project))}",
            fix="look at what the training job ran; nothing was pushed",
        )
    _require_plain(project, git, base, commit)


def _require_plain(project: Project, git: Git, base: str, commit: str) -> None:
    # A link, or a pointer with another path, would make a later checkout write where it must not.
    lines = git.output("diff", "--no-renames", "--raw", base, commit).splitlines()
    odd = [line for line in lines if line.split()[1] not in {"100644", "000000"}]
    pointers = {"data.dvc": "data", champion_path(project): "champion"}
    outs = {path: _paths(git.show(commit, path), path) for path in pointers}
    elsewhere = [path for path, found in outs.items() if found not in ([pointers[path]], [])]
    if odd or elsewhere:
        raise UnsafeError(
            "the retrain commit holds more than plain files and pointers to data and champion",
            where=odd[0].split("\t")[-1] if odd else elsewhere[0],
            fix="look at what the training job ran; nothing was pushed",
        )


def _paths(text: str | None, where: str) -> list[str]:
    return [] if text is None else [str(out["path"]) for out in parse_yaml(text, where)["outs"]]


def tip_of(git: Git, branch: str) -> str | None:
    """Return the branch's tip at origin, else here, else nothing."""
    has_origin = "origin" in git.output("remote").split()
    return (git.remote_branch(branch) if has_origin else None) or git.resolve(f"refs/heads/{branch}")


def require_own_branch(git: Git, branch: str, base: str) -> str | None:
    """Return the branch's tip at origin, else here.

    Raises
    ------
    ConflictError
        If it has commits that are not ours.
    """
    tip = tip_of(git, branch)
    if tip is None:
        return None
    foreign = [commit for commit in git.commits_between(base, tip) if not trailer(git.message(commit), TRAILER)]
    if foreign:
        raise ConflictError(
            f"somebody else committed to {branch}",
            where=foreign[0][:12],
            why="their work would be lost if the branch was refreshed",
            fix=f"merge or close the pull request, then delete the branch {branch}",
        )
    return tip


def title(project: Project, evaluation: EvaluateResult) -> str:
    """Return the pull request's title: what changes, in the primary metric."""
    metric = evaluation.metric.replace("_", " ")
    before, after = evaluation.champion_score, evaluation.challenger_score
    change = (
        f"{format_score(before)} → {format_score(after)}"
        if before is not None
        else f"{format_score(after)}, the first champion"
    )
    return f"Retrain {project.pipeline}: {metric} {change}"


def body(project: Project, why: Why, rows: int, gate: str) -> str:
    """Return the pull request's text: why, the gate's report, the evidence that led there, and what merging does.

    Parameters
    ----------
    project : Project
    why : Why
    rows : int
        Number of new rows.
    gate : str
        Markdown of the gate.
    """
    lines = [
        f"The challenger won the title bout. Why it was trained: **{escape(why)}**, with {rows:,} new rows.",
        "",
        gate.strip(),
        "",
        *([why.evidence, ""] if why.evidence else []),
        "**On merge** this model becomes the champion of "
        f"`{project.pipeline}` and is packaged. **To roll back**, revert the merge. "
        f"**To reproduce**: check out this branch and run `titlebout train && titlebout evaluate --base {project.settings.retrain.base}`.",
    ]
    return "\n".join(lines)


def message(title: str, body: str, reason: str, key: str) -> str:
    """Return the commit message: the pull request's title and text, and the trailers that mark the commit as ours."""
    return f"{title}\n\n{body}\n\n{TRAILER}: {reason}\n{INPUTS_TRAILER}: {key}\n"


def split_message(message: str) -> tuple[str, str]:
    """Return title and text of the pull request that a retrain commit's message holds."""
    title, _, rest = message.partition("\n")
    return title.strip(), re.split(rf"\n(?={TRAILER}: )", rest)[0].strip()


def trailer(message: str, name: str) -> str | None:
    """Return the value of a trailer of a commit message, or None when it is not one of ours."""
    found = re.findall(rf"^{name}: (.+)$", message, re.MULTILINE)
    return found[-1].strip() if found else None
