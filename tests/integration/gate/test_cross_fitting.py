"""Cross-fitting with real DVC and git: all rows train the model, and every evaluation uses held-out predictions for them."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

import sample
from sample import CommandResult
from states import PARAMS, with_regularisation

Command = Callable[..., CommandResult]
SPLITS = {"hash": {"by": "hash", "folds": 3}, "time": {"by": "time", "holdout_days": 20, "folds": 3}}
MODEL = Path("pipelines") / "ferries" / "model"


def set_split(root: Path, options: dict[str, object]) -> None:
    document = yaml.safe_load((root / PARAMS).read_text("utf-8"))
    document["split"] = options
    (root / PARAMS).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


@pytest.fixture(params=SPLITS)
def champion(request: pytest.FixtureRequest, root: Path, command: Command) -> tuple[Path, CommandResult]:
    """A repository with a champion that was trained on all rows, and the result of its evaluation."""
    set_split(root, SPLITS[request.param])
    assert command("train").code == 0
    evaluated = command("evaluate")
    assert evaluated.document["verdict"] == "promote", evaluated
    assert command("promote").code == 0
    sample.commit(root, "First champion")
    return root, evaluated


def test_a_champion_keeps_its_score_although_it_has_seen_all_rows(
    champion: tuple[Path, CommandResult], command: Command
) -> None:
    root, first = champion
    stored = pd.read_parquet(root / MODEL / "rows.parquet")

    assert len(stored) == 600
    assert len(stored.dropna()) == first.document["holdout"]["rows"]
    with_regularisation(root, "0.01")
    second = command("evaluate").document
    assert second["champion_score"] == pytest.approx(first.document["challenger_score"])
    assert second["holdout"]["fingerprint"] == first.document["holdout"]["fingerprint"]


def test_rows_that_arrive_later_are_predicted_by_the_champion_itself(
    champion: tuple[Path, CommandResult], command: Command
) -> None:
    root, first = champion
    sample.arrives(root, "later.csv", sample.crossings(150, start="2024-04-20", seed=1))
    sample.commit(root, "Rows arrived")
    assert command("check-data", "--on", "current").code == 0
    assert command("drift", "--no-fail").code == 0
    measured = command("decide", "--no-fail").document
    attempt = command("retrain", "--reason", "schedule", "--no-fail")

    assert "promotion holdout is not in" not in str(measured), "decay compares with the held-out predictions"
    assert attempt.code == 0, attempt
    evaluated = json.loads((root / "reports" / "evaluate.json").read_text("utf-8"))
    assert evaluated["holdout"]["rows"] == {600: 750, 240: 240}[first.document["holdout"]["rows"]]
    assert abs(evaluated["champion_score"] - first.document["challenger_score"]) < 0.1


def test_folds_are_not_introduced_while_a_champion_has_seen_the_rows(root: Path, command: Command) -> None:
    command("train")
    command("evaluate")
    command("promote")
    sample.commit(root, "First champion")
    set_split(root, SPLITS["hash"])
    command("train")

    refused = command("evaluate")
    assert refused.code == 7
    assert "holdout rows were used to train the champion" in refused.error["what"]


def test_a_held_out_prediction_that_is_not_finite_is_named(root: Path, command: Command) -> None:
    """It is stored as a missing one, so that the gate would take the row for one that the model has seen."""
    set_split(root, SPLITS["hash"])
    broken = """

class Broken(LogisticRegression):
    def predict_proba(self, X):
        found = super().predict_proba(X)
        found[0] = float("nan")
        return found


def build_model("""
    model = root / "src" / "ferries" / "model.py"
    sample.edit(model, "def build_model(", broken.lstrip("\n"))
    sample.edit(model, "columns, LogisticRegression(", "columns, Broken(")

    refused = command("train")

    assert (refused.code, refused.error["what"]) == (65, "3 of 600 predictions are not finite")
    assert "held-out rows" in refused.error["where"]
    assert not (root / MODEL).exists()
