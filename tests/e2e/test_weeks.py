"""Seven weeks of real flights through the scheduled workflow: quiet, a bout that is lost, one that is won, a broken batch."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import sample
from fakes.github_server import GithubServer
from titlebout.act import WorkflowRun
from titlebout.git import Git
from titlebout.project import Project
from titlebout.tables import read_tables
from titlebout.tracking import Dvc
from workflow_runs import run

HOME = Path(__file__).parents[2]
BRANCH = "retrain/flights-delay"
Night = Callable[[int, int], WorkflowRun]


@pytest.fixture
def night(example: Path, github: GithubServer) -> Night:
    """Let the flights of some days of March and April 2013 arrive, and run what the schedule starts."""
    Dvc(Project.find(HOME)).pull_data()
    flights = pd.concat([pd.read_parquet(HOME / "data" / f"2013-0{month}.parquet") for month in (3, 4)])
    day = (flights["time_hour"] - pd.Timestamp("2013-03-01", tz="UTC")).dt.days
    (example / "incoming" / "2013-03.parquet").unlink()

    def arrive(first: int, end: int) -> WorkflowRun:
        rows = flights[(day >= first) & (day < end)]
        rows.to_parquet(example / "incoming" / f"day-{first:02d}.parquet", index=False)
        return tonight(example, github)

    return arrive


def tonight(root: Path, github: GithubServer) -> WorkflowRun:
    sample.commit(root, "What arrived")
    sample.git(root, "push", "--quiet", "origin", "main")
    return run(root, "drift.yml", "schedule", github)


def head(root: Path) -> str:
    return sample.git(root, "ls-remote", "origin", f"refs/heads/{BRANCH}").partition("\t")[0]


def trained_until(root: Path) -> pd.Timestamp:
    """Return the newest time in the data that the proposal was trained and judged on."""
    sample.git(root, "fetch", "--quiet", "origin", BRANCH)
    with Git(root).worktree("FETCH_HEAD") as tree:
        Dvc(Project.find(tree.root)).pull_data()
        return read_tables(tree.root, "data")["time_hour"].max()


def test_seven_weeks_of_flights(example: Path, github: GithubServer, night: Night) -> None:
    quiet = night(0, 14)
    assert quiet.jobs == {"check": "success"}, quiet.failure
    assert quiet.outputs["check"]["action"] == "nothing"
    assert (github.repository.pulls, github.repository.issues) == ([], [])

    lost = night(14, 21)
    assert lost.passed, lost.failure
    assert lost.outputs["check"]["reason"] == "drift"
    (issue,) = github.repository.issues
    assert (issue["title"], issue["state"]) == ("Retraining flights-delay: the champion keeps its title", "open")
    assert "### Gate: keep" in issue["body"]
    assert "| 2013-03-21 | drift | lost |" in issue["body"]
    assert (github.repository.pulls, head(example)) == ([], "")

    won = night(21, 49)
    assert won.passed, won.failure
    (pull,) = github.repository.pulls
    body = pull["body"]
    assert "### Gate: promote" in body
    assert body.index("### Gate: promote") < body.index("<details><summary>The decision and every signal</summary>")
    assert "| drift | " in body[body.index("### Decision: retrain") :]
    assert "<details><summary>Drift: what differs, and since when</summary>" in body
    assert "| dest | drift |" in body
    assert [one["state"] for one in github.repository.issues] == ["closed"]
    first = head(example)
    assert github.repository.statuses[-1] | {"sha": first, "state": "success"} == github.repository.statuses[-1]

    refreshed = night(49, 50)
    assert refreshed.passed, refreshed.failure
    assert refreshed.outputs["check"]["note"] == "the open proposal shows data up to 2013-04-18"
    assert [one["number"] for one in github.repository.pulls] == [pull["number"]]
    second = head(example)
    assert second != first
    assert trained_until(example) == pd.Timestamp("2013-04-20 03:00", tz="UTC")

    path = example / "incoming" / "day-49.parquet"
    good = pd.read_parquet(path)
    good.assign(temp=good["temp"].mask(good.index % 2 == 0, 451.0)).to_parquet(path, index=False)
    for _ in range(2):
        refused = tonight(example, github)
        assert refused.jobs == {"check": "failure", "tell": "success"}, refused.failure
    told = [one for one in github.repository.issues if one["state"] == "open"]
    assert [one["title"] for one in told] == ["Data for flights-delay was refused"]
    assert "temp" in told[0]["body"]
    assert head(example) == second, "nothing is trained on it"
    assert [one["number"] for one in github.repository.pulls] == [pull["number"]]
    assert github.violations == []
