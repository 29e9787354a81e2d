"""The forge client against a stateful server with injected faults."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fakes import forge_matrix, github_server
from fakes.forge_matrix import KINDS, LOST, MAX_REQUESTS, SECONDARY, SHA, STARTS, FakeTime, run_case, singles
from fakes.github_server import ROOTS, Fault, GithubServer, Reply, gitea_refusal, refusal
from titlebout.core.errors import (
    ConfigError,
    ConflictError,
    ExitCode,
    PermissionRefusedError,
    TemporaryError,
    TitleboutError,
)
from titlebout.forge.client import BODY_LIMIT, Forge, IssueOutcome, PullRequest, PullRequestOutcome

WANTED = PullRequest(
    head="ct/flights", base="main", title="Retrain flights", body="It wins.\n\nBy a margin.", labels=("retrain",)
)


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


def test_a_second_run_writes_nothing(server: GithubServer, forge: Forge) -> None:
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


def test_line_ends_and_outer_whitespace_are_no_change(server: GithubServer, forge: Forge) -> None:
    server.repository.add_pull("ct/flights", "main", WANTED.title, WANTED.body.replace("\n", "\r\n") + "\r\n")
    assert forge.ensure_pull_request(WANTED).operation == "unchanged"


def test_only_missing_labels_are_added(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(WANTED)
    server.calls.clear()
    forge.ensure_pull_request(replace(WANTED, labels=("retrain", "drift")))
    assert calls(server) == ["GET /pulls", "POST /issues/1/labels"]
    assert server.calls[-1].json == {"labels": ["drift"]}


def test_a_refused_label_is_logged_and_not_fatal(
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
def test_a_similar_pull_request_is_not_changed(fake_time: FakeTime, dialect: str, other: dict[str, str]) -> None:
    with GithubServer(dialect=dialect) as server:
        theirs = dict(server.repository.add_pull(**other, title="theirs", body="theirs"))
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).operation == "created"
    assert server.repository.pulls[0] == theirs
    assert len(server.repository.pulls) == 2
    assert server.violations == []


def test_a_pull_request_of_a_deleted_fork_is_not_changed(fake_time: FakeTime) -> None:
    with GithubServer(dialect="gitea") as server:
        theirs = server.repository.add_pull("ct/flights", "main", "theirs", fork="stranger/flights")
        theirs["head"]["repo"] = None
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).number == 2
    assert theirs["title"] == "theirs"


def test_after_a_closed_pull_request_a_new_one_is_opened(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(WANTED)
    server.repository.pulls[0]["state"] = "closed"
    assert forge.ensure_pull_request(WANTED).number == 2


WITH_EVIDENCE = replace(WANTED, evidence="0a1b")


@pytest.fixture(params=ROOTS)
def anywhere(request: pytest.FixtureRequest) -> Iterator[GithubServer]:
    """A server of each dialect."""
    with GithubServer(dialect=request.param) as running:
        yield running
    assert running.violations == []


def test_a_closed_pull_request_is_declined_until_the_evidence_changes(
    anywhere: GithubServer, fake_time: FakeTime
) -> None:
    forge = make_forge(anywhere, fake_time)
    assert forge.find_declined(WITH_EVIDENCE) is None
    first = forge.ensure_pull_request(WITH_EVIDENCE)
    assert forge.find_declined(WITH_EVIDENCE) is None
    anywhere.repository.close_pull(first.number, branch_deleted=True)

    assert forge.find_declined(WITH_EVIDENCE) == PullRequestOutcome("declined", first.number, first.url)
    assert forge.find_declined(replace(WITH_EVIDENCE, evidence="0a1c")) is None
    assert forge.find_declined(WANTED) is None  # without evidence there is no request
    assert anywhere.calls[-1].query["state"] == "all"


def test_each_of_several_closed_pull_requests_is_declined(server: GithubServer, forge: Forge) -> None:
    for evidence in ("0a1b", "0a1c"):
        server.repository.close_pull(forge.ensure_pull_request(replace(WITH_EVIDENCE, evidence=evidence)).number)

    declined = [forge.find_declined(replace(WITH_EVIDENCE, evidence=evidence)) for evidence in ("0a1b", "0a1c")]

    assert [outcome and outcome.number for outcome in declined] == [1, 2]


def test_a_merged_pull_request_is_not_declined(server: GithubServer, forge: Forge) -> None:
    server.repository.close_pull(forge.ensure_pull_request(WITH_EVIDENCE).number, merged=True)
    assert forge.find_declined(WITH_EVIDENCE) is None


def test_an_open_pull_request_is_updated_despite_a_declined_one(server: GithubServer, forge: Forge) -> None:
    server.repository.close_pull(forge.ensure_pull_request(WITH_EVIDENCE).number)
    server.repository.add_pull("ct/flights", "main", "opened by hand", "on second thoughts")
    assert forge.find_declined(WITH_EVIDENCE) is None
    assert forge.ensure_pull_request(WITH_EVIDENCE).number == 2


def test_a_closed_pull_request_of_a_fork_declines_nothing(anywhere: GithubServer, fake_time: FakeTime) -> None:
    body = f"{WITH_EVIDENCE.marker}\ntext"
    anywhere.repository.add_pull("ct/flights", "main", "theirs", body, fork="stranger/flights")
    anywhere.repository.close_pull(1)
    assert make_forge(anywhere, fake_time).find_declined(WITH_EVIDENCE) is None


def test_evidence_cannot_close_its_html_comment(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(replace(WANTED, evidence="1 --> @team"))
    assert server.repository.pulls[0]["body"].startswith("<!-- titlebout: evidence 1 - -team -->\nIt wins.")


def test_a_concurrently_opened_pull_request_is_updated(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(method="POST", path="/pulls$", rival=True, applied=True)]
    assert forge.ensure_pull_request(WANTED).operation == "updated"
    assert calls(server) == ["GET /pulls", "POST /pulls", "GET /pulls", "PATCH /pulls/1", "POST /issues/1/labels"]
    assert len(server.repository.pulls) == 1


def test_eight_concurrent_clients_open_one_pull_request(server: GithubServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: make_forge(server, FakeTime()).ensure_pull_request(WANTED), range(8)))
    assert len(server.repository.pulls) == 1
    assert {outcome.number for outcome in outcomes} == {1}
    assert [outcome.operation for outcome in outcomes].count("created") == 1


@pytest.mark.parametrize("body", ["a line of text\n" * 20_000, "# One\n" + "x" * 200_000])
def test_a_long_body_is_truncated_at_a_line_end_with_a_note(server: GithubServer, forge: Forge, body: str) -> None:
    forge.ensure_pull_request(replace(WANTED, body=body))
    kept, note = server.repository.pulls[0]["body"].rstrip("\n").rsplit("\n\n", 1)
    assert len(server.repository.pulls[0]["body"]) <= BODY_LIMIT
    assert body.startswith(kept + "\n")
    assert note == "*This text was truncated at the size limit of the forge. The reports contain the full text.*"


def test_a_body_within_the_limit_is_sent_unchanged(server: GithubServer, forge: Forge) -> None:
    forge.ensure_pull_request(replace(WANTED, body="é" * BODY_LIMIT))
    assert server.repository.pulls[0]["body"] == "é" * BODY_LIMIT


# ---------------------------------------------------------------------------------------------------------------------
# Gitea and Forgejo


def test_gitea_supports_the_same_operations(fake_time: FakeTime) -> None:
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


def test_a_label_that_gitea_ignores_is_logged(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    with GithubServer(dialect="gitea") as server:
        make_forge(server, fake_time).ensure_pull_request(replace(WANTED, labels=("retrain", "unheard-of")))
    assert server.repository.pulls[0]["labels"] == [{"name": "retrain"}]
    assert "could not label #1 with unheard-of: the label does not exist" in caplog.text


@pytest.mark.parametrize("dialect", ROOTS)
def test_each_forge_is_known_by_its_address(fake_time: FakeTime, dialect: str) -> None:
    with GithubServer(dialect=dialect) as server:
        make_forge(server, fake_time).ensure_pull_request(WANTED)
    request = server.calls[0]
    gitea = dialect in {"gitea", "forgejo"}
    assert server.violations == []
    assert request.query.keys() == (
        {"state", "sort", "limit", "page"}
        if gitea
        else {"state", "head", "base", "sort", "direction", "per_page", "page"}
    )
    assert ("X-Github-Api-Version" in {name.title() for name in request.headers}) is not gitea


def test_a_duplicate_on_gitea_is_updated(fake_time: FakeTime) -> None:
    hidden = Fault(Reply(200, []), method="GET", path="/pulls$")
    with GithubServer(dialect="gitea") as server:
        server.repository.add_pull("ct/flights", "main", "older", "text")
        server.faults = [hidden]
        assert make_forge(server, fake_time).ensure_pull_request(WANTED).operation == "updated"
    assert calls(server)[:3] == ["GET /pulls", "POST /pulls", "GET /pulls"]
    assert len(server.repository.pulls) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Transient faults

LIMIT = refusal(429, "API rate limit exceeded")
ABUSE = refusal(403, "You have triggered an abuse detection mechanism.")
EXHAUSTED = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225605", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}

RATE_LIMITED = {
    "429": Fault(LIMIT),
    "429 with Retry-After": Fault(replace(LIMIT, headers={"Retry-After": "7"})),
    "403 secondary limit": Fault(SECONDARY),
    "403 secondary limit with Retry-After": Fault(replace(SECONDARY, headers={"Retry-After": "7"})),
    "403 abuse detection with Retry-After": Fault(replace(ABUSE, headers={"Retry-After": "7"})),
    "403 primary limit": Fault(replace(refusal(403, "API rate limit exceeded"), headers=EXHAUSTED)),
}
ALL_LOST = LOST | {
    "200 with null": Fault(Reply(200, b"null")),
    "200 with another object": Fault(Reply(200, b'{"ok": true}')),
}
TRANSIENT = (
    RATE_LIMITED | ALL_LOST | {f"{name}, but done": replace(fault, applied=True) for name, fault in ALL_LOST.items()}
)
# The faults of the matrix of test_forge_matrix.py are tried there, at each call of each forge.
BESIDE_THE_MATRIX = {name: fault for name, fault in TRANSIENT.items() if name not in KINDS}
SAMPLE = ("429", "500", "timeout, but done", "200 with null")


def faults(kinds: dict[str, Fault]) -> object:
    return pytest.mark.parametrize("fault", kinds.values(), ids=kinds.keys())


@pytest.mark.parametrize("start", STARTS)
def test_other_faults_end_with_one_pull_request(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge_matrix, "KINDS", BESIDE_THE_MATRIX)
    cases = [case for dialect in ROOTS for case in singles(dialect, start, tuple(BESIDE_THE_MATRIX))]

    assert len(cases) >= len(ROOTS) * len(BESIDE_THE_MATRIX) >= 20
    assert [f"{case}: {played}" for case in cases if (played := run_case(case)).problems] == []


LASTING = [("POST /pulls$", name) for name in TRANSIENT]
LASTING += [(where, name) for where in ("GET /pulls$", "POST /labels$") for name in SAMPLE]


@pytest.mark.parametrize(("where", "name"), LASTING)
def test_a_lasting_fault_ends_soon_and_a_later_run_heals(
    server: GithubServer, forge: Forge, fake_time: FakeTime, where: str, name: str
) -> None:
    fault = TRANSIENT[name]
    method, path = where.split()
    server.faults = [replace(fault, method=method, path=path, times=1000)]
    started = fake_time.now
    if path == "/labels$" or (method == "POST" and fault.applied):
        assert forge.ensure_pull_request(WANTED).operation == "created"
    else:
        with pytest.raises(TemporaryError) as caught:
            forge.ensure_pull_request(WANTED)
        assert caught.value.where == f"{method} /repos/team/flights/pulls"
        assert "running the command again is safe" in caught.value.state
    assert len(server.calls) <= MAX_REQUESTS
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
def test_the_wait_is_the_one_the_server_requests(
    server: GithubServer, forge: Forge, fake_time: FakeTime, name: str, slept: list[float]
) -> None:
    server.faults = [replace(TRANSIENT[name])]
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
def test_an_invalid_wait_is_bounded(
    server: GithubServer, forge: Forge, fake_time: FakeTime, headers: dict[str, str], slept: list[float]
) -> None:
    server.faults = [Fault(replace(LIMIT, headers=headers))]
    forge.ensure_pull_request(WANTED)
    assert fake_time.slept == slept


def test_a_wait_beyond_the_deadline_is_not_started(server: GithubServer, forge: Forge, fake_time: FakeTime) -> None:
    server.faults = [Fault(replace(LIMIT, headers={"Retry-After": "3600"}))]
    with pytest.raises(TemporaryError) as caught:
        forge.ensure_pull_request(WANTED)
    assert fake_time.slept == []
    assert caught.value.why == "HTTP 429: rate limit exceeded"
    assert caught.value.state.startswith("the server did not carry out the request")


def test_each_method_has_its_own_deadline(server: GithubServer, forge: Forge, fake_time: FakeTime) -> None:
    forge.ensure_pull_request(WANTED)
    fake_time.now += 3600
    server.faults = [Fault(replace(LIMIT, headers={"Retry-After": "7"}))]
    forge.set_status(SHA, "pending", "titlebout/gate", "running")
    assert fake_time.slept == [7]


def test_an_unreachable_server_is_tried_four_times(server: GithubServer, fake_time: FakeTime) -> None:
    with GithubServer() as gone:
        forge = make_forge(gone, fake_time)
    with pytest.raises(TemporaryError, match="the request to the server failed") as caught:
        forge.ensure_pull_request(WANTED)
    assert fake_time.slept == [1, 2, 4]
    assert caught.value.why.startswith("no complete response: ConnectError")
    assert caught.value.state.startswith("the server did not carry out the request")


def test_no_more_than_a_hundred_pages_are_read(server: GithubServer, forge: Forge) -> None:
    more = Reply(200, [], {"Link": '<https://example.invalid/?page=2>; rel="next"'})
    server.faults = [Fault(more, method="GET", times=1000)]
    assert forge.ensure_pull_request(WANTED).operation == "created"
    assert calls(server).count("GET /pulls") == 100


# ---------------------------------------------------------------------------------------------------------------------
# Permanent refusals


def refused(server: GithubServer, forge: Forge, reply: Reply, method: str = "POST") -> TitleboutError:
    """Return the error for a refusal; the request must not have been repeated."""
    server.faults = [Fault(reply, method=method, path="/pulls", times=1000)]
    with pytest.raises(TitleboutError) as caught:
        forge.ensure_pull_request(WANTED)
    assert len([call for call in server.calls if call.method == method]) == 1
    assert server.repository.pulls == []
    return caught.value


def test_a_wrong_token_is_refused_with_a_fix(server: GithubServer, forge: Forge) -> None:
    error = refused(server, forge, refusal(401, "Bad credentials"), "GET")
    assert isinstance(error, PermissionRefusedError)
    assert error.why == "Bad credentials"
    assert "TITLEBOUT_TOKEN" in error.fix
    assert "`token` input" in error.fix


def test_the_setting_that_lets_actions_open_pull_requests_is_named(server: GithubServer, forge: Forge) -> None:
    message = "GitHub Actions is not permitted to create or approve pull requests."
    error = refused(server, forge, refusal(403, message))
    assert error.exit_code == ExitCode.PERMISSION
    assert "Settings → Actions → General → Workflow permissions" in error.fix


NO_PERMISSION = refusal(403, "Resource not accessible by integration")


def test_the_permission_required_by_the_server_is_named(server: GithubServer, forge: Forge) -> None:
    headers = {"X-Accepted-GitHub-Permissions": "issues=write; pull_requests=write"}
    error = refused(server, forge, replace(NO_PERMISSION, headers=headers))
    assert isinstance(error, PermissionRefusedError)
    assert error.why == "Resource not accessible by integration"
    assert "grant `issues: write; pull-requests: write` in `permissions:` of the job" in error.fix


@pytest.mark.parametrize(
    ("operation", "path", "permission"),
    [
        (lambda forge: forge.ensure_pull_request(WANTED), "/pulls$", "pull-requests: read"),
        (lambda forge: forge.ensure_issue("drift", "Drift", "text"), "/issues$", "issues: read"),
        (lambda forge: forge.ensure_issue("drift", "Drift", "text"), "/graphql$", "metadata: read"),
        (lambda forge: forge.set_status(SHA, "success", "titlebout/gate", "it won"), "/statuses/", "statuses: write"),
    ],
)
def test_a_permission_missing_from_the_response_is_named(
    server: GithubServer, forge: Forge, operation: Callable[[Forge], object], path: str, permission: str
) -> None:
    server.faults = [Fault(NO_PERMISSION, path=path)]
    with pytest.raises(PermissionRefusedError) as caught:
        operation(forge)
    assert caught.value.exit_code == ExitCode.PERMISSION
    assert f"grant `{permission}` in `permissions:` of the job" in caught.value.fix
    assert "GitHub App" in caught.value.fix


@pytest.mark.parametrize("dialect", ["gitea", "forgejo"])
def test_missing_scopes_on_gitea_are_named(fake_time: FakeTime, dialect: str) -> None:
    lacking = gitea_refusal(403, "token does not have at least one of required scope(s)")
    with GithubServer(dialect=dialect) as server:
        forge = make_forge(server, fake_time)
        server.faults = [Fault(lacking, path=path) for path in ("/statuses/", "/user$", "/issues$")]
        with pytest.raises(PermissionRefusedError) as status:
            forge.set_status(SHA, "success", "titlebout/gate", "it won")
        with pytest.raises(PermissionRefusedError) as user:
            forge.ensure_issue("drift", "Drift", "text")
        with pytest.raises(PermissionRefusedError) as issue:
            forge.ensure_issue("drift", "Drift", "text")
    assert "`write:repository`" in status.value.fix
    assert "`contents` and `pull-requests`" in status.value.fix
    assert "`read:user`" in user.value.fix
    assert "`write:issue`" in issue.value.fix


def test_a_hidden_repository_may_have_a_wrong_name(server: GithubServer, forge: Forge) -> None:
    error = refused(server, forge, refusal(404, "Not Found"), "GET")
    assert isinstance(error, PermissionRefusedError)
    assert error.fix.startswith("check the repository's name")


def test_a_refusal_names_the_invalid_fields(server: GithubServer, forge: Forge) -> None:
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
def test_any_other_refusal_quotes_the_server(server: GithubServer, forge: Forge, reply: Reply, why: str) -> None:
    error = refused(server, forge, reply)
    assert isinstance(error, ConfigError)
    assert error.why == why


def test_a_conflict_that_is_never_listed_ends_with_an_error(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(Reply(409, {"message": "changed", "documentation_url": ""}), method="POST", times=1000)]
    with pytest.raises(ConflictError, match="at the same time"):
        forge.ensure_pull_request(WANTED)
    assert len(server.calls) <= MAX_REQUESTS


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


@faults({name: TRANSIENT[name] for name in SAMPLE})
def test_a_status_is_set_despite_one_fault(server: GithubServer, forge: Forge, fault: Fault) -> None:
    server.faults = [replace(fault)]
    forge.set_status(SHA, "failure", "titlebout/gate", "the challenger lost")
    assert {status["state"] for status in server.repository.statuses} == {"failure"}


def test_one_issue_per_topic_is_created_updated_and_kept(anywhere: GithubServer, fake_time: FakeTime) -> None:
    forge, repository = make_forge(anywhere, fake_time), anywhere.repository
    for number in range(120):
        repository.add_issue(f"issue {number}", "quotes <!-- titlebout: drift flights --> further down")
    first = forge.ensure_issue("drift flights", "Drift", "3 columns drifted", ["drift"])
    repository.add_issue("newer", "text")
    second = forge.ensure_issue("drift flights", "Drift", "3 columns drifted", ["drift"])
    third = forge.ensure_issue("drift flights", "Drift", "4 columns drifted", ["drift"])
    other = forge.ensure_issue("drift taxis", "Drift", "taxis drifted")
    outcomes = (first, second, third, other)
    assert [outcome.operation for outcome in outcomes] == ["created", "unchanged", "updated", "created"]
    assert first == IssueOutcome("created", 121, repository.issues[120]["html_url"])
    assert {first.number, second.number, third.number} == {121}
    issue = repository.issues[120]
    assert issue["body"] == "<!-- titlebout: drift flights -->\n4 columns drifted"
    assert issue["labels"] == [{"name": "drift"}]


def test_a_forged_issue_of_another_user_is_not_changed(anywhere: GithubServer, fake_time: FakeTime) -> None:
    planted = dict(anywhere.repository.add_issue("planted", "<!-- titlebout: drift -->\nlies", by="mallory"))
    outcome = make_forge(anywhere, fake_time).ensure_issue("drift", "Drift", "text")
    assert (outcome.operation, outcome.number) == ("created", 2)
    assert anywhere.repository.issues[0] == planted


@pytest.mark.parametrize("login", ["retrain-bot[bot]", "ada"])
def test_an_issue_of_another_app_is_found_by_its_login(server: GithubServer, forge: Forge, login: str) -> None:
    server.repository.login = login
    operations = [forge.ensure_issue("drift", "Drift", text).operation for text in ("one", "two")]
    assert operations == ["created", "updated"]
    assert calls(server).count("POST /graphql") == 1


def test_a_closed_issue_is_reopened_only_with_a_new_text(anywhere: GithubServer, fake_time: FakeTime) -> None:
    forge = make_forge(anywhere, fake_time)
    forge.ensure_issue("drift", "Drift", "3 columns drifted")
    (issue,) = anywhere.repository.issues
    issue["state"] = "closed"

    assert forge.ensure_issue("drift", "Drift", "3 columns drifted").operation == "unchanged"
    assert issue["state"] == "closed"
    assert forge.ensure_issue("drift", "Drift", "4 columns drifted") == IssueOutcome("updated", 1, issue["html_url"])
    assert issue["state"] == "open"
    assert len(anywhere.repository.issues) == 1


def test_of_two_issues_after_a_lost_reply_the_first_stays(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(how="reset", method="POST", path="/issues$", applied=True, unlisted=1)]
    forge.ensure_issue("drift", "Drift", "text")
    assert len(server.repository.issues) == 2

    assert forge.ensure_issue("drift", "Drift", "text") == IssueOutcome(
        "unchanged", 1, server.repository.issues[0]["html_url"]
    )
    assert [issue["state"] for issue in server.repository.issues] == ["open", "closed"]


@pytest.mark.parametrize("data", [None, {"viewer": None}])
def test_without_the_user_of_the_token_no_issue_is_opened(server: GithubServer, forge: Forge, data: object) -> None:
    server.faults = [Fault(Reply(200, {"data": data, "errors": [{"message": "no"}]}), path="/graphql")]
    with pytest.raises(PermissionRefusedError, match="did not return the user of the token"):
        forge.ensure_issue("drift", "Drift", "text")
    assert server.repository.issues == []


def test_disabled_issues_are_refused_with_the_setting_to_change(server: GithubServer, forge: Forge) -> None:
    server.faults = [Fault(refusal(410, "Issues has been disabled in this repository."), path="/issues$")]
    with pytest.raises(ConfigError) as caught:
        forge.ensure_issue("drift", "Drift", "text")
    assert "Features → Issues" in caught.value.fix


def test_a_pull_request_with_the_marker_is_not_an_issue(server: GithubServer, forge: Forge) -> None:
    theirs = server.repository.add_pull("x", "main", "theirs", "<!-- titlebout: drift flights -->")
    assert forge.ensure_issue("drift flights", "Drift", "text").operation == "created"
    assert theirs["title"] == "theirs"


def test_a_long_issue_keeps_its_marker(server: GithubServer, forge: Forge) -> None:
    operations = [forge.ensure_issue("drift", "Drift " * 100, "a line\n" * 20_000).operation for _ in range(2)]
    assert operations == ["created", "unchanged"]


@faults(TRANSIENT)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_fault_ends_with_one_issue(server: GithubServer, forge: Forge, fault: Fault, method: str) -> None:
    server.faults = [replace(fault, method=method, path="/(issues|graphql)$")]
    assert forge.ensure_issue("drift", "Drift", "text").operation == "created"
    assert len(server.repository.issues) == 1
    assert len(server.calls) <= MAX_REQUESTS


# ---------------------------------------------------------------------------------------------------------------------
# The default connection


def test_the_default_connection_works(server: GithubServer) -> None:
    forge = Forge.connect(server.url, "team/flights", "secret")
    assert forge.ensure_pull_request(WANTED).operation == "created"


@pytest.mark.parametrize("token", [None, "", "two\nlines", "Secret token", "tökén"])
def test_a_malformed_token_is_refused_and_not_shown(token: str | None) -> None:
    with pytest.raises(PermissionRefusedError) as caught:
        Forge.connect("https://api.github.com", "team/flights", token)
    assert "TITLEBOUT_TOKEN" in caught.value.fix
    assert not token or token not in json.dumps(caught.value.to_dict(), ensure_ascii=False).replace("\\n", "\n")


@pytest.mark.parametrize(
    ("api_url", "repository", "variable"),
    [
        ("api.github.com", "team/flights", "GITHUB_API_URL"),
        ("https://api.github.com", None, "GITHUB_REPOSITORY"),
        ("https://api.github.com", "flights", "GITHUB_REPOSITORY"),
        ("https://api.github.com", "team/flights/../..", "GITHUB_REPOSITORY"),
    ],
)
def test_an_invalid_address_or_repository_is_refused(api_url: str, repository: str | None, variable: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Forge.connect(api_url, repository, "secret")
    assert variable in caught.value.fix


# ---------------------------------------------------------------------------------------------------------------------
# The stand-in


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
def test_the_stand_in_detects_violations_of_githubs_description(method: str, path: str, body: object) -> None:
    with GithubServer() as server:
        server.repository.add_pull("x", "main")
        httpx.request(method, f"{server.url}/repos/team/flights{path}", json=body, headers={"Authorization": "x"})
    assert len(server.violations) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/pulls?head=team:x", None),
        ("GET", "/pulls?per_page=100", None),
        ("GET", "/pulls?sort=updated", None),
        ("GET", "/issues?creator=ada", None),
        ("POST", "/pulls", {"head": "a", "base": "main", "title": "t", "draft": True}),
        ("POST", "/statuses/" + SHA, {"state": "success", "colour": "red"}),
    ],
)
def test_the_stand_in_detects_parameters_that_gitea_ignores(method: str, path: str, body: object) -> None:
    with GithubServer(dialect="gitea") as server:
        httpx.request(method, f"{server.url}/repos/team/flights{path}", json=body, headers={"Authorization": "x"})
    assert len(server.violations) == 1


@pytest.mark.parametrize("dialect", ["ghes", "gitea"])
def test_the_stand_in_serves_only_below_its_root(dialect: str) -> None:
    with GithubServer(dialect=dialect) as server:
        url = server.url.removesuffix(server.root)
        reply = httpx.get(f"{url}/repos/team/flights/pulls", headers={"Authorization": "x"})
    assert reply.status_code in {404, 422}


def test_the_stand_in_validates_its_own_replies() -> None:
    with GithubServer() as server:
        server.repository.add_pull("x", "main")["labels"] = [{"name": 5}]
        httpx.get(f"{server.url}/repos/team/flights/pulls", headers={"Authorization": "x"})
        server.faults = [Fault(Reply(500, {"message": "without a link"}))]
        httpx.get(f"{server.url}/repos/team/flights/pulls", headers={"Authorization": "x"})
    assert len(server.violations) == 2


def test_the_stand_in_refuses_the_same_requests_as_github(server: GithubServer) -> None:
    root, headers = f"{server.url}/repos/team/flights", {"Authorization": "x"}
    pull = {"head": "x", "base": "main", "title": "t"}
    assert httpx.get(f"{root}/pulls").status_code == 401
    assert httpx.get(f"{server.url}/repos/team/other/pulls", headers=headers).status_code == 404
    assert httpx.post(f"{root}/pulls", json=pull | {"body": "x" * 65_537}, headers=headers).status_code == 422
    assert httpx.post(f"{root}/statuses/main", json={"state": "success"}, headers=headers).status_code == 422
    assert [httpx.post(f"{root}/pulls", json=pull, headers=headers).status_code for _ in range(2)] == [201, 422]


def test_the_stand_in_stores_comments_and_paginates(server: GithubServer) -> None:
    root, headers = f"{server.url}/repos/team/flights", {"Authorization": "x"}
    server.repository.add_issue("one", "text")
    for number in range(31):
        httpx.post(f"{root}/issues/1/comments", json={"body": f"comment {number}"}, headers=headers)
    httpx.patch(f"{root}/issues/comments/31", json={"body": "changed"}, headers=headers)
    first = httpx.get(f"{root}/issues/1/comments", headers=headers)
    second = httpx.get(f"{root}/issues/1/comments?page=2", headers=headers)
    assert (len(first.json()), "next" in first.links) == (30, True)
    assert ([comment["body"] for comment in second.json()], "next" in second.links) == (["changed"], False)


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
