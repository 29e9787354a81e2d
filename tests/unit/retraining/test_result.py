"""The exit code of a retraining is that of its verdict."""

import pytest

from titlebout.retraining.retrain import RetrainResult


@pytest.mark.parametrize(("verdict", "code"), [("keep", 11), ("inconclusive", 3), ("data_refused", 10), ("promote", 0)])
def test_the_exit_code_is_that_of_the_verdict(verdict: str, code: int) -> None:
    result = RetrainResult(
        passed=verdict == "promote", operation="none", verdict=verdict, reason="drift", branch="retrain/x", base="0"
    )

    assert result.exit_code == code
