"""`decide` on real data, with a real champion and attempt log."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm, ttest_ind

import sample
from fakes.github_server import GithubServer
from sample import CommandResult
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ExitCode
from titlebout.core.names import REASONS
from titlebout.core.results import parse_result, to_json
from titlebout.data.moment import Moment
from titlebout.data.new_rows import NewRowsRule, select_new_rows
from titlebout.data.tables import read_tables
from titlebout.metrics.inference import Dependence, Difference, from_influence
from titlebout.models.champion import champion_in_work_tree
from titlebout.models.loading import load_project_model
from titlebout.policy import attempts
from titlebout.policy.measurements import decayed_at
from titlebout.policy.performance import SLOW_FACTOR, decay, increase, promotion_holdout
from titlebout.policy.rules import Attempt
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.retraining import decide as retraining_decide
from titlebout.retraining.decide import DecideResult

Command = Callable[..., CommandResult]
CHAMPION = Path("pipelines/ferries/champion.dvc")
LOG, NEW = "refs/titlebout/log/ferries", "0" * 32 + ".dir"
END = "2024-04-19T22:00:00+00:00"  # of the sample's data


@pytest.fixture
def here(calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = sample.copy(calm, tmp_path / sample.NAME)
    (root / "incoming").mkdir()
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GithubServer]:
    with GithubServer("acme/ferries") as server:
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/ferries")
        monkeypatch.setenv("TITLEBOUT_TOKEN", "secret-token")
        yield server
        assert server.violations == []


def stormy(frame: pd.DataFrame) -> pd.DataFrame:
    late = frame["late"] | (np.random.default_rng(1).random(len(frame)) < 0.6)
    return frame.assign(late=late.astype("int64"))


def windy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(wind=frame["wind"] + 4)


def arrive(root: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(root / "incoming" / "2024-05.parquet", index=False)


def crossings(rows: int = 620) -> pd.DataFrame:
    return sample.crossings(rows, start="2024-04-20", seed=5)


def looked(command: Command) -> None:
    """Run the two steps before the decision."""
    if command("check-data", "--on", "current", "--no-fail").document["passed"]:
        command("drift", "--no-fail")


def decided(command: Command, *options: str) -> Any:
    output = command("decide", *options)
    document = output.document
    assert output.code == (ExitCode.DATA_REFUSED if document["action"] == "stop" else ExitCode.OK)
    assert sorted(entry["name"] for entry in document["triggers"]) == sorted(["data", "renewal", *REASONS])
    assert json.loads(Path("reports/decide.json").read_text("utf-8")) == document
    assert Path("reports/decide.md").read_text("utf-8").startswith("### Decision: ")
    return document


def champion_name(root: Path) -> str:
    champion = champion_in_work_tree(Project.find(root))
    assert champion is not None
    return champion.name


def trigger(document: Any, name: str) -> Any:
    return next(entry for entry in document["triggers"] if entry["name"] == name)


def test_performance_decay_starts_an_attempt(here: Path, command: Command) -> None:
    arrive(here, stormy(crossings()))
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"]) == ("attempt", "perf_decay")
    assert document["note"].startswith("log loss 0.")
    assert document["note"].endswith("on 336 new labels")
    assert trigger(document, "perf_decay")["value"] > 4
    assert document["new_rows"] == 620
    assert document["at"] == "2024-06-10T14:00:00+00:00"


def test_the_loss_is_compared_with_that_of_its_promotion(here: Path, command: Command) -> None:
    arrive(here, stormy(crossings()))
    looked(command)
    before = json.loads((here / "reports" / "evaluate.json").read_text("utf-8"))["challenger_score"]

    assert f"log loss {before:.3g} →" in decided(command)["note"]


def test_an_open_pull_request_is_renewed_on_newer_data(here: Path, command: Command, github: GithubServer) -> None:
    arrive(here, crossings())
    looked(command)
    held = champion_name(here)
    won = Attempt(Moment.parse("2024-06-09T14:00:00+00:00"), "age", "won", held, "abc123")
    attempts.append_attempt(Git(here), "ferries", won)
    pull = github.repository.add_pull("retrain/ferries", "main", body="<!-- titlebout: evidence abc123 -->\nIt won.")

    shown = decided(command, "--forge", "github")
    assert (shown["action"], shown["reason"]) == ("attempt", "age")
    assert shown["note"] == "the open pull request is based on data up to 2024-06-09"

    attempts.append_attempt(
        Git(here), "ferries", Attempt(Moment.parse("2024-06-10T14:00:00+00:00"), "age", "lost", held, "def456")
    )
    assert trigger(decided(command, "--forge", "github"), "renewal")["detail"].startswith(
        "a later attempt was unsuccessful"
    )

    github.repository.close_pull(pull["number"])
    assert trigger(decided(command, "--forge", "github"), "renewal")["detail"] == "no open retrain pull request"


def test_without_a_forge_an_unmerged_branch_counts_as_open(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)
    champion = champion_in_work_tree(Project.find(here))
    assert champion is not None
    attempts.append_attempt(
        Git(here), "ferries", Attempt(Moment.parse("2024-06-09T14:00:00+00:00"), "age", "won", champion.name, "abc123")
    )
    held = champion.output.md5
    sample.git(here, "checkout", "--quiet", "-b", "retrain/ferries")
    sample.edit(here / CHAMPION, held, NEW)
    sample.git(here, "commit", "--quiet", "--all", "-m", "Retrain\n\nTitlebout-Retrain: age\nTitlebout-Inputs: abc123")
    sample.git(here, "checkout", "--quiet", "main")

    assert (decided(command)["action"], decided(command)["reason"]) == ("attempt", "age")
    sample.git(here, "merge", "--quiet", "--squash", "retrain/ferries")
    sample.commit(here, "Merged")
    sample.edit(here / CHAMPION, NEW, held)
    sample.commit(here, "Rolled back")
    merged = retraining_decide._open_attempt(
        Project.find(here), Git(here), None, attempts.read(Git(here), LOG).attempts
    )
    assert merged is None, "a model that was the champion is not proposed any more"
    sample.git(here, "branch", "--quiet", "-D", "retrain/ferries")
    assert trigger(decided(command), "renewal")["detail"] == "no open retrain pull request"


def test_refused_data_opens_one_issue_that_stays_closed(here: Path, command: Command, github: GithubServer) -> None:
    arrive(here, crossings().assign(wind="strong <b>@team</b>"))
    looked(command)
    assert decided(command, "--forge", "github")["action"] == "stop"
    reports = (here / "reports").rename(here / "from-another-job")
    publish = ("decide", "--from-reports", str(reports), "--forge", "github")

    output = command(*publish)
    assert (output.code, output.document["reasons"][1]) == (ExitCode.DATA_REFUSED, "issue 1 was created")
    (issue,) = github.repository.issues
    assert issue["title"] == "Data for ferries was refused"
    assert output.document["url"] == issue["html_url"]
    assert "'wind'" in issue["body"]
    assert "<b>" not in issue["body"]

    assert command(*publish).document["reasons"][1] == "issue 1 was unchanged"
    issue["state"] = "closed"
    assert command(*publish).document["reasons"][1] == "issue 1 was unchanged"
    assert issue["state"] == "closed"


def test_other_decisions_are_not_published(here: Path, command: Command, github: GithubServer) -> None:
    arrive(here, crossings())
    looked(command)
    decided(command)

    output = command("decide", "--from-reports", str(here / "reports"), "--forge", "github")

    assert (output.code, output.document["action"]) == (ExitCode.OK, "nothing")
    assert github.calls == []


def test_from_reports_needs_a_forge(here: Path, command: Command) -> None:
    assert command("decide", "--from-reports", "reports").code == ExitCode.USAGE


def test_quiet_data_starts_nothing(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"], document["note"]) == ("nothing", "", "")
    assert abs(trigger(document, "perf_decay")["value"]) < 2.33
    assert trigger(document, "age")["value"] == pytest.approx(7.4, abs=0.05)
    assert trigger(document, "age")["distance"] < 0
    assert document["log_problem"] == "there is no attempt log yet"


def test_nothing_has_arrived_yet(here: Path, command: Command) -> None:
    looked(command)

    document = decided(command)

    assert (document["action"], document["new_rows"], document["at"]) == ("nothing", 0, END)
    assert trigger(document, "drift")["detail"] == "no new data has arrived yet"


def test_drift_of_a_column_that_hardly_matters_to_the_champion_starts_nothing(here: Path, command: Command) -> None:
    arrive(here, crossings(240).assign(passengers=lambda rows: rows["passengers"] + 100))
    looked(command)
    statuses = {
        one["name"]: one["status"] for one in json.loads(Path("reports/drift.json").read_text("utf-8"))["columns"]
    }

    document = decided(command)

    assert statuses["passengers"] == "drift"
    assert (document["action"], trigger(document, "drift")["value"]) == ("nothing", 0)


def test_drift_without_labels_waits_for_them(here: Path, command: Command) -> None:
    arrive(here, windy(crossings()).drop(columns="late"))
    looked(command)

    document = decided(command)

    assert document["action"] == "wait"
    assert document["reasons"] == ["drift, but too few rows: 0 new labeled rows, at least 50 are needed"]
    assert trigger(document, "perf_decay")["value"] is None


def test_drift_starts_an_attempt_once_per_cool_down(here: Path, command: Command) -> None:
    arrive(here, windy(crossings(240)))
    looked(command)
    first = decided(command)
    assert (first["action"], first["reason"], first["note"]) == ("attempt", "drift", "in champion's prediction, wind")
    tried = Attempt(Moment.parse(first["at"]), "drift", "lost", first["champion"], "abc")
    attempts.append_attempt(Git(here), "ferries", tried)

    second = decided(command)

    assert second["action"] == "wait"
    assert second["attempts"] == 1
    assert trigger(second, "drift")["until"] == "2024-06-06T22:00:00+00:00"
    assert "cool-down until 2024-06-06 after the attempt of" in Path("reports/decide.md").read_text("utf-8")


def test_attempts_of_another_clone_are_read_from_origin(here: Path, command: Command, tmp_path: Path) -> None:
    arrive(here, windy(crossings(240)))
    looked(command)
    first = decided(command)
    sample.git(tmp_path, "clone", "--quiet", "--bare", str(here), "origin.git")
    sample.git(tmp_path, "clone", "--quiet", "origin.git", "other")
    sample.git(here, "remote", "add", "origin", str(tmp_path / "origin.git"))
    other = Git(tmp_path / "other")
    attempts.append_attempt(
        other, "ferries", Attempt(Moment.parse(first["at"]), "drift", "lost", first["champion"], "abc")
    )
    assert decided(command)["action"] == "attempt"

    attempts.push_attempts(other, "ferries", attempts.log_ref("ferries"))

    assert decided(command)["action"] == "wait"


def test_a_manual_request_has_no_cool_down(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)

    document = decided(command, "--manual")

    assert (document["action"], document["reason"]) == ("attempt", "manual")


def test_data_that_has_grown_starts_an_attempt(here: Path, command: Command) -> None:
    sample.edit(here / "titlebout.toml", "volume_growth = 0", "volume_growth = 0.25")
    arrive(here, crossings())
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"]) == ("attempt", "volume")
    assert "more than at the training of the champion" in document["note"]


def test_the_schedule_trigger_depends_on_the_policy(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)
    assert decided(command, "--schedule")["action"] == "nothing"
    sample.edit(here / "titlebout.toml", "[policy]", "[policy]\nschedule = true")

    document = decided(command, "--schedule")

    assert (document["action"], document["reason"]) == ("attempt", "schedule")


def test_refused_data_stops_the_loop_and_is_recorded(here: Path, command: Command) -> None:
    arrive(here, stormy(crossings()).rename(columns={"wind": "breeze"}))
    looked(command)

    document = decided(command)

    assert (document["action"], document["passed"]) == ("stop", False)
    assert "the data is refused: " in document["reasons"][0]
    assert trigger(document, "data")["fired"]
    assert command("decide", "--no-fail").code == ExitCode.OK


def test_changed_columns_stop_the_loop_even_if_the_suite_passes(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)
    report = here / "reports" / "drift.json"
    found = json.loads(report.read_text("utf-8"))
    report.write_text(json.dumps(found | {"verdict": "structural", "reasons": ["column 'wind': is missing"]}))

    assert decided(command)["action"] == "stop"


def test_a_step_that_was_not_run_is_an_error(here: Path, command: Command) -> None:
    output = command("decide")
    assert (output.code, output.error["what"]) == (ExitCode.NOT_FOUND, "check-data.json does not exist")

    command("check-data", "--on", "current")
    output = command("decide")
    assert (output.code, output.error["what"]) == (ExitCode.NOT_FOUND, "drift.json does not exist")


def test_a_check_of_the_tracked_data_is_a_conflict(here: Path, command: Command) -> None:
    command("check-data", "--on", "tracked")

    output = command("decide")

    assert output.code == ExitCode.CONFLICT
    assert "--on current" in output.error["fix"]


def change_champion(root: Path, **meta: Any) -> None:
    document = yaml.safe_load((root / CHAMPION).read_text("utf-8"))
    document["meta"] |= meta
    (root / CHAMPION).write_text(yaml.safe_dump(document), encoding="utf-8")
    sample.commit(root, "Another story of the champion")


def test_decay_needs_the_exact_promotion_holdout(here: Path, command: Command) -> None:
    held = yaml.safe_load((here / CHAMPION).read_text("utf-8"))["meta"]["holdout"]
    change_champion(here, holdout=held | {"fingerprint": "0" * 64})
    arrive(here, stormy(crossings()))
    looked(command)

    document = decided(command)

    assert trigger(document, "perf_decay")["value"] is None
    assert "not in the tracked data any more" in trigger(document, "perf_decay")["detail"]


def test_a_failing_champion_leaves_the_other_triggers_measured(here: Path, command: Command) -> None:
    arrive(here, windy(stormy(crossings())))
    sample.edit(here / "src/ferries/features.py", "return crossings", "raise KeyError('hour')\n    return crossings")
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"]) == ("attempt", "drift")
    assert "cannot predict the new rows" in trigger(document, "perf_decay")["detail"]


def test_a_promotion_after_decay_is_followed_up(here: Path, command: Command) -> None:
    change_champion(here, reason="perf_decay")
    change_champion(here, reason="follow_up")
    arrive(here, crossings())
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"]) == ("attempt", "follow_up")
    assert trigger(document, "follow_up")["threshold"] == 4


def test_follow_ups_count_from_the_data_time_of_the_attempt(here: Path) -> None:
    champion = champion_in_work_tree(Project.find(here))
    won = Attempt(Moment.parse("2024-05-17T22:00:00+00:00"), "perf_decay", "won")

    assert str(decayed_at(champion, ())) == END  # the newest label it won on: the log is lost
    assert decayed_at(champion, (won, Attempt(Moment.parse("2024-05-18T22:00:00+00:00"), "drift", "won"))) == won.at
    assert not decayed_at(None, (won,))


def test_a_champion_for_another_reason_ends_the_follow_ups(here: Path, command: Command) -> None:
    change_champion(here, reason="perf_decay")
    change_champion(here, reason="change")
    arrive(here, crossings())
    looked(command)

    assert trigger(decided(command), "follow_up")["value"] is None


def test_without_a_champion_drift_alone_decides(here: Path, command: Command) -> None:
    (here / CHAMPION).unlink()
    arrive(here, windy(crossings()))
    looked(command)

    document = decided(command)

    assert (document["action"], document["reason"], document["champion"]) == ("attempt", "drift", "")
    assert trigger(document, "perf_decay")["detail"] == "there is no champion"


def test_names_from_the_data_are_escaped_in_the_report(here: Path, command: Command) -> None:
    arrive(here, crossings())
    looked(command)
    report = here / "reports" / "drift.json"
    found = json.loads(report.read_text("utf-8"))
    columns = [found["columns"][0] | {"name": "<img src=x> | @all", "status": "drift"}]
    report.write_text(json.dumps(found | {"verdict": "drift", "columns": columns}))

    decided(command)

    shown = Path("reports/decide.md").read_text("utf-8")
    assert "<img" not in shown.replace("\\<img", "")
    assert "@all" not in shown


def test_the_same_data_and_attempts_give_the_same_record(here: Path, command: Command) -> None:
    arrive(here, stormy(crossings()))
    looked(command)

    assert decided(command) == decided(command)


def test_a_result_is_read_back_and_rendered(here: Path) -> None:
    result = DecideResult(passed=True, reasons=("no trigger fires",), action="nothing", at=Moment(12000))

    again = parse_result(to_json(result.model_dump()), DecideResult, "here")

    assert again == result
    assert "Data time: 12,000 rows." in again.to_markdown()


def mean_of(values: FloatArray, times: FloatArray | None = None) -> Difference:
    return from_influence(float(values.mean()), values - values.mean(), Dependence(times, slow_factor=SLOW_FACTOR))


def test_for_independent_rows_the_z_score_is_that_of_welchs_t() -> None:
    random = np.random.default_rng(0)
    before, now = random.exponential(1, 400), random.exponential(1.3, 300)
    found = increase(mean_of(before), mean_of(now))
    assert norm.sf(found) == pytest.approx(ttest_ind(now, before, equal_var=False, alternative="greater").pvalue)
    assert increase(mean_of(now), mean_of(before)) == pytest.approx(-found)
    assert increase(mean_of(np.ones(5)), mean_of(np.ones(5))) == 0
    assert increase(mean_of(np.ones(50)), mean_of(np.full(50, 2.0))) > 20


def test_a_few_difficult_days_are_no_decay() -> None:
    random = np.random.default_rng(1)
    days = [np.repeat(np.arange(many), 100) for many in (14, 28)]
    before, now = (random.exponential(np.exp(random.normal(0, 0.3, 28))[day]) for day in days)
    now = now * before.mean() / now.mean() * 1.15
    assert increase(mean_of(before), mean_of(now)) > 3
    assert increase(mean_of(before, days[0]), mean_of(now, days[1])) < 2


def test_unchanged_data_rarely_looks_like_decay(here: Path) -> None:
    """Twelve batches without change; the threshold of 3 has a false alarm rate of 0.13%."""
    project = Project.find(here)
    fired = 0
    Dvc(project).pull_data()
    known, champion = read_tables(here, "data"), champion_in_work_tree(project)
    model = load_project_model(project, Dvc(project).pull_model("champion"))
    assert champion is not None
    won_on = promotion_holdout(project, champion, model, known)
    for seed in range(100, 112):
        rows = select_new_rows(
            sample.crossings(400, start="2024-04-20", seed=seed), known, NewRowsRule("departure", "late")
        ).rows
        reading = decay(model, won_on, rows, project.params, project.settings.policy)
        assert reading.value is not None
        fired += reading.value >= 2.33
    assert fired <= 1
