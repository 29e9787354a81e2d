"""Data checks: evaluate a Great Expectations suite on a table, strictly.

Great Expectations drops a misspelled expectation with only a log line, counts unevaluated expectations as passed, and
passes most expectations on a table without rows. Here an invalid suite is an error, every expectation must have a
result, and an empty table fails.
"""

import functools
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from titlebout.checks.findings import (
    ROW_EXAMPLES,
    ExpectationOutcome,
    Failure,
    Verdict,
    findings,
    implausible_times,
    in_file,
    reasons,
    unreadable_values,
    verdict,
)
from titlebout.checks.suites import IN_SET, ROW_COUNT, Expectation, SuiteError, load_suite
from titlebout.core.arrays import BoolArray
from titlebout.core.errors import DataRefusedError, ExitCode, TitleboutError
from titlebout.core.markdown import code, escape, format_number, table
from titlebout.core.results import StepResult, write_result
from titlebout.data.canonical import canonical, canonical_kwargs
from titlebout.data.current import NO_NEW_DATA, CurrentData, read_current, set_aside_current
from titlebout.data.holdout import read_all_tracked, read_tracked, set_aside
from titlebout.data.tables import SourceFile
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project

GUIDE = "https://github.com/titlebout/titlebout/blob/main/docs/how-to/add-a-check.md#accept-a-new-value"
SHOWN_FAILURES = 50  # in the report; the JSON has all

logger = logging.getLogger(__name__)


class CheckResult(StepResult):
    """Result of `titlebout check-data`.

    Attributes
    ----------
    verdict : {"passed", "warning", "schema_skew", "value_skew"}
        Warning: no critical expectation failed. Schema skew: the columns or their types differ. Value skew: values differ.
    source : str
        Folder or address of the checked data.
    rows, columns : int
        Shape of the checked table.
    evaluated, skipped : int
        Number of expectations that were evaluated and that were skipped; `reasons` has the cause.
    failures : tuple of Failure
        Failed expectations, the most severe first.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"verdict": "verdict", "passed": "passed", "report": "report"}

    step: Literal["check-data"] = "check-data"
    verdict: Verdict
    source: str
    rows: int
    columns: int
    evaluated: int
    skipped: int = 0
    failures: tuple[Failure, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        verdict_text = {
            "passed": "passed",
            "warning": "passed, with warnings",
            "schema_skew": "refused, unexpected columns or types",
            "value_skew": "refused, unexpected values",
        }[self.verdict]
        shape = f"{format_number(self.rows)} rows, {format_number(self.columns)} columns, {format_number(self.evaluated)} expectations"
        lines = [f"### Data check: {verdict_text}", "", f"{code(self.source)}: {shape}.", ""]
        lines += [f"- {escape(reason)}" for reason in self.reasons]
        if self.failures:
            lines += [
                "",
                table(
                    ["severity", "column", "finding", "rows, for example"], map(_row, self.failures[:SHOWN_FAILURES])
                ),
            ]
        hidden = len(self.failures) - SHOWN_FAILURES
        if hidden > 0:
            lines.append(f"{format_number(hidden)} more failures are in the JSON result.")
        if any(failure.type == IN_SET for failure in self.failures):
            lines += ["", f"If a new value is right, [accept it]({GUIDE}) in the expectation suite."]
        return "\n".join(lines).rstrip() + "\n"


def check_data(project: Project, on: Literal["tracked", "current"]) -> CheckResult:
    """Check the tracked data or the current data.

    Parameters
    ----------
    project : Project
        Its ``checks.suite`` is the suite, and its ``drift.current`` the source of current data.
    on : {"tracked", "current"}
        Which data to check. Current data may lack the target, because labels can arrive later.

    Raises
    ------
    ConfigError
        If the suite cannot be used.
    NotFoundError
        If the data does not exist.
    DataError
        If a file cannot be read.
    """
    if on == "current":
        return _check_current(project)
    Dvc(project).pull_data()
    return check_tracked(project)


def check_tracked(project: Project) -> CheckResult:
    """Check the files in ``data/``, without downloading."""
    frame = read_all_tracked(project)
    checked = check_table(frame, project.suite_path, "data")
    return _with_failures(checked, _set_aside(project, set_aside(frame, project.params)))


def check_stage(project: Project) -> None:
    """Run the stage ``check-data``: check the tracked data, and write the result where git tracks it.

    Raises
    ------
    DataRefusedError
        If a critical expectation failed.
    """
    result = check_tracked(project)
    write_result(project.stage_reports / "check-data.json", result)
    if not result.passed:
        fix = "read pipelines/*/reports/check-data.json"
        raise DataRefusedError(result.reasons[0], where="data/", fix=fix)


def _check_current(project: Project) -> CheckResult:
    source, target = project.settings.drift.current, project.params.data.target
    Dvc(project).pull_data()
    try:
        tracked = read_tracked(project)
        current = read_current(project, tracked)
    except DataRefusedError as error:
        return _unreadable(source, error)
    if current.frame.empty:
        # A new repository has no current data yet; its scheduled workflow must not fail.
        return CheckResult(
            passed=True, reasons=(NO_NEW_DATA,), verdict="passed", source=source, rows=0, columns=0, evaluated=0
        )
    result = _check_labeled(current.frame, project.suite_path, source, target)
    aside = _set_aside(project, set_aside_current(project, current, tracked))
    result = _with_failures(result, [*map(unreadable_values, current.unreadable), *aside])
    result = _with_files(result, current.files)
    return result.replace(reasons=(*result.reasons, *_ignored(current)))


def _with_files(result: CheckResult, files: Sequence[SourceFile]) -> CheckResult:
    """Return a result whose findings about values name the first file that has them, if there are several."""
    if len(files) < 2:
        return result
    others = result.reasons[len(list(reasons(result.failures, result.evaluated))) :]
    failures = tuple(in_file(failure, files) for failure in result.failures)
    return result.replace(failures=failures, reasons=(*reasons(failures, result.evaluated), *others))


def _check_labeled(frame: pd.DataFrame, suite: Path, source: str, target: str) -> CheckResult:
    """Check a table whose labels may arrive later: those that are there are checked alone."""
    labeled = frame[target].notna().to_numpy() if target in frame else np.ones(len(frame), dtype=bool)
    if labeled.all():
        return check_table(frame, suite, source, target)
    result, rows = check_table(frame.drop(columns=target), suite, source, target), np.flatnonzero(labeled)
    found = check_table(frame.iloc[rows], suite, source).failures if len(rows) else ()
    labels = [
        failure.replace(row_examples=tuple(int(rows[row]) for row in failure.row_examples))
        for failure in found
        if failure.column == target
    ]
    # The last reason is that the column is missing.
    result = _with_failures(result.replace(reasons=result.reasons[:-1]), labels)
    return result.replace(reasons=(*result.reasons, f"{len(frame) - len(rows):,} rows have no label yet"))


def _unreadable(source: str, error: DataRefusedError) -> CheckResult:
    """Return the result for data that cannot be read at all."""
    parts = (error.what, *(part for part in (error.where, error.why, error.fix) if part))
    text = "; ".join(parts).replace(f"{Path.cwd()}/", "")  # a reader of the issue has no use for the runner's folder
    return CheckResult(
        passed=False, reasons=(text,), verdict="schema_skew", source=source, rows=0, columns=0, evaluated=0
    )


def _set_aside(project: Project, is_aside: BoolArray) -> list[Failure]:
    return [implausible_times(project.params.data.time, is_aside)] if is_aside.any() else []


def _with_failures(result: CheckResult, found: Sequence[Failure]) -> CheckResult:
    """Return a result with further failures; those about a wrong type replace the others of their column."""
    if not found:
        return result
    retyped = {failure.column for failure in found if failure.kind == "schema"}
    failures = (*found, *(failure for failure in result.failures if failure.column not in retyped))
    overall = verdict(failures)
    return result.replace(
        passed=overall == "warning",
        verdict=overall,
        failures=failures,
        reasons=tuple(reasons(failures, result.evaluated)),
    )


def _ignored(current: CurrentData) -> Iterator[str]:
    if current.unfinished:
        yield f"the unfinished last line of {current.unfinished} files was ignored"
    if current.unknown_labels:
        yield f"{current.unknown_labels} labels were ignored: they match no row"


def check_table(frame: pd.DataFrame, suite: Path, source: str, late_target: str | None = None) -> CheckResult:
    """Evaluate every expectation of a suite on a table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The table.
    suite : Path
        JSON file in the format of Great Expectations.
    source : str
        Name of the table in the report.
    late_target : str, optional
        A target column that may be missing; its expectations are then skipped and counted.

    Returns
    -------
    CheckResult
        Passed if no critical expectation failed.

    Raises
    ------
    SuiteError
        If an expectation has an unknown type or argument, or can never fail or never pass.
    """
    suite_expectations = [*_load_verified(suite), Expectation(type=ROW_COUNT, kwargs={"min_value": 1})]
    absent = late_target if late_target not in frame.columns else None
    applicable = _applicable(suite_expectations, absent, has_rows=len(frame) > 0)
    skipped = len(suite_expectations) - len(applicable)
    distinct = frame.loc[:, ~frame.columns.duplicated()].reset_index(drop=True)
    failures = findings(_evaluate(canonical(distinct), applicable), frame)
    overall = verdict(failures)
    return CheckResult(
        passed=overall in {"passed", "warning"},
        reasons=(*reasons(failures, len(applicable)), *_skip_reason(skipped, absent, len(frame))),
        verdict=overall,
        source=source,
        rows=len(frame),
        columns=len(frame.columns),
        evaluated=len(applicable),
        skipped=skipped,
        failures=tuple(failures),
    )


def _load_verified(path: Path) -> tuple[Expectation, ...]:
    """Read a suite and build every expectation with Great Expectations, which would otherwise drop invalid ones silently.

    Raises
    ------
    SuiteError
        If an expectation is not valid.
    """
    expectations = load_suite(path)
    _library()  # imported first: an import error is not an error of the suite
    for index, expectation in enumerate(expectations):
        try:
            _configuration(expectation, index)
        except Exception as error:  # its registry, validators and pydantic models raise different types
            raise SuiteError(path, index, expectation, " ".join(str(error).split())) from error
    return expectations


def _applicable(expectations: Iterable[Expectation], absent: str | None, *, has_rows: bool) -> list[Expectation]:
    """Return the expectations without those about an absent column and, for an empty table, those about rows."""
    shape_only = (expectation for expectation in expectations if has_rows or expectation.about_table)
    if absent is None:
        return list(shape_only)
    return [kept for kept in (expectation.without(absent) for expectation in shape_only) if kept is not None]


def _evaluate(frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[ExpectationOutcome]:
    """Evaluate every expectation on the columns that it needs, which is faster than on the whole table.

    Raises
    ------
    TitleboutError
        If Great Expectations returned no result for an expectation.
    """
    parts: dict[tuple[str, ...] | None, list[int]] = defaultdict(list)
    for index, expectation in enumerate(expectations):
        whole = expectation.about_table or "row_condition" in expectation.kwargs  # a condition may name any column
        parts[None if whole else expectation.columns].append(index)
    results: dict[int, Any] = {}
    for columns, indices in parts.items():
        part = frame if columns is None else frame[[name for name in columns if name in frame.columns]]
        results |= _validate(part, {index: _configuration(expectations[index], index) for index in indices})
    if len(results) != len(expectations) or not expectations:
        raise TitleboutError(
            f"Great Expectations returned {len(results)} results for {len(expectations)} expectations",
            why="an expectation without a result must not count as passed",
            fix="this is a bug in titlebout: please report it, and attach the suite file",
        )
    return [
        ExpectationOutcome(expectation, bool(results[index].success), results[index].result or {})
        for index, expectation in enumerate(expectations)
    ]


def _configuration(expectation: Expectation, index: int) -> Any:
    """Build the object of Great Expectations, with the index in `meta`, because results are returned in another order."""
    with _quiet():
        configuration = _library().ExpectationConfiguration(
            type=expectation.type,
            kwargs=canonical_kwargs(expectation.kwargs),
            severity=expectation.severity,
            meta={"index": index},
        )
        return configuration.to_domain_obj().configuration


def _validate(frame: pd.DataFrame, configurations: Mapping[int, Any]) -> dict[int, Any]:
    """Run Great Expectations without a data context, so that it writes no files and shows no progress bar.

    Everything is evaluated as pass or fail first; only failed expectations are evaluated again in detail, which is slow.
    """
    engine = _library().PandasExecutionEngine(batch_data_dict={"table": frame})
    validator = _library().Validator(execution_engine=engine, interactive_evaluation=False)
    validator.metrics_calculator.show_progress_bars = False

    def run(selected: Mapping[int, Any], result_format: dict[str, Any]) -> dict[int, Any]:
        runtime = {"result_format": result_format}
        with _quiet():
            results = validator.graph_validate(configurations=list(selected.values()), runtime_configuration=runtime)
        return {result.expectation_config.meta["index"]: result for result in results}

    validated = run(configurations, {"result_format": "BOOLEAN_ONLY"})
    failed = {index: configurations[index] for index, result in validated.items() if not result.success}
    if failed:
        validated |= run(failed, {"result_format": "SUMMARY", "partial_unexpected_count": ROW_EXAMPLES})
    for index in failed:
        if not validated[index].result:  # the exception may quote values, so it appears only with --verbose
            logger.debug("expectation %d ended in an exception: %s", index, validated[index].exception_info)
    return validated


@functools.cache
def _library() -> SimpleNamespace:
    """Import the classes of Great Expectations in use; the import takes seconds."""
    with _quiet():
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
        from great_expectations.validator.validator import Validator
    return SimpleNamespace(
        ExpectationConfiguration=ExpectationConfiguration,
        PandasExecutionEngine=PandasExecutionEngine,
        Validator=Validator,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages and deprecation warnings of Great Expectations; their content is in the results."""
    gx_logger = logging.getLogger("great_expectations")
    level = gx_logger.level
    gx_logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        gx_logger.setLevel(level)


def _skip_reason(skipped: int, absent: str | None, rows: int) -> Iterator[str]:
    if rows == 0:
        yield f"{skipped} expectations about columns were skipped: the table has no rows"
    elif absent is not None:
        yield f"{skipped} expectations were skipped: column {absent!r} is not in the data yet"


def _row(failure: Failure) -> tuple[object, ...]:
    column = code(failure.column) if failure.column else ""
    return failure.severity, column, failure.message, ", ".join(map(str, failure.row_examples))
