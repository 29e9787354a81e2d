"""Table ``[sources]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class SourcesSettings(Table):
    """How current data is read and gets its labels; `drift.current` says where it is."""

    query: str = Field("", description="drift.current is a database: the table, or the SELECT, that gives the rows.")
    id: tuple[str, ...] = Field((), description="Columns that name a row; empty: a row is told by all its values.")
    labels: str = Field(
        "",
        description="Where labels arrive when current data comes without: as in drift.current, with the columns of "
        "sources.id and the target. Empty: labels come with the rows.",
    )
    labels_query: str = Field(
        "", description="sources.labels is a database: the table or SELECT that gives the labels."
    )
    allowed_lateness_days: int = Field(
        28, ge=0, description="A row, or its label, may come up to so many days after rows that are newer."
    )
    max_mb: int = Field(2000, ge=1, description="Most that is fetched from a bucket, in megabytes.")
    max_rows: int = Field(10_000_000, ge=1, description="Most rows that are read from a database.")
