"""The stand-ins for other people's Actions do with local means what those do."""

import os
from pathlib import Path

import pytest
import yaml

from titlebout.core import process
from titlebout.forge.act import STANDINS

# Its documentation: "If a wildcard pattern is used, the path hierarchy will be preserved after the first wildcard";
# of several paths "the least common ancestor of all the search paths will be used as the root directory".
UPLOADS = {
    "reports/": ["decide.json", "deep/x"],
    "build/a.bundle\nreports/\n": ["build/a.bundle", "reports/decide.json", "reports/deep/x"],
    "build/a.bundle": ["a.bundle"],
    "reports/**/x": ["deep/x"],
    "reports/\nnowhere/": ["reports/decide.json", "reports/deep/x"],
    "nowhere/": [],
}


@pytest.mark.parametrize("paths", UPLOADS)
def test_an_artifact_begins_below_what_its_paths_have_in_common(paths: str, tmp_path: Path) -> None:
    for name in ("reports/deep/x", "reports/decide.json", "build/a.bundle"):
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    action = yaml.safe_load((STANDINS / "actions/upload-artifact/action.yml").read_text("utf-8"))
    (step,) = action["runs"]["steps"]
    env = {"NAME": "kept", "PATHS": paths, "TITLEBOUT_ARTIFACTS": str(tmp_path / "artifacts")}

    process.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path / "work", env=env)

    kept = tmp_path / "artifacts" / "kept"
    found = [os.path.relpath(Path(folder, file), kept) for folder, _, files in os.walk(kept) for file in files]
    assert sorted(found) == UPLOADS[paths]


def test_the_environment_of_a_job_starts_with_bytecode(tmp_path: Path) -> None:
    compiled = tmp_path / "bytecode/lib/x/__pycache__/y.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"1")
    (tmp_path / "work").mkdir()
    action = yaml.safe_load((STANDINS / "astral-sh/setup-uv/action.yml").read_text("utf-8"))
    (step,) = action["runs"]["steps"]

    for _ in range(2):
        env = {"TITLEBOUT_BYTECODE": str(tmp_path / "bytecode")}
        process.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path / "work", env=env)

    assert (tmp_path / "work/.venv/lib/x/__pycache__/y.pyc").read_bytes() == b"1"
