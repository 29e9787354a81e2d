"""Table ``[checks]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class ChecksSettings(Table):
    """What data has to satisfy before anything is trained on it."""

    suite: str = Field(description="Great Expectations suite (JSON), relative to the repository.")
