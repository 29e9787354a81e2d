"""All tables of a pipeline's ``params.yaml``."""

from typing import Any, Literal

from pydantic import Field, field_validator

from titlebout.settings.column_type import ColumnType
from titlebout.settings.table import ADVANCED, Table, positive

PARAMS_FILE = "params.yaml"


class DataParams(Table):
    """Prediction task and the columns with a special role."""

    task: Literal["classification", "regression"] = Field(
        description="Prediction task: classification predicts a class, regression predicts a number."
    )
    target: str = Field(
        description="Name of the column to predict. A pipeline has one target; predict each further one with a pipeline of "
        "its own."
    )
    time: str = Field(
        "",
        description="Name of the column with the time of each row, used to order rows, to split them and to define "
        "windows. Empty means that the data has no time column.",
    )
    drop: tuple[str, ...] = Field(
        (), description="Columns to withhold from the model, such as identifiers and columns that leak the target."
    )
    longest_pause_days: int = Field(
        0,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Longest plausible pause between two rows in days. A few rows after (or before) a longer one have mistyped "
        "times and are set aside. 0 derives it from the data: twelve times the usual pause, at least 28 days.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        json_schema_extra=ADVANCED,
        description="Type of each column, in which every batch of data is read, whatever its file format: number, integer, "
        "boolean, text or datetime. A datetime that is not in ISO 8601 is followed by its form: format codes such as "
        "%d/%m/%Y, or epoch-s, epoch-ms, epoch-us or epoch-ns for the time since 1970. A column without an entry has the "
        "type of its values in the tracked data.",
    )
    missing: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Words that stand for a missing value in every column, such as unknown. An empty field is always a "
        "missing value; in a column of numbers or times, so are NA, NaN, null and similar words.",
    )

    @field_validator("columns")
    @classmethod
    def _are_types(cls, columns: dict[str, str]) -> dict[str, str]:
        for name, text in columns.items():
            try:
                ColumnType.parse(text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return columns


class SplitParams(Table):
    """Split of the data into training rows and the holdout, which is never trained on."""

    by: Literal["time", "hash"] = Field(
        description="How the holdout is chosen: time holds out the newest rows (holdout_days), hash holds out a fixed "
        "pseudo-random share (fraction). Use hash if the data has no time column."
    )
    holdout_days: int = Field(
        14,
        ge=1,
        description="Length of the holdout in days, counted back from the newest row. Used if split.by is time.",
    )
    fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the data in the holdout, between 0 and 1. Used if split.by is hash.",
    )
    folds: int = Field(
        1,
        ge=1,
        le=20,
        description="Number of parts of the holdout for cross-fitting. With 1, the model is not trained on the holdout. With "
        "more, the model is trained on all rows, and each part of the holdout is predicted by a model that is trained without "
        "it: with split.by = hash, every row is in one of the parts (fraction has no effect); with split.by = time, the "
        "parts follow each other in the last holdout_days, and each is predicted from the rows before it.",
    )
    entity: tuple[str, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Columns that together identify the entity of a row, such as a customer. All rows of one entity are put on "
        "the same side of the split. Empty means that each row is assigned on its own. Used if split.by is hash.",
    )
    windows: tuple[int, ...] = Field(
        (),
        json_schema_extra=ADVANCED,
        description="Candidate lengths, in days, of the window of training rows; all rows are always a candidate too. "
        "Each candidate is fitted without the newest training rows and scored on them, and the longest window within "
        "one standard error of the best is used. Empty means all rows.",
    )
    window_test_days: int = Field(
        14,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Number of days at the end of the training rows on which the candidates in split.windows are scored.",
    )

    @field_validator("windows")
    @classmethod
    def _are_days(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        return positive(windows)


class TrainParams(Table):
    """Model to train, and its hyperparameters."""

    model: str = Field(
        pattern=r"^[\w.]+:\w+$",
        description="Function that returns an unfitted scikit-learn estimator or pipeline, as module:function. "
        "It is called with seed and the hyperparameters as keyword arguments.",
    )
    seed: int = Field(
        0,
        json_schema_extra=ADVANCED,
        description="Random seed that is passed to the model function as the argument seed.",
    )
    hyperparameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keyword arguments of the model function. The names and values are up to your code.",
    )


class Params(Table):
    """Pipeline parameters (``params.yaml``): everything that changes the model."""

    data: DataParams
    split: SplitParams
    train: TrainParams
