"""Child processes: exact output, and no descendant that outlives the command."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from titlebout.core import process
from titlebout.core.errors import NotFoundError, TemporaryError

# A parent that starts a child of its own, which ignores SIGTERM; the parent writes both process ids to a file.
FAMILY = """
import os, pathlib, signal, subprocess, sys, time
grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", grandchild], stdout=subprocess.PIPE if len(sys.argv) > 2 else None)
if child.stdout: child.stdout.readline()
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(0 if sys.argv[-1] == "leave" else 600)
"""
PR_SET_CHILD_SUBREAPER = 36  # from linux/prctl.h
pytestmark = pytest.mark.timeout(120)  # whoever waits for what does not come, fails


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def family(path: Path) -> list[int]:
    """Wait until the family is there, and return the ids of its members."""
    while not (path.exists() and (pids := path.read_text().split())):
        time.sleep(0.02)
    return [int(pid) for pid in pids]


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)


def test_output_and_errors_are_returned_separately() -> None:
    completed = process.run(python("import sys; print('out'); print('err', file=sys.stderr)"))

    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "out\n", "err\n")


def test_arguments_are_not_interpreted_by_a_shell() -> None:
    nasty = "$(touch pwned); `touch pwned` && > pwned"
    completed = process.run(python("import sys; print(sys.argv[1])", nasty))

    assert completed.stdout == nasty + "\n"


def test_a_failure_has_its_command_code_and_last_lines() -> None:
    script = "import sys; [print(i, file=sys.stderr) for i in range(100)]; sys.exit(3)"

    with pytest.raises(process.ProcessError, match="ended with exit code 3") as caught:
        process.run(python(script))

    assert str(caught.value.where).startswith(sys.executable)
    assert str(caught.value.why).splitlines() == [str(i) for i in range(80, 100)]
    assert caught.value.completed.returncode == 3


def test_a_failure_without_output_says_so() -> None:
    with pytest.raises(process.ProcessError) as caught:
        process.run(["false"])

    assert caught.value.why == "it wrote no output"


def test_without_check_a_failure_is_a_return_code() -> None:
    assert process.run(["false"], check=False).returncode == 1


def test_a_missing_program_is_a_not_found_error() -> None:
    with pytest.raises(NotFoundError, match="cannot start titlebout-no-such-program"):
        process.run(["titlebout-no-such-program"])


def test_invalid_utf8_becomes_replacement_characters() -> None:
    script = "import sys; sys.stdout.buffer.write(b'caf\\xe9\\n'); sys.stderr.buffer.write(b'\\xff\\n')"
    completed = process.run(python(script))

    assert (completed.stdout, completed.stderr) == ("caf\N{REPLACEMENT CHARACTER}\n", "\N{REPLACEMENT CHARACTER}\n")


def test_children_use_utf8_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")

    assert process.run(python("print('Ålesund')")).stdout == "Ålesund\n"


@pytest.mark.parametrize(("option", "stream"), [("on_line", "stderr"), ("on_output", "stdout")])
def test_lines_arrive_while_the_child_runs(option: str, stream: str, tmp_path: Path) -> None:
    """The child waits for an answer to its first line before it writes the second."""
    answer = tmp_path / "answer"
    script = f"""
import pathlib, sys, time
print("one", file=sys.{stream}, flush=True)
while not pathlib.Path({str(answer)!r}).exists():
    time.sleep(0.02)
print("two", file=sys.{stream})
"""
    heard: list[str] = []

    def listen(line: str) -> None:
        heard.append(line)
        answer.touch()

    watch: dict[str, Any] = {option: listen}
    completed = process.run(python(script), **watch)

    assert heard == ["one", "two"]
    assert getattr(completed, stream) == "one\ntwo\n"


def test_a_failing_progress_callback_does_not_stop_the_child(caplog: pytest.LogCaptureFixture) -> None:
    def broken_pipe(line: str) -> None:
        raise BrokenPipeError(f"cannot write {line!r}")

    script = "import sys\nfor i in range(50_000): print('a long enough line', file=sys.stderr)"
    completed = process.run(python(script), on_line=broken_pipe, timeout=30)

    assert len(completed.stderr.splitlines()) == 50_000
    assert len(caplog.records) == 1


def test_a_stream_that_an_interrupt_has_closed_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    stream = os.fdopen(reading)
    stream.close()

    process._read(stream, [], None).join()  # pytest reports an exception in the thread as an error of this test


def test_large_output_on_both_streams_does_not_block() -> None:
    script = "import sys\nfor i in range(20_000): print('x' * 50); print('y' * 50, file=sys.stderr)"
    completed = process.run(python(script), timeout=30)

    assert len(completed.stdout) == len(completed.stderr) == 51 * 20_000


def test_a_child_reads_empty_input() -> None:
    reading, writing = os.pipe()
    saved = os.dup(0)
    os.dup2(reading, 0)  # like a terminal without input
    try:
        completed = process.run(python("import sys; print(repr(sys.stdin.read()))"), timeout=10)
    finally:
        os.dup2(saved, 0)
        for descriptor in (reading, writing, saved):
            os.close(descriptor)

    assert completed.stdout == "''\n"


def test_a_timeout_terminates_all_descendants(tmp_path: Path) -> None:
    with pytest.raises(TemporaryError, match="did not finish within 1 seconds") as caught:
        process.run(python(FAMILY, str(tmp_path / "pids"), "quiet", "stay"), timeout=1)

    assert caught.value.exit_code == 75
    assert not any(alive(pid) for pid in family(tmp_path / "pids"))


def test_an_interrupt_terminates_all_descendants(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    threading.Thread(target=lambda: (family(path), os.kill(os.getpid(), signal.SIGINT))).start()

    with pytest.raises(KeyboardInterrupt):
        process.run(python(FAMILY, str(path), "quiet", "stay"))

    assert not any(alive(pid) for pid in family(path))


def test_an_error_while_a_child_runs_terminates_all_descendants(tmp_path: Path) -> None:
    path = tmp_path / "pids"

    def fail() -> None:
        with process.start(python(FAMILY, str(path), "quiet", "stay")):
            family(path)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not any(alive(pid) for pid in family(path))


def test_a_descendant_that_outlives_its_parent_is_ended_too(tmp_path: Path) -> None:
    """It holds the pipes open for ten minutes: a reader that waited for their end would wait for it."""
    completed = process.run(python(FAMILY, str(tmp_path / "pids"), "leave"))

    assert completed.returncode == 0
    assert not any(alive(pid) for pid in family(tmp_path / "pids"))


def test_dead_descendants_without_a_parent_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the first process is often one that does not care for orphans."""
    monkeypatch.setattr(process, "GRACE_SECONDS", float("inf"))
    script = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        orphan = int(process.run(python(script)).stdout)

        assert os.waitpid(orphan, os.WNOHANG) == (orphan, signal.SIGTERM)  # it lay there all the time
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_programs_of_this_interpreter_come_first_on_path(tmp_path: Path) -> None:
    environment = process.child_environment({"EXTRA": "1"})

    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["EXTRA"] == "1"
    assert process.run(python("import os; print(os.environ['EXTRA'])"), env={"EXTRA": "2"}).stdout == "2\n"


def test_a_child_runs_in_the_given_folder(tmp_path: Path) -> None:
    assert process.run(["pwd"], cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_the_token_is_not_passed_to_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLEBOUT_TOKEN", "secret")
    script = "import os; print(os.environ.get('TITLEBOUT_TOKEN'))"

    assert process.run([sys.executable, "-c", script]).stdout == "None\n"


def test_an_error_that_a_child_reports_is_left_to_its_parent() -> None:
    shown: list[str] = []
    text = "Running\nerror: no\n  where: here\n  fix: it\n::error title=t::no\nERROR: failed to reproduce 'train': x\n  done\nnext"
    script = f"import sys; sys.stderr.write({text!r})"
    process.run([sys.executable, "-c", script], on_line=process.without_errors(shown.append))

    assert shown == ["Running", "next"]
    assert process.without_errors(None) is None
