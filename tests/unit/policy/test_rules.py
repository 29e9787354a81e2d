"""When an attempt is worth it: a table of situations, and what must hold in all of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.core.names import REASONS
from titlebout.data.moment import Moment
from titlebout.policy.rules import DAY, Attempt, Clock, Decision, Measured, Reading, decide
from titlebout.settings.policy import PolicySettings

SETTINGS = PolicySettings()
START = datetime(2024, 1, 1, tzinfo=UTC)
CHAMPION = "c0ffee.dir"
QUIET = Measured(
    new_rows=2000,
    decay=Reading(0.4),
    drift=Reading(0.0),
    won_at=Moment(START),
    champion=CHAMPION,
    asked=frozenset(),
)
DECAYED = replace(QUIET, decay=Reading(3.1, "log loss 0.5 → 0.6 on 1,204 new labels"))
DRIFTED = replace(QUIET, drift=Reading(2.0, "in wind, waves"))


def moment(week: float) -> Moment:
    return Moment(START + timedelta(weeks=week))


def attempt(at: float, reason: str, outcome: Any = "lost", champion: str = CHAMPION) -> Attempt:
    return Attempt(moment(at), reason, outcome, champion, "abc")


def decided(measured: Measured, now: float, *memory: Attempt, **settings: Any) -> Decision:
    policy = SETTINGS.model_copy(update=settings)
    return decide(measured, memory, policy, 500, Clock(moment(now), 7.0 * DAY))


PROPOSED = attempt(5, "drift", "won")

# what is measured, the week, what was tried, other settings; action and reason
SITUATIONS: dict[str, tuple[Measured, float, list[Attempt], dict[str, Any], tuple[str, str]]] = {
    "nothing fires": (QUIET, 5, [], {}, ("nothing", "")),
    "drift": (DRIFTED, 5, [], {}, ("attempt", "drift")),
    "drift that nobody listens to": (DRIFTED, 5, [], {"drift": False}, ("nothing", "")),
    "drift that could not be measured": (replace(QUIET, drift=Reading(None)), 5, [], {}, ("nothing", "")),
    "decay": (DECAYED, 5, [], {}, ("attempt", "perf_decay")),
    "decay says more than drift": (replace(DECAYED, drift=DRIFTED.drift), 5, [], {}, ("attempt", "perf_decay")),
    "decay just below its threshold": (replace(QUIET, decay=Reading(2.32)), 5, [], {}, ("nothing", "")),
    "decay with few new rows": (replace(DECAYED, new_rows=499), 5, [], {}, ("wait", "")),
    "decay with just enough": (replace(DECAYED, new_rows=500), 5, [], {}, ("attempt", "perf_decay")),
    "refused data beats everything": (replace(DECAYED, refused="other columns"), 5, [], {}, ("stop", "")),
    "a champion of 26 weeks": (QUIET, 26, [], {}, ("attempt", "age")),
    "a champion a day younger": (QUIET, 25.8, [], {}, ("nothing", "")),
    "age that nobody listens to": (QUIET, 99, [], {"max_age_periods": 0}, ("nothing", "")),
    "much new data is no reason by itself": (replace(QUIET, new_rows=10**6), 5, [], {}, ("nothing", "")),
    "much new data, if asked for": (QUIET, 5, [], {"volume_rows": 2000}, ("attempt", "volume")),
    "the calendar is no reason by itself": (replace(QUIET, asked=frozenset({"schedule"})), 5, [], {}, ("nothing", "")),
    "the calendar, if asked for": (replace(QUIET, asked=frozenset({"schedule"})), 5, [], {"schedule": True}, ("attempt", "schedule")),
    "another start of the same run": (QUIET, 5, [], {"schedule": True}, ("nothing", "")),
    "a person": (replace(QUIET, asked=frozenset({"manual"})), 5, [], {}, ("attempt", "manual")),
    "a person who asked yesterday": (replace(QUIET, asked=frozenset({"manual"})), 5, [attempt(4.9, "manual")], {}, ("attempt", "manual")),
    "within the cool-down": (DRIFTED, 8.9, [attempt(5, "drift")], {}, ("wait", "")),
    "after the cool-down": (DRIFTED, 9, [attempt(5, "drift")], {}, ("attempt", "drift")),
    "within the cool-down of one that won": (DRIFTED, 8.9, [attempt(5, "drift", "won")], {}, ("wait", "")),
    "refused by the data check": (DRIFTED, 8.9, [attempt(5, "drift", "refused")], {}, ("wait", "")),
    "after two refusals twice as long": (DRIFTED, 16.9, [attempt(5, "drift"), attempt(9, "drift")], {}, ("wait", "")),
    "after two refusals and eight weeks": (DRIFTED, 17, [attempt(5, "drift"), attempt(9, "drift")], {}, ("attempt", "drift")),
    "a win begins again": (DRIFTED, 13, [attempt(1, "drift"), attempt(5, "drift", "won"), attempt(9, "drift")], {}, ("attempt", "drift")),
    "a new champion begins again": (DRIFTED, 13, [attempt(5, "drift", champion="0ther.dir"), attempt(9, "drift", champion="0ther.dir")], {}, ("attempt", "drift")),
    "never longer than 32 weeks": (DRIFTED, 132, [attempt(t, "drift") for t in range(0, 101, 10)], {"max_age_periods": 0}, ("attempt", "drift")),
    "32 weeks are not over": (DRIFTED, 131, [attempt(t, "drift") for t in range(0, 101, 10)], {"max_age_periods": 0}, ("wait", "")),
    "another reason's refusals do not count": (DECAYED, 10, [attempt(t, "schedule") for t in (1, 4, 7, 9.9)], {}, ("attempt", "perf_decay")),
    "one reason rests, the next has its turn": (replace(DECAYED, drift=DRIFTED.drift), 6, [attempt(5, "perf_decay")], {}, ("attempt", "drift")),
    "an attempt in the data's future is none": (DRIFTED, 5, [attempt(50, "drift")], {}, ("attempt", "drift")),
    "memory of another kind of clock": (DRIFTED, 5, [Attempt(Moment.parse("12000"), "drift", "lost", CHAMPION)], {}, ("attempt", "drift")),
    "a follow-up is due": (replace(QUIET, decayed_at=moment(1)), 5, [], {}, ("attempt", "follow_up")),
    "a follow-up is not due yet": (replace(QUIET, decayed_at=moment(1)), 4.9, [], {}, ("nothing", "")),
    "one follow-up, the second not due": (replace(QUIET, decayed_at=moment(1)), 8.9, [attempt(5, "follow_up")], {}, ("nothing", "")),
    "the second follow-up": (replace(QUIET, decayed_at=moment(1)), 9, [attempt(5, "follow_up", "won")], {}, ("attempt", "follow_up")),
    "no third follow-up": (replace(QUIET, decayed_at=moment(1)), 25, [attempt(5, "follow_up"), attempt(9, "follow_up")], {}, ("nothing", "")),
    "follow-ups of an earlier decay do not count": (replace(QUIET, decayed_at=moment(20)), 25, [attempt(5, "follow_up"), attempt(9, "follow_up")], {}, ("attempt", "follow_up")),
    "an open proposal and newer data": (replace(QUIET, proposal=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "drift")),
    "newer data, but not by enough": (replace(QUIET, proposal=PROPOSED), 5.9, [PROPOSED], {"renew_periods": 1}, ("nothing", "")),
    "newer by enough": (replace(QUIET, proposal=PROPOSED), 6, [PROPOSED], {"renew_periods": 1}, ("attempt", "drift")),
    "an open proposal of the same data": (replace(QUIET, proposal=PROPOSED), 5, [PROPOSED], {}, ("nothing", "")),
    "the proposal's own reason rests, and it is refreshed": (replace(DRIFTED, proposal=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "drift")),
    "decay says more than a refresh": (replace(DECAYED, proposal=PROPOSED), 5.2, [PROPOSED], {}, ("attempt", "perf_decay")),
    "a proposal that was overtaken": (replace(QUIET, proposal=PROPOSED), 6, [PROPOSED, attempt(5.2, "drift")], {}, ("nothing", "")),
    "a proposal that was refreshed": (replace(QUIET, proposal=PROPOSED), 6, [PROPOSED, attempt(5.2, "drift", "won")], {}, ("attempt", "drift")),
    "a proposal against the last champion": (replace(QUIET, proposal=replace(PROPOSED, champion="0ther.dir")), 5, [], {}, ("attempt", "drift")),
    "the last champion's, and the new one has withstood": (replace(QUIET, proposal=replace(PROPOSED, champion="0ther.dir")), 5, [attempt(5, "age")], {}, ("nothing", "")),
    "a proposal that people declined": (QUIET, 5.2, [PROPOSED], {}, ("nothing", "")),
    "nobody holds the title": (replace(DRIFTED, champion="", won_at=None), 5, [], {}, ("attempt", "drift")),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_has_one_action(name: str) -> None:
    measured, now, memory, settings, expected = SITUATIONS[name]

    found = decided(measured, now, *memory, **settings)

    assert (found.action, found.reason) == expected
    assert bool(found.note) == (found.action == "attempt")


def signal(decision: Decision, name: str) -> Any:
    return next(one for one in decision.signals if one.name == name)


def test_a_signal_says_how_far_it_is_from_firing() -> None:
    found = signal(decided(QUIET, 20), "age")

    assert (found.value, found.threshold, found.distance, found.fired) == (20.0, 26.0, -6.0, False)


def test_what_is_held_back_says_why_and_until_when() -> None:
    found = decided(DRIFTED, 6, attempt(5, "drift"))
    drift = signal(found, "drift")

    assert drift.fired
    assert drift.until == moment(9)
    assert drift.held_back == "the attempt of 2024-02-05 ended with 'lost'; again from 2024-03-04 on"
    assert drift.held_back in found.sentence


def test_without_time_rows_are_the_clock() -> None:
    measured = replace(DRIFTED, won_at=Moment(9000))
    tried = Attempt(Moment.parse("10000"), "drift", "lost", CHAMPION)

    early = decide(measured, [tried], SETTINGS, 500, Clock(Moment(11999), 500.0))
    late = decide(measured, [tried], SETTINGS, 500, Clock(Moment(12000), 500.0))

    assert (early.action, late.action) == ("wait", "attempt")
    assert signal(early, "drift").until == Moment(12000)
    assert signal(late, "age").value == 6.0


readings = st.one_of(st.none(), st.floats(-5, 5)).map(Reading)
situations = st.builds(
    Measured,
    refused=st.sampled_from(["", "", "", "no rows"]),
    new_rows=st.integers(0, 3000),
    decay=readings,
    drift=readings,
    won_at=st.sampled_from([None, moment(0), moment(3)]),
    decayed_at=st.sampled_from([None, moment(0), moment(3)]),
    champion=st.sampled_from([CHAMPION, "0ther.dir"]),
    asked=st.frozensets(st.sampled_from(["manual", "schedule"])),
)
outcomes = st.sampled_from(["won", "lost", "inconclusive", "refused"])
policies = st.builds(
    PolicySettings,
    cool_down_periods=st.integers(0, 6),
    schedule=st.booleans(),
    volume_rows=st.sampled_from([0, 1000]),
    max_age_periods=st.sampled_from([0, 5, 26]),
)


@given(st.lists(st.tuples(st.floats(0, 3), situations, outcomes), min_size=1, max_size=25), policies)
def test_a_reason_is_never_tried_twice_within_its_cool_down(
    runs: list[tuple[float, Measured, Any]], settings: PolicySettings
) -> None:
    now, memory = 0.0, []
    for step, measured, outcome in runs:
        now += step
        at = moment(now)
        found = decide(measured, memory, settings, 500, Clock(at, 7.0 * DAY))
        if found.action != "attempt":
            continue
        for tried in memory:
            if tried.reason == found.reason != "manual":
                assert Clock(at, 7.0 * DAY).since(tried.at) >= settings.cool_down_periods
        memory.append(Attempt(at, found.reason, outcome, measured.champion))


@given(situations, st.floats(0, 60), st.lists(st.builds(attempt, st.floats(0, 60), st.sampled_from(REASONS), outcomes)))
def test_every_record_names_every_signal_once_and_its_action_follows_from_them(
    measured: Measured, now: float, memory: list[Attempt]
) -> None:
    found = decided(measured, now, *memory)

    assert sorted(one.name for one in found.signals) == sorted(["data", "renewal", *REASONS])
    free = [one.name for one in found.signals[1:] if one.fired and not one.held_back]
    if found.action == "attempt":
        assert found.reason == free[0]
        assert measured.new_rows >= 500
    assert (found.action == "stop") == bool(measured.refused)
    assert (found.action == "nothing") == (not measured.refused and not any(one.fired for one in found.signals))
    assert decided(measured, now, *reversed(memory)) == found
