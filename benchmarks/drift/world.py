"""The world that drift rules are measured in: tables of mixed columns whose truth is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.drift.alignment import Pair

Random = np.random.Generator
Array = npt.NDArray[np.float64]
SHIFTED = "c0_normal"  # the column that scenarios move
TARGET = "label"
ROWS_PER_GROUP = 10


@dataclass(frozen=True)
class Kind:
    """A kind of column: how it is drawn, and whether its numbers are names of levels."""

    name: str
    draw: Callable[[Random, int], Array]
    levels: bool = False


def _zipf(levels: int) -> Callable[[Random, int], Array]:
    edges = np.cumsum(1 / np.arange(1, levels + 1))
    return lambda random, rows: np.searchsorted(edges / edges[-1], random.random(rows)).astype(np.float64)


def _gaps(share: float, draw: Callable[[Random, int], Array]) -> Callable[[Random, int], Array]:
    return lambda random, rows: np.where(random.random(rows) < share, np.nan, draw(random, rows))


def _bimodal(random: Random, rows: int) -> Array:
    return random.normal(np.where(random.random(rows) < 0.4, -2, 2), 1)


KINDS = (
    Kind("normal", lambda random, rows: random.normal(size=rows)),
    Kind("lognormal", lambda random, rows: random.lognormal(size=rows)),
    Kind("counts", lambda random, rows: random.poisson(3, rows).astype(np.float64)),
    Kind("ten_levels", _zipf(10), levels=True),
    Kind("uniform", lambda random, rows: random.random(rows)),
    Kind("heavy_tails", lambda random, rows: random.standard_t(3, rows)),
    Kind("two_peaks", _bimodal),
    Kind("waiting_times", lambda random, rows: random.gamma(2, 1, rows)),
    Kind("prices", lambda random, rows: np.round(random.exponential(20, rows), 1)),
    Kind("gaps", _gaps(0.2, lambda random, rows: random.normal(size=rows))),
    Kind("tiny", lambda random, rows: random.normal(2e-5, 1e-6, rows)),
    Kind("mostly_zero", lambda random, rows: np.where(random.random(rows) < 0.9, 0, random.gamma(2, 1, rows))),
    Kind("weekday", lambda random, rows: random.integers(1, 8, rows).astype(np.float64)),
    Kind("yes_no", lambda random, rows: (random.random(rows) < 0.3).astype(np.float64), levels=True),
    Kind("three_levels", _zipf(3), levels=True),
    Kind("twenty_levels", _zipf(20), levels=True),
    Kind("fifty_levels", _zipf(50), levels=True),
    Kind("many_levels", _zipf(300), levels=True),
    Kind("levels_with_gaps", _gaps(0.3, _zipf(5)), levels=True),
)
LABEL = Kind(TARGET, lambda random, rows: (random.random(rows) < 0.2).astype(np.float64), levels=True)


def kinds(columns: int) -> Iterator[tuple[str, Kind]]:
    """Yield names and kinds of this many columns; the last one is the label."""
    for position in range(columns - 1):
        kind = KINDS[position % len(KINDS)]
        yield f"c{position}_{kind.name}", kind
    yield TARGET, LABEL


def quiet(random: Random, rows: int, columns: int) -> dict[str, Array]:
    """Return independent rows in which nothing drifts."""
    return {name: kind.draw(random, rows) for name, kind in kinds(columns)}


def grouped(random: Random, rows: int, columns: int) -> dict[str, Array]:
    """Return rows that come in groups of ten with the same values, and nothing drifts."""
    groups = quiet(random, rows // ROWS_PER_GROUP, columns)
    return {name: np.repeat(values, ROWS_PER_GROUP) for name, values in groups.items()}


def wandering(random: Random, rows: int, columns: int) -> dict[str, Array]:
    """Return rows whose numbers depend on the rows before: a tenth of their variance is a slow common motion."""
    table = quiet(random, rows, columns)
    slow = np.repeat(random.normal(size=rows // 50 + 1), 50)[:rows]
    return {
        name: values if kind.levels else values + np.sqrt(0.1) * np.nanstd(values) * slow
        for (name, kind), values in zip(kinds(columns), table.values(), strict=True)
    }


def frame(table: dict[str, Array], start: str, group: int = 1) -> pd.DataFrame:
    """Return a table as people have it: levels as words, a time per row, and who it is about."""
    rows = len(next(iter(table.values())))
    levels = {name for name, kind in kinds(len(table)) if kind.levels and name != TARGET}
    made = {
        "when": pd.date_range(start, periods=rows, freq="min", tz="UTC"),
        "customer": [f"{start}-{row // group}" for row in range(rows)],
    }
    for name, values in table.items():
        words = np.array([*(f"level {code}" for code in range(300)), None], dtype=object)
        made[name] = words[np.where(np.isnan(values), -1, values).astype(int)] if name in levels else values
    return pd.DataFrame(made)


def pairs(old: dict[str, Array], new: dict[str, Array]) -> list[Pair]:
    """Return two tables as the rule wants them."""
    names = tuple(f"level {code}" for code in range(301))
    return [
        Pair(
            name,
            "text" if kind.levels else "number",
            "target" if name == TARGET else "input",
            "level" if kind.levels else "number",
            old[name],
            new[name],
            names,
        )
        for name, kind in kinds(len(old))
    ]


def _moved(
    column: str, change: Callable[[Random, Array], Array]
) -> Callable[[Random, dict[str, Array]], dict[str, Array]]:
    return lambda random, table: table | {column: change(random, table[column])}


def _replaced(share: float, level: float) -> Callable[[Random, Array], Array]:
    return lambda random, values: np.where(random.random(len(values)) < share, level, values)


SCENARIOS = {
    "mean of one normal column + 0.25 sd": _moved(SHIFTED, lambda _, values: values + 0.25),
    "mean of one normal column + 0.5 sd": _moved(SHIFTED, lambda _, values: values + 0.5),
    "its sd x 1.5": _moved(SHIFTED, lambda _, values: values * 1.5),
    "10% of the rows to one of ten levels": _moved("c3_ten_levels", _replaced(0.10, 9)),
    "2% of the rows with a new level": _moved("c3_ten_levels", _replaced(0.02, 300)),
    "share of missing values 20% to 30%": _moved("c9_gaps", _replaced(0.125, np.nan)),
    "label from 0.2 to 0.3": _moved(TARGET, _replaced(0.125, 1)),
}
