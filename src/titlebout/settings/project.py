"""Table ``[project]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class ProjectSettings(Table):
    """Who this is."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,62}$", description="Name of the repository and of the service.")
    package: str = Field(pattern=r"^[a-z_][a-z0-9_]*$", description="Import name of the team's code under src/.")
    pipeline: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="The pipeline that commands use by default.")
