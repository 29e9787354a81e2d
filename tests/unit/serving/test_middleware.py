"""The middleware of the service: accepted requests, the format of errors, and logs without client data."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from titlebout.serving import middleware as serving_middleware

SECRET = "4111-1111-1111-1111"
JSON = {"content-type": "application/json"}


async def predict(request: Request) -> Response:
    """Respond like BentoML: errors in three formats, one of them with the values of the client."""
    document = json.loads(await request.body())
    match document.get("do"):
        case "list":
            return JSONResponse([{"error": f"cannot use {SECRET}"}], status_code=400)
        case "text":
            return PlainTextResponse(SECRET, status_code=document["status"])
        case "detail":
            return JSONResponse(
                {"error": "wrong", "detail": document["detail"] * document.get("times", 1)}, status_code=400
            )
        case _:
            return JSONResponse({"bytes": len(await request.body())}, headers={"x-kept": "yes"})


def ready(_: Request) -> Response:
    return PlainTextResponse("\n")


APP = serving_middleware.RequestGuardMiddleware(
    Starlette(routes=[Route(serving_middleware.PREDICT, predict, methods=["POST"]), Route("/readyz", ready)])
)


async def exchange(method: str, path: str, body: bytes | list[bytes] = b"", **options: Any) -> httpx.Response:
    async def chunks() -> Any:
        for chunk in body:
            yield chunk

    content = body if isinstance(body, bytes) else chunks()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://service") as client:
        return await client.request(method, path, content=content, **options)


def send(method: str, path: str, body: bytes | list[bytes] = b"", **options: Any) -> httpx.Response:
    import asyncio

    return asyncio.run(exchange(method, path, body, **options))


def send_request(do: str, **options: Any) -> httpx.Response:
    return send("POST", serving_middleware.PREDICT, json.dumps({"do": do} | options).encode(), headers=JSON)


def error(response: httpx.Response) -> dict[str, Any]:
    """Return the error in a response, which must have the common format."""
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"code", "message", "fields"}
    return error


def test_a_successful_response_passes_unchanged() -> None:
    response = send("POST", serving_middleware.PREDICT, b'{"a": 1}', headers=JSON)
    assert (response.status_code, response.json(), response.headers["x-kept"]) == (200, {"bytes": 8}, "yes")


def test_a_body_in_chunks_arrives_complete() -> None:
    response = send("POST", serving_middleware.PREDICT, [b'{"a"', b"", b": 1", b"}"], headers=JSON)
    assert response.json() == {"bytes": 8}


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON ; charset=utf-8"])
def test_every_spelling_of_the_json_content_type_is_accepted(kind: str) -> None:
    assert send("POST", serving_middleware.PREDICT, b"{}", headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/vnd.bentoml+pickle",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "",
    ],
)
def test_another_content_type_is_refused(kind: str) -> None:
    response = send("POST", serving_middleware.PREDICT, b"{}", headers={"content-type": kind})
    assert (response.status_code, error(response)["code"]) == (415, "not_json")


def test_a_body_without_content_type_is_refused() -> None:
    assert send("POST", serving_middleware.PREDICT, b"{}").status_code == 415


def test_a_second_content_type_does_not_hide_the_first() -> None:
    headers = [("content-type", "application/vnd.bentoml+pickle"), ("content-type", "application/json")]
    assert send("POST", serving_middleware.PREDICT, b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize("pieces", [1, 11])
def test_a_body_above_the_limit_is_refused_declared_or_chunked(pieces: int) -> None:
    size = serving_middleware.MAX_BODY_BYTES + 1
    body = b" " * size if pieces == 1 else [b" " * (size // pieces + 1)] * pieces
    response = send("POST", serving_middleware.PREDICT, body, headers=JSON)
    assert (response.status_code, error(response)["code"]) == (413, "too_large")


def test_a_body_of_exactly_the_limit_is_accepted() -> None:
    body = b"{}" + b" " * (serving_middleware.MAX_BODY_BYTES - 2)
    assert send("POST", serving_middleware.PREDICT, body, headers=JSON).json() == {
        "bytes": serving_middleware.MAX_BODY_BYTES
    }


@pytest.mark.timeout(60)
def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(serving_middleware, "BODY_SECONDS", 0.05)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()  # for ever
        raise AssertionError

    async def collect(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    asyncio.run(
        APP(
            {"type": "http", "method": "POST", "path": serving_middleware.PREDICT, "headers": headers}, receive, collect
        )
    )
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nothing", 404, "not_found"), ("POST", "/predict/", 404, "not_found"), ("GET", "/", 404, "not_found")],
)
def test_an_unknown_path_does_not_reach_the_service(method: str, path: str, status: int, code: str) -> None:
    response = send(method, path, headers=JSON)
    assert (response.status_code, error(response)["code"]) == (status, code)


def test_another_method_is_refused_with_the_allowed_methods() -> None:
    response = send("PUT", serving_middleware.PREDICT, b"{}", headers=JSON)
    assert (response.status_code, error(response)["code"], response.headers["allow"]) == (
        405,
        "method_not_allowed",
        "POST",
    )


@pytest.mark.parametrize("status", [400, 404, 418, 422, 429, 500, 503, 504, 507])
def test_every_error_has_the_same_format_without_its_text(status: int) -> None:
    response = send_request("text", status=status)
    assert response.status_code == status
    assert (
        error(response)["code"]
        == serving_middleware.CODES.get(status, serving_middleware.CODES[500 if status >= 500 else 400])[0]
    )
    assert SECRET not in response.text


def test_an_error_given_as_a_list_has_the_same_format() -> None:
    response = send_request("list")
    assert (response.status_code, error(response)["fields"]) == (400, [])
    assert SECRET not in response.text


def test_an_invalid_field_is_reported_by_path_without_its_value() -> None:
    detail = [
        {"loc": ["rows", 3, "price"], "msg": "Input should be a valid number", "input": SECRET, "type": "float_type"},
        {"loc": [], "msg": "Invalid JSON", "type": "json_invalid"},
    ]
    response = send_request("detail", detail=detail)
    assert error(response)["fields"] == [
        {"path": "rows[3].price", "message": "Input should be a valid number"},
        {"path": "body", "message": "Invalid JSON"},
    ]
    assert SECRET not in response.text


def test_many_invalid_fields_or_long_names_give_a_short_response() -> None:
    detail = [{"loc": ["rows", 0, "k" * 10_000], "msg": "Extra inputs are not permitted"}]
    response = send_request("detail", detail=detail, times=1000)
    assert len(error(response)["fields"]) == serving_middleware.MAX_FIELDS
    assert len(response.content) < 200 * serving_middleware.MAX_FIELDS


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "titlebout.serving.middleware"):
        yield caplog


def test_a_request_is_one_log_line_without_client_data(log: pytest.LogCaptureFixture) -> None:
    send_request("text", status=400)
    send("GET", f"/x%0a{SECRET}?{SECRET}")
    assert [line.rsplit(" ", 2)[0] for line in log.messages] == ["POST /predict 400", "GET (unknown path) 404"]


def test_a_probe_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    assert send("GET", "/readyz").status_code == 200
    assert log.messages == []


def record_of(failure: Exception) -> logging.LogRecord:
    """Return the log record that BentoML creates for an exception."""
    try:
        raise failure
    except type(failure):
        return logging.LogRecord("bentoml", logging.ERROR, __file__, 1, "Exception on /%s", (SECRET,), sys.exc_info())


def test_a_logged_exception_is_reduced_to_type_and_location() -> None:
    record = record_of(ValueError(f"cannot use {SECRET}"))
    assert serving_middleware.redact_exception(record)
    text = logging.Formatter().format(record)
    assert text.startswith("ValueError at test_middleware.py:")
    assert SECRET not in text
    assert "\n" not in text


def test_an_invalid_request_is_not_logged_as_a_service_error() -> None:
    class Form(BaseModel):
        number: int

    with pytest.raises(ValidationError) as caught:
        Form(number=SECRET)  # type: ignore[arg-type]
    assert not serving_middleware.redact_exception(record_of(caught.value))


def test_log_records_without_an_exception_are_kept() -> None:
    record = logging.LogRecord("bentoml", logging.INFO, __file__, 1, "started %s", ("well",), None)
    assert serving_middleware.redact_exception(record)
    assert record.getMessage() == "started well"


def test_other_asgi_scopes_pass_unchanged() -> None:
    import asyncio

    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(serving_middleware.RequestGuardMiddleware(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
