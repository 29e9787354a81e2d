"""The documentation site: it builds from the files of the repository, and a link that leads nowhere ends the build."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of."""
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        shutil.copy(path, tmp_path)
    for name in ("src", "benchmarks", "pyproject.toml", ".github", "cookiecutter", "tests", "demo", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    return subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict"],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


class Loads(HTMLParser):
    """The addresses that a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses.append(dict(attrs).get(LOADED.get(tag, ""), "") or "")


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(copy: Path) -> None:
    ran = build(copy)
    assert ran.returncode == 0, ran.stderr
    site = copy / "build" / "site"
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    missing = [page for page in pages if page.name != "README" and not (site / page / "index.html").is_file()]
    assert missing == []
    assert all((site / name / "index.html").is_file() for name in ("changelog", "contributing", "security"))
    assert (site / "search" / "search_index.json").is_file()

    for path in site.rglob("*.html"):
        page = Loads()
        page.feed(path.read_text("utf-8"))
        assert [address for address in page.addresses if re.match(r"(https?:)?//", address)] == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//", path.read_text("utf-8")) == [], path


def test_every_link_that_leads_nowhere_is_named_and_ends_the_build(copy: Path) -> None:
    links = ["roll-back.md#no-such-heading", "no-such-page.md", "../../no-such-file.toml", "/absolute.md"]
    page = copy / "docs" / "how-to" / "add-a-check.md"
    page.write_text("\n\n".join([page.read_text("utf-8"), *(f"[a]({link})" for link in links)]), encoding="utf-8")
    (page.parent / "lost.md").write_text("# In no navigation\n", encoding="utf-8")

    ran = build(copy)

    assert ran.returncode == 1
    warnings = [line for line in ran.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == len(links) + 1, warnings
    for name in ("#no-such-heading", "no-such-page.md", "no-such-file.toml", "/absolute.md", "how-to/lost.md"):
        assert name in ran.stderr
