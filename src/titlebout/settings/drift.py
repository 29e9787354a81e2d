"""Table ``[drift]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import ADVANCED, Table


class DriftSettings(Table):
    """Location of current data, and the thresholds at which it counts as drifted from the reference data."""

    current: str = Field(
        "incoming",
        description="Location of current data: a folder or glob of CSV, Parquet or JSONL files, the same in an object "
        "store (s3://, gs://, https://), or a database URL (postgresql+psycopg://). ${NAME} is replaced by the "
        "environment variable NAME.",
    )
    window_days: int = Field(
        28,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Length in days of the window of current data that is compared with the reference data, counted "
        "back from the newest row. Without a time column all current rows are compared.",
    )
    min_rows: int = Field(
        100,
        ge=2,
        json_schema_extra=ADVANCED,
        description="Smallest number of rows, in the current and in the reference data each, for a comparison. "
        "With fewer rows the verdict is insufficient_data.",
    )
    entity: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Columns that identify the entity of a row, such as a customer with many rows. Only one row of each "
        "entity is compared, because dependent rows cause false alarms. Empty means split.entity of params.yaml if the "
        "holdout is split by hash, otherwise all rows.",
    )
    false_discovery_rate: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        json_schema_extra=ADVANCED,
        description="Accepted false discovery rate (Benjamini-Hochberg) over the tests of all columns. "
        "A smaller value gives fewer false alarms and detects less drift.",
    )
    min_effect_numeric: float = Field(
        0.10,
        gt=0,
        json_schema_extra=ADVANCED,
        description="Smallest Wasserstein distance at which a numeric column can count as drifted, in robust standard "
        "deviations of the reference. The threshold is higher for a column that varies more within the reference.",
    )
    min_effect_categorical: float = Field(
        0.05,
        gt=0,
        json_schema_extra=ADVANCED,
        description="Smallest Jensen-Shannon distance (natural logarithm) at which a categorical column can count as "
        "drifted. The threshold is higher for a column that varies more within the reference.",
    )
    min_importance: float = Field(
        0.01,
        ge=0,
        lt=1,
        json_schema_extra=ADVANCED,
        description="Smallest share of the champion's total permutation importance at which drift of a column leads to "
        "the verdict drift. Drift of a less important column is only reported.",
    )
    domain_classifier: bool = Field(
        False,
        json_schema_extra=ADVANCED,
        description="Whether to also train a classifier to separate reference rows from current rows. Detects joint "
        "changes that no single column shows, and takes longer.",
    )
    ignore: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Columns to leave out of the comparison because they are expected to change. "
        "The time column, the entity columns and the columns in sources.id are always left out.",
    )
