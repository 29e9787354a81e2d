"""Workflows of a generated repository, run by act against the stand-in for GitHub."""

import shutil
from pathlib import Path

import sample
from fakes.github_server import GithubServer
from titlebout.forge.act import WorkflowRun, run_workflow

REPOSITORY = "acme/flights-delay"
TOKEN = "ghs_canary0123456789"


def with_origin(generated: Path, folder: Path) -> Path:
    """Return a copy of a repository whose origin is a bare repository beside it."""
    root = folder / generated.name
    shutil.copytree(generated, root)
    sample.git(root, "clone", "--quiet", "--bare", str(root), str(folder / "origin.git"))
    sample.git(root, "remote", "add", "origin", str(folder / "origin.git"))
    sample.git(root, "fetch", "--quiet", "origin")
    return root


def run(repository: Path, workflow: str, event: str, server: GithubServer, /, **payload: object) -> WorkflowRun:
    """Run a workflow as GitHub would, with the stand-in in GitHub's place."""
    variables = {"GITHUB_API_URL": server.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN}
    ran = run_workflow(repository, workflow, event, payload=payload, variables=variables)
    assert TOKEN not in ran.log
    return ran
