"""Accidents that teams have, replayed on the flights of the demo: one at a time, under three retraining strategies.

The months are simulated in memory by the backtest, whose decisions are those of production. An accident damages what arrives for
a retraining; the flights that the service predicts are as they were, unless the accident says otherwise.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from titlebout.backtest.backtest import ProjectWorkload, refusal
from titlebout.backtest.simulation import (
    STRATEGIES,
    PeriodData,
    PeriodOutcome,
    SimulationResult,
    mean_loss,
    simulate_variants,
)
from titlebout.core.process import Progress
from titlebout.core.results import Record
from titlebout.data.columns import timestamps
from titlebout.data.holdout import Split
from titlebout.models.interfaces import Predictor
from titlebout.repository.project import Project
from titlebout.settings.addresses import SETTINGS_FILE
from titlebout.training.fitting import fit_split

COMPARED = ("never", "every_ungated", "titlebout")
FEWEST_MONTHS = (
    4  # before and with an accident, then the month whose training includes it, and the month that this model serves
)
SMALLEST_INCREASE = 0.01  # of the log loss of a month, to count as worse

WEATHER = ["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
# A plausible slip in src/flights_delay/features.py: the minutes of the day become the minutes of the hour.
SLIP = ("return hhmm // 100 * 60 + hhmm % 100", "return hhmm % 100")

Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Accident:
    """Something that goes wrong in one month.

    Attributes
    ----------
    name : str
    arrives : callable or None
        Damages the month's file on its way to the repository.
    served : callable or None
        Damages what the service has to predict.
    code : tuple of (str, str) or None
        Text of the feature code, and what replaces it from this month on.
    """

    name: str
    arrives: Change | None = None
    served: Change | None = None
    code: tuple[str, str] | None = None


class Year(Record):
    """A year with an accident under one strategy.

    Attributes
    ----------
    strategy : str
    mean_loss : float
        Mean log loss over the flights from the month of the accident on.
    months_worse : int
        Later months in which the log loss was at least 1% larger than under the same strategy in the year without accident.
    models : int
        Models put into service in the year.
    """

    strategy: str
    mean_loss: float
    months_worse: int
    models: int


class AccidentResult(Record):
    """A year with an accident under several strategies.

    Attributes
    ----------
    accident, month : str
        What went wrong, and when; the month of the year without accident is empty.
    response : str
        What the loop did about it.
    to_read : int
        What the loop gave a person to read in the year: pull requests, and issues about refused data.
    years : tuple of Year
        In the order of :data:`COMPARED`.
    """

    accident: str
    month: str
    response: str
    to_read: int
    years: tuple[Year, ...]


def _renamed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.rename(columns={"sched_dep_time": "scheduled_departure"})


def _celsius(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(temp=(rows["temp"] - 32) / 1.8)


def _on_time(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(late=1 - rows["late"])


def _no_weather(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**dict.fromkeys(WEATHER, np.nan))


ACCIDENTS = (
    Accident("no accident"),
    Accident("a column is renamed", arrives=_renamed),
    Accident("the temperature is in Celsius", arrives=_celsius),
    Accident("the labels mean on time", arrives=_on_time),
    Accident("the weather is missing", arrives=_no_weather, served=_no_weather),
    Accident("a bug in the features", code=SLIP),
)


def replay_accidents(
    project: Project, start: pd.DataFrame, months: Sequence[PeriodData], strikes: int, on_line: Progress
) -> tuple[AccidentResult, ...]:
    """Replay the same months without and with each accident.

    Parameters
    ----------
    project : Project
        The generated repository.
    start : DataFrame
        Flights known before the first month.
    months : sequence of PeriodData
        In order of time, without accident.
    strikes : int
        Index of the month in which something goes wrong.
    on_line : callable
        Called with each line of progress.
    """
    with ExitStack() as stack:
        variants = [
            (
                stack.enter_context(_workload(project, accident, months[strikes].rows)),
                [_struck(project, start, months[strikes], accident), *months[strikes + 1 :]],
            )
            for accident in ACCIDENTS
        ]
        simulations = []
        for strategy in (known for known in STRATEGIES if known.name in COMPARED):
            simulations.append(simulate_variants(start, months[:strikes], variants, strategy, ProjectWorkload(project)))
            on_line(f"    {strategy.name}: {len(ACCIDENTS)} years")
    years = list(zip(*simulations, strict=True))
    return tuple(
        _result(accident, months[strikes].name, strikes, year, years[0])
        for accident, year in zip(ACCIDENTS, years, strict=True)
    )


def _result(
    accident: Accident,
    month: str,
    strikes: int,
    year: Sequence[SimulationResult],
    plain: Sequence[SimulationResult],
) -> AccidentResult:
    """Return the outcomes of a year with an accident, compared with the year without one."""
    loop = year[COMPARED.index("titlebout")]
    happened = accident is not ACCIDENTS[0]
    return AccidentResult(
        accident=accident.name,
        month=month if happened else "",
        response=_response(loop, strikes) if happened else "",
        to_read=loop.pull_requests + sum(outcome.decision == "stop" for outcome in loop.outcomes),
        years=tuple(
            Year(
                strategy=one.strategy,
                mean_loss=mean_loss(one.outcomes[strikes:]),
                months_worse=sum(map(_is_worse, one.outcomes[strikes + 1 :], without.outcomes[strikes + 1 :])),
                models=one.pull_requests,
            )
            for one, without in zip(year, plain, strict=True)
        ),
    )


def _is_worse(month: PeriodOutcome, without: PeriodOutcome) -> bool:
    """Return whether a month's loss is larger than without the accident."""
    return month.loss >= (1 + SMALLEST_INCREASE) * without.loss


def _struck(project: Project, start: pd.DataFrame, month: PeriodData, accident: Accident) -> PeriodData:
    """Return the month with an accident."""
    served = accident.served(month.rows) if accident.served else month.rows
    arrived = accident.arrives(month.rows) if accident.arrives else month.rows
    # Who retrains without a check reads the columns that the model knows; one that is not there is empty.
    read = arrived.reindex(columns=month.rows.columns)
    return PeriodData(month.name, served, refusal(project, start, month.name, arrived), read)


def _response(loop: SimulationResult, strikes: int) -> str:
    """Return what the loop did about an accident."""
    if loop.outcomes[strikes].decision == "stop":
        return "batch refused by the data check"
    verdicts = [outcome.verdict for outcome in loop.outcomes[strikes:] if outcome.verdict]
    return f"promoted {verdicts.count('promote')} of {len(verdicts)} challengers"


@dataclass(frozen=True)
class _ChangedCode(ProjectWorkload):
    """A project whose code changes: models of later flights are built by the changed code."""

    changed: Project
    since: pd.Timestamp

    def fit(self, rows: pd.DataFrame, rows_split: Split, /) -> Predictor:
        is_later = timestamps(rows, self.params.data.time).max() >= self.since
        return fit_split(self.changed if is_later else self.project, rows, rows_split)


@contextmanager
def _workload(project: Project, accident: Accident, month: pd.DataFrame) -> Iterator[ProjectWorkload]:
    """Yield the workload of a year with an accident; with a change of code, its package exists while it is used."""
    if accident.code is None:
        yield ProjectWorkload(project)
        return
    with TemporaryDirectory() as folder:
        changed = _change_code(project, Path(folder), accident.code)
        yield _ChangedCode(project, changed, timestamps(month, project.params.data.time).min())


def _change_code(project: Project, folder: Path, change: tuple[str, str]) -> Project:
    """Copy the project into a folder, with a changed text of its feature code in a package of another name."""
    package = project.settings.project.package
    renamed = f"{package}_changed"
    params = f"pipelines/{project.pipeline}/params.yaml"
    (folder / params).parent.mkdir(parents=True)
    _copy_text(project.root / params, folder / params, (f"{package}.model:", f"{renamed}.model:"))
    _copy_text(project.root / SETTINGS_FILE, folder / SETTINGS_FILE, (f'"{package}"', f'"{renamed}"'))
    (folder / "src" / renamed).mkdir(parents=True)
    for module in (project.root / "src" / package).glob("*.py"):
        _copy_text(module, folder / "src" / renamed / module.name, (f"from {package}.", f"from {renamed}."), change)
    return Project.find(folder)


def _copy_text(source: Path, target: Path, *replaced: tuple[str, str]) -> None:
    text = source.read_text(encoding="utf-8")
    for before, after in replaced:
        text = text.replace(before, after)
    target.write_text(text, encoding="utf-8")
