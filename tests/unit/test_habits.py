"""What editors, hooks and the forge read beside the code: hooks run the locked programs, files end as .editorconfig says."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
FIXERS = {"end-of-file-fixer", "trailing-whitespace-fixer"}  # `make lint` changes no file; a test below checks the same
WRITTEN_BY_PROGRAMS = re.compile(r"(^|/)dvc-remote/|\.(lock|svg|parquet|png)$")


def text_files() -> list[Path]:
    """Every tracked file that a person writes; links are read where they lead."""
    ran = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in ran.stdout.split("\0") if name and not WRITTEN_BY_PROGRAMS.search(name)]
    return [path for name in names if (path := ROOT / name).is_file() and not path.is_symlink()]


def test_every_hook_is_a_program_of_the_locked_environment() -> None:
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    for hook in HOOKS[0]["hooks"]:
        assert hook["language"] == "system"
        program = ROOT / hook["entry"].split()[0]
        assert program.parent == ROOT / ".venv" / "bin", hook["id"]


@pytest.mark.parametrize("hook", HOOKS[0]["hooks"], ids=lambda hook: hook["id"])
def test_lint_checks_what_a_hook_checks(hook: dict[str, Any]) -> None:
    lint = re.search(r"^lint:.*?\n\n", MAKEFILE, re.MULTILINE | re.DOTALL)
    assert lint
    program, *options = hook["entry"].removeprefix(".venv/bin/").split()
    schema = [option for option in options if option.startswith("vendor.")]

    assert program in FIXERS or all(f" {part}" in lint[0].replace("$(BIN)/", " ") for part in [program, *schema])


def test_files_end_with_one_newline_and_lines_without_whitespace() -> None:
    faults = []
    for path in text_files():
        text = path.read_text("utf-8")
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            faults.append(f"{path.relative_to(ROOT)}: does not end with one newline")
        faults += [
            f"{path.relative_to(ROOT)}:{number}: whitespace at the end"
            for number, line in enumerate(text.split("\n"), 1)
            if line != line.rstrip()
        ]

    assert faults == []
