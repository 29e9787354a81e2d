"""Seven weeks of real flights through the scheduled workflow, night by night; a test first plays the nights before its own."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

import sample
from fakes.github_server import GithubServer
from titlebout.data.tables import read_tables
from titlebout.forge.act import WorkflowRun
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from workflow_runs import REPOSITORY, run, with_origin

HOME = Path(__file__).parents[2]
BRANCH = "retrain/flights-delay"
LAST = pd.Timestamp("2013-05-21", tz="UTC")  # the fiftieth day


@dataclass
class Weeks:
    """A repository in use, the forge it is on, and what the pull request's branch was in the nights before."""

    root: Path
    github: GithubServer
    flights: pd.DataFrame
    heads: list[str] = field(default_factory=list)
    nights: list[WorkflowRun] = field(default_factory=list)

    def until(self, number: int) -> WorkflowRun:
        """Play the nights up to the given one that were not played yet, so that a test can also run alone."""
        while len(self.nights) < number:
            self.nights.append(NIGHTS[len(self.nights)](self))
        return self.nights[number - 1]

    def arrive(self, first: int, end: int) -> WorkflowRun:
        """Let the flights of some days arrive, counted from the first of April, and run what the schedule starts."""
        day = (self.flights["time_hour"] - pd.Timestamp("2013-04-01", tz="UTC")).dt.days
        rows = self.flights[(day >= first) & (day < end)]
        rows.to_parquet(self.root / "incoming" / f"day-{first:02d}.parquet", index=False)
        return self.tonight()

    def arrive_with(self, iterations: int, first: int, end: int) -> WorkflowRun:
        """Change how long the model is trained, which decides whether the challenger wins, and let some days arrive."""
        path = self.root / "pipelines/flights-delay/params.yaml"
        path.write_text(re.sub(r"max_iter: \d+", f"max_iter: {iterations}", path.read_text("utf-8")), "utf-8")
        return self.arrive(first, end)

    def tonight(self) -> WorkflowRun:
        if sample.git(self.root, "status", "--porcelain"):
            sample.commit(self.root, "What arrived")
            sample.git(self.root, "push", "--quiet", "origin", "main")
        ran = run(self.root, "drift.yml", "schedule", self.github)
        self.heads.append(sample.git(self.root, "ls-remote", "origin", f"refs/heads/{BRANCH}").partition("\t")[0])
        return ran

    def issues(self, state: str) -> list[str]:
        return [issue["title"] for issue in self.github.repository.issues if issue["state"] == state]


NIGHTS: tuple[Callable[[Weeks], WorkflowRun], ...] = (
    lambda weeks: weeks.arrive(0, 10),  # quiet
    lambda weeks: weeks.arrive_with(1, 10, 21),  # a challenger that loses
    lambda weeks: weeks.arrive_with(100, 21, 49),  # one that wins
    lambda weeks: weeks.arrive(49, 50),  # and the next day
)


@pytest.fixture(scope="module")
def weeks(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weeks]:
    root = with_origin(generated, tmp_path_factory.mktemp("weeks"))
    (root / "incoming" / "2013-04.parquet").unlink()
    Dvc(Project.find(HOME)).pull_data()
    flights = pd.concat([pd.read_parquet(HOME / "data" / f"2013-0{month}.parquet") for month in (4, 5)])
    with GithubServer(REPOSITORY) as github:
        yield Weeks(root, github, flights)


def test_quiet_weeks_open_nothing(weeks: Weeks) -> None:
    quiet = weeks.until(1)

    assert quiet.jobs == {"check": "success"}, quiet.failure
    assert quiet.outputs["check"]["action"] == "nothing"
    assert (weeks.github.repository.pulls, weeks.github.repository.issues, weeks.heads[-1]) == ([], [], "")


def test_a_challenger_that_loses_is_one_issue(weeks: Weeks) -> None:
    lost = weeks.until(2)

    assert lost.passed, lost.failure
    assert lost.outputs["check"]["reason"] == "drift"
    assert weeks.issues("open") == ["Retraining flights-delay: the challenger was not promoted"]
    (issue,) = weeks.github.repository.issues
    assert "### Gate: keep" in issue["body"]
    assert "| 2013-04-21 | drift | lost |" in issue["body"]
    assert (weeks.github.repository.pulls, weeks.heads[-1]) == ([], "")


def test_one_that_wins_is_one_pull_request_and_closes_the_issue(weeks: Weeks) -> None:
    won = weeks.until(3)

    assert won.passed, won.failure
    (pull,) = weeks.github.repository.pulls
    body = pull["body"]
    decision = body.index("<details><summary>Decision and triggers</summary>")
    assert body.index("### Gate: promote") < decision < body.index("### Decision: retrain")
    assert body.index("<details><summary>Drift report</summary>") < body.index("### Drift: detected")
    assert weeks.issues("closed") == ["Retraining flights-delay: the challenger was not promoted"]
    status = weeks.github.repository.statuses[-1]
    assert (status["sha"], status["state"]) == (weeks.heads[-1], "success")


@pytest.mark.nightly
def test_the_next_day_it_is_refreshed(weeks: Weeks) -> None:
    refreshed = weeks.until(4)

    assert refreshed.passed, refreshed.failure
    assert refreshed.outputs["check"]["note"] == "the open pull request is based on data up to 2013-05-19"
    assert len(weeks.github.repository.pulls) == 1
    assert weeks.heads[-1] not in weeks.heads[:-1]
    sample.git(weeks.root, "fetch", "--quiet", "origin", BRANCH)
    with Git(weeks.root).worktree("FETCH_HEAD") as tree:
        Dvc(Project.find(tree.root)).pull_data()
        assert read_tables(tree.root, "data")["time_hour"].max() == weeks.flights["time_hour"][lambda t: t < LAST].max()


@pytest.mark.nightly
def test_a_broken_batch_is_one_issue_and_never_trained_on(weeks: Weeks) -> None:
    weeks.until(4)
    path = weeks.root / "incoming" / "day-49.parquet"
    good = pd.read_parquet(path)
    good.assign(temp=451.0).to_parquet(path, index=False)

    for _ in range(2):
        refused = weeks.tonight()
        assert refused.jobs == {"check": "failure", "report": "success"}, refused.failure

    assert weeks.issues("open") == ["Data for flights-delay was refused"]
    (reported,) = (issue for issue in weeks.github.repository.issues if issue["state"] == "open")
    assert "'temp'" in reported["body"]
    assert len(set(weeks.heads[-3:])) == 1, "nothing is trained on it"
    assert len(weeks.github.repository.pulls) == 1
    assert weeks.github.violations == []
