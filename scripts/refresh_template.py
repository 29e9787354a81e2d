"""Train the template's example and put what that leaves into the template, so that a generated repository starts with a champion.

Run with ``python scripts/refresh_template.py`` in the locked environment, after every change of what the example's
model depends on: its code, parameters, data, suite, or requirements.lock. A test says when it is due.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from titlebout.core.process import run
from titlebout.scaffold.generate import Request, new

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "cookiecutter" / "{{cookiecutter.project_slug}}"
PIPELINE = Path("pipelines") / "flights-delay"
RESULTS = ("dvc.lock", "champion.dvc", "reports")
OBJECTS = Path("dvc-remote") / "files" / "md5"


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def train_champion(project: Path) -> None:
    """Forget what was trained before, train, and let the challenger take the vacant title."""
    run(["dvc", "pull", "data.dvc"], cwd=project)
    for path in (*(PIPELINE / name for name in RESULTS), OBJECTS):
        remove(project / path)
    run(["git", "add", "--all"], cwd=project)
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.org"]
    run(["git", *identity, "commit", "--quiet", "--message", "Example"], cwd=project)
    for command in ("train", "evaluate", "promote"):
        run([sys.executable, "-m", "titlebout", command], cwd=project)


def copy_results(project: Path) -> None:
    """Copy results and the model's objects; the data's objects stay links to the framework's own."""
    for name in RESULTS:
        source, target = project / PIPELINE / name, TEMPLATE / PIPELINE / name
        remove(target)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    for target in (path for path in (TEMPLATE / OBJECTS).rglob("*") if path.is_file() and not path.is_symlink()):
        target.unlink()
    for source in (path for path in (project / OBJECTS).rglob("*") if path.is_file()):
        target = TEMPLATE / source.relative_to(project)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)


def main() -> None:
    """Generate the example, train it and bring the results back."""
    with tempfile.TemporaryDirectory(prefix="titlebout-example-") as folder:
        project = Path(new(Request(None, Path(folder))).path)
        train_champion(project)
        copy_results(project)


if __name__ == "__main__":
    main()
