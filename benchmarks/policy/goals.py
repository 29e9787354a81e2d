"""False decay on losses drawn anew, and backtests on real tables; checks the goals and exits with 1 if one does not hold.

    python benchmarks/policy/goals.py [--quick] [--tuning]

The bounds were written before the run. Losses and tables are not those that thresholds were chosen on (``decay.py``,
``series.py``); ``--tuning`` runs these. Results are kept in ``build/policy-goals`` after every step, so that an interrupted run
goes on where it stopped; a full run takes fifteen minutes of processor time and writes ``goals.json`` and ``goals.md``
beside this file, and the tables into ``docs/explanation/when-to-retrain.md``. A table whose package is not installed is left out,
and without any the goals on real tables do not hold.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for record.py, which the benchmarks share

import decay  # noqa: E402
import record  # noqa: E402
import series  # noqa: E402
from record import Claim  # noqa: E402

from titlebout.backtest.report import LEVEL, paired  # noqa: E402

ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "explanation" / "when-to-retrain.md"
BEGIN, END = "<!-- goals: begin -->\n", "<!-- goals: end -->\n"
HALF = 0.5  # of the attempts and pull requests of `every`, at most
RUNS = 300  # half-years of a world

Row = dict[str, Any]


def played(one: series.Series) -> Row:
    """Return the figures of all strategies on one table."""
    results = {result.strategy: result for result in series.play(one)}
    ours, every = results["titlebout"], results["every"]
    more = paired(ours.outcomes, every.outcomes)
    reasons = Counter(f"{outcome.reason}: {outcome.verdict}" for outcome in ours.outcomes if outcome.verdict)
    return {
        "series": one.name,
        "periods": len(ours.outcomes),
        "more": more.gain,
        "half_width": more.half_width(LEVEL / 2),
        "reasons": dict(sorted(reasons.items())),
        "strategies": {
            name: {"loss": found.mean_loss, "attempts": found.attempts, "pull_requests": found.pull_requests}
            for name, found in results.items()
        },
    }


def measure(*, tuning: bool, runs: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Return all figures; each is kept in a file of its own as soon as it is known."""
    folder.mkdir(parents=True, exist_ok=True)
    shape, tables = ("tuning", series.TUNING) if tuning else ("judging", series.JUDGING)
    steps: dict[str, Callable[[], Any]] = {one.name: lambda one=one: played(one) for one in tables if one.installed}
    steps["decay"] = lambda: decay.measure(shape, runs, say)
    found, started = {}, time.process_time()
    for step, run in steps.items():
        path = folder / f"{step.replace(' ', '-')}.json"
        if not path.is_file():
            path.write_text(json.dumps(run()), encoding="utf-8")
        found[step] = json.loads(path.read_text(encoding="utf-8"))
        say(f"{time.process_time() - started:.0f} s: {step}: {found[step]}")
    missing = [one.name for one in tables if not one.installed]
    return {"decay": found.pop("decay"), "series": list(found.values()), "missing": missing}


def check(results: dict[str, Any]) -> Iterator[Claim]:
    """Check the bounds."""
    yield from decay.claims(results["decay"])
    rows = results["series"]
    if not rows:
        yield Claim("goals on real tables", "no package is installed", holds=False)
        return
    worse = [row["series"] for row in rows if row["more"] > row["half_width"]]
    yield Claim(
        "on real tables, `titlebout` is not shown worse than `every` in loss", ", ".join(worse) or "none", not worse
    )
    for what in ("attempts", "pull_requests"):
        ours, theirs = (sum(row["strategies"][name][what] for row in rows) for name in ("titlebout", "every"))
        claim = f"on all real tables together, at most half of the {what.replace('_', ' ')} of `every`"
        yield Claim(claim, f"{ours} of {theirs}", ours <= HALF * theirs)
        more = [row["series"] for row in rows if _more(row, what)]
        yield Claim(f"on no real table more {what.replace('_', ' ')} than `every`", ", ".join(more) or "none", not more)


def _more(row: Row, what: str) -> bool:
    return bool(row["strategies"]["titlebout"][what] > row["strategies"]["every"][what])


def render(results: dict[str, Any], claims: Sequence[Claim]) -> str:
    """Return claims and tables as Markdown."""
    lines = record.table(claims)
    lines += ["", decay.table(results["decay"]), ""]
    lines += [
        "| table | weeks | loss: `never` | `every` | `titlebout` | difference to `every`, 95% | attempts | pull requests | of `titlebout` |"
    ]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in results["series"]:
        losses = [f"{row['strategies'][name]['loss']:.4g}" for name in series.PLAYED]
        counts = [
            " / ".join(str(row["strategies"][name][what]) for name in ("every", "titlebout"))
            for what in ("attempts", "pull_requests")
        ]
        reasons = ", ".join(f"{many} {name}" for name, many in row["reasons"].items()) or "none"
        difference = f"{row['more']:+.2g} ± {row['half_width']:.2g}"
        lines.append(f"| {' | '.join([row['series'], str(row['periods']), *losses, difference, *counts, reasons])} |")
    lines += ["", "Attempts and pull requests: `every` / `titlebout`."]
    if results["missing"]:
        lines += [f"Not installed: {', '.join(results['missing'])}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few half-years of every world")
    parser.add_argument("--tuning", action="store_true", help="the losses and tables on which thresholds were chosen")
    parser.add_argument("--kept", action="store_true", help="check the claims on the results that are kept here")
    given = parser.parse_args()
    if given.kept:
        return record.conclude(list(check(json.loads((HERE / "goals.json").read_text(encoding="utf-8")))))
    name = f"{'tuning' if given.tuning else 'judging'}{'-quick' if given.quick else ''}"
    folder = ROOT / "build" / "policy-goals" / name
    results = measure(
        tuning=given.tuning,
        runs=8 if given.quick else RUNS,
        folder=folder,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    claims = list(check(results))
    text = render(results, claims)
    target = folder if given.quick or given.tuning else HERE
    (target / "goals.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (target / "goals.md").write_text(text, encoding="utf-8")
    if target == HERE:
        record.into_page(PAGE, text, (BEGIN, END))
    return record.conclude(claims)


if __name__ == "__main__":
    sys.exit(main())
