"""``titlebout drift --selftest``: measure the false alarm rate of the drift rule on the reference, which has no drift."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.core.errors import ExitCode, InconclusiveError
from titlebout.core.markdown import code, format_number, table
from titlebout.core.results import Record, StepResult
from titlebout.data.columns import timestamps
from titlebout.data.holdout import read_tracked
from titlebout.data.sampling import evenly_spaced
from titlebout.drift.alignment import Pair, one_per_group, pairs
from titlebout.drift.entities import Entity, candidates, find_entities, with_groups
from titlebout.drift.measure import comparison_settings, load_champion_context
from titlebout.drift.rule import compare
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.drift import DriftSettings

RANDOM_RUNS, CONSECUTIVE_RUNS, ENTITY_RUNS = 100, 50, 50
RANDOM, CONSECUTIVE, WHOLE = "random rows", "consecutive rows", "whole entities"
PROMISES = {RANDOM: 0.01, CONSECUTIVE: 0.10, WHOLE: 0.01}
MAX_ROWS = 10_000  # of the reference; more rows take minutes and give the same rates

_SHARE = 4  # the reference is this many times as long as the window

Positions = npt.NDArray[np.int64]


class Trial(Record):
    """False alarms for one way of drawing windows.

    Attributes
    ----------
    windows : {"random rows", "consecutive rows", "whole entities"}
        How the rows of a window are drawn. Whole entities: all rows with the same value of a column whose values repeat
        and whose rows are alike, or of two or three columns, are in the window, or none of them.
    runs, alarms : int
        Number of windows compared, and number of those with a drifted column.
    rate, low, high : float
        False alarm rate with its exact 95% confidence interval.
    promise : float
        Limit of the rate.
    kept : bool
        False if the rate is significantly above the limit.
    """

    windows: str
    runs: int
    alarms: int
    rate: float
    low: float
    high: float
    promise: float
    kept: bool


class SelftestResult(StepResult):
    """False alarm rate of the rule of ``titlebout drift``.

    Attributes
    ----------
    passed : bool
        True if no rate is significantly above its limit.
    verdict : {"kept", "broken"}
        Broken: a rate is significantly above its limit.
    rows, window : int
        Number of rows of the reference, and of each window that is compared with the rest of it.
    trials : tuple of Trial
        One per way of drawing windows.
    alarms : dict of str to int
        Columns with false alarms, and the number of windows in which they drifted.
    entity : tuple of str
        Columns that identify the entities of the windows of whole entities; empty without such windows.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"verdict": "verdict", "report": "report"}

    step: Literal["drift-selftest"] = "drift-selftest"
    verdict: Literal["kept", "broken"]
    rows: int
    window: int
    trials: tuple[Trial, ...]
    alarms: dict[str, int]
    entity: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return ExitCode.OK if self.passed else ExitCode.DRIFT_FOUND

    def to_markdown(self) -> str:
        """Return the report as Markdown: rates, limits, and the columns with false alarms."""
        headers = ["windows", "runs", "alarms", "rate", "95% interval", "limit"]
        rows = [
            (
                *(trial.windows, trial.runs, trial.alarms, _percent(trial.rate)),
                f"{_percent(trial.low)} to {_percent(trial.high)}",
                f"at most {_percent(trial.promise)}",
            )
            for trial in self.trials
        ]
        lines = [
            f"### Drift selftest: {'no rate is' if self.passed else 'a rate is'} significantly above its limit",
            "",
        ]
        lines += ["A limit is exceeded if the whole interval is above it.", ""]
        lines += [f"Windows of {format_number(self.window)} out of {format_number(self.rows)} reference rows.", ""]
        lines += [table(headers, rows)]
        if self.alarms:
            message = ", ".join(f"{code(name)} ({times})" for name, times in list(self.alarms.items())[:10])
            lines += [f"Columns with false alarms, and their number: {message}"]
        if not self.passed:
            which = " and ".join(map(code, self.entity)) or "the column that identifies an entity"
            lines += [
                "",
                f"Set `drift.entity` to {which}, or add seasonal columns to `drift.ignore`.",
            ]
        return "\n".join(lines).rstrip() + "\n"


def selftest(project: Project) -> SelftestResult:
    """Count the false alarms of a project's settings on the rows that its champion was trained on.

    Parameters
    ----------
    project : Project

    Raises
    ------
    InconclusiveError
        If the reference has too few rows.
    NotFoundError
        If the data cannot be fetched.
    """
    Dvc(project).pull_data()
    reference, _ = load_champion_context(project, read_tracked(project))
    roles = project.params.data
    return count_false_alarms(reference, comparison_settings(project), roles.time, roles.target)


def count_false_alarms(
    reference: pd.DataFrame, settings: DriftSettings, time: str = "", target: str | None = None
) -> SelftestResult:
    """Compare windows of the reference with the rest of it, and count the false alarms.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
    settings : DriftSettings
    time : str
        Time column that gives the order; if empty, the current order.
    target : str, optional
        Column to predict.

    Raises
    ------
    InconclusiveError
        If the reference has too few rows.
    """
    rows = one_per_group(reference, settings.entity) if settings.entity else reference
    if time:
        rows = rows.iloc[np.argsort(timestamps(rows, time).to_numpy(), kind="stable")]
    rows = rows.iloc[evenly_spaced(len(rows), MAX_ROWS)]
    window = len(rows) // _SHARE
    if window < settings.min_rows:
        raise InconclusiveError(
            f"the drift selftest needs at least {_SHARE * settings.min_rows} rows of reference data (the rows that the "
            f"champion was trained on), but there are only {len(rows)}",
            where="titlebout.toml: drift.min_rows",
            why=f"a window has at least drift.min_rows ({settings.min_rows}) rows, and at most a quarter of the data",
            fix="collect more data, or lower drift.min_rows",
        )
    names = [name for name in rows.columns if name not in {time, *settings.entity, *settings.ignore}]
    columns = list(pairs(rows, rows.head(1), names, target))
    alarms: Counter[str] = Counter()
    trials = []
    unnamed = [] if settings.entity else candidates(columns)
    for which, chosen in (_windows(len(rows), window) | _whole_windows(unnamed, window)).items():
        seen = [_drifted(columns, one, settings, in_time=bool(time)) for one in chosen]
        alarms.update(name for names in seen for name in names)
        trials.append(_trial(which, sum(map(bool, seen)), len(seen)))
    return SelftestResult(
        passed=all(trial.kept for trial in trials),
        reasons=tuple(_reasons(trials)),
        verdict="kept" if all(trial.kept for trial in trials) else "broken",
        rows=len(rows),
        window=window,
        trials=tuple(trials),
        alarms=dict(alarms.most_common()),
        entity=unnamed[0].names if unnamed else (),
    )


def _windows(rows: int, window: int) -> dict[str, list[Positions]]:
    random = np.random.default_rng(0)
    starts = evenly_spaced(rows - window + 1, CONSECUTIVE_RUNS)
    return {
        RANDOM: [np.sort(random.permutation(rows)[:window]) for _ in range(RANDOM_RUNS)],
        CONSECUTIVE: [np.arange(start, start + window) for start in starts],
    }


def _whole_windows(entities: Sequence[Entity], window: int) -> dict[str, list[Positions]]:
    """Return windows of the rows of random entities, in turns for each column that may identify one."""
    if not entities:
        return {}
    random = np.random.default_rng(0)
    return {WHOLE: [_whole_window(entities[run % len(entities)], window, random) for run in range(ENTITY_RUNS)]}


def _whole_window(entity: Entity, window: int, random: np.random.Generator) -> Positions:
    order = random.permutation(int(entity.reference.max()) + 1)
    rows = np.cumsum(np.bincount(entity.reference, minlength=len(order))[order])
    return np.flatnonzero(np.isin(entity.reference, order[: max(1, int(np.searchsorted(rows, window, side="right")))]))


def _drifted(columns: Sequence[Pair], window: Positions, settings: DriftSettings, *, in_time: bool) -> list[str]:
    """Return the columns with drift between a window and the rest."""
    rest = np.delete(np.arange(len(columns[0].reference)), window)
    sides = [replace(one, reference=one.reference[rest], current=one.reference[window]) for one in columns]
    sides = with_groups(sides, [] if settings.entity else find_entities(sides))
    return [found.name for found in compare(sides, settings, in_time=in_time) if found.status == "drift"]


def _trial(windows: str, alarms: int, runs: int) -> Trial:
    from scipy.stats import binomtest

    interval = binomtest(alarms, runs).proportion_ci(0.95, method="exact")
    promise = PROMISES[windows]
    return Trial(
        windows=windows,
        runs=runs,
        alarms=alarms,
        rate=alarms / runs,
        low=interval.low,
        high=interval.high,
        promise=promise,
        kept=bool(interval.low <= promise),
    )


def _reasons(trials: Sequence[Trial]) -> Iterator[str]:
    for trial in sorted(trials, key=lambda trial: trial.kept):
        limit = f"limit {_percent(trial.promise)}"
        yield f"{trial.alarms} false alarms in {trial.runs} windows of {trial.windows} ({limit})"


def _percent(share: float) -> str:
    return f"{format_number(100 * share)}%"
