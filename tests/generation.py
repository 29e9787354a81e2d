"""What tests of generated repositories share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent

Generate = Callable[..., Path]


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment; git neither asks nor knows the user's settings."""
    environment = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(cwd),
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **variables,
    }
    return subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)


def commit_framework(copy: Path) -> Path:
    """Copy what is in git or about to be, links as links, into a new repository with one commit."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        target = copy / name
        if not os.path.lexists(ROOT / name):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    run("git", "init", "--quiet", "-b", "main", cwd=copy)
    run("git", "add", "--all", cwd=copy)
    committed = run("git", "commit", "--quiet", "--message", "Everything", cwd=copy)
    assert committed.returncode == 0, committed.stderr
    return copy


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder, by path; without git's and cruft's own."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.name != ".cruft.json"}
