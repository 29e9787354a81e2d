"""The index of a table that pandas wrote to a Parquet file."""

import pandas as pd

from titlebout.core.errors import DataError


def index_as_columns(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table of a Parquet file with the index that pandas wrote as columns, and with names of text.

    An index without a name whose whole numbers differ, or count from 0 in each of several parts, is what pandas leaves after rows
    were filtered, shuffled or joined; it is left out, with a note, and so is an index that repeats a column.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    where : str
        Path of the file, for messages.

    Returns
    -------
    frame : DataFrame
    notes : tuple of str
        What was left out, for the user.

    Raises
    ------
    DataError
        If the index has the name of a column with other values.
    """
    frame.columns = pd.Index([_column_name(name) for name in frame.columns], dtype=object)
    index = frame.index
    if isinstance(index, pd.RangeIndex) and index.name is None:
        return frame, ()
    unnamed = index.nlevels == 1 and index.name is None
    if unnamed and pd.api.types.is_integer_dtype(index.dtype) and _are_row_numbers(index):
        return frame.reset_index(drop=True), ("the row numbers that pandas stored in the file are left out",)
    names = [
        "index" if name is None and unnamed else f"level_{at}" if name is None else name
        for at, name in enumerate(index.names)
    ]
    if unnamed and "index" in frame.columns:
        names = ["level_0"]
    repeated = [name for name in names if name in frame.columns]
    for name in repeated:
        if not pd.Series(index.get_level_values(names.index(name))).equals(frame[name].reset_index(drop=True)):
            raise DataError(
                f"the index and a column are both named {name!r}",
                where=where,
                fix="rename one of them, or write the file without its index: to_parquet(..., index=False)",
            )
        frame = frame.drop(columns=name)
    notes = tuple(f"the index repeats the column {name!r}" for name in repeated)
    return frame.reset_index(names=names), notes


def _column_name(name: object) -> str:
    """Return a column's name as text: pandas writes numbers, and several levels as a tuple."""
    return ".".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _are_row_numbers(index: pd.Index) -> bool:
    numbers = index.to_numpy()
    return bool(index.is_unique or ((numbers[1:] == numbers[:-1] + 1) | (numbers[1:] == 0)).all())
