"""titlebout arrives in a repository as the team likes: as source with recorded hashes, as a wheel, or from an index."""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from generation import ROOT, Generate, files_of, run
from titlebout.repository.origin import Origin, check_library, sums

LOCK = "requirements-titlebout.lock"
NETWORK = {name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "XDG_", "HTTP"))}
LINK = re.compile(r"\]\(([^)#]+)\)")


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Print nothing."""


@pytest.fixture(scope="module")
def wheel(framework: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=framework)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def index(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a package index with one release of titlebout."""
    folder = tmp_path_factory.mktemp("index") / "titlebout"
    folder.mkdir()
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    (folder / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest(wheel)}">{wheel.name}</a>')
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def new(folder: Path, library: str | Path, *, cwd: Path | None = None) -> dict[str, object]:
    command = (
        sys.executable,
        "-m",
        "titlebout",
        "new",
        "Flights delay",
        "--output-dir",
        folder,
        "--no-input",
        "--json",
    )
    ran = run(*command, "--library", library, cwd=cwd or folder)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, object] = json.loads(ran.stdout)
    return result


def make(project: Path, *targets: str, index: str = "") -> str:
    """Run make as a user does, with the index if there is one, and return what it wrote to standard error."""
    environment = {**NETWORK, "PYTHONPATH": "", **({"UV_INDEX": index} if index else {})}
    return run("make", *targets, cwd=project, **environment).stderr


def installed(project: Path, *arguments: str) -> tuple[int, str]:
    ran = run(project / ".venv/bin/titlebout", *arguments, cwd=project, PYTHONPATH="")
    return ran.returncode, ran.stdout + ran.stderr


def test_a_wheel_beside_the_reader_is_copied_and_pinned(wheel: Path, project: Path, generate: Generate) -> None:
    released = generate(library=str(wheel))

    assert [path.name for path in (released / "vendor").iterdir()] == [wheel.name]
    assert (released / "vendor" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (released / LOCK).read_text() == f"./vendor/{wheel.name} \\\n    --hash=sha256:{digest(wheel)}\n"
    assert Origin.read(released / ".titlebout.toml").answers["library"] == f"vendor/{wheel.name}"
    different = {name for name, text in files_of(released).items() if files_of(project).get(name) != text}
    assert different == {LOCK, ".titlebout.toml", "README.md", f"vendor/{wheel.name}"}


def test_titlebout_new_takes_the_same_wheel(wheel: Path, generate: Generate, tmp_path: Path) -> None:
    created = new(tmp_path, wheel.name, cwd=wheel.parent)

    assert "make lock" not in created["next_steps"]  # type: ignore[operator]
    mine, theirs = (files_of(folder) for folder in (tmp_path / "flights-delay", generate(library=str(wheel))))
    assert {name for name, text in mine.items() if theirs.get(name) != text} == {".titlebout.toml"}  # its commit


def test_the_wheel_is_what_setup_installs_and_what_lock_keeps(wheel: Path, tmp_path: Path) -> None:
    new(tmp_path, wheel)
    project = tmp_path / "flights-delay"
    before = files_of(project)

    make(project, "setup", "lock")

    assert {name: text for name, text in files_of(project).items() if name in before} == before
    code, output = installed(project, "doctor", "--library")
    assert (code, f"from ./vendor/{wheel.name}, SHA-256 {digest(wheel)[:12]}" in output) == (0, True), output
    # What a bento and its image contain is copied from the installed library.
    script = "from pathlib import Path; from titlebout.serving.library import copy_library as c; c(Path('build'))"
    copied = run(project / ".venv/bin/python", "-c", script, cwd=project, PYTHONPATH="")
    assert copied.returncode == 0, copied.stderr
    service = "titlebout/serving/service.py"
    assert (project / "build" / service).read_bytes() == (ROOT / "src" / service).read_bytes()

    (project / "vendor" / wheel.name).write_bytes(wheel.read_bytes() + b"\0")
    code, output = installed(project, "doctor", "--library")
    assert code == 7
    assert f"{wheel.name} is not the file whose hash {LOCK} has" in output
    (project / ".venv" / "bin" / "titlebout").unlink()
    (project / LOCK).write_text(f"./vendor/{wheel.name} --hash=sha256:{'0' * 64}\n")
    run("rm", "-r", project / ".venv", cwd=project)
    assert "ash mismatch" in make(project, "setup")


@pytest.mark.parametrize("kind", ["version", "url"])
def test_a_release_elsewhere_is_pinned_by_make_lock(kind: str, wheel: Path, index: str, tmp_path: Path) -> None:
    address = f"{index}/titlebout/{wheel.name}"
    created = new(tmp_path, version(wheel) if kind == "version" else address)
    project = tmp_path / "flights-delay"
    assert list(created["next_steps"])[1] == "make lock setup && . .venv/bin/activate"  # type: ignore[call-overload]
    assert not (project / "vendor").exists()
    assert f"{LOCK} does not pin titlebout by a hash; run `make lock`" in make(project, "setup")
    before = (project / "requirements.lock").read_bytes(), (project / "requirements-serve.lock").read_bytes()

    make(project, "lock", "setup", index=index)

    source = f"titlebout=={version(wheel)}" if kind == "version" else f"titlebout @ {address}"
    assert (project / LOCK).read_text() == f"{source} \\\n    --hash=sha256:{digest(wheel)}\n"
    after = (project / "requirements.lock").read_bytes(), (project / "requirements-serve.lock").read_bytes()
    assert after == before, "the training depends on requirements.lock, and nothing in it has changed"
    code, output = installed(project, "doctor", "--library")
    assert code == 0, output


def test_a_known_hash_of_an_address_is_used_at_once(tmp_path: Path) -> None:
    address = "https://example.org/releases/titlebout-0.1.0-py3-none-any.whl"
    created = new(tmp_path, f"{address}#sha256={'a' * 64}")

    assert "make lock" not in created["next_steps"]  # type: ignore[operator]
    text = (tmp_path / "flights-delay" / LOCK).read_text()
    assert text == f"titlebout @ {address} \\\n    --hash=sha256:{'a' * 64}\n"


def test_the_recorded_answers_generate_the_same_repository(wheel: Path, generate: Generate, tmp_path: Path) -> None:
    earlier = generate(library=str(wheel), schedule="weekly", container_registry="ghcr.io/acme", project_name="A b")
    command = ("new", "--answers", earlier / ".titlebout.toml", "--output-dir", tmp_path)
    ran = run(sys.executable, "-m", "titlebout", *command, cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    mine = files_of(tmp_path / "a-b")
    assert {name for name, text in files_of(earlier).items() if mine.get(name) != text} == {".titlebout.toml"}  # commit


def test_answers_that_the_template_does_not_have_are_refused(project: Path, tmp_path: Path) -> None:
    changed = (project / ".titlebout.toml").read_text().replace('"daily"', '"hourly"')
    (tmp_path / "answers.toml").write_text(changed)
    command = ("new", "--answers", "answers.toml", "--output-dir", "out", "--json")
    ran = run(sys.executable, "-m", "titlebout", *command, cwd=tmp_path)

    assert ran.returncode == 2
    assert "hourly" in json.loads(ran.stdout)["error"]["why"]


def test_line_endings_of_the_users_git_do_not_change_the_hash(project: Path, tmp_path: Path) -> None:
    run("cp", "-r", project, tmp_path / "mine", cwd=tmp_path)
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "First")):
        run("git", *command, cwd=tmp_path / "mine")
    cloned = run("git", "-c", "core.autocrlf=true", "clone", "--quiet", "mine", "theirs", cwd=tmp_path)
    assert cloned.returncode == 0, cloned.stderr

    assert sums(tmp_path / "theirs/vendor/titlebout") == sums(project / "vendor/titlebout")
    assert check_library(tmp_path / "theirs", "0")


def test_the_commit_is_that_of_the_template(project: Path, framework: Path, tmp_path: Path) -> None:
    head = run("git", "rev-parse", "HEAD", cwd=framework).stdout.strip()
    assert Origin.read(project / ".titlebout.toml").commit == head

    run("cp", "-r", framework, tmp_path / "edited", cwd=tmp_path)
    (tmp_path / "edited" / "README.md").write_text("# mine\n")
    run("cookiecutter", "edited", "--no-input", cwd=tmp_path, PWD=str(tmp_path))
    assert Origin.read(tmp_path / "flights-delay" / ".titlebout.toml").commit == f"{head}-dirty"


def test_links_of_the_vendored_readme_lead_somewhere(project: Path) -> None:
    folder = project / "vendor" / "titlebout"
    links = LINK.findall((folder / "README.md").read_text())
    here = [link for link in links if "://" not in link]
    ours = [link.split("/main/")[1] for link in links if "/main/" in link]
    assert here
    assert ours
    assert [link for link in here if not (folder / link).exists()] == []
    assert [path for path in ours if not (ROOT / path).exists()] == []
