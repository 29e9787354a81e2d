"""The forge's REST API: one pull request, one commit status, one issue, each safe to ask for again.

GitHub, GitHub Enterprise Server (``/api/v3``), Gitea and Forgejo (``/api/v1``) take the same calls. They differ in how
they refuse a duplicate and in what they filter, so whatever was filtered by the server is filtered again here.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from titlebout.errors import ConfigError, ConflictError, PermissionRefusedError, TitleboutError
from titlebout.http import JsonClient, Request, UnclearReplyError

BODY_LIMIT = 60_000  # characters; GitHub refuses more than 65,536
DESCRIPTION_LIMIT = 140  # characters of a commit status
TIMEOUT_SECONDS = 20.0
_POSTS = 3
_BODY_CUT = "\n*This text was cut here, at the size the forge accepts. The reports hold all of it.*\n"
_GIVE_TOKEN = "give a valid one in TITLEBOUT_TOKEN, in an Action through the `token` input"  # noqa: S105 - a sentence
_MAY_NOT_OPEN = "not permitted to create or approve pull requests"
_TICK_BOX = (
    "tick Settings → Actions → General → Workflow permissions → 'Allow GitHub Actions to create and approve pull "
    "requests' (the organization may have to allow it first), or give a GitHub App's token through the `token` input"
)

Operation = Literal["created", "updated", "unchanged"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """The pull request that is to be open: from branch ``head`` into branch ``base``."""

    head: str
    base: str
    title: str
    body: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class PullRequestOutcome:
    """The one open pull request, and what it took to have it."""

    operation: Operation
    number: int
    url: str


@dataclass(frozen=True)
class IssueOutcome:
    """The one open issue, and what it took to have it."""

    operation: Operation
    number: int
    url: str


class _Repository(BaseModel):
    full_name: str


class _Branch(BaseModel):
    ref: str
    repo: _Repository | None


class _Label(BaseModel):
    name: str | None = None


class _Record(BaseModel):
    """What we read of a pull request and of an issue."""

    number: int
    html_url: str
    title: str
    body: str | None = None
    labels: list[_Label | str] | None = None

    def has_label(self, name: str) -> bool:
        return name in {label if isinstance(label, str) else label.name for label in self.labels or ()}


class _Status(BaseModel):
    context: str


class _Pull(_Record):
    head: _Branch
    base: _Branch


class _Issue(_Record):
    pull_request: Any = None


class _FieldError(BaseModel):
    resource: str | None = None
    field: str | None = None
    code: str | None = None
    message: str | None = None

    def __str__(self) -> str:
        place = ".".join(filter(None, (self.resource, self.field)))
        return ": ".join(filter(None, (place, self.message or self.code)))


class _Refused(BaseModel):
    message: str
    errors: list[_FieldError | str] = []

    def __str__(self) -> str:
        return "; ".join([self.message, *map(str, self.errors)])[:500]


_AnyRecord = TypeVar("_AnyRecord", bound=_Record)


class Forge:
    """One repository on a forge.

    Parameters
    ----------
    client : httpx.Client
        Its ``base_url`` is the API's root; the headers the API wants are added to it.
    repository : str
        ``owner/name``.
    token : str
        Needs pull-requests, issues and statuses: write, each for its own method only.
    sleep, clock : callable, optional
        Wait for seconds and tell seconds; only tests give others.

    Every method raises :class:`TemporaryError` when faults outlast 90 seconds, :class:`PermissionRefusedError` when the
    token does not do, :class:`ConflictError` and :class:`ConfigError` when the server refuses for another reason.
    """

    def __init__(
        self,
        client: httpx.Client,
        repository: str,
        token: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        client.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "User-Agent": "titlebout",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        )
        self._json = JsonClient(client, _refusal, sleep, clock)
        self._owner = repository.partition("/")[0]
        self._root = f"/repos/{repository}"

    @classmethod
    def connect(cls, api_url: str, repository: str | None, token: str | None) -> Self:
        """Return the forge at ``api_url``.

        Raises
        ------
        ConfigError
            If the address or the repository's name is none.
        PermissionRefusedError
            If there is no token, or it holds what no token holds.
        """
        if not re.fullmatch(r"https?://\S+", api_url):
            raise ConfigError(
                "the forge's address is no URL", where=api_url, fix="set GITHUB_API_URL to its API's root"
            )
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository or ""):
            raise ConfigError(
                "it is not known which repository to ask for",
                where=repository,
                fix="set GITHUB_REPOSITORY to owner/name",
            )
        if not re.fullmatch(r"[!-~]+", token or ""):  # a line break in it would end up in an error message
            raise PermissionRefusedError("there is no token for the forge, or it is damaged", fix=_GIVE_TOKEN)
        # No connection is kept: a few calls, minutes apart, and a stale one would look like a lost reply.
        limits = httpx.Limits(max_keepalive_connections=0)
        return cls(
            httpx.Client(base_url=api_url, timeout=TIMEOUT_SECONDS, limits=limits), repository or "", token or ""
        )

    def ensure_pull_request(self, wanted: PullRequest) -> PullRequestOutcome:
        """Have exactly one open pull request from ``wanted.head`` into ``wanted.base``, with its title, body, labels."""
        self._json.restart_patience()
        text = {"title": wanted.title, "body": _cut(wanted.body)}
        branches = {"head": wanted.head, "base": wanted.base}
        operation, pull = self._ensure("/pulls", TypeAdapter(_Pull), lambda: self._find_pull(wanted), text, branches)
        self._add_labels(pull, wanted.labels)
        return PullRequestOutcome(operation, pull.number, pull.html_url)

    def ensure_issue(self, marker: str, title: str, body: str, labels: Sequence[str] = ()) -> IssueOutcome:
        """Have exactly one open issue that ``marker`` names; it stands hidden at the start of the issue's body."""
        self._json.restart_patience()
        comment = f"<!-- titlebout: {marker} -->"
        text = {"title": title, "body": _cut(f"{comment}\n{body}")}
        operation, issue = self._ensure("/issues", TypeAdapter(_Issue), lambda: self._find_issue(comment), text, {})
        self._add_labels(issue, labels)
        return IssueOutcome(operation, issue.number, issue.html_url)

    def set_status(
        self,
        sha: str,
        state: Literal["error", "failure", "pending", "success"],
        context: str,
        description: str,
        target_url: str | None = None,
    ) -> None:
        """Say ``state`` of the commit ``sha`` under the name ``context``; a later call replaces an earlier one."""
        self._json.restart_patience()
        body = {"state": state, "context": context, "description": _shortened(description), "target_url": target_url}
        self._json.send(Request("POST", f"{self._root}/statuses/{sha}", body=body), TypeAdapter(_Status))

    def _find_pull(self, wanted: PullRequest) -> _Pull | None:
        params = {"state": "open", "head": f"{self._owner}:{wanted.head}", "base": wanted.base}
        for pull in self._json.pages(Request("GET", f"{self._root}/pulls", params), TypeAdapter(list[_Pull])):
            # A fork may offer a branch of the same name; its pull request is not ours to change.
            if (pull.head.ref, pull.base.ref, pull.head.repo) == (wanted.head, wanted.base, pull.base.repo):
                return pull
        return None

    def _find_issue(self, comment: str) -> _Issue | None:
        params = {"state": "open", "sort": "updated"}
        for issue in self._json.pages(Request("GET", f"{self._root}/issues", params), TypeAdapter(list[_Issue])):
            if issue.pull_request is None and (issue.body or "").startswith(comment):
                return issue
        return None

    def _ensure(
        self,
        kind: str,
        shape: TypeAdapter[_AnyRecord],
        find: Callable[[], _AnyRecord | None],
        text: dict[str, str],
        branches: dict[str, str],
    ) -> tuple[Operation, _AnyRecord]:
        """Look, create when there is none, and look again before creating again.

        Raises
        ------
        UnclearReplyError
            If the server keeps hiding what it does.
        ConflictError
            If the server says there is one and never shows it.
        """
        create = Request("POST", self._root + kind, body=text | branches, repeatable=False)
        posts, reply_lost = 0, False
        while True:
            found = find()
            if found is not None:
                operation, record = self._refresh(kind, shape, found, text)
                return ("created" if reply_lost and operation == "unchanged" else operation), record
            try:
                return "created", self._json.send(create, shape)
            except (UnclearReplyError, ConflictError) as error:
                posts += 1
                if posts == _POSTS:
                    raise
                reply_lost = reply_lost or isinstance(error, UnclearReplyError)

    def _refresh(
        self, kind: str, shape: TypeAdapter[_AnyRecord], found: _AnyRecord, text: dict[str, str]
    ) -> tuple[Operation, _AnyRecord]:
        """Change the title and body that differ; an edit that changes nothing would still notify people."""
        if _same(found.title, text["title"]) and _same(found.body, text["body"]):
            return "unchanged", found
        request = Request("PATCH", f"{self._root}{kind}/{found.number}", body=text)
        return "updated", self._json.send(request, shape)

    def _add_labels(self, record: _Record, wanted: Sequence[str]) -> None:
        """Add the labels that are missing; labels are a convenience, so a failure is only logged."""
        missing = [name for name in wanted if not record.has_label(name)]
        if not missing:
            return
        request = Request("POST", f"{self._root}/issues/{record.number}/labels", body={"labels": missing})
        try:
            self._json.send(request, TypeAdapter(list[Any]))
        except TitleboutError as error:
            logger.warning("could not label #%d with %s: %s", record.number, ", ".join(missing), error.why or error)


def _same(theirs: str | None, ours: str) -> bool:
    """Compare as the server keeps text: it may turn line ends and drop blanks at both ends."""
    return (theirs or "").replace("\r\n", "\n").strip() == ours.replace("\r\n", "\n").strip()


def _cut(body: str) -> str:
    """Cut a body at a line end and say so in it."""
    if len(body) <= BODY_LIMIT:
        return body
    return body[: body.rfind("\n", 0, BODY_LIMIT - len(_BODY_CUT)) + 1] + _BODY_CUT


def _shortened(description: str) -> str:
    return description if len(description) <= DESCRIPTION_LIMIT else description[: DESCRIPTION_LIMIT - 1] + "…"


def _refusal(request: Request, reply: httpx.Response) -> TitleboutError:
    """Return the error for a reply that trying again does not change."""
    said = _said(reply)
    where = f"{request.method} {reply.url.path}: HTTP {reply.status_code}"
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return PermissionRefusedError("the forge does not accept the token", where=where, why=said, fix=_GIVE_TOKEN)
    if reply.status_code in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
        return PermissionRefusedError(
            "the token may not do this", where=where, why=said, fix=_permission_hint(reply, said)
        )
    if reply.status_code == httpx.codes.CONFLICT or "already exists" in said:
        return ConflictError("it is there already, or changed meanwhile", where=where, why=said, fix="run again")
    return ConfigError("the forge refused the request", where=where, why=said, fix="change what it complains about")


def _permission_hint(reply: httpx.Response, said: str) -> str:
    if _MAY_NOT_OPEN in said:
        return _TICK_BOX
    needed = reply.headers.get("x-accepted-github-permissions", "the permission for this call")
    hint = f"grant the job {needed} in `permissions:`, or another token through the `token` input"
    if reply.status_code == httpx.codes.NOT_FOUND:
        return f"check the repository's name (a forge hides what a token may not see); if it is right, {hint}"
    return hint


def _said(reply: httpx.Response) -> str:
    """Return the server's reason, with the fields it names."""
    try:
        return str(_Refused.model_validate_json(reply.content))
    except ValueError:
        return reply.reason_phrase
