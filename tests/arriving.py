"""What arrives in the sample repository, and where titlebout.toml says that it does."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

import sample
from titlebout.data.current import CurrentData, read_current
from titlebout.repository.project import Project

ARRIVED = sample.crossings(300, start="2024-04-20", seed=3)  # the tracked rows end on that day


def current(project: Project) -> CurrentData:
    """Read current data of which nothing is tracked yet, so that its own values decide the types."""
    return read_current(project, pd.DataFrame(columns=[*ARRIVED.columns, "id"]))


def configure(root: Path, address: str, **sources: Any) -> Project:
    """Say in titlebout.toml where current data is."""
    path = root / "titlebout.toml"
    text = path.read_text(encoding="utf-8").partition("\n[drift]")[0]
    text += f"\n[drift]\ncurrent = {json.dumps(address)}\n\n[sources]\n"
    path.write_text(text + "".join(f"{k} = {json.dumps(v)}\n" for k, v in sources.items()), encoding="utf-8")
    return Project.find(root)


def same_rows(found: pd.DataFrame, expected: pd.DataFrame = ARRIVED) -> None:
    """Compare values, whatever a source keeps them as."""
    assert set(found.columns) == set(expected.columns)
    pd.testing.assert_frame_equal(
        found[list(expected.columns)].sort_values("departure", ignore_index=True),
        expected.sort_values("departure", ignore_index=True),
        check_dtype=False,
    )
