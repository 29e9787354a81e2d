"""The backtest: a team's own past, played again under several policies, before its loop is switched on.

The data is cut into periods. Every policy starts with the same model, is shown one period after the other, and is scored on
each by the model that it has in service then. What decides is what decides in the loop (:mod:`titlebout.backtest.simulation`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titlebout.backtest.report import BacktestResult, Period, page, summaries, supported
from titlebout.backtest.simulation import CONTENDERS, Arrived, Fits, play
from titlebout.checks.check import check_table
from titlebout.core.arrays import FloatArray
from titlebout.core.errors import ConfigError, InconclusiveError
from titlebout.core.process import Progress
from titlebout.core.results import write_text_atomically
from titlebout.data.columns import column_kind, conform, row_hashes, timestamps
from titlebout.data.current import read_new_rows
from titlebout.data.holdout import read_labeled_rows
from titlebout.drift import measure as drift_measure
from titlebout.drift.report import share_drifted
from titlebout.metrics.catalogue import PRIMARY
from titlebout.models.artifact import predict
from titlebout.models.interfaces import Predictor
from titlebout.policy.rules import DAY
from titlebout.repository.dvc import Dvc
from titlebout.repository.project import Project
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings
from titlebout.training.train import choose_window, fit_estimator

PAGE = "backtest.html"
BASE = "never"  # what all others are measured against, so it always plays
FEWEST = 3  # periods: with less there is no error to speak of
WANTED, MOST = 6, 26  # periods, where their length is not asked for

_SECOND = 1_000_000_000  # nanoseconds
_UNITS = {"h": 3600, "d": DAY, "w": 7 * DAY}


@dataclass(frozen=True)
class Plan:
    """How to play the past.

    Attributes
    ----------
    every : str
        Length of a period: ``12h``, ``28d``, ``4w``, or a number of rows; empty: the policy's own period, or longer or
        shorter so that there are 6 to 26.
    start : float
        Share of the data, by time or by rows, that is known before the first period.
    current : bool
        Whether what arrived, and has its label, is part of the past too.
    policies : sequence of str
        Who plays beside ``never``; empty: all.
    label_delay : int
        How many periods later labels become known.
    """

    every: str = ""
    start: float = 0.3
    current: bool = False
    policies: Sequence[str] = ()
    label_delay: int = 0


def backtest(project: Project, plan: Plan, say: Progress) -> BacktestResult:
    """Play a project's past under several policies, and draw ``reports/backtest.html``.

    Parameters
    ----------
    project : Project
    plan : Plan
    say : callable
        Called with each line of progress.

    Raises
    ------
    NotFoundError
        If there is no data.
    DataError
        If a file cannot be read, or tracked rows have no label.
    ConfigError
        If the length of a period cannot be used, or the team's own code fails.
    InconclusiveError
        If there are too few periods, or too few rows before them to train on.
    """
    frame = _past(project, plan, say)
    start, periods = cut(frame, project.params.data.time, plan, project.settings)
    result = compare(project, start, periods, plan, say)
    write_text_atomically(project.reports / PAGE, page(result))
    return result


def compare(
    project: Project, start: pd.DataFrame, periods: Sequence[tuple[str, pd.DataFrame]], plan: Plan, say: Progress
) -> BacktestResult:
    """Let the policies of a plan play the same periods; raises what :func:`backtest` raises.

    Parameters
    ----------
    project : Project
    start : DataFrame
        Labelled rows that are known before the first period.
    periods : sequence of (str, DataFrame)
        Their names and labelled rows, in order of time.
    plan : Plan
        Who plays, and how late labels are.
    say : callable
    """
    project.add_source_to_path()  # a metric may be the team's own
    say(f"checking {len(periods)} periods ...")
    arriving = [Arrived(name, rows, _refused(project, start, name, rows)) for name, rows in periods]
    team, fits = _ProjectTeam(project), Fits()
    wanted = {BASE, *(plan.policies or (one.name for one in CONTENDERS))}
    played = []
    for contender in (one for one in CONTENDERS if one.name in wanted):
        season = play(start, arriving, contender, team, label_delay=plan.label_delay, fits=fits)
        played.append((contender, season))
        say(f"    {contender.name}: attempts {season.attempts}, mean loss {season.mean_loss:.4f}")
    found = summaries(played)
    return BacktestResult(
        passed=True,
        reasons=supported(found, PRIMARY[project.params.data.task]),
        loss=PRIMARY[project.params.data.task],
        start_rows=len(start),
        label_delay=plan.label_delay,
        periods=tuple(Period(name=one.name, rows=len(one.rows), refused=one.refused) for one in arriving),
        policies=found,
    )


def cut(
    frame: pd.DataFrame, time: str, plan: Plan, settings: Settings
) -> tuple[pd.DataFrame, list[tuple[str, pd.DataFrame]]]:
    """Cut a table into what is known at the start and periods of one length, the last of which ends with the newest row.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    time : str
        Time column; empty: rows count as having come in the order they are in.
    plan : Plan
    settings : Settings
        Its policy says how long a period is where the plan does not.

    Returns
    -------
    start : DataFrame
    periods : list of (str, DataFrame)
        Without periods that have no row.

    Raises
    ------
    ConfigError
        If the length of a period cannot be used.
    InconclusiveError
        If there are fewer than 3 periods.
    """
    length, by_time = _length(plan.every, time)
    frame, at = _in_order(frame, time, by_time)
    unit = settings.policy.period_days * DAY * _SECOND if by_time else settings.retrain.min_new_rows
    end = int(at[-1]) + 1
    played = int((end - int(at[0])) * (1 - plan.start))
    length = length or _usual(played, unit)
    count = played // length
    ago = (end - 1 - at) // length
    rows = [(back, frame[ago == back]) for back in range(count - 1, -1, -1)]
    periods = [(_named(end - (back + 1) * length, length, by_time), part) for back, part in rows if len(part)]
    if len(periods) < FEWEST:
        raise InconclusiveError(
            f"{len(periods)} periods are too few to compare policies on; {FEWEST} are the least",
            where="the tracked data",
            why=f"it has {len(frame):,} rows, and {plan.start:.0%} of it is kept as the start",
            fix="choose shorter periods (--every) or a smaller start (--start), or wait for more data",
        )
    return frame[ago >= count], periods


@dataclass(frozen=True)
class _InMemory:
    """A model that was fitted here and is on no disk."""

    project: Project
    estimator: Any
    X: pd.DataFrame
    rows: pd.DataFrame

    @cached_property
    def kinds(self) -> dict[str, str]:
        return {name: column_kind(self.rows[name]) for name in self.X.columns}

    @cached_property
    def classes(self) -> tuple[object, ...]:
        if self.project.params.data.task == "regression":
            return ()
        return tuple(np.asarray(self.estimator.classes_).tolist())

    @cached_property
    def trained_rows(self) -> npt.NDArray[np.uint64]:
        return row_hashes(self.rows)

    def predict(self, frame: pd.DataFrame, /) -> FloatArray:
        with self.project.team_code("asking the model"):
            return predict(self.estimator, conform(frame, self.kinds), self.project.params.data.task)


@dataclass(frozen=True)
class _ProjectTeam:
    """The project's own code and configuration, as a season asks for them."""

    project: Project

    @property
    def params(self) -> Params:
        return self.project.params

    @property
    def settings(self) -> Settings:
        return self.project.settings

    def fit(self, rows: pd.DataFrame, /) -> Predictor:
        used = choose_window(self.project, rows).of(rows, self.params.data.time)
        estimator, X = fit_estimator(self.project, used)
        return _InMemory(self.project, estimator, X, used)

    def drifted(self, reference: pd.DataFrame, current: pd.DataFrame, champion: Predictor, /) -> tuple[str, ...]:
        assert isinstance(champion, _InMemory)
        seen, outlook = drift_measure.outlook_of(champion, reference, self.params, self.settings.drift.min_rows)
        roles = self.params.data
        return drift_measure.drift(
            seen, current, drift_measure.settings_of(self.project), roles.time, roles.target, outlook
        ).decisive

    def shifted(self, reference: pd.DataFrame, current: pd.DataFrame, /) -> float:
        apart = [self.params.data.time, *self.params.data.drop, *self.settings.drift.ignore]
        return share_drifted(*(side.drop(columns=apart, errors="ignore") for side in (reference, current)))


def _past(project: Project, plan: Plan, say: Progress) -> pd.DataFrame:
    """Return the tracked rows and, if asked for, those that arrived since and have their label."""
    Dvc(project).pull_data()
    known = read_labeled_rows(project)
    if not plan.current:
        return known
    rows, target = read_new_rows(project, known).rows, project.params.data.target
    if set(known.columns) - set(rows.columns):
        say("what arrived is left out: it has not all columns of the tracked data")
        return known
    fresh = rows.loc[rows[target].notna(), list(known.columns)]
    say(f"{len(fresh):,} rows that arrived are part of the past")
    return pd.concat([known, fresh], ignore_index=True) if len(fresh) else known


def _refused(project: Project, start: pd.DataFrame, name: str, rows: pd.DataFrame) -> str:
    """Return why the loop would refuse a batch, for its values or its columns; empty when it would not."""
    checked = check_table(rows, project.suite_path, name)
    if not checked.passed:
        return checked.reasons[0]
    roles = project.params.data
    return next(
        iter(drift_measure.unlike(start, rows, drift_measure.settings_of(project), roles.time, roles.target)), ""
    )


def _length(every: str, time: str) -> tuple[int, bool]:
    """Return the length of a period in nanoseconds or rows, 0 when none was asked for, and whether it is one of time.

    Raises
    ------
    ConfigError
        If it is not a length, or one of time where rows have none.
    """
    if not every:
        return 0, bool(time)
    found = re.fullmatch(r"([1-9]\d*)([hdw]?)", every)
    if found is None:
        raise ConfigError(
            f"{every!r} is not a length of a period",
            where="--every",
            fix="write hours, days or weeks (12h, 28d, 4w), or a number of rows (500)",
        )
    number, unit = int(found[1]), found[2]
    if unit and not time:
        raise ConfigError(
            "periods of time are asked for, but rows have no time",
            where="params.yaml: data.time",
            fix="give --every a number of rows, or name the time column",
        )
    return number * (_UNITS[unit] * _SECOND if unit else 1), bool(unit)


def _in_order(frame: pd.DataFrame, time: str, by_time: bool) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return the rows in order of time, and where each stands: in nanoseconds since 1970, or in rows since the first."""
    places: npt.NDArray[np.int64] = np.arange(len(frame))
    if not time:
        return frame, places
    stamps = timestamps(frame, time).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    order = np.argsort(stamps, kind="stable")
    return frame.iloc[order], stamps[order] if by_time else places


def _usual(played: int, unit: int) -> int:
    """Return the length of a period where none was asked for: the policy's own, unless that makes too few or too many."""
    count = played // unit
    return max(played // WANTED, 1) if count < WANTED else unit * -(-count // MOST)


def _named(begin: int, length: int, by_time: bool) -> str:
    """Name a period by its first day, or by its rows."""
    if not by_time:
        return f"rows {begin + 1:,} to {begin + length:,}"
    first = pd.Timestamp(begin, tz="UTC")
    return f"{first:%Y-%m-%d}" if length >= DAY * _SECOND else f"{first:%Y-%m-%d %H:%M}"
