"""The champion of a project: ``champion.dvc`` on the main branch, read from git and changed by pull requests only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from titlebout.core.errors import ConfigError, ConflictError, UnsafeError
from titlebout.core.results import Record, write_text_atomically
from titlebout.core.yaml_text import to_yaml
from titlebout.data.holdout import Holdout
from titlebout.models.artifact import digest_of
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_config import in_tree_remotes
from titlebout.repository.dvc_files import DvcOutput, parse_dvc_file, parse_yaml
from titlebout.repository.git import Git
from titlebout.repository.project import Project

CHAMPION_FILE = "champion.dvc"


# Rule of a first champion that a person accepted although it was not shown to be better than the dummy model.
UNPROVEN = "unproven"


class Promotion(Record):
    """Summary of the evaluation with which a model became the champion; the key ``meta`` of ``champion.dvc``.

    Attributes
    ----------
    digest : str
        Digest of the model; empty if an older version of titlebout promoted it.
    reason : str
        Why the model was trained.
    rule : str
        Rule of the gate that it passed; ``first`` without a champion, :data:`UNPROVEN` if it was accepted without passing.
    metric : str
        Primary metric.
    challenger_score, champion_score : float or None
        Score of this model and of the champion that it replaced.
    holdout : Holdout or None
        Rows of the evaluation.
    champion : str
        Digest of the champion that it replaced; empty if there was none.
    """

    digest: str = ""
    reason: str = "change"
    rule: str = "superior"
    metric: str = ""
    challenger_score: float | None = None
    champion_score: float | None = None
    holdout: Holdout | None = None
    champion: str = ""


@dataclass(frozen=True)
class Champion:
    """The model that is, or was, the champion.

    Attributes
    ----------
    output : DvcOutput
        Content hash of the model folder, under which the DVC remote has it.
    promotion : Promotion
        Digest of the model and summary of the evaluation with which it was promoted; the defaults if ``champion.dvc`` has none.
    """

    output: DvcOutput
    promotion: Promotion = Promotion()  # noqa: RUF009 - it is immutable

    @property
    def name(self) -> str:
        """Digest of the model, or the content hash of its folder if an older version of titlebout promoted it."""
        return self.promotion.digest or self.output.md5

    @property
    def was_superior(self) -> bool:
        """Whether it was promoted as superior, or as the first champion, so that it can be an anchor.

        An anchor is the last such champion. A refresh, which only has to be no worse than the champion, must also be no
        worse than the anchor; otherwise many small allowed losses could add up (bio-creep in non-inferiority trials).
        """
        return self.promotion.rule in {"superior", "first", UNPROVEN}


def champion_path(project: Project) -> str:
    """Return the path of ``champion.dvc``, relative to the project's folder."""
    return (project.pipeline_dir / CHAMPION_FILE).relative_to(project.root).as_posix()


def allowed_paths(project: Project, git: Git) -> tuple[str, ...]:
    """Return the only paths that a retrain commit may change: never code, workflows or configuration."""
    pipeline = project.pipeline_dir
    paths = (project.root / "data.dvc", *(pipeline / name for name in ("dvc.lock", CHAMPION_FILE, "reports")))
    return tuple(map(git.path_of, (*paths, *in_tree_remotes(project.root, git.root))))


def disallowed_paths(project: Project, git: Git, base: str, *commit: str) -> list[str]:
    """Return the changed paths between `base` and a commit (or the work tree) that a retrain commit may not change."""
    allowed = allowed_paths(project, git)
    return [
        path
        for path in git.changed_paths(base, *commit)
        if not any(path == allowed_path or path.startswith(f"{allowed_path}/") for allowed_path in allowed)
    ]


def champion_at(project: Project, git: Git, revision: str) -> Champion | None:
    """Return the champion at a revision; None if no champion was promoted yet.

    Raises
    ------
    ConflictError
        If ``champion.dvc`` has merge conflict markers.
    ConfigError
        If it is not valid.
    """
    path = git.path_of(project.pipeline_dir / CHAMPION_FILE)
    text = git.show(revision, path)
    return None if text is None else _parse(text, f"{path} at {revision[:12]}")


def was_champion(project: Project, git: Git, revision: str, model: DvcOutput) -> str | None:
    """Return the newest commit up to `revision` at which a model was the champion; None if it never was.

    Parameters
    ----------
    project : Project
        Names the path of ``champion.dvc``.
    git : Git
        Repository with the history.
    revision : str
        Newest commit to search.
    model : DvcOutput
        Content hash of the model folder.
    """
    return next(
        (commit for commit, champion in _champion_history(project, git, revision) if champion.output == model), None
    )


def anchor_at(project: Project, git: Git, revision: str) -> tuple[str, Champion] | None:
    """Return the anchor up to `revision`, and a commit at which it was the champion; None without an anchor.

    The anchor is the last champion that was promoted as superior. Champions after it were promoted as non-inferior to their
    predecessor, each with a small allowed loss, so they are also compared with the anchor.
    """
    return next((entry for entry in _champion_history(project, git, revision) if entry[1].was_superior), None)


def champions(project: Project, git: Git, revision: str) -> Iterator[Champion]:
    """Yield every champion up to `revision`, newest first."""
    return (champion for _, champion in _champion_history(project, git, revision))


def find_champion_after_decay(champions: Iterable[Champion]) -> Champion | None:
    """Return the champion promoted after performance decay, if only follow-ups were promoted since; None otherwise.

    Parameters
    ----------
    champions : iterable of Champion
        Sorted newest first.
    """
    newest = next((champion for champion in champions if champion.promotion.reason != "follow_up"), None)
    return newest if newest and newest.promotion.reason == "perf_decay" else None


def _champion_history(project: Project, git: Git, revision: str) -> Iterator[tuple[str, Champion]]:
    """Yield every champion up to `revision` with the commit that promoted it, newest first.

    The history ends at a record that cannot be read: an older version of titlebout wrote it and those before.

    Raises
    ------
    ConfigError
        If the newest record is not valid.
    ConflictError
        If it has merge conflict markers.
    """
    path = git.path_of(project.pipeline_dir / CHAMPION_FILE)
    for number, commit in enumerate(git.output("log", "--format=%H", revision, "--", path).splitlines()):
        try:
            champion = champion_at(project, git, commit)
        except (ConfigError, ConflictError):
            if number == 0:
                raise
            return
        if champion is not None:
            yield commit, champion


def champion_in_work_tree(project: Project) -> Champion | None:
    """Return the champion in the work tree; None if no champion was promoted yet.

    Raises
    ------
    ConflictError
        If ``champion.dvc`` has merge conflict markers.
    ConfigError
        If it is not valid.
    """
    path = project.root / champion_path(project)
    return _parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def pull_champion(project: Project) -> Path:
    """Download the champion of the work tree if it is incomplete, and return its folder.

    Raises
    ------
    NotFoundError
        If there is no champion.
    UnsafeError
        If it does not have the digest in ``champion.dvc``.
    """
    folder, champion = Dvc(project).pull_model("champion"), champion_in_work_tree(project)
    if champion is not None:
        require_digest(champion, folder, champion_path(project))
    return folder


def require_digest(champion: Champion, folder: Path, where: str) -> None:
    """Check that a model folder has the digest in ``champion.dvc``, if one is recorded there.

    Parameters
    ----------
    champion : Champion
        Record of the model.
    folder : Path
        The model.
    where : str
        Place of the record, for the error message.

    Raises
    ------
    NotFoundError
        If the folder has no model.
    UnsafeError
        If the digests differ.
    """
    recorded, found = champion.promotion.digest, digest_of(folder)
    if recorded not in {"", found}:
        raise UnsafeError(
            "the model does not have the digest in champion.dvc",
            where=where,
            why=f"its digest is {found}, champion.dvc has {recorded}",
            fix="restore champion.dvc from git, or promote the model again with `titlebout evaluate` and `titlebout promote`",
        )


def set_champion(project: Project, model: DvcOutput, promotion: Promotion, expected: str) -> Champion:
    """Write a model into ``champion.dvc``; merging this file to main makes it the champion.

    Parameters
    ----------
    project : Project
    model : DvcOutput
        Content hash of the model folder.
    promotion : Promotion
        Digest of the model and summary of its evaluation.
    expected : str
        Content hash of the champion that it was evaluated against; empty if there was none.

    Raises
    ------
    ConflictError
        If the champion has changed since the evaluation.
    """
    current = champion_in_work_tree(project)
    current_md5 = current.output.md5 if current else ""
    if current_md5 not in {expected, model.md5}:
        raise ConflictError(
            "the champion has changed since the evaluation",
            why=f"evaluated against {expected or 'no champion'}, {CHAMPION_FILE} has {current_md5 or 'none'}",
            fix="update the branch from main, then run `titlebout evaluate` again",
        )
    document = {
        "desc": f"Champion of pipeline {project.pipeline}: the model that serves once this file is on main",
        "meta": promotion.model_dump(),
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
    header = "# Written by `titlebout promote` and `titlebout retrain`. Do not edit by hand; to roll back, revert the commit.\n"
    text = header + to_yaml(document)
    write_text_atomically(project.root / champion_path(project), text)
    return Champion(model, promotion)


def _parse(text: str, where: str) -> Champion:
    output = parse_dvc_file(text, where)
    try:
        return Champion(output, Promotion.model_validate(parse_yaml(text, where).get("meta") or {}))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            "the promotion recorded in champion.dvc is not valid",
            where=where,
            why=f"{'.'.join(map(str, ('meta', *first['loc'])))}: {first['msg']}",
            fix="restore the file from git",
        ) from error
