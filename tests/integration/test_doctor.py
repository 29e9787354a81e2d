"""The doctor finds what is missing, says how to fix it, and never fails itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import sample
from titlebout.core import process
from titlebout.doctor import MAX_REMOTE_BYTES, WORKFLOWS, doctor
from titlebout.models.champion import Promotion, set_champion
from titlebout.repository.dvc_files import parse_dvc_file
from titlebout.repository.git import Git
from titlebout.repository.project import Project

ADVICE_OF_THE_SAMPLE = {"lock", "champion", "workflows", "current data"}


def found(start: Path) -> dict[str, dict[str, Any]]:
    return {finding.name: finding for finding in doctor(start).findings}


def broken(start: Path) -> set[str]:
    return {name for name, finding in found(start).items() if not finding.ok}


def test_a_repository_in_order_passes_despite_advice(root: Path) -> None:
    result = doctor(root)
    assert result.passed
    assert broken(root) == ADVICE_OF_THE_SAMPLE
    assert all(finding.fix for finding in result.findings if not finding.ok)


def test_outside_a_repository_it_says_how_to_get_one(tmp_path: Path) -> None:
    result = doctor(tmp_path)
    assert not result.passed
    assert broken(tmp_path) == {"git", "settings"}
    assert "titlebout new" in found(tmp_path)["settings"].fix


def test_a_repository_without_a_commit_is_not_ready(root: Path) -> None:
    sample.git(root, "update-ref", "-d", "HEAD")
    assert "git commit" in found(root)["git"].fix


@pytest.mark.usefixtures("no_identity")
def test_without_an_identity_git_cannot_commit(root: Path) -> None:
    assert "git config user.name" in found(root)["identity"].fix


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("settings", "titlebout.toml", "schema_version = 1\nunknown = 2\n"),
        ("parameters", "pipelines/ferries/params.yaml", "data: ["),
        ("suite", "expectations/ferries.json", "{"),
        ("data", "data.dvc", "<<<<<<< ours\n"),
        ("data", ".dvc/config", "[core]\n    analytics = false\n"),
        ("champion", "pipelines/ferries/champion.dvc", "outs: []\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(root: Path, name: str, path: str, text: str) -> None:
    (root / path).write_text(text, encoding="utf-8")
    assert not found(root)[name].ok
    assert found(root)[name].what


def test_a_target_that_the_data_does_not_have_is_found(root: Path) -> None:
    sample.dvc(root, "pull", "--quiet", "data.dvc")
    sample.edit(root / "pipelines/ferries/params.yaml", "target: late", "target: delayed")

    assert "the data has no column 'delayed', the target: it has: " in found(root)["parameters"].what
    assert not doctor(root).passed


@pytest.mark.parametrize(
    ("name", "path"), [("suite", "expectations/ferries.json"), ("data", "data.dvc"), ("settings", "titlebout.toml")]
)
def test_a_file_that_is_missing_fails_the_command(root: Path, name: str, path: str) -> None:
    (root / path).unlink()
    assert not doctor(root).passed
    assert not found(root)[name].ok


def test_an_object_in_neither_remote_nor_cache_is_missing(root: Path) -> None:
    objects = [path for folder in ("dvc-remote", ".dvc/cache") for path in (root / folder).rglob("*") if path.is_file()]
    data = [path for path in objects if not path.name.endswith(".dir")]
    for path in data[:-1]:
        path.unlink()
    assert "data" not in broken(root), "one copy is enough"
    data[-1].unlink()
    assert found(root)["data"].what.startswith("the DVC object of 2024-03.parquet is missing from both")
    assert "dvc push" in found(root)["data"].fix


def test_the_suite_names_the_columns_of_data_that_is_not_here(root: Path) -> None:
    shutil.rmtree(root / "data", ignore_errors=True)
    sample.edit(root / "pipelines/ferries/params.yaml", "target: late", "target: delayed")

    assert found(root)["parameters"].what.startswith("the data has no column 'delayed', the target")


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gs"), ("webdavs", "webdav")])
def test_the_lock_needs_support_for_the_remote(root: Path, scheme: str, extra: str) -> None:
    sample.edit(root / ".dvc" / "config", "url = ../dvc-remote", f"url = {scheme}://bucket/path")
    (root / "pyproject.toml").write_text("[dependency-groups]\nstorage = []\n", encoding="utf-8")

    finding = found(root)["storage"]
    assert finding.what == f"requirements.lock does not have dvc-{extra}, DVC's support for {scheme}://bucket/path"
    assert finding.fix.startswith(f'add "dvc[{extra}]" to the group storage')
    assert not doctor(root).passed

    (root / "pyproject.toml").write_text(f'[dependency-groups]\nstorage = ["dvc[{extra}]>=3.67"]\n', encoding="utf-8")
    assert found(root)["storage"].fix == "run `make lock setup`, then `dvc push`"
    (root / "requirements.lock").write_text(f"dvc-{extra}==1.0\n", encoding="utf-8")
    assert found(root)["storage"].ok == (extra == "s3"), "the only one that is installed here"
    if extra != "s3":
        assert found(root)["storage"].fix == "run `make setup`"


def scheduled(root: Path, day: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Commit a workflow with a schedule on a day, and return what is found."""
    workflow = root / ".github" / "workflows" / "drift.yml"
    workflow.parent.mkdir(parents=True, exist_ok=True)
    workflow.write_text(f"# {day}\non:\n  schedule:\n    - cron: 17 3 * * *\n", encoding="utf-8")
    with monkeypatch.context() as environment:
        if day:
            environment.setenv("GIT_COMMITTER_DATE", f"{day}T00:00:00Z")
        sample.commit(root, "A schedule")
    return found(root)["schedule"]


def test_a_schedule_that_github_stops_has_advice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(root)["schedule"].what == "no workflow has one"

    quiet = scheduled(root, "2024-01-01", monkeypatch)
    assert "after 60 days without activity" in quiet.what
    assert "`gh workflow enable drift.yml`" in quiet.fix
    assert doctor(root).passed, "it is advice"

    assert scheduled(root, "", monkeypatch).what == "drift.yml; last commit 0 days ago"


def test_whether_workflows_may_open_pull_requests_is_advice_until_one_was_merged(root: Path) -> None:
    assert found(root)["approvals"].ok, "it is not on a forge yet"
    sample.git(root, "remote", "add", "origin", "https://github.com/acme/ferries")

    assert "Settings → Actions → General" in found(root)["approvals"].fix
    assert "actions/permissions/workflow" in found(root)["approvals"].fix

    output = parse_dvc_file((root / "data.dvc").read_text(encoding="utf-8"), "data.dvc")
    set_champion(Project.find(root), output, Promotion(reason="drift"), expected="")
    assert found(root)["approvals"].what == "a retrain pull request was merged"


def test_a_remote_elsewhere_is_named_and_not_checked(root: Path) -> None:
    sample.edit(root / ".dvc" / "config", "url = ../dvc-remote", "url = s3://bucket/path")
    assert found(root)["data"].ok
    assert "s3://bucket/path, which was not checked" in found(root)["data"].what


def test_an_in_tree_remote_too_large_for_git_has_advice(root: Path) -> None:
    with (root / "dvc-remote" / "large").open("wb") as file:
        file.truncate(MAX_REMOTE_BYTES + 1)
    assert doctor(root).passed
    assert "dvc push --remote storage" in found(root)["remote size"].fix


def test_the_lock_is_compared_with_what_is_installed(root: Path) -> None:
    from importlib.metadata import version

    installed = version("click")
    (root / "requirements.lock").write_text(f"click=={installed} \\\n    --hash=sha256:00\nnot-installed==1.0\n")
    assert found(root)["lock"].ok
    (root / "requirements.lock").write_text("click==0.0.1 ; python_version < '3'\n")
    assert found(root)["lock"].what == (
        f"1 packages differ from requirements.lock: click {installed} is installed, 0.0.1 is locked"
    )
    (root / "requirements.lock").write_text(f"click==0.0.1 ; python_version < '3'\nclick=={installed}\n")
    assert found(root)["lock"].ok


def test_a_check_that_breaks_does_not_take_the_others_with_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "pipelines" / "ferries" / "params.yaml").unlink()
    (root / "pipelines" / "ferries" / "params.yaml").mkdir()
    assert found(root)["parameters"].what.startswith("IsADirectoryError")
    assert found(root)["suite"].ok
    monkeypatch.setenv("PATH", "/nowhere")
    assert not found(root)["git"].ok


def test_the_report_has_every_finding_and_every_fix(root: Path) -> None:
    result = doctor(root)
    report = result.to_markdown()
    assert report.startswith("### Doctor\n")
    for finding in result.findings:
        assert f"| {finding.name} | " in report
        assert finding.fix in report
    assert "| champion | advice |" in report
    json.dumps(result.model_dump())


def test_a_champion_whose_model_is_lost_is_found_out(root: Path) -> None:
    Git.find(root)
    pointer = (root / "data.dvc").read_text(encoding="utf-8").replace("path: data", "path: champion")
    (root / "pipelines" / "ferries" / "champion.dvc").write_text(pointer, encoding="utf-8")
    assert found(root)["champion"].ok
    lost = pointer.replace(pointer.split("md5: ")[1][:6], "ffffff")
    (root / "pipelines" / "ferries" / "champion.dvc").write_text(lost, encoding="utf-8")
    assert "dvc push" in found(root)["champion"].fix


def in_larger_repository(root: Path) -> Path:
    """Move the project into a folder of a larger repository, with workflows, and return that folder."""
    for name in WORKFLOWS:
        path = root / ".github" / "workflows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    top = root.parent / "shop it's"
    top.mkdir()
    moved = root.rename(top / "ml")
    (moved / ".git").rename(top / ".git")
    sample.commit(top, "In a folder")
    return moved


def test_workflows_that_only_the_projects_folder_has_are_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    moved = in_larger_repository(root)

    assert not doctor(moved).passed
    finding = found(moved)["place of workflows"]
    assert finding.what.startswith("workflows/ci.yml has no identical copy in .github of ")

    (moved / ".github" / "actions").mkdir()
    command = finding.fix.split("`")[1]
    process.run(["bash", "-ec", command])
    assert found(moved)["place of workflows"].ok
    (moved.parent / ".github" / "workflows" / "drift.yml").write_text("older", encoding="utf-8")
    assert found(moved)["place of workflows"].what.startswith("workflows/drift.yml has no identical copy")
    assert found(moved)["place of workflows"].fix.startswith(
        "rename workflows/drift.yml there if it is a file of your own"
    )


def test_an_ignored_file_that_has_to_be_committed_is_found(root: Path) -> None:
    assert found(root)["ignored files"].ok
    with (root / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("reports/\n")
    assert (
        found(root)["ignored files"].what
        == "git ignores pipelines/ferries/reports/metrics.json, which has to be committed"
    )
    assert "check-ignore" in found(root)["ignored files"].fix


def test_the_branch_with_the_champion_is_shown(root: Path) -> None:
    assert found(root)["base branch"].what.startswith("main at ")
    sample.git(root, "remote", "add", "origin", str(root))
    sample.git(root, "fetch", "--quiet", "origin")
    assert found(root)["base branch"].what.startswith("main of origin at ")
    sample.git(root, "remote", "add", "upstream", str(root))
    assert "git config checkout.defaultRemote upstream" in found(root)["base branch"].fix
    sample.git(root, "config", "checkout.defaultRemote", "upstream")
    assert found(root)["base branch"].ok

    with (root / "titlebout.toml").open("a", encoding="utf-8") as file:
        file.write('base = "master"\n')
    assert "retrain.base in titlebout.toml" in found(root)["base branch"].fix


def test_a_cache_elsewhere_counts_as_this_machine(root: Path) -> None:
    (root / ".dvc" / "cache").rename(root.parent / "cache")
    (root / "dvc-remote").rename(root.parent / "unused")
    assert not found(root)["data"].ok
    (root / ".dvc" / "config.local").write_text("[cache]\n    dir = ../../cache\n", encoding="utf-8")
    assert found(root)["data"].ok
