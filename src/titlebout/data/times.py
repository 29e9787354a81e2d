"""Times in text and numbers: all forms of ISO 8601, dumps of databases, dates by day and month, seconds since 1970."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from titlebout.data.columns import Column

# Forms of a time other than ISO 8601, as they are recorded in params.yaml: format codes of strptime, or a unit.
DATES = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d %b %Y", "%d/%b/%Y", "%d-%b-%y"),
    *("%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%b %d %Y", "%d%b%Y", "%Y-%m-%d"),
    *("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y"),
    *("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y"),
)
CLOCKS = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p"),
    *(" %I.%M.%S.%f %p", " %I.%M.%S.%f %p %Z"),
    *(", %H:%M", ", %H:%M:%S", ", %I:%M %p", ", %I:%M:%S %p", "T%H:%M", "T%H:%M:%S", ":%H:%M:%S", ":%H:%M:%S.%f"),
)
# Mail (RFC 2822), web (RFC 9110), logs of web servers, C's asctime and the command `date`, DB2.
STAMPS = (
    *("%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %Z", "%d/%b/%Y:%H:%M:%S %z", "[%d/%b/%Y:%H:%M:%S %z]"),
    *("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%Y-%m-%d-%H.%M.%S.%f", "%Y-%m-%d-%H.%M.%S"),
)
FORMS = (*(date + clock for date in DATES for clock in CLOCKS), *STAMPS)
# A day, and a second, as a whole number: 20250131, 20250131235959.
DATE_NUMBER, SECOND_NUMBER = "%Y%m%d", "%Y%m%d%H%M%S"
_DIGITS = {DATE_NUMBER: 8, SECOND_NUMBER: 14}
UNITS = {"epoch-s": 1, "epoch-ms": 10**3, "epoch-us": 10**6, "epoch-ns": 10**9}  # per second

_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?|(?P<month_>\d\d)(?P<day_>\d\d)(?=[Tt ])"
    r"|-?W(?P<week>\d\d)(?:-?(?P<weekday>[1-7]))?|-?(?P<ordinal>\d{3})(?=[Tt ]|$))"
    r"(?:[Tt ](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d))?)?(?:[.,](?P<fraction>\d+))?"
    r" ?(?:(?P<zone>[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?(?::\d\d)?)(?:\[[\w/+:-]+\])?)?)?"  # Java adds the name of the zone
)
_EPOCH = (pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC"))  # range of a plausible epoch time
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_DAY = 86_400 * 10**9  # nanoseconds
# What a time of any other form begins with: 31.01.2025, 31 January 2025, 31JAN2025, January 31, 2025, or Fri, 31 Jan 2025.
_DATE = re.compile(
    r"\[?\d{1,4}[-./ ](\d{1,2}|[A-Za-z]{3,9})[-./ ]\d{1,4}|\d{1,2}[A-Za-z]{3}\d{4}|[A-Z][a-z]{2,8},? +(\d{1,2}|[A-Z][a-z]{2})[, ]"
)
NEARLY_ALL = 0.99  # share of numbers that lie in the range of times if the column is one of times
_SAMPLE = 20  # distinct values on which a form is tried first
_NAMED_TIME = re.compile(
    r"(^|[_\W])(time|date|datetime|timestamp|ts|epoch|at|on|when|created|updated)([_\W]|$)", re.IGNORECASE
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def parse_iso(texts: Column) -> Column:
    """Read ISO 8601 times.

    Parameters
    ----------
    texts : Series of shape (n_rows,)
        Text; missing values stay missing. A time without a zone is UTC; a week or a month is its first day.

    Returns
    -------
    Series of shape (n_rows,), dtype datetime64[us, UTC] or datetime64[ns, UTC]
        NaT where the text is not a time. Nanoseconds are kept if all years are between 1678 and 2262.
    """
    codes, distinct = pd.factorize(texts)  # each distinct text is parsed once
    if not len(distinct):
        return pd.Series(pd.NaT, index=texts.index, name=texts.name, dtype="datetime64[us, UTC]")
    times = _parse_distinct(pd.Series(distinct, dtype=object)).take(np.where(codes < 0, 0, codes))
    return pd.Series(times.where(codes >= 0).array, index=texts.index, name=texts.name)


def _parse_distinct(texts: Column) -> Column:
    """Parse present texts: with pandas, which is fast, and the forms of the standard that it does not know by ourselves."""
    is_form = texts.map(lambda text: _ISO.fullmatch(text) is not None).astype(bool)
    times = pd.to_datetime(texts.where(is_form), utc=True, format="ISO8601", errors="coerce")
    rest = times.isna() & is_form
    if not rest.any():
        return times
    normal = texts[rest].map(_normal_form)
    others = pd.to_datetime(normal, utc=True, format="ISO8601", errors="coerce")
    if others.isna().any():  # pandas chooses nanoseconds by the digits, and these end in the year 2262
        micros = normal.str.replace(r"(\.\d{6})\d{3}", r"\1", regex=True)
        others = _widest(
            [others.dropna(), pd.to_datetime(micros[others.isna()], utc=True, format="ISO8601", errors="coerce")]
        )
    return _widest([times[~rest], others]).reindex(texts.index)


def parse_format(texts: Column, form: str) -> Column:
    """Read times of one form: format codes of strptime for text, a unit such as ``epoch-s`` for numbers.

    Returns
    -------
    Series of shape (n_rows,), dtype datetime64[us, UTC]
        NaT where the value has another form.
    """
    if form in UNITS:
        return _since_1970(pd.to_numeric(texts, errors="coerce"), UNITS[form])
    if form in _DIGITS:
        numbers = pd.to_numeric(texts, errors="coerce")
        largest = 10 ** _DIGITS[form]
        texts = numbers.where(numbers.between(largest // 10, largest - 1)).astype("Int64").astype("string")
    return pd.to_datetime(texts, utc=True, format=form, errors="coerce").astype("datetime64[us, UTC]")


def is_number(form: str) -> bool:
    """Return whether times of a form are numbers."""
    return form in UNITS or form in _DIGITS


def parse_time(value: object, form: str = "") -> datetime | None:
    """Read one time as :func:`parse_iso` and :func:`parse_format` read a column of them.

    Parameters
    ----------
    value : object
        Text, or a number for the forms that are numbers.
    form : str
        A form of :func:`parse_format`, beside which ISO 8601 is read as well.

    Returns
    -------
    datetime or None
        In UTC, a :class:`pandas.Timestamp` if it has nanoseconds; None if it is not a time.
    """
    try:
        moment = _parse_form(value, form) if form else None
        return (_parse_text(value) if isinstance(value, str) else None) if moment is None else moment
    except (ValueError, OverflowError):  # a year before 1 or after 9999
        return None


def _parse_form(value: object, form: str) -> datetime | None:
    if is_number(form):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return _from_number(value, form)
    with suppress(ValueError):
        if isinstance(value, str) and "%z" in form:
            return datetime.strptime(value, form).astimezone(UTC)
        return datetime.strptime(value, form).replace(tzinfo=UTC) if isinstance(value, str) else None
    return None


def _from_number(value: float, form: str) -> datetime | None:
    if form in _DIGITS:
        return datetime.strptime(str(int(value)), form).replace(tzinfo=UTC) if value == int(value) else None
    per_second = UNITS[form]
    if per_second > 10**6:
        return _plain(pd.Timestamp(int(value), unit="ns", tz="UTC")) if abs(value) < 2**62 else None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(value * (10**6 // per_second)))


def _plain(moment: pd.Timestamp) -> datetime:
    """Return a time without nanoseconds as a datetime."""
    return moment if moment.nanosecond else moment.to_pydatetime()


def _parse_text(text: str) -> datetime | None:
    normal = _normal_form(text)
    if not normal:
        return None
    moment = datetime.fromisoformat(normal[:26] + normal[29:]).astimezone(UTC)  # without the last three digits
    fits = pd.Timestamp.min.year < moment.year < pd.Timestamp.max.year
    return _plain(pd.Timestamp(normal).tz_convert("UTC")) if fits else moment


def _since_1970(numbers: Column, per_second: int) -> Column:
    """Read numbers of a unit as times, integers exactly; in microseconds, or in nanoseconds if that is the unit."""
    scale = min(per_second, 10**6)
    stored = numbers if per_second > 10**6 else (numbers * (10**6 // scale)).round()
    fits = (numbers.astype("float64").abs() * (10**6 / scale) < 2**62).fillna(False)
    whole = stored.where(fits).astype("Int64")
    if per_second > 10**6:
        return pd.to_datetime(whole, unit="ns", utc=True).astype("datetime64[ns, UTC]")
    return pd.to_datetime(whole, unit="us", utc=True).astype("datetime64[us, UTC]")


def text_formats(texts: Column) -> tuple[str, ...]:
    """Return the forms, other than ISO 8601, that fit every present value; two if day and month cannot be distinguished."""
    present = texts.dropna().drop_duplicates()
    if present.empty or not _DATE.match(present.iloc[0]):
        return ()
    sample = present.iloc[:_SAMPLE]
    fitting = (form for form in FORMS if parse_format(sample, form).notna().all())
    found: dict[str, Column] = {}
    for form in fitting:
        times = parse_format(present, form)
        # May is the name of a month and its abbreviation: of forms that read the same times, the first is taken.
        if times.notna().all() and not any(times.equals(other) for other in found.values()):
            found[form] = times
    return tuple(found)


def number_format(name: str, numbers: Column) -> str:
    """Return the form of a column of times that are stored as numbers; empty for other columns.

    Parameters
    ----------
    name : str
        Name of the column. It must be one of a time: numbers of another name that lie in the range of times, or advance from
        row to row, are ids as often as times.
    numbers : Series of shape (n_rows,)

    Returns
    -------
    str
        A key of :data:`UNITS`, :data:`DATE_NUMBER` or :data:`SECOND_NUMBER`.
    """
    return numeric_time(numbers) if is_named_time(name) else ""


def is_named_time(name: str) -> bool:
    """Return whether the name of a column is one of a time, such as created_at, eventTime or TS."""
    return _NAMED_TIME.search(_HUMP.sub("_", name)) is not None


def numeric_time(numbers: Column) -> str:
    """Return the form in which the numbers are times between 1990 and 2100; empty if there is none.

    Of a hundred numbers, one may be another time, such as 0: it stands for a missing one, and is set aside as implausible.
    """
    present = numbers.dropna()
    if present.nunique() < 2:
        return ""
    for unit, per_second in UNITS.items():
        low, high = (int(bound.timestamp()) * per_second for bound in _EPOCH)
        if ((present >= low) & (present < high)).mean() >= NEARLY_ALL and parse_format(present, unit).notna().all():
            return unit
    for form in _DIGITS:
        times = parse_format(present, form)
        if times.notna().all() and times.between(*_EPOCH).all():
            return form
    return ""


def nearly_format(texts: Column) -> str:
    """Return the form, other than ISO 8601, that nearly all of the first values have; empty if there is none.

    Parameters
    ----------
    texts : Series of shape (n_rows,)
        Present values of a column that is not one of times, maybe because of a few of them.
    """
    sample = texts.drop_duplicates().iloc[:_SAMPLE]
    if not any(_DATE.match(text) for text in sample):
        return ""
    shares = {form: parse_format(sample, form).notna().mean() for form in FORMS}
    best = max(shares, key=lambda form: shares[form])
    return best if shares[best] > 1 / 2 else ""


def _normal_form(text: str) -> str:
    """Write a time of any ISO 8601 form as pandas reads it: 2025-01-01T00:00:00.000000000+00:00; empty if there is no such time."""
    found = _ISO.fullmatch(text)
    if found is None:
        return ""
    parts = {unit: int(found[unit] or 0) for unit in ("hour", "minute", "second")}
    # 24:00 is the end of a day, and second 60 a leap second.
    if parts["hour"] > 24 or parts["minute"] > 59 or parts["second"] > 60:
        return ""
    smallest = next(unit for unit in ("second", "minute", "hour") if found[unit] or unit == "hour")
    seconds = parts["hour"] * 3600 + parts["minute"] * 60 + parts["second"]
    nanoseconds = seconds * 10**9 + _fraction(found["fraction"]) * _SECONDS[smallest]
    if nanoseconds > _DAY or (parts["hour"] == 24 and nanoseconds != _DAY):
        return ""
    try:
        day = _day(found) + timedelta(days=nanoseconds // _DAY)
    except (ValueError, OverflowError):
        return ""
    whole, rest = divmod(nanoseconds % _DAY, 10**9)
    clock = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:09}"
    return f"{day.isoformat()}T{clock}{_offset(found['zone'])}"


def _fraction(digits: str | None) -> int:
    """Return a decimal fraction in billionths, without the digits after the ninth."""
    return int((digits or "0")[:9].ljust(9, "0"))


def _day(found: "re.Match[str]") -> date:
    year = int(found["year"])
    if found["week"]:
        return date.fromisocalendar(year, int(found["week"]), int(found["weekday"] or 1))
    if found["ordinal"]:
        day = date(year, 1, 1) + timedelta(days=int(found["ordinal"]) - 1)
        if day.year != year or found["ordinal"] == "000":
            raise ValueError("there is no such day in the year")
        return day
    return date(year, int(found["month"] or found["month_"]), int(found["day"] or found["day_"] or 1))


def _offset(zone: str | None) -> str:
    if not zone or zone.upper() in {"Z", "UTC", "GMT"}:
        return "+00:00"
    digits = zone[1:].replace(":", "")
    return f"{zone[0]}{digits[:2]}:{digits[2:] or '00'}"


def _widest(parts: Iterable[Column]) -> Column:
    """Concatenate times in the finest unit that can hold all of them."""
    kept = [part for part in parts if len(part)]
    try:
        return pd.concat([part.astype("datetime64[ns, UTC]") for part in kept])
    except pd.errors.OutOfBoundsDatetime:
        return pd.concat([part.astype("datetime64[us, UTC]") for part in kept])
