"""All tables of a pipeline's ``params.yaml``."""

from typing import Any, Literal

from pydantic import Field, field_validator

from titlebout.settings.table import Table, positive

PARAMS_FILE = "params.yaml"


class DataParams(Table):
    """The columns with a role."""

    task: Literal["classification", "regression"] = Field(description="Whether the target is a class or a number.")
    target: str = Field(description="Column to predict.")
    time: str = Field("", description="Column that says when a row happened; empty: rows have no order.")
    drop: tuple[str, ...] = Field((), description="Columns that the model must not see (identifiers, leaks).")


class SplitParams(Table):
    """Which rows are held out: the last days, or a stable share by hash."""

    by: Literal["time", "hash"] = Field(description="The newest rows, or a share of the entities.")
    holdout_days: int = Field(14, ge=1, description="by = time: the last so many days.")
    fraction: float = Field(0.2, gt=0, lt=1, description="by = hash: share of the rows.")
    entity: tuple[str, ...] = Field((), description="by = hash: columns that name the entity; empty: the whole row.")
    windows: tuple[int, ...] = Field(
        (),
        description="Candidates, in days, for how far back training rows reach, beside all of them: the longest that is "
        "as good as the best is used. Empty: all rows.",
    )
    window_test_days: int = Field(14, ge=1, description="The newest days of training rows compare the candidates.")

    @field_validator("windows")
    @classmethod
    def _are_days(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        return positive(windows)


class TrainParams(Table):
    """Which model is fitted, and with what."""

    model: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function that returns an unfitted pipeline.")
    seed: int = Field(0, description="First argument of that function, for everything that is random.")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of that function.")


class Params(Table):
    """The whole of a pipeline's ``params.yaml``."""

    data: DataParams
    split: SplitParams
    train: TrainParams
