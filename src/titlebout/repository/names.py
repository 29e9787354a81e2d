"""Names in a git repository that several projects may share."""

import re
from hashlib import sha256

from titlebout.repository.git import Git
from titlebout.repository.project import Project


def pipeline_name(project: Project, git: Git) -> str:
    """Return the name of the project's pipeline, unique in the git repository and valid in refs and branch names.

    ``churn`` in the top folder of the repository, ``churn@ml`` in its folder ``ml``. A path of more
    than 40 characters, or of others than letters, digits, underscores and hyphens, is shortened and distinguished by a hash.
    """
    folder = git.path_of(project.root)
    if folder == ".":
        return project.pipeline
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}", folder):
        return f"{project.pipeline}@{folder}"
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", folder).strip("-")[-40:]
    return f"{project.pipeline}@{slug}-{sha256(folder.encode()).hexdigest()[:8]}".replace("@-", "@")


def retrain_branch(project: Project, git: Git) -> str:
    """Return the branch of the project's retrain pull request."""
    return f"retrain/{pipeline_name(project, git)}"
