"""A stand-in for a forge: a stateful server, checked against GitHub's OpenAPI description.

In a test ``with GithubServer() as server: ...``; for other processes
``python tests/fakes/github_server.py --port 0 --repository owner/name --log FILE`` prints the URL and serves until it
is killed; without a socket ``httpx.Client(transport=InProcess(StandIn()))``. Every request and every reply is validated
against the OpenAPI description, in the dialect of Gitea and Forgejo against the tables below; ``violations`` lists what
is not valid. ``GET /_stand-in/state`` returns the complete state.
"""

import argparse
import contextlib
import functools
import itertools
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

DESCRIPTION = Path(__file__).with_name("github-openapi.json")
DOCUMENTATION = "https://docs.github.com/rest"
NOW = "2026-01-01T00:00:00Z"
MISSING: Any = object()
Json = dict[str, Any]
Kind = Literal["github", "ghes", "gitea", "forgejo"]
ROOTS = {"github": "", "ghes": "/api/v3", "gitea": "/api/v1", "forgejo": "/api/v1"}

# Parameters and fields of Gitea 1.23 and Forgejo 11. They silently ignore unknown ones, so sending one is a bug of the client.
GITEA_FILTERS = {
    "/pulls": {"state", "sort", "milestone", "labels", "poster", "page", "limit"},
    "/issues": {
        *("state", "labels", "q", "type", "milestones", "since", "before", "created_by", "assigned_by"),
        *("mentioned_by", "page", "limit"),
    },
}
GITEA_VALUES = {
    "state": {"open", "closed", "all"},
    "type": {"issues", "pulls"},
    "sort": {"oldest", "recentupdate", "recentclose", "leastupdate", "mostcomment", "leastcomment", "priority"},
}
GITEA_BODIES = {
    "POST /pulls": {"head", "base", "title", "body"},
    "PATCH /pulls": {"title", "body", "state", "base"},
    "POST /issues": {"title", "body"},
    "PATCH /issues": {"title", "body", "state"},
    "POST /labels": {"labels"},
    "POST /statuses": {"state", "context", "description", "target_url"},
}
GITEA_FIELDS = {
    "pull-request": {"id", "number", "html_url", "state", "title", "body", "labels", "user", "head", "base"}
    | {"merged_at", "merged"},
    "issue": {"id", "number", "html_url", "state", "title", "body", "labels", "user", "pull_request"},
    "status": {"id", "status", "context", "description", "target_url", "creator"},
}


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
    """One response; ``payload`` is JSON unless it is bytes."""

    status: int
    payload: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def content(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else json.dumps(self.payload).encode()


@dataclass
class Fault:
    """A fault for ``times`` requests that match ``method`` and ``path`` (regular expressions), after ``skip`` of them.

    With ``applied`` the server carries out the request before the fault. ``how`` selects a reply, a connection reset
    or a hang until the client times out. ``unlisted`` is the number of following lists without the newest record. With
    ``rival`` another client opens the pull request just before the request.
    """

    reply: Reply | None = None
    how: Literal["reply", "reset", "hang"] = "reply"
    at: int | None = None
    unlisted: int = 0
    rival: bool = False
    method: str = "[A-Z]+"
    path: str = ".*"
    skip: int = 0
    times: int = 1
    applied: bool = False

    def takes(self, call: Call, index: int) -> bool:
        """Return whether the fault applies to this request, the ``index``-th of all; ``at`` selects one by its index."""
        if self.at is not None:
            return self.at == index
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


def gitea_refusal(status: int, message: str) -> Reply:
    """Return an error in Gitea's form."""
    return Reply(status, {"message": message, "url": "https://example.invalid/api/swagger"})


# ---------------------------------------------------------------------------------------------------------------------
# GitHub's API description


class Contract:
    """Validator of requests and replies against GitHub's OpenAPI description."""

    def __init__(self) -> None:
        self.description: Json = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
        self._api = OpenAPI.from_dict(self.description)
        self._known: dict[tuple[object, ...], str | None] = {}
        self._records: dict[tuple[str, str], Json] = {}

    def request_violation(self, call: Call) -> str | None:
        """Return why a request is not valid, or None."""
        return self._cached(call, None, lambda: self._api.validate_request(self._request(call)))

    def reply_violation(self, call: Call, reply: Reply) -> str | None:
        """Return why a reply is not valid, or None; common errors are not described for each operation."""
        response = MockResponse(reply.content, reply.status)
        found = self._cached(call, reply, lambda: self._api.validate_response(self._request(call), response))
        if found and found.startswith("ResponseNotFound") and reply.status >= 400:
            return None if {"message", "documentation_url"} <= reply.payload.keys() else "not an error of GitHub's form"
        return found

    def _request(self, call: Call) -> MockRequest:
        host, query, headers = self.description["servers"][0]["url"], dict(call.query), dict(call.headers)
        return MockRequest(host, call.method, call.path, args=query, headers=headers, data=call.body)

    def _cached(self, call: Call, reply: Reply | None, validate: Callable[[], object]) -> str | None:
        """Validate once and cache the result, because tests exchange the same few messages many times."""
        response = (reply.status, reply.content) if reply else None
        key = (call.method, call.path, tuple(call.query.items()), call.body, response)
        if key not in self._known:
            self._known[key] = _violation(validate)
        return self._known[key]

    def record(self, name: str, known: Json) -> Json:
        """Return ``known`` with minimal values for all other fields that schema ``name`` requires."""
        key = (name, json.dumps(known))
        if key not in self._records:
            self._records[key] = self._completed({"$ref": f"#/components/schemas/{name}"}, known)
        return self._records[key]

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
        return _minimal(schema) if known is MISSING else known

    def _chosen(self, schema: Json, known: Any) -> Json:
        """Resolve references, and select the first alternative that can contain ``known``."""
        while "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        alternatives = schema.get("oneOf") or schema.get("anyOf") or schema.get("allOf")
        if not alternatives:
            return schema
        chosen = [self._chosen(alternative, known) for alternative in alternatives]
        return next((option for option in chosen if not isinstance(known, dict) or "properties" in option), chosen[0])


def _minimal(schema: Json) -> Any:
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
        messages = "; ".join(str(getattr(detail, "message", detail)) for detail in details)
        return f"{type(error).__name__}: {error}: {messages}"[:2000]
    return None


@functools.cache
def contract() -> Contract:
    """Return the validator, created once."""
    return Contract()


# ---------------------------------------------------------------------------------------------------------------------
# State and operations of the server


class Repository:
    """One repository's pull requests, issues, comments, labels and statuses.

    ``login`` is the user of the token. ``labels`` are the existing labels; Gitea ignores any other.
    """

    def __init__(self, name: str, dialect: Kind) -> None:
        self.name = name
        self.owner = name.partition("/")[0]
        self.gitea = dialect in {"gitea", "forgejo"}
        self.login = "gitea-actions" if self.gitea else "github-actions[bot]"
        self.labels: set[str] = {"retrain", "drift"}
        self.unlisted = 0
        self._changes = itertools.count(
            1
        )  # sort key of lists; a clock would make every reply different and defeat the cache
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
        """Carry out a request."""
        if "Authorization" not in call.headers:
            return self._refusal(401, "token is required" if self.gitea else "Requires authentication")
        if call.path == ("/user" if self.gitea else "/graphql"):
            user = {"login": self.login}
            return Reply(200, {"id": 1, **user} if self.gitea else {"data": {"viewer": user}})
        prefix = f"/repos/{self.name}"
        for method, pattern, action in self._routes:
            match = re.fullmatch(re.escape(prefix) + pattern, call.path)
            if match and method == call.method:
                try:
                    return action(call, *match.groups())
                except LookupError:
                    break
        return self._refusal(404, "Not Found")

    def _refusal(self, status: int, message: str, *errors: Json) -> Reply:
        return gitea_refusal(status, message) if self.gitea else refusal(status, message, *errors)

    def _record(self, schema: str, known: Json) -> Json:
        """Return a record with exactly the fields that the forge returns."""
        if not self.gitea:
            return contract().record(schema, {key: value for key, value in known.items() if key != "updated"})
        kept = GITEA_FIELDS[schema.removesuffix("-simple")]
        return {key: value for key, value in known.items() if key in kept}

    def add_pull(self, head: str, base: str, title: str = "", body: str = "", *, fork: str | None = None) -> Json:
        """Open a pull request without a request; ``fork`` is the repository of ``head``."""
        head_repository = fork or self.name
        label = "{0}" if self.gitea else "{1}:{0}"  # on Gitea, the branch only
        pull = {
            **self._numbered("pull"),
            "title": title,
            "body": body or None,
            "head": {
                "ref": head,
                "label": label.format(head, head_repository.split("/", maxsplit=1)[0]),
                "repo": {"full_name": head_repository},
            },
            "base": {"ref": base, "label": label.format(base, self.owner), "repo": {"full_name": self.name}},
            "merged_at": None,
        }
        self.pulls.append(pull)
        return pull

    def close_pull(self, number: int, *, merged: bool = False, branch_deleted: bool = False) -> None:
        """Close a pull request without a request; Gitea then keeps the name of a deleted branch in the label only."""
        pull = _numbered(self.pulls, str(number))
        pull |= {"state": "closed", "merged_at": NOW if merged else None, "updated": next(self._changes)}
        if branch_deleted and self.gitea:
            pull["head"]["ref"] = f"refs/pull/{number}/head"

    def add_issue(self, title: str, body: str, *, by: str | None = None) -> Json:
        """Open an issue without a request."""
        issue = {**self._numbered("issues", by), "title": title, "body": body or None, "pull_request": None}
        self.issues.append(issue)
        return issue

    def _numbered(self, kind: str, by: str | None = None) -> Json:
        number = len(self.pulls) + len(self.issues) + 1
        url = f"https://example.invalid/{self.name}/{kind}/{number}"
        user = {"login": by or self.login}
        known = {"id": number, "number": number, "html_url": url, "state": "open", "labels": [], "user": user}
        return known | {"updated": next(self._changes)}

    def _list_pulls(self, call: Call) -> Reply:
        state = call.query.get("state", "open")
        found = [pull for pull in reversed(self._listed(self.pulls)) if state in {pull["state"], "all"}]
        if call.query.get("sort") in {"updated", "recentupdate"}:
            found.sort(key=lambda pull: pull["updated"], reverse=True)
        if not self.gitea:  # Gitea knows neither filter
            if "head" in call.query:
                found = [pull for pull in found if pull["head"]["label"] == call.query["head"]]
            if "base" in call.query:
                found = [pull for pull in found if pull["base"]["ref"] == call.query["base"]]
        return self._page(call, "pull-request-simple", found)

    def _create_pull(self, call: Call) -> Reply:
        fields = call.json
        if wrong := self._wrong_text("PullRequest", fields):
            return wrong
        head = fields["head"].rpartition(":")[2]
        if any(_is_open(pull, head, fields["base"], self.name) for pull in self.pulls):
            if self.gitea:
                return gitea_refusal(409, "pull request already exists for these targets [id: 1, issue_id: 1]")
            message = f"A pull request already exists for {self.owner}:{head}."
            return refusal(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": message})
        pull = self.add_pull(head, fields["base"], fields["title"], fields.get("body", ""))
        return Reply(201, self._record("pull-request", pull))

    def _listed(self, records: list[Json]) -> list[Json]:
        """Return the records of a list; the newest may be missing for a while."""
        if self.unlisted == 0:
            return records
        self.unlisted -= 1
        return records[:-1]

    def _get_pull(self, call: Call, number: str) -> Reply:
        return Reply(200, self._record("pull-request", _numbered(self.pulls, number)))

    def _update_pull(self, call: Call, number: str) -> Reply:
        pull = _numbered(self.pulls, number)
        return self._wrong_text("PullRequest", call.json) or Reply(
            200, self._record("pull-request", pull | self._changed(pull, call))
        )

    def _list_issues(self, call: Call) -> Reply:
        state = call.query.get("state", "open")
        pulls = [pull | {"pull_request": {}} for pull in self.pulls]  # every pull request is an issue too
        known = self._listed(self.issues) + (pulls if call.query.get("type") != "issues" else [])
        issues = [self._issue(issue) for issue in known if state in {issue["state"], "all"}]
        if "creator" in call.query:
            issues = [issue for issue in issues if issue["user"]["login"] == call.query["creator"]]
        key = "updated" if call.query.get("sort") == "updated" else "number"
        return self._page(call, "issue", sorted(issues, key=lambda issue: issue[key], reverse=True))

    def _create_issue(self, call: Call) -> Reply:
        if wrong := self._wrong_text("Issue", call.json):
            return wrong
        issue = self.add_issue(call.json["title"], call.json.get("body", ""))
        return Reply(201, self._record("issue", self._issue(issue)))

    def _get_issue(self, call: Call, number: str) -> Reply:
        return Reply(200, self._record("issue", self._issue(_numbered(self.issues, number))))

    def _update_issue(self, call: Call, number: str) -> Reply:
        issue = _numbered(self.issues, number)
        return self._wrong_text("Issue", call.json) or Reply(
            200, self._record("issue", self._issue(self._changed(issue, call)))
        )

    def _list_labels(self, call: Call, number: str) -> Reply:
        return self._page(call, "label", _numbered([*self.issues, *self.pulls], number)["labels"])

    def _add_labels(self, call: Call, number: str) -> Reply:
        labels = _numbered([*self.issues, *self.pulls], number)["labels"]
        names = [name for name in call.json["labels"] if name in self.labels or not self.gitea]  # silently, like Gitea
        labels += [{"name": name} for name in names if {"name": name} not in labels]
        return Reply(200, labels if self.gitea else [contract().record("label", label) for label in labels])

    def _list_comments(self, call: Call, number: str) -> Reply:
        return self._page(
            call, "issue-comment", [comment for comment in self.comments if comment["issue"] == int(number)]
        )

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
            return self._refusal(404 if self.gitea else 422, f"No commit found for SHA: {sha}")
        if len(call.json.get("description") or "") > 140 and not self.gitea:
            return refusal(422, "Validation Failed", {"resource": "Status", "field": "description", "code": "custom"})
        status = {"context": "default", "description": None, "target_url": None, **call.json}
        self.statuses.append({"sha": sha, **status})
        return Reply(201, self._record("status", status | ({"status": status["state"]} if self.gitea else {})))

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
        hidden = {"head", "base", "merged_at"} | ({"pull_request"} if issue.get("pull_request", 1) is None else set())
        return {key: value for key, value in issue.items() if key not in (set() if self.gitea else hidden)}

    def _changed(self, record: Json, call: Call) -> Json:
        record.update({key: value for key, value in call.json.items() if key in {"title", "body", "state"}})
        record["updated"] = next(self._changes)
        return record

    def _wrong_text(self, resource: str, fields: Json) -> Reply | None:
        """Return the refusal of a text that is too long, a limit missing from GitHub's description."""
        for key, limit in (("title", 255 if self.gitea else 256), ("body", 65_536)):
            if len(fields.get(key) or "") > limit:
                message = f"{key} is too long (maximum is {limit} characters)"
                error = {"resource": resource, "field": key, "code": "custom", "message": message}
                return self._refusal(422, "Validation Failed", error)
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
        return Reply(200, [self._record(schema, record) for record in shown], headers)


def _is_open(pull: Json, head: str, base: str, repository: str) -> bool:
    ends = pull["head"]["ref"], pull["base"]["ref"], (pull["head"]["repo"] or {}).get("full_name")
    return pull["state"] == "open" and ends == (head, base, repository)


def _numbered(records: list[Json], number: str) -> Json:
    for record in records:
        if record["number"] == int(number):
            return record
    raise LookupError(number)


# ---------------------------------------------------------------------------------------------------------------------
# The server


class StandIn:
    """A stateful forge with injected faults and a list of violations of the API description; without a socket."""

    def __init__(self, repository: str = "team/flights", dialect: Kind = "github", log: Path | None = None) -> None:
        self.repository = Repository(repository, dialect)
        self.root = ROOTS[dialect]
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.violations: list[str] = []
        contract()  # loaded before the first request, which could time out otherwise
        self._log = log
        self._lock = threading.Lock()

    def answer(self, call: Call) -> tuple[Reply | None, Fault | None]:
        """Return the reply, and the fault that replaces or disturbs it."""
        with self._lock:
            index = len(self.calls)
            call = replace(call, path=self._within(call.path))
            self.calls.append(call)
            wrong = self._wrong(call)
            fault = next((fault for fault in self.faults if fault.takes(call, index)), None)
            if fault is not None and fault.rival and not self.repository.pulls:
                self.repository.add_pull("ct/flights", "main", "the rival's", "text")
            if fault is not None:
                self.repository.unlisted = max(self.repository.unlisted, fault.unlisted)
            reply = None
            if wrong:
                reply = refusal(422, "Invalid request")
            elif fault is None or fault.applied:
                reply = self.repository.handle(call)
            if fault is not None:
                reply = fault.reply or reply
            self._keep(call, reply, wrong, deliberate=fault is not None)
            return reply, fault

    def _within(self, path: str) -> str:
        """Return the path below the API root; GitHub Enterprise Server has GraphQL next to it."""
        if self.root == ROOTS["ghes"] and path == "/api/graphql":
            return "/graphql"
        return path.removeprefix(self.root) if path.startswith(f"{self.root}/") else f"/outside{path}"

    def _wrong(self, call: Call) -> str | None:
        """Return why a request is not valid, or None."""
        if self.repository.gitea:
            return _wrong_on_gitea(call)
        if call.path == "/graphql":
            return None if call.json.keys() == {"query"} else "GraphQL needs a query"
        return contract().request_violation(call)

    def _keep(self, call: Call, reply: Reply | None, wrong: str | None, *, deliberate: bool) -> None:
        """Log the request and record violations; only a fault without JSON may violate the description on purpose."""
        broken = None
        on_purpose = deliberate and reply is not None and isinstance(reply.payload, bytes)
        unchecked = self.repository.gitea or call.path == "/graphql"
        if reply is not None and not (wrong or on_purpose or unchecked):
            broken = contract().reply_violation(call, reply)
        found = [f"{call.method} {call.path}: {text}" for text in (wrong, broken) if text]
        self.violations += found
        if self._log is not None:
            line = {"method": call.method, "path": call.path, "query": dict(call.query), "body": call.body.decode()}
            line |= {"status": reply.status if reply else None, "violations": found}
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def state(self) -> Json:
        """Return the complete state."""
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


def _wrong_on_gitea(call: Call) -> str | None:
    """Return the filters, values and fields that Gitea would ignore or refuse, or None."""
    kind = next((part for part in reversed(call.path.split("/")) if re.fullmatch("[a-z]+", part)), "")
    known = GITEA_FILTERS.get(f"/{kind}", set()) if call.method == "GET" else set()
    odd = call.query.keys() - known
    odd |= {name for name, value in call.query.items() if value not in GITEA_VALUES.get(name, {value})}
    if call.method != "GET":
        odd |= call.json.keys() - GITEA_BODIES.get(
            f"{call.method} /{'statuses' if 'statuses' in call.path else kind}", set()
        )
    return f"Gitea does not know {', '.join(sorted(odd))}" if odd else None


class InProcess(httpx.BaseTransport):
    """Transport to a stand-in without a socket; ``on_hang`` is called on every timeout."""

    def __init__(self, stand_in: StandIn, on_hang: Callable[[], object]) -> None:
        self.stand_in = stand_in
        self.on_hang = on_hang

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        query = dict(parse_qsl(request.url.query.decode()))
        headers = {name.title(): value for name, value in request.headers.items()}
        call = Call(request.method, request.url.path, query, headers, request.read())
        reply, fault = self.stand_in.answer(call)
        if fault is not None and fault.how == "hang":
            self.on_hang()
            raise httpx.ReadTimeout("the stand-in hangs", request=request)
        if reply is None or (fault is not None and fault.how == "reset"):
            raise httpx.ReadError("the stand-in resets", request=request)
        return httpx.Response(reply.status, headers=_headers(reply), content=reply.content)


def _headers(reply: Reply) -> Json:
    kind = "text/html" if isinstance(reply.payload, bytes) else "application/json; charset=utf-8"
    standard = {"Content-Type": kind, "Content-Length": str(len(reply.content)), "Date": formatdate(usegmt=True)}
    return standard | dict(reply.headers)


class GithubServer(StandIn, ThreadingHTTPServer):
    """The stand-in as a local server, running inside a ``with`` block."""

    daemon_threads = True

    def __init__(
        self, repository: str = "team/flights", *, dialect: Kind = "github", port: int = 0, log: Path | None = None
    ) -> None:
        StandIn.__init__(self, repository, dialect, log)
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", port), _Handler)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """URL to use as ``GITHUB_API_URL``."""
        return f"http://127.0.0.1:{self.server_address[1]}{self.root}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record failures of the stand-in, except for closed connections."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.violations.append(f"the stand-in failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: GithubServer

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if parts.path == f"{self.server.root}/_stand-in/state":
            self._send(Reply(200, self.server.state()))
            return
        call = Call(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
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
        for name, value in _headers(reply).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *args: object) -> None:
        """Write nothing to stderr; ``--log`` records the requests."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--repository", default="team/flights")
    parser.add_argument("--dialect", choices=list(ROOTS), default="github")
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    with GithubServer(
        arguments.repository, dialect=arguments.dialect, port=arguments.port, log=arguments.log
    ) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
