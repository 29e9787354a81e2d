"""`titlebout act` runs a workflow with the real act: its jobs, its summaries, and the exit code of the step that failed."""

from pathlib import Path

import pytest

import sample
from sample import Command

STEP = "on: push\njobs:\n  one:\n    runs-on: ${{ vars.TITLEBOUT_RUNNER || 'ubuntu-24.04' }}\n    steps:\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "requirements.lock").write_text("", encoding="utf-8")
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    sample.git(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, *lines: str) -> None:
    steps = "".join(f"      - run: {line}\n" for line in lines)
    (root / ".github" / "workflows" / "mine.yml").write_text(STEP + steps, encoding="utf-8")
    sample.commit(root, "Workflow")


def test_a_workflow_that_passes_shows_jobs_and_each_summary_once(repository: Path, command: Command) -> None:
    write(repository, "echo '### Mine' >> $GITHUB_STEP_SUMMARY", "true")
    ran = command("act", "mine.yml", "push")

    assert (ran.code, ran.document["jobs"], ran.document["failed_with"]) == (0, {"one": "success"}, None)
    assert [text.strip() for text in ran.document["summaries"]] == ["### Mine"]


@pytest.mark.parametrize(("line", "code"), [("exit 11", 11), ("exit 10", 10), ("exit 1", 2), ("exit 99", 2)])
def test_a_step_that_fails_ends_the_command_with_its_code(
    line: str, code: int, repository: Path, command: Command
) -> None:
    write(repository, f"echo about to fail && {line}")
    ran = command("act", "mine.yml", "push")

    assert (ran.code, ran.document["passed"]) == (code, False)
    assert ran.document["reasons"] == ["failed: one"]
    assert "about to fail" in ran.errors
    assert "\x1b[" not in ran.errors


def test_a_run_without_a_job_is_no_success(repository: Path, command: Command) -> None:
    write(repository, "true")
    ran = command("act", "mine.yml", "schedule")

    assert (ran.code, ran.document["jobs"]) == (2, {})
    assert command("act", "nowhere.yml").code == 5
