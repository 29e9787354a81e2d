"""The position of the data in time: its newest time or, without a time column, its number of rows.

No system clock is used: "now" is the newest time in the data, so that the same data gives the same decision on any day.
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
    """A time in the data, or a number of rows.

    Moments are ordered; numbers of rows come before times, so that a log with both kinds has a single order.

    Attributes
    ----------
    value : datetime or int
        With a time zone, UTC; or a number of rows.
    """

    value: datetime | int

    @classmethod
    def parse(cls, text: str) -> "Moment":
        """Parse the output of ``str``: digits are a number of rows, other text is ISO 8601, in UTC without a time zone.

        Raises
        ------
        ValueError
            If the text is neither.
        """
        if text.isdigit():
            if len(text) > MOST_DIGITS:
                raise ValueError(f"a number of rows can have at most {MOST_DIGITS} digits")
            return cls(int(text))
        try:
            moment = datetime.fromisoformat(text)
            return cls(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
        except OverflowError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def read(cls, text: str) -> "Moment | None":
        """Parse text from an untrusted source; None if it is not a moment."""
        try:
            return cls.parse(text)
        except ValueError:
            return None

    def comparable(self, other: "Moment") -> bool:
        """Return whether both are times, or both are numbers of rows."""
        return isinstance(self.value, int) == isinstance(other.value, int)

    @property
    def short(self) -> str:
        """Short form for reports: the day, or the number of rows."""
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
        raise TypeError("cannot subtract two positions in the data when one is a time and the other a number of rows")

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
        """Serialize as text in JSON documents."""
        text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.union_schema(
            [core_schema.is_instance_schema(cls), text],
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


def moment_of(tracked: pd.DataFrame, new_rows: pd.DataFrame, time: str) -> Moment:
    """Return the newest time of the data or, without a time column, its number of rows.

    Parameters
    ----------
    tracked, new_rows : DataFrame
        The tracked rows, and the rows after them; at least one of the tables must have a row.
    time : str
        Time column; empty if the data has no time column.
    """
    if not time:
        return Moment(len(tracked) + len(new_rows))
    newest: pd.Timestamp = max(timestamps(frame, time).max() for frame in (tracked, new_rows) if len(frame))
    return Moment(newest.floor("us").to_pydatetime().astimezone(UTC))
