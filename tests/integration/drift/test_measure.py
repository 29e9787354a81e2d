"""Real data drifts or does not; real Evidently draws it; awkward columns are named, never lost."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

import sample
from titlebout.checks.check import check_data
from titlebout.core.errors import ConfigError, DataError, InconclusiveError
from titlebout.core.results import parse_result, to_json
from titlebout.drift import measure as drift_measure
from titlebout.drift.alignment import Pair
from titlebout.drift.importance import ChampionContext
from titlebout.drift.measure import drift
from titlebout.drift.report import DriftResult, TimeRange, _has_values, write_reports
from titlebout.repository.project import Project
from titlebout.settings.drift import DriftSettings

SETTINGS = DriftSettings(min_rows=100)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def shop(rows: int, *, start: str = "2024-01-01", seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "when": pd.date_range(start, periods=rows, freq="h", tz="UTC"),
            "price": random.normal(20, 5, rows),
            "items": random.poisson(3, rows),
            "country": random.choice(["no", "se", "dk", "fi"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "member": random.random(rows) < 0.3,
            "weight": random.normal(2e-5, 4e-6, rows),
            "returned": (random.random(rows) < 0.2).astype("int64"),
        }
    )


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return shop(1000)


@pytest.fixture
def current() -> pd.DataFrame:
    return shop(480, start="2024-03-01", seed=1)


def compared(reference: pd.DataFrame, current: pd.DataFrame, **settings: Any) -> DriftResult:
    result = drift(reference, current, SETTINGS.model_copy(update=settings), "when", "returned")
    json.loads(to_json(result.model_dump()))
    assert parse_result(to_json(result.model_dump()), DriftResult, "here") == result
    assert "###" in result.to_markdown()
    return result


def drawn(folder: Path, result: DriftResult, columns: list[Pair]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    assert write_reports(folder, result, columns).report_error == ""
    return sorted(folder.glob("*.svg"))


def statuses(result: DriftResult) -> dict[str, str]:
    return {column.name: column.status for column in result.columns}


def test_quiet_data_is_stable(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    result = compared(reference, current)
    assert (result.verdict, result.passed) == ("stable", True)
    assert set(statuses(result)) == {"price", "items", "country", "member", "weight", "returned"}
    assert result.reasons == ("6 of 6 columns are stable",)
    assert result.rows == 480
    assert result.reference.rows == 1000
    assert result.window == TimeRange(start="2024-03-01T00:00:00+00:00", end="2024-03-20T23:00:00+00:00")


DRIFTS: dict[str, tuple[str, Change]] = {
    "half a standard deviation": ("price", lambda f: f.assign(price=f["price"] + 2.5)),
    "the same on a tiny scale": ("weight", lambda f: f.assign(weight=f["weight"] + 2e-6)),
    "a wider spread": ("price", lambda f: f.assign(price=20 + (f["price"] - 20) * 2)),
    "counts that doubled": ("items", lambda f: f.assign(items=f["items"] * 2)),
    "ten points from one category to another": (
        "country",
        lambda f: f.assign(country=f["country"].where(f["country"] != "no", "se")),
    ),
    "a category never seen": ("country", lambda f: f.assign(country=f["country"].where(f.index % 10 != 0, "de"))),
    "a switch that is always on": ("member", lambda f: f.assign(member=True)),
    "labels": ("returned", lambda f: f.assign(returned=f["returned"].where(f.index % 4 != 0, 1))),
    "every fifth value missing": ("price", lambda f: f.assign(price=f["price"].where(f.index % 5 != 0))),
    "every fifth value infinite": ("price", lambda f: f.assign(price=f["price"].where(f.index % 5 != 0, np.inf))),
    "a number that became constant": ("price", lambda f: f.assign(price=20.0)),
}


@pytest.mark.parametrize("case", DRIFTS)
def test_what_differs_in_both_halves_has_drifted(reference: pd.DataFrame, current: pd.DataFrame, case: str) -> None:
    name, change = DRIFTS[case]
    result = compared(reference, change(current))
    assert (result.verdict, result.passed) == ("drift", False)
    assert {column for column, status in statuses(result).items() if status == "drift"} == {name}
    assert result.columns[0].name == name
    assert f"{name!r} differs in both halves" in result.reasons[0]
    assert result.columns[0].role == ("target" if name == "returned" else "input")


def test_one_huge_outlier_on_both_sides_hides_nothing(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    current = current.assign(price=current["price"] + 5)
    reference, current = reference.copy(), current.copy()
    reference.loc[0, "price"] = current.loc[0, "price"] = 1e9
    assert statuses(compared(reference, current))["price"] == "drift"


def test_what_differs_in_the_newer_half_only_is_suspect(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    result = compared(reference, current.assign(price=current["price"].where(current.index < 240, 30)))
    assert (result.verdict, result.passed) == ("suspect", True)
    assert statuses(result)["price"] == "suspect"


def test_a_late_change_too_small_overall_is_found_in_the_newer_half() -> None:
    old, new = shop(5000), shop(4000, start="2025-01-01", seed=1)
    new["price"] += np.where(new.index < 2000, 0, 0.85)
    column = compared(old, new, window_days=365).columns[0]
    assert (column.name, column.status) == ("price", "suspect")
    assert column.effect < column.threshold


def test_what_differed_in_the_older_half_only_is_over(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    brief = current["price"].where(current.index >= 24, current["price"] + 6)
    assert compared(reference, current.assign(price=brief)).verdict == "stable"


def test_without_time_the_order_of_arrival_confirms(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    old, new = reference.drop(columns="when"), current.drop(columns="when")
    half, whole = new.assign(price=new["price"].where(new.index < 240, 30)), new.assign(price=30)
    assert [drift(old, one, SETTINGS).verdict for one in (half, whole)] == ["suspect", "drift"]
    assert drift(old, whole, SETTINGS).window == TimeRange(start="", end="")
    assert drift(old, whole, SETTINGS).columns[0].since == ""


def test_it_says_since_when(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    moved = current.assign(
        price=current["price"].where(current.index < 120, current["price"] + 8),
        country=current["country"].where(current.index < 168, "fi"),
        items=current["items"].where((current.index < 96) | (current.index % 2 == 0)),
    )
    result = compared(reference, moved)
    since = {column.name: column.since[:10] for column in result.columns if column.status != "stable"}
    assert since == {"price": "2024-03-06", "country": "2024-03-08", "items": "2024-03-05"}
    assert "since 2024-03-06" in " ".join(result.reasons)


def test_a_column_that_the_champion_hardly_looks_at_does_not_decide(
    reference: pd.DataFrame, current: pd.DataFrame
) -> None:
    moved = current.assign(price=current["price"] + 5)
    heavy, light = ChampionContext({"price": 0.4, "items": 0.6}), ChampionContext({"price": 0.001, "items": 0.999})
    verdicts = [drift(reference, moved, SETTINGS, "when", "returned", one) for one in (heavy, light)]
    assert [one.verdict for one in verdicts] == ["drift", "suspect"]
    assert [one.columns[0].status for one in verdicts] == ["drift", "drift"]
    assert [one.columns[0].decides for one in verdicts] == [True, False]
    assert "importance for the champion is too low" in verdicts[1].reasons[0]
    assert "0.1%" in verdicts[1].to_markdown()
    every = SETTINGS.model_copy(update={"min_importance": 0.0})
    assert drift(reference, moved, every, "when", "returned", light).verdict == "drift"
    labels = current.assign(returned=1)
    assert drift(reference, labels, SETTINGS, "when", "returned", ChampionContext({"price": 1.0})).verdict == "drift"


def test_rows_of_one_customer_are_compared_once(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    def repeated(frame: pd.DataFrame, model_name: str) -> pd.DataFrame:
        rows = frame.loc[np.repeat(frame.index, 10)].reset_index(drop=True)
        return rows.assign(customer=[f"{model_name}{row // 10}" for row in rows.index])

    result = compared(repeated(reference, "a"), repeated(current, "b"), entity=("customer",))
    assert (result.verdict, result.rows, result.reference.rows) == ("stable", 480, 1000)
    assert "customer" not in statuses(result)
    with pytest.raises(ConfigError, match="entity column 'missing'"):
        compared(reference, current, entity=("missing",))


def test_columns_that_changed_together_are_found_on_request(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    old, new = (frame.assign(twin=frame["price"] + np.arange(len(frame)) % 3) for frame in (reference, current))
    new["twin"] = new["twin"].sample(frac=1, random_state=0).to_numpy()
    assert compared(old, new).verdict == "stable"
    result = compared(old, new, domain_classifier=True)
    assert result.verdict == "drift"
    assert result.columns[0].name == "all columns together"
    assert "AUC of a classifier" in result.reasons[0]
    assert compared(reference, current, domain_classifier=True).verdict == "stable"


def test_only_the_last_days_are_compared(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    current = current.assign(price=current["price"].where(current.index >= 240, 30))
    result = compared(reference, current, window_days=10)
    assert (result.verdict, result.rows, result.new_rows) == ("stable", 240, 480)
    assert result.window.start == "2024-03-11T00:00:00+00:00"


def test_a_window_that_is_too_short_for_the_rows_is_named(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    (reason,) = compared(reference, current, window_days=2).reasons

    assert reason.endswith("480 rows are new, and those of 2 days are compared (drift.window_days)")
    assert "window_days" not in compared(reference, current.tail(60)).reasons[0]


def test_the_order_of_rows_does_not_matter(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    current = current.assign(price=current["price"].where(current.index < 240, 30))
    shuffled = compared(reference.sample(frac=1, random_state=0), current.sample(frac=1, random_state=0))
    assert shuffled.model_dump() == compared(reference, current).model_dump()


def test_labels_may_come_later(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    result = compared(reference, current.drop(columns="returned"))
    assert result.verdict == "stable"
    assert "returned" not in statuses(result)


def test_ignored_columns_are_left_out_of_everything(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    current = current.assign(price="free", note="new").drop(columns="country")
    assert compared(reference, current, ignore=("price", "note", "country")).verdict == "stable"


def test_nothing_left_to_compare_is_a_mistake(reference: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="no column is left"):
        drift(reference[["when"]], reference[["when"]], SETTINGS, "when")


STRUCTURAL: dict[str, tuple[dict[str, str], Change]] = {
    "missing": ({"price": "missing"}, lambda f: f.drop(columns="price")),
    "missing time": ({"when": "missing"}, lambda f: f.drop(columns="when")),
    "new": ({"note": "new"}, lambda f: f.assign(note="x")),
    "renamed": ({"cost": "new", "price": "missing"}, lambda f: f.rename(columns={"price": "cost"})),
    "empty number": ({"price": "empty"}, lambda f: f.assign(price=np.nan)),
    "empty text": ({"country": "empty"}, lambda f: f.assign(country=None)),
    "number as text": ({"price": "retyped"}, lambda f: f.assign(price=f["price"].astype(str))),
    "one unreadable number": ({"items": "retyped"}, lambda f: f.assign(items=f["items"].astype(object).where(f.index > 0, "n/a"))),
    "text as number": ({"country": "retyped"}, lambda f: f.assign(country=f["country"].map({"no": 1, "se": 2, "dk": 3, "fi": 4}))),
    "switch as words": ({"member": "retyped"}, lambda f: f.assign(member=f["member"].map({True: "yes", False: "no"}))),
    "time as number": ({"when": "retyped"}, lambda f: f.assign(when=f["when"].astype("int64"))),
    "time as nonsense": ({"when": "retyped"}, lambda f: f.assign(when="yesterday")),
    "repeated": ({"price": "repeated"}, lambda f: pd.concat([f, f[["price"]]], axis=1)),
}  # fmt: skip


@pytest.mark.parametrize("case", STRUCTURAL)
def test_other_columns_are_a_data_problem_and_no_drift(
    reference: pd.DataFrame, current: pd.DataFrame, case: str
) -> None:
    expected, change = STRUCTURAL[case]
    result = compared(reference, change(current))
    assert (result.verdict, result.passed) == ("structural", False)
    assert statuses(result) == expected
    assert len(result.reasons) == len(expected)


HARMLESS: dict[str, Change] = {
    "nullable dtypes": lambda f: f.convert_dtypes(),
    "pyarrow dtypes": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "smaller dtypes": lambda f: f.astype({"items": "uint8", "price": "float32", "returned": "int8"}),
    "categories": lambda f: f.astype({"country": "category", "items": "category"}),
    "text and time as in a CSV file": lambda f: f.assign(when=f["when"].astype(str)),
    "switch with gaps": lambda f: f.assign(member=f["member"].astype(object).where(f.index > 3, None)),
    "switch as 0 and 1": lambda f: f.assign(member=f["member"].astype("int64")),
    "another time zone": lambda f: f.assign(when=f["when"].dt.tz_convert("Asia/Tokyo")),
    "a repeated index": lambda f: f.set_index(pd.Index([0] * len(f))),
    "another order of columns": lambda f: f[list(f.columns[::-1])],
    "numbers beyond squaring": lambda f: f.assign(price=f["price"].where(f.index > 0, 1e300)),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_another_dtype_is_no_other_data(reference: pd.DataFrame, current: pd.DataFrame, case: str) -> None:
    assert compared(reference, HARMLESS[case](current)).verdict == "stable"
    assert compared(HARMLESS[case](reference), current).verdict == "stable"


AWKWARD: dict[str, list[Any]] = {
    "decimals": [Decimal("1.5"), Decimal("2.5")],
    "lists": [[1], [2, 3]],
    "mixed": [1, "a"],
    "bytes": [b"a", b"b"],
    "dates": [pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-01-02").date()],
    "differences of times": [pd.Timedelta(hours=1), pd.Timedelta(hours=2)],
    "emoji": ["🚢", "\u202e"],
    "one value": ["same", "same"],
}


@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_columns_are_compared_too(reference: pd.DataFrame, current: pd.DataFrame, case: str) -> None:
    few, many = AWKWARD[case]

    def column(rows: int, share: float) -> "pd.Series[Any]":
        chosen = np.random.default_rng(5).random(rows) < share
        return pd.Series([many if one else few for one in chosen], dtype=None if "times" in case else object)

    quiet = compared(reference.assign(extra=column(1000, 0.3)), current.assign(extra=column(480, 0.3)))
    moved = compared(reference.assign(extra=column(1000, 0.3)), current.assign(extra=column(480, 0.8)))
    assert statuses(quiet)["extra"] == "stable"
    assert statuses(moved)["extra"] == ("stable" if case == "one value" else "drift")


def test_a_column_without_values_in_the_reference_is_watched(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    reference = reference.assign(extra=np.nan)
    assert statuses(compared(reference, current.assign(extra=np.nan)))["extra"] == "stable"
    assert statuses(compared(reference, current.assign(extra=1.0)))["extra"] == "drift"


def test_identifiers_are_no_drift(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    reference = reference.assign(code=[f"a{i}" for i in range(1000)])
    assert compared(reference, current.assign(code=[f"b{i}" for i in range(480)])).verdict == "stable"


@pytest.mark.parametrize("rows", [0, 1, 5, 99])
def test_too_few_rows_decide_nothing(reference: pd.DataFrame, current: pd.DataFrame, rows: int) -> None:
    result = compared(reference, current.head(rows))
    assert (result.verdict, result.passed, result.columns) == ("insufficient_data", False, ())
    assert compared(current.head(rows), reference).verdict == "insufficient_data"


def test_a_missing_time_is_reported(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    current.loc[7, "when"] = pd.NaT
    with pytest.raises(DataError, match="missing values"):
        compared(reference, current)


def test_natural_variation_of_the_reference_is_not_drift() -> None:
    """A price that wanders by the week differs from the average in every window."""
    reference, current = shop(1600), shop(200, start="2024-06-01", seed=1)
    week = np.random.default_rng(0).normal(0, 4, 16)
    wandering = reference.assign(price=reference["price"] + np.repeat(week, 100))
    current = current.assign(price=current["price"] + 4)
    assert statuses(compared(reference, current))["price"] == "drift"
    column = next(column for column in compared(wandering, current).columns if column.name == "price")
    assert column.status != "drift"
    assert column.threshold > column.effect > SETTINGS.min_effect_numeric


def test_the_report_shows_columns_without_their_markup(
    reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path
) -> None:
    nasty = "</script><script>alert(1)</script>"
    old = reference.assign(**{nasty: reference["country"]})
    new = current.assign(**{nasty: np.where(current.index % 2, "<img src=x onerror=alert(2)>", "no")})
    result, columns = drift_measure._measure(old, new, SETTINGS, "when", "returned")
    result = write_reports(tmp_path, result, columns)
    html = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert result.report_error == ""
    assert result.verdict == "drift"
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "Dataset Drift is detected" in html
    first = html.partition("<body>")[2][:700]
    assert "This page does not decide." in first
    assert f"drift in {len(result.drifted)} of {len(result.compared)} columns" in first
    assert "|" not in result.to_markdown().split("alert(1)")[1].split("`")[0]


def test_the_page_detects_drift_in_the_columns_of_the_rule(
    reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path
) -> None:
    late = np.where(np.arange(len(current)) > 400, 1.4, 1.0)  # differs, but only at the end
    new = current.assign(price=current["price"] + 1.2, weight=current["weight"] * late)
    result, columns = drift_measure._measure(reference, new, SETTINGS, "when", "returned")
    assert (result.decisive, statuses(result)["weight"]) == (("price",), "suspect")
    write_reports(tmp_path, result, columns)
    html = (tmp_path / "drift.html").read_text(encoding="utf-8")
    table = json.JSONDecoder().raw_decode(html, html.index('{"type": "big_table"'))[0]
    assert "(1 out of 6)" in table["title"]
    rows = [(row["column_name"], row["data_drift"]) for row in table["params"]["data"]]
    assert rows[:2] == [("price", "Detected"), ("weight", "Not Detected")]
    assert {found for _, found in rows[1:]} == {"Not Detected"}


@pytest.mark.parametrize("case", ["nullable dtypes", "a repeated index", "numbers beyond squaring"])
def test_the_report_is_drawn_for_awkward_columns(
    reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path, case: str
) -> None:
    extra = {"void": np.nan, "late": [f"{i}" for i in range(480)], "gap": np.where(current.index % 2, np.inf, 1.5)}
    new = HARMLESS[case](current).assign(**extra)
    old = reference.assign(void=np.nan, late=[f"{i}" for i in range(1000)], gap=np.arange(1000) / 7)
    result, columns = drift_measure._measure(old, new, SETTINGS, "when", "returned")
    assert write_reports(tmp_path, result, columns).report_error == ""
    assert (tmp_path / "drift.html").stat().st_size > 1_000_000
    assert "void" not in {c.name for c in columns if _has_values(c)}


def test_a_report_that_fails_does_not_cost_the_decision(
    reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path
) -> None:
    result, columns = drift_measure._measure(reference, current.assign(price=20.0), SETTINGS, "when", "returned")
    (tmp_path / "occupied").write_text("", encoding="utf-8")
    failed = write_reports(tmp_path / "occupied", result, columns)
    assert failed.verdict == "drift"
    assert failed.columns == result.columns
    assert failed.report_error.startswith("DiskError: ")
    assert "HTML report are incomplete" in failed.to_markdown()


def test_plots_are_the_same_bytes_every_time(reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path) -> None:
    current = current.assign(price=current["price"] + 5, country="$x$ <b> 航空")
    result, columns = drift_measure._measure(reference, current, SETTINGS, "when", "returned")
    first, second = (drawn(tmp_path / name, result, columns) for name in "ab")
    assert [path.name for path in first] == ["drift-01.svg", "drift-02.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    texts = [" ".join(ET.fromstring(path.read_text(encoding="utf-8")).itertext()) for path in first]
    assert "price" in texts[0]
    assert "$x$ <b> 航空" in texts[1]
    assert max(path.stat().st_size for path in first) < 60_000


def test_drawings_of_an_earlier_run_are_removed(reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path) -> None:
    result, columns = drift_measure._measure(reference, current.assign(price=20.0), SETTINGS, "when", "returned")
    assert len(drawn(tmp_path, result, columns)) == 1
    result, columns = drift_measure._measure(reference, current.head(5), SETTINGS, "when", "returned")
    write_reports(tmp_path, result, columns)
    assert list(tmp_path.iterdir()) == []


def test_the_table_names_only_what_differs(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    text = compared(reference, current.assign(price=current["price"] + 5, returned=1)).to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [re.findall("`(.*?)`", row)[0] for row in rows] == ["returned", "price"]
    assert "`returned` (label) | drift" in rows[0]
    assert "mean 19.8 | mean 24.8 | 1.04 | 0.1 | 0% → 0%" in rows[1]
    assert "4 of 6 columns are stable" in text


def test_levels_of_few_rows_are_not_reported(reference: pd.DataFrame, current: pd.DataFrame, tmp_path: Path) -> None:
    names = current["country"].where(current.index % 2 == 0, [f"person {i}" for i in range(480)])
    result, columns = drift_measure._measure(reference, current.assign(country=names), SETTINGS, "when", "returned")
    assert statuses(result)["country"] == "drift"
    (plot,) = drawn(tmp_path, result, columns)
    assert "person" not in to_json(result.model_dump()) + result.to_markdown() + plot.read_text(encoding="utf-8")


def test_measure_reads_the_repository_and_writes_its_reports(root: Path) -> None:
    arrived = sample.crossings(400, start="2024-05-01", seed=3)
    (root / "incoming").mkdir()
    arrived.assign(wind=arrived["wind"] + 6).to_parquet(root / "incoming" / "may.parquet", index=False)
    project = Project.find(root)
    result = drift_measure.measure(project)
    assert result.verdict == "drift"
    assert statuses(result)["wind"] == "drift"
    assert (result.new_rows, result.reference.rows) == (400, sample.ROWS)
    assert {path.name for path in project.reports.iterdir()} == {"drift.html", "drift-01.svg"}


def test_measure_uses_the_importance_of_the_columns(calm: Path, tmp_path: Path) -> None:
    root = sample.copy(calm, tmp_path / sample.NAME)
    arrived = sample.crossings(400, start="2024-05-01", seed=3)
    (root / "incoming").mkdir()
    moved = arrived.assign(wind=arrived["wind"] + 6, passengers=arrived["passengers"] + 200)
    moved.to_parquet(root / "incoming" / "may.parquet", index=False)
    project = Project.find(root)
    result = drift_measure.measure(project)
    found = {column.name: column for column in result.columns}
    assert result.verdict == "drift"
    assert found["wind"].importance > 0.5
    assert found["champion's prediction"].status == "drift"
    assert [found[name].decides for name in ("wind", "champion's prediction", "passengers")] == [True, True, False]
    assert result.report_error == ""


def test_the_selftest_is_a_command(
    root: Path, command: Callable[..., sample.CommandResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    completed = command("drift", "--selftest")
    assert (completed.code, completed.document["step"], completed.document["verdict"]) == (0, "drift-selftest", "kept")
    assert (root / "reports" / "drift-selftest.json").is_file()
    assert not (root / "reports" / "drift.json").exists()


def test_measure_takes_only_rows_that_are_new(root: Path) -> None:
    (root / "incoming").mkdir()
    sample.crossings().to_parquet(root / "incoming" / "again.parquet", index=False)
    assert drift_measure.measure(Project.find(root)).verdict == "insufficient_data"
    sample.crossings(300, start="2024-05-01").assign(note="x").to_parquet(
        root / "incoming" / "again.parquet", index=False
    )
    assert drift_measure.measure(Project.find(root)).verdict == "structural"


def test_nothing_arrived_is_no_error(root: Path) -> None:
    (root / "incoming").mkdir()
    result = drift_measure.measure(Project.find(root))

    assert (result.verdict, result.reasons) == ("insufficient_data", ("no new data has arrived yet",))
    assert "no new data has arrived yet" in result.to_markdown()
    assert check_data(Project.find(root), "current").reasons == ("no new data has arrived yet",)


def test_a_champion_of_other_rows_is_no_reference(calm: Path, tmp_path: Path) -> None:
    root = sample.copy(calm, tmp_path / sample.NAME)
    sample.crossings(300, seed=9).to_parquet(root / "data" / "2024-03.parquet", index=False)
    sample.dvc(root, "add", "--quiet", "data")
    (root / "incoming").mkdir()
    sample.crossings(300, start="2024-05-01", seed=8).to_parquet(root / "incoming" / "new.parquet", index=False)

    with pytest.raises(InconclusiveError, match="none of the rows that the champion was trained on"):
        drift_measure.measure(Project.find(root))
