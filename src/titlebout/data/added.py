"""Files that a retraining adds to the tracked data, and the arrived files that they have taken in.

Arrived files stay where they are. An added file lists the hashes of those whose rows all became tracked rows, so that later runs
do not read them again. A file that is changed has another hash, and is read.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from titlebout.data.schema import Schema
from titlebout.data.tables import as_types, find_tables, read_raw, table_suffix

# In the metadata of a Parquet file.
_ADDED, _TAKEN_IN = b"titlebout.added", b"titlebout.taken_in"


def write_added(rows: pd.DataFrame, path: Path, taken_in: Iterable[str] = ()) -> None:
    """Write rows of current data as a Parquet file that is marked as added by a retraining.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
    path : Path
    taken_in : iterable of str
        SHA-256 of the files whose rows are all tracked with this file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(rows, preserve_index=False)
    marks = {_ADDED: b"true", _TAKEN_IN: json.dumps(sorted(taken_in)).encode()}
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **marks}), path, compression="zstd")


def read_added(root: Path, pattern: str, schema: Schema) -> pd.DataFrame:
    """Read the files that :func:`write_added` wrote; without rows if there are none. Raises the errors of :func:`read_tables`."""
    added = [path for path, _ in _added(root, pattern)]
    return (
        as_types([read_raw(path) for path in added], schema)[0] if added else pd.DataFrame(columns=list(schema.types))
    )


def read_taken_in(data_dir: Path) -> frozenset[str]:
    """Return the SHA-256 of the files that the tracked data in a folder has taken in."""
    return frozenset(
        digest
        for _, marks in _added(data_dir.parent, data_dir.name)
        for digest in json.loads(marks.get(_TAKEN_IN, b"[]"))
    )


def _added(root: Path, pattern: str) -> Iterator[tuple[Path, dict[bytes, bytes]]]:
    """Yield the added files, with their metadata."""
    import pyarrow.parquet as pq

    for path in find_tables(root, pattern):
        if table_suffix(path) == ".parquet":
            marks = pq.read_schema(path).metadata or {}
            if _ADDED in marks:
                yield path, marks
