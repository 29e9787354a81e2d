"""Client of a forge's REST API: idempotent operations on one pull request, commit status or issue.

GitHub, GitHub Enterprise Server, Gitea and Forgejo share these calls; :mod:`titlebout.forge.providers` has the
differences. Lists are always filtered again here, because not every server supports every filter.

Pull requests and issues written by titlebout are identified by a hidden HTML comment at the start of their body.
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
from titlebout.core.markdown import truncate
from titlebout.forge.http import MAX_PAGES, AmbiguousResponseError, JsonClient, Request
from titlebout.forge.providers import (
    FORGE,
    SET_TOKEN,
    Issue,
    Label,
    Pull,
    Record,
    Status,
    User,
    dialect_of,
    fill,
    label_names,
    refusal,
)

BODY_LIMIT = 60_000  # characters; GitHub refuses more than 65,536
DESCRIPTION_LIMIT = 140  # characters of a commit status
TIMEOUT_SECONDS = 20.0
TITLE_LIMIT = 250  # characters; GitHub refuses more than 256
_CREATE_ATTEMPTS = 3
_RECENT_PAGES = 3  # of closed ones; older ones are ignored, so that a long history does not cost more requests
_BODY_CUT = "\n*This text was truncated at the size limit of the forge. The reports contain the full text.*\n"

Operation = Literal["created", "updated", "unchanged", "declined"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """The desired pull request from branch ``head`` into branch ``base``.

    Attributes
    ----------
    head, base : str
        Source and target branch.
    title, body : str
        Text, body in Markdown.
    labels : tuple of str
        Labels to add.
    evidence : str
        Identifier of the model and data behind the pull request. Closing the pull request declines this evidence only.
        If empty, closed pull requests are ignored.
    """

    head: str
    base: str
    title: str
    body: str
    labels: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def marker(self) -> str:
        """Hidden comment with the evidence, at the start of the pull request's body."""
        return _hidden_marker(f"evidence {self.evidence}")


@dataclass(frozen=True)
class PullRequestOutcome:
    """The pull request, and the operation that was needed; ``declined`` if it was closed by a reviewer."""

    operation: Operation
    number: int
    url: str


@dataclass(frozen=True)
class OpenPullRequest:
    """An open pull request and its evidence; empty if its body has none."""

    number: int
    url: str
    evidence: str


@dataclass(frozen=True)
class IssueOutcome:
    """The issue of a topic, and the operation that was needed."""

    operation: Operation
    number: int
    url: str


_AnyRecord = TypeVar("_AnyRecord", bound=Record)


class Forge:
    """One repository on a forge.

    Parameters
    ----------
    client : httpx.Client
        HTTP client whose ``base_url`` is the API root, which determines the dialect; the API's headers are added to it.
    repository : str
        ``owner/name``.
    token : str
        Token with write access to pull requests, issues and statuses, each needed by its own methods only.
    sleep, clock : callable, optional
        Replacements of :func:`time.sleep` and :func:`time.monotonic` for tests.

    Notes
    -----
    Every method raises :class:`TemporaryError` if transient failures last longer than 90 seconds,
    :class:`PermissionRefusedError` if the token is invalid or lacks a permission, and :class:`ConflictError` or
    :class:`ConfigError` if the server refuses the request for another reason.
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
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "titlebout"}
        client.headers.update({**self._dialect.headers, **headers})
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
            If the address or the repository name is not valid.
        PermissionRefusedError
            If the token is missing or contains characters that a token cannot contain.
        """
        if not re.fullmatch(r"https?://\S+", api_url):
            raise ConfigError(
                "the API address is not a valid URL", where=api_url, fix="set GITHUB_API_URL to the root URL of the API"
            )
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository or ""):
            raise ConfigError(
                "the repository name is missing or not valid",
                where=repository,
                fix="set GITHUB_REPOSITORY to owner/name",
            )
        if not re.fullmatch(r"[!-~]+", token or ""):  # HTTP libraries repeat an invalid header in their error message
            raise PermissionRefusedError(f"the token for {FORGE} is missing or malformed", fix=SET_TOKEN)
        # No keep-alive: requests are few and minutes apart, and a stale connection looks like a lost response.
        limits = httpx.Limits(max_keepalive_connections=0)
        return cls(
            httpx.Client(base_url=api_url, timeout=TIMEOUT_SECONDS, limits=limits), repository or "", token or ""
        )

    def find_declined(self, wanted: PullRequest) -> PullRequestOutcome | None:
        """Return the pull request in which this evidence was declined: closed without a merge, and none is open now."""
        if not wanted.evidence:
            return None
        self._json.reset_deadline()
        pulls = list(self._pulls(wanted, "all", _RECENT_PAGES))
        declined = [pull for pull in pulls if pull.merged_at is None and pull.begins_with(wanted.marker)]
        if not declined or any(pull.state == "open" for pull in pulls):
            return None
        return PullRequestOutcome("declined", declined[0].number, declined[0].html_url)

    def find_open(self, head: str, base: str) -> OpenPullRequest | None:
        """Return the open pull request from branch ``head`` into branch ``base`` of this repository, or None."""
        self._json.reset_deadline()
        pull = next(self._pulls(PullRequest(head=head, base=base, title="", body=""), "open", MAX_PAGES), None)
        if pull is None:
            return None
        evidence = re.match(r"\s*<!-- titlebout: evidence (\w+) -->", pull.body or "")
        return OpenPullRequest(pull.number, pull.html_url, evidence[1] if evidence else "")

    def ensure_pull_request(self, wanted: PullRequest) -> PullRequestOutcome:
        """Create or update the one open pull request from ``wanted.head`` into ``wanted.base``."""
        self._json.reset_deadline()
        body = f"{wanted.marker}\n{wanted.body}" if wanted.evidence else wanted.body
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
        """Create or update the one issue of a topic.

        The issue is identified by a hidden marker at the start of its body, and only among the issues opened by the
        token's own user, so that other accounts cannot forge one. A closed issue stays closed while its text is the
        same, and is reopened when the text changes. Of several issues with the marker (a lost response can create a
        second one) the oldest is kept and the others are closed.

        Parameters
        ----------
        marker : str
            Name of the topic.
        title, body : str
            Text, body in Markdown.
        labels : sequence of str
            Labels to add.
        """
        self._json.reset_deadline()
        comment = _hidden_marker(marker)
        text = _text(title, f"{comment}\n{body}")
        operation, issue = self._ensure("/issues", TypeAdapter(Issue), lambda: self._find_issue(comment), text, {})
        self._add_labels(issue, labels)
        return IssueOutcome(operation, issue.number, issue.html_url)

    def close_issue(self, marker: str) -> None:
        """Close the issue of a topic if it is open; its text is not changed."""
        self._json.reset_deadline()
        for issue in list(self._issues(_hidden_marker(marker), "open", MAX_PAGES)):
            self._close(issue)

    def set_status(
        self,
        sha: str,
        state: Literal["error", "failure", "pending", "success"],
        context: str,
        description: str,
        target_url: str | None = None,
    ) -> None:
        """Set the commit status named ``context``; a later call replaces an earlier one."""
        self._json.reset_deadline()
        body = {
            "state": state,
            "context": context,
            "description": truncate(description, DESCRIPTION_LIMIT),
            "target_url": target_url,
        }
        self._json.send(Request("POST", f"{self._root}/statuses/{sha}", body=body), TypeAdapter(Status))

    def _pulls(self, wanted: PullRequest, state: str, pages: int) -> Iterator[Pull]:
        params = fill(self._dialect.pulls, owner=self._owner, head=wanted.head, base=wanted.base) | {"state": state}
        for pull in self._json.pages(Request("GET", f"{self._root}/pulls", params), TypeAdapter(list[Pull]), pages):
            # A fork may have a branch of the same name; its pull request must not be changed.
            if (pull.head.name, pull.base.name, pull.head.repo) == (wanted.head, wanted.base, pull.base.repo):
                yield pull

    def _find_issue(self, comment: str) -> Issue | None:
        for state, pages in (("open", MAX_PAGES), ("closed", _RECENT_PAGES)):
            issues = sorted(self._issues(comment, state, pages), key=lambda issue: issue.number)
            if issues:
                for duplicate in issues[1:] if state == "open" else ():
                    self._close(duplicate)
                return issues[0]
        return None

    def _close(self, issue: Issue) -> None:
        request = Request("PATCH", f"{self._root}/issues/{issue.number}", body={"state": "closed"})
        self._json.send(request, TypeAdapter(Issue))

    def _issues(self, comment: str, state: str, pages: int) -> Iterator[Issue]:
        login = self._own_login()
        params = fill(self._dialect.issues, login=login) | {"state": state}
        request = Request("GET", f"{self._root}/issues", params)
        for issue in self._json.pages(request, TypeAdapter(list[Issue]), pages):
            if issue.pull_request is None and issue.user == User(login=login) and issue.begins_with(comment):
                yield issue

    def _own_login(self) -> str:
        """Return the login of the token's user, queried once.

        Raises
        ------
        PermissionRefusedError
            If the server does not return one.
        """
        if not self._login:
            request = self._dialect.viewer_request
            path = request.path.format(root=self._api_url.removesuffix("/v3"))
            self._login = self._json.send(replace(request, path=path), self._dialect.viewer_response).login
            if not self._login:
                raise PermissionRefusedError(f"{FORGE} did not return the user of the token", where=path, fix=SET_TOKEN)
        return self._login

    def _ensure(
        self,
        kind: str,
        shape: TypeAdapter[_AnyRecord],
        find: Callable[[], _AnyRecord | None],
        text: dict[str, str],
        branches: dict[str, str],
    ) -> tuple[Operation, _AnyRecord]:
        """Find the record and update it, or create it; search again after every failed attempt to create it.

        A create request is not repeatable: its response can be lost although the server carried it out. A record that
        the next search finds counts as created by it if its text is the desired one.

        Raises
        ------
        AmbiguousResponseError
            If every attempt is ambiguous and the record is never listed.
        ConflictError
            If the server reports an existing record but never lists it.
        """
        create = Request("POST", self._root + kind, body=text | branches, repeatable=False)
        attempts, response_lost = 0, False
        while True:
            found = find()
            if found is not None:
                operation, record = self._update(kind, shape, found, text)
                return ("created" if response_lost and operation == "unchanged" else operation), record
            try:
                return "created", self._json.send(create, shape)
            except (AmbiguousResponseError, ConflictError) as error:
                attempts += 1
                if attempts == _CREATE_ATTEMPTS:
                    raise
                response_lost = response_lost or isinstance(error, AmbiguousResponseError)

    def _update(
        self, kind: str, shape: TypeAdapter[_AnyRecord], found: _AnyRecord, text: dict[str, str]
    ) -> tuple[Operation, _AnyRecord]:
        """Update title and body if they differ; an edit without a change would still send notifications."""
        if _is_same(found.title, text["title"]) and _is_same(found.body, text["body"]):
            return "unchanged", found
        change = text if found.state == "open" else {**text, "state": "open"}
        request = Request("PATCH", f"{self._root}{kind}/{found.number}", body=change)
        return "updated", self._json.send(request, shape)

    def _add_labels(self, record: Record, wanted: Sequence[str]) -> None:
        """Add missing labels; labels are optional, so a failure is only logged."""
        missing = [name for name in wanted if name not in label_names(record.labels or ())]
        if not missing:
            return
        request = Request("POST", f"{self._root}/issues/{record.number}/labels", body={"labels": missing})
        try:
            added = label_names(self._json.send(request, TypeAdapter(list[Label])))
        except TitleboutError as error:
            logger.warning("could not label #%d with %s: %s", record.number, ", ".join(missing), error.why or error)
        else:  # Gitea silently ignores a label that does not exist in the repository
            for name in set(missing) - added:
                logger.warning("could not label #%d with %s: the label does not exist", record.number, name)


def _hidden_marker(topic: str) -> str:
    """Return an HTML comment, invisible in rendered Markdown; the topic cannot close it."""
    safe = re.sub(r"[^\w. ]+", "-", topic)
    return f"<!-- titlebout: {safe} -->"


def _text(title: str, body: str) -> dict[str, str]:
    return {"title": truncate(title, TITLE_LIMIT), "body": _truncate(body)}


def _is_same(stored: str | None, desired: str) -> bool:
    """Compare texts without line-end style and outer whitespace, which servers may change."""
    return (stored or "").replace("\r\n", "\n").strip() == desired.replace("\r\n", "\n").strip()


def _truncate(body: str) -> str:
    """Truncate a body that is too long at a line end and append a note."""
    if len(body) <= BODY_LIMIT:
        return body
    return body[: body.rfind("\n", 0, BODY_LIMIT - len(_BODY_CUT)) + 1] + _BODY_CUT
