"""The gate with real DVC and git: which models are compared by which rule, which is promoted, what is refused."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import sample
from sample import CommandResult
from states import CHAMPION, LOCK, PARAMS, challenger, digest, fetch_objects, set_champion_by_hand
from titlebout.gate.looks import record_look
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_files import DvcOutput, folder_digest
from titlebout.repository.git import Git
from titlebout.repository.project import Project

Command = Callable[..., CommandResult]


def test_the_first_model_better_than_the_dummy_is_promoted(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"], completed.document["reason"]) == (0, "promote", "first")
    assert completed.document["challenger_score"] < completed.document["dummy_score"]
    assert completed.document["holdout"]["rows"] == 168
    assert json.loads((root / "reports" / "evaluate.json").read_text()) == completed.document
    assert "### Gate: promote" in (root / "reports" / "evaluate.md").read_text()

    promoted = command("promote")
    assert promoted.code == 0
    assert promoted.document["champion"] == digest(root)
    assert sample.git(root, "status", "--porcelain", str(CHAMPION)).startswith("??")
    requested = command("evaluate")
    assert (requested.code, requested.document["promotion_requested"]) == (0, True)


def test_a_first_model_without_proof_needs_a_person(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    sample.edit(root / "titlebout.toml", "[gate]\n", "[gate]\nalpha = 1e-12\n")
    evaluated = command("evaluate")

    assert (evaluated.code, evaluated.document["verdict"]) == (3, "inconclusive")
    assert evaluated.document["reasons"][0].endswith("start with it as it is: `titlebout promote --unproven`")
    assert command("promote").code == 3

    assert command("promote", "--unproven").code == 0
    assert yaml.safe_load((root / CHAMPION).read_text("utf-8"))["meta"]["rule"] == "unproven"
    accepted = command("evaluate", "--only-promotions")
    assert (accepted.code, accepted.document["verdict"], accepted.document["promotion_requested"]) == (
        0,
        "inconclusive",
        True,
    )
    set_champion_by_hand(root, challenger(root))
    sample.edit(root / CHAMPION, "rule: unproven", "rule: first")
    assert command("evaluate", "--only-promotions").code == 3


@pytest.mark.parametrize(("state", "why"), [("better", "there is a champion"), ("worse", "there is a champion")])
def test_only_a_first_model_is_promoted_without_proof(
    state: str, why: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at(state)
    before = (root / CHAMPION).read_bytes()
    command("evaluate")
    refused = command("promote", "--unproven")

    assert (refused.code, (root / CHAMPION).read_bytes()) == (7, before)
    assert why in refused.error["why"]


def test_a_first_model_behind_the_dummy_model_is_never_promoted(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    evaluated = command("evaluate").document
    behind = evaluated | {"verdict": "inconclusive", "over_dummy": evaluated["over_dummy"] | {"gain": -0.001}}
    (root / "reports" / "evaluate.json").write_text(json.dumps(behind), encoding="utf-8")

    assert "not better than the dummy model on average" in command("promote", "--unproven").error["why"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"over_dummy": None, "reasons": ["few rows"]}, "its gain over the dummy model is not known: few rows"),
        ({"guards": [{"name": "size", "status": "failed", "detail": "x"}]}, "these guardrails failed: size"),
    ],
)
def test_an_unknown_gain_or_a_failed_guardrail_is_never_accepted(
    change: dict[str, Any], why: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    evaluated = command("evaluate").document | {"verdict": "inconclusive", **change}
    (root / "reports" / "evaluate.json").write_text(json.dumps(evaluated), encoding="utf-8")

    assert command("promote", "--unproven").error["why"] == why


def test_the_champion_itself_has_nothing_to_prove(at: Callable[[str], Path], command: Command) -> None:
    at("promoted")
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"], completed.document["promotion_requested"]) == (
        0,
        "unchanged",
        False,
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("src/ferries/features.py", "crossings", "crossings  # changed", "../../src/ferries"),
        (str(PARAMS), "seed: 0", "seed: 1", "params.yaml: train"),
        ("data.dvc", "md5: ", "md5: 0", "../../data"),
    ],
)
def test_an_edit_without_a_training_is_not_evaluated(
    file: str, old: str, new: str, named: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("promoted")
    sample.edit(root / file, old, new)
    refused = command("evaluate")

    assert refused.code == 6
    assert named in refused.error["why"]
    assert refused.error["fix"].startswith("run `titlebout train`")


def test_bytecode_and_ignored_files_are_no_change_of_the_code(at: Callable[[str], Path], command: Command) -> None:
    root = at("promoted")
    (root / "src" / "ferries" / "__pycache__").mkdir(exist_ok=True)
    (root / "src" / "ferries" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (root / "src" / "ferries" / "notes.tmp").write_text("x", encoding="utf-8")
    with (root / ".dvcignore").open("a", encoding="utf-8") as file:
        file.write("*.tmp\n")

    assert command("evaluate").document["verdict"] == "unchanged"


def test_a_better_challenger_becomes_the_champion(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("better")
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"], completed.document["reason"]) == (0, "promote", "change")
    assert completed.document["champion"] == digest(states["promoted"])
    assert completed.document["gain_lower"] > 0
    assert not completed.document["promotion_requested"]
    assert command("promote").code == 0
    assert command("evaluate", "--only-promotions").document["promotion_requested"]
    assert sample.git(root, "diff", "--name-only") == str(CHAMPION)


def test_a_former_champion_can_be_promoted_again(
    at: Callable[[str], Path], command: Command, states: dict[str, Path]
) -> None:
    """To roll back, revert the commit: the old champion could not win against the new one on these rows."""
    root = at("better")
    assert command("evaluate").document["verdict"] == "promote"
    assert command("promote").code == 0
    sample.commit(root, "Promotion")
    sample.git(root, "switch", "--quiet", "main")
    sample.git(root, "merge", "--quiet", "--ff-only", "other-model")
    assert command("evaluate").document["verdict"] == "unchanged"
    sample.git(root, "switch", "--quiet", "--create", "roll-back")
    sample.git(root, "revert", "--no-edit", "HEAD", "HEAD~1")
    completed = command("evaluate", "--only-promotions")

    assert (completed.code, completed.document["verdict"], completed.document["reason"]) == (0, "promote", "rollback")
    assert completed.document["challenger"] == digest(states["promoted"])
    assert completed.document["champion"] == digest(states["better"])


def test_a_fresh_clone_fetches_what_the_evaluation_needs(
    cloned: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = cloned("better")
    completed = command("evaluate", "--base", "origin/HEAD~1")

    assert (completed.code, completed.document["verdict"]) == (0, "promote")
    assert completed.document["champion"] == digest(states["promoted"])
    assert folder_digest(root / "data") == Dvc(Project.find(root)).data_output().md5
    assert sample.git(root, "status", "--porcelain") == ""
    assert completed.document["holdout"]["uses"] == 1, "the promotion of the champion restored the budget"


def test_a_worse_challenger_does_not(at: Callable[[str], Path], command: Command) -> None:
    root = at("worse")
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"], completed.document["passed"]) == (11, "keep", False)
    assert completed.document["challenger_score"] > completed.document["champion_score"]
    assert command("evaluate", "--no-fail").code == 0
    assert command("evaluate", "--only-promotions").code == 0

    before = (root / CHAMPION).read_bytes()
    refused = command("promote")
    assert (refused.code, refused.error["what"]) == (11, "the challenger cannot be promoted")
    assert (root / CHAMPION).read_bytes() == before


def test_a_promotion_that_was_not_won_is_refused(at: Callable[[str], Path], command: Command) -> None:
    """The challenger is written into champion.dvc by hand."""
    root = at("worse")
    set_champion_by_hand(root, challenger(root))
    completed = command("evaluate", "--only-promotions")

    assert (completed.code, completed.document["verdict"], completed.document["promotion_requested"]) == (
        11,
        "keep",
        True,
    )


@pytest.mark.parametrize("change", ["another model", "no model"])
def test_a_promotion_of_anything_but_the_challenger_is_refused(
    change: str, at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    if change == "no model":
        (root / CHAMPION).unlink()
    else:
        set_champion_by_hand(root, DvcOutput(f"{'0' * 32}.dir", 1, 4))
    completed = command("evaluate", "--only-promotions")

    assert completed.code == 7
    assert completed.error["what"] == "champion.dvc names a model other than the challenger in dvc.lock"


def test_a_branch_that_is_behind_asks_for_no_promotion(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    """Meanwhile another model was promoted on main: the old champion in this branch is not a request for a promotion."""
    root = at("worse")
    sample.git(root, "switch", "--quiet", "main")
    set_champion_by_hand(root, challenger(states["better"]))
    sample.commit(root, "Another champion")
    sample.git(root, "switch", "--quiet", "other-model")
    behind = command("evaluate")
    assert (behind.code, behind.error["what"]) == (5, "the champion's model cannot be fetched")
    assert "merge the base branch" in behind.error["fix"]  # the objects are in main's dvc-remote

    fetch_objects(root, states["better"])
    completed = command("evaluate", "--only-promotions")

    assert (completed.code, completed.document["verdict"], completed.document["promotion_requested"]) == (
        0,
        "keep",
        False,
    )
    assert completed.document["champion"] == digest(states["better"])


def test_a_verdict_about_an_earlier_model_promotes_nothing(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("better")
    assert command("evaluate").document["verdict"] == "promote"
    fetch_objects(root, states["worse"])
    for name in (LOCK, PARAMS):
        (root / name).write_bytes((states["worse"] / name).read_bytes())
    completed = command("promote")

    assert (completed.code, completed.error["what"]) == (7, "the last evaluation was of a different model")
    assert str(CHAMPION) not in sample.git(root, "diff", "--name-only")


def test_a_champion_that_saw_the_holdout_is_not_compared(at: Callable[[str], Path], command: Command) -> None:
    root = at("promoted")
    sample.edit(root / PARAMS, "holdout_days: 14", "holdout_days: 20")
    trained = command("train")
    assert trained.document["ran"] == ["prepare", "train", "evaluate"]
    completed = command("evaluate")

    assert completed.code == 7
    assert completed.error["what"] == "72 of the 240 holdout rows were used to train the champion"


def test_too_few_rows_decide_nothing(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    sample.edit(root / "titlebout.toml", "min_rows = 100", "min_rows = 169")
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"]) == (3, "inconclusive")
    assert "the holdout has 168 rows, but gate.min_rows is 169" in completed.document["reasons"][0]
    assert command("promote").code == 3


def test_a_first_model_with_few_rows_is_measured_and_can_be_accepted(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("weak")
    sample.edit(root / "titlebout.toml", "min_rows = 100", "min_rows = 169")
    measured = command("evaluate").document

    assert (measured["verdict"], measured["metrics"][0]["name"]) == ("inconclusive", "log_loss")
    assert "| **log\\_loss" in (root / "reports" / "evaluate.md").read_text("utf-8")
    assert measured["over_dummy"]["gain"] > 0
    assert command("promote", "--unproven").code == 0


# --- by which rule


def test_the_reason_chooses_the_rule(at: Callable[[str], Path], command: Command) -> None:
    at("better")
    completed = {reason: command("evaluate", f"--reason={reason}").document for reason in ("drift", "age", "-x; rm")}

    assert {reason: document["rule"] for reason, document in completed.items()} == {
        "drift": "non-inferior-and-ahead",
        "age": "superior",
        "-x; rm": "superior",
    }
    assert completed["-x; rm"]["reason"] == "-x; rm"


def test_an_easier_rule_is_not_for_a_change_of_parameters(at: Callable[[str], Path], command: Command) -> None:
    """champion.dvc says drift, but the branch also changes params.yaml."""
    root = at("better")
    assert command("evaluate", "--reason=drift").document["verdict"] == "promote"
    assert command("promote").code == 0
    assert "reason: drift" in (root / CHAMPION).read_text()
    sample.commit(root, "Promotion")
    completed = command("evaluate", "--only-promotions")

    assert (completed.document["reason"], completed.document["rule"]) == ("change", "superior")


def creeping(root: Path, states: dict[str, Path], command: Command) -> None:
    """Make the better model the champion on main, as after a refresh, and return to the branch of the challenger."""
    sample.git(root, "switch", "--quiet", "main")
    set_champion_by_hand(root, challenger(states["better"]))
    sample.edit(root / CHAMPION, "rule: first", "rule: non-inferior")
    fetch_objects(root, states["better"])
    sample.commit(root, "A refresh")
    sample.git(root, "switch", "--quiet", "other-model")


def test_a_refresh_is_also_compared_with_the_anchor(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("worse")
    creeping(root, states, command)
    fetch_objects(root, states["better"])
    completed = command("evaluate", "--reason=drift")

    assert completed.document["champion"] == digest(states["better"])
    primary = completed.document["metrics"][0]
    assert primary["champion"] < primary["anchor"] < primary["dummy"]
    assert completed.document["over_anchor"]["gain"] == pytest.approx(primary["anchor"] - primary["challenger"])


def test_an_anchor_that_is_gone_promotes_nothing(
    at: Callable[[str], Path], states: dict[str, Path], command: Command
) -> None:
    root = at("better")
    creeping(root, {**states, "better": states["worse"]}, command)
    fetch_objects(root, states["worse"])
    weak = challenger(states["weak"]).md5.removesuffix(".dir")
    for store in ("dvc-remote", ".dvc/cache"):
        (root / store / "files" / "md5" / weak[:2] / f"{weak[2:]}.dir").unlink()
    completed = command("evaluate", "--reason=drift")

    assert (completed.code, completed.document["verdict"]) == (3, "inconclusive")
    assert completed.document["reasons"][0].startswith(
        f"anchor: the anchor {digest(states['weak'])[:12]} cannot be loaded"
    )
    again = ("evaluate", "--from-predictions", "reports/evaluate/predictions.parquet")
    assert command(*again).document == completed.document
    assert command(*again, "--reason=change").document["verdict"] == "promote", "better needs no anchor"


def test_the_same_challenger_is_one_look(at: Callable[[str], Path], command: Command) -> None:
    at("better")
    found = [command("evaluate").document for _ in range(2)]

    assert [(one["holdout"]["uses"], one["alpha"]) for one in found] == [(1, 0.05), (1, 0.05)]


def test_other_challengers_lower_the_level(at: Callable[[str], Path], command: Command) -> None:
    project = Project.find(at("better"))
    git = Git(project.root)
    trained = datetime.fromtimestamp(int(git.output("log", "-1", "--format=%ct", "--", LOCK.as_posix())), UTC)
    for other in ("0" * 32, "1" * 32):
        record_look(project, git, other, trained - timedelta(seconds=1))
    found = command("evaluate").document

    assert (found["holdout"]["uses"], found["alpha"]) == (3, pytest.approx(0.1 / 12))


# --- decided again


def test_kept_answers_are_decided_again_as_they_were_and_under_other_rules(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    before = command("evaluate").document
    kept = "reports/evaluate/predictions.parquet"
    (root / PARAMS.parent / "model" / "model.skops").unlink()
    again = command("evaluate", "--from-predictions", kept).document
    assert again == before

    sample.edit(root / "titlebout.toml", "min_rows = 100", 'min_rows = 100\nrules.age = "non-inferior"')
    by_age = command("evaluate", "--from-predictions", kept, "--reason", "age", "--margin", "0.5").document
    assert (by_age["rule"], by_age["margin"]) == ("non-inferior", 0.5)
    sample.edit(root / "titlebout.toml", "min_rows = 100", 'min_rows = 100\nprimary_metric = "brier"')
    assert command("evaluate", "--from-predictions", kept).document["metric"] == "brier"


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("--from-predictions", "nothing.parquet"), 5, "there are no predictions"),
        (("--from-predictions", "data/2024-03.parquet"), 65, "cannot read the predictions file"),
        (("--margin", "1%"), 2, "--margin can be used only with --from-predictions"),
        (
            ("--from-predictions", "reports/evaluate/predictions.parquet", "--margin", "much"),
            2,
            "'much' is not a valid margin",
        ),
    ],
)
def test_invalid_options_for_saved_predictions_are_errors(
    arguments: tuple[str, ...], code: int, what: str, at: Callable[[str], Path], command: Command
) -> None:
    at("better")
    if "much" in arguments:
        command("evaluate")
    completed = command("evaluate", *arguments)

    assert completed.code == code
    assert what in completed.error["what"]


# --- guards


def test_a_challenger_is_tested_over_http_before_it_is_promoted(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    sample.edit(root / "titlebout.toml", "smoke_test = false", "smoke_test = true")
    completed = command("evaluate")

    assert completed.document["verdict"] == "promote"
    serving = next(guard for guard in completed.document["guards"] if guard["name"] == "serving")
    assert serving["status"] == "passed"
    assert "256 golden rows over HTTP" in serving["detail"]


SKEWED = """
from pathlib import Path

ON_SITE = (Path(__file__).parents[2] / "requirements.lock").is_file()  # true in the repository, false where it serves


"""


def test_a_challenger_that_predicts_differently_when_served_is_rejected(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    features = root / "src" / "ferries" / "features.py"
    sample.edit(features, "\n\ndef add_hour", f"{SKEWED}def add_hour")
    sample.edit(
        features,
        'crossings["departure"].dt.hour',
        '(crossings["departure"].dt.hour if ON_SITE else 0 * crossings["wind"])',
    )
    sample.edit(root / "titlebout.toml", "smoke_test = false", "smoke_test = true")
    assert command("train").code == 0
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"]) == (11, "keep")
    assert completed.document["reasons"][0].startswith("serving: the smoke test of the service failed")


def test_a_model_whose_prediction_depends_on_other_rows_is_rejected(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    features = root / "src" / "ferries" / "features.py"
    sample.edit(
        features, "crossings.assign(hour=", 'crossings.assign(wind=crossings["wind"] - crossings["wind"].mean(), hour='
    )
    assert command("train").code == 0
    completed = command("evaluate")

    assert (completed.code, completed.document["verdict"]) == (11, "keep")
    assert "same answers: predictions depend on batch size" in completed.document["reasons"]


def test_a_slice_that_is_no_column_is_a_mistake_of_the_settings(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    sample.edit(root / "titlebout.toml", 'columns = ["harbour"]', 'columns = ["port"]')
    completed = command("evaluate")

    assert (completed.code, completed.error["what"]) == (2, "the data has no column 'port'")
    assert completed.error["where"] == "titlebout.toml: gate.slices.columns"


# --- a champion that cannot be met


def rewrite_data(root: Path, change: Callable[[object], object]) -> None:
    path = root / "data" / "2024-03.parquet"
    frame = sample.pd.read_parquet(path)
    path.unlink()
    change(frame).to_parquet(path, index=False)
    sample.dvc(root, "add", "--quiet", "data")
    sample.dvc(root, "push", "--quiet")


def test_a_champion_that_needs_another_column_cannot_be_compared(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    rewrite_data(root, lambda frame: frame.drop(columns="passengers"))
    sample.edit(root / "src" / "ferries" / "model.py", '"waves", "passengers", ', '"waves", ')
    sample.edit(root / "expectations" / "ferries.json", '"waves", "passengers", ', '"waves", ')
    assert command("train").code == 0
    completed = command("evaluate")

    assert completed.code == 3
    assert (
        completed.error["what"]
        == "the champion cannot make predictions for the holdout: the data lacks columns that the model needs: passengers"
    )


def test_a_champion_trained_on_rows_after_the_holdout_cannot_be_compared(
    at: Callable[[str], Path], command: Command
) -> None:
    root = at("better")
    rewrite_data(root, lambda frame: frame.head(440).assign(passengers=lambda rows: rows["passengers"] + 1))
    assert command("train").code == 0
    completed = command("evaluate")

    assert completed.code == 3
    assert completed.error["what"] == "the champion was trained on rows newer than the start of the holdout"


def test_a_champion_of_another_task_cannot_be_compared(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    sample.edit(root / PARAMS, "task: classification\n  target: late", "task: regression\n  target: passengers")
    model = root / "src" / "ferries" / "model.py"
    sample.edit(model, '"waves", "passengers", ', '"waves", ')
    sample.edit(model, "import LogisticRegression", "import Ridge")
    sample.edit(model, "LogisticRegression(C=C, random_state=seed)", "Ridge(C, random_state=seed)")
    assert command("train").code == 0
    completed = command("evaluate")

    assert (completed.code, completed.error["what"]) == (3, "the champion was trained for a different task")
    assert "it predicts 'late' (classification)" in completed.error["why"]


# --- metrics and models of one's own, as the how-to pages show them


def blocks(page: str, language: str) -> list[str]:
    text = (Path(__file__).parents[3] / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_a_metric_of_ones_own_decides(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    (root / "src" / "ferries" / "costs.py").write_text(blocks("set-the-rules.md", "python")[0], encoding="utf-8")
    sample.edit(root / "titlebout.toml", "min_rows = 100", 'min_rows = 100\nprimary_metric = "ferries.costs:cost"')
    assert command("train").code == 0
    completed = command("evaluate")

    assert completed.document["metric"] == "ferries.costs:cost"
    assert 0 < completed.document["challenger_score"] < 1
    assert completed.document["metrics"][0]["better"] == "smaller"


def test_a_model_without_scikit_learn_is_compared(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    (root / "src" / "ferries" / "model.py").write_text(blocks("use-your-own-model.md", "python")[0], encoding="utf-8")
    sample.edit(root / PARAMS, "C: 1.0", "column: harbour")
    assert command("train").code == 0
    completed = command("evaluate")

    assert completed.document["verdict"] == "keep"  # the harbour alone says little
    passed = {guard["name"] for guard in completed.document["guards"] if guard["status"] == "passed"}
    assert {"golden rows", "same answers"} <= passed


# --- selftest


def test_the_gate_measures_itself_on_the_last_holdout(at: Callable[[str], Path], command: Command) -> None:
    root = at("better")
    command("evaluate")
    found = command("evaluate", "--selftest").document
    rates = {(one["truth"], one["rule"]): one for one in found["rates"]["rates"]}

    assert (found["step"], found["verdict"]) == ("evaluate-selftest", "kept")
    assert len(rates) == 9
    assert rates["equal", "superior"]["rate"] < 0.1
    assert "### Gate selftest" in (root / "reports" / "evaluate-selftest.md").read_text()
    assert command("evaluate", "--selftest", "--from-predictions", "none.parquet").code == 5


def test_the_report_of_the_first_champion_says_what_to_expect(at: Callable[[str], Path], command: Command) -> None:
    root = at("weak")
    found = command("evaluate").document

    assert {one["truth"] for one in found["rates"]["rates"]} == {"equal", "better", "worse"}
    assert "What to expect of later challengers" in (root / "reports" / "evaluate.md").read_text()
