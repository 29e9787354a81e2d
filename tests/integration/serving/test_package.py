"""A real bento is built, served by BentoML in its own process, and called over HTTP."""

import json
import re
import shutil
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import crossings
from titlebout.core.errors import UnsafeError
from titlebout.core.process import run, start
from titlebout.core.results import parse_result, read_json, to_json
from titlebout.models.artifact import digest_of
from titlebout.repository.project import Project
from titlebout.serving import package as serving_package
from titlebout.serving import smoke_test
from titlebout.serving.middleware import MAX_BODY_BYTES
from titlebout.serving.service import MAX_ROWS

SECRET = "4111-1111-1111-1111"
ROW = {
    "distance": 1000.5,
    "seats": 100,
    "international": False,
    "carrier": "AA",
    "when": "2013-01-01T05:00:00Z",
    "model_copy": 0.5,
}


@dataclass(frozen=True)
class Packaged:
    project: Project
    result: serving_package.PackageResult
    scratch: Path

    @property
    def bento(self) -> Path:
        return self.project.root / self.result.bento

    @property
    def source(self) -> Path:
        """Folder of the bento's source files."""
        return self.bento / "src"


def processes_below(folder: Path) -> list[str]:
    """Return the command lines of all running processes that mention the folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # the process has ended
            continue
    return [command for command in commands if str(folder) in command]


@pytest.fixture(scope="module", params=["classification", "regression"])
def packaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packaged]:
    folder, path = tmp_path_factory.mktemp(request.param), list(sys.path)
    project = Project.find(crossings.write(folder / "repository", request.param))
    (folder / "scratch").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "scratch"))
        patch.setattr(serving_package, "BUILDERS", ("no-builder",))  # test_image.py builds an image
        result = serving_package.package_folder(project, project.model_dir, image=True)
    yield Packaged(project, result, folder / "scratch")
    sys.path[:] = path


@pytest.fixture(scope="module")
def service(packaged: Packaged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("served")
    with smoke_test.serve(packaged.bento, serving_package._environment(home)) as client:
        yield client


@pytest.fixture
def copied(packaged: Packaged, tmp_path: Path) -> Project:
    """A copy of the repository that the test may change."""
    return Project.find(shutil.copytree(packaged.project.root, tmp_path / "repository"))


def predict(service: httpx.Client, *rows: dict[str, Any]) -> httpx.Response:
    return service.post("/predict", json={"rows": list(rows)})


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return the error in a response, which must have the common format."""
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"code", "message", "fields"}
    error: dict[str, Any] = response.json()["error"]
    return error


def test_the_result_describes_the_bento_and_the_smoke_test(packaged: Packaged) -> None:
    result = packaged.result
    assert result.passed
    assert result.model_digest == digest_of(packaged.project.model_dir)
    assert result.tag == f"crossings:{result.model_digest[:12]}"
    assert result.golden_rows == 256
    assert result.max_difference < 1e-12
    assert result.size_bytes == (packaged.project.root / result.archive).stat().st_size
    assert parse_result(to_json(result.model_dump()), serving_package.PackageResult, "here") == result


def test_the_bento_holds_model_code_and_packages_but_no_training_rows(packaged: Packaged) -> None:
    package = packaged.project.settings.project.package
    names = {path.name for path in packaged.source.iterdir()}
    assert names == {"model", "titlebout", package, "service.py", "requirements.txt", "bentofile.yaml"}
    assert {path.name for path in (packaged.source / "model").iterdir()} == set(serving_package.MODEL_FILES)
    assert not list(packaged.bento.rglob("__pycache__"))
    assert f"model_digest: {packaged.result.model_digest}" in (packaged.bento / "bento.yaml").read_text()


def test_the_bento_keeps_numpy_to_one_thread(packaged: Packaged) -> None:
    text = (packaged.bento / "bento.yaml").read_text()
    assert "- name: OMP_NUM_THREADS\n  value: '1'" in text
    assert "- name: OPENBLAS_NUM_THREADS\n  value: '1'" in text


def test_bentoml_usage_reporting_is_off(tmp_path: Path) -> None:
    # With this variable, BentoML logs its usage reports instead of sending them.
    env = serving_package._environment(tmp_path) | {"__BENTOML_DEBUG_USAGE": "True"}
    command = [sys.executable, "-m", "bentoml", "list"]
    assert "Tracking Payload" in run(command, env=env | {"BENTOML_DO_NOT_TRACK": "False"}).stdout
    assert "Tracking Payload" not in run(command, env=env).stdout


def test_the_containerfile_installs_by_hash_and_runs_unprivileged(packaged: Packaged) -> None:
    text = (packaged.bento / "Containerfile").read_text()
    assert "--require-hashes" in text
    assert "\nUSER 10001\n" in text
    assert "BENTOML_DO_NOT_TRACK=True" in text
    assert f'titlebout.model.digest="{packaged.result.model_digest}"' in text


def test_building_and_serving_leave_nothing_behind(packaged: Packaged) -> None:
    assert processes_below(packaged.scratch) == []
    assert list(packaged.scratch.iterdir()) == []
    assert {path.name for path in (packaged.project.root / "build").iterdir()} == {
        "bento",
        Path(packaged.result.archive).name,
    }


def test_the_same_model_gives_the_same_bytes(packaged: Packaged, tmp_path: Path) -> None:
    project, result = packaged.project, packaged.result
    bento = serving_package._build_bento(project, project.model_dir, result.tag, result.model_digest, tmp_path)
    again = serving_package._pack(bento, tmp_path / "again.bento")
    with tarfile.open(project.root / result.archive) as first, tarfile.open(again) as second:
        assert first.getnames() == second.getnames()
    assert again.read_bytes() == (project.root / result.archive).read_bytes()


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_bentoml_imports_the_archive(packaged: Packaged, tmp_path: Path) -> None:
    env = {"BENTOML_HOME": str(tmp_path)}
    run([sys.executable, "-m", "bentoml", "import", str(packaged.project.root / packaged.result.archive)], env=env)
    listed = run([sys.executable, "-m", "bentoml", "list", "-o", "json"], env=env).stdout
    assert [bento["tag"] for bento in json.loads(listed)] == [packaged.result.tag]


def test_the_service_returns_predictions_and_the_model_digest(packaged: Packaged, service: httpx.Client) -> None:
    golden = read_json(packaged.project.model_dir / "golden.json")
    document = predict(service, *golden["rows"][:5]).json()
    assert document["model"] == packaged.result.model_digest
    if packaged.project.settings.project.package == crossings.package_name("regression"):
        assert document["predictions"] == [{"value": pytest.approx(expected)} for expected in golden["answers"][:5]]
        return
    for prediction, expected in zip(document["predictions"], golden["answers"], strict=False):
        assert list(prediction["probabilities"]) == ["early", "late", "on time"]
        assert list(prediction["probabilities"].values()) == pytest.approx(expected)
        assert prediction["probabilities"][prediction["label"]] == max(expected)


def test_integers_time_zones_and_missing_values_are_accepted(service: httpx.Client) -> None:
    nothing = dict.fromkeys(ROW) | {"seats": 100, "model_copy": 1}
    local = ROW | {"distance": 1000, "when": "2013-01-01T07:00:00+02:00"}
    replies = [predict(service, row).json()["predictions"] for row in (nothing, {"seats": 100, "model_copy": 1.0})]
    assert replies[0] == replies[1]
    alike = [predict(service, row).json()["predictions"] for row in (local, ROW | {"distance": 1000.0})]
    assert alike[0] == alike[1]


# Rows that plain BentoML answers with status 200 or 500, and similar ones; the last item is the field to report.
MALFORMED = [
    ("NaN", ROW | {"distance": float("nan")}, "distance"),
    ("Infinity", ROW | {"distance": float("inf")}, "distance"),
    ("text for a number", ROW | {"distance": SECRET}, "distance"),
    ("a number as text", ROW | {"distance": "1.5"}, "distance"),
    ("a fraction for an integer", ROW | {"seats": 1.5}, "seats"),
    ("true for an integer", ROW | {"seats": True}, "seats"),
    ("an integer beyond 64 bits", ROW | {"seats": 2**70}, "seats"),
    ("one for a boolean", ROW | {"international": 1}, "international"),
    ("yes for a boolean", ROW | {"international": "yes"}, "international"),
    ("a number for text", ROW | {"carrier": 4111111111111111}, "carrier"),
    ("an object for text", ROW | {"carrier": {SECRET: SECRET}}, "carrier"),
    ("seconds for a time", ROW | {"when": 1672531200}, "when"),
    ("seconds as text for a time", ROW | {"when": "1672531200"}, "when"),
    ("an invalid month", ROW | {"when": "2013-13-01"}, "when"),
    ("a year of five digits", ROW | {"when": "99999-01-01T00:00:00Z"}, "when"),
    ("null in a required column", ROW | {"seats": None}, "seats"),
    ("a missing column", {name: value for name, value in ROW.items() if name != "seats"}, "seats"),
    ("an unknown column", ROW | {"color": SECRET}, "color"),
    ("a row that is a list", [SECRET], "rows[1]"),
    ("a row that is null", None, "rows[1]"),
]


@pytest.mark.parametrize(("row", "name"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_row_is_refused_with_its_number_and_field(service: httpx.Client, row: Any, name: str) -> None:
    body = json.dumps({"rows": [ROW, row]})
    response = service.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_input")
    path = name if name.startswith("rows") else f"rows[1].{name}"
    assert [field["path"] for field in error_of(response)["fields"]] == [path]
    assert not re.search("4111|1672531200|9999|2013-13", response.text)


MALFORMED_BODIES = [
    ("no rows", b'{"rows": []}', "rows"),
    ("an empty object", b"{}", "rows"),
    ("an empty body", b"", "rows"),
    ("a list", b"[]", "body"),
    ("null", b"null", "body"),
    ("something besides rows", json.dumps({"rows": [ROW], "color": SECRET}).encode(), "color"),
    ("a truncated body", json.dumps({"rows": [ROW], "color": SECRET}).encode()[:-5], "body"),
    ("no JSON", SECRET.encode() + b"}", "body"),
    ("a number too large for a float", json.dumps({"rows": [ROW]}).encode().replace(b"1000.5", b"1e999"), "rows[0].distance"),
    ("a number of a thousand digits", json.dumps({"rows": [ROW]}).encode().replace(b"1000.5", b"1" * 1000), "rows[0].distance"),
    ("half a character", json.dumps({"rows": [ROW]}).encode().replace(b'"AA"', b'"\\ud800"'), "body"),
    ("another encoding", json.dumps({"rows": [ROW]}).encode("utf-16"), "body"),
    ("a hundred thousand brackets", b"[" * 100_000, "body"),
    ("one row too many", json.dumps({"rows": [ROW] * (MAX_ROWS + 1)}).encode(), "rows"),
    ("a row of 400,000 unknown columns", json.dumps({"rows": [dict.fromkeys(map(str, range(400_000)))]}).encode(), "rows"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path"), [c[1:] for c in MALFORMED_BODIES], ids=[c[0] for c in MALFORMED_BODIES])
def test_a_malformed_body_is_refused(service: httpx.Client, body: bytes, path: str) -> None:
    response = service.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_input")
    assert [field["path"] for field in error_of(response)["fields"]] == [path]
    assert SECRET not in response.text


def test_an_unknown_category_is_a_client_error_without_its_value(service: httpx.Client) -> None:
    response = predict(service, ROW | {"carrier": SECRET})
    assert (response.status_code, error_of(response)["code"]) == (422, "refused_by_model")
    assert SECRET not in response.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"])
def test_another_content_type_is_refused(service: httpx.Client, kind: str) -> None:
    response = service.post("/predict", content=json.dumps({"rows": [ROW]}), headers={"content-type": kind})
    assert (response.status_code, error_of(response)["code"]) == (415, "not_json")


def test_a_body_above_the_limit_is_refused_declared_or_chunked(service: httpx.Client) -> None:
    body, headers = b" " * (MAX_BODY_BYTES + 1), {"content-type": "application/json"}
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    for content in (body, pieces):
        response = service.post("/predict", content=content, headers=headers)
        assert (response.status_code, error_of(response)["code"]) == (413, "too_large")


def test_the_maximum_number_of_rows_is_accepted(service: httpx.Client) -> None:
    assert len(predict(service, *[ROW] * MAX_ROWS).json()["predictions"]) == MAX_ROWS


def test_probes_metrics_and_schema_are_served(service: httpx.Client) -> None:
    assert [service.get(path).status_code for path in ("/readyz", "/livez", "/healthz")] == [200, 200, 200]
    (route,) = service.get("/schema.json").json()["routes"]
    row = route["input"]["properties"]["rows"]["items"]
    assert list(row["properties"]) == list(crossings.KINDS)
    assert row["required"] == list(crossings.REQUIRED)
    assert service.get("/docs.json").json()["paths"]["/predict"]


def test_an_unknown_path_creates_no_metric(service: httpx.Client) -> None:
    assert error_of(service.get(f"/{SECRET}"))["code"] == "not_found"
    metrics = service.get("/metrics")
    assert metrics.status_code == 200
    assert 'endpoint="/predict"' in metrics.text
    assert SECRET not in metrics.text


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_serving_retries_when_the_port_is_taken(
    packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_free_port = smoke_test._free_port
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        ports = iter([other_program.getsockname()[1], find_free_port()])
        monkeypatch.setattr(smoke_test, "_free_port", lambda: next(ports))
        with smoke_test.serve(packaged.bento, serving_package._environment(tmp_path)) as client:
            assert client.get("/readyz").is_success


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_the_server_log_has_one_line_per_request(packaged: Packaged, tmp_path: Path) -> None:
    port = smoke_test._free_port()
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        str(packaged.bento),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (
        start(command, cwd=tmp_path, env=serving_package._environment(tmp_path)) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        smoke_test._wait_until(lambda: smoke_test._is_ready(client), 90)
        predict(client, ROW | {"distance": SECRET})
        predict(client, ROW | {"carrier": SECRET})
        client.get(f"/{SECRET}%0aforged")
        server.terminate()
        assert server.stdout is not None
        log = server.stdout.read()
    messages = [re.sub(r"^.*?\] (?=[A-Z])", "", line) for line in log.splitlines()]
    requests = [re.sub(r" at .*| \d+ ms$", "", line) for line in messages if re.match("POST|GET|[A-Za-z]*Error", line)]
    assert requests == ["POST /predict 400", "ValueError", "POST /predict 422", "GET (unknown path) 404"]
    assert SECRET not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_a_tampered_model_is_not_packaged(packaged: Packaged, copied: Project) -> None:
    path = copied.model_dir / "model.skops"
    weights = bytearray(path.read_bytes())
    weights[len(weights) // 2] ^= 1
    path.write_bytes(weights)
    shutil.rmtree(copied.root / "build")
    with pytest.raises(UnsafeError, match="does not match the SHA-256 in its manifest"):
        serving_package.package_folder(copied, copied.model_dir)
    assert not (copied.root / "build").exists()


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_a_failed_smoke_test_keeps_the_old_package(
    copied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = copied.model_dir / "golden.json"
    golden = read_json(path)
    before = (copied.root / "build" / "bento" / "crossings" / "src" / "model" / "golden.json").read_bytes()
    first = golden["answers"][0]
    golden["answers"][0] = [first[0] * (1 + 1e-5), *first[1:]]
    path.write_text(json.dumps(golden), encoding="utf-8")
    with pytest.raises(UnsafeError, match="golden rows differ") as caught:
        serving_package.package_folder(copied, copied.model_dir)
    assert caught.value.exit_code == 7
    assert (copied.root / "build" / "bento" / "crossings" / "src" / "model" / "golden.json").read_bytes() == before
    assert processes_below(tmp_path) == []


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_code_missing_from_the_bento_fails_packaging(
    copied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = copied.settings.project.package
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    features = copied.root / "src" / package / "features.py"
    features.write_text("import elsewhere\n" + features.read_text(encoding="utf-8"), encoding="utf-8")
    (copied.root / "src" / "elsewhere.py").touch()
    with pytest.raises(UnsafeError, match="failed to start, or was not ready within") as caught:
        serving_package.package_folder(copied, copied.model_dir)
    assert "No module named 'elsewhere'" in str(caught.value.why)
    assert processes_below(tmp_path) == []


def test_the_report_shows_the_model_and_the_image_note(packaged: Packaged) -> None:
    text = packaged.result.to_markdown()
    assert f"`{packaged.result.model_digest}`" in text
    assert "no image was built" in text
