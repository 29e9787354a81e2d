"""Workflows of a generated repository, run by act against the stand-in for GitHub."""

from pathlib import Path

from fakes.github_server import GithubServer
from titlebout.act import WorkflowRun, run_workflow

REPOSITORY = "acme/flights-delay"
TOKEN = "ghs_canary0123456789"


def run(repository: Path, workflow: str, event: str, server: GithubServer, **payload: object) -> WorkflowRun:
    """Run a workflow as GitHub would, with the stand-in in GitHub's place."""
    variables = {"GITHUB_API_URL": server.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN}
    ran = run_workflow(repository, workflow, event, payload=payload, variables=variables)
    assert TOKEN not in ran.log
    return ran
