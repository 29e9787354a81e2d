"""Table ``[package]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import ADVANCED, Table


class PackageSettings(Table):
    """Packaging of the champion as a Bento and as a container image."""

    registry: str = Field(
        "",
        description="Container registry and path at the front of the image name, for example ghcr.io/acme. The image is "
        "built under this name and not pushed. Empty means a name without a registry.",
    )
    base_image: str = Field(
        "",
        json_schema_extra=ADVANCED,
        description="Base image of the container image. Empty means the official slim image of the Python version in "
        "use.",
    )
