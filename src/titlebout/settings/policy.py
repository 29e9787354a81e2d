"""Table ``[policy]`` of ``titlebout.toml``."""

from pydantic import Field, field_validator

from titlebout.settings.table import Table, positive


class PolicySettings(Table):
    """When a retraining is attempted. All times are the data's own: its newest row is "now", never a clock."""

    period_days: int = Field(
        7, ge=1, description="Length of a period; without a time column a period is retrain.min_new_rows rows."
    )
    cool_down_periods: int = Field(
        4, ge=0, description="After an attempt, so long none for the same reason; doubled by every further refusal."
    )
    decay_z: float = Field(
        2.33, gt=0, description="The champion's loss on new labels has grown from so many standard errors on."
    )
    decay_periods: int = Field(4, ge=1, description="New labels of the last so many periods are looked at.")
    decay_min_rows: int = Field(300, ge=30, description="Fewer new labels than this say nothing about the loss.")
    follow_up_periods: tuple[int, ...] = Field(
        (4, 8), description="So long after a promotion for perf_decay it is tried again: there is more new data now."
    )
    drift: bool = Field(True, description="Whether confirmed drift starts an attempt.")
    renew_periods: float = Field(
        0, ge=0, description="An open proposal is tried again on data that is newer by so many periods; 0: by anything."
    )
    max_age_periods: int = Field(26, ge=0, description="Age at which a champion is challenged; 0: never.")
    volume_rows: int = Field(0, ge=0, description="So many new rows are a reason by themselves; 0: never.")
    schedule: bool = Field(
        False, description="Whether a run that only the calendar started tries a challenger, once per cool-down."
    )

    @field_validator("follow_up_periods")
    @classmethod
    def _are_periods(cls, periods: tuple[int, ...]) -> tuple[int, ...]:
        return positive(periods)
