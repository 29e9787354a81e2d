"""Tests of this folder are pure: see `budget.py`."""

from pathlib import Path

import pytest

import sample
from budget import (
    pytest_fixture_setup,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_runtest_setup,
)

__all__ = [
    "pytest_fixture_setup",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's files with tracked data, in no git repository; not to be changed."""
    return sample.write_tracked(tmp_path_factory.mktemp("original") / sample.NAME)
