"""The champion of a project: ``champion.dvc`` on the main branch, read from git and changed by pull requests only."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from titlebout.core.errors import ConflictError, DataError, UnsafeError
from titlebout.core.results import StepResult, write_text_atomically
from titlebout.repository.dvc_files import Pointer, parse_yaml, pointer_of
from titlebout.repository.git import Git
from titlebout.repository.project import Project

POINTER_FILE = "champion.dvc"
META_KEYS = ("reason", "rule", "metric", "challenger_score", "champion_score", "holdout", "champion")


@dataclass(frozen=True, kw_only=True)
class PromoteResult(StepResult):
    """Result of `titlebout promote`.

    Attributes
    ----------
    champion : str
        Content hash of the model that becomes the champion on merge.
    """

    step: ClassVar[str] = "promote"
    champion: str


@dataclass(frozen=True)
class Champion:
    """The model that is, or was, the champion.

    Attributes
    ----------
    pointer : Pointer
        Content address of the model folder.
    meta : mapping
        Recorded at its promotion: reason, rule, metric, scores, holdout, and the previous champion.
    """

    pointer: Pointer
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def won_by_being_better(self) -> bool:
        """Whether it was promoted as superior, or as the first champion, so that it can be an anchor.

        An anchor is the last such champion. A refresh, which only has to be no worse than the champion, must also be no
        worse than the anchor; otherwise many small allowed losses could add up (bio-creep in non-inferiority trials).
        """
        return self.meta.get("rule", "superior") in {"superior", "first"}


def champion_path(project: Project) -> str:
    """Return the path of ``champion.dvc``, relative to the repository."""
    return (project.pipeline_dir / POINTER_FILE).relative_to(project.root).as_posix()


def allowed_paths(project: Project) -> tuple[str, ...]:
    """Return the only paths that a retrain commit may change: never code, workflows or configuration."""
    pipeline = project.pipeline_dir.relative_to(project.root).as_posix()
    return ("data.dvc", f"{pipeline}/dvc.lock", champion_path(project), f"{pipeline}/reports", "dvc-remote")


def foreign_paths(project: Project, git: Git, base: str, *commit: str) -> list[str]:
    """Return the changed paths between `base` and a commit (or the work tree) that a retrain commit may not change."""
    allowed = allowed_paths(project)
    changed = git.output("diff", "--no-renames", "--name-only", base, *commit).splitlines()
    return [
        path
        for path in changed
        if not any(path == allowed_path or path.startswith(f"{allowed_path}/") for allowed_path in allowed)
    ]


def champion_at(project: Project, git: Git, revision: str) -> Champion | None:
    """Return the champion at a revision; None if there is none.

    Raises
    ------
    ConflictError
        If ``champion.dvc`` has merge conflict markers.
    """
    path = (project.pipeline_dir / POINTER_FILE).relative_to(git.root).as_posix()
    text = git.show(revision, path)
    return None if text is None else _parse(text, f"{path} at {revision[:12]}")


def held_before(project: Project, git: Git, revision: str, model: Pointer) -> str | None:
    """Return the newest commit up to `revision` at which a model was the champion; None if it never was.

    Parameters
    ----------
    project : Project
        Names the path of ``champion.dvc``.
    git : Git
        Repository with the history.
    revision : str
        Newest commit to search.
    model : Pointer
        Content address of the model.
    """
    return next(
        (commit for commit, champion in _champion_history(project, git, revision) if champion.pointer == model), None
    )


def anchor_at(project: Project, git: Git, revision: str) -> tuple[str, Champion] | None:
    """Return the anchor up to `revision`, and a commit at which it was the champion; None if there is none.

    The anchor is the last champion that was promoted as superior. Champions after it were promoted as no worse than their
    predecessor, each with a small allowed loss, so they are also compared with the anchor.
    """
    return next((entry for entry in _champion_history(project, git, revision) if entry[1].won_by_being_better), None)


def followed_up(project: Project, git: Git, revision: str) -> Champion | None:
    """Return the champion promoted after performance decay, if only follow-ups were promoted since; None otherwise."""
    return decayed_before(champion for _, champion in _champion_history(project, git, revision))


def decayed_before(champions: Iterable[Champion]) -> Champion | None:
    """Return the champion of :func:`followed_up` from champions sorted newest first."""
    newest = next((champion for champion in champions if champion.meta.get("reason") != "follow_up"), None)
    return newest if newest and newest.meta.get("reason") == "perf_decay" else None


def _champion_history(project: Project, git: Git, revision: str) -> Iterator[tuple[str, Champion]]:
    """Yield every champion up to `revision` with the commit that promoted it, newest first."""
    for commit in git.output("log", "--format=%H", revision, "--", champion_path(project)).splitlines():
        champion = champion_at(project, git, commit)
        if champion is not None:
            yield commit, champion


def champion_here(project: Project) -> Champion | None:
    """Return the champion in the work tree; None if there is none.

    Raises
    ------
    ConflictError
        If ``champion.dvc`` has merge conflict markers.
    """
    path = project.root / champion_path(project)
    return _parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def crown(project: Project, challenger: Pointer, evaluation: Mapping[str, Any]) -> Champion:
    """Write the challenger into ``champion.dvc``; merging this file to main makes it the champion.

    Parameters
    ----------
    project : Project
        Names the path of ``champion.dvc``.
    challenger : Pointer
        The model to promote.
    evaluation : mapping
        The content of ``reports/evaluate.json``.

    Raises
    ------
    UnsafeError
        If the verdict is not promote, or is about another model.
    ConflictError
        If the champion has changed since the evaluation.
    DataError
        If the evaluation lacks a key.
    """
    if evaluation.get("verdict") != "promote":
        raise UnsafeError(
            "the verdict of the gate is not promote",
            why=f"the verdict is {evaluation.get('verdict')!r}",
            fix="read reports/evaluate.md; only a challenger with the verdict promote can be promoted",
        )
    if evaluation.get("challenger") != challenger.md5:
        raise UnsafeError(
            "the verdict is about another model",
            why=f"the gate evaluated {evaluation.get('challenger')}, dvc.lock has {challenger.md5}",
            fix="run `titlebout evaluate` again",
        )
    missing = [key for key in META_KEYS if key not in evaluation]
    if missing:
        raise DataError(f"the evaluation has no {missing[0]!r}", fix="run `titlebout evaluate` again")
    current = champion_here(project)
    current_md5 = current.pointer.md5 if current else ""
    if current_md5 not in {evaluation["champion"], challenger.md5}:
        raise ConflictError(
            "the champion has changed since the evaluation",
            why=f"evaluated against {evaluation['champion'] or 'no champion'}, {POINTER_FILE} has {current_md5 or 'none'}",
            fix="update the branch from main, then run `titlebout evaluate` again",
        )
    meta = {key: evaluation[key] for key in META_KEYS}
    document = {
        "desc": f"Champion of pipeline {project.pipeline}: the model that serves once this file is on main",
        "meta": meta,
        "outs": [
            {
                "md5": challenger.md5,
                "size": challenger.size,
                "nfiles": challenger.nfiles,
                "hash": "md5",
                "path": "champion",
            }
        ],
    }
    header = "# Written by `titlebout promote` and `titlebout retrain`. Do not edit by hand; to roll back, revert the commit.\n"
    text = header + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    write_text_atomically(project.root / champion_path(project), text)
    return Champion(challenger, meta)


def promote(project: Project, challenger: Pointer, evaluation: Mapping[str, Any]) -> PromoteResult:
    """Write the challenger into ``champion.dvc`` and list the remaining steps; raises the errors of :func:`crown`."""
    champion = crown(project, challenger, evaluation)
    path = champion_path(project)
    return PromoteResult(
        passed=True,
        reasons=(
            f"{champion.pointer.short} is now in {path}; commit it with dvc.lock and dvc-remote, and merge to main",
        ),
        champion=champion.pointer.md5,
    )


def _parse(text: str, where: str) -> Champion:
    return Champion(pointer_of(text, where), parse_yaml(text, where).get("meta") or {})
