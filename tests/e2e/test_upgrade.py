"""The commands of docs/how-to/upgrade.md, in repositories of an earlier state."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

import sample
from generation import commit_framework
from titlebout.core import process
from titlebout.repository.origin import RELEASE_LOCK, VENDORED, Origin, check_library, record_vendored
from titlebout.scaffold.generate import Choices, Request, adopt, new

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "upgrade.md").read_text("utf-8")
AGAIN, RELEASE, CRUFT = (
    "Generate it again with the newer version",
    "A wheel or a version instead of source",
    "With cruft",
)
CRON = '    - cron: "*/5 4 * * 2" # mine'
LONG = "make lint test train"  # run once


def commands(section: str) -> list[str]:
    """Return the commands of a section; those with uvx run this titlebout, and cruft of this environment."""
    text = re.split(r"^## ", PAGE.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    lines = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    assert lines, section
    this = f"{sys.executable} -m titlebout"
    return [re.sub(r"^uvx --from \S+ titlebout", this, line).replace("uvx cruft", "cruft") for line in lines]


def play(lines: list[str], root: Path) -> None:
    """Run commands in one shell, as a reader does, without the library of the tests on the path of the repository's own."""
    script = "\n".join(
        f"PYTHONPATH= {line}" if line.startswith((".venv", "make", "titlebout")) else line for line in lines
    )
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-xc", script], cwd=root, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    output = ran.stdout + ran.stderr
    assert not re.search(r"^(?:error: |make: \*\*\*|bash: )|command not found", output, re.MULTILINE), output


def generated(folder: Path, library: str = "") -> Path:
    """Return a new repository with one commit and a folder build, as a command has made it."""
    root = Path(new(Request("flights-delay", folder, answers={"library": library} if library else {})).path)
    (root / "build").mkdir()
    sample.commit(root, "First commit")
    return root


def age(root: Path) -> None:
    """Turn a new repository into one of an earlier version, with settings, a test and a schedule of its own."""
    library = root / VENDORED / "src" / "titlebout"
    if library.is_dir():
        (library / "gate" / "decision.py").write_text("# older\n", encoding="utf-8")
        (library / "gate" / "gone.py").write_text("# of the older version only\n", encoding="utf-8")
        record_vendored(root)
    for name in ("train", "gone"):
        (root / ".github/actions" / name).mkdir(exist_ok=True)
        (root / ".github/actions" / name / "action.yml").write_text("name: older\n", encoding="utf-8")
    settings, drift = root / "titlebout.toml", root / ".github/workflows/drift.yml"
    settings.write_text(settings.read_text("utf-8") + "# mine\n", encoding="utf-8")
    drift.write_text(re.sub(r"(?m)^ *- cron:.*$", CRON, drift.read_text("utf-8")), encoding="utf-8")
    (root / "tests" / "test_mine.py").write_text("def test_mine() -> None:\n    assert True\n", encoding="utf-8")
    sample.commit(root, "An earlier state")


def tracked(root: Path) -> dict[str, bytes]:
    """Return every file that git tracks."""
    return {name: (root / name).read_bytes() for name in sample.git(root, "ls-files").splitlines()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def table(folder: Path) -> Path:
    """Write 400 rows of which a label can be learned."""
    x = np.random.default_rng(0).normal(size=400)
    path = folder / "table.csv"
    pd.DataFrame({"x": x.round(3), "bought": np.where(x > 0, "yes", "no")}).to_csv(path, index=False)
    return path


def test_generating_again_replaces_what_belongs_to_titlebout(tmp_path: Path) -> None:
    root, latest = generated(tmp_path), generated(tmp_path / "latest")
    age(root)
    before = tracked(root)

    play(commands(AGAIN), root)

    assert sample.git(root, "status", "--porcelain") == ""
    assert sample.git(root, "log", "-1", "--format=%s") == "Upgrade titlebout"
    after = tracked(root)
    own = {"titlebout.toml", "tests/test_mine.py", ".github/workflows/drift.yml"}
    assert changed(after, tracked(latest)) == own
    assert {name for name in own if after[name] != before[name]} == set()
    assert CRON in after[".github/workflows/drift.yml"].decode()
    process.run([str(root / ".venv/bin/titlebout"), "doctor"], cwd=root, env={"PYTHONPATH": ""})


def test_own_data_and_models_are_left_alone(tmp_path: Path) -> None:
    root = generated(tmp_path)
    adopt(root, table(tmp_path), Choices("bought", None, None, {}))
    sample.commit(root, "My data")
    before = tracked(root)
    age(root)

    play([line for line in commands(AGAIN) if line != LONG], root)

    assert changed(before, tracked(root)) == {"titlebout.toml", "tests/test_mine.py", ".github/workflows/drift.yml"}
    check_library(root, "any")


def test_a_wheel_is_replaced_by_the_newer_one(tmp_path: Path) -> None:
    process.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")], cwd=ROOT)
    (newer,) = (tmp_path / "dist").glob("*.whl")
    older = Path(shutil.copy(newer, tmp_path))
    with ZipFile(older, "a") as archive:
        archive.comment = b"older"
    root = generated(tmp_path, str(older))
    age(root)
    shutil.copy(newer, root / "build")
    before = tracked(root)
    named = [line.replace("titlebout-0.1.0-py3-none-any.whl", newer.name) for line in commands(RELEASE)]

    first, generate, *others = commands(AGAIN)
    assert "titlebout new --answers" in generate
    play([first, *named, *(line for line in others if line != LONG)], root)

    upgraded = {
        RELEASE_LOCK,
        f"vendor/{newer.name}",
        ".github/actions/train/action.yml",
        ".github/actions/gone/action.yml",
    }
    assert changed(before, tracked(root)) == upgraded
    assert (root / "vendor" / newer.name).read_bytes() == newer.read_bytes()
    process.run([str(root / ".venv/bin/titlebout"), "doctor", "--library"], cwd=root, env={"PYTHONPATH": ""})


@pytest.mark.parametrize("own_data", [False, True], ids=["the example", "own data"])
def test_cruft_applies_the_differences(tmp_path: Path, own_data: bool) -> None:
    framework = commit_framework(tmp_path / "framework")
    workflow = framework / "cookiecutter/{{cookiecutter.project_slug}}/.github/workflows/ci.yml"
    library = framework / "src" / "titlebout"
    sources = (workflow, library / "gate" / "decision.py", library / "scaffold" / "readings.py")
    latest = {path: path.read_bytes() for path in sources}
    for path, text in latest.items():
        path.write_bytes(text + b"# older\n")
    sample.commit(framework, "An older version")
    create = ["cruft", "create", framework.as_uri(), "--directory", "cookiecutter", "--no-input"]
    process.run([*create, "--output-dir", str(tmp_path)], cwd=tmp_path)
    root = tmp_path / "flights-delay"
    sample.git(root, "init", "--quiet", "-b", "main")
    sample.commit(root, "First commit")
    if own_data:
        adopt(root, table(tmp_path), Choices("bought", None, None, {}))
    (root / "titlebout.toml").write_text((root / "titlebout.toml").read_text("utf-8") + "# mine\n", encoding="utf-8")
    sample.commit(root, "Mine")
    before = tracked(root)
    for path, text in latest.items():
        path.write_bytes(text)
    newest = sample.commit(framework, "A newer version")

    update, lock, check, resolve, accept = commands(CRUFT)
    play([update, resolve, lock, accept] if own_data else [update, lock, check], root)

    sample.git(root, "add", "--all")
    assert changed(before, tracked(root)) - {".cruft.json"} == {
        ".github/workflows/ci.yml",
        ".titlebout.toml",
        "vendor/titlebout/SHA256SUMS",
        "vendor/titlebout/src/titlebout/gate/decision.py",
        *(() if own_data else ("vendor/titlebout/src/titlebout/scaffold/readings.py",)),
    }
    assert Origin.read(root / ".titlebout.toml").commit == newest
    check_library(root, "any")
