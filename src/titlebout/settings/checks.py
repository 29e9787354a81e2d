"""Table ``[checks]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class ChecksSettings(Table):
    """Data validation with Great Expectations, run before training and on newly arrived data."""

    suite: str = Field(
        description="Path of the Great Expectations suite (a JSON file) that the data must satisfy, "
        "relative to the root of the repository."
    )
