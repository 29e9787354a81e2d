"""What forges reply, and where GitHub, GitHub Enterprise Server, Gitea and Forgejo differ.

Filters, page sizes, who a token is, how they say no: everything else they have in common, and
:mod:`titlebout.forge.client` says it once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import BaseModel, TypeAdapter

from titlebout.core.errors import ConfigError, ConflictError, PermissionRefusedError, TitleboutError
from titlebout.forge.http import Request

GIVE_TOKEN = "give a valid one in TITLEBOUT_TOKEN, in an Action through the `token` input"  # noqa: S105 - a sentence
_TICK_BOX = (
    "tick Settings → Actions → General → Workflow permissions → 'Allow GitHub Actions to create and approve pull "
    "requests' (the organization may have to allow it first), or give a GitHub App's token through the `token` input"
)
_TURN_ON_ISSUES = "tick Settings → General → Features → Issues of the repository"
_PERMISSIONS = {"pulls": "pull_requests", "issues": "issues", "labels": "pull_requests", "statuses": "statuses"}


class _Repository(BaseModel):
    full_name: str


class _Branch(BaseModel):
    ref: str
    label: str | None = None
    repo: _Repository | None

    @property
    def name(self) -> str:
        """The branch's name: Gitea tells it in ``label`` alone once the branch is deleted, GitHub with its owner."""
        return (self.label or self.ref).rpartition(":")[2]


class Label(BaseModel):
    """One label of a list; Gitea always names it."""

    name: str | None = None


class User(BaseModel):
    """Whoever opened something."""

    login: str


class Viewer(BaseModel):
    """GraphQL's reply to who is asking."""

    data: dict[Literal["viewer"], User | None] | None

    @property
    def login(self) -> str:
        """The login, empty when it is not told."""
        viewer = (self.data or {}).get("viewer")
        return viewer.login if viewer else ""


class Record(BaseModel):
    """What we read of a pull request and of an issue."""

    number: int
    html_url: str
    title: str
    body: str | None = None
    state: str
    labels: list[Label | str] | None = None

    def begins_with(self, mark: str) -> bool:
        """Return whether the text begins with one of our hidden marks."""
        return (self.body or "").lstrip().startswith(mark)


class Status(BaseModel):
    """What we read of a commit status."""

    context: str


class Pull(Record):
    """A pull request; the repository of its head is none when a fork was deleted."""

    head: _Branch
    base: _Branch
    merged_at: str | None = None


class Issue(Record):
    """An issue; with `pull_request` when GitHub lists a pull request as one."""

    user: User | None
    pull_request: Any = None


def names(labels: Iterable[Label | str]) -> set[str | None]:
    """Return the names of labels, which GitHub may tell in two forms."""
    return {label if isinstance(label, str) else label.name for label in labels}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a kind of forge does in its own way.

    Attributes
    ----------
    headers : mapping of str to str
        Headers of every request.
    pulls, issues : mapping of str to str
        Filters of the two lists, besides the state, with ``{owner}``, ``{head}``, ``{base}`` and ``{login}`` to fill in.
    who_am_i : Request
        Asks whose token it is; ``{root}`` in its path stands for the API's root without its version.
    identity : TypeAdapter
        Shape of the reply to that; it has a ``login``, empty when the server does not tell.
    advise : callable
        Says which permission to give where when a request was refused for the lack of one.
    """

    headers: Mapping[str, str]
    pulls: Mapping[str, str]
    issues: Mapping[str, str]
    who_am_i: Request
    identity: TypeAdapter[Any]
    advise: Callable[[Request, httpx.Response], str]


def _advise_on_github(request: Request, reply: httpx.Response) -> str:
    """Name the permission as the server does, else the one we know the call to need."""
    named = reply.headers.get("x-accepted-github-permissions") or _needed(request)
    words = named.replace("=", ": ").replace("_", "-")
    return (
        f"grant `{words}` in `permissions:` of the job, and of the job that calls its workflow; to a GitHub App or "
        "a fine-grained token in its own settings, then accept it where the App is installed"
    )


def _advise_on_gitea(request: Request, _reply: httpx.Response) -> str:
    """Name the scope of a token and what a job is granted; statuses have no permission of their own."""
    if request.path == "/user":
        return "give the token the scope `read:user`"
    kind = "issue" if "/issues" in request.path else "repository"
    granted = {"issue": "`issues`", "repository": "`contents` and `pull-requests`"}[kind]
    return (
        f"give the token the scope `write:{kind}` and its user write access to the repository; "
        f"a job's own token needs write for {granted} in `permissions:`"
    )


def _needed(request: Request) -> str:
    kind = next((part for part in reversed(request.path.split("/")) if part in _PERMISSIONS), None)
    if kind is None:  # who am I
        return "metadata=read"
    return f"{_PERMISSIONS[kind]}={'read' if request.method == 'GET' else 'write'}"


GITHUB = Dialect(
    headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
    pulls={"head": "{owner}:{head}", "base": "{base}", "sort": "updated", "direction": "desc", "per_page": "100"},
    issues={"creator": "{login}", "sort": "updated", "per_page": "100"},
    # An App's token, and so the default one of a workflow, may not ask REST's /user who it is, but GraphQL.
    who_am_i=Request("POST", "{root}/graphql", body={"query": "{ viewer { login } }"}),
    identity=TypeAdapter(Viewer),
    advise=_advise_on_github,
)
GITEA = Dialect(
    headers={"Accept": "application/json"},
    # There is no filter by head. One by creator exists, but answers 404 for the user of a job, who is in no table.
    pulls={"sort": "recentupdate", "limit": "50"},
    issues={"type": "issues", "limit": "50"},
    who_am_i=Request("GET", "/user"),
    identity=TypeAdapter(User),
    advise=_advise_on_gitea,
)


def dialect_of(api_url: str) -> Dialect:
    """Return the dialect of the server at ``api_url``: Gitea and Forgejo answer below ``/api/v1``, GitHub never does."""
    return GITEA if api_url.rstrip("/").endswith("/api/v1") else GITHUB


def filled(filters: Mapping[str, str], **known: str) -> dict[str, str]:
    """Return a query with what is known filled in."""
    return {name: value.format(**known) for name, value in filters.items()}


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
    errors: list[_FieldError | str] | None = None

    def __str__(self) -> str:
        return "; ".join([self.message, *map(str, self.errors or ())])[:500]


def refusal(dialect: Dialect, request: Request, reply: httpx.Response) -> TitleboutError:
    """Return the error for a reply that trying again does not change."""
    said = _said(reply)
    told = {"where": f"{request.method} {reply.url.path}: HTTP {reply.status_code}", "why": said}
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return PermissionRefusedError("the forge does not accept the token", fix=GIVE_TOKEN, **told)
    if reply.status_code in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
        return PermissionRefusedError("the token may not do this", fix=_fix(dialect, request, reply, said), **told)
    if reply.status_code == httpx.codes.CONFLICT or "already exists" in said:
        return ConflictError("it is there already, or changed meanwhile", fix="run again", **told)
    fix = _TURN_ON_ISSUES if reply.status_code == httpx.codes.GONE else "change what it complains about"
    return ConfigError("the forge refused the request", fix=fix, **told)


def _fix(dialect: Dialect, request: Request, reply: httpx.Response, said: str) -> str:
    if "not permitted to create or approve pull requests" in said:
        return _TICK_BOX
    hint = dialect.advise(request, reply)
    if reply.status_code == httpx.codes.NOT_FOUND:
        return f"check the repository's name (a forge hides what a token may not see); if it is right, {hint}"
    return hint


def _said(reply: httpx.Response) -> str:
    """Return the server's reason, with the fields it names."""
    try:
        return str(_Refused.model_validate_json(reply.content))
    except ValueError:
        return reply.reason_phrase
