"""Expectation suites as files: read strictly, and scaffolded from data.

The file is Great Expectations' own JSON, so that its documentation and tools apply; nothing here imports it.
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

# They compare with another table or ask a database; on a table in memory they could only fail.
_NEEDS_DATABASE = {
    "unexpected_rows_expectation",
    "expect_query_results_to_match_comparison",
    "expect_table_row_count_to_equal_other_table",
}
_LEVELS, _FEW_LEVELS = 50, 20
_BATCH = 500  # rows of the smallest batch that scaffolded rules are made for


class Expectation(BaseModel):
    """One entry of a suite: Great Expectations' own fields and no others."""

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
        """True when it is about the table as a whole."""
        return self.type.startswith("expect_table_")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it is about; none for one about the table."""
        if self.about_table:
            return ()
        named = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return (*named, *self.kwargs.get("column_list", ()))

    def without(self, column: str) -> "Expectation | None":
        """Return it as if the suite did not know `column`; None when it is about nothing else."""
        if not self.about_table:
            return None if column in self.columns else self
        lists = {key: self.kwargs[key] for key in ("column_set", "column_list") if key in self.kwargs}
        fewer = {key: [name for name in names if name != column] for key, names in lists.items()}
        return self.model_copy(update={"kwargs": self.kwargs | fewer})


class SuiteError(ConfigError):
    """An expectation that cannot be asked or could not tell anything, named by file and index."""

    def __init__(self, path: Path, index: int, expectation: Expectation, problem: str) -> None:
        super().__init__(
            f"expectation {index} of {path.name} cannot be used: {problem}",
            where=f"{path}: expectations.{index} ({expectation.type})",
            fix="correct it; types and arguments are those of Great Expectations 1.x",
        )


class _Suite(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    expectations: tuple[Expectation, ...] = Field(min_length=1)
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: Any = None


def load_suite(path: Path) -> tuple[Expectation, ...]:
    """Read a suite; whether its types exist is for Great Expectations to say.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is not JSON.
    ConfigError
        If it is empty or has an unknown field or severity.
    SuiteError
        If an expectation could never fail, never pass or never be asked.
    """
    try:
        suite = _Suite.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"the suite {path.name} is not valid: {place}: {first['msg']}",
            where=f"{path}: {place}",
            fix='an entry is {"type": ..., "kwargs": {...}, "severity": "critical", "warning" or "info"}',
        ) from error
    for index, expectation in enumerate(suite.expectations):
        problem = _problem(expectation)
        if problem:
            raise SuiteError(path, index, expectation, problem)
    return suite.expectations


def scaffold_suite(frame: pd.DataFrame, params: DataParams, name: str) -> dict[str, Any]:
    """Write down what a table looks like, wide enough for the next batch of it to pass.

    Structure (columns, types, short lists of levels, sudden gaps) is critical; ranges, means and long lists of levels
    only warn. An exact range refuses four of five clean batches, one between extreme quantiles one or two in a hundred.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Data that is known to be good.
    params : DataParams
        Which columns have a role. The time column gets no range: times move on.
    name : str
        Name of the suite.

    Returns
    -------
    dict
        The suite in Great Expectations' own JSON format.
    """
    expectations = [
        _entry(ROW_COUNT, min_value=1),
        _entry(COLUMN_SET, column_set=list(frame.columns), exact_match=True),
    ]
    for column_name in frame.columns:
        expectations += _about_column(frame[column_name], params)
    return {"name": name, "expectations": expectations}


def _problem(expectation: Expectation) -> str | None:
    """Say why an expectation could never fail, never pass or never be asked."""
    kwargs = expectation.kwargs
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"min_value {low} is greater than max_value {high}"
    empty = [key for key, value in kwargs.items() if isinstance(value, list | dict | str) and not value]
    if empty:
        return f"{empty[0]} is empty"
    if kwargs.get("mostly") == 0:
        return "with mostly 0 it always passes"
    return "it needs a database" if expectation.type in _NEEDS_DATABASE else None


def _about_column(column: Column, params: DataParams) -> Iterator[dict[str, Any]]:
    """Yield the expectations about one column; about one without any value there is nothing to say."""
    present = column.dropna()
    if present.empty:
        return
    types = _types_of(present, is_time=column.name == params.time)
    if types:
        yield _entry(TYPE_LIST, column=column.name, type_list=types)
    yield from _about_gaps(column, required=column.name in {params.target, params.time})
    is_label = column.name == params.target and params.task == "classification"
    if is_label or types == CANONICAL_TYPES["text"]:
        yield from _about_levels(column.name, present)
    elif types == CANONICAL_TYPES["number"]:
        yield from _about_range(column.name, present)


def _types_of(present: Column, *, is_time: bool) -> list[str]:
    """Return the canonical types to expect; none for objects that are neither text nor numbers."""
    kind = column_kind(present)
    if is_time:  # a CSV file has times as text
        return [*CANONICAL_TYPES["datetime"], *CANONICAL_TYPES["text"]]
    if kind == "text" and pd.api.types.infer_dtype(present) not in {"string", "categorical"}:
        return []
    return CANONICAL_TYPES[kind]


def _about_gaps(column: Column, *, required: bool) -> Iterator[dict[str, Any]]:
    """Refuse ten points more missing values than there were, warn at six standard errors of a batch."""
    if required:
        yield _entry(NOT_NULL, column=column.name)
        return
    share = float(column.isna().mean())
    smoothed = max(share, 1 / _BATCH)
    usual = share + 6 * math.sqrt(smoothed * (1 - smoothed) / _BATCH)
    if share < 0.9:
        yield _entry(NOT_NULL, column=column.name, mostly=round(0.9 - share, 4))
    if usual < min(share + 0.1, 1):
        yield _entry(NOT_NULL, "warning", column=column.name, mostly=round(1 - usual, 4))


def _about_levels(name: object, present: Column) -> Iterator[dict[str, Any]]:
    levels = sorted(present.unique().tolist(), key=str)
    if len(levels) <= _LEVELS:
        severity = "critical" if len(levels) <= _FEW_LEVELS else "warning"
        yield _entry(IN_SET, severity, column=name, value_set=levels)


def _about_range(name: object, present: Column) -> Iterator[dict[str, Any]]:
    values = present.to_numpy(dtype="float64")
    values = values[np.isfinite(values)]
    if len(values) == 0 or values.min() == values.max():
        return
    low, high = np.quantile(values, [0.001, 0.999])
    yield _entry(BETWEEN, "warning", column=name, min_value=_short(low), max_value=_short(high), mostly=0.99)
    mean, half = values.mean(), values.std() / 2  # more than 6 standard errors of the mean of 500 rows
    yield _entry(MEAN, "warning", column=name, min_value=_short(mean - half), max_value=_short(mean + half))


def _entry(kind: str, severity: str = "critical", **kwargs: object) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def _short(value: float) -> float:
    return float(f"{value:.6g}")
