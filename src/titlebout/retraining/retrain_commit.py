"""The retrain commit: one commit on the retrain branch, marked by trailers; its message is the pull request's text.

The paths that it may change are fixed here, so that the job with write access rejects any other change made by the job
that trains, which runs the project's code.
"""

import re

from titlebout.core.errors import ConflictError, UnsafeError
from titlebout.core.markdown import escape, format_score
from titlebout.gate.report import EvaluateResult
from titlebout.models.champion import allowed_paths, champion_path, disallowed_paths
from titlebout.repository.dvc_files import parse_yaml
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining.reason import AttemptReason
from titlebout.serving.package import image_tag

GUIDE = "https://github.com/titlebout/titlebout/blob/main/docs/how-to/review-a-retrain-pr.md"
TRAILER = "Titlebout-Retrain"
INPUTS_TRAILER = "Titlebout-Inputs"
_KINDS = {"100755": "an executable file", "120000": "a symbolic link", "160000": "a submodule"}  # by mode in git


def require_safe_commit(project: Project, git: Git, base: str, commit: str) -> None:
    """Check a retrain commit made by another job before it is pushed.

    Parameters
    ----------
    project : Project
    git : Git
        Repository that holds both commits.
    base : str
        Tip of the base branch.
    commit : str
        The retrain commit.

    Raises
    ------
    ConflictError
        If `base` is not its parent.
    UnsafeError
        If it changes anything but data pointers, models and reports.
    """
    if git.output("rev-parse", f"{commit}^") != base:
        raise ConflictError(
            "the base branch has new commits since this retraining attempt started",
            why=f"the retrain commit's parent is {git.output('rev-parse', f'{commit}^')[:12]}, the base is at {base[:12]}",
            fix="run the retrain workflow again; it retrains on the new base",
        )
    disallowed = disallowed_paths(project, git, base, commit)
    if disallowed:
        raise UnsafeError(
            f"the retrain commit changes {disallowed[0]!r}",
            why=f"it may only change {', '.join(allowed_paths(project, git))}",
            fix="review the code that the training job ran; nothing was pushed",
        )
    _require_regular_files(project, git, base, commit)


def _require_regular_files(project: Project, git: Git, base: str, commit: str) -> None:
    # A symbolic link, or a pointer with another path, would make a later checkout write outside the project's folders.
    lines = git.output("diff", "--no-renames", "--raw", base, commit).splitlines()
    irregular = [line for line in lines if line.split()[1] not in {"100644", "000000"}]
    files = {project.root / "data.dvc": "data", project.root / champion_path(project): "champion"}
    pointers = {git.path_of(path): target for path, target in files.items()}
    outs = {path: _paths(git.show(commit, path), path) for path in pointers}
    elsewhere = [path for path, targets in outs.items() if targets not in ([pointers[path]], [])]
    if irregular or elsewhere:
        kind = (
            _KINDS.get(irregular[0].split()[1], "a special file") if irregular else "a .dvc file with a different path"
        )
        raise UnsafeError(
            f"the retrain commit contains {kind}",
            where=irregular[0].split("\t")[-1] if irregular else elsewhere[0],
            why="it may contain only regular files, and .dvc files that track data/ or champion/; others could make a "
            "checkout write outside the project",
            fix="review the code that the training job ran; nothing was pushed",
        )


def _paths(text: str | None, where: str) -> list[str]:
    return [] if text is None else [str(out["path"]) for out in parse_yaml(text, where)["outs"]]


def tip_of(git: Git, branch: str) -> str | None:
    """Return the branch's tip at the remote, or else the local one, or else None."""
    return (git.remote_branch(branch) if git.remote else None) or git.resolve(f"refs/heads/{branch}")


def require_own_branch(git: Git, branch: str, base: str) -> str | None:
    """Return the branch's tip as :func:`tip_of` does, after checking that titlebout made all of its commits.

    Raises
    ------
    ConflictError
        If it has other commits.
    """
    tip = tip_of(git, branch)
    if tip is None:
        return None
    foreign = [commit for commit in git.commits_between(base, tip) if not trailer(git.message(commit), TRAILER)]
    if foreign:
        raise ConflictError(
            f"the branch {branch} has commits that titlebout did not make",
            where=foreign[0][:12],
            why="updating the branch would discard them",
            fix=f"merge or close the pull request, then delete the branch {branch}",
        )
    return tip


def title(project: Project, evaluation: EvaluateResult) -> str:
    """Return the pull request's title: the change of the primary metric, and whether it is better or worse."""
    metric = evaluation.metric.replace("_", " ")
    before, after, gain = evaluation.champion_score, evaluation.challenger_score, evaluation.gain
    if before is None or gain is None:
        return f"Retrain {project.pipeline}: {metric} {format_score(after)}, the first champion"
    direction = "better" if gain > 0 else "worse" if gain < 0 else "equal"
    return f"Retrain {project.pipeline}: {metric} {format_score(before)} → {format_score(after)} ({direction})"


def body(project: Project, reason: AttemptReason, changes: str, gate: str, digest: str) -> str:
    """Return the pull request's text: the reason, what changed, the gate's report, the evidence, and the effect of a merge.

    Parameters
    ----------
    project : Project
    reason : AttemptReason
        Why the attempt was made.
    changes : str
        What changed since the champion was trained (Markdown).
    gate : str
        Report of the gate (Markdown).
    digest : str
        Digest of the challenger.
    """
    base = project.settings.retrain.base
    links = [f"[how to review]({GUIDE})", *([f"[plots and reports]({reason.run_url})"] if reason.run_url else [])]
    lines = [
        f"The challenger passed the gate. Reason for the retraining: **{escape(reason)}**.",
        "",
        changes,
        "",
        gate.strip(),
        "",
        *([reason.evidence, ""] if reason.evidence else []),
        f"**On merge**, this model becomes the champion of `{project.pipeline}` and is packaged as "
        f"`{image_tag(project, digest)}`. **To roll back**, revert the merge. More: {', '.join(links)}.",
        "",
        "CI evaluates the committed model again, but does not train it again. **To reproduce** the training, check out this "
        f"branch and run `titlebout train --force && titlebout evaluate --base {base}`: the same data, code and packages give the "
        "same file, so that `git status` shows no change.",
    ]
    return "\n".join(lines)


def message(title: str, body: str, reason: str, key: str) -> str:
    """Return the commit message: the pull request's title and text, and the trailers that identify it as a retrain commit."""
    return f"{title}\n\n{body}\n\n{TRAILER}: {reason}\n{INPUTS_TRAILER}: {key}\n"


def split_message(message: str) -> tuple[str, str]:
    """Return the pull request's title and text from a retrain commit's message."""
    title, _, rest = message.partition("\n")
    return title.strip(), re.split(rf"\n(?={TRAILER}: )", rest)[0].strip()


def trailer(message: str, name: str) -> str | None:
    """Return the value of a trailer of a commit message, or None when it is absent."""
    found = re.findall(rf"^{name}: (.+)$", message, re.MULTILINE)
    return found[-1].strip() if found else None
