"""Backtest: simulate several retraining strategies on a project's past data.

The data is cut into periods. Every strategy starts with the same model and receives one period after the other; its loss in
a period is that of the model in service then. Decisions are made by the code that production uses
(:mod:`titlebout.backtest.simulation`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.backtest.report import BacktestResult, Period, page, summaries, supported
from titlebout.backtest.simulation import STRATEGIES, FitCache, PeriodData, simulate
from titlebout.checks.check import CheckResult, check_table
from titlebout.core.errors import ConfigError, InconclusiveError
from titlebout.core.process import Progress
from titlebout.core.results import write_text_atomically
from titlebout.data.columns import epoch_microseconds, timestamps
from titlebout.data.current import read_new_rows
from titlebout.data.holdout import Split, read_labeled_rows
from titlebout.drift import measure as drift_measure
from titlebout.drift.report import share_drifted
from titlebout.metrics.catalogue import PRIMARY
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import DAY
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings
from titlebout.training.fitting import FittedModel, fit_split

PAGE = "backtest.html"
BASE = "never"  # baseline of all differences, so it is always simulated
FEWEST = 3  # periods; a standard error over fewer means little
DEFAULT_LEAST, DEFAULT_MOST = 6, 52  # periods, when their length is not given

_SECOND = 1_000_000  # microseconds
_UNITS = {"h": 3600, "d": DAY, "w": 7 * DAY}


@dataclass(frozen=True)
class Plan:
    """Options of a backtest.

    Attributes
    ----------
    every : str
        Length of a period: ``12h``, ``28d``, ``4w``, or a number of rows. Empty: the period of the retraining policy, on
        whose clock the loop runs, for at most the last 52 periods; shorter if there would be fewer than 6.
    start : float
        Smallest share of the data, by time or by rows, known before the first period.
    current : bool
        Whether to include labeled rows of the current data.
    strategies : sequence of str
        Strategies to simulate besides ``never``; empty: all.
    label_delay : int
        Number of periods after which labels become known.
    """

    every: str = ""
    start: float = 0.3
    current: bool = False
    strategies: Sequence[str] = ()
    label_delay: int = 0


def backtest(project: Project, plan: Plan, on_line: Progress) -> BacktestResult:
    """Simulate several retraining strategies on a project's past data, and write ``reports/backtest.html``.

    Parameters
    ----------
    project : Project
    plan : Plan
        Periods, strategies and label delay.
    on_line : callable
        Called with each line of progress.

    Raises
    ------
    NotFoundError
        If there is no data.
    DataError
        If a file cannot be read, or tracked rows have no label.
    ConfigError
        If the length of a period is invalid, or the project's own code fails.
    InconclusiveError
        If there are too few periods, or too few rows before them to train on.
    """
    frame = _past_rows(project, plan, on_line)
    start, periods = cut(frame, project.params.data.time, plan, project.settings)
    result = compare(project, start, periods, plan, on_line)
    note = _coarse(plan, project.params.data.time, project.settings)
    result = result.replace(reasons=(*result.reasons, *note))
    write_text_atomically(project.reports / PAGE, page(result))
    return result


def compare(
    project: Project, start: pd.DataFrame, periods: Sequence[tuple[str, pd.DataFrame]], plan: Plan, on_line: Progress
) -> BacktestResult:
    """Simulate the strategies of a plan on the same periods; raises the errors of :func:`backtest`.

    Parameters
    ----------
    project : Project
    start : DataFrame
        Labeled rows known before the first period.
    periods : sequence of (str, DataFrame)
        Their names and labeled rows, in order of time.
    plan : Plan
        Strategies and label delay.
    on_line : callable
        Called with each line of progress.
    """
    project.add_source_to_path()  # the primary metric may be defined in the project's code
    on_line(f"checking {len(periods)} periods ...")
    checks = [check_table(rows, project.suite_path, name) for name, rows in periods]
    data = [
        PeriodData(name, rows, _refused(project, start, rows, checked))
        for (name, rows), checked in zip(periods, checks, strict=True)
    ]
    workload, fits = ProjectWorkload(project), FitCache()
    chosen = {BASE, *(plan.strategies or (strategy.name for strategy in STRATEGIES))}
    simulations = []
    for strategy in (known for known in STRATEGIES if known.name in chosen):
        simulation = simulate(start, data, strategy, workload, label_delay=plan.label_delay, fit_cache=fits)
        simulations.append((strategy, simulation))
        on_line(f"    {strategy.name}: attempts {simulation.attempts}, mean loss {simulation.mean_loss:.4f}")
    strategies = summaries(simulations)
    return BacktestResult(
        passed=True,
        reasons=supported(strategies, PRIMARY[project.params.data.task]),
        loss=PRIMARY[project.params.data.task],
        start_rows=len(start),
        label_delay=plan.label_delay,
        periods=tuple(
            Period(name=period.name, rows=len(period.rows), refused=period.refused, warning=_warning(checked))
            for period, checked in zip(data, checks, strict=True)
        ),
        strategies=strategies,
    )


def cut(
    frame: pd.DataFrame, time: str, plan: Plan, settings: Settings
) -> tuple[pd.DataFrame, list[tuple[str, pd.DataFrame]]]:
    """Cut a table into start rows and periods of equal length, the last of which ends with the newest row.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    time : str
        Time column; empty: rows are taken in their order in the table.
    plan : Plan
        Length of a period and share of the start rows.
    settings : Settings
        Its policy has the default length of a period.

    Returns
    -------
    start : DataFrame
        Rows before the first period.
    periods : list of (str, DataFrame)
        Names and rows, without empty periods.

    Raises
    ------
    ConfigError
        If the length of a period is invalid.
    InconclusiveError
        If there are fewer than 3 periods.
    """
    length, by_time = _length(plan.every, time)
    frame, at = _in_order(frame, time, by_time)
    unit = settings.policy.period_days * DAY * _SECOND if by_time else settings.retrain.min_new_rows
    end = int(at[-1]) + 1
    span = int((end - int(at[0])) * (1 - plan.start))
    count = span // (length or unit)
    if not length:
        length = unit if count >= DEFAULT_LEAST else max(span // DEFAULT_LEAST, 1)
        count = min(span // length, DEFAULT_MOST)
    ago = (end - 1 - at) // length
    rows = [(back, frame[ago == back]) for back in range(count - 1, -1, -1)]
    periods = [(_period_name(end - (back + 1) * length, length, by_time), part) for back, part in rows if len(part)]
    if len(periods) < FEWEST:
        raise InconclusiveError(
            f"the backtest needs at least {FEWEST} periods, but the data covers only {len(periods)}",
            where="the tracked data",
            why=f"the data has {len(frame):,} rows, and the oldest {plan.start:.0%} of it trains the first model",
            fix="choose shorter periods (--every) or a smaller start (--start), or wait for more data",
        )
    return frame[ago >= count], periods


@dataclass(frozen=True)
class ProjectWorkload:
    """The project's own code and configuration, as a simulation uses them."""

    project: Project

    @property
    def params(self) -> Params:
        """Roles of columns, holdout and model."""
        return self.project.params

    @property
    def settings(self) -> Settings:
        """Retraining policy, drift and gate settings."""
        return self.project.settings

    def fit(self, rows: pd.DataFrame, rows_split: Split, /) -> Predictor:
        """Fit a challenger; see :class:`Workload`."""
        return fit_split(self.project, rows, rows_split)

    def drifted_columns(
        self, reference: pd.DataFrame, current: pd.DataFrame, champion: Predictor, /
    ) -> tuple[str, ...]:
        """Return the drifted columns; see :class:`Workload`."""
        assert isinstance(champion, FittedModel)
        past, outlook = drift_measure.build_champion_context(
            champion, reference, self.params, self.settings.drift.min_rows
        )
        roles = self.params.data
        return drift_measure.drift(
            past, current, drift_measure.comparison_settings(self.project), roles.time, roles.target, outlook
        ).decisive

    def drifted_share(self, reference: pd.DataFrame, current: pd.DataFrame, /) -> float:
        """Return the share of drifted columns; see :class:`Workload`."""
        excluded = [self.params.data.time, *self.params.data.drop, *self.settings.drift.ignore]
        return share_drifted(*(side.drop(columns=excluded, errors="ignore") for side in (reference, current)))


def _past_rows(project: Project, plan: Plan, on_line: Progress) -> pd.DataFrame:
    """Return the tracked rows and, if requested, the labeled rows of the current data."""
    Dvc(project).pull_data()
    known = read_labeled_rows(project)
    if not plan.current:
        return known
    rows, target = read_new_rows(project, known).rows, project.params.data.target
    if set(known.columns) - set(rows.columns):
        on_line("the current data is left out: it lacks columns of the tracked data")
        return known
    fresh = rows.loc[rows[target].notna(), list(known.columns)]
    on_line(f"{len(fresh):,} rows of the current data are included")
    return pd.concat([known, fresh], ignore_index=True) if len(fresh) else known


def refusal(project: Project, start: pd.DataFrame, name: str, rows: pd.DataFrame) -> str:
    """Return why a batch would be refused, because of its values or columns; empty when it would not be.

    Parameters
    ----------
    project : Project
    start : DataFrame of shape (n_start, n_columns)
        Labeled rows known before, for their columns.
    name : str
        Name of the batch.
    rows : DataFrame of shape (n_rows, n_columns)
    """
    return _refused(project, start, rows, check_table(rows, project.suite_path, name))


def _warning(checked: CheckResult) -> str:
    return checked.reasons[0] if checked.verdict == "warning" else ""


def _refused(project: Project, start: pd.DataFrame, rows: pd.DataFrame, checked: CheckResult) -> str:
    """Return why a batch would be refused, because of its values or columns; empty when it would not be."""
    if not checked.passed:
        return checked.reasons[0]
    roles = project.params.data
    return next(
        iter(
            drift_measure.schema_differences(
                start, rows, drift_measure.comparison_settings(project), roles.time, roles.target
            )
        ),
        "",
    )


def _length(every: str, time: str) -> tuple[int, bool]:
    """Return the length of a period in microseconds or rows, 0 when it is not given, and whether it is a length of time.

    Raises
    ------
    ConfigError
        If it is not a valid length, or a length of time when rows have no time.
    """
    if not every:
        return 0, bool(time)
    match = re.fullmatch(r"([1-9]\d*)([hdw]?)", every)
    if match is None:
        raise ConfigError(
            f"{every!r} is not a valid period length",
            where="--every",
            fix="use hours, days or weeks (12h, 28d, 4w), or a number of rows (500)",
        )
    number, unit = int(match[1]), match[2]
    if unit and not time:
        raise ConfigError(
            "a period in hours, days or weeks needs a time column, but data.time is empty",
            where="params.yaml: data.time",
            fix="set data.time, or set --every to a number of rows such as 500",
        )
    return number * (_UNITS[unit] * _SECOND if unit else 1), bool(unit)


def _coarse(plan: Plan, time: str, settings: Settings) -> tuple[str, ...]:
    """Return a note if periods are longer than those of the policy, and an empty tuple otherwise."""
    length, by_time = _length(plan.every, time)
    unit = settings.policy.period_days * DAY * _SECOND if by_time else settings.retrain.min_new_rows
    if length <= unit:
        return ()
    return (
        f"the periods ({plan.every}) are longer than those of the policy, on which it runs in production: cool-downs end "
        "sooner here, counted in periods of the backtest",
    )


def _in_order(frame: pd.DataFrame, time: str, by_time: bool) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return the rows in order of time, and the position of each: microseconds since 1970, or the row number."""
    positions: npt.NDArray[np.int64] = np.arange(len(frame))
    if not time:
        return frame, positions
    stamps = epoch_microseconds(timestamps(frame, time))
    order = np.argsort(stamps, kind="stable")
    return frame.iloc[order], stamps[order] if by_time else positions


def _period_name(begin: int, length: int, by_time: bool) -> str:
    """Return a period's name: its first day, or its range of rows."""
    if not by_time:
        return f"rows {begin + 1:,} to {begin + length:,}"
    first = pd.Timestamp(begin, unit="us", tz="UTC")
    return f"{first:%Y-%m-%d}" if length >= DAY * _SECOND else f"{first:%Y-%m-%d %H:%M}"
