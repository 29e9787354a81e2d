"""Simulate ten synthetic years and a real one under six strategies, and check the claims; exits with 1 if one fails.

``python benchmarks/policy/run.py`` takes twenty minutes of processor time, and writes ``results.json`` and ``tables.md`` beside
this file, the tables into ``docs/explanation/when-to-retrain.md`` and the picture into ``docs/images``. ``--quick`` takes
three minutes: one seed of three worlds, written into ``build/benchmark-policy``.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for record.py, which the benchmarks share

import claims  # noqa: E402
import record  # noqa: E402
import simulations  # noqa: E402
import tables  # noqa: E402
import worlds  # noqa: E402

from titlebout.repository.project import Project  # noqa: E402

ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "explanation" / "when-to-retrain.md"
PICTURE = ROOT / "docs" / "images" / "policies.svg"
ALL = tuple(world.name for world in worlds.WORLDS)


@dataclass(frozen=True)
class Size:
    """Size of the benchmark.

    Attributes
    ----------
    seeds : int
        Number of seeds per world.
    worlds : tuple of str
        Worlds to simulate.
    varied : tuple of str
        Worlds in which variants of titlebout are simulated, with the first seed.
    evidently : int
        Number of samples that are also computed by Evidently.
    flights : bool
        Whether to include the real year of flights.
    """

    seeds: int
    worlds: tuple[str, ...]
    varied: tuple[str, ...]
    evidently: int
    flights: bool


FULL = Size(2, ALL, ("label", "abrupt concept", "gradual concept", "data bug"), 10, True)
QUICK = Size(1, ("nothing", "abrupt concept", "data bug"), (), 3, False)


def measure(size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    """Return everything that was measured, as JSON values."""
    began = time.process_time()
    evidently = simulations.evidently_agrees(7, size.evidently)
    flights = simulations.flights(Project.find(ROOT)) if size.flights else []
    say(f"Evidently and flights: {(time.process_time() - began) / 60:.1f} minutes of processor time")
    rows: list[Mapping[str, Any]] = []
    for seed in range(size.seeds):
        for name in size.worlds:
            parts = simulations.PARTS if seed == 0 and name in size.varied else ()
            rows += simulations.year(name, seed, dict.fromkeys((*simulations.SETTINGS, *parts)))
            say(f"seed {seed}, {name}: {(time.process_time() - began) / 60:.1f} minutes of processor time so far")
    packages = {name: version(name) for name in ("numpy", "scikit-learn", "evidently")}
    about = {"seeds": size.seeds, "minutes": (time.process_time() - began) / 60, **packages}
    return {"about": about, "years": rows, "evidently": evidently, "flights": flights}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed of three worlds")
    given = parser.parse_args(arguments)
    results = measure(QUICK if given.quick else FULL, lambda line: print(line, file=sys.stderr, flush=True))
    found = claims.check(results)
    text = tables.page(results, found)
    record.write(ROOT / "build" / "benchmark-policy" if given.quick else HERE, results, text)
    if not given.quick:
        record.into_page(PAGE, text)
        PICTURE.write_text(tables.picture(results["years"]), encoding="utf-8")
    return record.conclude(found)


if __name__ == "__main__":
    sys.exit(main())
