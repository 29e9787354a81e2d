"""Who holds the title: ``champion.dvc`` on the main branch, read from git and changed only by a pull request."""

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
    """What `titlebout promote` wrote.

    Attributes
    ----------
    champion : str
        Content hash of the model that takes the title on merge.
    """

    step: ClassVar[str] = "promote"
    champion: str


@dataclass(frozen=True)
class Champion:
    """The model that holds the title.

    Attributes
    ----------
    pointer : Pointer
        Content address of its folder.
    meta : mapping
        What was recorded when it won: metrics, holdout, who it beat.
    """

    pointer: Pointer
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def won_by_being_better(self) -> bool:
        """Whether it may be an anchor: what a refresh has to be no worse than."""
        return self.meta.get("rule", "superior") in {"superior", "first"}


def champion_path(project: Project) -> str:
    """Return where the pointer stands, relative to the repository."""
    return (project.pipeline_dir / POINTER_FILE).relative_to(project.root).as_posix()


def allowed_paths(project: Project) -> tuple[str, ...]:
    """Return the only paths a retrain commit may touch: never code, workflows or policy."""
    pipeline = project.pipeline_dir.relative_to(project.root).as_posix()
    return ("data.dvc", f"{pipeline}/dvc.lock", champion_path(project), f"{pipeline}/reports", "dvc-remote")


def foreign_paths(project: Project, git: Git, base: str, *commit: str) -> list[str]:
    """Return what differs between `base` and a commit (or the work tree) that no retraining may touch."""
    allowed = allowed_paths(project)
    touched = git.output("diff", "--no-renames", "--name-only", base, *commit).splitlines()
    return [path for path in touched if not any(path == good or path.startswith(f"{good}/") for good in allowed)]


def champion_at(project: Project, git: Git, revision: str) -> Champion | None:
    """Return who holds the title at a revision, or None when nobody does.

    Raises
    ------
    ConflictError
        If the pointer has merge conflict markers.
    """
    path = (project.pipeline_dir / POINTER_FILE).relative_to(git.root).as_posix()
    text = git.show(revision, path)
    return None if text is None else _parse(text, f"{path} at {revision[:12]}")


def held_before(project: Project, git: Git, revision: str, model: Pointer) -> str | None:
    """Return the newest commit up to `revision` at which a model held the title, or None when it never did.

    Parameters
    ----------
    project : Project
    git : Git
    revision : str
    model : Pointer
    """
    return next((commit for commit, champion in _holders(project, git, revision) if champion.pointer == model), None)


def anchor_at(project: Project, git: Git, revision: str) -> tuple[str, Champion] | None:
    """Return the last champion up to `revision` that won by being better, and a commit at which it held the title.

    Champions after it may each be a little worse than the one before; it is what they are measured against.
    """
    return next((one for one in _holders(project, git, revision) if one[1].won_by_being_better), None)


def followed_up(project: Project, git: Git, revision: str) -> Champion | None:
    """Return the champion that won after a decay and that nothing but its follow-ups succeeded, or None."""
    return decayed_before(champion for _, champion in _holders(project, git, revision))


def decayed_before(champions: Iterable[Champion]) -> Champion | None:
    """Return which of the champions, the newest first, :func:`followed_up` is about."""
    newest = next((one for one in champions if one.meta.get("reason") != "follow_up"), None)
    return newest if newest and newest.meta.get("reason") == "perf_decay" else None


def _holders(project: Project, git: Git, revision: str) -> Iterator[tuple[str, Champion]]:
    """Yield every champion up to `revision` and the commit that changed the title to it, newest first."""
    for commit in git.output("log", "--format=%H", revision, "--", champion_path(project)).splitlines():
        champion = champion_at(project, git, commit)
        if champion is not None:
            yield commit, champion


def champion_here(project: Project) -> Champion | None:
    """Return who holds the title in the work tree, or None when nobody does.

    Raises
    ------
    ConflictError
        If the pointer has merge conflict markers.
    """
    path = project.root / champion_path(project)
    return _parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def crown(project: Project, challenger: Pointer, evaluation: Mapping[str, Any]) -> Champion:
    """Write the challenger into ``champion.dvc``; merging that file to main makes it the champion.

    Parameters
    ----------
    project : Project
    challenger : Pointer
        The model to promote.
    evaluation : mapping
        The document of ``reports/evaluate.json``.

    Raises
    ------
    UnsafeError
        If the gate did not say promote, or said it of another model.
    ConflictError
        If somebody else took the title since then.
    DataError
        If the document lacks a key.
    """
    if evaluation.get("verdict") != "promote":
        raise UnsafeError(
            "the gate did not say promote",
            why=f"its verdict is {evaluation.get('verdict')!r}",
            fix="read reports/evaluate.md; a challenger that does not win is not promoted",
        )
    if evaluation.get("challenger") != challenger.md5:
        raise UnsafeError(
            "the verdict is about another model",
            why=f"the gate saw {evaluation.get('challenger')}, dvc.lock names {challenger.md5}",
            fix="run `titlebout evaluate` again",
        )
    missing = [key for key in META_KEYS if key not in evaluation]
    if missing:
        raise DataError(f"the verdict has no {missing[0]!r}", fix="run `titlebout evaluate` again")
    here = champion_here(project)
    holder = here.pointer.md5 if here else ""
    if holder not in {evaluation["champion"], challenger.md5}:
        raise ConflictError(
            "the title changed hands since the verdict",
            why=f"the gate saw {evaluation['champion'] or 'no champion'}, {POINTER_FILE} here names {holder or 'none'}",
            fix="bring the branch up to date, then run `titlebout evaluate` again",
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
    note = "# Written by `titlebout promote` and `titlebout retrain`. Do not edit by hand; to roll back, revert the commit.\n"
    text = note + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    write_text_atomically(project.root / champion_path(project), text)
    return Champion(challenger, meta)


def promote(project: Project, challenger: Pointer, evaluation: Mapping[str, Any]) -> PromoteResult:
    """Write the challenger into ``champion.dvc`` and say what is left to do; raises what :func:`crown` raises."""
    champion = crown(project, challenger, evaluation)
    path = champion_path(project)
    return PromoteResult(
        passed=True,
        reasons=(
            f"{champion.pointer.short} stands in {path}; commit it with dvc.lock and dvc-remote, and merge to main",
        ),
        champion=champion.pointer.md5,
    )


def _parse(text: str, where: str) -> Champion:
    return Champion(pointer_of(text, where), parse_yaml(text, where).get("meta") or {})
