"""Who holds the title: ``champion.dvc`` on the main branch, read from git and changed only by a pull request."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from titlebout.core.errors import ConflictError
from titlebout.core.results import write_text_atomically
from titlebout.core.yaml_text import to_yaml
from titlebout.repository.dvc_files import Pointer, parse_yaml, pointer_of
from titlebout.repository.git import Git
from titlebout.repository.project import Project

POINTER_FILE = "champion.dvc"


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


def set_champion(project: Project, model: Pointer, meta: Mapping[str, Any], expected: str) -> Champion:
    """Write a model into ``champion.dvc``; merging that file to main makes it the champion.

    Parameters
    ----------
    project : Project
    model : Pointer
    meta : mapping
        What its evaluation showed, as plain values.
    expected : str
        Content hash of the champion that it was compared with; empty when there was none.

    Raises
    ------
    ConflictError
        If another model is the champion here.
    """
    here = champion_here(project)
    holder = here.pointer.md5 if here else ""
    if holder not in {expected, model.md5}:
        raise ConflictError(
            "the title changed hands since the verdict",
            why=f"the gate saw {expected or 'no champion'}, {POINTER_FILE} here names {holder or 'none'}",
            fix="bring the branch up to date, then run `titlebout evaluate` again",
        )
    document = {
        "desc": f"Champion of pipeline {project.pipeline}: the model that serves once this file is on main",
        "meta": dict(meta),
        "outs": [
            {
                "md5": model.md5,
                "size": model.size,
                "nfiles": model.nfiles,
                "hash": "md5",
                "path": "champion",
            }
        ],
    }
    note = "# Written by `titlebout promote` and `titlebout retrain`. Do not edit by hand; to roll back, revert the commit.\n"
    text = note + to_yaml(document)
    write_text_atomically(project.root / champion_path(project), text)
    return Champion(model, meta)


def _parse(text: str, where: str) -> Champion:
    return Champion(pointer_of(text, where), parse_yaml(text, where).get("meta") or {})
