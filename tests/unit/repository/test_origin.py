"""A repository knows what it was generated from, and notices a changed library, however it got it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from titlebout import __version__
from titlebout.core.errors import ConfigError, DataError, NotFoundError, TitleboutError, UnsafeError
from titlebout.repository.origin import (
    ORIGIN_FILE,
    RELEASE_LOCK,
    SUMS_FILE,
    VENDORED,
    Origin,
    check_library,
    is_pinned,
    record,
    record_vendored,
    sums,
)

ANSWERS = {"project_name": 'Prévision "A" \\ b', "schedule": "daily"}
WHEEL = f"titlebout-{__version__}-py3-none-any.whl"


@pytest.fixture
def vendored(tmp_path: Path) -> Path:
    """A repository with a vendored library of three files."""
    library = tmp_path / VENDORED
    for name in ("README.md", "src/titlebout/a.py", "src/titlebout/b.py"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(f"# {name}\n", encoding="utf-8")
    record(tmp_path, "c" * 40, ANSWERS)
    return tmp_path


def release(root: Path, line: str, digest: str = "0" * 64) -> Path:
    (root / RELEASE_LOCK).write_text(f"{line} \\\n    --hash=sha256:{digest}\n", encoding="utf-8")
    return root


def test_what_was_recorded_is_what_is_read(vendored: Path) -> None:
    origin = Origin.read(vendored / ORIGIN_FILE)

    assert (origin.version, origin.commit, origin.answers) == (__version__, "c" * 40, ANSWERS)
    assert origin.vendor_sha256 == hashlib.sha256((vendored / VENDORED / SUMS_FILE).read_bytes()).hexdigest()


def test_an_unknown_commit_is_left_out(tmp_path: Path) -> None:
    record(tmp_path, "", {})

    assert "commit" not in (tmp_path / ORIGIN_FILE).read_text("utf-8")
    assert Origin.read(tmp_path / ORIGIN_FILE) == Origin(__version__, "", {})


def test_the_list_is_one_that_sha256sum_checks(vendored: Path) -> None:
    digest = hashlib.sha256(b"# README.md\n").hexdigest()

    assert sums(vendored / VENDORED).splitlines()[0] == f"{digest}  README.md"
    assert [line[66:] for line in sums(vendored / VENDORED).splitlines()] == [
        "README.md",
        "src/titlebout/a.py",
        "src/titlebout/b.py",
    ]


def test_bytecode_changes_nothing(vendored: Path) -> None:
    compiled = vendored / VENDORED / "src" / "titlebout" / "__pycache__" / "a.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"code")

    assert check_library(vendored, __version__).startswith(f"{VENDORED}, titlebout {__version__}, SHA-256 ")


def edit(library: Path) -> None:
    (library / "src/titlebout/a.py").write_text("# mine\n", encoding="utf-8")


def add(library: Path) -> None:
    (library / "src/titlebout/new.py").touch()


def rename(library: Path) -> None:
    (library / "README.md").rename(library / "readme.md")


@pytest.mark.parametrize(
    ("change", "names"),
    [(edit, "src/titlebout/a.py"), (add, "src/titlebout/new.py"), (rename, "README.md, readme.md")],
)
def test_a_changed_library_is_refused_by_the_names_of_its_files(
    vendored: Path, change: Callable[[Path], None], names: str
) -> None:
    change(vendored / VENDORED)

    with pytest.raises(UnsafeError, match=rf"^vendor/titlebout was changed: {names}$") as caught:
        check_library(vendored, __version__)
    assert "doctor --accept-vendor" in str(caught.value.fix)
    record_vendored(vendored)
    assert check_library(vendored, __version__)


def test_a_list_that_was_changed_with_the_files_does_not_help(vendored: Path) -> None:
    edit(vendored / VENDORED)
    (vendored / VENDORED / SUMS_FILE).write_text(sums(vendored / VENDORED), encoding="utf-8")

    with pytest.raises(UnsafeError, match=f"^vendor/titlebout was changed: {SUMS_FILE}$"):
        check_library(vendored, __version__)


def test_of_many_changed_files_some_are_named(vendored: Path) -> None:
    for number in range(8):
        (vendored / VENDORED / f"{number}.py").touch()

    with pytest.raises(UnsafeError, match=r"changed: 0\.py, 1\.py, 2\.py, 3\.py, 4\.py and 3 more$"):
        check_library(vendored, __version__)


def test_a_library_without_a_record_has_to_be_upgraded(vendored: Path) -> None:
    (vendored / ORIGIN_FILE).unlink()

    with pytest.raises(NotFoundError) as caught:
        check_library(vendored, __version__)
    assert "upgrade.md" in str(caught.value.fix)


@pytest.mark.parametrize("text", ["titlebout = 1", "[answers]", "[titlebout", "answers = {}\n[titlebout]\n"])
def test_a_malformed_record_is_named(vendored: Path, text: str) -> None:
    (vendored / ORIGIN_FILE).write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match=r"^\.titlebout\.toml is malformed$"):
        check_library(vendored, __version__)


def test_without_a_vendored_library_there_is_nothing_to_record(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="vendor/titlebout does not exist"):
        record_vendored(tmp_path)


def test_a_library_from_elsewhere_is_not_checked(tmp_path: Path) -> None:
    assert check_library(tmp_path, "1.2.3") == "titlebout 1.2.3, not part of this repository"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (f"titlebout=={__version__}", "a package index"),
        (f"titlebout @ https://example.org/x/{WHEEL}", f"https://example.org/x/{WHEEL}"),
    ],
)
def test_a_pinned_release_is_described(tmp_path: Path, line: str, place: str) -> None:
    release(tmp_path, line)

    assert is_pinned(tmp_path)
    assert check_library(tmp_path, __version__) == f"titlebout {__version__} from {place}, SHA-256 000000000000"


def test_the_file_of_a_release_has_the_pinned_hash(tmp_path: Path) -> None:
    file = tmp_path / "vendor" / WHEEL
    file.parent.mkdir()
    file.write_bytes(b"wheel")
    release(tmp_path, f"./vendor/{WHEEL}", hashlib.sha256(b"wheel").hexdigest())
    assert check_library(tmp_path, __version__).startswith(f"titlebout {__version__} from ./vendor/{WHEEL}, SHA-256 ")

    file.write_bytes(b"another wheel")
    with pytest.raises(UnsafeError, match="is not the file whose hash"):
        check_library(tmp_path, __version__)

    file.unlink()
    with pytest.raises(NotFoundError):
        check_library(tmp_path, __version__)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("titlebout==0.1.0\n", "make lock setup"),
        ("", "make lock setup"),
        ("titlebout==9 --hash=sha256:" + 64 * "0", "make setup"),
    ],
)
def test_a_release_that_is_not_pinned_or_not_installed_has_a_fix(tmp_path: Path, text: str, fix: str) -> None:
    (tmp_path / RELEASE_LOCK).write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        check_library(tmp_path, __version__)
    assert fix in str(caught.value.fix)
    assert isinstance(caught.value, TitleboutError)
