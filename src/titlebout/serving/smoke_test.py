"""Serve a bento on this machine, ask it what the model was asked when it was trained, and expect the same answers."""

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
# A probability of 1e-300 need not be met to six digits.
ABSOLUTE_TOLERANCE = 1e-12

READY_SECONDS = 90.0
# BentoML ends its worker itself, and gives one that hangs 30 seconds.
STOP_SECONDS = 40.0
FAILED = "Application startup failed"
PORT_TAKEN, PORTS_TRIED = "Address already in use", 3
SHOWN_LINES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """What a service answered.

    Attributes
    ----------
    rows : int
        Golden rows, all of them asked at once and `SINGLE_ROWS` of them again one by one.
    max_difference : float
        Largest absolute difference of a probability or value from the model's own answer.
    refused : int
        Malformed requests, each of which it answered with a 4xx.
    """

    rows: int
    max_difference: float
    refused: int


@contextmanager
def serve(bento: Path, env: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Serve a bento on a free port of this machine, and end the server and its worker on the way out.

    A port that was free a second ago may be another program's by the time the server asks for it; then another is taken.

    Parameters
    ----------
    bento : Path
    env : mapping of str to str
        Variables for the server.

    Yields
    ------
    httpx.Client
        Knows the service's address, which answers by now.

    Raises
    ------
    UnsafeError
        If it does not become ready.
    """
    for _ in range(PORTS_TRIED):
        with _served(bento, env, _free_port()) as (client, said):
            if _is_ready(client):
                yield client
                return
            gist = _gist(said)
        if PORT_TAKEN not in gist:
            break
    raise UnsafeError(
        "the packaged service does not become ready",
        why=gist or "it said nothing",
        fix="correct what these lines of its log name; on a very slow machine, run it again",
    )


@contextmanager
def _served(bento: Path, env: Mapping[str, str], port: int) -> Iterator[tuple[httpx.Client, list[str]]]:
    """Start a server and wait until it is ready or has failed; hand over a client and the lines of its log."""
    said: list[str] = []
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as client,
        start(command, cwd=bento, env=env) as server,
    ):
        readers = [threading.Thread(target=said.extend, args=(s,), daemon=True) for s in (server.stdout, server.stderr)]
        for reader in readers:
            reader.start()
        try:
            # BentoML would start a worker that fails again and again
            _until(lambda: _is_ready(client) or _has_failed(said) or server.poll() is not None, READY_SECONDS)
            yield client, said
        finally:
            client.close()
            server.terminate()
            _until(lambda: server.poll() is not None, STOP_SECONDS)
            for reader in readers:
                reader.join(STOP_SECONDS)


def replay(client: httpx.Client, model: Model) -> Replay:
    """Ask a service for the golden rows of a model, and for rows it must refuse.

    Parameters
    ----------
    client : httpx.Client
        Knows the service's address.
    model : Model

    Raises
    ------
    UnsafeError
        If it serves another model, answers otherwise than the model did, or takes a malformed row.
    """
    golden = read_json(model.folder / "golden.json")
    rows, expected = golden["rows"], np.asarray(golden["answers"], dtype=np.float64)
    picked = range(0, len(rows), -(-len(rows) // SINGLE_ROWS))
    batch = _ask(client, rows, model)
    singles = np.concatenate([_ask(client, [rows[i]], model) for i in picked])
    difference = max(_compare(batch, expected), _compare(singles, expected[list(picked)]))
    malformed = _malformed(rows[0], model.manifest["columns"])
    for what, row in malformed.items():
        _expect_refusal(client, what, row)
    logger.info("%d golden rows, largest difference %g", len(rows), difference)
    return Replay(len(rows), difference, len(malformed))


def _ask(client: httpx.Client, rows: Sequence[Row], model: Model) -> npt.NDArray[np.float64]:
    """Return probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

    Raises
    ------
    UnsafeError
        If there is no answer, or it is another model's.
    """
    reply = client.post("/predict", json={"rows": list(rows)})
    if reply.status_code != httpx.codes.OK:
        raise UnsafeError(
            **_unlike("it refuses rows that the model was trained on", f"HTTP {reply.status_code}: {reply.text[:500]}")
        )
    document = reply.json()
    if document["model"] != model.manifest["sha256"]:
        raise UnsafeError(**_unlike("it serves another model", f"its SHA-256 is {document['model']}"))
    return np.array(
        [list(p["probabilities"].values()) if "label" in p else p["value"] for p in document["predictions"]]
    )


def _compare(answers: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Return the largest absolute difference.

    Raises
    ------
    UnsafeError
        If one is beyond the tolerance.
    """
    if answers.shape != expected.shape:
        raise UnsafeError(
            **_unlike("it gives another number of answers", f"shape {answers.shape} instead of {expected.shape}")
        )
    difference = float(np.abs(answers - expected).max())
    if not np.allclose(answers, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE):
        raise UnsafeError(**_unlike("its answers to the golden rows differ", f"by up to {difference:.3g}"))
    return difference


def _malformed(row: Row, columns: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    """Return rows that no service of this model may take."""
    names = [column["name"] for column in columns]
    rows: dict[str, Row] = {
        f"with a list as {names[0]!r}": {**row, names[0]: []},
        "with an unknown column": {**row, max(names, key=len) + "x": 1},
    }
    required = next((column["name"] for column in columns if not column["nullable"]), None)
    if required is not None:
        rows[f"without the column {required!r}"] = {name: row[name] for name in names if name != required}
    return rows


def _expect_refusal(client: httpx.Client, what: str, row: Row) -> None:
    """Send a malformed row.

    Raises
    ------
    UnsafeError
        If the service does not call it the client's fault.
    """
    reply = client.post("/predict", json={"rows": [row]})
    if not reply.is_client_error:
        raise UnsafeError(**_unlike(f"it does not refuse a row {what}", f"it answered HTTP {reply.status_code}"))


def _unlike(what: str, why: str) -> dict[str, str]:
    return {
        "what": f"the service does not answer like the model: {what}",
        "why": why,
        "fix": "train the model again with the packages of requirements.lock, then package it again",
    }


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz", timeout=2.0).is_success
    except httpx.TransportError:
        return False


def _has_failed(said: list[str]) -> bool:
    log = "".join(said)
    return FAILED in log or PORT_TAKEN in log


def _gist(said: list[str]) -> str:
    """Return the last lines of a log without what tracebacks indent, each once: BentoML logs one failure many times."""
    told = dict.fromkeys(line for line in said if line.strip() and not line.startswith(" "))
    return "".join(list(told)[-SHOWN_LINES:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
