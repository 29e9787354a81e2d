"""The forge's REST API: one pull request, one commit status, one issue, each safe to ask for again.

GitHub, GitHub Enterprise Server, Gitea and Forgejo take the same calls; :mod:`titlebout.forge.providers` knows where they
differ. What a server filters is filtered again here, because not all of them do.

What we wrote is known again by a comment at the start of its text, which people do not see.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, TypeVar

import httpx
from pydantic import TypeAdapter

from titlebout.core.errors import ConfigError, ConflictError, PermissionRefusedError, TitleboutError
from titlebout.forge.http import MAX_PAGES, JsonClient, Request, UnclearReplyError
from titlebout.forge.providers import (
    GIVE_TOKEN,
    Issue,
    Label,
    Pull,
    Record,
    Status,
    User,
    dialect_of,
    filled,
    names,
    refusal,
)

BODY_LIMIT = 60_000  # characters; GitHub refuses more than 65,536
DESCRIPTION_LIMIT = 140  # characters of a commit status
TIMEOUT_SECONDS = 20.0
TITLE_LIMIT = 250  # characters; GitHub refuses more than 256
_POSTS = 3
_RECENT_PAGES = 3  # of what is closed; older ones are forgotten, so that a long history costs no more calls
_BODY_CUT = "\n*This text was cut here, at the size the forge accepts. The reports hold all of it.*\n"

Operation = Literal["created", "updated", "unchanged", "declined"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """The pull request that is to be open: from branch ``head`` into branch ``base``.

    Attributes
    ----------
    evidence : str
        Names what the proposal rests on; who closes it declines this evidence, not the next. Empty: nothing is remembered.
    """

    head: str
    base: str
    title: str
    body: str
    labels: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def mark(self) -> str:
        """The comment that carries the evidence in the pull request's text."""
        return _mark(f"evidence {self.evidence}")


@dataclass(frozen=True)
class PullRequestOutcome:
    """The one pull request, and what it took to have it; ``declined`` when people closed it."""

    operation: Operation
    number: int
    url: str


@dataclass(frozen=True)
class OpenPullRequest:
    """A pull request that is open, and the evidence that it carries; empty when it carries none."""

    number: int
    url: str
    evidence: str


@dataclass(frozen=True)
class IssueOutcome:
    """The one issue of a topic, and what it took to have it."""

    operation: Operation
    number: int
    url: str


_AnyRecord = TypeVar("_AnyRecord", bound=Record)


class Forge:
    """One repository on a forge.

    Parameters
    ----------
    client : httpx.Client
        Its ``base_url`` is the API's root and tells the dialect; the headers the API wants are added to it.
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
        self._api_url = str(client.base_url).rstrip("/")
        self._dialect = dialect_of(self._api_url)
        ours = {"Authorization": f"Bearer {token}", "User-Agent": "titlebout"}
        client.headers.update({**self._dialect.headers, **ours})
        self._json = JsonClient(client, partial(refusal, self._dialect), sleep, clock)
        self._owner = repository.partition("/")[0]
        self._root = f"/repos/{repository}"
        self._login = ""

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
            raise PermissionRefusedError("there is no token for the forge, or it is damaged", fix=GIVE_TOKEN)
        # No connection is kept: a few calls, minutes apart, and a stale one would look like a lost reply.
        limits = httpx.Limits(max_keepalive_connections=0)
        return cls(
            httpx.Client(base_url=api_url, timeout=TIMEOUT_SECONDS, limits=limits), repository or "", token or ""
        )

    def find_declined(self, wanted: PullRequest) -> PullRequestOutcome | None:
        """Return the pull request in which people declined this evidence: closed, not merged, and none is open now."""
        if not wanted.evidence:
            return None
        self._json.restart_patience()
        pulls = list(self._pulls(wanted, "all", _RECENT_PAGES))
        declined = [pull for pull in pulls if pull.merged_at is None and pull.begins_with(wanted.mark)]
        if not declined or any(pull.state == "open" for pull in pulls):
            return None
        return PullRequestOutcome("declined", declined[0].number, declined[0].html_url)

    def find_open(self, head: str, base: str) -> OpenPullRequest | None:
        """Return the open pull request from one branch of this repository into another."""
        self._json.restart_patience()
        pull = next(self._pulls(PullRequest(head=head, base=base, title="", body=""), "open", MAX_PAGES), None)
        if pull is None:
            return None
        evidence = re.match(r"\s*<!-- titlebout: evidence (\w+) -->", pull.body or "")
        return OpenPullRequest(pull.number, pull.html_url, evidence[1] if evidence else "")

    def ensure_pull_request(self, wanted: PullRequest) -> PullRequestOutcome:
        """Have exactly one open pull request from ``wanted.head`` into ``wanted.base``, with its title, body, labels."""
        self._json.restart_patience()
        body = f"{wanted.mark}\n{wanted.body}" if wanted.evidence else wanted.body
        branches = {"head": wanted.head, "base": wanted.base}
        operation, pull = self._ensure(
            "/pulls",
            TypeAdapter(Pull),
            lambda: next(self._pulls(wanted, "open", MAX_PAGES), None),
            _text(wanted.title, body),
            branches,
        )
        self._add_labels(pull, wanted.labels)
        return PullRequestOutcome(operation, pull.number, pull.html_url)

    def ensure_issue(self, marker: str, title: str, body: str, labels: Sequence[str] = ()) -> IssueOutcome:
        """Have one issue that tells ``body`` of the topic ``marker``.

        It is found by a hidden mark at the start of its text, and only among the issues that the token's own user
        opened: nobody else can plant one. One that people closed stays closed while its text is the same, and is
        reopened with the next one. Of several (a lost reply can make two) the oldest is kept, the others are closed.
        """
        self._json.restart_patience()
        mark = _mark(marker)
        text = _text(title, f"{mark}\n{body}")
        operation, issue = self._ensure("/issues", TypeAdapter(Issue), lambda: self._find_issue(mark), text, {})
        self._add_labels(issue, labels)
        return IssueOutcome(operation, issue.number, issue.html_url)

    def close_issue(self, marker: str) -> None:
        """Close the issue of a topic if it is open; what it says stays as it is."""
        self._json.restart_patience()
        for issue in list(self._issues(_mark(marker), "open", MAX_PAGES)):
            self._close(issue)

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
        body = {
            "state": state,
            "context": context,
            "description": _shortened(description, DESCRIPTION_LIMIT),
            "target_url": target_url,
        }
        self._json.send(Request("POST", f"{self._root}/statuses/{sha}", body=body), TypeAdapter(Status))

    def _pulls(self, wanted: PullRequest, state: str, pages: int) -> Iterator[Pull]:
        params = filled(self._dialect.pulls, owner=self._owner, head=wanted.head, base=wanted.base) | {"state": state}
        for pull in self._json.pages(Request("GET", f"{self._root}/pulls", params), TypeAdapter(list[Pull]), pages):
            # A fork may offer a branch of the same name; its pull request is not ours to change.
            if (pull.head.name, pull.base.name, pull.head.repo) == (wanted.head, wanted.base, pull.base.repo):
                yield pull

    def _find_issue(self, mark: str) -> Issue | None:
        for state, pages in (("open", MAX_PAGES), ("closed", _RECENT_PAGES)):
            found = sorted(self._issues(mark, state, pages), key=lambda issue: issue.number)
            if found:
                for other in found[1:] if state == "open" else ():
                    self._close(other)
                return found[0]
        return None

    def _close(self, issue: Issue) -> None:
        request = Request("PATCH", f"{self._root}/issues/{issue.number}", body={"state": "closed"})
        self._json.send(request, TypeAdapter(Issue))

    def _issues(self, mark: str, state: str, pages: int) -> Iterator[Issue]:
        ours = self._own_login()
        params = filled(self._dialect.issues, login=ours) | {"state": state}
        request = Request("GET", f"{self._root}/issues", params)
        for issue in self._json.pages(request, TypeAdapter(list[Issue]), pages):
            if issue.pull_request is None and issue.user == User(login=ours) and issue.begins_with(mark):
                yield issue

    def _own_login(self) -> str:
        """Return the login that the token writes under, asked for once.

        Raises
        ------
        PermissionRefusedError
            If the server does not say.
        """
        if not self._login:
            request = self._dialect.who_am_i
            path = request.path.format(root=self._api_url.removesuffix("/v3"))
            self._login = self._json.send(replace(request, path=path), self._dialect.identity).login
            if not self._login:
                raise PermissionRefusedError("the forge does not say whose token this is", where=path, fix=GIVE_TOKEN)
        return self._login

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
        change = text if found.state == "open" else {**text, "state": "open"}
        request = Request("PATCH", f"{self._root}{kind}/{found.number}", body=change)
        return "updated", self._json.send(request, shape)

    def _add_labels(self, record: Record, wanted: Sequence[str]) -> None:
        """Add the labels that are missing; labels are a convenience, so a failure is only logged."""
        missing = [name for name in wanted if name not in names(record.labels or ())]
        if not missing:
            return
        request = Request("POST", f"{self._root}/issues/{record.number}/labels", body={"labels": missing})
        try:
            there = names(self._json.send(request, TypeAdapter(list[Label])))
        except TitleboutError as error:
            logger.warning("could not label #%d with %s: %s", record.number, ", ".join(missing), error.why or error)
        else:  # Gitea leaves out, without a word, a label that nobody made
            for name in set(missing) - there:
                logger.warning("could not label #%d with %s: there is no such label", record.number, name)


def _mark(topic: str) -> str:
    """Return a comment that Markdown does not show; the topic cannot end it."""
    safe = re.sub(r"[^\w. ]+", "-", topic)
    return f"<!-- titlebout: {safe} -->"


def _text(title: str, body: str) -> dict[str, str]:
    return {"title": _shortened(title, TITLE_LIMIT), "body": _cut(body)}


def _same(theirs: str | None, ours: str) -> bool:
    """Compare as the server keeps text: it may turn line ends and drop blanks at both ends."""
    return (theirs or "").replace("\r\n", "\n").strip() == ours.replace("\r\n", "\n").strip()


def _cut(body: str) -> str:
    """Cut a body at a line end and say so in it."""
    if len(body) <= BODY_LIMIT:
        return body
    return body[: body.rfind("\n", 0, BODY_LIMIT - len(_BODY_CUT)) + 1] + _BODY_CUT


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
