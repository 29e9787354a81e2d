"""Table ``[package]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class PackageSettings(Table):
    """How the champion is packaged."""

    registry: str = Field("", description="Container registry and path, for example ghcr.io/acme; empty: no push.")
    base_image: str = Field(
        "", description="Image that the container image is built on; empty: the slim image of this Python version."
    )
