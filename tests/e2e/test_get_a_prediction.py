"""The commands and the code of docs/how-to/get-a-prediction.md, in a generated repository."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest

import sample
from titlebout.core import process
from titlebout.scaffold.generate import Request, new

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "get-a-prediction.md").read_text("utf-8")
PORT, SECONDS = "3000", 120


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(new(Request("flights-delay", tmp_path_factory.mktemp("served"))).path)
    sample.commit(root, "First commit")
    process.run(["titlebout", "package"], cwd=root)
    return root


@pytest.fixture(scope="module")
def port(repository: Path) -> Iterator[str]:
    """The port of the service that the page's command starts."""
    folder = re.search(r"^\$ cd (build/bento/\S+)$", PAGE, re.MULTILINE)
    assert folder is not None
    chosen = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "bentoml", "serve", ".", "--host", "127.0.0.1", "--port", chosen],
        cwd=repository / folder[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(SECONDS):
            try:
                urlopen(f"http://127.0.0.1:{chosen}/readyz").close()
                break
            except URLError:
                time.sleep(1)
        yield chosen
    finally:
        server.terminate()
        server.wait()


def test_curl_gets_the_answer_that_the_page_shows(port: str, repository: Path) -> None:
    block = re.search(r"^\$ (curl .*?\]\}')\n(\{[^\n]*\})$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    answered = process.run(["bash", "-c", block[1].replace(f":{PORT}", f":{port}")], cwd=repository)
    found, shown = json.loads(answered.stdout), json.loads(block[2])

    assert found["model"] == shown["model"]
    assert found["predictions"][0]["label"] == shown["predictions"][0]["label"]
    assert found["predictions"][0]["probabilities"] == pytest.approx(shown["predictions"][0]["probabilities"])


def test_the_code_of_the_page_predicts(port: str, repository: Path) -> None:
    client, file = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    one = process.run([sys.executable, "-c", client.replace(f":{PORT}", f":{port}")], cwd=repository)
    assert float(one.stdout) == pytest.approx(0.268309, abs=1e-5)
    process.run([sys.executable, "-c", file], cwd=repository)
    predicted = pd.read_csv(repository / "build" / "predictions.csv")
    assert list(predicted.columns) == ["0", "1"]
    assert len(predicted) == 6878
