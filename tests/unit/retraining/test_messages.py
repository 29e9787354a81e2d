"""Text of the tracking issues and of the warning on an outdated pull request."""

import pytest

from titlebout.core.markdown import escape
from titlebout.data.moment import Moment
from titlebout.policy.rules import Attempt
from titlebout.retraining import messages
from titlebout.retraining.reason import AttemptReason

NASTY = "x <img src=//evil> @team [a](javascript:b)"


@pytest.mark.parametrize("verdict", ["keep", "inconclusive", "data_refused"])
def test_an_unsuccessful_attempt_is_reported_with_names_escaped(verdict: str) -> None:
    body = messages.unsuccessful_body(
        AttemptReason("drift", NASTY, "<details>evidence</details>"), 1234, verdict, "### Gate: keep"
    )

    assert "with 1,234 new rows" in body
    assert body.index("champion stays in service.") < body.index("### Gate: keep") < body.index("<details>evidence")
    assert escape(NASTY) in body
    assert NASTY not in body


def test_the_newest_ten_attempts_and_the_run_are_listed() -> None:
    tried = [Attempt(Moment.parse(f"2024-03-{day:02d}T10:00:00+00:00"), "perf_decay", "lost") for day in range(1, 15)]

    text = messages.with_attempts("Text", tried, "https://forge.example/run/7")

    days = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if "perf decay" in line]
    assert days == [f"2024-03-{day:02d}" for day in range(14, 4, -1)]
    assert text.endswith("[Workflow run and reports](https://forge.example/run/7)\n")
    assert "Workflow run" not in messages.with_attempts("Text", tried, None)


def test_refused_data_names_the_reason_in_one_short_line() -> None:
    body = messages.refused_body(NASTY * 20, "incoming/*.csv", "### Data check: refused\n")

    opening = body.splitlines()[0]
    assert len(opening) < 600
    assert opening.count(escape(NASTY)) >= 3
    assert NASTY not in opening
    assert "### Data check: refused" in body


def test_an_outdated_pull_request_keeps_its_text_below_the_warning() -> None:
    text = messages.outdated_body(
        Attempt(Moment.parse("2024-03-09T10:00:00+00:00"), "drift", "lost"), "https://forge.example/3", "As it was."
    )

    assert text.startswith(
        "> [!WARNING]\n> A later attempt, on data up to 2024-03-09, did not produce a challenger that passes the gate (lost)"
    )
    assert text.endswith("\n\nAs it was.")
