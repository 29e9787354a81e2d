"""Table ``[retrain]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import ADVANCED, Table


class RetrainSettings(Table):
    """Retraining attempts and the pull request that proposes their result."""

    min_new_rows: int = Field(
        500,
        ge=1,
        description="Smallest number of new labeled rows for a retraining attempt, whatever triggered it.",
    )
    base: str = Field(
        "main",
        description="Branch into which the retrain pull request is to be merged. Its champion is the one to which a "
        "challenger is compared.",
    )
    pr_labels: tuple[str, ...] = Field(
        ("retrain",),
        json_schema_extra=ADVANCED,
        description="Labels to put on the retrain pull request. An empty list means no labels.",
    )
