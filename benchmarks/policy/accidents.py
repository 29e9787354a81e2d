"""Replay the accidents of the demo in every month that has months before and after it, and check the claims of decision 32.

    python benchmarks/policy/accidents.py          simulate: about a quarter of an hour of processor time
    python benchmarks/policy/accidents.py --kept   the results that are kept in the repository

The claims were written before any month but August was tried.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT)]

import pandas as pd  # noqa: E402
from record import Claim, conclude, table  # noqa: E402

from demo.accidents import COMPARED, FEWEST_MONTHS, AccidentResult, replay_accidents  # noqa: E402
from demo.replay import FIRST_MONTHS  # noqa: E402
from titlebout.backtest.backtest import refusal  # noqa: E402
from titlebout.backtest.simulation import PeriodData  # noqa: E402
from titlebout.data.tables import read_table  # noqa: E402
from titlebout.repository.dvc import Dvc  # noqa: E402
from titlebout.repository.project import Project  # noqa: E402

RESULTS = HERE / "accidents.json"
TABLES = HERE / "accidents.md"
LARGEST_COST = 0.003  # of an accident, in log loss
MOST_TO_READ = 2  # more than in the year without accident
WEATHER, LABELS, BUG = "the weather is missing", "the labels mean on time", "a bug in the features"

Row = dict[str, Any]


def simulate() -> list[Row]:
    """Return a row per accident and month in which it happens."""
    project = Project.find(ROOT)
    Dvc(project).pull_data()
    tables = [(path.stem, read_table(path)) for path in sorted(project.data_dir.glob("*.parquet"))]
    start = pd.concat([rows for _, rows in tables[:FIRST_MONTHS]], ignore_index=True)
    months = [PeriodData(name, rows, refusal(project, start, name, rows)) for name, rows in tables[FIRST_MONTHS:]]
    return [
        {**result.model_dump(mode="json"), "month": months[strikes].name}
        for strikes in range(1, len(months) - FEWEST_MONTHS + 2)
        for result in _announced(project, start, months, strikes)
    ]


def _announced(
    project: Project, start: pd.DataFrame, months: Sequence[PeriodData], strikes: int
) -> tuple[AccidentResult, ...]:
    print(f"accidents in {months[strikes].name}", file=sys.stderr, flush=True)
    return replay_accidents(project, start, months, strikes, lambda _: None)


def check(rows: Sequence[Row]) -> list[Claim]:
    """Return the claims."""
    found = list(_compared(rows))
    costs = [
        (row["cost"]["titlebout"] - (row["cost"]["never"] if row["accident"] == WEATHER else 0), row) for row in found
    ]
    cost, worst = max(costs, key=lambda pair: pair[0])
    worse = [row for row in found if _worse(row, "titlebout")]
    read, most = max(((row["to_read"] - row["plain_to_read"], row) for row in found), key=lambda pair: pair[0])
    return [
        Claim(
            "no month of the loop is worse",
            f"{len(worse)} of {len(found)} years have one{_places(worse)}",
            not worse,
        ),
        Claim(
            f"an accident costs the loop at most {LARGEST_COST} of log loss",
            f"{cost:+.4f} ({worst['accident']}, {worst['month']})",
            cost <= LARGEST_COST,
        ),
        *(_harm(found, accident) for accident in (LABELS, BUG)),
        Claim(
            f"at most {MOST_TO_READ} pull requests and issues more than without accident",
            f"{read:+d} ({most['accident']}, {most['month']})",
            read <= MOST_TO_READ,
        ),
    ]


def _harm(found: Sequence[Row], accident: str) -> Claim:
    years = [row for row in found if row["accident"] == accident]
    harmed = [row for row in years if _worse(row, "every_ungated")]
    return Claim(
        f"without a gate, at least one month is worse: {accident}",
        f"{len(harmed)} of {len(years)} years",
        harmed == years,
    )


def _compared(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the years with an accident, with what it costs each strategy."""
    plain: Row = {}
    for row in rows:
        if not row["response"]:
            plain = row
            continue
        cost = {name: _loss(row, name) - _loss(plain, name) for name in COMPARED}
        yield {**row, "cost": cost, "plain_to_read": plain["to_read"]}


def _loss(row: Row, strategy: str) -> float:
    return float(row["years"][COMPARED.index(strategy)]["mean_loss"])


def _worse(row: Row, strategy: str) -> int:
    return int(row["years"][COMPARED.index(strategy)]["months_worse"])


def _places(rows: Sequence[Row]) -> str:
    return "".join(f"; {row['accident']}, {row['month']}" for row in rows)


def tables(rows: Sequence[Row], claims: Sequence[Claim]) -> str:
    """Return the claims, and a row per accident and month, as Markdown."""
    lines = [
        *table(claims),
        "",
        "| accident | month | cost: never | no gate | titlebout | months worse: no gate | titlebout |",
    ]
    lines += ["| --- | --- | --: | --: | --: | --: | --: |"]
    lines += [
        f"| {row['accident']} | {row['month']} | "
        + " | ".join(f"{row['cost'][name]:+.4f}" for name in COMPARED)
        + f" | {_worse(row, 'every_ungated')} | {_worse(row, 'titlebout')} |"
        for row in sorted(_compared(rows), key=lambda row: row["accident"])
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", action="store_true", help="check the results that are kept in the repository")
    if parser.parse_args(arguments).kept:
        return conclude(check(json.loads(RESULTS.read_text(encoding="utf-8"))))
    rows = simulate()
    claims = check(rows)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    TABLES.write_text(tables(rows, claims), encoding="utf-8")
    return conclude(claims)


if __name__ == "__main__":
    sys.exit(main())
