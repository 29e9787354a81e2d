"""Table ``[drift]`` of ``titlebout.toml``."""

from pydantic import Field

from titlebout.settings.table import Table


class DriftSettings(Table):
    """Where current data comes from and when it counts as different from the reference."""

    current: str = Field(
        "incoming",
        description="Where current data arrives: a folder or glob of CSV, parquet or JSONL files, the same in a bucket "
        "(s3://, gs://, https:// ...), or a database (postgresql+psycopg://...). ${NAME} stands for an environment variable.",
    )
    window_days: int = Field(28, ge=1, description="Rows of the last so many days are compared (with a time column).")
    min_rows: int = Field(100, ge=2, description="Fewer rows than this, on either side, are inconclusive.")
    entity: tuple[str, ...] = Field(
        (),
        description="Columns that name whom a row is about, when several rows are about one: one row of each is compared. "
        "Empty: what `split.entity` in params.yaml names.",
    )
    false_discovery_rate: float = Field(0.01, gt=0, lt=0.5, description="Benjamini-Hochberg level over all columns.")
    min_effect_numeric: float = Field(
        0.10, gt=0, description="Smallest Wasserstein distance, in robust sds, that counts."
    )
    min_effect_categorical: float = Field(0.05, gt=0, description="Smallest Jensen-Shannon distance that counts.")
    min_importance: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Share of the champion's permutation importance below which a column that drifts is told, but does "
        "not make the verdict *drift*.",
    )
    domain_classifier: bool = Field(
        False, description="Also let a classifier try to tell both sides apart: finds columns that changed together."
    )
    ignore: tuple[str, ...] = Field((), description="Columns that are expected to change.")
