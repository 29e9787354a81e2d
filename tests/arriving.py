"""What arrives in the sample repository, and where titlebout.toml says that it does."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

import sample
from titlebout.repository.project import Project

ARRIVED = sample.crossings(300, start="2024-04-20", seed=3)  # the tracked rows end on that day


def configure(root: Path, current: str, **sources: Any) -> Project:
    """Say in titlebout.toml where current data is."""
    path = root / "titlebout.toml"
    text = path.read_text(encoding="utf-8").partition("\n[drift]")[0]
    text += f"\n[drift]\ncurrent = {json.dumps(current)}\n\n[sources]\n"
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
