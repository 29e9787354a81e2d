"""What a test of `unit` or `cli` may cost: two seconds of CPU time, and nothing that it starts.

It fails at three times that: the CPU time of one test was 4.3 s alone and 7.0 s on a busy machine (shared caches and
cores), and a test must not fail by what else runs.

What is made once for several tests is not charged to the one that happens to be the first: shared fixtures, imports.
A property that is tried with more examples than `make test-fast` asks for gets as much more time. The `conftest.py` of such a folder imports the hooks below; pytest then calls them for the tests of that folder only.
"""

import builtins
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings

from examples import PROFILES

CPU_SECONDS = 2.0
BUSY = 3
STARTS = {
    "os.exec": "a program",
    "os.fork": "a child process",
    "os.forkpty": "a child process",
    "os.posix_spawn": "a child process",
    "os.spawn": "a child process",
    "os.system": "a shell",
    "pty.spawn": "a child process",
    "socket.bind": "a server",
    "subprocess.Popen": "a child process",
}


@dataclass
class _Account:
    """What one test has used and started.

    Attributes
    ----------
    seconds : float
        CPU time of this process, all threads, while the test was set up and run.
    started : list of str
    """

    seconds: float = 0.0
    started: list[str] = field(default_factory=list)


_accounts: list[_Account] = []  # the last one is of the test that runs; those before it run pytest themselves
_sharing: list[str] = []  # what is being made for several tests: a fixture, and an import within it


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    if event in STARTS and _accounts:
        _accounts[-1].started.append(f"{STARTS[event]} ({event}{arguments[:1]})")


sys.addaudithook(_notice)


@contextmanager
def _charged(sign: int = 1) -> Iterator[None]:
    begun = time.process_time()
    try:
        yield
    finally:
        _accounts[-1].seconds += sign * (time.process_time() - begun)


@contextmanager
def _shared(what: str) -> Iterator[None]:
    """Take what is made for several tests off the account of the test that needed it first."""
    _sharing.append(what)
    try:
        with nullcontext() if len(_sharing) > 1 else _charged(-1):
            yield
    finally:
        _sharing.pop()


def _import(name: str, *arguments: Any, _import: Callable[..., Any] = builtins.__import__, **options: Any) -> Any:
    if name in sys.modules:
        return _import(name, *arguments, **options)
    with _shared(name):
        return _import(name, *arguments, **options)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "__import__", _import)
        _accounts.append(_Account())
        try:
            return (yield)
        finally:
            _accounts.pop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    with _charged():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    with _charged():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    with nullcontext() if fixturedef.scope == "function" else _shared(fixturedef.argname):
        return (yield)


def _allowed(item: pytest.Item) -> float:
    tried = settings.default.max_examples if hasattr(getattr(item, "obj", None), "hypothesis") else 0
    return BUSY * CPU_SECONDS * max(1.0, tried / PROFILES["fast"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "setup" and report.passed:
        return report
    account, _accounts[-1] = _accounts[-1], _Account()
    complaints = [f"it starts {what}" for what in account.started]
    if account.seconds > (allowed := _allowed(item)):
        complaints.append(f"it uses {account.seconds:.1f} CPU seconds, more than {allowed:.1f}")
    if report.passed and complaints:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} belongs in tests/integration: " + "; ".join(complaints)
    return report
