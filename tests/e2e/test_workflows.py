"""The workflows of a generated repository, run whole: first push, drift, retraining, pull request, promotion, refusals."""

import json
import sys
from pathlib import Path

import pandas as pd
import yaml

import sample
from fakes.github_server import GithubServer
from titlebout.core import process
from titlebout.forge.act import run_workflow
from workflow_runs import run

BRANCH = "retrain/flights-delay"


def test_the_first_push_is_green_and_has_nothing_to_train(example: Path, github: GithubServer) -> None:
    ran = run(example, "ci.yml", "push", github)
    assert ran.jobs == {"code": "success", "model": "success"}, ran.failure
    assert ran.outputs["model"]["stages"] == "[]"
    assert ran.outputs["model"]["verdict"] == "unchanged"
    assert ran.outputs["code"]["titlebout-version"]
    assert any("Nothing changed, nothing was trained" in summary for summary in ran.summaries)
    assert github.calls == []


def test_failing_code_checks_do_not_stop_the_gate(example: Path, github: GithubServer) -> None:
    sample.edit(example / "src/flights_delay/features.py", "import pandas as pd", "import os\nimport pandas as pd")
    sample.commit(example, "An unused import")
    ran = run(example, "ci.yml", "pull_request", github, number=1)
    assert ran.jobs == {"code": "failure", "model": "success"}, ran.failure
    assert "F401" in ran.failure


def test_an_edited_library_fails_the_code_job_by_its_file(example: Path, github: GithubServer) -> None:
    edited = example / "vendor/titlebout/src/titlebout/doctor.py"
    edited.write_text(edited.read_text("utf-8") + "# mine\n", encoding="utf-8")
    sample.commit(example, "A fix of my own")
    ran = run(example, "ci.yml", "pull_request", github, number=1)
    assert ran.jobs == {"code": "failure", "model": "success"}, ran.failure
    assert "vendor/titlebout was changed: src/titlebout/doctor.py" in ran.failure
    assert "doctor --accept-vendor" in ran.failure


def test_drift_opens_one_pull_request_that_passes_its_own_gate(
    example: Path, github: GithubServer, tmp_path: Path
) -> None:
    before = sample.git(example, "rev-parse", "HEAD")
    first = run(example, "drift.yml", "schedule", github)
    assert first.passed, first.failure
    assert len(first.jobs) == 3
    assert first.outputs["check"]["action"] == "attempt"
    (pull,) = github.state()["pulls"]
    assert pull["head"]["ref"] == BRANCH
    assert pull["title"].startswith("Retrain flights-delay: log loss ")
    assert f"Reason for the retraining: **{first.outputs['check']['reason'].replace('_', ' ')}, " in pull["body"]
    log = "refs/titlebout/log/flights-delay"
    assert log in sample.git(example, "ls-remote", "origin", log)
    assert "### Gate: promote" in pull["body"]
    tip = sample.git(example, "ls-remote", "origin", f"refs/heads/{BRANCH}").split()[0]
    (status,) = github.state()["statuses"]
    assert (status["sha"], status["context"], status["state"]) == (tip, "titlebout/gate", "success")

    # A second night with the same data makes no second attempt.
    second = run(example, "drift.yml", "schedule", github)
    assert second.jobs == {"check": "success"}, second.failure
    assert second.outputs["check"]["action"] == "wait"

    again = run(example, "retrain.yml", "workflow_dispatch", github, inputs={"reason": "manual", "note": "by hand"})
    assert again.passed, again.failure
    assert again.outputs["train"]["operation"] == "unchanged"
    assert [other["number"] for other in github.state()["pulls"]] == [pull["number"]]
    assert sample.git(example, "ls-remote", "origin", f"refs/heads/{BRANCH}").split()[0] == tip
    assert github.violations == []

    clone = tmp_path / "review"
    sample.git(example, "clone", "--quiet", "--branch", BRANCH, str(tmp_path / "origin.git"), str(clone))
    assert sample.git(clone, "rev-parse", "HEAD~1") == before
    changed = sample.git(clone, "diff", "--name-only", "HEAD~1").splitlines()
    assert all(path.startswith(("data.dvc", "dvc-remote/", "pipelines/flights-delay/")) for path in changed)
    judged = run(clone, "ci.yml", "pull_request", github, number=pull["number"])
    assert judged.passed, judged.failure
    assert judged.outputs["model"]["promotion"] == "true"
    assert judged.outputs["model"]["verdict"] == "promote"
    assert judged.outputs["model"]["stages"] == "[]", "what the retraining trained is not trained again"


def test_data_that_is_refused_stops_before_drift_is_even_measured(example: Path, github: GithubServer) -> None:
    path = example / "incoming" / "2013-04.parquet"
    pd.read_parquet(path).rename(columns={"temp": "temperature"}).to_parquet(path, index=False)
    sample.commit(example, "A batch with another column")
    ran = run(example, "drift.yml", "schedule", github)
    assert ran.jobs == {"check": "failure", "report": "success"}, ran.failure
    assert ran.outputs["check"]["action"] == "stop"
    assert any("temperature" in summary for summary in ran.summaries)
    assert "### Drift" not in "".join(ran.summaries)
    (issue,) = github.repository.issues
    assert "'temperature'" in issue["body"]
    assert (github.repository.pulls, github.repository.statuses, github.violations) == ([], [], [])


def write_champion(pipeline: Path) -> None:
    """Write the challenger into champion.dvc by hand, with its digest."""
    document = yaml.safe_load((pipeline / "champion.dvc").read_text("utf-8"))
    model = yaml.safe_load((pipeline / "dvc.lock").read_text("utf-8"))["stages"]["train"]["outs"][0]
    document["outs"] = [model | {"path": "champion"}]
    document["meta"]["digest"] = json.loads((pipeline / "reports" / "metrics.json").read_text("utf-8"))["model"]
    (pipeline / "champion.dvc").write_text(yaml.safe_dump(document), "utf-8")


def test_a_challenger_that_loses_may_be_merged_but_not_as_the_champion(example: Path, github: GithubServer) -> None:
    pipeline = example / "pipelines" / "flights-delay"
    sample.edit(pipeline / "params.yaml", "max_iter: 100", "max_iter: 1")
    process.run([sys.executable, "-m", "titlebout", "train"], cwd=example)
    sample.dvc(example, "push")
    sample.commit(example, "A model that hardly learns")
    tried = run(example, "ci.yml", "pull_request", github, number=1)
    assert tried.passed, tried.failure
    assert (tried.outputs["model"]["verdict"], tried.outputs["model"]["promotion"]) == ("keep", "false")

    write_champion(pipeline)
    sample.commit(example, "Write a model into champion.dvc by hand")
    ran = run(example, "ci.yml", "pull_request", github, number=1)
    assert ran.jobs == {"code": "success", "model": "failure"}, ran.failure
    assert (ran.outputs["model"]["verdict"], ran.outputs["model"]["promotion"]) == ("keep", "true")


def test_a_losing_champion_pushed_straight_to_main_is_red(example: Path, github: GithubServer) -> None:
    before = sample.git(example, "rev-parse", "HEAD")
    pipeline = example / "pipelines" / "flights-delay"
    sample.edit(pipeline / "params.yaml", "max_iter: 100", "max_iter: 1")
    process.run([sys.executable, "-m", "titlebout", "train"], cwd=example)
    write_champion(pipeline)
    sample.dvc(example, "push")
    sample.commit(example, "Straight to main")
    sample.git(example, "push", "--quiet", "origin", "main")

    ran = run(example, "ci.yml", "push", github, before=before, ref="refs/heads/main")

    assert ran.jobs["model"] == "failure", ran.failure
    assert (ran.outputs["model"]["verdict"], ran.outputs["model"]["promotion"]) == ("keep", "true")


def test_a_new_champion_is_delivered_as_a_bento_that_answers_like_it(
    example: Path, github: GithubServer, tmp_path: Path
) -> None:
    # Where there is a builder, tests/integration/serving/test_image.py builds and runs the image; here it is taken away.
    without_builder = {"CONTAINERS_STORAGE_CONF": str(tmp_path / "none"), "DOCKER_HOST": "unix:///none.sock"}

    ran = run_workflow(example, "deliver.yml", "push", payload={"ref": "refs/heads/main"}, variables=without_builder)

    assert ran.jobs == {"package": "success"}, ran.failure
    assert ran.outputs["package"]["tag"].startswith("flights-delay:")
    assert ran.outputs["package"]["image"] == ""
    assert any("Golden rows" in summary and "256" in summary for summary in ran.summaries)
