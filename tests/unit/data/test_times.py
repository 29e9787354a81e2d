"""Times as people write them: every form of ISO 8601, dumps of databases, days and months, numbers since 1970."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.data.columns import epoch_parts
from titlebout.data.times import (
    DATE_NUMBER,
    SECOND_NUMBER,
    number_format,
    numeric_time,
    parse_format,
    parse_iso,
    parse_time,
    text_formats,
)


def texts(*values: str | None) -> "pd.Series[str]":
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-01-01T10:00:00Z", "2025-01-01 10:00"),
        ("2025-01-01 10:00:00+00", "2025-01-01 10:00"),
        ("2025-01-01 10:00:00,5 UTC", "2025-01-01 10:00:00.5"),
        ("2025-01-01T10:00:00-0330", "2025-01-01 13:30"),
        ("2025-01-01T10.5Z", "2025-01-01 10:30"),
        ("2025-01-01T10:30.25", "2025-01-01 10:30:15"),
        ("20250101T101112Z", "2025-01-01 10:11:12"),
        ("2025-W01-3", "2025-01-01"),
        ("2025-W01", "2024-12-30"),
        ("2025-001", "2025-01-01"),
        ("2024-366", "2024-12-31"),
        ("2025-01", "2025-01-01"),
        ("2025-01-01T24:00", "2025-01-02"),
        ("2025-01-01T10:00:00+01:00[Europe/Berlin]", "2025-01-01 09:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01"),
        ("2025-01-01T00:00:00.123456789Z", "2025-01-01 00:00:00.123456789"),
        ("9999-12-31", "9999-12-31"),
        ("0001-01-01T00:00:00Z", "0001-01-01"),
    ],
)
def test_a_form_of_iso_8601(text: str, time: str) -> None:
    read = parse_iso(texts(text, None))

    assert read[0] == parse_time(text) == pd.Timestamp(time, tz="UTC")
    assert read.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        "2025",
        "12",
        "soon",
        "2025-02-30",
        "2025-13",
        "2025-366",
        "2025-01-01T25:00",
        "2025-W54-1",
        "01/02/2025",
        "2025-01-01T10:00[UTC]",
        "",
    ],
)
def test_a_text_that_is_no_time(text: str) -> None:
    assert parse_iso(texts(text)).isna().all()
    assert parse_time(text) is None


def test_one_year_outside_of_nanoseconds_does_not_lose_the_others() -> None:
    read = parse_iso(texts("2025-01-01T00:00:00.123456789Z", "9999-12-31", "2025-W01-1"))

    assert read.notna().all()
    assert read[0] == pd.Timestamp("2025-01-01T00:00:00.123456", tz="UTC")


@given(st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01")), st.integers(-14, 14))
def test_a_time_is_the_same_in_every_zone(moment: "pd.Timestamp", hours: int) -> None:
    local = (pd.Timestamp(moment, tz="UTC") + pd.Timedelta(hours=hours)).tz_localize(None)
    with_zone = f"{local.isoformat()}{'-' if hours < 0 else '+'}{abs(hours):02}:00"

    assert parse_iso(texts(with_zone))[0] == parse_iso(texts(f"{moment.isoformat()}Z"))[0]


@pytest.mark.parametrize(
    ("values", "forms"),
    [
        (("13/02/2025", "01/02/2025"), ("%d/%m/%Y",)),
        (("02/13/2025 10:00", "01/02/2025 11:00"), ("%m/%d/%Y %H:%M",)),
        (("01/02/2025", "02/03/2025"), ("%d/%m/%Y", "%m/%d/%Y")),
        (("2025/01/31",), ("%Y/%m/%d",)),
        (("31-JAN-25 10.00.00.000000 AM",), ("%d-%b-%y %I.%M.%S.%f %p",)),
        (("31.1.2025 5:04",), ("%d.%m.%Y %H:%M",)),
        (("January 31, 2025", "May 1, 2025"), ("%B %d, %Y",)),
        (("May 1, 2025",), ("%B %d, %Y",)),
        (("31 January 2025 10:00",), ("%d %B %Y %H:%M",)),
        (("31JAN2025:10:00:00",), ("%d%b%Y:%H:%M:%S",)),
        (("1/31/2025, 10:00:00 PM",), ("%m/%d/%Y, %I:%M:%S %p",)),
        (("31/01/2025T10:00:00",), ("%d/%m/%YT%H:%M:%S",)),
        (("Fri, 31 Jan 2025 10:00:00 +0100",), ("%a, %d %b %Y %H:%M:%S %z",)),
        (("31/Jan/2025:10:00:00 +0000",), ("%d/%b/%Y:%H:%M:%S %z",)),
        (("Fri Jan 31 10:00:00 2025",), ("%a %b %d %H:%M:%S %Y",)),
        (("2025-01-31-10.00.00.000000",), ("%Y-%m-%d-%H.%M.%S.%f",)),
        (("Fri, 31 Jan 2025 10:00:00 GMT",), ("%a, %d %b %Y %H:%M:%S %Z",)),
        (("2025-1-1 1:00", "2025-10-12 0:05"), ("%Y-%m-%d %H:%M",)),
        (("2025-01-01 01:00 PM",), ("%Y-%m-%d %I:%M %p",)),
        (("Jan  1 2025 12:00AM",), ("%b %d %Y %I:%M%p",)),
        (("01-JAN-25 10.00.00.000000 AM UTC",), ("%d-%b-%y %I.%M.%S.%f %p %Z",)),
        (("[31/Jan/2025:10:00:00 +0000]",), ("[%d/%b/%Y:%H:%M:%S %z]",)),
        (("Model 12 of 2025", "March 1"), ()),
        (("1.5", "2.5"), ()),
        (("10-12-1", "x"), ()),
    ],
)
def test_the_forms_of_dates(values: tuple[str, ...], forms: tuple[str, ...]) -> None:
    assert text_formats(texts(*values, None)) == forms
    for form in forms:
        assert [parse_time(value, form) for value in values] == parse_format(texts(*values), form).tolist()


@pytest.mark.parametrize(
    ("form", "values", "first"),
    [
        ("epoch-s", [1735689600, 1735689700], "2025-01-01"),
        ("epoch-s", [1735689600.25, 1735689700.0], "2025-01-01 00:00:00.25"),
        ("epoch-ms", [1735689600123, 1735689600124], "2025-01-01 00:00:00.123"),
        ("epoch-us", [1735689600123456, 1735689600123457], "2025-01-01 00:00:00.123456"),
        ("epoch-ns", [1735689600123456789, 1735689600123456790], "2025-01-01 00:00:00.123456789"),
        (DATE_NUMBER, [20250101, 20250102], "2025-01-01"),
        (SECOND_NUMBER, [20250101103000, 20250101103001], "2025-01-01 10:30"),
    ],
)
def test_times_as_numbers(form: str, values: list[float], first: str) -> None:
    numbers = pd.Series(values)

    assert numeric_time(numbers) == form
    assert {number_format(name, numbers) for name in ("created_at", "eventTime", "order date", "TS")} == {form}
    assert number_format("amount", numbers) == ""
    assert parse_format(numbers, form).tolist()[0] == pd.Timestamp(first, tz="UTC")
    assert parse_format(numbers, form).is_unique


def test_a_number_that_stands_for_a_missing_time() -> None:
    seconds = pd.Series([0, *range(1_735_689_600, 1_735_689_799)])

    assert numeric_time(seconds) == "epoch-s"
    assert numeric_time(seconds.iloc[:50]) == ""


@pytest.mark.parametrize(
    "values", [[1, 2], [20251301, 20250101], [1735689600, 7], [10**18 * 5, 10**18 * 6], [3.5, 1e300]]
)
def test_other_numbers_are_no_times(values: list[float]) -> None:
    assert numeric_time(pd.Series(values)) == ""


def test_numbers_beyond_every_calendar_are_missing() -> None:
    assert parse_format(pd.Series([1735689600, 10**17]), "epoch-s").isna().tolist() == [False, True]


def test_the_parts_of_a_time_do_not_depend_on_unit_and_zone() -> None:
    times = pd.Series(pd.to_datetime(["2025-01-01 00:00:00.5", "1969-12-31 23:59:59.25"], utc=True))
    for other in (times.astype("datetime64[ms, UTC]"), times.dt.tz_convert("Asia/Tokyo"), times.dt.tz_localize(None)):
        assert all(np.array_equal(*pair) for pair in zip(epoch_parts(times), epoch_parts(other), strict=True))


@given(st.text(alphabet="0123456789-:TWZ+., ", max_size=30) | st.datetimes().map(str))
def test_one_time_is_read_as_in_a_column(text: str) -> None:
    (in_a_column,) = parse_iso(texts(text))
    alone = parse_time(text)

    assert (alone is None) == pd.isna(in_a_column)
    assert alone is None or alone == in_a_column


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("%d/%m/%Y", "31/12/2013"),
        ("%m/%d/%Y %I:%M %p", "12/31/2013 11:30 PM"),
        ("%d.%m.%Y %H:%M:%S.%f", "31.12.2013 23:30:00.25"),
        ("%Y%m%d", 20131231),
        ("epoch-s", 1388534399),
        ("epoch-s", 1388534399.123456),
        ("epoch-ms", 1388534399123),
        ("epoch-us", 1388534399123456),
        ("epoch-ns", 1388534399123456789),
        ("epoch-s", -1e300),
        ("epoch-ns", float("inf")),
        ("%Y%m%d", 20131332),
        ("%Y%m%d", float("nan")),
        ("%d/%m/%Y", "12/31/2013"),
    ],
)
def test_one_time_of_a_recorded_form_is_read_as_in_a_column(form: str, value: object) -> None:
    (in_a_column,) = parse_format(pd.Series([value], dtype=object if isinstance(value, str) else None), form)
    alone = parse_time(value, form)

    assert (alone is None) == pd.isna(in_a_column)
    assert alone is None or alone == in_a_column


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}, "soon"])
def test_a_value_that_is_no_time_of_a_form(value: object) -> None:
    assert parse_time(value, "epoch-s") is None


def test_iso_8601_is_read_beside_a_recorded_form() -> None:
    assert parse_time("2013-12-31", "%d/%m/%Y") == parse_time("31/12/2013", "%d/%m/%Y")
