"""A link of a page works on the forge and on the site."""

import logging
import re
from pathlib import Path

import pytest

from docs_hooks import CODE, ROOT, TOP_PAGES, site_link

FORGE = "https://forge.example/owner/name"
LINKS = {
    "a page beside it": ("docs/how-to/add-a-check.md", "roll-back.md", "roll-back.md"),
    "a page with an anchor": (
        "docs/how-to/add-a-check.md",
        "../reference/cli.md#titlebout-new",
        "../reference/cli.md#titlebout-new",
    ),
    "an anchor of the page": ("docs/how-to/add-a-check.md", "#the-suite", "#the-suite"),
    "an address": ("docs/README.md", "https://dvc.org/doc#x", "https://dvc.org/doc#x"),
    "a mail address": ("docs/README.md", "mailto:a@example.org", "mailto:a@example.org"),
    "a page at the top": ("docs/README.md", "../CONTRIBUTING.md", "contributing.md"),
    "a page at the top, from a folder": ("docs/how-to/roll-back.md", "../../CHANGELOG.md#a", "../changelog.md#a"),
    "from the top": ("CONTRIBUTING.md", "docs/how-to/roll-back.md", "how-to/roll-back.md"),
    "from top to top": ("CONTRIBUTING.md", "CHANGELOG.md", "changelog.md"),
    "an image from the top": ("CONTRIBUTING.md", "docs/images/gains.svg", "images/gains.svg"),
    "a file of the repository": (
        "docs/explanation/when-to-retrain.md",
        "../../pyproject.toml",
        f"{FORGE}/blob/main/pyproject.toml",
    ),
    "a line of a file": ("CONTRIBUTING.md", "pyproject.toml#L3", f"{FORGE}/blob/main/pyproject.toml#L3"),
    "a folder of the repository": ("CONTRIBUTING.md", "src/titlebout/", f"{FORGE}/tree/main/src/titlebout"),
    "a folder of the docs": ("docs/README.md", "decisions/", f"{FORGE}/tree/main/docs/decisions"),
}


@pytest.mark.parametrize(("source", "link", "expected"), LINKS.values(), ids=LINKS)
def test_a_link_leads_to_the_page_or_to_the_forge(
    source: str, link: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert site_link(source, link, FORGE) == expected
    assert caplog.records == []


def test_a_link_to_a_missing_file_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    site_link("docs/README.md", "../nothing.md", FORGE)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "docs/README.md: the target of the link ../nothing.md does not exist" in record.getMessage()


@pytest.mark.parametrize("code", ["`[a](b.md)`", "```md\n[a](b.md)\n```", "    ```md\n    [a](b.md)\n    ```"])
def test_links_in_code_are_no_links(code: str) -> None:
    assert CODE.split(f"before\n{code}\nafter")[1::2] == [code]


def test_a_block_of_code_in_a_list_is_indented_by_four_spaces() -> None:
    """The forge takes two or three as well; the site would put the block after the list."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in TOP_PAGES)]
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in pages
        for line in path.read_text("utf-8").splitlines()
        if re.match(r" {1,3}```| {5,7}```", line)
    ]

    assert found == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder: Path = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text("utf-8")

    for path in sorted(folder.glob("0*.md")):
        number, _, title = path.read_text("utf-8").splitlines()[0].removeprefix("# ").partition(". ")
        assert f"\n{number}. [{title}]({path.name})\n" in listed
        assert path.name.startswith(f"{int(number):04}-")
