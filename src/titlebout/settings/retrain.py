"""Table ``[retrain]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class RetrainSettings(Table):
    """What a retraining attempt does and where it goes."""

    min_new_rows: int = Field(500, ge=1, description="Fewer new rows than this are not worth an attempt.")
    base: str = Field("main", description="Branch that pull requests go to.")
    pr_labels: tuple[str, ...] = Field(("retrain",), description="Labels of the pull request.")
