"""Fault injection for the forge client: each fault at each request, and each ordered pair of faults.

A case runs the forge requests of ``titlebout retrain --forge github`` against a stand-in with injected faults. If the
run ends with an error that advises another run, it is repeated without faults. Afterwards there must be exactly one pull
request with the desired text and a status on its commit. Time is simulated, and no socket is opened.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate

import httpx

from fakes.github_server import Fault, InProcess, Kind, Reply, Repository, StandIn, refusal
from titlebout.core.errors import ConflictError, TemporaryError
from titlebout.forge.client import TIMEOUT_SECONDS, Forge, PullRequest

MAX_REQUESTS = 12
SHA = "0123456789" * 4
WANTED = PullRequest(
    head="ct/flights",
    base="main",
    title="Retrain flights",
    body="It wins.\n\nBy a margin.",
    labels=("retrain",),
    evidence="0123456789abcdef",
)
HTML = b"<html><title>Please log in</title></html>"
LIMIT = refusal(429, "Too many requests")
SECONDARY = refusal(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")


def exhausted(days: float, seconds: int) -> Reply:
    """Return the primary rate limit of a server whose clock is ``days`` ahead, with its reset in ``seconds``."""
    now = int(time.time() + days * 86_400)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(now + seconds), "Date": formatdate(now)}
    return replace(refusal(403, "API rate limit exceeded for installation."), headers=headers)


RATE_LIMITED = {
    "429": Fault(LIMIT),
    "429 with Retry-After": Fault(replace(LIMIT, headers={"Retry-After": "7"})),
    "403 secondary limit": Fault(SECONDARY),
    "403 secondary limit with Retry-After": Fault(replace(SECONDARY, headers={"Retry-After": "7"})),
    "403 primary limit": Fault(exhausted(0, 5)),
    "403 primary limit, reset in the past": Fault(exhausted(0, -60)),
    "403 primary limit, server two days ahead": Fault(exhausted(2, 5)),
    "403 primary limit, server two days behind": Fault(exhausted(-2, 5)),
}
LOST = {
    "500": Fault(refusal(500, "Server Error")),
    "502 as HTML": Fault(Reply(502, HTML)),
    "503 with Retry-After": Fault(replace(refusal(503, "Service unavailable"), headers={"Retry-After": "7"})),
    "reset": Fault(how="reset"),
    "timeout": Fault(how="hang"),
    "200 as HTML": Fault(Reply(200, HTML)),
    "200 cut short": Fault(Reply(200, b'{"number": 1, "title": "Ret')),
}
RACES = {
    "a rival is first": Fault(rival=True, applied=True),
    "not listed at once": Fault(unlisted=1, applied=True),
    "not listed at once, reply lost": Fault(how="reset", unlisted=1, applied=True),
    "not listed for long, reply lost": Fault(how="reset", unlisted=99, applied=True),
}
DONE = {f"{name}, but done": replace(fault, applied=True) for name, fault in LOST.items()}
KINDS = RATE_LIMITED | LOST | DONE | RACES
# One of each kind that the client distinguishes, so that all pairs take seconds instead of minutes.
DISTINCT = (
    *("429 with Retry-After", "403 secondary limit", "500", "timeout"),
    *("reset, but done", "200 cut short, but done"),
    *RACES,
)


def nothing(repository: Repository) -> None:
    """Start without any pull request."""


def older(repository: Repository) -> None:
    """Start with an open pull request of an earlier attempt, and a declined one before it."""
    repository.add_pull(WANTED.head, WANTED.base, "oldest", "<!-- titlebout: evidence 00 -->\ntext")
    repository.close_pull(1, branch_deleted=True)
    repository.add_pull(WANTED.head, WANTED.base, "older", "text")


def declined(repository: Repository) -> None:
    """Start with this evidence declined."""
    repository.add_pull(WANTED.head, WANTED.base, WANTED.title, f"{WANTED.marker}\n{WANTED.body}")
    repository.close_pull(1, branch_deleted=True)


STARTS = {"nothing": nothing, "older": older, "declined": declined}


class FakeTime:
    """A simulated clock that advances only during sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True)
class Case:
    """An initial state, and faults by the index of the request that they affect."""

    dialect: Kind
    start: str
    faults: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} at request {index}" for index, kind in self.faults.items())
        return f"{self.dialect}, {self.start}: {faults or 'no fault'}"


@dataclass(frozen=True)
class CaseResult:
    """Result of a case: the number of requests of each run (two if the first one was repeated), and all problems."""

    calls: tuple[int, ...]
    problems: tuple[str, ...]


def propose(forge: Forge) -> None:
    """Send the requests of ``titlebout.retraining.propose``."""
    if forge.find_declined(WANTED) is None:
        outcome = forge.ensure_pull_request(WANTED)
        forge.set_status(SHA, "success", "titlebout/gate", "the challenger won", outcome.url)
        forge.close_issue("retrain flights")


def run_case(case: Case) -> CaseResult:
    """Run a case, and repeat it without faults if the first run ends with an error that advises it."""
    stand_in, fake = StandIn(dialect=case.dialect), FakeTime()
    STARTS[case.start](stand_in.repository)
    stand_in.faults = [replace(KINDS[kind], at=at) for at, kind in case.faults.items()]
    transport = InProcess(stand_in, on_hang=lambda: fake.sleep(TIMEOUT_SECONDS))
    with httpx.Client(transport=transport, base_url=f"http://forge{stand_in.root}", trust_env=False) as client:
        forge = Forge(client, "team/flights", "secret", sleep=fake.sleep, clock=fake.clock)
        error = attempt(forge)
        calls = [len(stand_in.calls)]
        if error is not None:
            stand_in.faults, stand_in.repository.unlisted = [], 0
            propose(forge)
            calls.append(len(stand_in.calls) - calls[0])
    return CaseResult(tuple(calls), tuple(_problems(stand_in, calls, case.start)))


def attempt(forge: Forge) -> TemporaryError | ConflictError | None:
    """Return the error of a run if it advises another run; any other error fails the case."""
    try:
        propose(forge)
    except (TemporaryError, ConflictError) as error:
        return error
    return None


def _problems(stand_in: StandIn, calls: Sequence[int], start: str) -> Iterator[str]:
    yield from stand_in.violations
    if max(calls) > MAX_REQUESTS:
        yield f"{calls} requests"
    open_pulls = [pull for pull in stand_in.repository.pulls if pull["state"] == "open"]
    if start == "declined":
        if open_pulls or stand_in.repository.statuses:
            yield f"declined, yet {len(open_pulls)} are open"
        return
    texts = [(pull["title"], pull["body"]) for pull in open_pulls]
    if texts != [(WANTED.title, f"{WANTED.marker}\n{WANTED.body}")]:
        yield f"open pull requests: {texts}"
    if {(status["sha"], status["state"]) for status in stand_in.repository.statuses} != {(SHA, "success")}:
        yield f"statuses: {stand_in.repository.statuses}"


def singles(dialect: Kind, start: str, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Case]:
    """Yield each fault at each request."""
    for at in range(run_case(Case(dialect, start)).calls[0]):
        for kind in kinds:
            # A declined pull request was closed long ago, so races cannot occur.
            if start != "declined" or kind not in RACES:
                yield Case(dialect, start, {at: kind})


def pairs(dialect: Kind, start: str, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Case]:
    """Yield each ordered pair of faults, the second at each later request of the run with the first one."""
    for first in singles(dialect, start, kinds):
        for at in range(max(first.faults) + 1, run_case(first).calls[0]):
            for kind in kinds:
                if start != "declined" or kind not in RACES:
                    yield Case(dialect, start, {**first.faults, at: kind})
