"""A repository whose data and models are in an object store from the first commit, against a server with the S3 API."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from generation import PROGRAMS, run
from s3_server import s3_environment, s3_server

URL = "s3://acme-models/flights"


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """Variables of a user who has credentials for the bucket."""
    with s3_server() as address:
        environment = s3_environment(address)
        client = boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="x", region_name="us-east-1"
        )
        client.create_bucket(Bucket="acme-models")
        yield environment


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of `titlebout new --remote`, as it is before the next steps."""
    folder = tmp_path_factory.mktemp("new")
    made = run(PROGRAMS / "titlebout", "new", "Flights delay", "--remote", URL, cwd=folder)
    assert made.returncode == 0, made.stderr
    steps = [line.strip() for line in made.stdout.splitlines()]
    assert steps[-4:] == [
        "make lock setup && . .venv/bin/activate",
        "dvc push && titlebout train && dvc push",
        "git add -A && git commit -m 'First commit'",
        "titlebout doctor",
    ]
    return folder / "flights-delay"


def ready(command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    ran = run("bash", "-ec", command, cwd=cwd, **variables)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran


def test_the_next_steps_fill_the_storage_and_a_clone_has_it_all(
    project: Path, storage: dict[str, str], tmp_path: Path
) -> None:
    assert not (project / "dvc-remote").exists()
    before = run("titlebout", "doctor", cwd=project)
    assert f"requirements.lock does not have dvc-s3, DVC's support for {URL}" in before.stdout
    assert "storage: run `make lock setup`, then `dvc push`" in before.stdout

    ready("make lock", project, **network())
    assert re.search(r"^dvc-s3==", (project / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    lock = (project / "pipelines/flights-delay/dvc.lock").read_text("utf-8")
    ready("dvc push && titlebout train && dvc push", project, **storage)
    after = (project / "pipelines/flights-delay/dvc.lock").read_text("utf-8")
    assert after != lock, "the lock file is an input of the training"
    ready("git add -A && git commit -q -m 'First commit'", project)
    tracked = ready("git ls-files", project).stdout
    assert "dvc-remote" not in tracked
    assert ".parquet" not in tracked.replace("incoming/2013-04.parquet", "")
    assert "| storage | ok |" in run("titlebout", "doctor", cwd=project).stdout

    clone = tmp_path / "clone"
    ready(f"git clone -q {project} {clone}", tmp_path)
    trained = ready("titlebout train", clone, **storage)
    assert "nothing was trained" in trained.stdout
    packaged = ready("dvc pull -q pipelines/flights-delay/champion.dvc data.dvc", clone, **storage)
    assert packaged.returncode == 0
    assert len(list((clone / "data").iterdir())) == 3
    assert (clone / "pipelines/flights-delay/champion").is_dir()


def network() -> dict[str, str]:
    """Return this machine's variables for the package index."""
    names = ("SSL_", "UV_", "XDG_", "HTTP", "http", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}
