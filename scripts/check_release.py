"""Check that a tag, the version in pyproject.toml and the newest heading of CHANGELOG.md name the same release.

Run with ``python scripts/check_release.py v1.2.3``; it needs only Python. The release workflow runs it first.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def problems(tag: str, pyproject: str, changelog: str) -> list[str]:
    """Return the inconsistencies of a release; an empty list if it is consistent.

    Parameters
    ----------
    tag : str
        The tag, for example ``v1.2.3``.
    pyproject, changelog : str
        The text of ``pyproject.toml`` and ``CHANGELOG.md``.

    Returns
    -------
    list of str
        One sentence per problem.
    """
    version = tomllib.loads(pyproject)["project"]["version"]
    found = (
        []
        if VERSION.fullmatch(version)
        else [f"pyproject.toml: '{version}' is not a version such as 1.2.3 or 1.2.3rc1"]
    )
    if tag != f"v{version}":
        found.append(f"the tag is '{tag}', but the version in pyproject.toml is '{version}'")
    return found + _in_changelog(version, changelog)


def _in_changelog(version: str, changelog: str) -> list[str]:
    released = [(name, date) for name, date in HEADING.findall(changelog) if name != "Unreleased"]
    newest, date = released[0] if released else ("", "")
    if newest != version or not date:
        return [f"CHANGELOG.md: the newest release is not '## [{version}] - YYYY-MM-DD'"]
    found = []
    if not re.search(rf"^\[{re.escape(version)}\]: https://", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md: there is no link for [{version}] at the end")
    if _unreleased(changelog):
        found.append(f"CHANGELOG.md: entries are left under Unreleased; move them to {version}")
    return found


def _unreleased(changelog: str) -> bool:
    """Return whether the section Unreleased has an entry."""
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return section is not None and re.search(r"^[-*] ", section[1], re.MULTILINE) is not None


def main(arguments: list[str]) -> int:
    """Print the problems of a release.

    Parameters
    ----------
    arguments : list of str
        The tag, and nothing else.

    Returns
    -------
    int
        0 without problems, 1 with some, 2 without a tag.
    """
    if len(arguments) != 1:
        sys.stderr.write("usage: check_release.py TAG\n")
        return 2
    found = problems(arguments[0], *((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "CHANGELOG.md")))
    sys.stderr.writelines(f"error: {problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
