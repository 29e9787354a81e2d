"""What stands before the service: bounds what comes in, and gives every error one shape.

BentoML reads bodies of any size and content type, turns every unknown path into a metric, and tells errors in three
shapes, some of them with the client's values. All of that ends here, before BentoML sees the request.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 10_000_000
BODY_SECONDS = 30.0
MAX_FIELDS = 20
MAX_NAME = 100
PREDICT = "/predict"
PROBES = frozenset({"/readyz", "/livez", "/healthz", "/metrics"})
PATHS = PROBES | {PREDICT, "/schema.json", "/docs.json"}

CODES = {
    400: ("invalid_input", "the request does not have the form that /schema.json describes"),
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not answer to this method"),
    408: ("too_slow", f"the body did not arrive within {BODY_SECONDS:g} seconds"),
    413: ("too_large", f"the body is larger than {MAX_BODY_BYTES} bytes"),
    415: ("not_json", "the content type has to be application/json"),
    422: ("refused_by_model", "the rows are well formed, but the model could not answer them"),
    500: ("internal_error", "the service failed; its log says where"),
    503: ("not_ready", "the service cannot answer now"),
    504: ("timeout", "the answer took too long"),
}


class Guard:
    """The application before BentoML's: bounds what comes in, and gives every error one shape.

    Parameters
    ----------
    app : ASGI application
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and log it in one line that holds nothing the client chose but its method."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path, answer = time.perf_counter(), scope["path"], _Answer(send)
        try:
            await self.app(scope, await _bounded(scope, receive), answer.send)
        except _RefusedError as refused:
            await answer.fail(refused.status)
        if path not in PROBES:
            place = path if path in PATHS else "(unknown path)"
            logger.info(
                "%s %s %d %.0f ms", scope["method"], place, answer.status, 1e3 * (time.perf_counter() - started)
            )


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Answer:
    """Passes an answer on, and rewrites it when it is an error."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._headers = message["status"], message["headers"]
        if self.status < HTTPStatus.BAD_REQUEST:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self.fail(self.status)

    async def fail(self, status: int) -> None:
        self.status = status
        body = _envelope(status, self._body)
        kept = [(name, value) for name, value in self._headers if name not in {b"content-length", b"content-type"}]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *kept]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


async def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Read the whole body, which must be JSON, within its bounds, and return what hands it on.

    Raises
    ------
    _RefusedError
        If there is nothing at the path, or the body is something else, too large or too slow.
    """
    if scope["path"] not in PATHS:
        raise _RefusedError(HTTPStatus.NOT_FOUND)
    if scope["path"] != PREDICT or scope["method"] != "POST":
        return receive
    # the first one, as BentoML takes it, or a second header could hide another type from here
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.split(b";")[0].strip().lower() != b"application/json":
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except TimeoutError as error:
        raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT) from error
    waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _envelope(status: int, told: bytes) -> bytes:
    """Return the one shape of an error; of what BentoML told, only the names and complaints of fields are kept."""
    code, message = CODES.get(status, CODES[500 if status >= 500 else 400])
    try:
        document = json.loads(told)
    except ValueError:
        document = None
    detail = document.get("detail", []) if isinstance(document, dict) else []
    fields = [{"path": _field_path(item["loc"]), "message": item["msg"]} for item in detail[:MAX_FIELDS]]
    return json.dumps({"error": {"code": code, "message": message, "fields": fields}}).encode()


def _field_path(location: Sequence[int | str]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME]}" for part in location]
    return "".join(parts).removeprefix(".") or "body"


def without_values(record: logging.LogRecord) -> bool:
    """Shorten a logged exception to its type and place, because its text can hold what the client sent.

    Returns
    -------
    bool
        Whether to log it at all: a request of the wrong form is the client's fault, and told to the client.
    """
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        origin = error.__cause__ or error
        frames = reversed(traceback.extract_tb(origin.__traceback__)[-5:])
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        record.msg, record.args, record.exc_info = "%s at %s", (type(origin).__name__, places), None
    return not isinstance(error, ValidationError)
