"""This repository's own CI and release: what no linter knows of them."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def jobs(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((WORKFLOWS / name).read_text("utf-8"), Loader=yaml.BaseLoader)["jobs"]
    return loaded


def green(lint: str, test: str, nightly: str) -> int:
    """Run the step of the last job as the runner does, with the results of the others."""
    (step,) = jobs("ci.yml")["green"]["steps"]
    assert set(step["env"]) == {"LINT", "TEST", "NIGHTLY"}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": os.defpath, "LINT": lint, "TEST": test, "NIGHTLY": nightly},
        capture_output=True,
    ).returncode


def test_tests_run_on_every_python_that_the_package_names() -> None:
    named = [found[1] for text in PROJECT["classifiers"] if (found := re.search(r":: Python :: (3\.\d+)$", text))]

    assert jobs("ci.yml")["test"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_last_job_waits_for_every_other_job() -> None:
    assert set(jobs("ci.yml")["green"]["needs"]) == set(jobs("ci.yml")) - {"green"}
    assert jobs("ci.yml")["green"]["if"] == "${{ always() }}"


@pytest.mark.parametrize("nightly", ["success", "skipped"])
def test_all_is_green_when_lint_and_tests_passed(nightly: str) -> None:
    assert green("success", "success", nightly) == 0


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped", ""])
def test_nothing_is_green_when_a_required_job_did_not_pass(result: str) -> None:
    assert green(result, "success", "skipped") == 1
    assert green("success", result, "skipped") == 1
    assert result == "skipped" or green("success", "success", result) == 1


def test_a_release_is_checked_before_anything_is_built() -> None:
    commands = [step["run"] for step in jobs("release.yml")["build"]["steps"] if "run" in step]

    assert commands == ['python scripts/check_release.py "$GITHUB_REF_NAME"', "make dist"]


def test_only_the_protected_environment_may_publish() -> None:
    holders = [name for name, job in jobs("release.yml").items() if "id-token" in job["permissions"]]

    assert holders == ["publish"]
    assert jobs("release.yml")["publish"]["environment"]["name"] == "pypi"
    assert jobs("release.yml")["publish"]["needs"] == "build"
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text("utf-8")


def test_what_is_published_was_attested_before() -> None:
    steps = jobs("release.yml")["publish"]["steps"]
    (attest,) = [number for number, step in enumerate(steps) if "attest-build-provenance@" in step.get("uses", "")]
    (publish,) = [number for number, step in enumerate(steps) if "uv publish" in step.get("run", "")]

    assert attest < publish
    assert steps[publish]["run"].endswith(f" {steps[attest]['with']['subject-path']}")


def test_the_uv_that_publishes_is_the_locked_one() -> None:
    (setup,) = [step for step in jobs("release.yml")["publish"]["steps"] if "setup-uv@" in step.get("uses", "")]
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")

    assert re.findall(r"^uv==(\S+)", lock, re.MULTILINE) == [setup["with"]["version"]]
