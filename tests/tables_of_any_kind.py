"""Small tables with a column of every kind, for properties that hold in every format."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from titlebout.data.schema import Schema
from titlebout.data.tables import read_table
from titlebout.settings.column_type import ColumnType

WORDS = st.none() | st.sampled_from(
    ["NA", "null", "nan", "02134", "1.0", "true", "2025-01-01", "Ålesund", "a,b", 'say "x"']
)
MOMENTS = st.none() | st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 - UTC
TABLES = st.lists(
    st.fixed_dictionaries(
        {
            "row": st.integers(0, 9),
            "word": WORDS,
            "label": st.none() | st.sampled_from([0, 1]),
            "identifier": st.integers(10**17, 2**63 - 1),
            "number": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=64),
            "flag": st.none() | st.booleans(),
            "moment": MOMENTS,
        }
    ),
    min_size=1,
    max_size=8,
)
TYPES = {
    "row": "integer",
    "word": "text",
    "label": "integer",
    "identifier": "integer",
    "number": "number",
    "flag": "boolean",
    "moment": "datetime",
}
SCHEMA = Schema({name: ColumnType(kind) for name, kind in TYPES.items()})
Rows = list[dict[str, Any]]


def as_jsonl(rows: Rows, folder: Path) -> pd.DataFrame:
    lines = [json.dumps(row, default=str) for row in rows]
    (folder / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return read_table(folder / "t.jsonl", SCHEMA)
