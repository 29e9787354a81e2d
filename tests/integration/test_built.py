"""What is kept on disk for later runs: whole, built once however many ask, and anew when its sources change."""

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from built import KEPT_SECONDS, built, content_key


def build(folder: Path) -> None:
    """Note who builds, and be slow enough for others to ask meanwhile."""
    with (folder.parent / "builders").open("a") as file:
        file.write(f"{os.getpid()}\n")
    (folder / "first").write_text("1")
    (folder / "second").write_text("2")


def die(folder: Path) -> None:
    (folder / "first").write_text("half")
    os._exit(9)


def ask(cache: Path, source: Path) -> list[str]:
    return sorted(path.name for path in built(cache, "made", build, source).iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.write_text("one")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def builders(cache: Path) -> int:
    return len((cache / "builders").read_text().splitlines())


def test_the_same_sources_are_built_once(cache: Path, source: Path) -> None:
    folder = built(cache, "made", build, source)

    assert built(cache, "made", build, source) == folder
    assert builders(cache) == 1


def test_changed_sources_are_built_anew(cache: Path, source: Path) -> None:
    first = built(cache, "made", build, source)
    source.write_text("two")

    assert built(cache, "made", build, source) != first
    assert builders(cache) == 2


def test_processes_that_ask_together_get_one_whole_build(cache: Path, source: Path) -> None:
    with get_context("spawn").Pool(4) as pool:
        found = pool.starmap(ask, [(cache, source)] * 8)

    assert found == [["first", "second"]] * 8
    assert builders(cache) == 1


def test_a_build_that_fails_is_never_used(cache: Path, source: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "first").write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        built(cache, "made", fail, source)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []

    assert ask(cache, source) == ["first", "second"]


def test_a_killed_build_is_neither_used_nor_waited_for(cache: Path, source: Path) -> None:
    child = get_context("spawn").Process(target=built, args=(cache, "made", die, source))
    child.start()
    child.join()
    assert child.exitcode == 9

    assert ask(cache, source) == ["first", "second"]


def test_entries_unused_for_a_week_are_removed(cache: Path, source: Path) -> None:
    old, new = (cache / name for name in ("made-old", "made-new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, old.stat().st_mtime - KEPT_SECONDS - 60))
    built(cache, "made", build, source)

    assert (old.exists(), new.exists()) == (False, True)


def test_a_key_is_of_names_and_contents_but_not_of_bytecode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("1")
    before = content_key(tmp_path)
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "one.pyc").write_text("1")
    assert content_key(tmp_path) == before

    (tmp_path / "a" / "one.py").rename(tmp_path / "a" / "two.py")
    moved = content_key(tmp_path)
    (tmp_path / "a" / "two.py").write_text("2")

    assert len({before, moved, content_key(tmp_path)}) == 3
