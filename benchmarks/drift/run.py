"""How often drift rules cry wolf, and what they find: ours and its peers, on the same data.

    python benchmarks/drift/run.py [--quick]

writes ``table.md`` and ``table.json`` beside this file. Seeds are fixed. Everything runs in one process; only alibi-detect and
NannyML, which want other versions of numpy and pandas, run in environments that ``peers.py`` makes with uv.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers
import world
from scipy.stats import binomtest

from titlebout.drift.measure import drift
from titlebout.drift.rule import compare
from titlebout.settings.drift import DriftSettings

HERE = Path(__file__).parent
SETTINGS = DriftSettings()
Make = Callable[[world.Random, int, int], dict[str, world.Array]]

# Rows of the reference, rows of the batch, columns, runs.
QUIET = (
    *((5000, 100, 5, 300), (5000, 100, 20, 300), (5000, 100, 200, 40)),
    *((1000, 100, 20, 300), (500, 500, 20, 300), (5000, 500, 5, 300), (5000, 500, 20, 300), (5000, 500, 200, 40)),
    *((1000, 1000, 20, 900), (500, 5000, 20, 300), (5000, 5000, 20, 150), (5000, 5000, 200, 15)),
    *((100_000, 100_000, 5, 40), (100_000, 100_000, 20, 20), (100_000, 100_000, 200, 3)),
)
GROUPED = ((5000, 500, 20, 200), (5000, 1000, 20, 200), (1000, 1000, 20, 200))
PERIODS = ((5000, 500, 150), (2000, 500, 150), (1000, 500, 450), (5000, 2000, 50))
SIDE_BY_SIDE = ((10_000, 100, 40), (5000, 500, 40), (1000, 1000, 40))
FOUND = (5000, 1000, 40)


def statuses(old: dict[str, world.Array], new: dict[str, world.Array]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in compare(world.pairs(old, new), SETTINGS, in_time=True)}


def rate(hits: int, runs: int) -> dict[str, Any]:
    interval = binomtest(hits, runs).proportion_ci(0.95, method="exact")
    return {"hits": hits, "runs": runs, "rate": hits / runs, "low": interval.low, "high": interval.high}


def false_alarms(make: Make, cell: tuple[int, int, int, int], scale: float) -> dict[str, Any]:
    reference, rows, columns, runs = cell
    runs = max(2, round(runs * scale))
    random = np.random.default_rng([reference, rows, columns])
    seen = [set(statuses(make(random, reference, columns), make(random, rows, columns)).values()) for _ in range(runs)]
    about = {"reference": reference, "rows": rows, "columns": columns}
    suspected = sum(bool({"suspect", "drift"} & one) for one in seen)
    return about | rate(sum("drift" in one for one in seen), runs) | {"suspect": suspected / runs}


def with_group_column(cell: tuple[int, int, int, int], scale: float) -> dict[str, Any]:
    """Ten rows per customer, through the public function: tables with times, words and a column that names the customer."""
    reference, rows, columns, runs = cell
    runs = max(2, round(runs * scale / 2))
    random = np.random.default_rng([7, reference, rows])
    settings = SETTINGS.model_copy(update={"entity": ("customer",), "min_rows": 50})
    hits = 0
    for _ in range(runs):
        old, new = (
            world.frame(world.grouped(random, n, columns), start, world.ROWS_PER_GROUP)
            for n, start in ((reference, "2024-01-01"), (rows, "2024-06-01"))
        )
        hits += drift(old, new, settings, "when", world.TARGET).verdict == "drift"
    return {"reference": reference, "rows": rows, "columns": columns} | rate(hits, runs)


def within_two_periods(scenario: str, cell: tuple[int, int, int], scale: float) -> dict[str, Any]:
    """After one period of drift the window is half old, half new; after two it is all new."""
    reference, period, runs = cell
    runs = max(2, round(runs * scale))
    random = np.random.default_rng([11, reference, period])
    first = second = 0
    for _ in range(runs):
        old = world.quiet(random, reference, 20)
        before, *after = (world.quiet(random, period, 20) for _ in range(3))
        one, two = (world.SCENARIOS[scenario](random, table) for table in after)
        first += _worst(statuses(old, _joined(before, one))) != "stable"
        second += _worst(statuses(old, _joined(one, two))) == "drift"
    return {"scenario": scenario, "reference": reference, "period": period, "seen_after_one": first / runs} | rate(
        second, runs
    )


def side_by_side(quick: bool, scale: float) -> list[dict[str, Any]]:
    """Every rule on the same tables: without drift, and with a quarter of a standard deviation in one of 20 columns."""
    cells = [(f"no drift, {old}/{new}", old, new, runs, None) for old, new, runs in SIDE_BY_SIDE]
    cells.append((f"+ 0.25 sd, {FOUND[0]}/{FOUND[1]}", *FOUND, next(iter(world.SCENARIOS))))
    found = []
    for name, old, new, runs, scenario in cells:
        random = np.random.default_rng([13, old, new])
        tables = []
        for _ in range(max(2, round(runs * scale))):
            past, now = world.quiet(random, old, 20), world.quiet(random, new, 20)
            tables.append((past, world.SCENARIOS[scenario](random, now) if scenario else now))
        ours = {"titlebout": [_worst(statuses(*pair)) == "drift" for pair in tables]}
        rules = (
            ours | peers.here(tables) | ({} if quick else peers.elsewhere(tables, HERE.parents[1] / "build" / "peers"))
        )
        found.append({"cell": name, "rules": {rule: _report(alarms) for rule, alarms in rules.items()}})
    return found


def _report(alarms: list[bool] | str) -> Any:
    return alarms if isinstance(alarms, str) else rate(sum(alarms), len(alarms))


def _worst(found: dict[str, str]) -> str:
    return next(status for status in ("drift", "suspect", "stable") if status in found.values())


def _joined(*tables: dict[str, world.Array]) -> dict[str, world.Array]:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def measure(quick: bool) -> dict[str, Any]:
    scale, started = (0.05 if quick else 1.0), time.process_time()
    small = [cell for cell in QUIET if not quick or cell[0] * cell[2] <= 200_000]
    document: dict[str, Any] = {"settings": SETTINGS.model_dump(), "quick": quick}
    document["quiet"] = [_say(false_alarms(world.quiet, cell, scale)) for cell in small]
    document["grouped"] = [_say(false_alarms(world.grouped, cell, scale)) for cell in GROUPED]
    document["wandering"] = [_say(false_alarms(world.wandering, cell, scale)) for cell in GROUPED]
    document["with_group_column"] = [_say(with_group_column(cell, scale)) for cell in GROUPED]
    first, *others = world.SCENARIOS
    document["found"] = [_say(within_two_periods(first, cell, scale)) for cell in PERIODS]
    document["found"] += [_say(within_two_periods(one, (5000, 500, 50), scale)) for one in others]
    document["side_by_side"] = side_by_side(quick, scale)
    return document | {"cpu_seconds": round(time.process_time() - started)}


def _say(row: dict[str, Any]) -> dict[str, Any]:
    print(row, file=sys.stderr, flush=True)
    return row


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _rate(row: dict[str, Any]) -> str:
    return f"{row['hits']} of {row['runs']} ({_percent(row['low'])} to {_percent(row['high'])})"


def _table(headers: list[str], rows: list[list[Any]]) -> str:
    lines = [headers, ["---"] * len(headers), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _alarm_table(rows: list[dict[str, Any]]) -> str:
    headers = [
        "reference rows",
        "batch rows",
        "columns",
        "runs with the verdict drift (95% interval)",
        "suspect or drift",
    ]
    reported = [
        [
            f"{row['reference']:,}",
            f"{row['rows']:,}",
            row["columns"],
            _rate(row),
            _percent(row["suspect"]) if "suspect" in row else "-",
        ]
        for row in rows
    ]
    return _table(headers, reported)


def render(document: dict[str, Any]) -> str:
    quiet = document["quiet"]
    every = rate(sum(row["hits"] for row in quiet), sum(row["runs"] for row in quiet))
    found = _table(
        [
            "what changed",
            "reference rows",
            "rows per period",
            "seen after one period",
            "drift after two (95% interval)",
        ],
        [
            [r["scenario"], f"{r['reference']:,}", f"{r['period']:,}", _percent(r["seen_after_one"]), _rate(r)]
            for r in document["found"]
        ],
    )
    cells = document["side_by_side"]
    names = list(dict.fromkeys(name for cell in cells for name in cell["rules"]))
    peers_table = _table(
        ["rule", *(cell["cell"] for cell in cells)],
        [[name, *(_cell(cell["rules"].get(name, "not run")) for cell in cells)] for name in names],
    )
    quick = "\n**Quick run: too few runs to say anything.**\n" if document["quick"] else ""
    return TEMPLATE.format(
        quick=quick,
        quiet=_alarm_table(quiet),
        every=_rate(every),
        grouped=_alarm_table(document["grouped"]),
        wandering=_alarm_table(document["wandering"]),
        group_column=_alarm_table(document["with_group_column"]),
        found=found,
        peers=peers_table,
        seconds=document["cpu_seconds"],
    )


def _cell(row: Any) -> str:
    return row if isinstance(row, str) else f"{_percent(row['rate'])} of {row['runs']}"


TEMPLATE = """\
# Drift: false alarms and power, measured

Written by `python benchmarks/drift/run.py` ({seconds} s of CPU time). The world is in `world.py`: 19 kinds of columns (normal,
skewed, heavy-tailed, counts, mostly zero, with gaps, 2 to 300 levels) and a label; thresholds are the defaults.
{quick}
## No drift, independent rows

{quiet}

All together: {every}.

## No drift, ten equal rows per customer that arrive together, no entity column

{grouped}

## The same with `drift.entity`

{group_column}

## No drift, numbers that wander: a tenth of their variance is a slow motion that all columns share

{wandering}

## One of 20 columns changes

Seen: *suspect* or *drift* when half of the window has changed. Drift: when all of it has.

{found}

## Side by side: share of runs with an alarm

The same tables for every rule, 20 columns; the batch is the whole window. One column has 300 levels, which alone is enough
for a score that is not corrected for their number (PSI, Jensen-Shannon).

{peers}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of the runs, without the peers that need an environment"
    )
    quick = parser.parse_args().quick
    document = measure(quick)
    folder = HERE.parents[1] / "build" / "benchmarks" if quick else HERE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(render(document), encoding="utf-8")


if __name__ == "__main__":
    main()
