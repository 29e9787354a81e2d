"""Table ``[policy]`` of ``titlebout.toml``."""

from pydantic import Field, field_validator

from titlebout.settings.table import ADVANCED, Table, positive


class PolicySettings(Table):
    """Retraining policy: the triggers that start a retraining attempt.

    Times are measured on the data, not on the clock: "now" is the time of the newest row.
    """

    period_days: int = Field(
        7,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Length in days of one period, the unit of all keys that end in _periods. Without a time column one "
        "period is retrain.min_new_rows rows.",
    )
    cool_down_periods: int = Field(
        4,
        ge=0,
        description="Number of periods to wait after an attempt (a retraining) before the same trigger may start another. "
        "Doubles with each further consecutive attempt without a promotion, up to eight times as long. A period is "
        "policy.period_days days. 0 disables the wait.",
    )
    decay_z: float = Field(
        3.0,
        gt=0,
        json_schema_extra=ADVANCED,
        description="Performance decay starts an attempt (a retraining) when the champion's loss on newly labeled data has "
        "increased by at least this z-score. The increase is measured against the holdout on which the champion was "
        "promoted. 3 spends an error rate of 3.5% over 26 looks (0.13% each), half a year of weekly runs.",
    )
    decay_periods: int = Field(
        4,
        ge=1,
        json_schema_extra=ADVANCED,
        description="Number of periods of newly labeled data on which performance decay is measured, counted back from "
        "the newest labeled row.",
    )
    decay_min_rows: int = Field(
        300,
        ge=30,
        json_schema_extra=ADVANCED,
        description="Smallest number of newly labeled rows on which performance decay is measured. "
        "With fewer rows this trigger does not fire.",
    )
    follow_up_periods: tuple[int, ...] = Field(
        (4, 8),
        json_schema_extra=ADVANCED,
        description="Numbers of periods after a promotion for performance decay at which to retrain again, once for each "
        "number, because by then more data from after the change is available. An empty list disables the trigger.",
    )
    drift: bool = Field(
        True,
        json_schema_extra=ADVANCED,
        description="Whether drift starts an attempt (a retraining). Drift counts if an important column (drift.min_importance) "
        "differs in the whole window of current data and in each half of it. false means that drift is only reported.",
    )
    renew_periods: float = Field(
        0,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Retrain, to renew an open retrain pull request, when the data is at least this many periods newer "
        "than the data that the pull request is based on. 0 means on any newer data.",
    )
    max_age_periods: int = Field(
        26,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Age of the champion, in periods since the end of the holdout on which it was promoted, at which an "
        "attempt starts. 0 disables the trigger.",
    )
    volume_growth: float = Field(
        0.25,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Growth of the labeled data, relative to the champion's training rows, at which an attempt (a retraining) "
        "starts: 0.25 means 25% more rows. After an unsuccessful attempt for this reason, the data must grow by this share "
        "again, without a cool-down. 0 disables the trigger.",
    )
    schedule: bool = Field(
        False,
        json_schema_extra=ADVANCED,
        description="Whether a run started by the cron schedule of the workflow starts an attempt without any other "
        "trigger, at most once per cool-down.",
    )

    @field_validator("follow_up_periods")
    @classmethod
    def _are_periods(cls, periods: tuple[int, ...]) -> tuple[int, ...]:
        return positive(periods)
