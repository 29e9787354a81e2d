"""The fault matrix: after any fault, or any two faults, there is exactly one pull request."""

import json
from pathlib import Path

import pytest

from fakes import forge_matrix
from fakes.forge_matrix import DISTINCT, KINDS, STARTS, Case, pairs, run_case, singles
from fakes.github_server import ROOTS
from titlebout.forge.client import Forge

ROOT = Path(__file__).parents[3]


def failures(cases: list[Case]) -> list[str]:
    return [f"{case}: {result}" for case in cases if (result := run_case(case)).problems]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("dialect", ROOTS)
def test_each_fault_at_each_request_ends_with_one_pull_request(dialect: str, start: str) -> None:
    cases = list(singles(dialect, start))

    assert len(cases) >= len(KINDS) - len(forge_matrix.RACES)
    assert failures(cases) == []


@pytest.mark.nightly
@pytest.mark.parametrize("start", ["nothing", "older"])
@pytest.mark.parametrize("dialect", ROOTS)
def test_each_two_faults_end_with_one_pull_request(dialect: str, start: str) -> None:
    cases = list(pairs(dialect, start, DISTINCT))

    assert len(cases) > 1000
    assert failures(cases) == []


@pytest.mark.parametrize(("dialect", "start"), [("github", "nothing"), ("gitea", "older")])
def test_a_sample_of_two_faults_ends_with_one_pull_request(dialect: str, start: str) -> None:
    cases = list(pairs(dialect, start, DISTINCT))[::17]  # no divisor of the number of kinds: all of them occur

    assert {kind for case in cases for kind in case.faults.values()} == set(DISTINCT)
    assert failures(cases) == []


def test_without_faults_a_run_takes_seven_calls_or_one() -> None:
    assert [run_case(Case("github", start)).calls for start in STARTS] == [(7,), (7,), (1,)]


def test_the_matrix_detects_a_second_pull_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forge, "find_declined", lambda *_: None)

    assert "declined, yet 1 are open" in run_case(Case("github", "declined")).problems


def test_the_matrix_detects_too_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge_matrix, "MAX_REQUESTS", 6)

    assert run_case(Case("github", "nothing")).problems == ("[7] requests",)


def test_the_documentation_has_the_measured_figures() -> None:
    measured = json.loads((ROOT / "benchmarks" / "forge" / "faults.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "explanation" / "one-pull-request.md").read_text(encoding="utf-8")

    assert f"{measured['kinds_of_fault']} kinds" in page
    for word, key in (("one", "singles"), ("two", "pairs")):
        found = measured[key]
        assert f"| {word} | {found['cases']:,} | {found['run_again']:,} | {found['most_calls']} |" in page
        assert found["most_calls"] <= forge_matrix.MAX_REQUESTS


def test_the_benchmark_covers_the_current_cases() -> None:
    measured = json.loads((ROOT / "benchmarks" / "forge" / "faults.json").read_text(encoding="utf-8"))

    assert measured["singles"]["cases"] == sum(1 for name in ROOTS for start in STARTS for _ in singles(name, start))
    assert measured["kinds_of_fault"] == len(KINDS)
