"""Where the data stands: at a time, or, where rows have no time, at a number of rows.

The loop asks no clock: "now" is the newest time in the data, so that the same data gives the same decision on every day.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from typing import Any

import pandas as pd
from pydantic_core import CoreSchema, core_schema

from titlebout.data.columns import timestamps

MOST_DIGITS = 18  # of a number of rows


@total_ordering
@dataclass(frozen=True)
class Moment:
    """A time of the data, or a number of rows.

    Moments are ordered; one that is a number of rows comes before any that is a time, so that a log of both has one order.

    Attributes
    ----------
    value : datetime or int
        With a time zone, UTC; or a number of rows.
    """

    value: datetime | int

    @classmethod
    def parse(cls, text: str) -> "Moment":
        """Read what ``str`` wrote: digits are a number of rows, anything else is ISO 8601; without a zone it is UTC.

        Raises
        ------
        ValueError
            If it is neither.
        """
        if text.isdigit():
            if len(text) > MOST_DIGITS:
                raise ValueError(f"a number of rows has at most {MOST_DIGITS} digits")
            return cls(int(text))
        try:
            moment = datetime.fromisoformat(text)
            return cls(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
        except OverflowError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def read(cls, text: str) -> "Moment | None":
        """Read what somebody else may have written; None when it is no moment."""
        try:
            return cls.parse(text)
        except ValueError:
            return None

    def comparable(self, other: "Moment") -> bool:
        """Return whether both are times, or both are numbers of rows."""
        return isinstance(self.value, int) == isinstance(other.value, int)

    @property
    def short(self) -> str:
        """For people: the day, or the number of rows."""
        return f"{self.value:,} rows" if isinstance(self.value, int) else self.value.isoformat()[:10]

    def __str__(self) -> str:
        return str(self.value) if isinstance(self.value, int) else self.value.isoformat()

    def __lt__(self, other: "Moment") -> bool:
        return self._order < other._order

    def __sub__(self, other: "Moment") -> float:
        """Return the distance, in seconds or in rows.

        Raises
        ------
        TypeError
            Between a time and a number of rows.
        """
        if isinstance(self.value, datetime) and isinstance(other.value, datetime):
            return (self.value - other.value).total_seconds()
        if isinstance(self.value, int) and isinstance(other.value, int):
            return float(self.value - other.value)
        raise TypeError("a time and a number of rows have no distance")

    def __add__(self, distance: float) -> "Moment":
        """Return the moment some seconds or rows later."""
        if isinstance(self.value, int):
            return Moment(round(self.value + distance))
        return Moment(self.value + timedelta(seconds=distance))

    @property
    def _order(self) -> tuple[bool, float]:
        return (False, float(self.value)) if isinstance(self.value, int) else (True, self.value.timestamp())

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        """In a document a moment is its text."""
        text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.union_schema(
            [core_schema.is_instance_schema(cls), text],
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


def moment_of(known: pd.DataFrame, arrived: pd.DataFrame, time: str) -> Moment:
    """Return where the data stands: at its newest time or, without a time column, at its number of rows.

    Parameters
    ----------
    known, arrived : DataFrame
        The tracked rows, and those that came after them; at least one must have a row.
    time : str
        Time column; empty when rows have no order.
    """
    if not time:
        return Moment(len(known) + len(arrived))
    newest: pd.Timestamp = max(timestamps(frame, time).max() for frame in (known, arrived) if len(frame))
    return Moment(newest.floor("us").to_pydatetime().astimezone(UTC))
