"""The pre-commit hooks run the programs of the lock, and nothing that `make lint` does not check."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
# They change files, which `make lint` never does; tests/integration/test_files.py checks the same.
FIXERS = {"end-of-file-fixer", "trailing-whitespace-fixer"}


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
