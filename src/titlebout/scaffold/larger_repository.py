"""Fit a new project into the larger git repository that contains its folder."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from titlebout.core.results import write_text_atomically
from titlebout.forge.workflow_files import place
from titlebout.repository.git import Git
from titlebout.settings.addresses import SETTINGS_FILE

_BASE = 'base = "main" '  # as generated


@dataclass(frozen=True)
class Placement:
    """Place of a new project in its git repository.

    Attributes
    ----------
    notes : tuple of str
        What was adapted to the repository; empty in a repository of its own.
    added : str
        Arguments of ``git add`` that stage the project and nothing else.
    """

    notes: tuple[str, ...] = ()
    added: str = "-A"


def fit_in(root: Path) -> Placement:
    """Copy the project's workflows to the top folder of its git repository, and set its base branch.

    Parameters
    ----------
    root : Path
        Folder of the new project, inside a git repository.
    """
    git = Git.find(root)
    if git.root == root:
        return Placement()
    settings = (root / SETTINGS_FILE).read_text(encoding="utf-8")
    write_text_atomically(
        root / SETTINGS_FILE, settings.replace(_BASE, f"base = {json.dumps(git.default_branch, ensure_ascii=False)} ")
    )
    blocked = place(root, git.root)
    notes = [
        f"a folder of the git repository {git.root}, whose .github/ has a copy of the project's workflows and Actions",
        f"retrain pull requests are merged into {git.default_branch}; retrain.base in titlebout.toml sets another branch",
        *(f"not copied, because another file has this name: .github/{name}; rename that file" for name in blocked),
    ]
    return Placement(tuple(notes), shlex.join(["-A", "--", ".", os.path.relpath(git.root / ".github", root)]))
