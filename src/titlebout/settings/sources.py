"""Table ``[sources]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import ADVANCED, Table


class SourcesSettings(Table):
    """How current data is read and joined with its labels. The key `drift.current` sets its location."""

    query: str = Field(
        "",
        json_schema_extra=ADVANCED,
        description="Table name or SELECT statement that returns the current rows. Required if drift.current is a "
        "database URL, otherwise unused.",
    )
    id: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Columns whose values together identify a row, used to recognize rows that were already added and "
        "to join labels. Empty means that two rows are the same if all their values are equal.",
    )
    labels: str = Field(
        "",
        json_schema_extra=ADVANCED,
        description="Location of labels that arrive separately from the rows: a path or URL as in drift.current, with "
        "the columns in sources.id and the target. Empty means that the current rows contain their labels.",
    )
    labels_query: str = Field(
        "",
        json_schema_extra=ADVANCED,
        description="Table name or SELECT statement that returns the labels. Required if sources.labels is a database "
        "URL, otherwise unused.",
    )
    allowed_lateness_days: int = Field(
        28,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Allowed lateness in days: a new row is dropped if it is older than the newest tracked row by more "
        "than this. Must be longer than labels take to arrive, because a row is added only with its label.",
    )
    max_mb: int = Field(
        2000,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Largest total size in megabytes that may be downloaded from one object store location in one run. "
        "A larger download is an error.",
    )
    max_rows: int = Field(
        10_000_000,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Largest number of rows that one database query may return. A larger result is an error.",
    )
