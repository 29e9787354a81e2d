"""Every test runs as if on a fresh machine: an empty home, its own git settings, no workflow around it."""

import json
import os
import signal
import stat
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import before_numpy  # noqa: F401 - sets the environment
import examples
import sample
import titlebout
from built import built, cache_folder
from sample import CommandResult
from titlebout.cli.main import run
from titlebout.repository.project import Project

GITCONFIG = "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n"
# .ci/run sets it; read before the tests clear the environment.
DEMAND_ALL = bool(os.environ.get("TITLEBOUT_DEMAND_ALL"))
FOREIGN = ("GITHUB_", "GIT_", "TITLEBOUT_", "DVC_", "BENTOML_", "INPUT_", "RUNNER_")

examples.register()


def pytest_configure(config: pytest.Config) -> None:
    """Let matplotlib look for fonts before the first test: it starts a child process for it, which a pure test must not."""
    if hasattr(config, "workerinput"):  # the first process has done it
        return
    import matplotlib as mpl  # not above: it imports numpy

    if not any(Path(mpl.get_cachedir()).glob("fontlist-*.json")):
        import matplotlib.font_manager  # noqa: F401 - its import writes the list


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root for another user."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On a full machine nothing may be skipped: what was not run was not shown."""
    report = yield
    for_root = item.get_closest_marker("root") is not None and os.geteuid() != 0
    if report.skipped and DEMAND_ALL and not for_root:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and this machine has to run everything: {call.excinfo}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _fresh_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GITCONFIG, encoding="utf-8")
    environ = os.environ
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        # Caches stay: they change no result, and matplotlib's fonts and uv's packages take minutes to make again.
        patch.setenv("XDG_CACHE_HOME", environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        patch.delenv("CI", raising=False)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # children would compile all their modules each time
        patch.setenv("HOME", str(home))
        # A pytest that a test starts would delete the folders of earlier runs before it ends: 300,000 files, minutes.
        patch.setenv("PYTEST_DEBUG_TEMPROOT", str(home))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc-site-cache"))
        patch.setenv("BENTOML_DO_NOT_TRACK", "True")
        patch.setenv("COLUMNS", "120")
        # DVC's stages run `titlebout`: this interpreter's, installed or not.
        programs = home / "bin"
        _write_launcher(programs / "titlebout")
        patch.setenv("PATH", os.pathsep.join([str(programs), environ["PATH"]]))
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(Path(titlebout.__file__).parents[1]), environ.get("PYTHONPATH", "")])
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Take SIGINT again where it is ignored: a shell starts a program in the background like that, and children inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away git's knowledge of who commits."""
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\n\tuseConfigOnly = true\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))


@pytest.fixture(autouse=True)
def _fresh_imports() -> Iterator[None]:
    """Forget the sample's own code after each test: the next one has it in another folder."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.partition(".")[0] == sample.NAME]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repository; not to be changed."""
    kept = built(cache_folder(), "sample", sample.build, *sample.SOURCES)
    return sample.copy(kept, tmp_path_factory.mktemp("original") / sample.NAME)


@pytest.fixture
def root(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sample repository, which is also the current folder."""
    copied = sample.copy(repository, tmp_path / sample.NAME)
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> sample.Command:
    """Run a command in this process and return its output; its standard output is one JSON document or an error."""

    def call(*arguments: str) -> CommandResult:
        capsys.readouterr()
        code = run([*arguments, "--json"])
        completed = capsys.readouterr()
        return CommandResult(code, json.loads(completed.out), completed.err)

    return call


@pytest.fixture
def refused(root: Path, command: sample.Command) -> sample.Refused:
    """Run a command that has to fail, and return its error; no file may have changed."""

    def call(code: int, *arguments: str, at: Path | None = None) -> dict[str, str]:
        before = sample.files(at or root)
        completed = command(*arguments)
        assert completed.code == code, completed
        assert set(completed.document) == {"error"}
        error = completed.error
        assert error["exit_code"] == code
        assert error["what"]
        assert error["where"] or error["why"], error
        assert error["fix"], error
        assert completed.errors.startswith(f"error: {error['what']}".splitlines()[0])
        assert "Traceback" not in completed.errors
        assert sample.files(at or root) == before
        return error

    return call


@pytest.fixture
def project(root: Path) -> Project:
    """The sample project in a repository of its own, to be changed at will."""
    return Project.find(root)


def _write_launcher(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m titlebout "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
