"""Smoke test of a bento: serve it on this machine and compare its predictions of the golden rows with the stored ones."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from titlebout.core.errors import UnsafeError
from titlebout.core.process import start
from titlebout.core.results import read_json
from titlebout.models.artifact import Model

logger = logging.getLogger(__name__)

SINGLE_ROWS = 16
RELATIVE_TOLERANCE = 1e-6
# Tiny probabilities, such as 1e-300, need not agree to six digits.
ABSOLUTE_TOLERANCE = 1e-12

READY_SECONDS = 90.0
# On termination, BentoML waits up to 30 seconds for its worker.
STOP_SECONDS = 40.0
FAILED = "Application startup failed"
PORT_TAKEN, PORTS_TRIED = "Address already in use", 3
SHOWN_LINES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class SmokeTestResult:
    """Result of a smoke test.

    Attributes
    ----------
    rows : int
        Number of golden rows, sent in one batch, and up to `SINGLE_ROWS` of them again one by one.
    max_difference : float
        Largest absolute difference of a probability or value from the stored prediction.
    refused : int
        Number of malformed requests, each of which was answered with a 4xx status.
    """

    rows: int
    max_difference: float
    refused: int


@contextmanager
def serve(bento: Path, env: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Serve a bento on a free port of this machine, and stop the server and its worker on exit.

    Another program can take the free port before the server binds it; then the next free port is tried.

    Parameters
    ----------
    bento : Path
        Folder of the bento.
    env : mapping of str to str
        Environment variables for the server.

    Yields
    ------
    httpx.Client
        Its base URL is that of the service, which is ready.

    Raises
    ------
    UnsafeError
        If the service does not become ready.
    """
    for _ in range(PORTS_TRIED):
        with _start_server(bento, env, _free_port()) as (client, log):
            if _is_ready(client):
                yield client
                return
            summary = _summarize(log)
        if PORT_TAKEN not in summary:
            break
    raise UnsafeError(
        f"the packaged service failed to start, or was not ready within {READY_SECONDS:g} seconds",
        why=summary or "its log is empty",
        fix="correct the errors in these log lines; on a very slow machine, run the command again",
    )


@contextmanager
def _start_server(bento: Path, env: Mapping[str, str], port: int) -> Iterator[tuple[httpx.Client, list[str]]]:
    """Start a server and wait until it is ready or has failed; yield a client and the lines of its log."""
    log: list[str] = []
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client,
        start(command, cwd=bento, env=env) as server,
    ):
        log_readers = [
            threading.Thread(target=log.extend, args=(stream,), daemon=True)
            for stream in (server.stdout, server.stderr)
        ]
        for reader in log_readers:
            reader.start()
        try:
            # A failure is detected in the log, because BentoML restarts a failing worker forever.
            _wait_until(lambda: _is_ready(client) or _has_failed(log) or server.poll() is not None, READY_SECONDS)
            yield client, log
        finally:
            client.close()
            server.terminate()
            _wait_until(lambda: server.poll() is not None, STOP_SECONDS)
            for reader in log_readers:
                reader.join(STOP_SECONDS)


def run_smoke_test(client: httpx.Client, model: Model) -> SmokeTestResult:
    """Send the golden rows of a model and malformed rows to a service, and check the responses.

    Parameters
    ----------
    client : httpx.Client
        Its base URL is that of the service.
    model : Model
        The model that the service must serve.

    Raises
    ------
    UnsafeError
        If the service has another model, returns other predictions, or accepts a malformed row.
    """
    golden = read_json(model.folder / "golden.json")
    rows, expected = golden["rows"], np.asarray(golden["answers"], dtype=np.float64)
    single_rows = range(0, len(rows), -(-len(rows) // SINGLE_ROWS))
    batch_predictions = _predict(client, rows, model)
    single_predictions = np.concatenate([_predict(client, [rows[i]], model) for i in single_rows])
    difference = max(_compare(batch_predictions, expected), _compare(single_predictions, expected[list(single_rows)]))
    malformed = _malformed(rows[0], model.manifest["columns"])
    for problem, row in malformed.items():
        _expect_refusal(client, problem, row)
    logger.info("%d golden rows, largest difference %g", len(rows), difference)
    return SmokeTestResult(len(rows), difference, len(malformed))


def _predict(client: httpx.Client, rows: Sequence[Row], model: Model) -> npt.NDArray[np.float64]:
    """Return probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

    Raises
    ------
    UnsafeError
        If the request fails, or the response is from another model.
    """
    response = client.post("/predict", json={"rows": list(rows)})
    if response.status_code != httpx.codes.OK:
        raise UnsafeError(
            **_failure(
                "it rejects rows that the model was trained on", f"HTTP {response.status_code}: {response.text[:500]}"
            )
        )
    document = response.json()
    if document["model"] != model.digest:
        raise UnsafeError(**_failure("it serves a different model", f"its digest is {document['model']}"))
    return np.array(
        [list(p["probabilities"].values()) if "label" in p else p["value"] for p in document["predictions"]]
    )


def _compare(predictions: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Return the largest absolute difference.

    Raises
    ------
    UnsafeError
        If a difference exceeds the tolerance, or the shapes differ.
    """
    if predictions.shape != expected.shape:
        raise UnsafeError(
            **_failure(
                "it returns a different number of predictions", f"shape {predictions.shape} instead of {expected.shape}"
            )
        )
    difference = float(np.abs(predictions - expected).max())
    if not np.allclose(predictions, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE):
        raise UnsafeError(**_failure("its predictions of the golden rows differ", f"by up to {difference:.3g}"))
    return difference


def _malformed(row: Row, columns: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    """Return rows that every service of this model must reject, by their description."""
    names = [column["name"] for column in columns]
    rows: dict[str, Row] = {
        f"with a list as {names[0]!r}": {**row, names[0]: []},
        "with an unknown column": {**row, max(names, key=len) + "x": 1},
    }
    required = next((column["name"] for column in columns if not column["nullable"]), None)
    if required is not None:
        rows[f"without the column {required!r}"] = {name: row[name] for name in names if name != required}
    return rows


def _expect_refusal(client: httpx.Client, problem: str, row: Row) -> None:
    """Send a malformed row.

    Raises
    ------
    UnsafeError
        If the service does not respond with a 4xx status.
    """
    response = client.post("/predict", json={"rows": [row]})
    if not response.is_client_error:
        raise UnsafeError(**_failure(f"it accepts a row {problem}", f"it responded with HTTP {response.status_code}"))


def _failure(problem: str, why: str) -> dict[str, str]:
    return {
        "what": f"the smoke test of the service failed: {problem}",
        "why": why,
        "fix": "train the model again with the packages of requirements.lock, then package it again",
    }


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz", timeout=2.0).is_success
    except httpx.TransportError:
        return False


def _has_failed(log: list[str]) -> bool:
    text = "".join(log)
    return FAILED in text or PORT_TAKEN in text


def _summarize(log: list[str]) -> str:
    """Return the last distinct lines of a log without indented traceback lines; BentoML logs a failure many times."""
    unique_lines = dict.fromkeys(line for line in log if line.strip() and not line.startswith(" "))
    return "".join(list(unique_lines)[-SHOWN_LINES:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
