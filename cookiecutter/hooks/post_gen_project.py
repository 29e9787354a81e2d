"""Complete a generated repository: what follows from answers and machine, the user's own data, the library, and git."""

import hashlib
import json
import os
import re
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
STARTED = Path(os.environ.get("PWD", Path.cwd().parent))  # as pre_gen_project.py reads it
TEMPLATE = STARTED / ANSWERS.get("_repo_dir", "") / "{% raw %}{{cookiecutter.project_slug}}{% endraw %}"
LINK_TEXT = re.compile(rb"(\.\./)+[^\0\r\n]{1,200}")
VENDORED = Path("vendor/titlebout")
CACHES = ("__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache")
NOT_RECORDED = ("data_file", "target", "task")  # paths of this machine, and what params.yaml has

sys.dont_write_bytecode = True


def follow_links() -> None:
    """Replace the texts that an archive, or git without link support, has in the place of the template's links."""
    for path in [path for path in Path().rglob("*") if path.is_file() and path.stat().st_size < 300]:
        text = path.read_bytes()
        if LINK_TEXT.fullmatch(text):
            target = linked(path, text.decode())
            path.unlink()
            if target.is_dir():
                shutil.copytree(target, path, ignore=shutil.ignore_patterns(*CACHES))
            else:
                shutil.copy(target, path)


def linked(path: Path, text: str) -> Path:
    """Return the target of a link of the template, which has to be in the template's repository."""
    repository = TEMPLATE.parents[1].resolve()
    target = (TEMPLATE / path.parent / text).resolve()
    if TEMPLATE.is_dir() and target.exists() and repository in target.parents:
        return target
    sys.exit(
        f"titlebout: {path} is a link of the template to {text}, which is not in the template's repository; use cookiecutter or "
        "`titlebout new` with a clone or an archive of titlebout."
    )


def commit() -> str:
    """Return the commit of the template, with -dirty after uncommitted changes; empty if it is not in a git repository."""
    if ANSWERS.get("_commit"):
        return ANSWERS["_commit"]  # cruft
    git = ["git", "-C", str(TEMPLATE.parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", "cookiecutter.json"], capture_output=True, check=False)
        command = [*git, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        described = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return described.stdout.strip() if tracked.returncode == described.returncode == 0 else ""


def record(library: str) -> None:
    """Write .titlebout.toml, and the hashes of the vendored library if there is one."""
    from titlebout.repository import origin

    answers = {key: value for key, value in ANSWERS.items() if not key.startswith("_") and key not in NOT_RECORDED}
    origin.record(Path(), commit(), {**answers, "library": library})


def remove_caches() -> None:
    """Remove caches of Python and linters, which a working copy of the template may contain."""
    for name in CACHES:
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
    data = STARTED / ANSWERS["data_file"]
    command = [sys.executable, "-m", "titlebout", "adopt", "--data", str(data), "--target", ANSWERS["target"]]
    command += [] if ANSWERS["task"] == "inferred" else ["--task", ANSWERS["task"]]
    environment = os.environ | {"PYTHONPATH": str((VENDORED / "src").resolve())}
    probe = "import titlebout.cli.commands, titlebout.scaffold.generate, titlebout.checks.check, pandas, dvc"
    if subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, check=False).returncode != 0:
        sys.exit(
            "titlebout: your own data requires pandas and DVC, which are not installed with this cookiecutter; install "
            "titlebout and run `titlebout new --data`, or generate the flights example and run `titlebout adopt` in it."
        )
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        sys.exit("titlebout: the data was refused for the reason above; nothing was generated.")


def use_release() -> str:
    """Replace the vendored library by a release with its hash, and return the release as .titlebout.toml names it."""
    release, _, sha256 = ANSWERS["library"].partition("#sha256=")
    shutil.rmtree("vendor")
    requirement = f"titlebout @ {release}" if "://" in release else f"titlebout=={release}"
    if "://" not in release and release.endswith(".whl"):
        copied = Path("vendor") / Path(release).name
        copied.parent.mkdir()
        sha256 = hashlib.sha256(Path(shutil.copyfile(STARTED / release, copied)).read_bytes()).hexdigest()
        release, requirement = copied.as_posix(), f"./{copied.as_posix()}"
    # As `make lock` writes it, which also adds the hash of a version or of a URL without one.
    pinned = f"{requirement} \\\n    --hash=sha256:{sha256}\n" if sha256 else f"{requirement}\n"
    Path("requirements-titlebout.lock").write_text(pinned, encoding="utf-8", newline="\n")
    return release


def has_hash() -> bool:
    """Return whether the library is vendored or pinned by a hash; otherwise `make lock` pins it."""
    lock = Path("requirements-titlebout.lock")
    return not lock.exists() or "--hash" in lock.read_text(encoding="utf-8")


def show_next_steps() -> None:
    """Print what to do next; `titlebout adopt` prints its own steps."""
    commit = f"git add {'-A' if Path('.git').exists() else '.'} && git commit -m 'First commit'"
    lock = "" if has_hash() and not ANSWERS["remote_url"] else "lock "
    setup = f"make {lock}setup && . .venv/bin/activate"
    steps = [commit, setup, "titlebout doctor"] if not lock else [setup, commit, "titlebout doctor"]
    if ANSWERS["remote_url"]:
        steps = [setup, "dvc push && titlebout train && dvc push", commit, "titlebout doctor"]
    print("\nNext:\n", f"    cd {Path.cwd().name}", *(f"    {step}" for step in steps), sep="\n")


follow_links()
remove_caches()
set_python()
set_schedule()
set_license()
set_storage()
if not BY_COMMAND:
    init_git()
sys.path.insert(0, str((VENDORED / "src").resolve()))
record("vendored")
if ANSWERS["data_file"]:
    adopt()
    remove_caches()
    print(f"\nRun these commands in the folder {Path.cwd().name}.")
if ANSWERS["library"] != "vendored":
    record(use_release())
if not (BY_COMMAND or ANSWERS["data_file"]):
    show_next_steps()
