"""The locked packages of a bento: a lock of their own, without the packages of other steps."""

from pathlib import Path

from titlebout.core.errors import NotFoundError

# A repository whose `make lock` last ran before the serving lock existed has only the lock for all steps.
LOCKS = ("requirements-serve.lock", "requirements.lock")


def serving_requirements(root: Path) -> str:
    """Return the locked packages of the service, a requirements file with hashes.

    Parameters
    ----------
    root : Path
        Top folder of the repository.

    Raises
    ------
    NotFoundError
        If neither lock file exists.
    """
    lock = next((root / name for name in LOCKS if (root / name).is_file()), None)
    if lock is None:
        raise NotFoundError(
            f"{LOCKS[0]} does not exist",
            where=str(root),
            why="it pins the packages of a packaged service (bento)",
            fix="run `make lock`",
        )
    return lock.read_text(encoding="utf-8")
