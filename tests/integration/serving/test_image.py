"""The container image, built without a registry and run with the restrictions of the deployment files."""

import os
import resource
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import crossings
import titlebout
from titlebout.core.process import run
from titlebout.models.artifact import digest_of, load_model
from titlebout.repository.project import Project
from titlebout.serving import package as serving_package
from titlebout.serving.smoke_test import run_smoke_test

TOOLS = ("buildah", "podman", "runc", "debootstrap")
BASE = "localhost/titlebout-test-base"
STRICT = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
# The base has to bring the Python that runs here: the model is packaged with it.
RELEASES = {(3, 11): "bookworm", (3, 13): "trixie"}  # of Debian, by its own Python
RELEASE = RELEASES.get(sys.version_info[:2])
LOCK = Path(titlebout.__file__).parents[2] / "requirements-serve.lock"

pytestmark = [
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.geteuid() != 0 or RELEASE is None or not all(map(shutil.which, TOOLS)),
        reason=f"needs root, the Python of Debian 12 (3.11) or 13 (3.13), and {', '.join(TOOLS)}",
    ),
]


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A separate container store that needs no privileges from the machine."""
    folder = tmp_path_factory.mktemp("containers")
    limits = [
        f'"{name}={hard}:{hard}"'
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for hard in [min(4096, resource.getrlimit(number)[1])]
    ]
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    engine = f'[containers]\ndefault_ulimits = [{", ".join(limits)}]\n[engine]\nruntime = "runc"\n'
    engine += 'cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    (folder / "storage.conf").write_text(storage)
    (folder / "containers.conf").write_text(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        yield
        run(["podman", "rm", "--all", "--force"])
        run(["buildah", "rm", "--all"])
        run(["buildah", "rmi", "--all", "--force"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root, path = tmp_path_factory.mktemp("image") / "repository", list(sys.path)
    crossings.write(root, "classification")
    shutil.copy(LOCK, root / LOCK.name)
    yield Project.find(root)
    sys.path[:] = path


@pytest.fixture(scope="module")
def image(containers: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> str:
    _make_base(project, tmp_path_factory.mktemp("base"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_package, "BUILDERS", ("podman",))
        result = serving_package.package_folder(project, project.model_dir, image=True, base=BASE)
    assert result.image_note == f"built with podman on {BASE}"
    assert result.image is not None
    return result.image


def _make_base(project: Project, folder: Path) -> None:
    """Build a small Debian image with the locked packages as files, so that a build downloads nothing."""
    system = folder / "system"
    run(["debootstrap", "--variant=minbase", "--include=python3,python3-venv", str(RELEASE), str(system)])
    (folder / "requirements.txt").write_text(serving_package.serving_requirements(project.root))
    run([sys.executable, "-m", "venv", str(folder / "venv")])
    fetch = [str(folder / "venv" / "bin" / "pip"), "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    run([*fetch, "--require-hashes", "-d", str(system / "wheels"), "-r", str(folder / "requirements.txt")])
    (system / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    container = run(["buildah", "from", "scratch"]).stdout.strip()
    run(["buildah", "add", container, str(system), "/"])
    run(["buildah", "commit", "--rm", container, BASE])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(client: httpx.Client, container: str) -> None:
    for _ in range(600):
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(run(["podman", "logs", container], check=False).stdout)


def test_the_image_has_the_model_label_and_runs_unprivileged(image: str, project: Project) -> None:
    labels = run(
        ["podman", "inspect", image, "--format", '{{.User}} {{index .Labels "titlebout.model.digest"}}']
    ).stdout
    digest = digest_of(project.model_dir)
    assert labels.split() == ["10001", digest]


def test_the_image_passes_the_smoke_test_read_only_and_unprivileged(image: str, project: Project) -> None:
    port = free_port()
    serve = ["bentoml", "serve", "/app/bento", "--host", "127.0.0.1", "--port", str(port)]
    container = run(["podman", "run", "--detach", "--network", "host", *STRICT, image, *serve]).stdout.strip()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
        wait_until_ready(client, container)
        answered = run_smoke_test(client, load_model(project.model_dir, project.settings.project.package))
    assert answered.rows == 256
    assert answered.max_difference < 1e-12
    run(["podman", "rm", "--force", container])


def test_the_image_becomes_healthy_without_a_network(image: str) -> None:
    container = run(["podman", "run", "--detach", "--network", "none", *STRICT, image]).stdout.strip()
    for _ in range(60):
        if run(["podman", "healthcheck", "run", container], check=False).returncode == 0:
            break
        time.sleep(1)
    else:
        raise AssertionError(run(["podman", "logs", container], check=False).stdout)
    run(["podman", "rm", "--force", container])
