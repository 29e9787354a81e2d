"""The client of the forge, against a server that remembers and fails on request."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fakes import github_server
from fakes.github_server import Fault, GithubServer, Reply, refusal
from titlebout.errors import (
    ConfigError,
    ConflictError,
    ExitCode,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
)
from titlebout.forge import BODY_LIMIT, Forge, IssueOutcome, PullRequest, PullRequestOutcome

WANTED = PullRequest(
    head="ct/flights", base="main", title="Retrain flights", body="It wins.\n\nBy a margin.", labels=("retrain",)
)
SHA = "0123456789" * 4
MOST_CALLS = 12


class FakeTime:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[GithubServer]:
    with GithubServer() as running:
        yield running
    assert running.violations == []


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


def make_forge(server: GithubServer, fake_time: FakeTime, timeout: float = 10.0) -> Forge:
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=server.url, timeout=timeout, trust_env=False, verify=False, limits=limits)
    return Forge(client, server.repository.name, "secret", sleep=fake_time.sleep, clock=fake_time.clock)


@pytest.fixture
def forge(server: GithubServer, fake_time: FakeTime, request: pytest.FixtureRequest) -> Forge:
    return make_forge(server, fake_time, timeout=0.5 if "timeout" in request.node.name else 10.0)


def calls(server: GithubServer) -> list[str]:
    return [f"{call.method} {call.path.removeprefix('/repos/team/flights')}" for call in server.calls]


# ---------------------------------------------------------------------------------------------------------------------
# One pull request


def test_a_pull_request_is_opened_when_there_is_none(server: GithubServer, forge: Forge) -> None:
    outcome = forge.ensure_pull_request(WANTED)
    (pull,) = server.repository.pulls
    assert outcome == PullRequestOutcome("created", 1, pull["html_url"])
    assert (pull["title"], pull["body"], pull["labels"]) == (WANTED.title, WANTED.body, [{"name": "retrain"}])
    assert (pull["head"]["ref"], pull["base"]["ref"]) == ("ct/flights", "main")
    assert calls(server) == ["GET /pulls", "POST /pulls", "POST /issues/1/labels"]
    assert server.calls[0].headers["Authorization"] == "Bearer secret"


def test_asking_again_changes_nothing_and_writes_nothing(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(WANTED)
    server.calls.clear()
    assert forge.ensure_pull_request(WANTED).operation == "unchanged"
    assert calls(server) == ["GET /pulls"]


@pytest.mark.parametrize("change", [{"title": "Retrain flights again"}, {"body": "It wins by more."}])
def test_a_new_title_or_body_updates_the_same_pull_request(
    server: GithubServer, forge: Forge, change: dict[str, str]
) -> None:
    forge.ensure_pull_request(WANTED)
    outcome = forge.ensure_pull_request(replace(WANTED, **change))
    (pull,) = server.repository.pulls
    assert (outcome.operation, outcome.number) == ("updated", 1)
    assert {key: pull[key] for key in change} == change


def test_line_ends_and_outer_blanks_are_no_change(server: GithubServer, forge: Forge) -> None:
    server.repository.add_pull("ct/flights", "main", WANTED.title, WANTED.body.replace("\n", "\r\n") + "\r\n")
    assert forge.ensure_pull_request(WANTED).operation == "unchanged"


def test_only_missing_labels_are_added(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(WANTED)
    server.calls.clear()
    forge.ensure_pull_request(replace(WANTED, labels=("retrain", "drift")))
    assert calls(server) == ["GET /pulls", "POST /issues/1/labels"]
    assert server.calls[-1].json == {"labels": ["drift"]}


def test_a_label_that_is_refused_is_logged_and_not_fatal(
    server: GithubServer, forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults = [Fault(refusal(403, "Resource not accessible by integration"), path="labels$")]
    assert forge.ensure_pull_request(WANTED).operation == "created"
    assert "could not label #1 with retrain: Resource not accessible by integration" in caplog.text


def test_the_pull_request_is_found_among_many_others(server: GithubServer, forge: Forge) -> None:
    for number in range(30):
        server.repository.add_pull(f"ct/other-{number}", "main")
    server.repository.add_pull("ct/flights", "main", WANTED.title, WANTED.body)
    for number in range(30, 60):
        server.repository.add_pull(f"ct/other-{number}", "main")
    assert forge.ensure_pull_request(WANTED).number == 31


@pytest.mark.parametrize(
    "other",
    [
        {"head": "ct/flights", "base": "release"},
        {"head": "ct/flights-2", "base": "main"},
        {"head": "ct/flights", "base": "main", "fork": "stranger/flights"},
    ],
)
@pytest.mark.parametrize("dialect", ["github", "gitea"])
def test_a_pull_request_that_is_nearly_ours_is_left_alone(
    fake_time: FakeTime, dialect: str, other: dict[str, str]
) -> None:
    with GithubServer(dialect=dialect) as server:
        theirs = dict(server.repository.add_pull(**other, title="theirs", body="theirs"))
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).operation == "created"
    assert server.repository.pulls[0] == theirs
    assert len(server.repository.pulls) == 2
    assert server.violations == []


def test_a_pull_request_of_a_deleted_fork_is_left_alone(fake_time: FakeTime) -> None:
    with GithubServer(dialect="gitea") as server:
        theirs = server.repository.add_pull("ct/flights", "main", "theirs", fork="stranger/flights")
        theirs["head"]["repo"] = None
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).number == 2
    assert theirs["title"] == "theirs"


def test_after_a_closed_pull_request_a_new_one_is_opened(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(WANTED)
    server.repository.pulls[0]["state"] = "closed"
    assert forge.ensure_pull_request(WANTED).number == 2


def test_losing_the_race_to_open_it_ends_with_the_winners_pull_request(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(method="POST", path="/pulls$", rival=True, applied=True)]
    assert forge.ensure_pull_request(WANTED).operation == "updated"
    assert calls(server) == ["GET /pulls", "POST /pulls", "GET /pulls", "PATCH /pulls/1", "POST /issues/1/labels"]
    assert len(server.repository.pulls) == 1


def test_eight_at_once_open_one(server: GithubServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: make_forge(server, FakeTime()).ensure_pull_request(WANTED), range(8)))
    assert len(server.repository.pulls) == 1
    assert {outcome.number for outcome in outcomes} == {1}
    assert [outcome.operation for outcome in outcomes].count("created") == 1


@pytest.mark.parametrize("body", ["a line of text\n" * 20_000, "# One\n" + "x" * 200_000])
def test_a_long_body_is_cut_at_a_line_end_and_says_so(server: GithubServer, forge: Forge, body: str) -> None:
    forge.ensure_pull_request(replace(WANTED, body=body))
    kept, note = server.repository.pulls[0]["body"].rstrip("\n").rsplit("\n\n", 1)
    assert len(server.repository.pulls[0]["body"]) <= BODY_LIMIT
    assert body.startswith(kept + "\n")
    assert note == "*This text was cut here, at the size the forge accepts. The reports hold all of it.*"


def test_a_body_that_fits_is_sent_whole(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(replace(WANTED, body="é" * BODY_LIMIT))
    assert server.repository.pulls[0]["body"] == "é" * BODY_LIMIT


# ---------------------------------------------------------------------------------------------------------------------
# Gitea and Forgejo


def test_gitea_and_forgejo_take_the_same_calls(fake_time: FakeTime) -> None:
    with GithubServer(dialect="gitea") as server:
        for number in range(60):
            server.repository.add_pull(f"ct/other-{number}", "main")
        forge = make_forge(server, fake_time)
        operations = [
            forge.ensure_pull_request(wanted).operation for wanted in (WANTED, WANTED, replace(WANTED, title="x"))
        ]
        server.repository.pulls.insert(0, server.repository.pulls.pop())  # the oldest, so on the last page
        assert forge.ensure_pull_request(WANTED).operation == "updated"
        forge.set_status(SHA, "success", "titlebout/gate", "promote")
        assert server.url.endswith("/api/v1")
    assert operations == ["created", "unchanged", "updated"]
    assert len(server.repository.pulls) == 61
    assert server.repository.statuses[0]["state"] == "success"


def test_gitea_tells_a_duplicate_in_its_own_way(fake_time: FakeTime) -> None:
    hidden = Fault(Reply(200, []), method="GET", path="/pulls$")
    with GithubServer(dialect="gitea") as server:
        server.repository.add_pull("ct/flights", "main", "older", "text")
        server.faults = [hidden]
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).operation == "updated"
    assert calls(server)[:3] == ["GET /pulls", "POST /pulls", "GET /pulls"]
    assert len(server.repository.pulls) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Faults that pass

HTML = b"<html><title>Please log in</title></html>"
LIMIT = refusal(429, "API rate limit exceeded")
SECONDARY = refusal(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
ABUSE = refusal(403, "You have triggered an abuse detection mechanism.")
EXHAUSTED = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225605", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}

REFUSED_FOR_NOW = {
    "429": Fault(LIMIT),
    "429 with Retry-After": Fault(replace(LIMIT, headers={"Retry-After": "7"})),
    "403 secondary limit": Fault(SECONDARY),
    "403 secondary limit with Retry-After": Fault(replace(SECONDARY, headers={"Retry-After": "7"})),
    "403 abuse detection with Retry-After": Fault(replace(ABUSE, headers={"Retry-After": "7"})),
    "403 primary limit": Fault(replace(refusal(403, "API rate limit exceeded"), headers=EXHAUSTED)),
}
LOST = {
    "500": Fault(refusal(500, "Server Error")),
    "502 as HTML": Fault(Reply(502, HTML)),
    "503 with Retry-After": Fault(replace(refusal(503, "Service unavailable"), headers={"Retry-After": "7"})),
    "reset": Fault(how="reset"),
    "timeout": Fault(how="hang"),
    "200 as HTML": Fault(Reply(200, HTML)),
    "200 cut short": Fault(Reply(200, b'{"number": 1, "title": "Ret')),
    "200 with null": Fault(Reply(200, b"null")),
    "200 with another object": Fault(Reply(200, b'{"ok": true}')),
}
PASSING = REFUSED_FOR_NOW | LOST | {f"{name}, but done": replace(fault, applied=True) for name, fault in LOST.items()}
KINDS = ["429 with Retry-After", "500", "500, but done", "reset", "reset, but done", "200 as HTML, but done"]
ANYWHERE = [f"{method} {path}" for method, path in [("GET", "/pulls$"), ("POST", "/pulls$"), ("POST", "/labels$")]]


def some(faults: dict[str, Fault]) -> object:
    return pytest.mark.parametrize("fault", faults.values(), ids=faults.keys())


@some(PASSING)
@pytest.mark.parametrize("where", ANYWHERE)
def test_one_fault_anywhere_still_ends_with_one_pull_request(
    server: GithubServer, forge: Forge, fault: Fault, where: str
) -> None:
    method, path = where.split()
    server.faults = [replace(fault, method=method, path=path)]
    assert forge.ensure_pull_request(WANTED).operation == "created"
    assert [pull["labels"] for pull in server.repository.pulls] == [[{"name": "retrain"}]]
    assert len(server.calls) <= MOST_CALLS


@some(PASSING)
def test_a_fault_while_refreshing_still_refreshes(server: GithubServer, forge: Forge, fault: Fault) -> None:
    server.repository.add_pull("ct/flights", "main", "older", "text")
    server.faults = [replace(fault, method="PATCH")]
    assert forge.ensure_pull_request(WANTED).operation == "updated"
    assert [pull["title"] for pull in server.repository.pulls] == [WANTED.title]


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("where", [("GET", 0), ("GET", 1), ("POST", 0)], ids=["before", "between", "again"])
def test_two_faults_end_with_one_pull_request_at_the_latest_when_run_again(
    server: GithubServer, forge: Forge, first: str, second: str, where: tuple[str, int]
) -> None:
    method, skip = where
    server.faults = [
        replace(PASSING[first], method="POST", path="/pulls$"),
        replace(PASSING[second], method=method, path="/pulls$", skip=skip),
    ]
    try:
        forge.ensure_pull_request(WANTED)
    except TemporaryError:
        forge.ensure_pull_request(WANTED)
    assert len(server.repository.pulls) == 1
    assert len(server.calls) <= MOST_CALLS


@some(PASSING)
@pytest.mark.parametrize("where", ANYWHERE)
def test_a_fault_that_stays_ends_soon_and_running_again_later_heals(
    server: GithubServer, forge: Forge, fake_time: FakeTime, fault: Fault, where: str
) -> None:
    method, path = where.split()
    server.faults = [replace(fault, method=method, path=path, times=1000)]
    started = fake_time.now
    if path == "/labels$" or (method == "POST" and fault.applied):
        assert forge.ensure_pull_request(WANTED).operation == "created"
    else:
        with pytest.raises(TemporaryError) as caught:
            forge.ensure_pull_request(WANTED)
        assert caught.value.where == f"{method} /repos/team/flights/pulls"
        assert "running it again is safe" in caught.value.state
    assert len(server.calls) <= MOST_CALLS
    assert fake_time.now - started <= 90
    server.faults = []
    forge.ensure_pull_request(WANTED)
    assert len(server.repository.pulls) == 1


@pytest.mark.parametrize(
    ("name", "slept"),
    [
        ("429 with Retry-After", [7]),
        ("403 secondary limit with Retry-After", [7]),
        ("503 with Retry-After", [7]),
        ("403 primary limit", [5]),  # until the reset, by the server's clock
        ("403 secondary limit", [60]),
        ("429", [60]),
        ("500", [1]),
    ],
)
def test_the_wait_is_the_one_the_server_asks_for(
    server: GithubServer, forge: Forge, fake_time: FakeTime, name: str, slept: list[float]
) -> None:
    server.faults = [replace(PASSING[name])]
    forge.ensure_pull_request(WANTED)
    assert fake_time.slept == slept


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"Retry-After": "0"}, [1]),
        ({"Retry-After": "soon"}, [60]),
        ({**EXHAUSTED, "x-ratelimit-reset": "1767225600"}, [1]),  # the reset is in the past
        ({**EXHAUSTED, "x-ratelimit-reset": "never"}, [60]),
        ({**EXHAUSTED, "Date": "today"}, [60]),
    ],
)
def test_a_wait_that_makes_no_sense_is_bounded(
    server: GithubServer, forge: Forge, fake_time: FakeTime, headers: dict[str, str], slept: list[float]
) -> None:
    server.faults = [Fault(replace(LIMIT, headers=headers))]
    forge.ensure_pull_request(WANTED)
    assert fake_time.slept == slept


def test_a_wait_beyond_the_deadline_is_not_begun(server: GithubServer, forge: Forge, fake_time: FakeTime) -> None:
    server.faults = [Fault(replace(LIMIT, headers={"Retry-After": "3600"}))]
    with pytest.raises(TemporaryError) as caught:
        forge.ensure_pull_request(WANTED)
    assert fake_time.slept == []
    assert caught.value.why == "HTTP 429: rate limit"
    assert caught.value.state.startswith("the server did not do it")


def test_each_method_has_its_own_deadline(server: GithubServer, forge: Forge, fake_time: FakeTime) -> None:
    forge.ensure_pull_request(WANTED)
    fake_time.now += 3600
    server.faults = [Fault(replace(LIMIT, headers={"Retry-After": "7"}))]
    forge.set_status(SHA, "pending", "titlebout/gate", "running")
    assert fake_time.slept == [7]


def test_a_server_that_is_not_there_is_asked_four_times(server: GithubServer, fake_time: FakeTime) -> None:
    with GithubServer() as gone:
        forge = make_forge(gone, fake_time)
    with pytest.raises(TemporaryError, match="could not be asked") as caught:
        forge.ensure_pull_request(WANTED)
    assert fake_time.slept == [1, 2, 4]
    assert caught.value.why.startswith("ConnectError")
    assert caught.value.state.startswith("the server did not do it")


def test_a_server_that_always_names_a_next_page_is_left_after_a_hundred(server: GithubServer, forge: Forge) -> None:
    more = Reply(200, [], {"Link": '<https://example.invalid/?page=2>; rel="next"'})
    server.faults = [Fault(more, method="GET", times=1000)]
    assert forge.ensure_pull_request(WANTED).operation == "created"
    assert calls(server).count("GET /pulls") == 100


# ---------------------------------------------------------------------------------------------------------------------
# Refusals that stay


def refused(server: GithubServer, forge: Forge, reply: Reply, method: str = "POST") -> TitleboutError:
    """Return what the user is told when the server refuses; it must not have been asked a second time."""
    server.faults = [Fault(reply, method=method, path="/pulls", times=1000)]
    with pytest.raises(TitleboutError) as caught:
        forge.ensure_pull_request(WANTED)
    assert len([call for call in server.calls if call.method == method]) == 1
    assert server.repository.pulls == []
    return caught.value


def test_a_wrong_token_is_told_with_where_to_put_a_right_one(server: GithubServer, forge: Forge) -> None:
    error = refused(server, forge, refusal(401, "Bad credentials"), "GET")
    assert isinstance(error, PermissionRefusedError)
    assert error.why == "Bad credentials"
    assert "TITLEBOUT_TOKEN" in error.fix
    assert "`token` input" in error.fix


def test_the_tick_box_that_lets_actions_open_pull_requests_is_named(server: GithubServer, forge: Forge) -> None:
    message = "GitHub Actions is not permitted to create or approve pull requests."
    error = refused(server, forge, refusal(403, message))
    assert error.exit_code == ExitCode.PERMISSION
    assert "Settings → Actions → General → Workflow permissions" in error.fix


def test_the_permission_the_server_wants_is_named(server: GithubServer, forge: Forge) -> None:
    reply = refusal(403, "Resource not accessible by integration")
    error = refused(server, forge, replace(reply, headers={"X-Accepted-GitHub-Permissions": "pull_requests=write"}))
    assert isinstance(error, PermissionRefusedError)
    assert "grant `pull-requests: write` in `permissions:` of the job" in error.fix


def test_a_repository_that_is_hidden_may_also_be_misspelt(server: GithubServer, forge: Forge) -> None:
    error = refused(server, forge, refusal(404, "Not Found"), "GET")
    assert isinstance(error, PermissionRefusedError)
    assert error.fix.startswith("check the repository's name")


def test_a_refusal_names_the_fields_it_is_about(server: GithubServer, forge: Forge) -> None:
    fields = ({"resource": "PullRequest", "field": "head", "code": "invalid"}, {"code": "custom", "message": "too old"})
    error = refused(server, forge, refusal(422, "Validation Failed", *fields))
    assert isinstance(error, ConfigError)
    assert error.why == "Validation Failed; PullRequest.head: invalid; too old"
    assert error.where == "POST /repos/team/flights/pulls: HTTP 422"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (
            Reply(422, b'{"message": "No", "errors": ["too many", {"code": "late", "field": null}]}'),
            "No; too many; late",
        ),
        (Reply(400, b"<html>no</html>"), "Bad Request"),
        (Reply(301, b'{"message": "Moved Permanently"}'), "Moved Permanently"),
    ],
)
def test_any_other_refusal_is_told_in_the_servers_words(
    server: GithubServer, forge: Forge, reply: Reply, why: str
) -> None:
    error = refused(server, forge, reply)
    assert isinstance(error, ConfigError)
    assert error.why == why


def test_a_conflict_that_never_shows_its_cause_is_given_up(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(Reply(409, {"message": "changed", "documentation_url": ""}), method="POST", times=1000)]
    with pytest.raises(ConflictError, match="changed meanwhile"):
        forge.ensure_pull_request(WANTED)
    assert len(server.calls) <= MOST_CALLS


# ---------------------------------------------------------------------------------------------------------------------
# Status and issue


def test_a_status_is_set_and_replaced(server: GithubServer, forge: Forge) -> None:
    forge.set_status(SHA, "pending", "titlebout/gate", "the gate is running", "https://ci.example.org/1")
    forge.set_status(SHA, "success", "titlebout/gate", "x" * 200)
    first, second = server.repository.statuses
    assert (first["state"], first["target_url"]) == ("pending", "https://ci.example.org/1")
    assert second["description"] == "x" * 139 + "…"
    reply = httpx.get(f"{server.url}/repos/team/flights/commits/{SHA}/status", headers={"Authorization": "x"})
    assert reply.json()["state"] == "success"
    assert reply.json()["total_count"] == 1


@some(PASSING)
def test_a_status_is_set_despite_one_fault(server: GithubServer, forge: Forge, fault: Fault) -> None:
    server.faults = [replace(fault)]
    forge.set_status(SHA, "failure", "titlebout/gate", "the challenger lost")
    assert {status["state"] for status in server.repository.statuses} == {"failure"}


def test_one_issue_is_opened_refreshed_and_left(server: GithubServer, forge: Forge) -> None:
    for number in range(120):
        server.repository.add_issue(f"issue {number}", "quotes <!-- titlebout: drift flights --> further down")
    first = forge.ensure_issue("drift flights", "Drift", "3 columns drifted", ["drift"])
    server.repository.add_issue("newer", "text")
    again = forge.ensure_issue("drift flights", "Drift", "3 columns drifted", ["drift"])
    third = forge.ensure_issue("drift flights", "Drift", "4 columns drifted", ["drift"])
    other = forge.ensure_issue("drift taxis", "Drift", "taxis drifted")
    assert [one.operation for one in (first, again, third, other)] == ["created", "unchanged", "updated", "created"]
    assert first == IssueOutcome("created", 121, server.repository.issues[120]["html_url"])
    assert {first.number, again.number, third.number} == {121}
    issue = server.repository.issues[120]
    assert issue["body"] == "<!-- titlebout: drift flights -->\n4 columns drifted"
    assert issue["labels"] == [{"name": "drift"}]


def test_a_pull_request_that_carries_the_marker_is_no_issue(server: GithubServer, forge: Forge) -> None:
    theirs = server.repository.add_pull("x", "main", "theirs", "<!-- titlebout: drift flights -->")
    assert forge.ensure_issue("drift flights", "Drift", "text").operation == "created"
    assert theirs["title"] == "theirs"


def test_a_long_issue_keeps_its_marker(server: GithubServer, forge: Forge) -> None:
    operations = [forge.ensure_issue("drift", "Drift", "a line\n" * 20_000).operation for _ in range(2)]
    assert operations == ["created", "unchanged"]


@some(PASSING)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_fault_still_ends_with_one_issue(server: GithubServer, forge: Forge, fault: Fault, method: str) -> None:
    server.faults = [replace(fault, method=method, path="/issues$")]
    assert forge.ensure_issue("drift", "Drift", "text").operation == "created"
    assert len(server.repository.issues) == 1


# ---------------------------------------------------------------------------------------------------------------------
# The real connection


def test_the_real_connection_works_without_ornament(server: GithubServer) -> None:
    forge = Forge.connect(server.url, "team/flights", "secret")
    assert forge.ensure_pull_request(WANTED).operation == "created"


@pytest.mark.parametrize("token", [None, "", "two\nlines", "Secret token", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_and_not_repeated(token: str | None) -> None:
    with pytest.raises(PermissionRefusedError) as caught:
        Forge.connect("https://api.github.com", "team/flights", token)
    assert "TITLEBOUT_TOKEN" in caught.value.fix
    assert not token or token not in json.dumps(caught.value.to_dict(), ensure_ascii=False).replace("\\n", "\n")


@pytest.mark.parametrize(
    ("api_url", "repository", "named"),
    [
        ("api.github.com", "team/flights", "GITHUB_API_URL"),
        ("https://api.github.com", None, "GITHUB_REPOSITORY"),
        ("https://api.github.com", "flights", "GITHUB_REPOSITORY"),
        ("https://api.github.com", "team/flights/../..", "GITHUB_REPOSITORY"),
    ],
)
def test_an_address_or_repository_that_is_none_is_told(api_url: str, repository: str | None, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Forge.connect(api_url, repository, "secret")
    assert named in caught.value.fix


# ---------------------------------------------------------------------------------------------------------------------
# The stand-in itself


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/pulls", {"head": "a", "base": "main", "title": 1}),
        ("POST", "/statuses/" + SHA, {"state": "great"}),
        ("POST", "/issues/1/labels", {"labels": [{"colour": "red"}]}),
        ("GET", "/pulls?state=ajar", None),
        ("GET", "/pulls?page=first", None),
        ("GET", "/branches", None),
        ("DELETE", "/pulls", None),
    ],
)
def test_the_stand_in_sees_what_breaks_githubs_description(method: str, path: str, body: object) -> None:
    with GithubServer() as server:
        server.repository.add_pull("x", "main")
        httpx.request(method, f"{server.url}/repos/team/flights{path}", json=body, headers={"Authorization": "x"})
    assert len(server.violations) == 1


def test_the_stand_in_checks_its_own_replies_too() -> None:
    with GithubServer() as server:
        server.repository.add_pull("x", "main")["labels"] = [{"name": 5}]
        httpx.get(f"{server.url}/repos/team/flights/pulls", headers={"Authorization": "x"})
        server.faults = [Fault(Reply(500, {"message": "without a link"}))]
        httpx.get(f"{server.url}/repos/team/flights/pulls", headers={"Authorization": "x"})
    assert len(server.violations) == 2


def test_the_stand_in_refuses_what_github_refuses(server: GithubServer) -> None:
    root, headers = f"{server.url}/repos/team/flights", {"Authorization": "x"}
    pull = {"head": "x", "base": "main", "title": "t"}
    assert httpx.get(f"{root}/pulls").status_code == 401
    assert httpx.get(f"{server.url}/repos/team/other/pulls", headers=headers).status_code == 404
    assert httpx.post(f"{root}/pulls", json=pull | {"body": "x" * 65_537}, headers=headers).status_code == 422
    assert httpx.post(f"{root}/statuses/main", json={"state": "success"}, headers=headers).status_code == 422
    assert [httpx.post(f"{root}/pulls", json=pull, headers=headers).status_code for _ in range(2)] == [201, 422]


def test_the_stand_in_keeps_comments_and_pages(server: GithubServer) -> None:
    root, headers = f"{server.url}/repos/team/flights", {"Authorization": "x"}
    server.repository.add_issue("one", "text")
    for number in range(31):
        httpx.post(f"{root}/issues/1/comments", json={"body": f"comment {number}"}, headers=headers)
    httpx.patch(f"{root}/issues/comments/31", json={"body": "changed"}, headers=headers)
    first = httpx.get(f"{root}/issues/1/comments", headers=headers)
    second = httpx.get(f"{root}/issues/1/comments?page=2", headers=headers)
    assert (len(first.json()), "next" in first.links) == (30, True)
    assert ([one["body"] for one in second.json()], "next" in second.links) == (["changed"], False)


def test_the_stand_in_serves_other_processes(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, github_server.__file__, "--port", "0", "--repository", "a/b", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            Forge.connect(url, "a/b", "secret").ensure_pull_request(WANTED)
            state = httpx.get(f"{url}/_stand-in/state").json()
        finally:
            process.terminate()
    assert [pull["title"] for pull in state["pulls"]] == [WANTED.title]
    assert state["violations"] == []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["method"], line["status"]) for line in lines] == [("GET", 200), ("POST", 201), ("POST", 200)]
