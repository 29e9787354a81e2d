"""Holdout usage: the challengers evaluated on the same rows, from the git history and this machine's records.

Every evaluation leaks information about the holdout. After many challengers, one can be promoted because it was selected
on these rows. Challengers are counted, not runs: evaluating the same model again leaks nothing new.
"""

from titlebout.repository.dvc_files import parse_trained_model
from titlebout.repository.git import Git
from titlebout.repository.project import Project


def evaluated_challengers(project: Project, git: Git, fingerprint: str) -> frozenset[str]:
    """Return the content hashes of all models that were trained for, or evaluated on, these holdout rows.

    Parameters
    ----------
    project : Project
        Project that the models belong to.
    git : Git
        Repository whose branches and tags are searched; a shallow clone finds fewer challengers.
    fingerprint : str
        Fingerprint of the holdout.
    """
    pipeline = project.pipeline_dir.relative_to(git.root).as_posix()
    commits = git.output("log", "--all", "--format=%H", "--", f"{pipeline}/dvc.lock").splitlines()
    split = f"{pipeline}/reports/split.json"
    found = git.run("grep", "-l", "-F", fingerprint, *commits, "--", split, check=False) if commits else None
    same = [line.partition(":")[0] for line in found.stdout.splitlines()] if found else []
    locks = [git.show(commit, f"{pipeline}/dvc.lock") for commit in same]
    models = [parse_trained_model(lock, f"{pipeline}/dvc.lock") for lock in locks if lock is not None]
    return frozenset({model.md5 for model in models if model} | _recorded(git, fingerprint))


def record_use(git: Git, fingerprint: str, challenger: str) -> None:
    """Record in the local git folder that a challenger was evaluated on these rows."""
    path = git.private_folder() / f"holdout-{fingerprint}"
    known = _recorded(git, fingerprint)
    if challenger not in known:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{md5}\n" for md5 in sorted({*known, challenger})), encoding="utf-8")


def _recorded(git: Git, fingerprint: str) -> set[str]:
    path = git.private_folder() / f"holdout-{fingerprint}"
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()
