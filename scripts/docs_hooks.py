"""Hooks of MkDocs that build the site from the Markdown files of the repository, with links that work on both.

In a file, links are relative, as GitHub requires. On the site, a link to a page stays relative, and a link to any other
file of the repository becomes a URL on GitHub.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages at the top of the repository, where GitHub expects them: file to page of the site.
TOP_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")

log = get_plugin_logger(__name__)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the repository.

    Parameters
    ----------
    files : Files
        Files in ``docs/``.
    config : MkDocsConfig
        The configuration of the site.

    Returns
    -------
    Files
        The files with the added pages.
    """
    for name, page in TOP_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs passes it by name
    """Convert the links of a page for the site.

    Parameters
    ----------
    markdown : str
        Text of the page, with relative links.
    page : Page
        The page.
    config : MkDocsConfig
        The configuration of the site.
    files : Files
        All files of the site.

    Returns
    -------
    str
        Text of the page, with the links of the site.
    """
    at_top = {path: name for name, path in TOP_PAGES.items()}
    source = at_top.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = CODE.split(markdown)  # every second part is code
    parts[::2] = [LINK.sub(lambda link: site_link(source, link[0], config.extra["forge"]), text) for text in parts[::2]]
    return "".join(parts)


def site_link(source: str, link: str, forge: str) -> str:
    """Convert a link of a file for the site.

    Parameters
    ----------
    source : str
        Path of the file with the link, relative to the repository.
    link : str
        Link in the file.
    forge : str
        URL of the repository.

    Returns
    -------
    str
        A relative link to a page, or a URL of the repository. A missing file is a warning, which fails a strict build.
    """
    name, mark, anchor = link.partition("#")
    if not name or re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    page = _page(target)
    if page:
        return posixpath.relpath(page, posixpath.dirname(_page(source)) or ".") + mark + anchor
    if not (ROOT / target).exists():
        log.warning("%s: the target of the link %s does not exist", source, link)
    kind = "tree" if (ROOT / target).is_dir() else "blob"
    return f"{forge}/{kind}/main/{target}{mark}{anchor}"


def _page(name: str) -> str:
    """Return the page of a file on the site, or an empty string if the site does not have it."""
    if name.startswith("docs/") and (ROOT / name).is_file():
        return name.removeprefix("docs/")
    return TOP_PAGES.get(name, "")
