"""Data checks: a Great Expectations suite that can never pass by accident.

Great Expectations drops a misspelt expectation with a log line, passes what was not evaluated, and passes most rules on
a table without rows. Here a suite is read strictly, every expectation has to have its answer, and no rows is a failure.
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

import pandas as pd

from titlebout.checks.findings import ExpectationOutcome, Failure, Verdict, findings, reasons, verdict
from titlebout.checks.suites import ROW_COUNT, Expectation, SuiteError, load_suite
from titlebout.core.errors import DataRefusedError, ExitCode, TitleboutError
from titlebout.core.markdown import code, escape, format_number, table
from titlebout.core.results import StepResult, write_result
from titlebout.data.canonical import canonical, canonical_kwargs
from titlebout.data.current import CurrentData, read_current, reads_database
from titlebout.data.tables import read_tables
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project

ROW_EXAMPLES = 5
SHOWN_FAILURES = 50

logger = logging.getLogger(__name__)


NOTHING_ARRIVED = "nothing has arrived yet"


class CheckResult(StepResult):
    """What a suite says about a table.

    Attributes
    ----------
    verdict : {"passed", "warning", "schema_skew", "value_skew"}
        Warning: nothing critical. Schema skew: other columns or types.
    source : str
        What was checked.
    rows, columns : int
        Its shape.
    evaluated, skipped : int
        Expectations that were answered, and those that could not be asked; `reasons` says why.
    failures : tuple of Failure
        The worst first.
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
        """What the process ends with."""
        return ExitCode.OK if self.passed else ExitCode.DATA_REFUSED

    def to_markdown(self) -> str:
        """Return the report for people as Markdown."""
        head = {
            "passed": "passed",
            "warning": "passed, with warnings",
            "schema_skew": "refused, its columns or types are not the expected ones",
            "value_skew": "refused, its values are not the expected ones",
        }[self.verdict]
        shape = f"{format_number(self.rows)} rows, {format_number(self.columns)} columns, {format_number(self.evaluated)} expectations"
        lines = [f"### Data check: {head}", "", f"{code(self.source)}: {shape}.", ""]
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
            lines.append(f"{format_number(hidden)} more are in the JSON result.")
        return "\n".join(lines).rstrip() + "\n"


def check_data(project: Project, on: Literal["tracked", "current"]) -> CheckResult:
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
    NotFoundError
        If the data cannot be fetched.
    DataError
        If a file cannot be read.
    """
    if on == "current":
        return _check_current(project)
    Dvc(project).pull_data()
    return check_tracked(project)


def check_tracked(project: Project) -> CheckResult:
    """Check the files in ``data/`` as they are."""
    return check_table(read_tables(project.root, "data"), project.suite_path, "data")


def check_stage(project: Project) -> None:
    """Stage ``check-data``: check the tracked data, and keep the result in git.

    Raises
    ------
    DataRefusedError
        If the data does not pass.
    """
    result = check_tracked(project)
    write_result(project.stage_reports / "check-data.json", result)
    if not result.passed:
        fix = "read pipelines/*/reports/check-data.json"
        raise DataRefusedError(result.reasons[0], where="data/", fix=fix)


def _check_current(project: Project) -> CheckResult:
    source, target = project.settings.drift.current, project.params.data.target
    current = _current(project)
    if current.frame.empty:
        # A new repository waits for its first batch; a scheduled job is not red for that.
        return CheckResult(
            passed=True, reasons=(NOTHING_ARRIVED,), verdict="passed", source=source, rows=0, columns=0, evaluated=0
        )
    # Labels are checked when all are there, and once more before anything is trained on them.
    late = target in current.frame and current.frame[target].isna().any()
    frame = current.frame.drop(columns=target) if late else current.frame
    result = check_table(frame, project.suite_path, source, target)
    return result.replace(reasons=(*result.reasons, *_left_out(current)))


def _current(project: Project) -> CurrentData:
    """Read what arrived; a database is asked only for what can be new."""
    if not reads_database(project):
        return read_current(project)
    Dvc(project).pull_data()
    return read_current(project, read_tables(project.root, "data"))


def _left_out(current: CurrentData) -> Iterator[str]:
    if current.unfinished:
        yield f"the unfinished last line of {current.unfinished} files was left out"
    if current.unknown_labels:
        yield f"{current.unknown_labels} labels are of rows that are not there"


def check_table(frame: pd.DataFrame, suite: Path, source: str, late_target: str | None = None) -> CheckResult:
    """Ask every expectation of a suite about a table.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    suite : Path
        JSON file in Great Expectations' own format.
    source : str
        Name of the table for the reader.
    late_target : str, optional
        A column that may still be missing; expectations about it are skipped then, and counted.

    Returns
    -------
    CheckResult
        Passed when no critical expectation failed.

    Raises
    ------
    SuiteError
        If an expectation has an unknown type or argument, or could never fail or never pass.
    """
    known = [*_load_verified(suite), Expectation(type=ROW_COUNT, kwargs={"min_value": 1})]
    absent = late_target if late_target not in frame.columns else None
    asked = _to_ask(known, absent, has_rows=len(frame) > 0)
    skipped = len(known) - len(asked)
    distinct = frame.loc[:, ~frame.columns.duplicated()].reset_index(drop=True)
    failures = findings(_ask(canonical(distinct), asked), frame)
    said = verdict(failures)
    return CheckResult(
        passed=said in {"passed", "warning"},
        reasons=(*reasons(failures, len(asked)), *_skipped_because(skipped, absent, len(frame))),
        verdict=said,
        source=source,
        rows=len(frame),
        columns=len(frame.columns),
        evaluated=len(asked),
        skipped=skipped,
        failures=tuple(failures),
    )


def _load_verified(path: Path) -> tuple[Expectation, ...]:
    """Read a suite and let Great Expectations build every entry: what it would drop later, it refuses now.

    Raises
    ------
    SuiteError
        If it refuses one.
    """
    expectations = load_suite(path)
    _library()  # a failing import is not the suite's fault
    for index, expectation in enumerate(expectations):
        try:
            _configuration(expectation, index)
        except Exception as error:  # its registry, its validators and its pydantic each raise their own types
            raise SuiteError(path, index, expectation, " ".join(str(error).split())) from error
    return expectations


def _to_ask(known: Iterable[Expectation], absent: str | None, *, has_rows: bool) -> list[Expectation]:
    """Leave out what is about a column that is yet to come, and, without rows, everything but the table's shape."""
    shape_only = (expectation for expectation in known if has_rows or expectation.about_table)
    if absent is None:
        return list(shape_only)
    return [kept for kept in (expectation.without(absent) for expectation in shape_only) if kept is not None]


def _ask(frame: pd.DataFrame, expectations: Sequence[Expectation]) -> list[ExpectationOutcome]:
    """Evaluate every expectation on the few columns it needs, and in detail only where it failed.

    Raises
    ------
    TitleboutError
        If an answer is lacking.
    """
    parts: dict[tuple[str, ...] | None, list[int]] = defaultdict(list)
    for index, expectation in enumerate(expectations):
        whole = expectation.about_table or "row_condition" in expectation.kwargs  # a condition may name any column
        parts[None if whole else expectation.columns].append(index)
    found: dict[int, Any] = {}
    for columns, indices in parts.items():
        part = frame if columns is None else frame[[name for name in columns if name in frame.columns]]
        found |= _validate(part, {index: _configuration(expectations[index], index) for index in indices})
    if len(found) != len(expectations) or not expectations:
        raise TitleboutError(
            f"Great Expectations answered {len(found)} of {len(expectations)} expectations",
            why="an expectation without an answer must not count as passed",
            fix="report this, with the suite",
        )
    return [
        ExpectationOutcome(expectation, bool(found[index].success), found[index].result or {})
        for index, expectation in enumerate(expectations)
    ]


def _configuration(expectation: Expectation, index: int) -> Any:
    """Build Great Expectations' own object, with the index in `meta`: its answers come back in another order."""
    with _quiet():
        configuration = _library().ExpectationConfiguration(
            type=expectation.type,
            kwargs=canonical_kwargs(expectation.kwargs),
            severity=expectation.severity,
            meta={"index": index},
        )
        return configuration.to_domain_obj().configuration


def _validate(frame: pd.DataFrame, configurations: Mapping[int, Any]) -> dict[int, Any]:
    """Run Great Expectations without a context: no project files, no fingerprint of the table, no progress bar."""
    engine = _library().PandasExecutionEngine(batch_data_dict={"table": frame})
    validator = _library().Validator(execution_engine=engine, interactive_evaluation=False)
    validator.metrics_calculator.show_progress_bars = False

    def run(wanted: Mapping[int, Any], how: dict[str, Any]) -> dict[int, Any]:
        runtime = {"result_format": how}
        with _quiet():
            results = validator.graph_validate(configurations=list(wanted.values()), runtime_configuration=runtime)
        return {result.expectation_config.meta["index"]: result for result in results}

    found = run(configurations, {"result_format": "BOOLEAN_ONLY"})
    failed = {index: configurations[index] for index, result in found.items() if not result.success}
    if failed:
        found |= run(failed, {"result_format": "SUMMARY", "partial_unexpected_count": ROW_EXAMPLES})
    for index in failed:
        if not found[index].result:  # it may quote values, so it is for the eyes of who asks only
            logger.debug("expectation %d ended in an exception: %s", index, found[index].exception_info)
    return found


@functools.cache
def _library() -> SimpleNamespace:
    """Import the parts of Great Expectations that are used."""
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
    """Keep Great Expectations' log lines and deprecations out of the output: what they tell is in the result."""
    theirs = logging.getLogger("great_expectations")
    level = theirs.level
    theirs.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        theirs.setLevel(level)


def _skipped_because(skipped: int, absent: str | None, rows: int) -> Iterator[str]:
    if rows == 0:
        yield f"{skipped} expectations about columns were skipped: there are no rows"
    elif absent is not None:
        yield f"{skipped} expectations were skipped: {absent!r} has not arrived yet"


def _row(failure: Failure) -> tuple[object, ...]:
    column = code(failure.column) if failure.column else ""
    return failure.severity, column, failure.message, ", ".join(map(str, failure.row_examples))
