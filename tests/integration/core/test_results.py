"""A result file as another process sees it: whole or as before."""

from pathlib import Path

from titlebout.core import process
from titlebout.core.results import write_text_atomically


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = write_text_atomically(tmp_path / "report.txt", "a" * 300_000)
    writer = (
        "import itertools, pathlib, titlebout.core.results as r\n"
        "for letter in itertools.islice(itertools.cycle('ab'), 60):\n"
        f"    r.write_text_atomically(pathlib.Path({str(path)!r}), letter * 300_000)\n"
    )
    seen = set()
    with process.start(["python", "-c", writer]) as child:
        while child.poll() is None:
            text = path.read_text()
            seen.add((len(text), len(set(text))))
        assert child.returncode == 0

    assert seen == {(300_000, 1)}


def test_a_failed_write_keeps_the_old_content_and_says_where(tmp_path: Path) -> None:
    path = write_text_atomically(tmp_path / "report.md", "old")
    # The only size limit that a process can set on its own writes.
    script = (
        "import pathlib, resource, signal, sys, titlebout.core.results as r\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        f"    r.write_text_atomically(pathlib.Path({str(path)!r}), 'new' * 1000)\n"
        "except r.DiskError as error:\n"
        "    sys.exit(f'{error.where}: {error.why}')\n"
    )
    completed = process.run(["python", "-c", script], check=False)

    assert "File too large" in completed.stderr
    assert str(path) in completed.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
