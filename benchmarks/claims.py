"""Print every claim about error rates with its measured value; ends with 1 if one does not hold.

    python benchmarks/claims.py              the results that are kept in the repository
    python benchmarks/claims.py --measure    measure everything again: two hours of processor time

The claims are those of ``gate/run.py``, ``drift/claims.py`` and ``policy/goals.py``, and were written before these ran.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = {"gate": "gate/run.py", "drift": "drift/claims.py", "policy": "policy/goals.py"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure everything again")
    given = parser.parse_args(arguments)
    codes = []
    for name, script in SCRIPTS.items():
        print(f"\n{name}", flush=True)
        command = [sys.executable, str(HERE / script), *([] if given.measure else ["--kept"])]
        codes.append(subprocess.run(command, check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
