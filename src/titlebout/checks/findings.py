"""Turn the outcomes of expectations into findings: problem, column and severity, never values of single rows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd

from titlebout.checks.suites import BETWEEN, COLUMN_SET, IN_SET, NOT_NULL, TYPE_LIST, Expectation
from titlebout.core.arrays import BoolArray, IntArray
from titlebout.core.markdown import format_number, truncate
from titlebout.core.results import Record
from titlebout.data.columns import Column
from titlebout.data.schema import Unreadable
from titlebout.data.tables import SourceFile

Verdict = Literal["passed", "warning", "schema_skew", "value_skew"]

SHOWN_REASONS = 10
ROW_EXAMPLES = 5  # row numbers per failure

_SEVERITIES = ("critical", "warning", "info")
_SCHEMA_EXPECTATIONS = {
    COLUMN_SET,
    TYPE_LIST,
    "expect_table_columns_to_match_ordered_list",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_column_to_exist",
    "expect_column_values_to_be_of_type",
    "expect_column_type_to_be",
}
# Observed values that reveal nothing about a single row; all others are kept out of reports.
_AGGREGATE = re.compile(
    r"expect_(?:table|column)_(row_count|column_count|mean|median|stdev|sum|unique_value_count)_to_"
)


class Failure(Record):
    """A failed expectation; never contains values of single rows.

    Attributes
    ----------
    kind : {"schema", "value"}
        Whether columns and types, or values, are wrong.
    severity : {"critical", "warning", "info"}
        Severity of the expectation.
    type : str
        Type of the failed expectation.
    column : str or None
        None for the table as a whole.
    message : str
        What was observed and what was expected.
    unexpected_count, unexpected_percent : int or None, float or None
        Number and percentage of unexpected values, if values are counted.
    row_examples : tuple of int
        Positions of some unexpected rows, starting at 0; of current data in several files, in the file that the message names.
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
class ExpectationOutcome:
    """Outcome of one expectation: whether it holds, and the details of its evaluation; empty after an exception."""

    expectation: Expectation
    holds: bool
    detail: Mapping[str, Any]


def findings(outcomes: Iterable[ExpectationOutcome], frame: pd.DataFrame) -> list[Failure]:
    """Return the problems of a table, most severe first.

    Parameters
    ----------
    outcomes : iterable of ExpectationOutcome
    frame : DataFrame of shape (n_rows, n_columns)
        The table with its original column names and dtypes.
    """
    is_duplicate = frame.columns.duplicated()
    column_set = Expectation(type=COLUMN_SET, kwargs={})
    duplicates = [
        _failure(column_set, "schema", name, "occurs more than once") for name in frame.columns[is_duplicate].unique()
    ]
    dtypes = frame.dtypes[~is_duplicate]
    infinite = _infinite_values(frame.loc[:, ~is_duplicate])
    return _rank(duplicates + infinite + [failure for outcome in outcomes for failure in _failures(outcome, dtypes)])


def _infinite_values(frame: pd.DataFrame) -> list[Failure]:
    """Return one finding per column with infinite values: no model accepts them, whatever the suite expects."""
    numbers = frame.select_dtypes("float64")
    rows = {name: np.flatnonzero(np.isinf(numbers[name].to_numpy())) for name in numbers.columns}
    return [
        _values(BETWEEN, "critical", str(name), found, len(frame), "infinite")
        for name, found in rows.items()
        if len(found)
    ]


def implausible_times(column: str, is_aside: BoolArray) -> Failure:
    """Return the finding about rows that are set aside because their time is missing or cannot be right."""
    found = np.flatnonzero(is_aside)
    return _values(
        BETWEEN,
        "warning",
        column,
        found,
        len(is_aside),
        "missing or far from all other times, and set aside with the row",
    )


def _values(kind: str, severity: str, column: str, rows: IntArray, total: int, what: str) -> Failure:
    return Failure(
        kind="value",
        severity=severity,
        type=kind,
        column=column,
        message=f"{len(rows):,} of {total:,} values {'is' if len(rows) == 1 else 'are'} {what}",
        unexpected_count=len(rows),
        unexpected_percent=round(100 * len(rows) / total, 4),
        row_examples=tuple(int(row) for row in rows[:ROW_EXAMPLES]),
    )


def unreadable_values(found: Unreadable) -> Failure:
    """Return the finding about values that cannot be read as the type of their column."""
    return Failure(
        kind="schema",
        severity="critical",
        type=TYPE_LIST,
        column=found.column,
        message=f"{found.message} ({found.where})",
        unexpected_count=found.count,
        row_examples=found.rows,
    )


def in_file(failure: Failure, files: Sequence[SourceFile]) -> Failure:
    """Return the finding with the name of the first file that has unexpected values, and the positions of rows in it.

    Parameters
    ----------
    failure : Failure
        Its rows are positions in all files, one after the other; one about types or the table as a whole is returned unchanged.
    files : sequence of SourceFile
    """
    if failure.kind != "value" or not failure.row_examples:
        return failure
    start = 0
    for file in files:
        inside = tuple(row - start for row in failure.row_examples if start <= row < start + file.rows)
        if inside:
            return failure.replace(message=f"{failure.message}, first in {file.name}", row_examples=inside)
        start += file.rows
    return failure


def verdict(failures: Sequence[Failure]) -> Verdict:
    """Return ``passed``, ``warning``, ``schema_skew`` or ``value_skew``."""
    critical = {failure.kind for failure in failures if failure.severity == "critical"}
    if critical:
        return "schema_skew" if "schema" in critical else "value_skew"
    return "warning" if failures else "passed"


def reasons(failures: Sequence[Failure], n_evaluated: int) -> Iterator[str]:
    """Yield sentences about the outcome, without markup."""
    critical = [failure for failure in failures if failure.severity == "critical"]
    if not failures:
        yield f"all {n_evaluated} expectations hold"
    elif not critical:
        yield f"no critical expectation failed; {len(failures)} {'other' if len(failures) == 1 else 'others'} failed"
    for failure in critical[:SHOWN_REASONS]:
        yield f"column {failure.column!r}: {failure.message}" if failure.column else failure.message
    if len(critical) > SHOWN_REASONS:
        yield f"and {len(critical) - SHOWN_REASONS} more"


def _failures(outcome: ExpectationOutcome, dtypes: Column) -> list[Failure]:
    """Return the findings of one outcome: none if the expectation holds, else at least one."""
    expectation = outcome.expectation
    missing = [name for name in expectation.columns if name not in dtypes.index]
    if missing:
        return [_failure(expectation, "schema", name, "is missing") for name in missing]
    if outcome.holds:
        return []
    kind: Literal["schema", "value"] = "schema" if expectation.type in _SCHEMA_EXPECTATIONS else "value"
    column = expectation.kwargs.get("column")
    if kind == "schema" and column:
        message = f"has type {dtypes[column]}, {_expected(expectation)}"
        return [_failure(expectation, kind, column, message).replace(**_counts(outcome))]
    whole = _failure(expectation, kind, column, _message(outcome)).replace(**_counts(outcome))
    return _different_columns(outcome) or [whole]


def _different_columns(outcome: ExpectationOutcome) -> list[Failure]:
    """Return one finding per missing or unexpected column of a column set."""
    details = outcome.detail.get("details") if outcome.expectation.type == COLUMN_SET else None
    wrong = (details or {}).get("mismatched", {})
    return [
        _failure(outcome.expectation, "schema", name, message)
        for key, message in (("missing", "is missing"), ("unexpected", "is not expected"))
        for name in wrong.get(key, ())
    ]


def _failure(expectation: Expectation, kind: Literal["schema", "value"], column: object, message: str) -> Failure:
    name = None if column is None else str(column)
    return Failure(kind=kind, severity=expectation.severity, type=expectation.type, column=name, message=message)


def _counts(outcome: ExpectationOutcome) -> dict[str, Any]:
    percent = outcome.detail.get("unexpected_percent")
    return {
        "unexpected_count": outcome.detail.get("unexpected_count"),
        "unexpected_percent": None if percent is None else round(float(percent), 4),
        "row_examples": [int(row) for row in outcome.detail.get("partial_unexpected_index_list") or ()],
    }


def _message(outcome: ExpectationOutcome) -> str:
    """Return what was observed and what was expected, without values of single rows."""
    expectation, detail = outcome.expectation, outcome.detail
    count, total = detail.get("unexpected_count"), detail.get("element_count", 0) - detail.get("missing_count", 0)
    if count is not None and total:
        share = f"{format_number(count)} of {format_number(total)} values ({format_number(100 * count / total)}%)"
        allowed = 100 * (1 - expectation.kwargs.get("mostly", 1))
        limit = f"at most {format_number(allowed)}% are allowed" if allowed else "none are allowed"
        return f"{share} {_phrase(expectation)}; {limit}"
    observed = detail.get("observed_value")
    aggregate = _AGGREGATE.match(expectation.type)
    if aggregate and isinstance(observed, Real):
        return f"{aggregate[1].replace('_', ' ')} is {float(observed):.6g}, {_expected(expectation)}"
    if not detail:
        return f"could not be evaluated for {expectation.type}, {_expected(expectation)}; run with --verbose for the exception"
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
    """Return the arguments of the expectation, without the column and the allowed share of exceptions."""
    kwargs = {key: value for key, value in expectation.kwargs.items() if key not in {"column", "mostly"}}
    others = [f"{key} {value}" for key, value in kwargs.items() if key not in {"min_value", "max_value"}]
    parts = [part for part in (_bounds(kwargs), *others) if part]
    return truncate(f"expected {', '.join(parts) or 'always'}", 120)


def _bounds(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None:
        return "" if high is None else f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _rank(failures: list[Failure]) -> list[Failure]:
    """Sort findings by severity, and drop those implied by an earlier one of the same column.

    A wrong type implies wrong values, and a failed critical expectation implies its less severe variant.
    """
    ranked = sorted(failures, key=lambda failure: (_SEVERITIES.index(failure.severity), failure.kind != "schema"))
    kept: list[Failure] = []
    for failure in ranked:
        earlier = [other for other in kept if other.column is not None and other.column == failure.column]
        follows = [
            other.kind == "schema" or (other.type == failure.type and other.severity != failure.severity)
            for other in earlier
        ]
        if not any(follows):
            kept.append(failure)
    return kept
