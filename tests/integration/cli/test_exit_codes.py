"""A command that checks the data: what reaches the workflow and the terminal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from action_results import OUTPUTS
from sample import CommandResult
from titlebout.cli.main import run


def test_a_result_reaches_the_workflow(
    root: Path, command: Callable[..., CommandResult], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    completed = command("check-data")

    outputs = (tmp_path / "GITHUB_OUTPUT").read_text().splitlines()
    assert [line.partition("<<")[0] for line in outputs[::3]] == list(OUTPUTS["check-data"])
    assert outputs[1::3] == ["passed", "true", "reports/check-data.md"]
    assert (tmp_path / "GITHUB_STEP_SUMMARY").read_text().strip() == (root / outputs[7]).read_text().strip()
    assert json.loads((root / "reports" / "check-data.json").read_text()) == completed.document


def test_without_json_people_get_the_report_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-data"]) == 0
    completed = capsys.readouterr()

    assert completed.out == (root / "reports" / "check-data.md").read_text()
    assert completed.err == ""
