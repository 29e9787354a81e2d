"""Expectation suites: read from files with strict validation, and scaffolded from data.

The files have the JSON format of Great Expectations, so that its documentation and tools apply; it is not imported here.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titlebout.core.errors import ConfigError
from titlebout.core.results import read_json
from titlebout.data.canonical import CANONICAL_TYPES
from titlebout.data.columns import Column, column_kind
from titlebout.settings.params import DataParams

ROW_COUNT = "expect_table_row_count_to_be_between"
COLUMN_SET = "expect_table_columns_to_match_set"
TYPE_LIST = "expect_column_values_to_be_in_type_list"
NOT_NULL = "expect_column_values_to_not_be_null"
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
MEAN = "expect_column_mean_to_be_between"

# These compare with another table or run SQL, so they always fail on a table in memory.
_NEEDS_DATABASE = {
    "unexpected_rows_expectation",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
}
_LEVELS, _FEW_LEVELS = 50, 20
_BATCH = 500  # rows of the smallest batch that a scaffolded suite should accept


class Expectation(BaseModel):
    """One entry of a suite, with exactly the fields of Great Expectations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    kwargs: dict[str, Any]
    severity: Literal["critical", "warning", "info"] = "critical"
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: Any = None
    description: str | None = None

    @property
    def about_table(self) -> bool:
        """Whether it applies to the table as a whole, not to columns."""
        return self.type.startswith("expect_table_")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it applies to; empty for a table expectation."""
        if self.about_table:
            return ()
        names = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return (*names, *self.kwargs.get("column_list", ()))

    def without(self, column: str) -> "Expectation | None":
        """Return the expectation without a column; None if it applies to that column."""
        if not self.about_table:
            return None if column in self.columns else self
        column_lists = {key: self.kwargs[key] for key in ("column_set", "column_list") if key in self.kwargs}
        remaining = {key: [name for name in names if name != column] for key, names in column_lists.items()}
        return self.model_copy(update={"kwargs": self.kwargs | remaining})


class SuiteError(ConfigError):
    """An expectation that cannot be evaluated, or whose outcome is always the same; has file and index."""

    def __init__(self, path: Path, index: int, expectation: Expectation, problem: str) -> None:
        super().__init__(
            f"expectation {index} of {path.name} cannot be used: {problem}",
            where=f"{path}: expectations.{index} ({expectation.type})",
            fix="correct the expectation; types and arguments are those of Great Expectations 1.x",
        )


class _Suite(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    expectations: tuple[Expectation, ...] = Field(min_length=1)
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: Any = None


def load_suite(path: Path) -> tuple[Expectation, ...]:
    """Read a suite; expectation types are validated by Great Expectations, not here.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If it is not valid JSON.
    ConfigError
        If it is empty or has an unknown field or severity.
    SuiteError
        If an expectation always passes, always fails, or cannot be evaluated.
    """
    try:
        suite = _Suite.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"the suite {path.name} is not valid: {first['msg']}",
            where=f"{path}: {location}",
            fix='write each entry as {"type": "...", "kwargs": {...}, "severity": "critical"}; the severity is critical, '
            "warning or info",
        ) from error
    for index, expectation in enumerate(suite.expectations):
        problem = _problem(expectation)
        if problem:
            raise SuiteError(path, index, expectation, problem)
    return suite.expectations


def scaffold_suite(frame: pd.DataFrame, params: DataParams, name: str) -> dict[str, Any]:
    """Return a suite that describes a table, with tolerances wide enough for its next batch to pass.

    Structure (columns, types, short lists of levels, a jump in missing values) is critical; ranges, means and long lists
    of levels are warnings, and so is every value in a column that no model uses (`data.drop`). Ranges are between extreme quantiles: minimum and maximum would refuse four of five clean
    batches, these quantiles one or two of a hundred.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Data without errors.
    params : DataParams
        Names the target and the time column. The time column gets no range, because times increase.
    name : str
        Name of the suite.

    Returns
    -------
    dict
        The suite in the JSON format of Great Expectations.
    """
    expectations = [
        _entry(ROW_COUNT, min_value=1),
        _entry(COLUMN_SET, column_set=list(frame.columns), exact_match=True),
    ]
    for column_name in frame.columns:
        if column_name in params.drop and frame[column_name].is_unique:  # an id, whose next values are others
            continue
        of_column = _column_expectations(frame[column_name], params)
        expectations += _as_warnings(of_column) if column_name in params.drop else of_column
    return {"name": name, "expectations": expectations}


def _problem(expectation: Expectation) -> str | None:
    """Return why an expectation always passes, always fails or cannot be evaluated; None if it is valid."""
    kwargs = expectation.kwargs
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"min_value {low} is greater than max_value {high}"
    empty = [key for key, value in kwargs.items() if isinstance(value, list | dict | str) and not value]
    if empty:
        return f"{empty[0]} is empty"
    if kwargs.get("mostly") == 0:
        return "it always passes with mostly 0"
    return "it needs a database" if expectation.type in _NEEDS_DATABASE else None


def _column_expectations(column: Column, params: DataParams) -> Iterator[dict[str, Any]]:
    """Yield the expectations of one column; none for a column without values."""
    values = column.dropna()
    if values.empty:
        return
    types = _expected_types(values, is_time=column.name == params.time)
    if types:
        yield _entry(TYPE_LIST, column=column.name, type_list=types)
    yield from _missing_value_expectations(column, required=column.name == params.target)
    is_label = column.name == params.target and params.task == "classification"
    if is_label or types == CANONICAL_TYPES["text"]:
        yield from _level_expectations(column.name, values, required=is_label)
    elif types == CANONICAL_TYPES["number"]:
        yield from _range_expectations(column.name, values)


def _as_warnings(expectations: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the expectations of a column that no model uses: a change in it must not stop the loop."""
    by_type = {expectation["type"]: expectation for expectation in expectations}  # the last one is the strictest
    yield from ({**expectation, "severity": "warning"} for expectation in by_type.values())


def _expected_types(values: Column, *, is_time: bool) -> list[str]:
    """Return the canonical types to expect; none for objects that are neither text nor numbers."""
    kind = column_kind(values)
    if is_time:  # a CSV file stores times as text
        return [*CANONICAL_TYPES["datetime"], *CANONICAL_TYPES["text"]]
    if kind == "text" and pd.api.types.infer_dtype(values) not in {"string", "categorical"}:
        return []
    return CANONICAL_TYPES[kind]


def _missing_value_expectations(column: Column, *, required: bool) -> Iterator[dict[str, Any]]:
    """Yield limits on missing values: critical at ten percentage points more, warning at six standard errors more.

    The standard error is that of a share of missing values in a batch of `_BATCH` rows: sqrt(p (1 - p) / n).
    """
    if required:
        yield _entry(NOT_NULL, column=column.name)
        return
    share = float(column.isna().mean())
    smoothed = max(share, 1 / _BATCH)
    warning_share = share + 6 * math.sqrt(smoothed * (1 - smoothed) / _BATCH)
    if share < 0.9:
        yield _entry(NOT_NULL, column=column.name, mostly=round(0.9 - share, 4))
    if warning_share < min(share + 0.1, 1):
        yield _entry(NOT_NULL, "warning", column=column.name, mostly=round(1 - warning_share, 4))


def _level_expectations(name: object, values: Column, *, required: bool) -> Iterator[dict[str, Any]]:
    """Yield limits on levels that the tracked data does not have.

    A label must be known. In a column with few levels, new ones in a tenth of the values are critical; fewer, and those in a
    column with many levels, are a warning: a model can predict such rows, and one of them must not stop a loop.
    """
    levels = sorted(values.unique().tolist(), key=str)
    if len(levels) > _LEVELS:
        return
    if required:
        yield _entry(IN_SET, column=name, value_set=levels)
        return
    if len(levels) <= _FEW_LEVELS:
        yield _entry(IN_SET, column=name, value_set=levels, mostly=0.9)
    yield _entry(IN_SET, "warning", column=name, value_set=levels)


def _range_expectations(name: object, column: Column) -> Iterator[dict[str, Any]]:
    values = column.to_numpy(dtype="float64")
    values = values[np.isfinite(values)]
    if len(values) == 0 or values.min() == values.max():
        return
    low, high = np.quantile(values, [0.001, 0.999])
    yield _entry(BETWEEN, "warning", column=name, min_value=_round(low), max_value=_round(high), mostly=0.99)
    mean, half_width = values.mean(), values.std() / 2  # more than 6 standard errors of the mean of 500 rows
    yield _entry(MEAN, "warning", column=name, min_value=_round(mean - half_width), max_value=_round(mean + half_width))


def _entry(kind: str, severity: str = "critical", **kwargs: object) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def _round(value: float) -> float:
    return float(f"{value:.6g}")
