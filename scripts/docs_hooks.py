"""Hooks of MkDocs: the pages of the site are the files that the forge shows, with links that work in both places.

In a file a link is relative, as the forge wants it. On the site a link to a page stays relative, and a link to anything else
in the repository leads to the forge.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages that stand at the top of the repository, because the forge looks for them there, and where the site has them.
TOP_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")

log = get_plugin_logger(__name__)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that stand at the top of the repository.

    Parameters
    ----------
    files : Files
        What MkDocs found in ``docs/``.
    config : MkDocsConfig
        The configuration of the site.

    Returns
    -------
    Files
        The same, with more pages.
    """
    for name, page in TOP_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs passes it by name
    """Return a page with the links of the site.

    Parameters
    ----------
    markdown : str
        The page with the links of the forge.
    page : Page
        The page.
    config : MkDocsConfig
        The configuration of the site.
    files : Files
        All files of the site.

    Returns
    -------
    str
        The page, changed in its links alone.
    """
    at_top = {path: name for name, path in TOP_PAGES.items()}
    source = at_top.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = CODE.split(markdown)  # every second part is code
    parts[::2] = [LINK.sub(lambda link: site_link(source, link[0], config.extra["forge"]), text) for text in parts[::2]]
    return "".join(parts)


def site_link(source: str, link: str, forge: str) -> str:
    """Return where a link of a file leads to on the site.

    Parameters
    ----------
    source : str
        The file with the link, from the top of the repository.
    link : str
        The link as the file has it.
    forge : str
        The address of the repository.

    Returns
    -------
    str
        The same link, or one relative to the page, or one to the forge. A missing file is a warning, which ends a strict build.
    """
    name, mark, anchor = link.partition("#")
    if not name or re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
    page = _page(target)
    if page:
        return posixpath.relpath(page, posixpath.dirname(_page(source)) or ".") + mark + anchor
    if not (ROOT / target).exists():
        log.warning("%s: the link to %s leads nowhere", source, link)
    kind = "tree" if (ROOT / target).is_dir() else "blob"
    return f"{forge}/{kind}/main/{target}{mark}{anchor}"


def _page(name: str) -> str:
    """Return the place of a file on the site, or nothing for a file that the site does not have."""
    if name.startswith("docs/") and (ROOT / name).is_file():
        return name.removeprefix("docs/")
    return TOP_PAGES.get(name, "")
