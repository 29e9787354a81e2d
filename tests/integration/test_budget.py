"""The budget of a pure test is kept: what costs more or starts something fails, by name and with the reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

import budget

pytest_plugins = "pytester"

Run = Callable[[str], pytest.RunResult]
HOOKS = Path(__file__).parents[1] / "unit" / "conftest.py"
BURN = """
import time

def burn(seconds=0.4):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the text of a test file as a pure test that fails after a fifth of a second."""
    monkeypatch.setattr(budget, "CPU_SECONDS", 0.2 / budget.BUSY)
    pytester.makeconftest(HOOKS.read_text(encoding="utf-8"))
    pytester.makepyfile(burning=BURN)
    pytester.syspathinsert()

    def call(text: str) -> pytest.RunResult:
        pytester.makepyfile(f"import subprocess, socket, os, pytest\nfrom burning import burn\n{text}")
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist")

    return call


STARTED = {
    "a child": "subprocess.run(['true'])",
    "a fork": "os._exit(0) if os.fork() == 0 else os.wait()",
    "a spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "a shell": "os.system('true')",
    "a server": "socket.create_server(('127.0.0.1', 0)).close()",
}


@pytest.mark.parametrize("line", STARTED.values(), ids=STARTED)
def test_a_test_that_starts_something_fails(line: str, run: Run) -> None:
    result = run(f"def test_it():\n    {line}")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it belongs in tests/integration: it starts *"])


def test_a_fixture_that_starts_something_fails_the_test(run: Run) -> None:
    result = run("@pytest.fixture(scope='session')\ndef made():\n    os.system('true')\n\ndef test_it(made): pass")

    result.assert_outcomes(failed=1)


@pytest.mark.parametrize(
    "text",
    [
        "def test_it(): burn()",
        "@pytest.fixture\ndef made(): burn()\n\ndef test_it(made): pass",
        "@pytest.fixture\ndef made(): burn(0.12)\n\ndef test_it(made): burn(0.12)",
    ],
    ids=["test", "fixture", "both"],
)
def test_a_test_over_the_budget_fails(text: str, run: Run) -> None:
    result = run(text)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it belongs in tests/integration: it uses 0.? CPU seconds, more than 0.2"])


@pytest.mark.parametrize(
    "text",
    [
        "def test_it(): pass",
        "def test_it(): burn(0.01)",
        "def test_it(): time = __import__('time'); time.sleep(0.2)",
        "@pytest.fixture(scope='module')\ndef made(): burn()\n\ndef test_it(made): pass",
        "def test_it(): import costly",
        "@pytest.fixture(scope='module')\ndef made(): import costly\n\ndef test_it(made): burn(0.01)",
    ],
    ids=["nothing", "little", "waiting", "shared fixture", "import", "import in a shared fixture"],
)
def test_what_is_cheap_or_shared_passes(text: str, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(costly="from burning import burn\nburn()")

    run(text).assert_outcomes(passed=1)


def test_an_import_in_a_shared_fixture_is_taken_off_once(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(costly="from burning import burn\nburn()")
    text = "@pytest.fixture(scope='module')\ndef made(): import costly\n\ndef test_it(made): burn(0.3)"

    run(text).assert_outcomes(failed=1)


def test_a_property_gets_time_for_its_examples(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        budget.PROFILES, "fast", 1
    )  # far more than the budget, so that what hypothesis itself uses does not matter
    text = (
        "from hypothesis import given, settings, strategies as st\n"
        "@given(st.integers())\n@settings(max_examples=30, deadline=None)\ndef test_it(number): burn(0.4 / 30)"
    )

    run(text).assert_outcomes(passed=1)


def test_a_failing_test_keeps_its_own_words(run: Run) -> None:
    result = run("def test_it():\n    os.system('true')\n    assert 'mine' == 'yours'")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 'mine' == 'yours'*"])
    result.stdout.no_fnmatch_line("*belongs in*")
