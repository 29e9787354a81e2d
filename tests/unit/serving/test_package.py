"""A failed build of an image is an error of its cause."""

import pytest

from titlebout.core.errors import ExitCode
from titlebout.core.process import Completed
from titlebout.serving import package as serving_package


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ('dial tcp: lookup registry.example: no such host"', ExitCode.TEMPORARY),
        ("connect: connection refused", ExitCode.TEMPORARY),
        ("received unexpected HTTP status: 503 Service Unavailable", ExitCode.TEMPORARY),
        ("reading manifest 3.99-slim: manifest unknown", ExitCode.NOT_FOUND),
        ("unauthorized: authentication required", ExitCode.PERMISSION),
        ("RUN pip install: returned a non-zero code: 1", ExitCode.BUG),
    ],
)
def test_a_failed_build_is_an_error_of_its_cause(output: str, code: ExitCode) -> None:
    built = Completed(("podman", "build", "."), 125, "", f"STEP 1/9: FROM base\nError: {output}\n")
    error = serving_package._build_failure(built, "docker.io/library/python:3.99-slim")

    assert error.exit_code == code
    assert output.split(":", maxsplit=1)[0] in str(error.why)
