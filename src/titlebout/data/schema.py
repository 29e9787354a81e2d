"""Schema of a table: the type of every column, decided once, and used to read every later batch in any file format.

A CSV file has no types, and JSON, Parquet and databases have different ones. Guessed file by file, a column of postal codes
is text in one batch and numbers in the next, and a gap turns the label 1 into 1.0. Here the types are inferred from the
whole reference data, recorded in ``params.yaml``, and every value is read as the type of its column.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import BoolArray
from titlebout.core.errors import DataError
from titlebout.data.columns import Column, column_kind
from titlebout.data.times import number_format, parse_format, parse_iso, text_formats
from titlebout.settings.column_type import ColumnType
from titlebout.settings.params import DataParams

# In a column of numbers or times these words cannot be anything else; in a text column they are levels.
MISSING_WORDS = (
    *("NA", "na", "N/A", "n/a", "NaN", "NAN", "nan", "null", "Null", "NULL", "None", "none", "NONE", "nil", "NIL"),
    *("-", "--", "?", ".", "<NA>", "NaT", "(null)", r"\N", "#N/A", "#NULL!", "#VALUE!", "#DIV/0!"),
)
EXAMPLES = 5  # row numbers of unreadable values

_WHOLE = r"-?(?:0|[1-9]\d{0,307})"  # more digits than a float can have are no number
_GROUPED = r"-?[1-9]\d{0,2}(?:,\d{3})+"  # with thousands separators
_NUMBER = r"[+-]?(?:(?:0|[1-9]\d{0,307})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?"
_WHOLE_TEXT = re.compile(rf"{_WHOLE}|{_GROUPED}")
_NUMBER_TEXT = re.compile(rf"{_NUMBER}|{_GROUPED}(?:\.\d*)?", re.IGNORECASE)
_BOOLEANS = {"true": True, "false": False}
_STORED_BOOLEANS = {**_BOOLEANS, "1": True, "0": False, "1.0": True, "0.0": False}  # databases store them as numbers
_MAX_INTEGER = 2**63 - 1
_EXACT_IN_A_FLOAT = 2**53
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_YEARS = (1900, 2100)  # of times that are written without a day, such as 2024-01, which may be a code as well
_ONE_AND_MANY = {
    "number": ("a number", "numbers"),
    "integer": ("a whole number", "whole numbers"),
    "boolean": ("true or false", "true or false"),
    "text": ("text", "text"),
    "datetime": ("a time", "times"),
}


@dataclass(frozen=True)
class Schema:
    """Types of columns, and the words that stand for a missing value.

    Attributes
    ----------
    types : mapping of str to ColumnType
        By column name; the type of any other column is inferred from its values.
    missing : tuple of str
        Words that stand for a missing value in every column, besides the empty field.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


NO_TYPES = Schema()


@dataclass(frozen=True)
class RawTable:
    """A table as it is stored.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Values as the file format has them.
    typed : bool
        False if the format has no types, so that every value is text.
    where : str
        Path or address, for messages.
    notes : tuple of str
        What was left out of the stored table, for the user.
    """

    frame: pd.DataFrame
    typed: bool
    where: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """Values of a column that cannot be read as its type.

    Attributes
    ----------
    column : str
        Name of the column.
    type : ColumnType
        Type of the column.
    count : int
        Number of such values.
    rows : tuple of int
        Positions of the first of them in the table, starting at 0.
    where : str
        Path or address of the table.
    """

    column: str
    type: ColumnType
    count: int
    rows: tuple[int, ...]
    where: str

    @property
    def message(self) -> str:
        """The problem, without the column and without values."""
        one, many = _ONE_AND_MANY[self.type.kind]
        if self.type.form:
            one, many = f"{one} of the form {self.type.form}", f"{many} of the form {self.type.form}"
        return f"{self.count:,} value is not {one}" if self.count == 1 else f"{self.count:,} values are not {many}"


def recorded_schema(data: DataParams) -> Schema:
    """Return the types and words for missing values that are recorded in the parameters of a pipeline."""
    return Schema({name: ColumnType.parse(text) for name, text in data.columns.items()}, data.missing)


def schema_of(frame: pd.DataFrame, data: DataParams) -> Schema:
    """Return the schema in which later batches of a table are read.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The tracked data, read by :func:`read_as`.
    data : DataParams
        Recorded types, which take precedence. A column without a recorded type has the kind of its tracked values; a column
        without values, and the form of a time, are inferred from the batch.
    """
    recorded = recorded_schema(data)
    kinds = {name: column_kind(frame[name]) for name in frame.columns if frame[name].notna().any()}
    types = {name: ColumnType(kind) for name, kind in kinds.items() if kind != "datetime"}
    return Schema({**types, **recorded.types}, recorded.missing)


def infer_schema(tables: Sequence[RawTable], known: Schema = NO_TYPES) -> Schema:
    """Infer the types of all columns without a known type, from all tables together.

    Parameters
    ----------
    tables : sequence of RawTable
        With the same columns.
    known : Schema
        Types that are already recorded, and the words for missing values.
    """
    names = dict.fromkeys(name for table in tables for name in table.frame.columns)
    types = {name: known.types.get(name) or _infer_type(name, tables, known.missing) for name in names}
    return Schema(types, known.missing)


def read_as(table: RawTable, schema: Schema) -> pd.DataFrame:
    """Read every value as the type of its column.

    Parameters
    ----------
    table : RawTable
    schema : Schema
        Must have a type for every column of the table.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        number as float64; integer as int64, with gaps as Int64, or as float64 if a value has a fraction, which is refused beside
        integers that a float cannot hold; boolean as bool, with gaps as object; text as object (str, missing as None); datetime in UTC.

    Raises
    ------
    DataError
        If a value cannot be read as the type of its column; names the column, the row and the number of such values.
    """
    frame, unreadable = read_readable(table, schema)
    require_readable(unreadable)
    return frame


def require_readable(unreadable: Sequence[Unreadable]) -> None:
    """Refuse a table that has values of another type than their column's.

    Parameters
    ----------
    unreadable : sequence of Unreadable
        What :func:`read_readable` found.

    Raises
    ------
    DataError
        If there is such a value; names the first column, its file and row, and the number of such values.
    """
    for found in unreadable:
        raise DataError(
            f"column {found.column!r}: {found.message}",
            where=f"{found.where}, first in row {found.rows[0]}",
            why=f"the type of the column is {found.type}, from data.columns in params.yaml or from the tracked data",
            fix="correct the values, or change the type of the column in params.yaml",
        )


def read_readable(table: RawTable, schema: Schema) -> tuple[pd.DataFrame, tuple[Unreadable, ...]]:
    """Read every value as the type of its column, and keep columns with other values as they are stored.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns)
        As :func:`read_as` returns it; a column in the second result has its stored values.
    unreadable : tuple of Unreadable
        One for each column that has a value of another type.
    """
    columns: dict[str, Column] = {}
    unreadable: list[Unreadable] = []
    for name in table.frame.columns:
        given = schema.types[name]
        values = _present(table.frame[name], given, schema.missing)
        columns[name] = _READERS[given.kind](values, given.form)
        failed = np.flatnonzero((columns[name].isna() & values.notna()).to_numpy(dtype=bool))
        if len(failed):
            columns[name] = values
            rows = tuple(int(row) for row in failed[:EXAMPLES])
            unreadable.append(Unreadable(name, given, len(failed), rows, table.where))
    return pd.DataFrame(columns, index=table.frame.index), tuple(unreadable)


def is_nested(value: object) -> bool:
    """Return whether a value is a list, an object or an array."""
    return isinstance(value, list | dict | tuple | np.ndarray)


def _infer_type(name: str, tables: Sequence[RawTable], missing: Sequence[str]) -> ColumnType:
    untyped = [table.frame[name] for table in tables if not table.typed and name in table.frame]
    found = [_infer_from_text(name, without_missing(pd.concat(untyped, ignore_index=True), missing))] if untyped else []
    stored = [table.frame[name] for table in tables if table.typed and name in table.frame]
    found += [_infer_from_values(name, without_missing(_plain_values(values), missing)) for values in stored]
    return _common_type([one for one in found if one is not None])


def _infer_from_text(name: str, texts: Column) -> ColumnType | None:
    """Return the type of a column of text; None for a column without values."""
    distinct = texts.dropna().drop_duplicates()
    if distinct.empty:
        return None
    values = distinct.str.strip().drop_duplicates()
    values = values[~values.isin(["", *MISSING_WORDS])]
    if values.empty:
        return ColumnType("text")
    if _all_match(values, _WHOLE_TEXT):
        numbers = pd.Series([int(text.replace(",", "")) for text in values], dtype=object)
        return _number_type(name, numbers, "integer")
    if _all_match(values, _NUMBER_TEXT):
        return _number_type(name, _read_numbers(values), "number")
    if values.str.lower().isin(list(_BOOLEANS)).all():
        return ColumnType("boolean")
    return _infer_time(values)


def _all_match(texts: Column, pattern: "re.Pattern[str]") -> bool:
    return all(pattern.fullmatch(text) for text in texts)


def _infer_time(texts: Column) -> ColumnType:
    times = parse_iso(texts)
    if times.notna().all() and (_are_dates(texts) or times.dt.year.between(*_YEARS).all()):
        return ColumnType("datetime")
    forms = text_formats(texts)
    # If day and month cannot be distinguished, the type has to be recorded: a guess would be wrong half of the time.
    return ColumnType("datetime", forms[0]) if len(forms) == 1 else ColumnType("text")


def _are_dates(texts: Column) -> bool:
    return all(_DATE.match(text) for text in texts)


def _infer_from_values(name: str, values: Column) -> ColumnType | None:
    """Return the type of a column of a format that has types; None for a column without values."""
    present = values.dropna()
    if present.empty:
        return None
    kind = column_kind(present)
    if kind == "text" and _is_text(present):
        return _infer_time(present.drop_duplicates())
    return _number_type(name, present, kind) if kind in {"integer", "number"} else ColumnType(kind)


def _number_type(name: str, numbers: Column, kind: str) -> ColumnType:
    if kind == "integer" and max(abs(int(numbers.min())), abs(int(numbers.max()))) > _MAX_INTEGER:
        return ColumnType("text")  # a code: no number type holds it exactly
    form = number_format(name, numbers)
    return ColumnType("datetime", form) if form else ColumnType(kind)


def _common_type(found: Iterable[ColumnType]) -> ColumnType:
    """Return the type that holds the values of all; text if there is none."""
    distinct = set(found)
    if len(distinct) == 1:
        return distinct.pop()
    kinds = {one.kind for one in distinct}
    if kinds == {"integer", "number"}:
        return ColumnType("number")
    if kinds == {"datetime"}:
        return ColumnType("datetime", next(one.form for one in distinct if one.form))
    return ColumnType("text")


def _present(column: Column, given: ColumnType, missing: Sequence[str]) -> Column:
    """Return the stored values without those that stand for a missing value in a column of this type."""
    if given.kind == "text":
        return without_missing(_plain_values(column), missing)
    return without_missing(_stripped(_plain_values(column)), (*missing, *MISSING_WORDS))


def _stripped(values: Column) -> Column:
    """Return values without spaces around text, which numbers and times have in files that are aligned."""
    if values.dtype != object and not pd.api.types.is_string_dtype(values.dtype):
        return values
    return _each(values, lambda value: value.strip() if isinstance(value, str) else value)


def matching(values: Column, test: Callable[[object], bool]) -> BoolArray:
    """Return for which values a test is true; ``Series.map`` of a single category would be categorical."""
    return np.fromiter(map(test, values), dtype=np.bool_, count=len(values))


def without_missing(values: Column, words: Sequence[str]) -> Column:
    """Return the values without empty text and without the words for missing values."""
    if values.dtype != object and not pd.api.types.is_string_dtype(values.dtype):
        return values
    plain = values.astype(object)
    plain[plain.isna() | plain.isin(["", *words])] = None
    return plain


def _plain_values(column: Column) -> Column:
    """Return a column with the values that every file format can hold.

    Lists and objects become JSON text: they are no feature, but no row and no column may disappear. Bytes become text, and a
    duration its number of seconds.
    """
    if column.dtype == "category":
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.start_time
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds()
    return _each(column, _plain_value) if column.dtype == object else column


def _each(column: Column, function: Callable[[Any], Any]) -> Column:
    """Apply a function to every present value; unlike ``Series.map``, without making floats of integers with gaps."""
    read = [None if missing else function(value) for value, missing in zip(column, column.isna(), strict=True)]
    return pd.Series(read, index=column.index, name=column.name, dtype=object)


def _plain_value(value: Any) -> Any:
    if is_nested(value):
        return json.dumps(_json_value(value), sort_keys=True, ensure_ascii=False)
    if isinstance(value, Decimal):
        # The exponent is that of the column's type: a whole number of any size, such as an id, is not a float.
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    if isinstance(value, memoryview):
        value = value.tobytes()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_json_value(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _json_value(one) for key, one in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | None) else str(value)


def _read_numbers(values: Column, _form: str = "") -> Column:
    if values.dtype in (np.float16, np.float32):
        # The shortest text of such a float is what a CSV file of the same table has: 0.1, not 0.10000000149.
        return pd.Series([float(str(value)) for value in values.to_numpy()], index=values.index, name=values.name)
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        values = _each(values, _as_number)
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _as_number(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return None
    if not isinstance(value, str):
        return value
    # float() is exact; the parser of pandas can differ in the last digit
    return float(value.replace(",", "")) if _NUMBER_TEXT.fullmatch(value) else None


def _read_integers(values: Column, _form: str) -> Column:
    """Read whole numbers exactly; a column with a fraction is read as numbers, unless that would round others, such as ids."""
    if pd.api.types.is_signed_integer_dtype(values.dtype):
        return values.astype("int64") if not values.isna().any() else values.astype("Int64")
    whole = _each(values, _as_whole)
    rest = whole.isna() & values.notna()
    if rest.any():
        numbers = _read_numbers(values)
        exact = whole.dropna().abs().max() <= _EXACT_IN_A_FLOAT if whole.notna().any() else True
        return numbers.where(~rest | ((numbers % 1 != 0) & exact))  # a larger whole number would be rounded
    return whole.astype("Int64" if whole.isna().any() else "int64")


def _as_whole(value: Any) -> int | None:
    """Return a value as an integer, true as 1; None if it is not a whole number of 64 bits."""
    if isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if isinstance(value, str):
        value = value.replace(",", "") if _NUMBER_TEXT.fullmatch(value) else None
        value = int(value) if value and _WHOLE_TEXT.fullmatch(value) else value and float(value)
    try:
        whole = int(value)
    except (ValueError, OverflowError, TypeError):
        return None
    largest = _EXACT_IN_A_FLOAT if isinstance(value, float | np.floating) else _MAX_INTEGER
    return whole if whole == value and abs(whole) <= largest else None


def _read_booleans(values: Column, _form: str) -> Column:
    read = _each(values, lambda value: _STORED_BOOLEANS.get(str(value).lower()))
    return read if read.isna().any() else read.astype(bool)


def _read_texts(values: Column, _form: str) -> Column:
    return _each(values, _as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).lower()  # as a CSV file of the same table has it
    # A format without integers, or a gap, turns the code 5 into 5.0; in a CSV file of the same table it is 5.
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if is_whole else str(value)


def _read_times(values: Column, form: str) -> Column:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values.dt.tz_convert("UTC") if values.dt.tz is not None else values.dt.tz_localize("UTC")
    if not _is_text(values):
        return parse_format(values, form) if form and column_kind(values) != "datetime" else _from_objects(values)
    if not form:
        return parse_iso(values)
    read = parse_format(values, form)
    # A database or a Parquet file has dates of its own, and its export as text is in ISO 8601.
    others = parse_iso(values.where(read.isna(), None))
    return read.fillna(others.astype(read.dtype)) if others.notna().any() else read


def _from_objects(values: Column) -> Column:
    """Read date and datetime objects; numbers are not times."""
    if column_kind(values) != "datetime":
        return pd.Series(pd.NaT, index=values.index, name=values.name, dtype="datetime64[us, UTC]")
    return parse_iso(_each(values, lambda value: value.isoformat()))


def _is_text(values: Column) -> bool:
    return all(isinstance(value, str) for value in values.dropna())


_READERS = {
    "number": _read_numbers,
    "integer": _read_integers,
    "boolean": _read_booleans,
    "text": _read_texts,
    "datetime": _read_times,
}
