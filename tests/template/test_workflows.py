"""The workflow files, read: what linters check, and what none of them does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from generation import ROOT, run

TEMPLATE = ROOT / "cookiecutter" / "{{cookiecutter.project_slug}}"
WORKFLOWS = {
    **{path.name: path for path in sorted((TEMPLATE / ".github" / "workflows").glob("*.yml"))},
    **{f"root/{path.name}": path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))},
}
# Who may start a workflow; pull_request_target, workflow_run and issue_comment run with rights on strangers' words.
TRIGGERS = {
    "ci.yml": {"push", "pull_request", "workflow_call", "workflow_dispatch"},
    "drift.yml": {"schedule", "workflow_call", "workflow_dispatch"},
    "retrain.yml": {"workflow_call", "workflow_dispatch", "repository_dispatch"},
    "deliver.yml": {"push", "workflow_call", "workflow_dispatch"},
    "root/ci.yml": {"push", "pull_request", "schedule", "workflow_dispatch"},
    "root/release.yml": {"push"},
}
READS = {"contents": "read"}
LOOKS = {"contents": "read", "pull-requests": "read"}
REPORTS = {"contents": "read", "issues": "write"}
PROPOSES = {"contents": "write", "pull-requests": "write", "statuses": "write", "issues": "write"}
PUBLISHES = {"id-token": "write", "attestations": "write"}
PERMISSIONS = {
    "ci.yml": {"code": READS, "model": READS},
    "drift.yml": {"check": LOOKS, "report": REPORTS, "retrain": PROPOSES},
    "retrain.yml": {"train": READS, "propose": PROPOSES},
    "deliver.yml": {"package": READS},
    "root/ci.yml": {"lint": READS, "test": READS, "nightly": READS, "green": {}},
    "root/release.yml": {"build": READS, "publish": PUBLISHES},
}
OWNERS = {"actions", "astral-sh"}


def load(name: str) -> Any:
    return yaml.load(WORKFLOWS[name].read_text("utf-8"), Loader=yaml.BaseLoader)


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = load(name)["jobs"]
    return found


def steps(name: str) -> list[Any]:
    return [step for job in jobs(name).values() for step in job.get("steps", [])]


every_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))


def test_these_are_all_workflows() -> None:
    assert set(WORKFLOWS) == set(TRIGGERS) == set(PERMISSIONS)


@every_workflow
def test_only_what_is_listed_here_starts_it(name: str) -> None:
    assert set(load(name)["on"]) == TRIGGERS[name]


@every_workflow
def test_a_job_has_the_rights_listed_here_and_says_why(name: str) -> None:
    assert load(name)["permissions"] == {}
    assert {job: given["permissions"] for job, given in jobs(name).items()} == PERMISSIONS[name]
    lines = re.findall(
        r"^ +(?:contents|pull-requests|statuses|issues|id-token|attestations): (?:read|write).*$",
        WORKFLOWS[name].read_text(),
        re.MULTILINE,
    )
    assert lines
    assert all(re.search(r"# \w+", line) for line in lines)


@every_workflow
def test_every_job_ends_on_its_own_and_runs_on_a_named_system(name: str) -> None:
    for job in jobs(name).values():
        if "uses" not in job:
            assert 1 <= int(job["timeout-minutes"]) <= 120
            chosen = "ubuntu-24.04" if name.startswith("root/") else "${{ vars.TITLEBOUT_RUNNER || 'ubuntu-24.04' }}"
            assert job["runs-on"] == chosen
    assert set(load(name)["concurrency"]) == {"group", "cancel-in-progress"}


@every_workflow
def test_actions_of_others_are_pinned_by_commit_with_their_version_beside_it(name: str) -> None:
    used = re.findall(r"^\s+(?:- )?uses: (?!\./)(.+)$", WORKFLOWS[name].read_text("utf-8"), re.MULTILINE)
    for text in used:
        found = re.fullmatch(r"([\w-]+)/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text)
        assert found, text
        assert found[1] in OWNERS


def test_one_action_has_one_pin_everywhere() -> None:
    used = {
        found
        for path in WORKFLOWS.values()
        for found in re.findall(r"^\s+(?:- )?uses: ([\w-]+/.+)$", path.read_text(), re.MULTILINE)
    }
    assert len({text.partition("@")[0] for text in used}) == len(used)


@every_workflow
def test_no_expression_is_pasted_into_a_shell(name: str) -> None:
    assert not [step for step in steps(name) if "${{" in step.get("run", "")]


@every_workflow
def test_no_checkout_leaves_a_token_behind(name: str) -> None:
    checkouts = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


@every_workflow
def test_inputs_of_our_actions_and_workflows_exist(name: str) -> None:
    for step in [*steps(name), *jobs(name).values()]:
        used = step.get("uses", "")
        if not used.startswith("./"):
            continue
        file = TEMPLATE / used / "action.yml" if "/actions/" in used else TEMPLATE / used
        called = yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader)
        known = called.get("inputs") or called["on"]["workflow_call"]["inputs"]
        assert set(step.get("with", {})) <= set(known), used


@every_workflow
def test_outputs_that_are_read_are_written(name: str) -> None:
    text = WORKFLOWS[name].read_text("utf-8")
    for step, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        (used,) = {given["uses"] for given in steps(name) if given.get("id") == step}
        action = yaml.load((TEMPLATE / used / "action.yml").read_text("utf-8"), Loader=yaml.BaseLoader)
        assert output in action["outputs"]
    for job, output in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert output in jobs(name)[job]["outputs"]


@every_workflow
def test_a_token_that_can_write_reaches_one_step_that_trains_nothing(name: str) -> None:
    assert "secrets." not in WORKFLOWS[name].read_text("utf-8")
    holders = [job for job, given in jobs(name).items() if "github.token" in str(given)]
    writers = [job for job in holders if "write" in jobs(name)[job]["permissions"].values()]
    assert holders == {"retrain.yml": ["train", "propose"], "drift.yml": ["check", "report"]}.get(name, [])
    assert writers == {"retrain.yml": ["propose"], "drift.yml": ["report"]}.get(name, [])
    given = [step["with"] for job in writers for step in jobs(name)[job]["steps"] if "token" in step.get("with", {})]
    assert all("from-bundle" in inputs or "from-reports" in inputs for inputs in given)
    assert len(given) == len(writers)


@every_workflow
def test_what_retrains_writes_or_ships_takes_nothing_from_a_cache(name: str) -> None:
    for step in steps(name):
        if step.get("uses", "").startswith("astral-sh/setup-uv@"):
            assert step["with"]["enable-cache"] == ("true" if name.endswith("ci.yml") else "false")


def test_the_schedule_avoids_the_full_and_the_half_hour() -> None:
    (schedule,) = load("drift.yml")["on"]["schedule"]
    minute, hour, *rest = schedule["cron"].split()
    assert int(minute) not in {0, 30}
    assert 0 <= int(hour) < 24
    assert rest == ["*", "*", "*"]


def test_delivery_starts_from_a_new_champion_or_a_tag() -> None:
    push = load("deliver.yml")["on"]["push"]
    assert push == {"branches": ["**"], "paths": ["**/pipelines/*/champion.dvc"], "tags": ["*@v*"]}


def test_a_push_runs_jobs_on_the_default_branch_only_whatever_its_name() -> None:
    default = "github.ref_name == github.event.repository.default_branch"
    assert {job["if"] for job in jobs("ci.yml").values()} == {f"${{{{ github.event_name != 'push' || {default} }}}}"}
    (job,) = jobs("deliver.yml").values()
    assert job["if"] == f"${{{{ github.event_name != 'push' || github.ref_type == 'tag' || {default} }}}}"


def test_a_fork_is_not_retrained_on_a_schedule() -> None:
    assert jobs("drift.yml")["check"]["if"] == (
        "${{ github.event_name != 'schedule' || !github.event.repository.fork }}"
    )


@pytest.mark.parametrize("name", sorted(name for name in WORKFLOWS if "/" not in name))
def test_every_step_runs_in_the_folder_that_the_setup_found(name: str) -> None:
    found = "${{ steps.setup.outputs.project }}"
    called = load(name)["on"]["workflow_call"]["inputs"]["project"]
    assert called == load(name)["on"]["workflow_dispatch"]["inputs"]["project"]
    assert "inputs.project" in load(name)["concurrency"]["group"]
    for step in steps(name):
        used = step.get("uses", "")
        if used == "./.github/actions/setup":
            assert step["id"] == "setup"
            assert step["with"]["project"] == "${{ inputs.project || vars.TITLEBOUT_PROJECT }}"
        elif used.startswith("./"):
            assert step["with"]["project"] == found
        elif "run" in step:
            assert step["working-directory"] == found
        elif "artifact@" in used:
            paths = step["with"]["path"].splitlines()
            assert all(path.startswith("${{ steps.setup.outputs.project") for path in paths)


@pytest.mark.parametrize("where", ["generated", "root"])
def test_the_security_linter_finds_nothing_at_its_strictest(project: Path, where: str) -> None:
    folder = project if where == "generated" else ROOT
    options = ("--offline", "--strict-collection", "--persona", "auditor", "--no-progress", "--format", "plain")
    ran = run("zizmor", *options, *(["."] if where == "generated" else [".github"]), cwd=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "No findings" in ran.stdout
    assert ran.stderr.count("completed") >= (12 if where == "generated" else 9), ran.stderr


def test_the_one_rule_that_is_off_is_the_one_with_a_reason(project: Path) -> None:
    options = ("--offline", "--strict-collection", "--persona", "auditor", "--no-progress", "--format", "plain")
    ran = run("zizmor", *options, "--no-config", "--no-ignores", ".", cwd=project)
    assert set(re.findall(r"^\w+\[([\w-]+)\]", ran.stdout, re.MULTILINE)) == {"self-repository"}
    config = yaml.safe_load((project / ".github" / "zizmor.yml").read_text("utf-8"))
    assert config == {"rules": {"self-repository": {"disable": True}}}


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("custom.github-workflows-require-timeout", ".github/workflows/*.yml"),
        ("vendor.github-actions", ".github/actions/*/action.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
    ],
)
def test_every_file_follows_githubs_schema(project: Path, schema: str, pattern: str) -> None:
    for folder in (project, ROOT):
        files = sorted(folder.glob(pattern))
        ran = run("check-jsonschema", "--builtin-schema", schema, *files, cwd=folder)
        assert files
        assert ran.returncode == 0, ran.stdout
