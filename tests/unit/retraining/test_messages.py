"""What people are told where there is nothing to merge."""

import pytest

from titlebout.core.markdown import escape
from titlebout.data.moment import Moment
from titlebout.policy.rules import Attempt
from titlebout.retraining import messages
from titlebout.retraining.reason import Why

NASTY = "x <img src=//evil> @team [a](javascript:b)"


@pytest.mark.parametrize("verdict", ["keep", "inconclusive", "data_refused"])
def test_a_lost_bout_is_told_with_its_report_and_shows_names_as_they_are(verdict: str) -> None:
    body = messages.lost_body(Why("drift", NASTY, "<details>evidence</details>"), 1234, verdict, "### Gate: keep")

    assert "with 1,234 new rows" in body
    assert body.index("The champion serves on.") < body.index("### Gate: keep") < body.index("<details>evidence")
    assert escape(NASTY) in body
    assert NASTY not in body


def test_attempts_are_the_newest_ten_and_the_run_is_linked_where_there_is_one() -> None:
    tried = [Attempt(Moment.parse(f"2024-03-{day:02d}T10:00:00+00:00"), "perf_decay", "lost") for day in range(1, 15)]

    told = messages.with_attempts("Text", tried, "https://forge.example/run/7")

    days = [line.split(" | ")[0].removeprefix("| ") for line in told.splitlines() if "perf decay" in line]
    assert days == [f"2024-03-{day:02d}" for day in range(14, 4, -1)]
    assert told.endswith("[Run and reports](https://forge.example/run/7)\n")
    assert "Run and reports" not in messages.with_attempts("Text", tried, None)


def test_refused_data_names_the_reason_in_one_short_line() -> None:
    body = messages.refused_body(NASTY * 20, "incoming/*.csv", "### Data check: refused\n")

    opening = body.splitlines()[0]
    assert len(opening) < 600
    assert opening.count(escape(NASTY)) >= 3
    assert NASTY not in opening
    assert "### Data check: refused" in body


def test_an_overtaken_proposal_keeps_its_text_below_the_warning() -> None:
    told = messages.overtaken(
        Attempt(Moment.parse("2024-03-09T10:00:00+00:00"), "drift", "lost"), "https://forge.example/3", "As it was."
    )

    assert told.startswith(
        "> [!WARNING]\n> On data up to 2024-03-09 a challenger was tried again and did not win (lost)"
    )
    assert told.endswith("\n\nAs it was.")
