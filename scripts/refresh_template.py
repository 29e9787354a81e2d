"""Train the flights example and copy the champion into the template, so that generated repositories start with it.

Run with ``python scripts/refresh_template.py`` in the locked environment, after a change of the code, the parameters,
the data or the suite of the example, or of requirements.lock. A test fails when it is necessary.
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
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def train_champion(project: Path) -> None:
    """Remove earlier results, then train, evaluate and promote a first champion."""
    run(["dvc", "pull", "data.dvc"], cwd=project)
    for path in (*(PIPELINE / name for name in RESULTS), OBJECTS):
        remove(project / path)
    run(["git", "add", "--all"], cwd=project)
    identity = ["-c", "user.name=Example", "-c", "user.email=example@example.org"]
    run(["git", *identity, "commit", "--quiet", "--message", "Example"], cwd=project)
    for command in ("train", "evaluate", "promote"):
        run([sys.executable, "-m", "titlebout", command], cwd=project)


def copy_results(project: Path) -> None:
    """Copy the results and the objects of the model; the objects of the data remain links into this repository."""
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
    """Generate the example, train it and copy the results into the template."""
    with tempfile.TemporaryDirectory(prefix="titlebout-example-") as folder:
        project = Path(new(Request(None, Path(folder))).path)
        train_champion(project)
        copy_results(project)


if __name__ == "__main__":
    main()
