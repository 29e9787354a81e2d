"""Play the whole fault matrix of the forge, and write down how many cases there are and what the worst one costs.

python benchmarks/forge/faults.py            # some minutes; writes faults.json beside this file
python benchmarks/forge/faults.py --singles  # seconds; prints only

The cases are those of tests/fakes/forge_matrix.py; tests/integration/forge/test_fault_matrix.py plays a part of them in seconds.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from fakes.forge_matrix import KINDS, MAX_REQUESTS, STARTS, Case, pairs, run_case, singles  # noqa: E402
from fakes.github_server import ROOTS  # noqa: E402

RESULT = Path(__file__).with_suffix(".json")


def table(cases: Iterable[Case]) -> dict[str, Any]:
    """Play cases and count them; a case that goes wrong ends it all."""
    counted = {"cases": 0, "run_again": 0, "most_calls": 0, "most_calls_at": ""}
    for case in cases:
        played = run_case(case)
        if played.problems:
            sys.exit(f"{case}: {played.problems}")
        counted["cases"] += 1
        counted["run_again"] += len(played.calls) > 1
        if max(played.calls) > counted["most_calls"]:
            counted |= {"most_calls": max(played.calls), "most_calls_at": str(case)}
    return counted


def main() -> None:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--singles", action="store_true", help="play each fault alone, and write nothing")
    only_singles = parser.parse_args().singles
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    measured: dict[str, Any] = {
        "kinds_of_fault": len(KINDS),
        "calls_allowed": MAX_REQUESTS,
        "calls_without_fault": {start: run_case(Case("github", start)).calls[0] for start in STARTS},
        "singles": table(case for dialect in ROOTS for start in STARTS for case in singles(dialect, start)),
    }
    if not only_singles:
        # GitHub Enterprise differs from GitHub, and Forgejo from Gitea, in the address alone.
        both = (case for dialect in ("github", "gitea") for start in STARTS for case in pairs(dialect, start))
        measured["pairs"] = table(both)
        RESULT.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
