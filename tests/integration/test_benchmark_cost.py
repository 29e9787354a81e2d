"""The figures on the page about costs are those that were measured."""

import importlib.util
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks" / "cost"


def test_the_committed_costs_are_those_of_the_page() -> None:
    sys.path.insert(0, str(FOLDER.parent))
    spec = importlib.util.spec_from_file_location("cost_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    sys.modules["cost_run"] = run
    try:
        spec.loader.exec_module(run)
    finally:
        del sys.modules["cost_run"], sys.modules["record"]
        sys.path.remove(str(FOLDER.parent))

    found = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    assert run.page(found) in run.PAGE.read_text(encoding="utf-8")
    assert {one["job"] for one in found["costs"]} == {"every job", *run.JOBS}
