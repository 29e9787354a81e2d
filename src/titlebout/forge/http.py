"""JSON over HTTP: validated responses, one retry policy, one deadline.

A repeatable request is sent again after a transient failure. Any other request (creating something) is sent again only
if the server certainly did not carry it out. Otherwise :class:`AmbiguousResponseError` is raised, and the caller checks
the state of the server before it repeats the request.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from titlebout.core.errors import TemporaryError, TitleboutError

ATTEMPTS = 4
DEADLINE_SECONDS = 90.0
MAX_PAGES = 100  # a bound for servers that always link to a next page
_RETRY_PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
_RATE_LIMIT_PAUSE = 60.0  # GitHub's documented minimum for a rate limit without a time

Shape = TypeVar("Shape")
logger = logging.getLogger(__name__)


class AmbiguousResponseError(TemporaryError):
    """It is unknown whether the server carried out a request that must not be repeated."""


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes
    ----------
    method, path : str
        HTTP method, and path below the API root.
    params : mapping of str to str or int
        Query parameters.
    body : mapping or None
        JSON document to send.
    repeatable : bool
        True if the request is idempotent: sending it twice has the same effect as sending it once.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True


class _TransientError(Exception):
    """A failure that may not occur again.

    Parameters
    ----------
    why : str
        Cause, for messages.
    ambiguous : bool
        True if the server may have carried out the request.
    pause : float
        Seconds before the second attempt, doubled before each further one.
    retry_after : float, optional
        Seconds requested by the server, used instead of `pause`.
    """

    def __init__(
        self, why: str, *, ambiguous: bool, pause: float = _RETRY_PAUSE, retry_after: float | None = None
    ) -> None:
        super().__init__(why)
        self.ambiguous = ambiguous
        self.pause = pause
        self.retry_after = retry_after


class JsonClient:
    """Client of a JSON API that validates responses and retries transient failures.

    Parameters
    ----------
    client : httpx.Client
        HTTP client with the base URL and headers of the API.
    refusal : callable
        Converts a permanent failure (4xx) into the error to raise.
    sleep, clock : callable
        Counterparts of :func:`time.sleep` and :func:`time.monotonic`.
    """

    def __init__(
        self,
        client: httpx.Client,
        refusal: Callable[[Request, httpx.Response], TitleboutError],
        sleep: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._refusal = refusal
        self._sleep = sleep
        self._clock = clock
        self.reset_deadline()

    def reset_deadline(self) -> None:
        """Restart the deadline that all following requests share."""
        self._deadline = self._clock() + DEADLINE_SECONDS

    def send(self, request: Request, shape: TypeAdapter[Shape]) -> Shape:
        """Send ``request`` and return the validated response.

        Raises
        ------
        TemporaryError
            If transient failures exceed the number of attempts or the deadline.
        AmbiguousResponseError
            If it is unknown whether a request that is not repeatable was carried out; raised after the retry pause.
        TitleboutError
            For any other failure (4xx), created by ``refusal``.
        """
        return self._send(request, shape)[0]

    def pages(self, request: Request, shape: TypeAdapter[list[Shape]], max_pages: int = MAX_PAGES) -> Iterator[Shape]:
        """Yield the items of at most ``max_pages`` pages; raises the errors of :meth:`send`."""
        for page in range(1, max_pages + 1):
            params = {**request.params, "page": page}
            items, more = self._send(Request(request.method, request.path, params), shape)
            yield from items
            if not more:
                return

    def _send(self, request: Request, shape: TypeAdapter[Shape]) -> tuple[Shape, bool]:
        """Return the response, and whether it links to a next page.

        Raises
        ------
        AmbiguousResponseError
            As for :meth:`send`.
        """
        attempt = 0
        while True:
            try:
                return self._send_once(request, shape)
            except _TransientError as fault:
                self._wait(request, fault, attempt)
                if fault.ambiguous and not request.repeatable:
                    raise AmbiguousResponseError(**_error_parts(request, fault)) from fault
            attempt += 1

    def _send_once(self, request: Request, shape: TypeAdapter[Shape]) -> tuple[Shape, bool]:
        """Send the request once and return the response, and whether it links to a next page.

        Raises
        ------
        _TransientError
            If another attempt may succeed.
        """
        response = self._exchange(request)
        status = f"HTTP {response.status_code}"
        if response.is_success:
            try:
                return shape.validate_json(response.content), "next" in response.links
            except ValidationError as error:
                raise _TransientError(
                    f"{status}, but the forge's response is not of the form that its API defines", ambiguous=True
                ) from error
        if _is_rate_limit(response):
            raise _TransientError(
                f"{status}: rate limit exceeded",
                ambiguous=False,
                pause=_RATE_LIMIT_PAUSE,
                retry_after=_requested_wait(response),
            )
        if response.is_server_error:
            raise _TransientError(status, ambiguous=True, retry_after=_requested_wait(response))
        raise self._refusal(request, response)

    def _exchange(self, request: Request) -> httpx.Response:
        """Send the request once.

        Raises
        ------
        _TransientError
            If no complete response was received.
        """
        try:
            return self._client.request(request.method, request.path, params=request.params, json=request.body)
        except httpx.RequestError as error:
            # Without a connection the request cannot have reached the server.
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            raise _TransientError(
                f"no complete response: {type(error).__name__}: {error}", ambiguous=not unsent
            ) from error

    def _wait(self, request: Request, fault: _TransientError, attempt: int) -> None:
        """Wait before the next attempt.

        Raises
        ------
        TemporaryError
            If no attempt is left, or the pause would exceed the deadline.
        """
        seconds = fault.pause * 2**attempt if fault.retry_after is None else fault.retry_after
        if attempt + 1 == ATTEMPTS or self._clock() + seconds > self._deadline:
            raise TemporaryError(**_error_parts(request, fault)) from fault
        logger.info("%s %s: %s; waiting %.0f s", request.method, request.path, fault, seconds)
        self._sleep(seconds)


def _error_parts(request: Request, fault: _TransientError) -> dict[str, str]:
    """Return the parts of the error raised after the last attempt."""
    effect = (
        "it is unknown whether the server carried out the request"
        if fault.ambiguous
        else "the server did not carry out the request"
    )
    return {
        "what": "the request to the server failed",
        "where": f"{request.method} {request.path}",
        "why": str(fault),
        "fix": "run the command again later",
        "state": f"{effect}; running the command again is safe, because it searches for existing objects before it creates one",
    }


def _is_rate_limit(response: httpx.Response) -> bool:
    """Return whether a response is a rate limit, which GitHub may send as 403, the status of a missing permission."""
    if response.status_code != httpx.codes.FORBIDDEN:
        return response.status_code == httpx.codes.TOO_MANY_REQUESTS
    exhausted = "retry-after" in response.headers or response.headers.get("x-ratelimit-remaining") == "0"
    return exhausted or "rate limit" in response.text.lower()


def _requested_wait(response: httpx.Response) -> float | None:
    """Return the number of seconds to wait that the server requests, or None.

    The time of a limit's reset is compared with the ``Date`` header, so that a difference between clocks has no effect.
    """
    try:
        if "retry-after" in response.headers:
            return max(1.0, int(response.headers["retry-after"]))
        if response.headers.get("x-ratelimit-remaining") == "0":
            now = parsedate_to_datetime(response.headers["date"]).timestamp()
            return max(1.0, int(response.headers["x-ratelimit-reset"]) - now)
    except (KeyError, ValueError):
        logger.debug("the rate limit headers cannot be parsed: %s", dict(response.headers))
    return None
