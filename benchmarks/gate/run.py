"""Measure the error rates of the gate, and check what is claimed of them; exits with 1 when a claim does not hold.

``python benchmarks/gate/run.py`` takes an hour of processor time, and writes ``results.json`` and ``tables.md`` beside this file
and the tables into ``docs/explanation/error-rates-of-the-gate.md``. ``--quick`` takes two minutes, with fewer
repetitions, and writes into ``build/benchmark-gate``. ``--only PART`` runs one part again and keeps the results of the
others. Real series are used if their packages are installed (``benchmarks/requirements-series.txt``).
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for record.py, which the benchmarks share

import agreement_and_time  # noqa: E402
import claims  # noqa: E402
import cross_fitting  # noqa: E402
import dependence  # noqa: E402
import end_to_end  # noqa: E402
import flights  # noqa: E402
import promises  # noqa: E402
import record  # noqa: E402
import tables  # noqa: E402
import type_one  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "explanation" / "error-rates-of-the-gate.md"


@dataclass(frozen=True)
class Size:
    """How much is run: repetitions by number of rows, evaluations for the agreement, and the rest.

    Attributes
    ----------
    type_one, end_to_end : mapping of int to int
    agreement : int
    evidently : int
        Reports of the real library.
    timed : mapping of int to int
        Bootstrap draws that are timed; empty: no times.
    flights : tuple of str
        "a quarter" and "all".
    dependence : int
        Repetitions of synthetic series.
    promises : promises.Size
    cross_fitting : mapping of str to mapping of int to int
        Tables by learner and number of rows.
    """

    type_one: Mapping[int, int]
    end_to_end: Mapping[int, int]
    agreement: int
    evidently: int
    timed: Mapping[int, int]
    flights: tuple[str, ...]
    dependence: int
    promises: promises.Size
    cross_fitting: Mapping[str, Mapping[int, int]]


FULL = Size(
    type_one.REPETITIONS,
    end_to_end.REPETITIONS,
    agreement_and_time.AGREEMENT_TIMES,
    end_to_end.EVIDENTLY_TIMES,
    agreement_and_time.TIMED,
    ("a quarter", "all"),
    dependence.REPETITIONS,
    promises.FULL,
    cross_fitting.REPETITIONS,
)
QUICK = Size(
    {200: 400, 2000: 200, 10_000: 50},
    {200: 100, 2000: 100, 10_000: 10},
    20,
    3,
    {10_000: 50, 1_000_000: 1},
    ("a quarter",),
    200,
    promises.Size({200: 100}, {2000: 50}, {200: 300}, 20, 4, 40),
    {"linear": {100: 40}, "boosting": {100: 8}},
)


def measure(
    seed: int,
    size: Size,
    say: Callable[[str], None],
    only: Collection[str] = (),
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that was measured, as JSON values; with `only`, the other parts are those that are known."""
    began = time.process_time()
    results: dict[str, Any] = {name: part for name, part in (known or {}).items() if name != "about"}
    steps: dict[str, Callable[[], Any]] = {
        "type_one": lambda: type_one.measure(seed, size.type_one),
        "end_to_end": lambda: end_to_end.measure(seed, size.end_to_end),
        "evidently": lambda: end_to_end.evidently_agrees(seed, size.evidently) if size.evidently else None,
        "agreement": lambda: agreement_and_time.agreement(seed, times=size.agreement),
        "dependence": lambda: dependence.measure(seed, size.dependence),
        **promises.parts(seed, size.promises),
        "cross_fitting": lambda: cross_fitting.measure(seed, size.cross_fitting),
    }
    if size.timed:
        steps["times"] = lambda: agreement_and_time.times(seed, size.timed)
        steps["whole"] = lambda: agreement_and_time.whole(seed, max(size.timed), end_to_end.SETTINGS)
    if size.flights:
        steps["flights"] = lambda: {name: _flights(name) for name in size.flights}
    for name, step in steps.items():
        if only and name not in only:
            continue
        results[name] = step()
        say(f"{name}: {(time.process_time() - began) / 60:.1f} minutes of processor time so far")
    packages = {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "evidently")}
    minutes = (time.process_time() - began) / 60 + ((known or {}).get("about", {}).get("minutes", 0) if only else 0)
    return {"about": {"seed": seed, "minutes": minutes, **packages}, **results}


def _flights(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return flights.measure(flights.months(name == "all", Path(folder)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (0)")
    parser.add_argument(
        "--only", action="append", default=[], help="run one part again and keep the others; repeatable"
    )
    parser.add_argument("--kept", action="store_true", help="check the claims on the results that are kept here")
    given = parser.parse_args(arguments)
    if given.kept:
        return record.conclude(claims.check(json.loads((HERE / "results.json").read_text(encoding="utf-8"))))
    folder = Path("build/benchmark-gate") if given.quick else HERE
    known = json.loads((folder / "results.json").read_text(encoding="utf-8")) if given.only else None
    size = QUICK if given.quick else FULL
    results = measure(given.seed, size, lambda line: print(line, file=sys.stderr, flush=True), given.only, known)
    found = claims.check(results)
    text = tables.page(results, found)
    record.write(folder, results, text)
    if not given.quick:
        record.into_page(PAGE, text)
    return record.conclude(found)


if __name__ == "__main__":
    sys.exit(main())
