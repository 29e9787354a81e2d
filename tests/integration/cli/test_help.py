"""Help is as quick as the parser alone, in a process of its own."""

import json
import resource
import statistics
import sys
from collections.abc import Callable

import pytest

from titlebout.core import process

HEAVY = {
    "bentoml",
    "dvc",
    "evidently",
    "great_expectations",
    "httpx",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "rich",
    "scipy",
    "skops",
    "sklearn",
    "yaml",
}


def python(*arguments: str) -> str:
    return process.run([sys.executable, *arguments]).stdout


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], ["trian"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import json, sys
from titlebout.cli.main import run
run({arguments!r})
print()
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))
"""
    loaded = set(json.loads(python("-c", script).splitlines()[-1]))

    assert "click" in loaded
    assert loaded & HEAVY == set()


def cost(*arguments: str) -> float:
    """Return the processor seconds of one run of the interpreter: a busy machine does not change them much."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def test_help_costs_little_more_than_click() -> None:
    ways: dict[str, Callable[[], float]] = {
        "help": lambda: cost("-m", "titlebout", "--help"),
        "click": lambda: cost("-c", "import click"),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(9):
        for name, way in ways.items():
            found[name].append(way())

    assert statistics.median(found["help"]) <= 2.5 * statistics.median(found["click"])
