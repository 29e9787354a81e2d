"""A model of a project, whose own code may be part of it."""

from pathlib import Path

from titlebout.models.artifact import Model, load_model
from titlebout.repository.project import Project


def load_model_of(project: Project, folder: Path) -> Model:
    """Load a model of a project, whose own code may be part of it; raises what :func:`load_model` raises."""
    project.import_code()
    return load_model(folder, project.settings.project.package)
