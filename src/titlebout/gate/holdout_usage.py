"""How often a holdout has decided: the challengers that met on the same rows, in git's history and on this machine.

Every look at a holdout tells the one who looks a little about it; after many looks a challenger can win by having been
chosen on these very rows. What is counted is challengers, not runs: the same model may be evaluated as often as one likes.
"""

from titlebout.repository.dvc_files import parse_trained_model
from titlebout.repository.git import Git
from titlebout.repository.project import Project


def challengers(project: Project, git: Git, fingerprint: str) -> frozenset[str]:
    """Return the content hashes of all models that were trained for or met on these holdout rows.

    Parameters
    ----------
    project : Project
    git : Git
        All its branches and tags are read; a shallow clone knows less.
    fingerprint : str
        Of the holdout.
    """
    pipeline = project.pipeline_dir.relative_to(git.root).as_posix()
    commits = git.output("log", "--all", "--format=%H", "--", f"{pipeline}/dvc.lock").splitlines()
    split = f"{pipeline}/reports/split.json"
    found = git.run("grep", "-l", "-F", fingerprint, *commits, "--", split, check=False) if commits else None
    same = [line.partition(":")[0] for line in found.stdout.splitlines()] if found else []
    locks = [git.show(commit, f"{pipeline}/dvc.lock") for commit in same]
    models = [parse_trained_model(lock, f"{pipeline}/dvc.lock") for lock in locks if lock is not None]
    return frozenset({model.md5 for model in models if model} | _noted(git, fingerprint))


def note(git: Git, fingerprint: str, challenger: str) -> None:
    """Remember on this machine, in the git folder, that a challenger met on these rows."""
    path = git.private_folder() / f"holdout-{fingerprint}"
    known = _noted(git, fingerprint)
    if challenger not in known:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{md5}\n" for md5 in sorted({*known, challenger})), encoding="utf-8")


def _noted(git: Git, fingerprint: str) -> set[str]:
    path = git.private_folder() / f"holdout-{fingerprint}"
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()
