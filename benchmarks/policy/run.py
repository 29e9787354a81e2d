"""Play ten synthetic years and a real one under six policies, and check what is claimed; exits with 1 when a claim does not hold.

``python benchmarks/policy/run.py`` takes twenty minutes of processor time, and writes ``results.json`` and ``tables.md`` beside
this file, the tables into ``docs/explanation/when-to-retrain.md`` and the picture into ``docs/images``. ``--quick`` takes
three minutes: one seed of three worlds, written into ``build/benchmark-policy``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import claims
import seasons
import tables
import worlds

from titlebout.project import Project

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "explanation" / "when-to-retrain.md"
PICTURE = ROOT / "docs" / "images" / "policies.svg"
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"
ALL = tuple(world.name for world in worlds.WORLDS)


@dataclass(frozen=True)
class Size:
    """How much is played.

    Attributes
    ----------
    seeds : int
    worlds : tuple of str
    varied : tuple of str
        Worlds in which titlebout plays without its parts, with the first seed.
    evidently : int
        Samples that Evidently itself is asked about.
    flights : bool
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
    evidently = seasons.evidently_agrees(7, size.evidently)
    flights = seasons.flights(Project.find(ROOT)) if size.flights else []
    say(f"Evidently and flights: {(time.process_time() - began) / 60:.1f} minutes of processor time")
    rows: list[Mapping[str, Any]] = []
    for seed in range(size.seeds):
        for name in size.worlds:
            parts = seasons.PARTS if seed == 0 and name in size.varied else ()
            rows += seasons.year(name, seed, dict.fromkeys((*seasons.SETTINGS, *parts)))
            say(f"seed {seed}, {name}: {(time.process_time() - began) / 60:.1f} minutes of processor time so far")
    packages = {name: version(name) for name in ("numpy", "scikit-learn", "evidently")}
    about = {"seeds": size.seeds, "minutes": (time.process_time() - began) / 60, **packages}
    return {"about": about, "years": rows, "evidently": evidently, "flights": flights}


def write(folder: Path, results: Mapping[str, Any], found: Sequence[claims.Claim]) -> str:
    """Write results and tables, and return the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    text = tables.page(results, found)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "tables.md").write_text(text, encoding="utf-8")
    return text


def into_page(page: Path, text: str) -> None:
    """Put tables between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed of three worlds")
    given = parser.parse_args(arguments)
    results = measure(QUICK if given.quick else FULL, lambda line: print(line, file=sys.stderr, flush=True))
    found = claims.check(results)
    text = write(ROOT / "build" / "benchmark-policy" if given.quick else HERE, results, found)
    if not given.quick:
        into_page(PAGE, text)
        PICTURE.write_text(tables.picture(results["years"]), encoding="utf-8")
    for claim in found:
        print(f"{'holds' if claim.holds else 'DOES NOT HOLD'}: {claim.said}: {claim.worst}")
    return 0 if all(claim.holds for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
