"""How the values of a table were read, where a user might mean something else."""

import re
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from titlebout.data.columns import Column, column_kind
from titlebout.data.schema import matching
from titlebout.data.times import DATE_NUMBER, is_named_time, nearly_format, numeric_time, parse_format, parse_iso

FEW_OTHERS = 0.1  # of the values of a column that are likely mistakes if all others are times or numbers

_SERIAL_DAYS = (32_874, 73_050)  # days since 1899-12-30, from 1990 to 2099
_GROUP_MARKS = ".,'\N{RIGHT SINGLE QUOTATION MARK} \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
_DIGITS = rf"(?:[1-9]\d{{0,2}}(?:[{_GROUP_MARKS}]\d{{3}})+(?:[.,]\d+)?|(?:0|[1-9]\d*)(?:[.,]\d+)?)"
_CURRENCY = r"[$\u20ac\u00a3\u00a5]"
_CODE = r"0\d+"  # such as 02134: text is right, even where other values are not digits
_MANY_DIGITS = re.compile(r"(?:\d\D*){4}")
_DECORATED = re.compile(
    rf"[-+(]?(?:{_CURRENCY} ?|[A-Z]{{3}} )?[-+]?{_DIGITS}(?: ?%| ?{_CURRENCY}| [A-Za-z]{{1,3}}|-)?\)?"
)


def reading_notes(stored: pd.DataFrame, frame: pd.DataFrame, target: str, features: Collection[str]) -> Iterator[str]:
    """Yield sentences about columns whose values might mean something else.

    Parameters
    ----------
    stored : DataFrame of shape (n_rows, n_columns)
        Values as the file format has them.
    frame : DataFrame of shape (n_rows, n_columns)
        The same values, read as the types of their columns.
    target : str
        The column to predict.
    features : collection of str
        Columns that the model uses.
    """
    for name in frame.columns:
        kind = column_kind(frame[name])
        if kind == "text" and name != target and (why := text_reason(frame[name])):
            yield f"{name!r} is read as text, because {why}"
        if kind in {"integer", "number"} and matching(stored[name], _has_comma).any():
            yield (
                f"commas in {name!r} are read as thousands separators: 1,234 is 1234; if they are decimal commas, export the "
                "table with decimal points"
            )
        if kind in {"integer", "number"} and name in features:
            yield from _time_notes(str(name), frame[name])
    if column_kind(frame[target]) == "text":
        yield from _class_notes(frame[target])


def text_reason(column: Column) -> str:
    """Return why a column of text that looks like another one is text; empty if it looks like text.

    Parameters
    ----------
    column : Series of shape (n_rows,)
        Column of any kind.
    """
    if column_kind(column) != "text" or column.isna().all():
        return ""
    texts = column.dropna()
    if texts.str.fullmatch(_CODE).any():
        return ""
    form = nearly_format(texts)
    readings = [("times", parse_iso(texts)), ("numbers", pd.to_numeric(texts, errors="coerce"))]
    readings += [(f"times of the form {form}", parse_format(texts, form))] if form else []
    for kind, read in readings:
        if others := _few_others(texts, read, kind):
            return f"{others}: correct them, or leave them empty"
    decorated = texts.map(lambda text: _DECORATED.fullmatch(text.strip()) is not None)
    if decorated.mean() >= 1 - FEW_OTHERS and not texts.str.fullmatch(r"\d+").all():
        return (
            "its values look like numbers with other signs (currency, percent, decimal commas): write them like 1234.5 to use "
            "them as numbers"
        )
    if is_named_time(str(column.name)) and texts.str.contains(_MANY_DIGITS).mean() >= 1 - FEW_OTHERS:
        return (
            f"its form of a time is not known: add --type '{column.name}=datetime FORM' with the codes of strptime, such as "
            "%d.%m.%Y, if it is one"
        )
    return ""


def _few_others(values: Column, read: Column, kind: str) -> str:
    """Return how many values keep a column from being of a kind; empty if they are not few."""
    others = np.flatnonzero(read.isna())
    if not 0 < len(others) <= FEW_OTHERS * len(values):
        return ""
    return f"{len(others):,} of {len(values):,} values are not {kind}, first in row {values.index[others[0]]}"


def _class_notes(target: Column) -> Iterator[str]:
    """Yield a sentence for classes that differ only in spaces or in capital letters."""
    classes = pd.Series(sorted(target.unique()), dtype="str")
    for _, alike in classes.groupby(classes.str.split().str.join(" ").str.casefold()):
        if len(alike) > 1:
            yield (
                f"the classes {', '.join(map(repr, alike))} of {target.name!r} differ only in spaces or capital letters and are "
                "separate classes: if they mean the same, write them alike"
            )


def _has_comma(value: object) -> bool:
    return isinstance(value, str) and "," in value


def _time_notes(name: str, numbers: Column) -> Iterator[str]:
    if is_named_time(name) and numbers.dropna().between(*_SERIAL_DAYS).all() and numbers.nunique() > 2:
        yield f"{name!r} is used as a number; if these are days of a spreadsheet, export them as dates such as 2025-01-31"
        return
    form = numeric_time(numbers)
    if form:
        yield f"{name!r} is used as a number; if it is a time, add --type '{name}=datetime {form}'"
        return
    present = numbers.dropna()
    if others := _few_others(present, parse_format(present, DATE_NUMBER), "dates of the form 20250131"):
        yield f"{name!r} is read as numbers, because {others}: correct them, or leave them empty"
