"""Table ``[drift]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import ADVANCED, Table


class DriftSettings(Table):
    """Location of current data, and the thresholds at which it counts as drifted from the reference data."""

    current: str = Field(
        "incoming",
        description="Location of current data, the rows that arrive after training: a folder or glob of CSV, Parquet or "
        "JSONL files, an object store or web URL of such files (s3://, gs://, https://), or a database URL "
        "(postgresql+psycopg://). ${NAME} is replaced with the environment variable NAME.",
    )
    window_days: int = Field(
        28,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Length in days of the window of current data that is compared with the reference data (the champion's "
        "training rows), counted back from the newest row. Without a time column all current rows are compared.",
    )
    min_rows: int = Field(
        100,
        ge=2,
        json_schema_extra=ADVANCED,
        description="Smallest number of rows that both the current and the reference data must have to be compared. With "
        "fewer rows the verdict is insufficient_data.",
    )
    entity: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Columns that identify the entity of a row, such as a customer with many rows. Only one row of each "
        "entity is compared, because dependent rows cause false alarms. If empty, split.entity of params.yaml is used if "
        "split.by is hash; otherwise all rows are compared.",
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
        "deviations of the reference data (IQR/1.349, at most the standard deviation). The threshold is raised for a "
        "column that varies more between windows of the reference data.",
    )
    min_effect_categorical: float = Field(
        0.05,
        gt=0,
        json_schema_extra=ADVANCED,
        description="Smallest Jensen-Shannon distance (natural logarithm) at which a categorical column can count as "
        "drifted. The threshold is raised for a column that varies more between windows of the reference data.",
    )
    min_importance: float = Field(
        0.01,
        ge=0,
        lt=1,
        json_schema_extra=ADVANCED,
        description="Smallest share of the champion's total permutation importance that a column must have for its drift "
        "to lead to the verdict drift. Drift of a less important column is only reported.",
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
