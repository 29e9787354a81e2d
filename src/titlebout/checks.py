"""Data checks: a Great Expectations suite that lives in the repository as one JSON file and can never pass by accident.

Great Expectations drops a misspelt expectation with a log line, passes what was not evaluated, and passes most rules on
a table without rows. Here a suite is read strictly, every expectation has to have its answer, and no rows is a failure.
"""

import logging
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titlebout.config import DataParams
from titlebout.data import column_kind, read_tables
from titlebout.errors import ConfigError, TitleboutError
from titlebout.project import Project
from titlebout.reporting import code, cut, number, table
from titlebout.results import StepResult, read_json

ROW_EXAMPLES = 5
SHOWN_FAILURES = 50

_ROWS = "expect_table_row_count_to_be_between"
_COLUMN_SET = "expect_table_columns_to_match_set"
_TYPE_LIST = "expect_column_values_to_be_in_type_list"
_SCHEMA_TYPES = {
    _COLUMN_SET,
    _TYPE_LIST,
    "expect_table_columns_to_match_ordered_list",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_column_to_exist",
    "expect_column_values_to_be_of_type",
    "expect_column_type_to_be",
}
# They compare with another table or ask a database; on a table in memory they could only fail.
_NEEDS_DATABASE = {
    "unexpected_rows_expectation",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
}
_SEVERITIES = ("critical", "warning", "info")
_PHRASES = {
    "expect_column_values_to_not_be_null": "are missing",
    "expect_column_values_to_be_null": "are not missing",
    "expect_column_values_to_be_in_set": "are outside the expected set of {value_set} values",
    "expect_column_values_to_not_be_in_set": "are in the forbidden set of {value_set} values",
    "expect_column_values_to_be_between": "are not between {min_value} and {max_value}",
    "expect_column_values_to_be_unique": "are not unique",
    "expect_column_values_to_match_regex": "do not match {regex}",
}
# Observed values that say nothing about one row; all others stay out of reports.
_AGGREGATES = re.compile(r"row_count|column_count|_(mean|median|stdev|sum|unique_value_count)_|_proportion_of_")


@dataclass(frozen=True, kw_only=True)
class CheckResult(StepResult):
    """What the data looks like to the suite.

    Attributes
    ----------
    verdict : str
        ``passed``, ``warning`` (nothing critical), ``schema_skew`` (columns or types changed), ``value_skew``.
    source : str
        What was checked.
    rows, columns : int
        Its shape.
    evaluated, skipped : int
        Expectations that were answered, and those that could not be asked (see `reasons`).
    failures : tuple of dict
        kind (``schema`` or ``value``), severity, type, column, message, unexpected_count, unexpected_percent,
        row_examples: positions of rows in what was checked, from 0; never values.
    """

    step: ClassVar[str] = "check-data"
    verdict: str
    source: str
    rows: int
    columns: int
    evaluated: int
    skipped: int = 0
    failures: tuple[dict[str, Any], ...] = ()


class _Item(BaseModel):
    """One entry of a suite; Great Expectations' own fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    kwargs: dict[str, Any]
    severity: Literal["critical", "warning", "info"] = "critical"
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: Any = None
    description: str | None = None


class _Suite(BaseModel):
    """The suite file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    expectations: tuple[_Item, ...] = Field(min_length=1)
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: Any = None


@dataclass(frozen=True)
class _Answer:
    """One expectation with what Great Expectations said about it."""

    item: _Item
    result: Any

    @property
    def error(self) -> str:
        """Message of the exception that ended the evaluation; it has two shapes."""
        info: Mapping[str, Any] = self.result.exception_info or {}
        parts = [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, Mapping)]
        return next((str(part["exception_message"]) for part in parts if part.get("exception_message")), "")


def check_project(project: Project, on: str) -> CheckResult:
    """Check the tracked data, or what arrived since.

    Parameters
    ----------
    project : Project
    on : {"tracked", "current"}
        Current data may lack the target: labels come later.

    Raises
    ------
    ConfigError
        If the suite cannot be used.
    DataError
        If a file cannot be read.
    """
    source = "data" if on == "tracked" else project.settings.drift.current
    frame = read_tables(project.root, source)
    late_target = project.params.data.target if on == "current" else None
    return check_data(frame, project.suite_path, source, late_target=late_target)


def check_data(frame: pd.DataFrame, suite: Path, source: str, *, late_target: str | None = None) -> CheckResult:
    """Ask every expectation of a suite about a table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    suite : Path
        JSON file in Great Expectations' own format.
    source : str
        Name of the table for the reader.
    late_target : str, optional
        A column that may be missing: expectations about it are skipped then, and counted.

    Returns
    -------
    CheckResult
        Passed when no critical expectation failed.

    Raises
    ------
    ConfigError
        If an expectation has an unknown type, field or severity, or could never fail or never pass.
    """
    items = [*_load_suite(suite), _Item(type=_ROWS, kwargs={"min_value": 1})]
    absent = late_target if late_target is not None and late_target not in frame.columns else None
    asked = [item for item in (_without(item, absent) for item in items) if item is not None]
    if frame.empty:
        asked = [item for item in asked if item.type.startswith("expect_table_")]
    unique = frame.loc[:, ~frame.columns.duplicated()].reset_index(drop=True)
    answers = _ask(_canonical(unique), asked)
    failures = [_repeated(name) for name in frame.columns[frame.columns.duplicated()].unique()]
    failures += [failure for answer in answers for failure in _failures(answer, unique)]
    failures = _tidy(failures)
    verdict = _verdict(failures)
    return CheckResult(
        passed=verdict in {"passed", "warning"},
        reasons=_reasons(failures, len(asked), len(items) - len(asked), absent),
        verdict=verdict,
        source=source,
        rows=len(frame),
        columns=len(frame.columns),
        evaluated=len(asked),
        skipped=len(items) - len(asked),
        failures=tuple({key: value for key, value in failure.items() if key != "error"} for failure in failures),
    )
