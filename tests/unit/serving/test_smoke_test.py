"""The smoke test: it fails for services with other predictions, and for services that accept malformed rows."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from titlebout.core.errors import UnsafeError
from titlebout.models.artifact import Model, model_digest
from titlebout.serving.smoke_test import SINGLE_ROWS, SmokeTestResult, run_smoke_test

COLUMNS = [{"name": "a", "kind": "number", "nullable": True}, {"name": "b", "kind": "integer", "nullable": False}]
DIGEST = model_digest({"columns": COLUMNS})
ROWS = [{"a": None if i % 3 else i / 2, "b": i} for i in range(1, 41)]
Body = dict[str, Any]


def predict_row(row: Body) -> float:
    return 2.0 * row["b"] + (row["a"] or 0)


def correct(rows: list[Body]) -> tuple[int, Body]:
    """Predict like the model, and reject rows that do not match the schema."""
    for row in rows:
        if not (set(row) == {"a", "b"} and all(isinstance(v, int | float | None) for v in row.values())):
            return 400, {}
    return 200, {"model": DIGEST, "predictions": [{"value": predict_row(row)} for row in rows]}


def lenient(rows: list[Body]) -> tuple[int, Body]:
    return 200, {"model": DIGEST, "predictions": [{"value": predict_row({"b": 0, "a": None} | row)} for row in rows]}


def failing(rows: list[Body]) -> tuple[int, Body]:
    """Predict valid rows, and fail with status 500 for others."""
    status, body = correct(rows)
    return (500 if status == 400 else status), body


def other_model(rows: list[Body]) -> tuple[int, Body]:
    status, body = correct(rows)
    return status, body | {"model": "1" * 64}


def inconsistent(rows: list[Body]) -> tuple[int, Body]:
    """Predict a single row slightly differently from the same row in a batch."""
    status, body = correct(rows)
    if len(rows) == 1 and status == 200:
        body["predictions"][0]["value"] *= 1 + 2e-6
    return status, body


def rounded(rows: list[Body]) -> tuple[int, Body]:
    """Predict with the rounding of another processor: equal to seven digits."""
    status, body = correct(rows)
    for prediction in body.get("predictions", []):
        prediction["value"] *= 1 + 1e-7
    return status, body


def short(rows: list[Body]) -> tuple[int, Body]:
    status, body = correct(rows)
    return status, body | {"predictions": body.get("predictions", [])[1:]}


def broken(rows: list[Body]) -> tuple[int, Body]:
    return 503, {}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    golden = {"rows": ROWS, "answers": [predict_row(row) for row in ROWS]}
    (tmp_path / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    return Model(None, {"columns": COLUMNS}, tmp_path)


def client(service: Callable[[list[Body]], tuple[int, Body]], batch_sizes: list[int] | None = None) -> httpx.Client:
    """Return a client of a service that runs in this process."""

    def app(environ: Body, start_response: Callable[..., Any]) -> Iterable[bytes]:
        rows = json.loads(environ["wsgi.input"].read())["rows"]
        if batch_sizes is not None:
            batch_sizes.append(len(rows))
        status, body = service(rows)
        start_response(f"{status} .", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://service")


def test_a_service_that_reproduces_the_golden_rows_passes(model: Model) -> None:
    batch_sizes: list[int] = []
    assert run_smoke_test(client(correct, batch_sizes), model) == SmokeTestResult(
        rows=40, max_difference=0.0, refused=3
    )
    assert batch_sizes[0] == 40
    assert 10 < batch_sizes[1:].count(1) - 3 <= SINGLE_ROWS


def test_rounding_differences_are_tolerated(model: Model) -> None:
    assert 0 < run_smoke_test(client(rounded), model).max_difference < 1e-4


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (other_model, "serves a different model"),
        (inconsistent, "predictions of the golden rows differ"),
        (short, "a different number of predictions"),
        (broken, "rejects rows that the model was trained on"),
        (lenient, "accepts a row"),
        (failing, "accepts a row"),
    ],
)
def test_a_service_with_other_predictions_fails(
    model: Model, service: Callable[[list[Body]], tuple[int, Body]], message: str
) -> None:
    with pytest.raises(UnsafeError, match=message):
        run_smoke_test(client(service), model)


def test_without_required_columns_there_is_one_malformed_row_fewer(model: Model, tmp_path: Path) -> None:
    other = Model(None, {"columns": [column | {"nullable": True} for column in COLUMNS]}, tmp_path)

    def service(rows: list[Body]) -> tuple[int, Body]:
        status, body = correct(rows)
        return status, body | {"model": other.digest}

    assert run_smoke_test(client(service), other).refused == 2
