"""JSON over HTTP: replies of a known shape, one retry policy, one deadline.

What may be asked twice is asked again after a passing fault. What may not (creating something) is asked again only when
the server surely did nothing; when that is unclear, :class:`UnclearReplyError` tells the caller to look first.
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
PATIENCE_SECONDS = 90.0
MAX_PAGES = 100  # so that a server that always names a next page cannot keep us for ever
_FAULT_PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
_LIMIT_PAUSE = 60.0  # what GitHub asks for when it limits the rate and names no time

Shape = TypeVar("Shape")
logger = logging.getLogger(__name__)


class UnclearReplyError(TemporaryError):
    """Nobody can tell from what came back whether the server did what it was asked."""


@dataclass(frozen=True)
class Request:
    """One question to the server.

    Attributes
    ----------
    repeatable : bool
        True when asking twice leaves the server as asking once.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    repeatable: bool = True


class _PassingFaultError(Exception):
    """A failure that time may heal; ``unclear`` when the server may have done what it was asked."""

    def __init__(self, why: str, *, unclear: bool, pause: float = _FAULT_PAUSE, wait: float | None = None) -> None:
        super().__init__(why)
        self.unclear = unclear
        self.pause = pause
        self.wait = wait


class JsonClient:
    """Asks a server and returns replies of a known shape.

    Parameters
    ----------
    client : httpx.Client
        Knows the server's address and the headers it wants.
    refusal : callable
        Turns a reply that time does not heal (4xx) into the error to raise.
    sleep, clock : callable
        Wait for a number of seconds; tell the seconds since any fixed moment.
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
        self.restart_patience()

    def restart_patience(self) -> None:
        """Let the deadline that all waiting shares begin now."""
        self._deadline = self._clock() + PATIENCE_SECONDS

    def send(self, request: Request, shape: TypeAdapter[Shape]) -> Shape:
        """Return the reply to ``request``.

        Raises
        ------
        TemporaryError
            If faults outlast the attempts or the deadline.
        UnclearReplyError
            If a request that is not repeatable may or may not have been carried out; some time was waited.
        TitleboutError
            What ``refusal`` makes of a 4xx.
        """
        return self._send(request, shape)[0]

    def pages(self, request: Request, shape: TypeAdapter[list[Shape]], most: int = MAX_PAGES) -> Iterator[Shape]:
        """Yield the items of all pages, or of the first ``most``; raises what :meth:`send` raises."""
        for page in range(1, most + 1):
            params = {**request.params, "page": page}
            items, more = self._send(Request(request.method, request.path, params), shape)
            yield from items
            if not more:
                return

    def _send(self, request: Request, shape: TypeAdapter[Shape]) -> tuple[Shape, bool]:
        """Return the reply, and whether it names a next page.

        Raises
        ------
        UnclearReplyError
            As :meth:`send`.
        """
        attempt = 0
        while True:
            try:
                return self._send_once(request, shape)
            except _PassingFaultError as fault:
                self._wait(request, fault, attempt)
                if fault.unclear and not request.repeatable:
                    raise UnclearReplyError(**_told(request, fault)) from fault
            attempt += 1

    def _send_once(self, request: Request, shape: TypeAdapter[Shape]) -> tuple[Shape, bool]:
        """Return the reply.

        Raises
        ------
        _PassingFaultError
            If trying again may help.
        """
        reply = self._exchange(request)
        status = f"HTTP {reply.status_code}"
        if reply.is_success:
            try:
                return shape.validate_json(reply.content), "next" in reply.links
            except ValidationError as error:
                raise _PassingFaultError(f"{status}, but not the JSON the API promises", unclear=True) from error
        if _limits_the_rate(reply):
            raise _PassingFaultError(f"{status}: rate limit", unclear=False, pause=_LIMIT_PAUSE, wait=_asked(reply))
        if reply.is_server_error:
            raise _PassingFaultError(status, unclear=True, wait=_asked(reply))
        raise self._refusal(request, reply)

    def _exchange(self, request: Request) -> httpx.Response:
        """Send the request once.

        Raises
        ------
        _PassingFaultError
            If no whole reply came back.
        """
        try:
            return self._client.request(request.method, request.path, params=request.params, json=request.body)
        except httpx.RequestError as error:
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            raise _PassingFaultError(f"{type(error).__name__}: {error}", unclear=not unsent) from error

    def _wait(self, request: Request, fault: _PassingFaultError, attempt: int) -> None:
        """Wait before the next attempt.

        Raises
        ------
        TemporaryError
            If there is none left, or no time for it.
        """
        seconds = fault.pause * 2**attempt if fault.wait is None else fault.wait
        if attempt + 1 == ATTEMPTS or self._clock() + seconds > self._deadline:
            raise TemporaryError(**_told(request, fault)) from fault
        logger.info("%s %s: %s; waiting %.0f s", request.method, request.path, fault, seconds)
        self._sleep(seconds)


def _told(request: Request, fault: _PassingFaultError) -> dict[str, str]:
    """Return the parts of the error that ends the attempts."""
    done = "it is unknown whether the server did it" if fault.unclear else "the server did not do it"
    return {
        "what": "the server could not be asked",
        "where": f"{request.method} {request.path}",
        "why": str(fault),
        "fix": "run the same command again later",
        "state": f"{done}; the command looks before it creates, so running it again is safe",
    }


def _limits_the_rate(reply: httpx.Response) -> bool:
    """Tell GitHub's limits, which may come as 403, from a lack of permission."""
    if reply.status_code != httpx.codes.FORBIDDEN:
        return reply.status_code == httpx.codes.TOO_MANY_REQUESTS
    exhausted = "retry-after" in reply.headers or reply.headers.get("x-ratelimit-remaining") == "0"
    return exhausted or "rate limit" in reply.text.lower()


def _asked(reply: httpx.Response) -> float | None:
    """Return the seconds that the server asks us to wait, told by its own clock."""
    try:
        if "retry-after" in reply.headers:
            return max(1.0, int(reply.headers["retry-after"]))
        if reply.headers.get("x-ratelimit-remaining") == "0":
            now = parsedate_to_datetime(reply.headers["date"]).timestamp()
            return max(1.0, int(reply.headers["x-ratelimit-reset"]) - now)
    except (KeyError, ValueError):
        logger.debug("the server asks to wait, in a form we cannot read: %s", dict(reply.headers))
    return None
