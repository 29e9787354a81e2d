"""What changed since the champion was trained, for the reviewer of a retrain pull request."""

from collections.abc import Iterator

import pandas as pd

from titlebout.core.markdown import escape
from titlebout.core.results import read_json
from titlebout.data.columns import timestamps
from titlebout.models.champion import champion_in_work_tree, was_champion
from titlebout.repository.dvc_files import changed_inputs
from titlebout.repository.git import Git
from titlebout.repository.project import Project

_EXPECTED = ("../../data", "reports/split.json")  # dependencies that every retraining changes


def describe_changes(work: Project, git: Git, new_rows: pd.DataFrame) -> str:
    """Return a list of what is new: rows and their period, what the model was trained on, and code or parameters.

    Parameters
    ----------
    work : Project
        The project with the trained challenger.
    git : Git
        Repository with the history of the champion.
    new_rows : DataFrame of shape (n_rows, n_columns)
        Rows that the retraining added.
    """
    return "\n".join(f"- {line}" for line in _lines(work, git, new_rows))


def _lines(work: Project, git: Git, new_rows: pd.DataFrame) -> Iterator[str]:
    split = read_json(work.stage_reports / "split.json")
    held_out = split["holdout_rows"]
    total = split["train_rows"] + (0 if "folds" in split else held_out)
    yield f"**Data**: {len(new_rows):,} rows more{_period(new_rows, work.params.data.time)}, {total:,} in all"
    days = read_json(work.stage_reports / "metrics.json").get("window_days", 0)
    window = f" of the last {days} days" if days else ""
    where = (
        f"all {split['train_rows']:,} rows{window}; the holdout is predicted by {split['folds']} models trained without it"
        if "folds" in split
        else f"{split['train_rows']:,} rows{window}, without the {held_out:,} of the holdout"
    )
    yield f"**Trained on** {where}"
    changed = _changed_since(work, git)
    if changed is not None:
        code = ", ".join(map(escape, changed)) + " changed" if changed else "unchanged"
        yield f"**Code, parameters and packages** since the champion was trained: {code}"


def _period(rows: pd.DataFrame, time: str) -> str:
    if not time or rows.empty:
        return ""
    stamps = timestamps(rows, time)
    return f", {stamps.min():%Y-%m-%d} to {stamps.max():%Y-%m-%d}"


def _changed_since(work: Project, git: Git) -> tuple[str, ...] | None:
    """Return the code and parameters that differ from those of the champion's training; None if these are not known."""
    champion = champion_in_work_tree(work)
    commit = was_champion(work, git, "HEAD", champion.output) if champion else None
    lock = git.show(commit, git.path_of(work.pipeline_dir / "dvc.lock")) if commit else None
    if lock is None:
        return None
    inputs = changed_inputs(lock, work.pipeline_dir, {})
    return tuple(name.removeprefix("../../") for name in inputs if name not in _EXPECTED)
