"""The claims about error rates, printed from the results that are kept in the repository."""

import re
import sys
from pathlib import Path

import pytest

from titlebout.core import process

HOME = Path(__file__).parents[2]
LINE = re.compile(r"^(holds|DOES NOT HOLD): (.+)$", re.MULTILINE)
PAGES = ("error-rates-of-the-gate.md", "limits-of-drift.md", "when-to-retrain.md")


@pytest.fixture(scope="module")
def ran() -> process.Completed:
    return process.run([sys.executable, "benchmarks/claims.py"], cwd=HOME, check=False)


def test_a_claim_that_does_not_hold_is_an_error(ran: process.Completed) -> None:
    found = LINE.findall(ran.stdout)

    assert re.findall(r"^(gate|drift|policy)$", ran.stdout, re.MULTILINE) == ["gate", "drift", "policy"]
    assert len(found) >= 30
    assert ran.returncode == int(any(state == "DOES NOT HOLD" for state, _ in found))


def test_a_claim_that_does_not_hold_is_on_a_page(ran: process.Completed) -> None:
    pages = "".join((HOME / "docs" / "explanation" / page).read_text(encoding="utf-8") for page in PAGES)

    for claim in (claim for state, claim in LINE.findall(ran.stdout) if state == "DOES NOT HOLD"):
        text, _, worst = claim.rpartition(": ")
        assert f"| {text} | {worst} | **no** |" in pages, claim
