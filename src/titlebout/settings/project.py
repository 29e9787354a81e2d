"""Table ``[project]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class ProjectSettings(Table):
    """Names of the project, its Python package and its default pipeline."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]{1,62}$",
        description="Name of the project, used as the name of the prediction service and its container image. Lowercase "
        "letters, digits and hyphens, starting with a letter.",
    )
    package: str = Field(
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="Import name of the Python package under src/ that holds the feature and model code. Lowercase letters, "
        "digits and underscores.",
    )
    pipeline: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        description="Default pipeline: the name of a folder under pipelines/. "
        "Commands use it unless the option --pipeline names a different one. Lowercase letters, digits and hyphens, starting "
        "with a letter.",
    )
