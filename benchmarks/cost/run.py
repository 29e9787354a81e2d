"""Measure what the jobs of a generated repository cost: minutes, memory and storage.

python benchmarks/cost/run.py    # about ten minutes, a gigabyte of packages; writes results.json and docs/explanation/what-it-costs.md

It generates the flights example and runs, in the order of the workflows, what their jobs run: the environment with an empty and
with a filled cache of packages, and every command. Seconds of the processor include those of child processes, and depend
less than seconds of the clock on what else the machine does. A job on GitHub also starts a machine and checks out, which is
not measured here.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for record.py, which the benchmarks share

import record  # noqa: E402

from titlebout.core import process  # noqa: E402
from titlebout.scaffold.generate import Request, new  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "explanation" / "what-it-costs.md"
MARKS = ("<!-- costs: begin -->\n", "<!-- costs: end -->\n")
NAME = "flights-delay"
SETUP, EMPTY_SETUP = "environment", "environment, nothing in the cache"
EDIT = "max_iter: 100", "max_iter: 90"
# Steps of each job, in the order in which the workflows run them; `after` edits the parameters of the model first.
JOBS: Mapping[str, Sequence[str]] = {
    "code (ci.yml)": ("ruff check", "pytest --quiet"),
    "model (ci.yml), nothing changed": ("titlebout train", "titlebout evaluate --only-promotions"),
    "check (drift.yml)": (
        "titlebout check-data --on current --no-fail",
        "titlebout drift --no-fail",
        "titlebout decide",
    ),
    "train (retrain.yml)": ("titlebout retrain --reason drift --no-fail",),
    "package (deliver.yml)": ("titlebout package",),
    "model (ci.yml), model changed": ("titlebout train", "titlebout evaluate --only-promotions"),
}


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of the processor of a step, and the largest memory of one of its processes in MB."""

    job: str
    step: str
    wall_s: float
    cpu_s: float
    memory_mb: float


def measure(folder: Path) -> dict[str, Any]:
    """Return the costs of every step, and how much the repository grows, as JSON values."""
    new(Request(NAME, folder), ask=False)
    root = folder / NAME
    _run(["git", "add", "--all"], root)
    _run(["git", "commit", "--quiet", "--message", "Generate"], root)
    setup = ["bash", ".github/actions/setup/setup.sh"]
    cache = {"UV_CACHE_DIR": str(folder / "cache")}
    costs = [_timed("every job", EMPTY_SETUP, setup, root, cache)]
    shutil.rmtree(root / ".venv")
    costs.append(_timed("every job", SETUP, setup, root, cache))
    sizes = {"environment_mb": _megabytes(root / ".venv"), "repository_mb": _megabytes(root / ".git")}
    for job, steps in JOBS.items():
        if job.endswith("model changed"):
            _edit(root)
        costs += [_timed(job, step, step.split(), root, cache) for step in steps]
    sizes["growth_kb"] = _growth(root) / 1000
    return {"about": {"cores": os.cpu_count()}, "costs": [asdict(cost) for cost in costs], **sizes}


def _edit(root: Path) -> None:
    """Change a parameter of the model."""
    path = root / "pipelines" / NAME / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert EDIT[0] in text
    path.write_text(text.replace(*EDIT), encoding="utf-8")


def _growth(root: Path) -> int:
    """Return the bytes that the retrain branch adds to git, packed."""
    branch = f"retrain/{NAME}"
    packed = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "--quiet"],
        cwd=root,
        input=f"{branch}\n^main\n".encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return len(packed.stdout)


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


def _run(command: Sequence[str], root: Path) -> None:
    process.run(list(command), cwd=root)


def _timed(job: str, step: str, command: Sequence[str], root: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command of the repository's environment, and return its costs; exits when it fails."""
    path = f"{root / '.venv' / 'bin'}{os.pathsep}{process.child_environment()['PATH']}"
    began = time.perf_counter()
    child = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **environment, "PATH": path},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"error: {step} failed")
    wall = time.perf_counter() - began
    print(f"{job}: {step}: {wall:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of the processor", file=sys.stderr)
    return Cost(job, step, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def page(found: Mapping[str, Any]) -> str:
    """Return the tables of the page."""
    rows = [
        f"| {one['job']} | `{one['step']}` | {one['wall_s']:.0f} | {one['cpu_s']:.0f} | {one['memory_mb']:.0f} |"
        for one in found["costs"]
    ]
    head = ["| job | step | clock, s | processor, s | memory, MB |", "| --- | --- | --: | --: | --: |"]
    sizes = (
        f"Environment: {found['environment_mb']:,.0f} MB of disk. A new repository: {found['repository_mb']:.1f} MB of git. A "
        f"retraining adds {found['growth_kb']:.0f} kB to git. {found['about']['cores']} cores, shared with other work."
    )
    return "\n".join([*head, *rows, "", sizes]) + "\n"


def main() -> None:
    """Measure, and write results and page."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    record.into_page(PAGE, page(found), MARKS)


if __name__ == "__main__":
    main()
