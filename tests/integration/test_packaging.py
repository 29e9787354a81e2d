"""A real bento is built, served by BentoML as a process of its own, and asked over HTTP."""

import json
import re
import shutil
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

import crossings
from titlebout.core.errors import UnsafeError
from titlebout.core.process import run, start
from titlebout.core.results import parse_result, read_json, to_json
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
        """What is served."""
        return self.bento / "src"


def processes_below(folder: Path) -> list[str]:
    """Return the commands of all running processes that name the folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return [command for command in commands if str(folder) in command]


@pytest.fixture(scope="module", params=["classification", "regression"])
def packaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packaged]:
    folder, path = tmp_path_factory.mktemp(request.param), list(sys.path)
    project = Project.find(crossings.write(folder / "repository", request.param))
    (folder / "scratch").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "scratch"))
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
    """The repository again, to be changed at will."""
    return Project.find(shutil.copytree(packaged.project.root, tmp_path / "repository"))


def predict(service: httpx.Client, *rows: dict[str, Any]) -> httpx.Response:
    return service.post("/predict", json={"rows": list(rows)})


def told(reply: httpx.Response) -> dict[str, Any]:
    """Return the error of a reply, which must have the one shape."""
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json()) == {"error"}
    assert set(reply.json()["error"]) == {"code", "message", "fields"}
    error: dict[str, Any] = reply.json()["error"]
    return error


def test_the_result_says_what_was_packaged_and_that_it_answered_alike(packaged: Packaged) -> None:
    result = packaged.result
    weights = (packaged.project.model_dir / "model.skops").read_bytes()
    assert result.passed
    assert result.model_sha256 == sha256(weights).hexdigest()
    assert result.tag == f"crossings:{result.model_sha256[:12]}"
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
    assert f"model_sha256: {packaged.result.model_sha256}" in (packaged.bento / "bento.yaml").read_text()


def test_the_bento_keeps_numpy_to_one_thread(packaged: Packaged) -> None:
    text = (packaged.bento / "bento.yaml").read_text()
    assert "- name: OMP_NUM_THREADS\n  value: '1'" in text
    assert "- name: OPENBLAS_NUM_THREADS\n  value: '1'" in text


def test_bentoml_reports_its_use_to_nobody(tmp_path: Path) -> None:
    # with this switch BentoML logs what it would send, and sends nothing
    env = serving_package._environment(tmp_path) | {"__BENTOML_DEBUG_USAGE": "True"}
    command = [sys.executable, "-m", "bentoml", "list"]
    assert "Tracking Payload" in run(command, env=env | {"BENTOML_DO_NOT_TRACK": "False"}).stdout
    assert "Tracking Payload" not in run(command, env=env).stdout


def test_the_containerfile_installs_by_hash_and_runs_as_nobody(packaged: Packaged) -> None:
    text = (packaged.bento / "Containerfile").read_text()
    assert "--require-hashes" in text
    assert "\nUSER 10001\n" in text
    assert "BENTOML_DO_NOT_TRACK=True" in text
    assert f'titlebout.model.sha256="{packaged.result.model_sha256}"' in text


def test_nothing_is_left_of_building_and_serving(packaged: Packaged) -> None:
    assert processes_below(packaged.scratch) == []
    assert list(packaged.scratch.iterdir()) == []
    assert {path.name for path in (packaged.project.root / "build").iterdir()} == {
        "bento",
        Path(packaged.result.archive).name,
    }


def test_the_same_model_gives_the_same_bytes(packaged: Packaged, tmp_path: Path) -> None:
    project, result = packaged.project, packaged.result
    bento = serving_package._build_bento(project, project.model_dir, result.tag, result.model_sha256, tmp_path)
    again = serving_package._pack(bento, tmp_path / "again.bento")
    with tarfile.open(project.root / result.archive) as first, tarfile.open(again) as second:
        assert first.getnames() == second.getnames()
    assert again.read_bytes() == (project.root / result.archive).read_bytes()


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_bentoml_takes_the_one_file_into_its_own_store(packaged: Packaged, tmp_path: Path) -> None:
    env = {"BENTOML_HOME": str(tmp_path)}
    run([sys.executable, "-m", "bentoml", "import", str(packaged.project.root / packaged.result.archive)], env=env)
    listed = run([sys.executable, "-m", "bentoml", "list", "-o", "json"], env=env).stdout
    assert [bento["tag"] for bento in json.loads(listed)] == [packaged.result.tag]


def test_the_service_gives_labels_and_probabilities_or_values_and_names_its_model(
    packaged: Packaged, service: httpx.Client
) -> None:
    golden = read_json(packaged.project.model_dir / "golden.json")
    document = predict(service, *golden["rows"][:5]).json()
    assert document["model"] == packaged.result.model_sha256
    if packaged.project.settings.project.package == crossings.package_name("regression"):
        assert document["predictions"] == [{"value": pytest.approx(answer)} for answer in golden["answers"][:5]]
        return
    for prediction, answer in zip(document["predictions"], golden["answers"], strict=False):
        assert list(prediction["probabilities"]) == ["early", "late", "on time"]
        assert list(prediction["probabilities"].values()) == pytest.approx(answer)
        assert prediction["probabilities"][prediction["label"]] == max(answer)


def test_whole_numbers_zones_and_missing_values_are_understood(service: httpx.Client) -> None:
    nothing = dict.fromkeys(ROW) | {"seats": 100, "model_copy": 1}
    local = ROW | {"distance": 1000, "when": "2013-01-01T07:00:00+02:00"}
    replies = [predict(service, row).json()["predictions"] for row in (nothing, {"seats": 100, "model_copy": 1.0})]
    assert replies[0] == replies[1]
    alike = [predict(service, row).json()["predictions"] for row in (local, ROW | {"distance": 1000.0})]
    assert alike[0] == alike[1]


# What plain BentoML answered with 200 or 500, and more of the kind; the last is the name that has to be told.
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
    ("a month that is none", ROW | {"when": "2013-13-01"}, "when"),
    ("a year out of reach", ROW | {"when": "9999-01-01T00:00:00Z"}, "when"),
    ("null where none was in training", ROW | {"seats": None}, "seats"),
    ("a missing column", {name: value for name, value in ROW.items() if name != "seats"}, "seats"),
    ("an unknown column", ROW | {"colour": SECRET}, "colour"),
    ("a row that is a list", [SECRET], "rows[1]"),
    ("a row that is null", None, "rows[1]"),
]


@pytest.mark.parametrize(("row", "name"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_row_is_refused_by_its_number_and_field(service: httpx.Client, row: Any, name: str) -> None:
    body = json.dumps({"rows": [ROW, row]})
    reply = service.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, told(reply)["code"]) == (400, "invalid_input")
    path = name if name.startswith("rows") else f"rows[1].{name}"
    assert [field["path"] for field in told(reply)["fields"]] == [path]
    assert not re.search("4111|1672531200|9999|2013-13", reply.text)


MALFORMED_BODIES = [
    ("no rows", b'{"rows": []}', "rows"),
    ("an empty object", b"{}", "rows"),
    ("an empty body", b"", "rows"),
    ("a list", b"[]", "body"),
    ("null", b"null", "body"),
    ("something besides rows", json.dumps({"rows": [ROW], "colour": SECRET}).encode(), "colour"),
    ("half of it", json.dumps({"rows": [ROW], "colour": SECRET}).encode()[:-5], "body"),
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
    reply = service.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, told(reply)["code"]) == (400, "invalid_input")
    assert [field["path"] for field in told(reply)["fields"]] == [path]
    assert SECRET not in reply.text


def test_a_category_that_the_model_refuses_is_the_clients_fault_and_not_told_back(service: httpx.Client) -> None:
    reply = predict(service, ROW | {"carrier": SECRET})
    assert (reply.status_code, told(reply)["code"]) == (422, "refused_by_model")
    assert SECRET not in reply.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"])
def test_another_content_type_is_refused(service: httpx.Client, kind: str) -> None:
    reply = service.post("/predict", content=json.dumps({"rows": [ROW]}), headers={"content-type": kind})
    assert (reply.status_code, told(reply)["code"]) == (415, "not_json")


def test_a_body_beyond_the_limit_is_refused_declared_or_in_pieces(service: httpx.Client) -> None:
    body, headers = b" " * (MAX_BODY_BYTES + 1), {"content-type": "application/json"}
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    for content in (body, pieces):
        reply = service.post("/predict", content=content, headers=headers)
        assert (reply.status_code, told(reply)["code"]) == (413, "too_large")


def test_as_many_rows_as_allowed_are_answered(service: httpx.Client) -> None:
    assert len(predict(service, *[ROW] * MAX_ROWS).json()["predictions"]) == MAX_ROWS


def test_probes_metrics_and_the_form_of_a_request_are_served(service: httpx.Client) -> None:
    assert [service.get(path).status_code for path in ("/readyz", "/livez", "/healthz")] == [200, 200, 200]
    (route,) = service.get("/schema.json").json()["routes"]
    row = route["input"]["properties"]["rows"]["items"]
    assert list(row["properties"]) == list(crossings.KINDS)
    assert row["required"] == list(crossings.REQUIRED)
    assert service.get("/docs.json").json()["paths"]["/predict"]


def test_an_unknown_path_makes_no_metric(service: httpx.Client) -> None:
    assert told(service.get(f"/{SECRET}"))["code"] == "not_found"
    metrics = service.get("/metrics")
    assert metrics.status_code == 200
    assert 'endpoint="/predict"' in metrics.text
    assert SECRET not in metrics.text


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_a_port_that_another_program_takes_meanwhile_is_no_failure(
    packaged: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = smoke_test._free_port
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], free()])
        monkeypatch.setattr(smoke_test, "_free_port", lambda: next(ports))
        with smoke_test.serve(packaged.bento, serving_package._environment(tmp_path)) as client:
            assert client.get("/readyz").is_success


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_the_servers_log_has_one_line_per_request_and_nothing_that_was_sent(packaged: Packaged, tmp_path: Path) -> None:
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
        smoke_test._until(lambda: smoke_test._is_ready(client), 90)
        predict(client, ROW | {"distance": SECRET})
        predict(client, ROW | {"carrier": SECRET})
        client.get(f"/{SECRET}%0aforged")
        server.terminate()
        assert server.stdout is not None
        log = server.stdout.read()
    said = [re.sub(r"^.*?\] (?=[A-Z])", "", line) for line in log.splitlines()]
    requests = [re.sub(r" at .*| \d+ ms$", "", line) for line in said if re.match("POST|GET|[A-Za-z]*Error", line)]
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
    with pytest.raises(UnsafeError, match="not the one its manifest describes"):
        serving_package.package_folder(copied, copied.model_dir)
    assert not (copied.root / "build").exists()


@pytest.mark.parametrize("packaged", ["classification"], indirect=True)
def test_a_model_that_answers_otherwise_than_it_did_keeps_the_old_package_in_place(
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
def test_code_that_is_not_in_the_bento_is_missed_before_anybody_serves_it(
    copied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = copied.settings.project.package
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    features = copied.root / "src" / package / "features.py"
    features.write_text("import elsewhere\n" + features.read_text(encoding="utf-8"), encoding="utf-8")
    (copied.root / "src" / "elsewhere.py").touch()
    with pytest.raises(UnsafeError, match="does not become ready") as caught:
        serving_package.package_folder(copied, copied.model_dir)
    assert "No module named 'elsewhere'" in str(caught.value.why)
    assert processes_below(tmp_path) == []


def test_the_report_shows_the_model_and_why_there_is_no_image(packaged: Packaged) -> None:
    text = packaged.result.to_markdown()
    assert f"`{packaged.result.model_sha256}`" in text
    assert "no image was built" in text
