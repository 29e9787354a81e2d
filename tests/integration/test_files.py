"""Files that people write end as .editorconfig says."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN_BY_PROGRAMS = re.compile(r"(^|/)dvc-remote/|\.(lock|svg|parquet|png)$")


def text_files() -> list[Path]:
    """Every tracked file that a person writes; links are read where they lead."""
    ran = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in ran.stdout.split("\0") if name and not WRITTEN_BY_PROGRAMS.search(name)]
    return [path for name in names if (path := ROOT / name).is_file() and not path.is_symlink()]


def test_files_end_with_one_newline_and_lines_without_whitespace() -> None:
    faults = []
    for path in text_files():
        text = path.read_text("utf-8")
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            faults.append(f"{path.relative_to(ROOT)}: does not end with one newline")
        faults += [
            f"{path.relative_to(ROOT)}:{number}: whitespace at the end"
            for number, line in enumerate(text.split("\n"), 1)
            if line != line.rstrip()
        ]

    assert faults == []
