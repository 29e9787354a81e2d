"""Load a model whose pipeline may use code of the project."""

from pathlib import Path

from titlebout.models.artifact import Model, load_model
from titlebout.repository.project import Project


def load_project_model(project: Project, folder: Path) -> Model:
    """Make the project's code importable and load a model; raises the errors of :func:`load_model`."""
    project.add_source_to_path()
    return load_model(folder, project.settings.project.package)
