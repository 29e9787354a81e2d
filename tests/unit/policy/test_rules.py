"""Retraining policy: a table of cases, and properties that hold for all inputs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.names import REASONS
from titlebout.data.moment import Moment
from titlebout.policy.rules import DAY, Attempt, Clock, Decision, Measurement, Measurements, decide
from titlebout.settings.policy import PolicySettings

SETTINGS = PolicySettings()
START = datetime(2024, 1, 1, tzinfo=UTC)
CHAMPION = "c0ffee.dir"
QUIET = Measurements(
    new_rows=2000,
    decay=Measurement(0.4),
    drift=Measurement(0.0),
    won_at=Moment(START),
    champion=CHAMPION,
    requested=frozenset(),
)
DECAYED = replace(QUIET, decay=Measurement(3.1, "log loss 0.5 → 0.6 on 1,204 new labels"))
GROWTH = SETTINGS.volume_growth
GROWN = replace(QUIET, growth=Measurement(GROWTH, "2,000 new labeled rows"))
DRIFTED = replace(QUIET, drift=Measurement(2.0, "in wind, waves"))


def moment(week: float) -> Moment:
    return Moment(START + timedelta(weeks=week))


def attempt(at: float, reason: str, outcome: Any = "lost", champion: str = CHAMPION) -> Attempt:
    return Attempt(moment(at), reason, outcome, champion, "abc")


def decided(measured: Measurements, now: float, *attempts: Attempt, **settings: Any) -> Decision:
    policy = SETTINGS.model_copy(update=settings)
    return decide(measured, attempts, policy, 500, Clock(moment(now), 7.0 * DAY))


PROPOSED = attempt(5, "drift", "won")

# measurements, data time in weeks, earlier attempts, changed settings; expected action and reason
CASES: dict[str, tuple[Measurements, float, list[Attempt], dict[str, Any], tuple[str, str]]] = {
    "nothing fires": (QUIET, 5, [], {}, ("nothing", "")),
    "drift": (DRIFTED, 5, [], {}, ("attempt", "drift")),
    "drift trigger switched off": (DRIFTED, 5, [], {"drift": False}, ("nothing", "")),
    "drift not measured": (replace(QUIET, drift=Measurement(None)), 5, [], {}, ("nothing", "")),
    "decay": (DECAYED, 5, [], {}, ("attempt", "perf_decay")),
    "decay has priority over drift": (replace(DECAYED, drift=DRIFTED.drift), 5, [], {}, ("attempt", "perf_decay")),
    "decay just below its threshold": (replace(QUIET, decay=Measurement(2.32)), 5, [], {}, ("nothing", "")),
    "decay with few new rows": (replace(DECAYED, new_rows=499), 5, [], {}, ("wait", "")),
    "decay with just enough new rows": (replace(DECAYED, new_rows=500), 5, [], {}, ("attempt", "perf_decay")),
    "refused data stops everything": (replace(DECAYED, refused="other columns"), 5, [], {}, ("stop", "")),
    "a champion of 26 weeks": (QUIET, 26, [], {}, ("attempt", "age")),
    "a champion a day younger": (QUIET, 25.8, [], {}, ("nothing", "")),
    "age trigger switched off": (QUIET, 99, [], {"max_age_periods": 0}, ("nothing", "")),
    "the data has grown": (GROWN, 5, [], {}, ("attempt", "volume")),
    "the data has grown a little less": (replace(QUIET, growth=Measurement(GROWTH - 0.01)), 5, [], {}, ("nothing", "")),
    "growth with few new rows": (replace(GROWN, new_rows=499), 5, [], {}, ("wait", "")),
    "volume trigger switched off": (GROWN, 5, [], {"volume_growth": 0}, ("nothing", "")),
    "growth does not wait after its unsuccessful attempts": (GROWN, 5.1, [attempt(t, "volume") for t in (4.8, 4.9, 5)], {}, ("attempt", "volume")),
    "growth within the cool-down after a promotion": (GROWN, 8.9, [attempt(5, "volume", "won", "0ther.dir")], {}, ("wait", "")),
    "growth after a promotion for another reason": (GROWN, 8.9, [attempt(5, "drift", "won", "0ther.dir")], {}, ("wait", "")),
    "neither refreshes nor failures make growth wait longer": (replace(GROWN, refreshes=3), 9, [attempt(5, "drift", "won", "0ther.dir"), *(attempt(t, "volume") for t in (6, 7, 8))], {}, ("attempt", "volume")),
    "age has priority over growth": (GROWN, 26, [], {}, ("attempt", "age")),
    "schedule trigger is off by default": (replace(QUIET, requested=frozenset({"schedule"})), 5, [], {}, ("nothing", "")),
    "schedule trigger switched on": (replace(QUIET, requested=frozenset({"schedule"})), 5, [], {"schedule": True}, ("attempt", "schedule")),
    "schedule trigger in a run that is not scheduled": (QUIET, 5, [], {"schedule": True}, ("nothing", "")),
    "a request": (replace(QUIET, requested=frozenset({"manual"})), 5, [], {}, ("attempt", "manual")),
    "a request has no cool-down": (replace(QUIET, requested=frozenset({"manual"})), 5, [attempt(4.9, "manual")], {}, ("attempt", "manual")),
    "within the cool-down": (DRIFTED, 8.9, [attempt(5, "drift")], {}, ("wait", "")),
    "after the cool-down": (DRIFTED, 9, [attempt(5, "drift")], {}, ("attempt", "drift")),
    "within the cool-down after a promotion": (DRIFTED, 8.9, [attempt(5, "drift", "won")], {}, ("wait", "")),
    "within the cool-down after refused data": (DRIFTED, 8.9, [attempt(5, "drift", "refused")], {}, ("wait", "")),
    "two failures double the cool-down": (DRIFTED, 16.9, [attempt(5, "drift"), attempt(9, "drift")], {}, ("wait", "")),
    "after the doubled cool-down": (DRIFTED, 17, [attempt(5, "drift"), attempt(9, "drift")], {}, ("attempt", "drift")),
    "a promotion resets the cool-down": (DRIFTED, 13, [attempt(1, "drift"), attempt(5, "drift", "won"), attempt(9, "drift")], {}, ("attempt", "drift")),
    "a new champion resets the cool-down": (DRIFTED, 13, [attempt(5, "drift", champion="0ther.dir"), attempt(9, "drift", champion="0ther.dir")], {}, ("attempt", "drift")),
    "after the longest cool-down, 32 weeks": (DRIFTED, 132, [attempt(t, "drift") for t in range(0, 101, 10)], {"max_age_periods": 0}, ("attempt", "drift")),
    "within the longest cool-down": (DRIFTED, 131, [attempt(t, "drift") for t in range(0, 101, 10)], {"max_age_periods": 0}, ("wait", "")),
    "within the cool-down after a promotion for another reason": (DRIFTED, 8.9, [attempt(5, "age", "won", "0ther.dir")], {}, ("wait", "")),
    "decay does not wait for the promotion for another reason": (DECAYED, 8.9, [attempt(5, "age", "won", "0ther.dir")], {}, ("attempt", "perf_decay")),
    "a refresh doubles the cool-down": (replace(DRIFTED, refreshes=1), 12.9, [attempt(5, "drift", "won")], {}, ("wait", "")),
    "after the cool-down of one refresh": (replace(DRIFTED, refreshes=1), 13, [attempt(5, "drift", "won")], {}, ("attempt", "drift")),
    "four refreshes, the longest cool-down": (replace(DRIFTED, refreshes=4, won_at=moment(5)), 36.9, [attempt(5, "drift", "won")], {"max_age_periods": 0}, ("wait", "")),
    "refreshes do not delay decay": (replace(DECAYED, refreshes=3), 9, [attempt(5, "perf_decay", "won")], {}, ("attempt", "perf_decay")),
    "a request does not wait for a promotion": (replace(QUIET, requested=frozenset({"manual"})), 5.1, [attempt(5, "drift", "won")], {}, ("attempt", "manual")),
    "failures for another reason do not count": (DECAYED, 10, [attempt(t, "schedule") for t in (1, 4, 7, 9.9)], {}, ("attempt", "perf_decay")),
    "one trigger in cool-down, the next one fires": (replace(DECAYED, drift=DRIFTED.drift), 6, [attempt(5, "perf_decay")], {}, ("attempt", "drift")),
    "an attempt with a later data time is ignored": (DRIFTED, 5, [attempt(50, "drift")], {}, ("attempt", "drift")),
    "attempts with another kind of data time": (DRIFTED, 5, [Attempt(Moment.parse("12000"), "drift", "lost", CHAMPION)], {}, ("attempt", "drift")),
    "a follow-up is due": (replace(QUIET, decayed_at=moment(1)), 5, [], {}, ("attempt", "follow_up")),
    "a follow-up is not due yet": (replace(QUIET, decayed_at=moment(1)), 4.9, [], {}, ("nothing", "")),
    "one follow-up, the second not due": (replace(QUIET, decayed_at=moment(1)), 8.9, [attempt(5, "follow_up")], {}, ("nothing", "")),
    "the second follow-up": (replace(QUIET, decayed_at=moment(1)), 9, [attempt(5, "follow_up", "won")], {}, ("attempt", "follow_up")),
    "no third follow-up": (replace(QUIET, decayed_at=moment(1)), 25, [attempt(5, "follow_up"), attempt(9, "follow_up")], {}, ("nothing", "")),
    "follow-ups of an earlier decay do not count": (replace(QUIET, decayed_at=moment(20)), 25, [attempt(5, "follow_up"), attempt(9, "follow_up")], {}, ("attempt", "follow_up")),
    "an open pull request and newer data": (replace(QUIET, open_attempt=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "drift")),
    "newer data, below renew_periods": (replace(QUIET, open_attempt=PROPOSED), 5.9, [PROPOSED], {"renew_periods": 1}, ("nothing", "")),
    "newer data, at renew_periods": (replace(QUIET, open_attempt=PROPOSED), 6, [PROPOSED], {"renew_periods": 1}, ("attempt", "drift")),
    "an open pull request of the same data": (replace(QUIET, open_attempt=PROPOSED), 5, [PROPOSED], {}, ("nothing", "")),
    "a pull request whose reason is in cool-down is renewed": (replace(DRIFTED, open_attempt=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "drift")),
    "decay has priority over a renewal": (replace(DECAYED, open_attempt=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "perf_decay")),
    "a pull request that is outdated": (replace(QUIET, open_attempt=PROPOSED), 6, [PROPOSED, attempt(5.2, "drift")], {}, ("nothing", "")),
    "a pull request that was renewed": (replace(QUIET, open_attempt=PROPOSED), 6, [PROPOSED, attempt(5.2, "drift", "won")], {}, ("attempt", "drift")),
    "a pull request against an earlier champion": (replace(QUIET, open_attempt=replace(PROPOSED, champion="0ther.dir")), 5, [], {}, ("attempt", "drift")),
    "a pull request against an earlier champion, outdated": (replace(QUIET, open_attempt=replace(PROPOSED, champion="0ther.dir")), 5, [attempt(5, "age")], {}, ("nothing", "")),
    "a declined pull request": (QUIET, 5.2, [PROPOSED], {}, ("nothing", "")),
    "no champion": (replace(DRIFTED, champion="", won_at=None), 5, [], {}, ("attempt", "drift")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_case_leads_to_one_action(name: str) -> None:
    measured, now, attempts, settings, expected = CASES[name]

    found = decided(measured, now, *attempts, **settings)

    assert (found.action, found.reason) == expected
    assert bool(found.note) == (found.action == "attempt")


def trigger(decision: Decision, name: str) -> Any:
    return next(candidate for candidate in decision.triggers if candidate.name == name)


def test_a_trigger_reports_its_distance_to_the_threshold() -> None:
    found = trigger(decided(QUIET, 20), "age")

    assert (found.value, found.threshold, found.distance, found.fired) == (20.0, 26.0, -6.0, False)


def test_a_trigger_held_back_reports_why_and_until_when() -> None:
    found = decided(DRIFTED, 6, attempt(5, "drift"))
    drift = trigger(found, "drift")

    assert drift.fired
    assert drift.until == moment(9)
    assert drift.held_back == "cool-down until 2024-03-04 after the attempt of 2024-02-05 (lost)"
    assert drift.held_back in found.sentence


def test_without_a_time_column_data_time_is_the_number_of_rows() -> None:
    measured = replace(DRIFTED, won_at=Moment(9000))
    tried = Attempt(Moment.parse("10000"), "drift", "lost", CHAMPION)

    early = decide(measured, [tried], SETTINGS, 500, Clock(Moment(11999), 500.0))
    late = decide(measured, [tried], SETTINGS, 500, Clock(Moment(12000), 500.0))

    assert (early.action, late.action) == ("wait", "attempt")
    assert trigger(early, "drift").until == Moment(12000)
    assert trigger(late, "age").value == 6.0


measurements = st.one_of(st.none(), st.floats(-5, 5)).map(Measurement)
situations = st.builds(
    Measurements,
    refused=st.sampled_from(["", "", "", "no rows"]),
    new_rows=st.integers(0, 3000),
    decay=measurements,
    drift=measurements,
    growth=measurements,
    won_at=st.sampled_from([None, moment(0), moment(3)]),
    decayed_at=st.sampled_from([None, moment(0), moment(3)]),
    champion=st.sampled_from([CHAMPION, "0ther.dir"]),
    refreshes=st.integers(0, 4),
    requested=st.frozensets(st.sampled_from(["manual", "schedule"])),
)
outcomes = st.sampled_from(["won", "lost", "inconclusive", "refused"])
policies = st.builds(
    PolicySettings,
    cool_down_periods=st.integers(0, 6),
    schedule=st.booleans(),
    volume_growth=st.sampled_from([0.0, 0.25]),
    max_age_periods=st.sampled_from([0, 5, 26]),
)


@given(st.lists(st.tuples(st.floats(0, 3), situations, outcomes), min_size=1, max_size=25), policies)
def test_a_reason_is_never_tried_twice_within_its_cool_down(
    runs: list[tuple[float, Measurements, Any]], settings: PolicySettings
) -> None:
    now, attempts = 0.0, []
    for step, measured, outcome in runs:
        now += step
        at = moment(now)
        found = decide(measured, attempts, settings, 500, Clock(at, 7.0 * DAY))
        if found.action != "attempt":
            continue
        for tried in attempts:
            if tried.reason == found.reason not in {"manual", "volume"}:
                assert Clock(at, 7.0 * DAY).since(tried.at) >= settings.cool_down_periods
        attempts.append(Attempt(at, found.reason, outcome, measured.champion))


@given(situations, st.floats(0, 60), st.lists(st.builds(attempt, st.floats(0, 60), st.sampled_from(REASONS), outcomes)))
def test_a_decision_lists_every_trigger_and_follows_from_them(
    measured: Measurements, now: float, attempts: list[Attempt]
) -> None:
    found = decided(measured, now, *attempts)

    assert sorted(fired.name for fired in found.triggers) == sorted(["data", "renewal", *REASONS])
    ready = [candidate.name for candidate in found.triggers[1:] if candidate.fired and not candidate.held_back]
    if found.action == "attempt":
        assert found.reason == ready[0]
        assert measured.new_rows >= 500
    assert (found.action == "stop") == bool(measured.refused)
    assert (found.action == "nothing") == (
        not measured.refused and not any(candidate.fired for candidate in found.triggers)
    )
    assert decided(measured, now, *reversed(attempts)) == found
