"""ASGI middleware in front of BentoML: request limits, and one format for all errors.

BentoML 1.4 reads bodies of any size and content type, creates a metric for every unknown path, and returns errors in
three formats, some of which repeat the client's values. The middleware rejects such requests before BentoML reads them,
and rewrites BentoML's errors.
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
    400: ("invalid_input", "the request does not match the schema at /schema.json"),
    404: ("not_found", "this path does not exist"),
    405: ("method_not_allowed", "this path does not support this method"),
    408: ("too_slow", f"the body did not arrive within {BODY_SECONDS:g} seconds"),
    413: ("too_large", f"the body is larger than {MAX_BODY_BYTES} bytes"),
    415: ("not_json", "the content type must be application/json"),
    422: ("refused_by_model", "the rows match the schema, but the model could not predict them"),
    500: ("internal_error", "the service failed; its log has the location of the error"),
    503: ("not_ready", "the service is not ready"),
    504: ("timeout", "the prediction took too long"),
}


class RequestGuardMiddleware:
    """ASGI middleware that limits requests and gives every error the same format.

    Parameters
    ----------
    app : ASGI application
        BentoML's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request and log it in one line, without values from the client except the method."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path, response = time.perf_counter(), scope["path"], _Response(send)
        try:
            await self.app(scope, await _buffer_request(scope, receive), response.send)
        except _RefusedError as error:
            await response.fail(error.status)
        if path not in PROBES:
            logged_path = path if path in PATHS else "(unknown path)"
            logger.info(
                "%s %s %d %.0f ms", scope["method"], logged_path, response.status, 1e3 * (time.perf_counter() - started)
            )


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Response:
    """Response that is passed on unchanged, or rewritten if it is an error."""

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
        kept_headers = [
            (name, value) for name, value in self._headers if name not in {b"content-length", b"content-type"}
        ]
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *kept_headers]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


async def _buffer_request(scope: Scope, receive: Receive) -> Receive:
    """Read the whole body within the limits, and return a ``receive`` callable that passes it on.

    Raises
    ------
    _RefusedError
        If the path does not exist, or the body is not JSON, too large or too slow.
    """
    if scope["path"] not in PATHS:
        raise _RefusedError(HTTPStatus.NOT_FOUND)
    if scope["path"] != PREDICT or scope["method"] != "POST":
        return receive
    # BentoML uses the first content type header, so that one is checked: a second one must not hide another type.
    content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if content_type.split(b";")[0].strip().lower() != b"application/json":
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
    pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def receive_buffered() -> Message:
        return pending.pop() if pending else await receive()

    return receive_buffered


def _envelope(status: int, original_body: bytes) -> bytes:
    """Return the body of an error; from BentoML's body, only the paths and messages of invalid fields are kept."""
    code, message = CODES.get(status, CODES[500 if status >= 500 else 400])
    try:
        document = json.loads(original_body)
    except ValueError:
        document = None
    detail = document.get("detail", []) if isinstance(document, dict) else []
    fields = [{"path": _field_path(item["loc"]), "message": item["msg"]} for item in detail[:MAX_FIELDS]]
    return json.dumps({"error": {"code": code, "message": message, "fields": fields}}).encode()


def _field_path(location: Sequence[int | str]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part[:MAX_NAME]}" for part in location]
    return "".join(parts).removeprefix(".") or "body"


def redact_exception(record: logging.LogRecord) -> bool:
    """Reduce a logged exception to its type and location, because its message can contain client data.

    Returns
    -------
    bool
        Whether to log the record; False for an invalid request, which is reported to the client instead.
    """
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        cause = error.__cause__ or error
        frames = reversed(traceback.extract_tb(cause.__traceback__)[-5:])
        locations = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        record.msg, record.args, record.exc_info = "%s at %s", (type(cause).__name__, locations), None
    return not isinstance(error, ValidationError)
