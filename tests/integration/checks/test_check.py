"""Real Great Expectations on small tables: what must fail fails, says why, and shows no values of rows."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sample
from titlebout.checks import check as checks_check
from titlebout.checks.check import CheckResult, check_data, check_table, check_tracked
from titlebout.checks.suites import SuiteError, scaffold_suite
from titlebout.core.errors import TitleboutError
from titlebout.core.results import parse_result, read_json, to_json
from titlebout.data.canonical import canonical
from titlebout.repository.project import Project
from titlebout.settings.params import DataParams

ROOT = Path(__file__).parents[3]
ROLES = DataParams(task="classification", target="late", time="when")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def ferries(rows: int = 500, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "when": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
            "harbour": random.choice(["Bodø", "Molde", "Oslo"], rows),
            "wind": np.where(random.random(rows) < 0.02, np.nan, random.normal(10, 3, rows)),
            "seats": random.integers(20, 400, rows),
            "night": random.random(rows) < 0.3,
            "late": random.choice([0, 1], rows),
        }
    )


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("suite"), **scaffold_suite(ferries(2000, seed=9), ROLES, "ferries"))


def write(folder: Path, **suite: Any) -> Path:
    path = folder / "suite.json"
    path.write_text(json.dumps(suite), encoding="utf-8")
    return path


def one(folder: Path, kind: str, severity: str = "critical", **kwargs: Any) -> Path:
    return write(folder, name="one", expectations=[{"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}])


def checked(frame: pd.DataFrame, suite: Path, late_target: str | None = None) -> CheckResult:
    result = check_table(frame, suite, "incoming", late_target)
    assert parse_result(to_json(result.model_dump()), CheckResult, "here") == result
    assert check_table(frame, suite, "incoming", late_target).model_dump() == result.model_dump()
    assert result.reasons
    assert result.to_markdown().startswith("### Data check: ")
    return result


def reported(result: CheckResult) -> set[tuple[str, str, str]]:
    return {(failure.kind, failure.severity, failure.column) for failure in result.failures}


@pytest.mark.parametrize("seed", range(3))
def test_the_next_batch_passes_what_was_scaffolded(suite: Path, seed: int) -> None:
    result = checked(ferries(seed=seed), suite)
    assert result.verdict in {"passed", "warning"}
    assert result.passed
    assert result.evaluated == len(read_json(suite)["expectations"]) + 1
    assert (result.rows, result.columns, result.skipped) == (500, 6, 0)


BROKEN: dict[str, tuple[str, str, str, Change]] = {
    "missing column": ("schema_skew", "wind", "is missing", lambda f: f.drop(columns="wind")),
    "new column": ("schema_skew", "note", "is not expected", lambda f: f.assign(note="x")),
    "numbers as text": ("schema_skew", "wind", "has type", lambda f: f.assign(wind=f["wind"].astype(str))),
    "one word among numbers": (
        "schema_skew", "seats", "has type object", lambda f: f.assign(seats=f["seats"].astype(object).where(f.index > 0, "n/a")),
    ),
    "text as numbers": ("schema_skew", "harbour", "has type int64", lambda f: f.assign(harbour=1)),
    "switch as words": ("schema_skew", "night", "has type", lambda f: f.assign(night="yes")),
    "time as numbers": ("schema_skew", "when", "has type int64", lambda f: f.assign(when=range(len(f)))),
    "repeated column": ("schema_skew", "wind", "more than once", lambda f: pd.concat([f, f[["wind"]]], axis=1)),
    "no values at all": ("value_skew", "wind", "500 of 500 values (100%) are missing", lambda f: f.assign(wind=np.nan)),
    "no text at all": ("value_skew", "harbour", "500 of 500 values (100%) are missing", lambda f: f.assign(harbour=None)),
    "gaps": ("value_skew", "wind", "are missing; at most 11.", lambda f: f.assign(wind=f["wind"].where(f.index % 5 > 0))),
    "many rows in a new category": (
        "value_skew", "harbour", "100 of 500 values (20%) are outside the expected set; at most 10%", lambda f: f.assign(harbour=f["harbour"].where(f.index > 99, "Ålesund")),
    ),
    "a new label": ("value_skew", "late", "outside the expected set", lambda f: f.assign(late=f["late"].where(f.index > 0, 2))),
    "a missing label": ("value_skew", "late", "none are allowed", lambda f: f.assign(late=f["late"].where(f.index > 0))),
    "many missing times": ("value_skew", "when", "60 of 500", lambda f: f.assign(when=f["when"].where(f.index >= 60))),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_is_refused_and_the_column_named(suite: Path, case: str) -> None:
    verdict, column, message, change = BROKEN[case]
    result = checked(change(ferries()), suite)
    assert (result.verdict, result.passed) == (verdict, False)
    kind = "schema" if verdict == "schema_skew" else "value"
    assert {failure.column for failure in result.failures if failure.severity == "critical"} == {column}
    assert result.failures[0].kind == kind
    assert message in result.failures[0].message
    assert result.reasons[0].startswith(f"column {column!r}: ")


def test_a_renamed_column_is_one_too_few_and_one_too_many(suite: Path) -> None:
    result = checked(ferries().rename(columns={"wind": "wind_kn"}), suite)
    assert reported(result) == {("schema", "critical", "wind"), ("schema", "critical", "wind_kn")}
    assert [failure.message for failure in result.failures] == ["is missing", "is not expected"]


HARMLESS: dict[str, Change] = {
    "nullable dtypes": lambda f: f.convert_dtypes(),
    "pyarrow dtypes": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "smaller dtypes": lambda f: f.astype({"wind": "float32", "seats": "int16", "late": "int8"}),
    "categories": lambda f: f.astype({"harbour": "category"}),
    "times as text": lambda f: f.assign(when=f["when"].astype(str)),
    "another index": lambda f: f.set_index(pd.Index([3] * len(f))),
    "another order": lambda f: f[list(f.columns[::-1])],
    "whole numbers with gaps": lambda f: f.assign(seats=f["seats"].where(f.index > 0)),
    "a switch with gaps": lambda f: f.assign(night=f["night"].astype(object).where(f.index > 0, None)),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_another_dtype_is_no_other_column(suite: Path, case: str) -> None:
    assert checked(HARMLESS[case](ferries()), suite).verdict == "passed"


@pytest.mark.parametrize("frame", [ferries(0), pd.DataFrame(), pd.DataFrame(columns=ferries().columns)])
def test_no_rows_never_pass(suite: Path, frame: pd.DataFrame) -> None:
    result = checked(frame, suite)
    assert not result.passed
    assert result.skipped > 0
    assert "row count is 0, expected at least 1" in " ".join(result.reasons)
    assert "the table has no rows" in result.reasons[-1]


def test_a_few_rows_of_a_new_category_are_a_warning(suite: Path) -> None:
    frame = ferries()
    result = checked(frame.assign(harbour=frame["harbour"].where(frame.index > 1, "Ålesund")), suite)

    assert (result.verdict, reported(result)) == ("warning", {("value", "warning", "harbour")})
    assert "2 of 500 values (0.4%) are outside the expected set" in result.failures[0].message
    assert "If a new value is right, [accept it](" in result.to_markdown()
    assert "accept it" not in checked(frame, suite).to_markdown()


def test_no_rows_fail_a_suite_that_does_not_ask_for_any(tmp_path: Path) -> None:
    result = checked(ferries(0), one(tmp_path, "column_values_to_be_unique", column="seats"))
    assert (result.verdict, result.evaluated, result.skipped) == ("value_skew", 1, 1)


def test_warnings_are_reported_and_pass(suite: Path) -> None:
    frame = ferries()
    result = checked(frame.assign(wind=frame["wind"] + 12), suite)
    assert (result.verdict, result.passed) == ("warning", True)
    assert reported(result) == {("value", "warning", "wind")}
    assert any(f.message.startswith("mean is 2") and "expected between" in f.message for f in result.failures)


def test_a_suite_can_set_any_severity(tmp_path: Path) -> None:
    for severity, verdict in (("critical", "value_skew"), ("warning", "warning"), ("info", "warning")):
        path = one(tmp_path, "column_max_to_be_between", severity, column="seats", max_value=10)
        assert checked(ferries(), path).verdict == verdict
    columns = one(tmp_path, "table_columns_to_match_set", "warning", column_set=["when"], exact_match=True)
    assert checked(ferries(), columns).verdict == "warning"


def test_a_critical_rule_is_not_hidden_by_a_warning_about_the_type(tmp_path: Path) -> None:
    rules = [
        {"type": "expect_column_values_to_be_in_type_list", "kwargs": {"column": "wind", "type_list": ["str"]}, "severity": "warning"},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "wind", "max_value": 0}},
    ]  # fmt: skip
    result = checked(ferries(), write(tmp_path, name="s", expectations=rules))
    assert result.verdict == "value_skew"
    assert reported(result) == {("value", "critical", "wind"), ("schema", "warning", "wind")}


MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a type that does not exist": ("column_values_to_be_nul", {"column": "wind"}, "not found"),
    "an argument that does not exist": ("column_values_to_not_be_null", {"colum": "wind"}, "colum"),
    "a share above one": ("column_values_to_not_be_null", {"column": "wind", "mostly": 3}, "mostly"),
    "no bound at all": ("column_values_to_be_between", {"column": "wind"}, "cannot both be None"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_great_expectations_would_drop_is_refused(tmp_path: Path, case: str) -> None:
    kind, kwargs, why = MISTAKES[case]
    path = one(tmp_path, kind, **kwargs)
    with pytest.raises(SuiteError) as caught:
        check_table(ferries(), path, "incoming")
    assert why in caught.value.what
    assert caught.value.where == f"{path}: expectations.0 (expect_{kind})"


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("column_values_to_match_like_pattern", {"column": "harbour", "like_pattern": "B%"}),
        ("column_values_to_match_regex", {"column": "harbour", "regex": "("}),
        ("column_values_to_be_between", {"column": "harbour", "max_value": 3}),
        ("column_mean_to_be_between", {"column": "harbour", "max_value": 3}),
    ],
)
def test_what_cannot_be_evaluated_has_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, kwargs: dict[str, Any]
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = checked(ferries(), one(tmp_path, kind, **kwargs))
    assert not result.passed
    assert "could not be evaluated" in result.failures[0].message
    assert {record.name for record in caplog.records} == {"titlebout.checks.check"}
    assert "expectation 0 ended in an exception" in caplog.text


def test_an_answer_that_vanishes_is_no_pass(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(frame: pd.DataFrame, configurations: dict[int, Any]) -> dict[int, Any]:
        return {index: result for index, result in validate(frame, configurations).items() if index != 7}

    validate = checks_check._validate
    monkeypatch.setattr(checks_check, "_validate", forgetful)
    with pytest.raises(TitleboutError, match="returned 26 results for 27"):
        check_table(ferries(), suite, "incoming")


@pytest.mark.parametrize("column", [[1, None], [None, None], [np.nan, np.nan]])
def test_a_column_without_values_fails_not_null(tmp_path: Path, column: list[Any]) -> None:
    path = one(tmp_path, "column_values_to_not_be_null", column="x")
    assert not checked(pd.DataFrame({"x": column}), path).passed


@pytest.mark.parametrize(
    ("low", "passes"),
    [("2024-01-01", True), ("2024-01-02", False), ("2024-01-01T00:00:00", True), ("2024-01-01T01:00:00+01:00", True),
     ("2024-01-01T00:00:00Z", True), ("2024-01-01T00:30:00Z", False)],
)  # fmt: skip
def test_times_can_be_bounded_by_dates_and_zones(tmp_path: Path, low: str, passes: bool) -> None:
    between = one(tmp_path, "column_values_to_be_between", column="when", min_value=low)
    assert checked(ferries(), between).passed is passes
    least = one(tmp_path, "column_min_to_be_between", column="when", min_value=low)
    assert checked(ferries(), least).passed is passes


def test_a_row_condition_sees_all_columns(tmp_path: Path) -> None:
    path = one(
        tmp_path, "column_values_to_be_between",
        column="wind", max_value=0, row_condition="seats > 390", condition_parser="pandas",
    )  # fmt: skip
    failure = checked(ferries(), path).failures[0]
    frame = ferries()
    rows = frame.index[(frame["seats"] > 390) & frame["wind"].notna()]
    assert failure.unexpected_count == len(rows)
    assert failure.row_examples == tuple(rows[:5])


def test_labels_may_come_later(suite: Path) -> None:
    frame = ferries().drop(columns="late")
    assert checked(frame, suite).verdict == "schema_skew"
    result = checked(frame, suite, late_target="late")
    assert (result.verdict, result.skipped) == ("passed", 3)
    assert result.reasons[-1] == "3 expectations were skipped: column 'late' is not in the data yet"
    assert checked(ferries(), suite, late_target="late").skipped == 0


def test_the_labels_that_have_arrived_are_checked(suite: Path) -> None:
    frame = ferries().assign(late=lambda f: f["late"].astype("Int64").where(f.index % 3 > 0))
    result = checks_check._check_labeled(frame, suite, "incoming", "late")

    assert result.passed
    assert result.reasons[-1] == "167 rows have no label yet"
    assert not any("not in the data" in reason for reason in result.reasons)
    wrong = checks_check._check_labeled(
        frame.assign(late=frame["late"].where(frame.index != 4, 7)), suite, "incoming", "late"
    )
    assert (wrong.verdict, wrong.failures[0].column, wrong.failures[0].row_examples) == ("value_skew", "late", (4,))
    assert checks_check._check_labeled(frame.assign(late=None), suite, "incoming", "late").passed


def test_values_of_rows_are_never_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "4111-1111-1111-1111"
    frame = pd.DataFrame({"card": [secret, "x"], "amount": [31337.25, 1.0]})
    rules = [
        {"type": f"expect_column_{kind}", "kwargs": {"column": column, **kwargs}}
        for column, kind, kwargs in (
            ("card", "values_to_be_in_set", {"value_set": ["y"]}),
            ("card", "values_to_match_regex", {"regex": "^z"}),
            ("card", "distinct_values_to_be_in_set", {"value_set": ["y"]}),
            ("card", "most_common_value_to_be_in_set", {"value_set": ["y"]}),
            ("card", "values_to_be_between", {"max_value": 3}),
            ("card", "mean_to_be_between", {"max_value": 3}),
            ("amount", "max_to_be_between", {"max_value": 3}),
            ("amount", "values_to_be_between", {"max_value": 0}),
            ("amount", "quantile_values_to_be_between", {"quantile_ranges": {"quantiles": [1], "value_ranges": [[0, 1]]}}),
        )
    ]  # fmt: skip
    with caplog.at_level(logging.INFO):
        result = checked(frame, write(tmp_path, name="s", expectations=rules))
    assert len(result.failures) == len(rules)
    completed = to_json(result.model_dump()) + result.to_markdown() + caplog.text
    assert secret not in completed
    assert "31337" not in completed.replace(",", "")


def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|@octocat\n# x"
    result = checked(
        pd.DataFrame({name: ["a"]}), one(tmp_path, "column_values_to_be_in_set", column=name, value_set=["b"])
    )
    lines = result.to_markdown().splitlines()
    assert sum(line.startswith("| ") for line in lines) == 3
    assert not any(line.startswith("# x") for line in lines)
    assert "<script>" not in result.to_markdown().replace("\\<", "")


def test_nothing_is_printed_and_no_file_written(
    suite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    checks_check._library.cache_clear()
    with caplog.at_level(logging.DEBUG):
        checked(ferries().assign(wind="x"), suite)
    assert not [record for record in caplog.records if record.name.startswith("great_expectations")]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_our_way_to_run_it_agrees_with_the_documented_one(suite: Path) -> None:
    """We skip the context of Great Expectations for speed; its answers must be those of the public interface."""
    import great_expectations as gx

    frame = ferries(seed=4).assign(
        wind=lambda f: f["wind"] + 12, harbour=lambda f: f["harbour"].replace("Oslo", "Rome")
    )
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
        .get_batch({"dataframe": canonical(frame)})
    )  # fmt: skip
    theirs = batch.validate(gx.ExpectationSuite(**read_json(suite)))
    failed = {
        (r.expectation_config.type, r.expectation_config.kwargs["column"]) for r in theirs.results if not r.success
    }
    assert failed == {(f.type, f.column) for f in checked(frame, suite).failures}
    assert len(failed) == 3


def test_the_tracked_and_the_current_data_of_a_repository_are_checked(root: Path) -> None:
    project = Project.find(root)
    assert check_tracked(project).verdict == "passed"
    (root / "incoming").mkdir()
    sample.crossings(50).drop(columns="late").to_csv(root / "incoming" / "new.csv", index=False)
    result = check_data(project, "current")
    assert (result.verdict, result.source, result.skipped) == ("passed", "incoming", 1)


def flights_by_month() -> dict[str, pd.DataFrame]:
    """Read the reference data from the in-tree DVC remote, so that nothing has to be pulled before."""
    objects = ROOT / "dvc-remote" / "files" / "md5"
    folder = next(line for line in (ROOT / "data.dvc").read_text(encoding="utf-8").split() if line.endswith(".dir"))
    listing = json.loads((objects / folder[:2] / folder[2:]).read_text(encoding="utf-8"))
    return {entry["relpath"][:7]: pd.read_parquet(objects / entry["md5"][:2] / entry["md5"][2:]) for entry in listing}


def test_rows_without_a_plausible_time_are_set_aside_and_named(root: Path, command: sample.Command) -> None:
    frame = sample.crossings(300, start="2024-04-20", seed=3)
    times = frame["departure"].astype(str).where(frame.index != 3, "").where(frame.index != 8, "2205-01-01")
    (root / "incoming").mkdir(exist_ok=True)
    frame.assign(departure=times).to_csv(root / "incoming" / "a.csv", index=False)

    found = command("check-data", "--on", "current")

    assert (found.code, found.document["verdict"]) == (0, "warning")
    (failure,) = (one for one in found.document["failures"] if one["column"] == "departure")
    assert failure["row_examples"] == [3, 8]
    assert failure["message"] == "2 of 300 values are missing or far from all other times, and set aside with the row"


def test_the_reference_suite_fits_the_whole_year() -> None:
    warned: dict[str, set[str]] = {}
    for month, flights in flights_by_month().items():
        result = check_table(flights, ROOT / "expectations" / "flights-delay.json", month)
        assert result.passed, result.reasons
        if result.failures:
            warned[month] = {failure.column for failure in result.failures}
    weather = {"temp", "humid", "wind_speed", "precip", "visib"}
    assert warned == {"2013-06": {"carrier"}, "2013-11": {"carrier"}, "2013-12": weather}
