"""Looks: challengers of the git history, of this clone's record and of the log of attempts, each counted once."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sample
from titlebout.data.holdout import Holdout
from titlebout.gate.looks import Looks, find_looks, record_look
from titlebout.models.champion import Promotion, set_champion
from titlebout.repository.dvc_files import DvcOutput
from titlebout.repository.git import Git
from titlebout.repository.project import Project

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DATA_END = "2026-05-31T00:00:00+00:00"


def model(number: int) -> str:
    return f"{number:032x}.dir"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    sample.write_settings(tmp_path)
    sample.git(tmp_path, "init", "--quiet")
    return Project.find(tmp_path)


def train(project: Project, monkeypatch: pytest.MonkeyPatch, number: int, days_ago: int, extra: str = "") -> None:
    """Commit the lock file of a model."""
    lock = f"schema: '2.0'\nstages:\n  train:\n    outs:\n    - {{path: model, md5: {model(number)}, size: 1}}\n{extra}"
    (project.pipeline_dir / "dvc.lock").write_text(lock, encoding="utf-8")
    when = (NOW - timedelta(days=days_ago)).isoformat()
    monkeypatch.setenv("GIT_COMMITTER_DATE", when)
    monkeypatch.setenv("GIT_AUTHOR_DATE", when)
    sample.commit(project.root, f"Train {number}")


def looks(project: Project, data_end: str = DATA_END) -> Looks:
    return find_looks(project, Git(project.root), "HEAD", data_end, NOW)


def log(project: Project, *attempts: tuple[str, str, str]) -> None:
    git = Git(project.root)
    lines = "".join(
        json.dumps({"at": at, "reason": reason, "outcome": outcome}) + "\n" for at, reason, outcome in attempts
    )
    git.set_ref(f"refs/titlebout/log/{project.pipeline}", git.commit_file("attempts.jsonl", lines, "Log", None), None)


def test_challengers_of_the_last_year_are_counted_once_each(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, days_ago, extra in ((1, 400, ""), (2, 300, ""), (3, 200, ""), (3, 100, "# edited\n"), (4, 10, "")):
        train(project, monkeypatch, number, days_ago, extra)

    assert set(looks(project).challengers) == {model(2), model(3), model(4)}
    assert looks(project).number(model(9)) == 4


def test_the_same_challenger_keeps_its_number(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        train(project, monkeypatch, number, 40 - number)

    assert [looks(project).number(model(number)) for number in (1, 2, 3)] == [1, 2, 3]


def test_other_branches_count_and_conflicts_do_not(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    train(project, monkeypatch, 1, 30)
    sample.git(project.root, "checkout", "--quiet", "-b", "idea")
    train(project, monkeypatch, 2, 20)
    train(project, monkeypatch, 3, 19, "<<<<<<< HEAD\n")
    sample.git(project.root, "checkout", "--quiet", "-")

    assert set(looks(project).challengers) == {model(1), model(2)}


def test_evaluations_without_a_commit_are_in_the_record(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    train(project, monkeypatch, 1, 30)
    for number, days_ago in ((2, 20), (2, 5), (3, 400)):
        record_look(project, Git(project.root), model(number), NOW - timedelta(days=days_ago))

    assert looks(project).challengers[model(2)] == NOW - timedelta(days=20)
    assert looks(project).number(model(9)) == 3


def test_evaluations_of_another_pipeline_do_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    record_look(replace(project, pipeline="other"), Git(project.root), model(1), NOW - timedelta(days=1))
    train(project, monkeypatch, 2, 30)

    assert set(looks(project).challengers) == {model(2)}


@pytest.mark.parametrize(("rule", "number"), [("superior", 2), ("non-inferior", 4)])
def test_only_a_promotion_as_superior_restores_the_budget(
    project: Project, monkeypatch: pytest.MonkeyPatch, rule: str, number: int
) -> None:
    first = Holdout(rows=9, fingerprint="ab", start="", end="2026-04-01T00:00:00+00:00", uses=1)
    train(project, monkeypatch, 1, 60)
    train(project, monkeypatch, 2, 50)
    set_champion(project, DvcOutput(model(2), 1, 1), Promotion(rule=rule, holdout=first), "")
    train(project, monkeypatch, 2, 40, "# promoted\n")
    train(project, monkeypatch, 3, 30)

    assert looks(project).number(model(9)) == number


def test_attempts_that_left_no_commit_are_in_the_log(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    train(project, monkeypatch, 1, 30)
    log(
        project,
        ("2026-05-01T00:00:00+00:00", "schedule", "lost"),
        ("2026-05-08T00:00:00+00:00", "manual", "inconclusive"),
        ("2026-05-15T00:00:00+00:00", "schedule", "won"),
        ("2026-05-22T00:00:00+00:00", "drift", "lost"),
        ("2025-05-01T00:00:00+00:00", "schedule", "lost"),
        ("never", "schedule", "lost"),
    )

    assert looks(project).attempts == 2
    assert looks(project).number(model(9)) == 3


def test_attempts_before_the_last_promotion_do_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Holdout(rows=9, fingerprint="ab", start="", end="2026-05-04T00:00:00+00:00", uses=1)
    set_champion(project, DvcOutput(model(2), 1, 1), Promotion(holdout=held), "")
    train(project, monkeypatch, 2, 20)
    log(project, ("2026-05-01T00:00:00+00:00", "schedule", "lost"), ("2026-05-08T00:00:00+00:00", "schedule", "lost"))

    assert looks(project).attempts == 1


def test_a_log_in_numbers_of_rows_has_no_year(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    train(project, monkeypatch, 1, 30)
    log(project, ("1000", "schedule", "lost"), ("2000", "schedule", "lost"))

    assert looks(project, "").attempts == 2
