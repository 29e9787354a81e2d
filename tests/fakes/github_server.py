"""A stand-in for GitHub: a real HTTP server that remembers, checked against GitHub's own description of its API.

In a test ``with GithubServer() as server: ...``; for other processes
``python tests/fakes/github_server.py --port 0 --repository owner/name --log FILE`` prints the URL and serves until it
is killed. Every request and every reply is held against the OpenAPI description; what breaks it stands in
``violations``. ``GET /_stand-in/state`` tells all that the server knows.
"""

import argparse
import contextlib
import functools
import json
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

DESCRIPTION = Path(__file__).with_name("github-openapi.json")
DOCUMENTATION = "https://docs.github.com/rest"
NOW = "2026-01-01T00:00:00Z"
MISSING: Any = object()
Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    """One answer; ``payload`` is JSON unless it is bytes."""

    status: int
    payload: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else json.dumps(self.payload).encode()


@dataclass
class Fault:
    """What goes wrong, for ``times`` requests that match ``method`` and ``path`` (regular expressions), after ``skip``.

    ``applied`` tells whether the server does what it was asked before the fault; ``how`` whether it then replies,
    resets the connection, or stays silent until the client gives up.
    """

    reply: Reply | None = None
    how: Literal["reply", "reset", "hang"] = "reply"
    method: str = "[A-Z]+"
    path: str = ".*"
    skip: int = 0
    times: int = 1
    applied: bool = False

    def takes(self, call: Call) -> bool:
        if self.times == 0 or not re.fullmatch(self.method, call.method) or not re.search(self.path, call.path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def refusal(status: int, message: str, *errors: Json) -> Reply:
    """Return an error in GitHub's form."""
    payload = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
    return Reply(status, payload | ({"errors": list(errors)} if errors else {}))


# ---------------------------------------------------------------------------------------------------------------------
# What GitHub says of itself


class Contract:
    """GitHub's description of its API: what a request and a reply must look like."""

    def __init__(self) -> None:
        self.description: Json = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
        self._api = OpenAPI.from_dict(self.description)
        self._known: dict[tuple[object, ...], str | None] = {}

    def request_violation(self, call: Call) -> str | None:
        """Return what is wrong with a request."""
        return self._remembered(call, None, lambda: self._api.validate_request(self._request(call)))

    def reply_violation(self, call: Call, reply: Reply) -> str | None:
        """Return what is wrong with a reply; errors that every operation may give are not repeated in each."""
        response = MockResponse(reply.content, reply.status)
        found = self._remembered(call, reply, lambda: self._api.validate_response(self._request(call), response))
        if found and found.startswith("ResponseNotFound") and reply.status >= 400:
            return None if {"message", "documentation_url"} <= reply.payload.keys() else "not an error of GitHub's form"
        return found

    def _request(self, call: Call) -> MockRequest:
        host, query, headers = self.description["servers"][0]["url"], dict(call.query), dict(call.headers)
        return MockRequest(host, call.method, call.path, args=query, headers=headers, data=call.body)

    def _remembered(self, call: Call, reply: Reply | None, validate: Callable[[], object]) -> str | None:
        """Validate what was not seen before; tests exchange the same few messages over and over."""
        told = (reply.status, reply.content) if reply else None
        key = (call.method, call.path, tuple(call.query.items()), call.body, told)
        if key not in self._known:
            self._known[key] = _violation(validate)
        return self._known[key]

    def record(self, name: str, known: Json) -> Json:
        """Return ``known`` completed with the least that schema ``name`` demands."""
        return self._completed({"$ref": f"#/components/schemas/{name}"}, known)

    def _completed(self, schema: Json, known: Any = MISSING) -> Any:
        schema = self._chosen(schema, known)
        if known is MISSING and schema.get("nullable"):
            return None
        if isinstance(known, list):
            return [self._completed(schema.get("items", {}), item) for item in known]
        if isinstance(known, dict) or (known is MISSING and "properties" in schema):
            given, properties = {} if known is MISSING else known, schema.get("properties", {})
            names = dict.fromkeys([*schema.get("required", ()), *given])
            return {name: self._completed(properties.get(name, {}), given.get(name, MISSING)) for name in names}
        return _least(schema) if known is MISSING else known

    def _chosen(self, schema: Json, known: Any) -> Json:
        """Follow references, and of alternatives take the first that can hold ``known``."""
        while "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        alternatives = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf")
        if not alternatives:
            return schema
        chosen = [self._chosen(alternative, known) for alternative in alternatives]
        return next((one for one in chosen if not isinstance(known, dict) or "properties" in one), chosen[0])


def _least(schema: Json) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "string":
        return {"uri": "https://example.invalid/", "date-time": NOW}.get(schema.get("format", ""), "")
    return {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}[schema["type"]]


def _violation(validate: Callable[[], object]) -> str | None:
    try:
        validate()
    except OpenAPIError as error:
        details = getattr(error.__cause__, "schema_errors", None) or [error.__cause__ or ""]
        told = "; ".join(str(getattr(detail, "message", detail)) for detail in details)
        return f"{type(error).__name__}: {error}: {told}"[:2000]
    return None


@functools.cache
def contract() -> Contract:
    """Return the description, read once."""
    return Contract()


# ---------------------------------------------------------------------------------------------------------------------
# What the server remembers and does


class Repository:
    """One repository's pull requests, issues, comments, labels and statuses."""

    def __init__(self, name: str, dialect: Literal["github", "gitea"]) -> None:
        self.name = name
        self.owner = name.partition("/")[0]
        self.gitea = dialect == "gitea"
        self.pulls: list[Json] = []
        self.issues: list[Json] = []
        self.comments: list[Json] = []
        self.statuses: list[Json] = []
        self._routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", r"/pulls", self._list_pulls),
            ("POST", r"/pulls", self._create_pull),
            ("GET", r"/pulls/(\d+)", self._get_pull),
            ("PATCH", r"/pulls/(\d+)", self._update_pull),
            ("GET", r"/issues", self._list_issues),
            ("POST", r"/issues", self._create_issue),
            ("GET", r"/issues/(\d+)", self._get_issue),
            ("PATCH", r"/issues/(\d+)", self._update_issue),
            ("GET", r"/issues/(\d+)/labels", self._list_labels),
            ("POST", r"/issues/(\d+)/labels", self._add_labels),
            ("GET", r"/issues/(\d+)/comments", self._list_comments),
            ("POST", r"/issues/(\d+)/comments", self._create_comment),
            ("PATCH", r"/issues/comments/(\d+)", self._update_comment),
            ("POST", r"/statuses/([^/]+)", self._create_status),
            ("GET", r"/commits/([^/]+)/status", self._combined_status),
        ]

    def handle(self, call: Call) -> Reply:
        """Do what was asked."""
        if "Authorization" not in call.headers:
            return refusal(401, "Requires authentication")
        prefix = f"/repos/{self.name}"
        for method, pattern, action in self._routes:
            match = re.fullmatch(re.escape(prefix) + pattern, call.path)
            if match and method == call.method:
                try:
                    return action(call, *match.groups())
                except LookupError:
                    break
        return refusal(404, "Not Found")

    def add_pull(self, head: str, base: str, title: str = "", body: str = "", *, fork: str | None = None) -> Json:
        """Open a pull request without asking; ``fork`` is the repository that holds ``head``."""
        head_repository = fork or self.name
        pull = {
            **self._numbered("pull"),
            "title": title,
            "body": body or None,
            "head": {
                "ref": head,
                "label": f"{head_repository.split('/', maxsplit=1)[0]}:{head}",
                "repo": {"full_name": head_repository},
            },
            "base": {"ref": base, "label": f"{self.owner}:{base}", "repo": {"full_name": self.name}},
        }
        self.pulls.append(pull)
        return pull

    def add_issue(self, title: str, body: str) -> Json:
        """Open an issue without asking."""
        issue = {**self._numbered("issues"), "title": title, "body": body or None}
        self.issues.append(issue)
        return issue

    def _numbered(self, kind: str) -> Json:
        number = len(self.pulls) + len(self.issues) + 1
        url = f"https://example.invalid/{self.name}/{kind}/{number}"
        return {"id": number, "number": number, "html_url": url, "state": "open", "labels": [], "updated": number}

    def _list_pulls(self, call: Call) -> Reply:
        state = call.query.get("state", "open")
        found = [pull for pull in reversed(self.pulls) if state in {pull["state"], "all"}]
        if not self.gitea:  # Gitea knows neither filter
            if "head" in call.query:
                found = [pull for pull in found if pull["head"]["label"] == call.query["head"]]
            if "base" in call.query:
                found = [pull for pull in found if pull["base"]["ref"] == call.query["base"]]
        return self._page(call, "pull-request-simple", found)

    def _create_pull(self, call: Call) -> Reply:
        asked = call.json
        if wrong := self._wrong_text("PullRequest", asked):
            return wrong
        label = asked["head"] if ":" in asked["head"] else f"{self.owner}:{asked['head']}"
        if any(_is_open(pull, label, asked["base"]) for pull in self.pulls):
            if self.gitea:
                return Reply(409, {"message": "pull request already exists for these targets", "url": DOCUMENTATION})
            message = f"A pull request already exists for {label}."
            return refusal(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message})
        pull = self.add_pull(label.split(":")[1], asked["base"], asked["title"], asked.get("body", ""))
        return Reply(201, contract().record("pull-request", pull))

    def _get_pull(self, call: Call, number: str) -> Reply:
        return Reply(200, contract().record("pull-request", _numbered(self.pulls, number)))

    def _update_pull(self, call: Call, number: str) -> Reply:
        pull = _numbered(self.pulls, number)
        return self._wrong_text("PullRequest", call.json) or Reply(
            200, contract().record("pull-request", pull | self._changed(pull, call))
        )

    def _list_issues(self, call: Call) -> Reply:
        state = call.query.get("state", "open")
        pulls = [pull | {"pull_request": {}} for pull in self.pulls]  # on GitHub every pull request is an issue too
        issues = [self._issue(issue) for issue in [*self.issues, *pulls] if state in {issue["state"], "all"}]
        key = "updated" if call.query.get("sort") == "updated" else "number"
        return self._page(call, "issue", sorted(issues, key=lambda issue: issue[key], reverse=True))

    def _create_issue(self, call: Call) -> Reply:
        if wrong := self._wrong_text("Issue", call.json):
            return wrong
        issue = self.add_issue(call.json["title"], call.json.get("body", ""))
        return Reply(201, contract().record("issue", self._issue(issue)))

    def _get_issue(self, call: Call, number: str) -> Reply:
        return Reply(200, contract().record("issue", self._issue(_numbered(self.issues, number))))

    def _update_issue(self, call: Call, number: str) -> Reply:
        issue = _numbered(self.issues, number)
        return self._wrong_text("Issue", call.json) or Reply(
            200, contract().record("issue", self._issue(self._changed(issue, call)))
        )

    def _list_labels(self, call: Call, number: str) -> Reply:
        return self._page(call, "label", _numbered([*self.issues, *self.pulls], number)["labels"])

    def _add_labels(self, call: Call, number: str) -> Reply:
        labels = _numbered([*self.issues, *self.pulls], number)["labels"]
        labels += [{"name": name} for name in call.json["labels"] if {"name": name} not in labels]
        return Reply(200, [contract().record("label", label) for label in labels])

    def _list_comments(self, call: Call, number: str) -> Reply:
        return self._page(call, "issue-comment", [one for one in self.comments if one["issue"] == int(number)])

    def _create_comment(self, call: Call, number: str) -> Reply:
        _numbered([*self.issues, *self.pulls], number)
        comment = {"id": len(self.comments) + 1, "issue": int(number), "body": call.json["body"]}
        self.comments.append(comment)
        return Reply(201, contract().record("issue-comment", comment))

    def _update_comment(self, call: Call, identity: str) -> Reply:
        comment = self.comments[int(identity) - 1]
        comment["body"] = call.json["body"]
        return Reply(200, contract().record("issue-comment", comment))

    def _create_status(self, call: Call, sha: str) -> Reply:
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            return refusal(422, f"No commit found for SHA: {sha}")
        if len(call.json.get("description") or "") > 140:
            return refusal(422, "Validation Failed", {"resource": "Status", "field": "description", "code": "custom"})
        status = {"context": "default", "description": None, "target_url": None, **call.json}
        self.statuses.append({"sha": sha, **status})
        return Reply(201, contract().record("status", status))

    def _combined_status(self, call: Call, sha: str) -> Reply:
        last = {status["context"]: status for status in self.statuses if status["sha"] == sha}
        statuses = [
            contract().record("simple-commit-status", {k: v for k, v in s.items() if k != "sha"}) for s in last.values()
        ]
        worst = next(
            (state for state in ("error", "failure", "pending") if state in {s["state"] for s in statuses}), None
        )
        known = {
            "state": worst or ("success" if statuses else "pending"),
            "sha": sha,
            "statuses": statuses,
            "total_count": len(statuses),
        }
        return Reply(200, contract().record("combined-commit-status", known))

    def _issue(self, issue: Json) -> Json:
        return {key: value for key, value in issue.items() if key not in {"head", "base"}}

    def _changed(self, record: Json, call: Call) -> Json:
        record.update({key: value for key, value in call.json.items() if key in {"title", "body", "state"}})
        record["updated"] = time.monotonic()
        return record

    def _wrong_text(self, resource: str, asked: Json) -> Reply | None:
        """Refuse what GitHub refuses though its description does not say so."""
        for key, limit in (("title", 256), ("body", 65_536)):
            if len(asked.get(key) or "") > limit:
                message = f"{key} is too long (maximum is {limit} characters)"
                error = {"resource": resource, "field": key, "code": "custom", "message": message}
                return refusal(422, "Validation Failed", error)
        return None

    def _page(self, call: Call, schema: str, records: list[Json]) -> Reply:
        size = (
            min(int(call.query.get("limit", 30)), 50) if self.gitea else min(int(call.query.get("per_page", 30)), 100)
        )
        page = int(call.query.get("page", 1))
        headers = {}
        if page * size < len(records):
            following = urlencode({**call.query, "page": page + 1})
            headers["Link"] = f'<https://example.invalid{call.path}?{following}>; rel="next"'
        shown = records[(page - 1) * size : page * size]
        return Reply(200, [contract().record(schema, record) for record in shown], headers)


def _is_open(pull: Json, label: str, base: str) -> bool:
    return pull["state"] == "open" and pull["head"]["label"] == label and pull["base"]["ref"] == base


def _numbered(records: list[Json], number: str) -> Json:
    for record in records:
        if record["number"] == int(number):
            return record
    raise LookupError(number)


# ---------------------------------------------------------------------------------------------------------------------
# The server


class GithubServer(ThreadingHTTPServer):
    """The stand-in, serving from ``with`` until its end."""

    daemon_threads = True

    def __init__(
        self,
        repository: str = "team/flights",
        *,
        dialect: Literal["github", "gitea"] = "github",
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.repository = Repository(repository, dialect)
        self.root = "/api/v1" if dialect == "gitea" else ""
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.closing = threading.Event()
        contract()  # read before the first request, whose client may not want to wait for it
        self._log = log
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address to use as ``GITHUB_API_URL``."""
        return f"http://127.0.0.1:{self.server_address[1]}{self.root}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def answer(self, call: Call) -> tuple[Reply | None, Fault | None]:
        """Return what to reply, and the fault that spoils it."""
        with self._lock:
            self.calls.append(call)
            wrong = None if self.repository.gitea else contract().request_violation(call)
            fault = next((fault for fault in self.faults if fault.takes(call)), None)
            reply = None
            if wrong:
                reply = refusal(422, "Invalid request")
            elif fault is None or fault.applied:
                reply = self.repository.handle(call)
            if fault is not None and fault.reply is not None:
                reply = fault.reply
            self._keep(call, reply, wrong, deliberate=fault is not None)
            return reply, fault

    def _keep(self, call: Call, reply: Reply | None, wrong: str | None, *, deliberate: bool) -> None:
        """Record what breaks the contract; a fault may do so on purpose, but not where it claims to be JSON."""
        broken = None
        on_purpose = deliberate and reply is not None and isinstance(reply.payload, bytes)
        if reply is not None and not (wrong or on_purpose or self.repository.gitea):
            broken = contract().reply_violation(call, reply)
        found = [f"{call.method} {call.path}: {text}" for text in (wrong, broken) if text]
        self.violations += found
        if self._log is not None:
            line = {"method": call.method, "path": call.path, "query": dict(call.query), "body": call.body.decode()}
            line |= {"status": reply.status if reply else None, "violations": found}
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def state(self) -> Json:
        """Return all that the server knows."""
        with self._lock:
            known = self.repository
            return {
                "pulls": known.pulls,
                "issues": known.issues,
                "comments": known.comments,
                "statuses": known.statuses,
                "calls": [f"{call.method} {call.path}" for call in self.calls],
                "violations": self.violations,
            }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep a failure of the stand-in itself; a client that hung up is none."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.violations.append(f"the stand-in failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: GithubServer

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if parts.path == "/_stand-in/state":
            self._send(Reply(200, self.server.state()))
            return
        path = parts.path.removeprefix(self.server.root)
        call = Call(self.command, path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
        reply, fault = self.server.answer(call)
        if fault is not None and fault.how == "hang":
            self.server.closing.wait(30)
        elif fault is not None and fault.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif reply is not None:
            self._send(reply)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names http.server calls

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        kind = "text/html" if isinstance(reply.payload, bytes) else "application/json; charset=utf-8"
        standard = {"Content-Type": kind, "Content-Length": str(len(reply.content)), "Date": formatdate(usegmt=True)}
        for name, value in (standard | dict(reply.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *args: object) -> None:
        """Say nothing; ``--log`` keeps the requests."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--repository", default="team/flights")
    parser.add_argument("--dialect", choices=["github", "gitea"], default="github")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    with GithubServer(given.repository, dialect=given.dialect, port=given.port, log=given.log) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
