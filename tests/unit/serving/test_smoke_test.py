"""A service is asked what its model was asked: one that answers otherwise, or takes what it must not, is found out."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from titlebout.core.errors import UnsafeError
from titlebout.models.artifact import Model
from titlebout.serving.smoke_test import SINGLE_ROWS, Replay, replay

COLUMNS = [{"name": "a", "kind": "number", "nullable": True}, {"name": "b", "kind": "integer", "nullable": False}]
ROWS = [{"a": None if i % 3 else i / 2, "b": i} for i in range(1, 41)]
Body = dict[str, Any]


def answer(row: Body) -> float:
    return 2.0 * row["b"] + (row["a"] or 0)


def honest(rows: list[Body]) -> tuple[int, Body]:
    """Answer like the model, and refuse what has not its form."""
    for row in rows:
        if not (set(row) == {"a", "b"} and all(isinstance(v, int | float | None) for v in row.values())):
            return 400, {}
    return 200, {"model": "0" * 64, "predictions": [{"value": answer(row)} for row in rows]}


def lenient(rows: list[Body]) -> tuple[int, Body]:
    return 200, {"model": "0" * 64, "predictions": [{"value": answer({"b": 0, "a": None} | row)} for row in rows]}


def failing(rows: list[Body]) -> tuple[int, Body]:
    """Answer well-formed rows, and fall over the others."""
    status, body = honest(rows)
    return (500 if status == 400 else status), body


def other_model(rows: list[Body]) -> tuple[int, Body]:
    status, body = honest(rows)
    return status, body | {"model": "1" * 64}


def off_alone(rows: list[Body]) -> tuple[int, Body]:
    """Answer a single row a little otherwise than the same row among others."""
    status, body = honest(rows)
    if len(rows) == 1 and status == 200:
        body["predictions"][0]["value"] *= 1 + 2e-6
    return status, body


def rounded(rows: list[Body]) -> tuple[int, Body]:
    """Answer as another processor might: alike to seven digits."""
    status, body = honest(rows)
    for prediction in body.get("predictions", []):
        prediction["value"] *= 1 + 1e-7
    return status, body


def short(rows: list[Body]) -> tuple[int, Body]:
    status, body = honest(rows)
    return status, body | {"predictions": body.get("predictions", [])[1:]}


def broken(rows: list[Body]) -> tuple[int, Body]:
    return 503, {}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    golden = {"rows": ROWS, "answers": [answer(row) for row in ROWS]}
    (tmp_path / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    return Model(None, {"columns": COLUMNS, "sha256": "0" * 64}, tmp_path)


def client(service: Callable[[list[Body]], tuple[int, Body]], asked: list[int] | None = None) -> httpx.Client:
    """Return a client of a service that runs in this process."""

    def app(environ: Body, start_response: Callable[..., Any]) -> Iterable[bytes]:
        rows = json.loads(environ["wsgi.input"].read())["rows"]
        if asked is not None:
            asked.append(len(rows))
        status, body = service(rows)
        start_response(f"{status} .", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://service")


def test_a_service_that_answers_like_the_model_passes(model: Model) -> None:
    asked: list[int] = []
    assert replay(client(honest, asked), model) == Replay(rows=40, max_difference=0.0, refused=3)
    assert asked[0] == 40
    assert 10 < asked[1:].count(1) - 3 <= SINGLE_ROWS


def test_another_rounding_is_no_difference(model: Model) -> None:
    assert 0 < replay(client(rounded), model).max_difference < 1e-4


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (other_model, "serves another model"),
        (off_alone, "answers to the golden rows differ"),
        (short, "another number of answers"),
        (broken, "refuses rows that the model was trained on"),
        (lenient, "does not refuse a row"),
        (failing, "does not refuse a row"),
    ],
)
def test_a_service_that_does_not_is_refused(
    model: Model, service: Callable[[list[Body]], tuple[int, Body]], said: str
) -> None:
    with pytest.raises(UnsafeError, match=said):
        replay(client(service), model)


def test_a_model_without_required_columns_has_one_malformed_row_less(model: Model, tmp_path: Path) -> None:
    columns = [column | {"nullable": True} for column in COLUMNS]
    assert replay(client(honest), Model(None, {"columns": columns, "sha256": "0" * 64}, tmp_path)).refused == 2
