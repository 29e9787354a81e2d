"""The repository on disk: project, git and DVC."""
