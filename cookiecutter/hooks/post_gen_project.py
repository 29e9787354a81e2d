"""Finish a generated repository: what follows from the answers and the machine, the user's own data, and git."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL

ANSWERS = json.loads(r'''{{ cookiecutter | tojson }}''')
HAS_GIT = shutil.which("git") is not None
BY_COMMAND = ANSWERS.get("_next_steps") == ""  # `titlebout new` gives this answer, and does the rest by itself
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
CRON = {"daily": "17 3 * * *", "weekly": "17 3 * * 1", "monthly": "17 3 1 * *"}
LINKED = (".github/actions/setup/setup.sh", "vendor/titlebout/src/titlebout/cli/main.py", "requirements.lock")


def require_links() -> None:
    """Stop if symbolic links were lost: an archive, or git without link support, has small text files in their place."""
    for name in LINKED:
        if not Path(name).is_file() or Path(name).stat().st_size < 100:
            sys.exit(
                f"titlebout: {name} is missing because the template's symbolic links were lost; use a git clone of the "
                "template with core.symlinks=true, not an archive."
            )


def remove_caches() -> None:
    """Remove caches of Python and linters, which a working copy of the template may contain."""
    for name in ("__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"):
        for folder in list(Path().rglob(name)):
            shutil.rmtree(folder)


def set_python() -> None:
    """Write .python-version, the version preferred by setup: that of this interpreter, within the supported range."""
    version = min(max(sys.version_info[:2], OLDEST_PYTHON), NEWEST_PYTHON)
    Path(".python-version").write_text("{}.{}\n".format(*version), encoding="utf-8", newline="\n")


def set_schedule() -> None:
    """Replace the cron line as text: workflow files are static and contain no template expressions."""
    drift = Path(".github/workflows/drift.yml")
    text = drift.read_text(encoding="utf-8")
    drift.write_text(text.replace(CRON["daily"], CRON[ANSWERS["schedule"]]), encoding="utf-8", newline="\n")


def set_license() -> None:
    """Fill in year and holder of the license, by git's user name; without a license, remove the empty file."""
    if ANSWERS["license"] == "none":
        Path("LICENSE").unlink()
        return
    command = ["git", "config", "user.name"]
    name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if HAS_GIT else ""
    text = Path("LICENSE").read_text(encoding="utf-8")
    text = text.replace("<year>", str(datetime.now(UTC).year)).replace(
        "<holder>", name or f"the authors of {ANSWERS['project_name']}"
    )
    Path("LICENSE").write_text(text, encoding="utf-8", newline="\n")


def set_storage() -> None:
    """Move data and model to DVC's cache if they have a storage of their own: `dvc push` uploads them, git gets none."""
    if ANSWERS["remote_url"]:
        Path(".dvc/cache").mkdir()
        Path("dvc-remote/files").rename(".dvc/cache/files")
        shutil.rmtree("dvc-remote")


def init_git() -> None:
    """Initialize a git repository, unless the folder is in a repository that does not ignore it."""
    inside = 1  # exit code of `git check-ignore` for a path that is not ignored
    if HAS_GIT and subprocess.run(["git", "check-ignore", "-q", "."], stderr=DEVNULL, check=False).returncode != inside:
        subprocess.run(["git", "init", "--quiet", "-b", "main"], check=True)


def adopt() -> None:
    """Run `titlebout adopt` of the generated library."""
    data = Path(os.environ.get("PWD", Path.cwd().parent)) / ANSWERS["data_file"]  # as pre_gen_project.py reads it
    command = [sys.executable, "-m", "titlebout", "adopt", "--data", str(data), "--target", ANSWERS["target"]]
    command += [] if ANSWERS["task"] == "inferred" else ["--task", ANSWERS["task"]]
    environment = os.environ | {"PYTHONPATH": str(Path("vendor/titlebout/src").resolve())}
    probe = "import titlebout.cli.commands, titlebout.scaffold.generate, titlebout.checks.check, pandas, dvc"
    if subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, check=False).returncode != 0:
        sys.exit(
            "titlebout: your own data requires pandas and DVC, which are not installed with this cookiecutter; install "
            "titlebout and run `titlebout new --data`, or generate the flights example and run `titlebout adopt` in it."
        )
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        sys.exit("titlebout: the data was refused for the reason above; nothing was generated.")


def show_next_steps() -> None:
    """Print what to do next; `titlebout adopt` prints its own steps."""
    commit = f"git add {'-A' if Path('.git').exists() else '.'} && git commit -m 'First commit'"
    steps = [commit, "make setup && . .venv/bin/activate", "titlebout doctor"]
    if ANSWERS["remote_url"]:
        steps = ["make lock setup && . .venv/bin/activate", "dvc push && titlebout train && dvc push", commit, steps[-1]]
    print("\nNext:\n", f"    cd {Path.cwd().name}", *(f"    {step}" for step in steps), sep="\n")


require_links()
remove_caches()
set_python()
set_schedule()
set_license()
set_storage()
if not BY_COMMAND:
    init_git()
if ANSWERS["data_file"]:
    adopt()
    remove_caches()
    print(f"\nRun these commands in the folder {Path.cwd().name}.")
elif not BY_COMMAND:
    show_next_steps()
