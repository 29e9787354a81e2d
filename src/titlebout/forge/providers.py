"""API responses, and the differences between GitHub, GitHub Enterprise Server, Gitea and Forgejo.

The APIs differ in filters, page sizes, the query for the token's user and error responses. Everything else is common
and implemented in :mod:`titlebout.forge.client`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import BaseModel, TypeAdapter

from titlebout.core.errors import ConfigError, ConflictError, PermissionRefusedError, TitleboutError
from titlebout.forge.http import Request

FORGE = "the forge (GitHub, Gitea or Forgejo)"
SET_TOKEN = "set TITLEBOUT_TOKEN to a valid token; in an Action, use the `token` input"  # noqa: S105 - a sentence
_ALLOW_PULL_REQUESTS = (
    "enable Settings → Actions → General → Workflow permissions → 'Allow GitHub Actions to create and approve pull "
    "requests' (the organization may have to allow it first), or pass a GitHub App's token to the `token` input"
)
_ENABLE_ISSUES = "enable Settings → General → Features → Issues of the repository"
_PERMISSIONS = {"pulls": "pull_requests", "issues": "issues", "labels": "pull_requests", "statuses": "statuses"}


class _Repository(BaseModel):
    full_name: str


class _Branch(BaseModel):
    ref: str
    label: str | None = None
    repo: _Repository | None

    @property
    def name(self) -> str:
        """Name of the branch.

        Once a branch is deleted, Gitea keeps its name in ``label`` only; on GitHub, ``label`` is ``owner:branch``.
        """
        return (self.label or self.ref).rpartition(":")[2]


class Label(BaseModel):
    """A label; GitHub's schema allows one without a name."""

    name: str | None = None


class User(BaseModel):
    """Account of a pull request, an issue or a token."""

    login: str


class Viewer(BaseModel):
    """GraphQL response with the user of the token."""

    data: dict[Literal["viewer"], User | None] | None

    @property
    def login(self) -> str:
        """Login of the user; empty if the response has none."""
        viewer = (self.data or {}).get("viewer")
        return viewer.login if viewer else ""


class Record(BaseModel):
    """Fields of a pull request or an issue."""

    number: int
    html_url: str
    title: str
    body: str | None = None
    state: str
    labels: list[Label | str] | None = None

    def begins_with(self, marker: str) -> bool:
        """Return whether the body begins with this hidden marker."""
        return (self.body or "").lstrip().startswith(marker)


class Status(BaseModel):
    """Fields of a commit status."""

    context: str


class Pull(Record):
    """A pull request; the repository of its head is null if its fork was deleted."""

    head: _Branch
    base: _Branch
    merged_at: str | None = None


class Issue(Record):
    """An issue. GitHub also lists pull requests as issues, with the field `pull_request`."""

    user: User | None
    pull_request: Any = None


def label_names(labels: Iterable[Label | str]) -> set[str | None]:
    """Return the names of labels, which GitHub returns as text or as objects."""
    return {label if isinstance(label, str) else label.name for label in labels}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Provider-specific parts of the API.

    Attributes
    ----------
    headers : mapping of str to str
        Headers of every request.
    pulls, issues : mapping of str to str
        Query parameters for listing pull requests and issues, except the state, with the placeholders ``{owner}``,
        ``{head}``, ``{base}`` and ``{login}``.
    viewer_request : Request
        Query for the user of the token; ``{root}`` in its path stands for the API root without its version.
    viewer_response : TypeAdapter
        Schema of the response; its ``login`` is empty if the server does not return one.
    advise : callable
        Returns the permission to grant, and where, for a request refused with 403 or 404.
    """

    headers: Mapping[str, str]
    pulls: Mapping[str, str]
    issues: Mapping[str, str]
    viewer_request: Request
    viewer_response: TypeAdapter[Any]
    advise: Callable[[Request, httpx.Response], str]


def _advise_on_github(request: Request, response: httpx.Response) -> str:
    """Return the permission that the server names, otherwise the documented one of the request."""
    required = response.headers.get("x-accepted-github-permissions") or _required_permission(request)
    permissions = required.replace("=", ": ").replace("_", "-")
    return (
        f"grant `{permissions}` in `permissions:` of the job and of the job that calls its workflow; for a GitHub App or "
        "a fine-grained token, grant it in its settings, then accept the change where the App is installed"
    )


def _advise_on_gitea(request: Request, _response: httpx.Response) -> str:
    """Return the scope of the token and the permissions of the job; statuses have no permission of their own."""
    if request.path == "/user":
        return "give the token the scope `read:user`"
    kind = "issue" if "/issues" in request.path else "repository"
    permissions = {"issue": "`issues`", "repository": "`contents` and `pull-requests`"}[kind]
    return (
        f"give the token the scope `write:{kind}` and its user write access to the repository; "
        f"the token of a job needs write access for {permissions} in `permissions:`"
    )


def _required_permission(request: Request) -> str:
    kind = next((part for part in reversed(request.path.split("/")) if part in _PERMISSIONS), None)
    if kind is None:  # the query for the user of the token
        return "metadata=read"
    return f"{_PERMISSIONS[kind]}={'read' if request.method == 'GET' else 'write'}"


GITHUB = Dialect(
    headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
    pulls={"head": "{owner}:{head}", "base": "{base}", "sort": "updated", "direction": "desc", "per_page": "100"},
    issues={"creator": "{login}", "sort": "updated", "per_page": "100"},
    # GET /user is not available to the token of an App, and so to the default token of a workflow; GraphQL is.
    viewer_request=Request("POST", "{root}/graphql", body={"query": "{ viewer { login } }"}),
    viewer_response=TypeAdapter(Viewer),
    advise=_advise_on_github,
)
GITEA = Dialect(
    headers={"Accept": "application/json"},
    # The list has no filter by head. The filter by creator returns 404 for the user of a job's token, which is virtual.
    pulls={"sort": "recentupdate", "limit": "50"},
    issues={"type": "issues", "limit": "50"},
    viewer_request=Request("GET", "/user"),
    viewer_response=TypeAdapter(User),
    advise=_advise_on_gitea,
)


def dialect_of(api_url: str) -> Dialect:
    """Return the dialect of the server at ``api_url``; only Gitea and Forgejo have their API at ``/api/v1``."""
    return GITEA if api_url.rstrip("/").endswith("/api/v1") else GITHUB


def fill(filters: Mapping[str, str], **values: str) -> dict[str, str]:
    """Return query parameters with their placeholders replaced."""
    return {name: template.format(**values) for name, template in filters.items()}


class _FieldError(BaseModel):
    resource: str | None = None
    field: str | None = None
    code: str | None = None
    message: str | None = None

    def __str__(self) -> str:
        location = ".".join(filter(None, (self.resource, self.field)))
        return ": ".join(filter(None, (location, self.message or self.code)))


class _ErrorResponse(BaseModel):
    message: str
    errors: list[_FieldError | str] | None = None

    def __str__(self) -> str:
        return "; ".join([self.message, *map(str, self.errors or ())])[:500]


def refusal(dialect: Dialect, request: Request, response: httpx.Response) -> TitleboutError:
    """Return the error for a response that a retry does not change."""
    message = _message(response)
    context = {"where": f"{request.method} {response.url.path}: HTTP {response.status_code}", "why": message}
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return PermissionRefusedError(f"{FORGE} rejected the token", fix=SET_TOKEN, **context)
    if response.status_code in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
        fix = _permission_fix(dialect, request, response, message)
        return PermissionRefusedError("the token lacks a permission for this request", fix=fix, **context)
    if response.status_code == httpx.codes.CONFLICT or "already exists" in message:
        return ConflictError(
            "the pull request, issue or label to write already exists, or another process changed it at the same time",
            fix="run the command again",
            **context,
        )
    fix = _ENABLE_ISSUES if response.status_code == httpx.codes.GONE else "correct the cause that the server names"
    return ConfigError(f"{FORGE} rejected the request", fix=fix, **context)


def _permission_fix(dialect: Dialect, request: Request, response: httpx.Response, message: str) -> str:
    if "not permitted to create or approve pull requests" in message:
        return _ALLOW_PULL_REQUESTS
    advice = dialect.advise(request, response)
    if response.status_code == httpx.codes.NOT_FOUND:
        return f"check the repository's name (a forge also returns 404 without read access); if it is correct, {advice}"
    return advice


def _message(response: httpx.Response) -> str:
    """Return the server's error message, with the fields that it names."""
    try:
        return str(_ErrorResponse.model_validate_json(response.content))
    except ValueError:
        return response.reason_phrase
