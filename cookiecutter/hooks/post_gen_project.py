"""Guard against a template whose links were lost, tidy up, and put the owner's table in the place of the example."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ANSWERS = json.loads(r'''{{ cookiecutter | tojson }}''')
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
CRON = {"daily": "17 3 * * *", "weekly": "17 3 * * 1", "monthly": "17 3 1 * *"}
LINKED = (".github/actions/setup/setup.sh", "vendor/titlebout/src/titlebout/cli/main.py", "requirements.lock")


def require_links() -> None:
    """An archive download, or git without symbolic links, turns the template's links into small text files."""
    for name in LINKED:
        if not Path(name).is_file() or Path(name).stat().st_size < 100:
            sys.exit(
                f"titlebout: {name} is missing because the template's links were lost; use a git clone of the template "
                "with core.symlinks=true, not an archive."
            )


def remove_junk() -> None:
    """A working copy may hold what Python and linters leave behind; a commit does not."""
    for name in ("__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"):
        for folder in list(Path().rglob(name)):
            shutil.rmtree(folder)


def set_python() -> None:
    """Name the Python that generates as the one of the repository, if it is supported; setup prefers it, locally and in CI."""
    version = min(max(sys.version_info[:2], OLDEST_PYTHON), NEWEST_PYTHON)
    Path(".python-version").write_text("{}.{}\n".format(*version), encoding="utf-8", newline="\n")


def set_schedule() -> None:
    """Workflows hold no template language; the one line that an answer decides is replaced as text."""
    drift = Path(".github/workflows/drift.yml")
    text = drift.read_text(encoding="utf-8")
    drift.write_text(text.replace(CRON["daily"], CRON[ANSWERS["schedule"]]), encoding="utf-8", newline="\n")


def adopt() -> None:
    """Hand over to `titlebout adopt` of the library that was just generated."""
    command = [sys.executable, "-m", "titlebout", "adopt", "--data", ANSWERS["data_file"]]
    command += ["--target", ANSWERS["target"], "--task", ANSWERS["task"]]
    environment = os.environ | {"PYTHONPATH": str(Path("vendor/titlebout/src").resolve())}
    probe = "import titlebout.cli.commands, titlebout.scaffold.generate, titlebout.checks.check, pandas, dvc"
    if subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, check=False).returncode != 0:
        sys.exit(
            "titlebout: your own table needs pandas and DVC, which this cookiecutter's Python does not have; "
            "install titlebout and run `titlebout new --data`, or generate the flights example and run `titlebout adopt` in it."
        )
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        sys.exit("titlebout: the table was refused for the reason above; nothing was generated.")


require_links()
remove_junk()
set_python()
set_schedule()
if ANSWERS["data_file"]:
    adopt()
    remove_junk()
