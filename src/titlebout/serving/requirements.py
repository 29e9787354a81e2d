"""The packages of a bento: the lock of their own, which leaves out what only the other steps need."""

from pathlib import Path

from titlebout.core.errors import NotFoundError

# A repository that has not run `make lock` since serving got a lock of its own still has the one for everything.
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
        If there is no lock.
    """
    lock = next((root / name for name in LOCKS if (root / name).is_file()), None)
    if lock is None:
        raise NotFoundError(
            f"{LOCKS[0]} does not exist", where=str(root), why="it locks the packages of a bento", fix="run `make lock`"
        )
    return lock.read_text(encoding="utf-8")
