"""The workflows of a project in a folder of a larger repository, whose default branch is not main."""

from pathlib import Path

import pytest

import sample
from fakes.github_server import GithubServer
from titlebout.scaffold.generate import Request, new
from workflow_runs import run, with_origin

FOLDER = "services/ml & data"
NAME = "flights-delay"
PROJECT = f"{FOLDER}/{NAME}"


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a workflow of its own, and a new project in one of its folders; not to be changed."""
    root = tmp_path_factory.mktemp("larger") / "shop"
    own = root / ".github" / "workflows" / "ci.yml"
    own.parent.mkdir(parents=True)
    own.write_text("name: Shop\n", encoding="utf-8")
    sample.git(root, "init", "--quiet", "--initial-branch", "trunk")
    sample.commit(root, "The shop")
    new(Request("Flights delay", root / FOLDER))
    sample.commit(root, "A model of flights")
    return root


@pytest.fixture
def shop(larger: Path, tmp_path: Path) -> Path:
    return with_origin(larger, tmp_path)


def test_a_push_to_the_default_branch_checks_the_project(shop: Path, github: GithubServer) -> None:
    ran = run(shop, "titlebout-ci.yml", "push", github, ref="refs/heads/trunk")

    assert ran.jobs == {"code": "success", "model": "success"}, ran.failure
    assert ran.outputs["model"]["project"] == PROJECT
    assert ran.outputs["model"]["verdict"] == "unchanged"


def test_other_branches_and_schedules_of_forks_run_no_job(shop: Path, github: GithubServer) -> None:
    sample.git(shop, "switch", "--quiet", "-c", "work")
    assert run(shop, "titlebout-ci.yml", "push", github, repository={"default_branch": "trunk"}).jobs == {}
    assert run(shop, "drift.yml", "schedule", github, repository={"fork": True}).jobs == {}


@pytest.mark.nightly
def test_drift_retrains_the_project_and_changes_no_other_file(shop: Path, github: GithubServer) -> None:
    ran = run(shop, "drift.yml", "schedule", github)

    assert ran.passed, ran.failure
    assert len(ran.jobs) == 3
    (pull,) = github.state()["pulls"]
    assert pull["base"]["ref"] == "trunk"
    assert pull["head"]["ref"].startswith(f"retrain/{NAME}@services-ml-data-{NAME}-")
    sample.git(shop, "fetch", "--quiet", "origin")
    changed = sample.git(
        shop, "-c", "core.quotePath=false", "diff", "--name-only", "trunk", f"origin/{pull['head']['ref']}"
    )
    assert f"{PROJECT}/pipelines/{NAME}/champion.dvc" in changed.splitlines()
    assert all(path.startswith(f"{PROJECT}/") for path in changed.splitlines())
    assert github.violations == []
