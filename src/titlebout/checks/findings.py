"""From the answers of a suite to findings: what is wrong, with which column, how bad, and never with whose value."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import pandas as pd

from titlebout.checks.suites import BETWEEN, COLUMN_SET, IN_SET, NOT_NULL, TYPE_LIST, Expectation
from titlebout.core.markdown import cut, number
from titlebout.core.results import Record
from titlebout.data.columns import Column

Verdict = Literal["passed", "warning", "schema_skew", "value_skew"]

SHOWN_REASONS = 10

_SEVERITIES = ("critical", "warning", "info")
_ABOUT_SCHEMA = {
    COLUMN_SET,
    TYPE_LIST,
    "expect_table_columns_to_match_ordered_list",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_column_to_exist",
    "expect_column_values_to_be_of_type",
    "expect_column_type_to_be",
}
# Observed values that tell nothing about one row; all others stay out of reports.
_AGGREGATE = re.compile(
    r"expect_(?:table|column)_(row_count|column_count|mean|median|stdev|sum|unique_value_count)_to_"
)


class Failure(Record):
    """What is wrong with a table; never a value of a row.

    Attributes
    ----------
    kind : {"schema", "value"}
    severity : {"critical", "warning", "info"}
    type : str
        Type of the expectation that failed.
    column : str or None
        None when it is about the whole table.
    message : str
        What was found, and what was expected.
    unexpected_count, unexpected_percent : int or None, float or None
        Values that are not as expected, where values are counted.
    row_examples : tuple of int
        Positions of rows, counted from 0.
    """

    kind: Literal["schema", "value"]
    severity: str
    type: str
    column: str | None
    message: str
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    row_examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """One expectation, whether it holds, and what was observed; nothing when the evaluation ended in an exception."""

    expectation: Expectation
    holds: bool
    detail: Mapping[str, Any]


def findings(answers: Iterable[Answer], arrived: pd.DataFrame) -> list[Failure]:
    """Return what is wrong with a table, the worst first.

    Parameters
    ----------
    answers : iterable of Answer
    arrived : DataFrame of shape (n_rows, n_columns)
        The table with the names and dtypes that it arrived with.
    """
    again = arrived.columns.duplicated()
    about_columns = Expectation(type=COLUMN_SET, kwargs={})
    found = [
        _failure(about_columns, "schema", name, "occurs more than once") for name in arrived.columns[again].unique()
    ]
    dtypes = arrived.dtypes[~again]
    return _tidy(found + [failure for answer in answers for failure in _failures(answer, dtypes)])


def verdict(failures: Sequence[Failure]) -> Verdict:
    """Return ``passed``, ``warning``, ``schema_skew`` or ``value_skew``."""
    critical = {failure.kind for failure in failures if failure.severity == "critical"}
    if critical:
        return "schema_skew" if "schema" in critical else "value_skew"
    return "warning" if failures else "passed"


def reasons(failures: Sequence[Failure], asked: int) -> Iterator[str]:
    """Yield sentences for people, without markup."""
    critical = [failure for failure in failures if failure.severity == "critical"]
    if not failures:
        yield f"all {asked} expectations hold"
    elif not critical:
        yield f"no critical expectation failed; of the others {len(failures)} did"
    for failure in critical[:SHOWN_REASONS]:
        yield f"column {failure.column!r}: {failure.message}" if failure.column else failure.message
    if len(critical) > SHOWN_REASONS:
        yield f"and {len(critical) - SHOWN_REASONS} more"


def _failures(answer: Answer, dtypes: Column) -> list[Failure]:
    """Return what is wrong: nothing when the expectation holds, else at least one entry."""
    expectation = answer.expectation
    gone = [name for name in expectation.columns if name not in dtypes.index]
    if gone:
        return [_failure(expectation, "schema", name, "is missing") for name in gone]
    if answer.holds:
        return []
    kind: Literal["schema", "value"] = "schema" if expectation.type in _ABOUT_SCHEMA else "value"
    column = expectation.kwargs.get("column")
    if kind == "schema" and column:
        message = f"has type {dtypes[column]}, {_expected(expectation)}"
        return [_failure(expectation, kind, column, message).replace(**_counts(answer))]
    whole = _failure(expectation, kind, column, _message(answer)).replace(**_counts(answer))
    return _different_columns(answer) or [whole]


def _different_columns(answer: Answer) -> list[Failure]:
    """Return one entry per column that a set of columns has too few or too many."""
    details = answer.detail.get("details") if answer.expectation.type == COLUMN_SET else None
    wrong = (details or {}).get("mismatched", {})
    return [
        _failure(answer.expectation, "schema", name, message)
        for key, message in (("missing", "is missing"), ("unexpected", "is not expected"))
        for name in wrong.get(key, ())
    ]


def _failure(expectation: Expectation, kind: Literal["schema", "value"], column: object, message: str) -> Failure:
    name = None if column is None else str(column)
    return Failure(kind=kind, severity=expectation.severity, type=expectation.type, column=name, message=message)


def _counts(answer: Answer) -> dict[str, Any]:
    percent = answer.detail.get("unexpected_percent")
    return {
        "unexpected_count": answer.detail.get("unexpected_count"),
        "unexpected_percent": None if percent is None else round(float(percent), 4),
        "row_examples": [int(row) for row in answer.detail.get("partial_unexpected_index_list") or ()],
    }


def _message(answer: Answer) -> str:
    """Say what was found and what was expected, without a single value of the data."""
    expectation, detail = answer.expectation, answer.detail
    count, total = detail.get("unexpected_count"), detail.get("element_count", 0) - detail.get("missing_count", 0)
    if count is not None and total:
        share = f"{number(count)} of {number(total)} values ({number(100 * count / total)} %)"
        allowed = 100 * (1 - expectation.kwargs.get("mostly", 1))
        return f"{share} {_phrase(expectation)}; {f'at most {number(allowed)} %' if allowed else 'none'} may be so"
    observed = detail.get("observed_value")
    aggregate = _AGGREGATE.match(expectation.type)
    if aggregate and isinstance(observed, Real):
        return f"{aggregate[1].replace('_', ' ')} is {float(observed):.6g}, {_expected(expectation)}"
    if not detail:
        return f"could not be evaluated for {expectation.type}, {_expected(expectation)}; --verbose tells why"
    return f"does not satisfy {expectation.type}; {_expected(expectation)}"


def _phrase(expectation: Expectation) -> str:
    phrases = {
        NOT_NULL: "are missing",
        IN_SET: "are outside the expected set",
        BETWEEN: f"are not {_bounds(expectation.kwargs)}",
        "expect_column_values_to_be_unique": "are not unique",
    }
    return phrases.get(expectation.type, f"do not satisfy {expectation.type} ({_expected(expectation)})")


def _expected(expectation: Expectation) -> str:
    """Return the arguments of the suite, without the column and without the allowed share."""
    kwargs = {key: value for key, value in expectation.kwargs.items() if key not in {"column", "mostly"}}
    others = [f"{key} {value}" for key, value in kwargs.items() if key not in {"min_value", "max_value"}]
    parts = [part for part in (_bounds(kwargs), *others) if part]
    return cut(f"expected {', '.join(parts) or 'always'}", 120)


def _bounds(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None:
        return "" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _tidy(failures: list[Failure]) -> list[Failure]:
    """Put the worst first, and leave out what only follows: from a column of another type, from a stricter rule."""
    ranked = sorted(failures, key=lambda f: (_SEVERITIES.index(f.severity), f.kind != "schema"))
    kept: list[Failure] = []
    for failure in ranked:
        worse = [f for f in kept if f.column is not None and f.column == failure.column]
        follows = [f.kind == "schema" or (f.type == failure.type and f.severity != failure.severity) for f in worse]
        if not any(follows):
            kept.append(failure)
    return kept
