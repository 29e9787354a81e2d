"""False alarms in worlds without drift, and changes that are found; checks the claims and exits with 1 if one fails.

    python benchmarks/drift/claims.py [--quick] [--tuning]

The bounds were written before the run, and the run uses a shape of the worlds and seeds on which nothing was tuned (``worlds.py``).
Results are kept in ``build/drift-claims`` after every world, so that an interrupted run goes on where it stopped; a full run takes
ten minutes of processor time and writes ``claims.json`` and ``claims.md`` beside this file and the tables into the page about the limits of drift. ``--tuning`` runs the shape
on which the rule was tuned.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import worlds
from scipy.stats import binomtest
from worlds import TARGET, TIME

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for record.py, which the benchmarks share

from record import Claim, conclude, into_page, table  # noqa: E402

from titlebout.drift.alignment import one_per_group, pairs  # noqa: E402
from titlebout.drift.entities import find_entities, with_groups  # noqa: E402
from titlebout.drift.false_alarms import count_false_alarms  # noqa: E402
from titlebout.drift.report import share_drifted  # noqa: E402
from titlebout.drift.rule import compare  # noqa: E402
from titlebout.settings.drift import DriftSettings  # noqa: E402

ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "explanation" / "limits-of-drift.md"
SETTINGS = DriftSettings()
MOST_FALSE, LEAST_FOUND, LEAST_RUNS = 0.01, 0.9, 2_000
RUNS, CHANGED, OTHERS, BESIDE = 150, 60, 20, 3  # runs of a world, of a change, of another change, of Evidently
SELFTESTS, PART = 4, 25  # runs of the selftest, and runs kept in one file
PSI, BINS = 0.2, 10

Row = dict[str, Any]


def false_alarms(number: int, shape: worlds.Shape, runs: range, beside: int) -> Row:
    """Return in how many runs of a world each rule gives an alarm."""
    world = worlds.WORLDS[number]
    alarms = {"titlebout": 0, "suspect": 0, "half": 0, "any": 0, "psi": 0}
    for run in runs:
        old, new = world.draw(np.random.default_rng([shape.seed + run, number]), shape)
        statuses = compared(old, new, world)
        alarms["titlebout"] += "drift" in statuses
        alarms["suspect"] += "drift" not in statuses and "suspect" in statuses
        if run < beside:
            share, by_psi = beside_it(old, new, world)
            alarms["half"] += share >= 0.5
            alarms["any"] += share > 0
            alarms["psi"] += by_psi
    return {"world": world.name, "runs": len(runs), "beside": max(0, min(beside - runs.start, len(runs))), **alarms}


def compared(old: pd.DataFrame, new: pd.DataFrame, world: worlds.World) -> set[str]:
    """Return the statuses of the columns, as :func:`titlebout.drift.measure.drift` finds them in tables that can be compared."""
    entity = world.settings.get("entity", ())
    if entity:
        old, new = (one_per_group(side, entity) for side in (old, new))
    columns = list(pairs(old, new, [name for name in old if name not in {TIME, *entity}], TARGET))
    columns = with_groups(columns, [] if entity else find_entities(columns))
    return {column.status for column in compare(columns, SETTINGS, in_time=bool(world.time))}


def beside_it(old: pd.DataFrame, new: pd.DataFrame, world: worlds.World) -> tuple[float, bool]:
    """Return the share of columns that drifted by Evidently's defaults, and whether the PSI of any is 0.2 or more."""
    sides = [side.drop(columns=[TIME, *world.settings.get("entity", ())], errors="ignore") for side in (old, new)]
    return share_drifted(*sides), any(_psi(sides[0][name], sides[1][name]) >= PSI for name in sides[0])


def _psi(old: "pd.Series[Any]", new: "pd.Series[Any]") -> float:
    if pd.api.types.is_numeric_dtype(old) and old.nunique() > BINS:
        edges = np.unique(np.quantile(old.dropna(), np.linspace(0, 1, BINS + 1)))[1:-1]
        old, new = (pd.Series(np.searchsorted(edges, side.dropna())) for side in (old, new))
    shares = [side.value_counts(normalize=True) for side in (old, new)]
    levels = shares[0].index.union(shares[1].index)
    past, now = (share.reindex(levels, fill_value=0).clip(lower=1e-4) for share in shares)
    return float(((now - past) * np.log(now / past)).sum())


def found(name: str, shape: worlds.Shape, runs: range, beside: int) -> Row:
    """Return how often a change of both of two periods is found."""
    change = (worlds.CHANGES | worlds.OTHER_CHANGES)[name]
    hits = {"titlebout": 0, "half": 0, "any": 0}
    for run in runs:
        random = np.random.default_rng([shape.seed + run, *name.encode()])
        old = worlds.timed(worlds.mixed(random, shape.rows, shape), "2024-01-01", 100)
        new = worlds.timed(change(random, worlds.mixed(random, 2 * shape.batch, shape)), "2024-06-01", 14)
        hits["titlebout"] += "drift" in compared(old, new, worlds.WORLDS[0])
        if run < beside:
            share = share_drifted(old.drop(columns=TIME), new.drop(columns=TIME))
            hits["half"] += share >= 0.5
            hits["any"] += share > 0
    return {"change": name, "runs": len(runs), "beside": max(0, min(beside - runs.start, len(runs))), **hits}


def selftests(shape: worlds.Shape, runs: range) -> Row:
    """Return how often the selftest and the next batches disagree, in worlds of customers without a named column."""
    agree, kept = 0, 0
    for run in runs:
        key = ("number", "text", "none", "columns")[run % 4]
        random = np.random.default_rng([shape.seed + run, 77])
        rows = worlds.customers(random, shape.rows, shape, key, 0)
        old = worlds.timed(rows.iloc[random.permutation(len(rows))], "2024-01-01", 100)
        verdict = count_false_alarms(old, SETTINGS, TIME, TARGET).verdict
        alarms = 0
        for batch in range(6):
            rows = worlds.customers(random, shape.batch, shape, key, 100_000 * (batch + 1))
            new = worlds.timed(rows.iloc[random.permutation(len(rows))], "2024-06-01", 14)
            alarms += "drift" in compared(old, new, worlds.WORLDS[0])
        kept += verdict == "kept"
        agree += (alarms <= 1) == (verdict == "kept")
    return {"selftest": "customers, spread, not named", "runs": len(runs), "agree": agree, "kept": kept}


def measure(shape: worlds.Shape, scale: float, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Return all figures; each part of the runs is kept in a file of its own as soon as it is known."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = max(1, round(BESIDE * scale))
    steps: list[tuple[str, int, Callable[[range], Row]]] = [
        (f"quiet {world.name}", RUNS, lambda runs, number=number: false_alarms(number, shape, runs, beside))
        for number, world in enumerate(worlds.WORLDS)
    ]
    for names, many in ((worlds.CHANGES, CHANGED), (worlds.OTHER_CHANGES, OTHERS)):
        steps += [(f"found {name}", many, lambda runs, name=name: found(name, shape, runs, beside)) for name in names]
    steps.append(("selftest", SELFTESTS, lambda runs: selftests(shape, runs)))
    # Part by part of all steps, so that an interrupted run has some runs of each.
    parts = [(step, runs, run) for step, many, run in steps for runs in _parts(max(2, round(many * scale)))]
    started = time.process_time()
    for step, runs, run in sorted(parts, key=lambda part: part[1].start):
        path = _path(folder, step, runs)
        if not path.is_file():
            path.write_text(json.dumps(run(runs)), encoding="utf-8")
            say(f"{time.process_time() - started:.0f} s: {path.read_text(encoding='utf-8')}")
    rows = {
        step: [json.loads(_path(folder, step, runs).read_text()) for one, runs, _ in parts if one == step]
        for step, *_ in steps
    }
    return {"shape": shape.__dict__, "rows": [_sum(some) for some in rows.values()]}


def _parts(runs: int) -> list[range]:
    return [range(first, min(first + PART, runs)) for first in range(0, runs, PART)]


def _path(folder: Path, step: str, runs: range) -> Path:
    return folder / f"{''.join(letter if letter.isalnum() else '-' for letter in step)}-{runs.start}-{runs.stop}.json"


def _sum(rows: Sequence[Row]) -> Row:
    return {
        name: value if isinstance(value, str) else sum(row[name] for row in rows) for name, value in rows[0].items()
    }


def check(rows: Sequence[Row], least_runs: int) -> Iterator[Claim]:
    """Check the bounds."""
    quiet = [row for row in rows if "world" in row]
    hits, runs = sum(row["titlebout"] for row in quiet), sum(row["runs"] for row in quiet)
    claim = (
        f"at most {MOST_FALSE:.0%} of all runs without drift give the verdict drift, of at least {least_runs:,} runs"
    )
    yield Claim(claim, _rate(hits, runs), hits <= MOST_FALSE * runs and runs >= least_runs)
    worst = max(quiet, key=lambda row: row["titlebout"] / row["runs"])
    low = binomtest(worst["titlebout"], worst["runs"]).proportion_ci(0.95, method="wilson").low
    claim = "in no world without drift is the rate above 3% by more than chance"
    yield Claim(claim, f"{_rate(worst['titlebout'], worst['runs'])} in {worst['world']}", bool(low <= 0.03))
    for row in rows:
        if row.get("change") in worlds.CHANGES:
            claim = f"found within two periods of 500 rows in at least {LEAST_FOUND:.0%}: {row['change']}"
            yield Claim(claim, _rate(row["titlebout"], row["runs"]), row["titlebout"] >= LEAST_FOUND * row["runs"])
        if "selftest" in row:
            claim = "the selftest is kept exactly where at most one of the next six batches gives a false alarm"
            yield Claim(claim, f"{row['agree']} of {row['runs']}", row["agree"] == row["runs"])


def _rate(hits: int, runs: int) -> str:
    interval = binomtest(int(hits), runs).proportion_ci(0.95, method="wilson")
    return f"{hits} of {runs:,} ({100 * interval.low:.1f} to {100 * interval.high:.1f}%)"


def render(document: dict[str, Any], claims: Sequence[Claim]) -> str:
    """Return claims and tables as Markdown."""
    rows = document["rows"]
    lines = table(claims)
    lines += [
        "",
        "| no drift | verdict *drift* | *suspect* | Evidently, half of the columns | Evidently, any column | any PSI ≥ 0.2 |",
    ]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        if "world" in row:
            beside = " | ".join(f"{row[rule]} of {row['beside']}" for rule in ("half", "any", "psi"))
            lines += [f"| {row['world']} | {_rate(row['titlebout'], row['runs'])} | {row['suspect']} | {beside} |"]
    lines += [
        "",
        "| change, 500 rows a period | *drift* after two periods | Evidently, half of the columns | any column |",
    ]
    lines += ["| --- | --- | --- | --- |"]
    for row in rows:
        if "change" in row:
            beside = " | ".join(f"{row[rule]} of {row['beside']}" for rule in ("half", "any"))
            lines += [f"| {row['change']} | {_rate(row['titlebout'], row['runs'])} | {beside} |"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the runs; shows that the script works")
    parser.add_argument("--tuning", action="store_true", help="the shape on which the rule was tuned")
    parser.add_argument("--kept", action="store_true", help="check the claims on the results that are kept here")
    given = parser.parse_args()
    if given.kept:
        kept = json.loads((HERE / "claims.json").read_text(encoding="utf-8"))
        return conclude(list(check(kept["rows"], LEAST_RUNS)))
    shape = worlds.TUNING if given.tuning else worlds.JUDGING
    scale = 0.02 if given.quick else 1.0
    folder = ROOT / "build" / "drift-claims" / f"{shape.name}{'-quick' if given.quick else ''}"
    document = measure(shape, scale, folder, lambda line: print(line, file=sys.stderr, flush=True))
    claims = list(check(document["rows"], 0 if given.quick else LEAST_RUNS))
    document["claims"] = [replace(claim).__dict__ for claim in claims]
    target = folder if given.quick or given.tuning else HERE
    (target / "claims.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text = render(document, claims)
    (target / "claims.md").write_text(text, encoding="utf-8")
    if target == HERE:
        into_page(PAGE, text)
    return conclude(claims)


if __name__ == "__main__":
    sys.exit(main())
