"""Where the data stands: read and written as text, in one order, and with distances between moments of one kind."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from titlebout.core.results import Record, to_json
from titlebout.data.moment import Moment, moment_of

START = datetime(2024, 1, 1, tzinfo=UTC)
TIMES = pd.to_datetime(["2024-03-31T23:59:59.5", "2024-03-01", "2024-03-15"], utc=True, format="ISO8601")

times = st.timedeltas(timedelta(days=-40_000), timedelta(days=40_000)).map(lambda distance: Moment(START + distance))
moments = st.one_of(times, st.integers(0, 10**17).map(Moment))


class Stand(Record):
    """A record of the tests' own."""

    at: Moment | None = None


@given(moments)
def test_a_moment_is_read_back_from_its_text(moment: Moment) -> None:
    assert Moment.parse(str(moment)) == moment
    assert Moment.read(str(moment)) == moment


@given(st.one_of(st.none(), moments))
def test_a_moment_in_a_document_is_its_text(moment: Moment | None) -> None:
    text = to_json(Stand(at=moment).model_dump())

    assert Stand.model_validate_json(text, strict=True) == Stand(at=moment)
    assert TypeAdapter(dict[str, str | None]).validate_json(text) == {"at": None if moment is None else str(moment)}


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-13-01", "²", "9" * 400, "-5", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00:00+99:00"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    assert Moment.read(text) is None
    with pytest.raises(ValueError, match=r"\w"):
        Moment.parse(text)


def test_a_time_without_a_zone_is_one_of_utc() -> None:
    assert Moment.parse("2024-01-01T00:00:00") == Moment.parse("2024-01-01T02:00:00+02:00") == Moment(START)


@given(st.lists(moments, max_size=8))
def test_moments_have_one_order_with_rows_before_times(several: list[Moment]) -> None:
    ordered = sorted(several)
    kinds = [isinstance(moment.value, datetime) for moment in ordered]

    assert kinds == sorted(kinds)
    assert all(earlier <= later for earlier, later in pairwise(ordered))


def test_distances_are_seconds_or_rows() -> None:
    assert Moment(START + timedelta(days=7)) - Moment(START) == 7 * 86_400
    assert Moment(START) + 7 * 86_400 == Moment(START + timedelta(days=7))
    assert (Moment(120) - Moment(20), Moment(20) + 99.6) == (100, Moment(120))


def test_a_time_and_a_number_of_rows_have_no_distance() -> None:
    assert not Moment(START).comparable(Moment(20))
    with pytest.raises(TypeError):
        Moment(START) - Moment(20)


def test_people_see_the_day_or_the_number_of_rows() -> None:
    assert (Moment(START).short, Moment(12_000).short) == ("2024-01-01", "12,000 rows")


def test_the_data_time_is_the_newest_time_or_the_number_of_rows() -> None:
    known, arrived = pd.DataFrame({"when": TIMES}), pd.DataFrame({"when": TIMES[:1] - pd.Timedelta(days=1)})

    assert moment_of(known, arrived, "when") == Moment.parse("2024-03-31T23:59:59.5")
    assert moment_of(known, arrived.iloc[:0], "when") == moment_of(arrived, known, "when")
    assert moment_of(known, arrived, "") == Moment(4)


def test_a_nanosecond_does_not_disturb() -> None:
    known = pd.DataFrame({"when": pd.to_datetime(["2024-03-31T23:59:59.123456789"], utc=True)})

    assert str(moment_of(known, known, "when")) == "2024-03-31T23:59:59.123456+00:00"
