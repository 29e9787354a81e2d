"""DVC's own files, beside what is computed without DVC."""

from pathlib import Path

import sample
from titlebout.repository.dvc_files import folder_digest, parse_dvc_file


def test_a_folders_digest_is_the_one_dvc_writes(tmp_path: Path) -> None:
    """Names that sort differently as text, as path and by letter case; files without content, and the same twice."""
    folders = {
        "flat": {"b.csv": "1", "a.csv": "2", "B.csv": "1", "ä.csv": ""},
        "deep": {"a/b": "1", "a.b": "2", "a/b.c/d": "1", "a-b": "3", "a0": "4"},
        "one": {"line ends": "a\r\nb\n"},
    }
    sample.git(tmp_path, "init", "--quiet")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(sample.FILES[".dvc/config"])
    for folder, files in folders.items():
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    sample.dvc(tmp_path, "add", "--quiet", *folders)

    for folder, files in folders.items():
        recorded = parse_dvc_file((tmp_path / f"{folder}.dvc").read_text(), folder)
        assert recorded.md5 == folder_digest(tmp_path / folder), folder
        assert recorded.nfiles == len(files)


def test_the_sample_without_dvc_is_tracked_as_dvc_tracks_it(repository: Path, tmp_path: Path) -> None:
    plain = sample.write_tracked(tmp_path / "plain")

    assert (plain / "data.dvc").read_bytes() == (repository / "data.dvc").read_bytes()
