"""Table ``[gate]`` of ``titlebout.toml`` and the tables inside it."""

import re
from typing import Literal

from pydantic import Field, field_validator

from titlebout.core.errors import ConfigError
from titlebout.settings.table import ADVANCED, Table

Rule = Literal["superior", "non-inferior-and-ahead", "non-inferior"]

# The sign test of gate.operational must tolerate one pair in which either model stalled. With 10 pairs it does not at
# its level of 0.01 (9 of 10: p = 0.011); with 12 pairs it does (11 of 12: p = 0.003).
MIN_LATENCY_PAIRS = 12
MARGIN_FIX = 'write a number greater than 0, such as 0.01, or a percentage, such as "2%"'


_VALUES = (
    " Values: superior (significantly better than the champion), non-inferior (shown not to be worse by more than "
    "gate.margin), non-inferior-and-ahead (non-inferior, and better on the holdout)."
)


class RulesSettings(Table):
    """Rule that a challenger must pass on the primary metric, by the reason for which it was trained.

    `superior`: significantly better than the champion. `non-inferior`: shown not to be worse than the champion by more
    than `gate.margin`. `non-inferior-and-ahead`: the same, with a better value than the champion's on the holdout. A
    reason without a key uses `superior`.
    """

    change: Rule = Field(
        "superior",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger trained after a change of code, parameters or configuration." + _VALUES,
    )
    schedule: Rule = Field(
        "superior",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger from a scheduled retraining that had no other trigger." + _VALUES,
    )
    manual: Rule = Field(
        "superior",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger from a retraining started by a person or by another system." + _VALUES,
    )
    volume: Rule = Field(
        "superior",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger trained because the labeled data has grown (policy.volume_growth)."
        + _VALUES,
    )
    perf_decay: Rule = Field(
        "non-inferior-and-ahead",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger trained because the champion's loss on newly labeled data has increased."
        + _VALUES,
    )
    follow_up: Rule = Field(
        "non-inferior-and-ahead",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger from a follow-up: one more retraining some periods after a promotion for "
        "performance decay (policy.follow_up_periods)." + _VALUES,
    )
    drift: Rule = Field(
        "non-inferior-and-ahead",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger trained because the input data has drifted." + _VALUES,
    )
    age: Rule = Field(
        "superior",
        json_schema_extra=ADVANCED,
        description="Rule for a challenger trained because the champion reached its maximum age "
        "(policy.max_age_periods)." + _VALUES,
    )


class SlicesSettings(Table):
    """Slices: subsets of the holdout in which the challenger must not be worse than the champion."""

    columns: tuple[str, ...] = Field(
        (),
        description="Columns that define the slices: each value of a column is one slice. A numeric column with more "
        "than 20 distinct values is cut into five quantile bins. Empty means that slices are not tested.",
    )
    min_rows: int = Field(
        30,
        ge=10,
        json_schema_extra=ADVANCED,
        description="Smallest number of holdout rows for a slice to be tested. Smaller slices are reported without a "
        "test, and those of one column are pooled into a slice named (other).",
    )
    tolerance: float = Field(
        0.02,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Increase of the loss that is allowed in a slice, relative to the champion's loss: 0.02 means 2%. A "
        "challenger is not promoted if its increase in a slice is larger and statistically significant. The loss is the "
        "primary metric, or log_loss or mae if the primary metric is not the mean of a loss over rows.",
    )


class CalibrationSettings(Table):
    """Calibration: agreement of predicted probabilities, or values, with observed outcomes on the holdout.

    A challenger outside these limits fails only if it is clearly less calibrated than the champion. It only gets a
    warning without a champion, or if the primary metric is log_loss or brier and it is significantly better in it.
    """

    min_slope: float = Field(
        0.8,
        gt=0,
        lt=1,
        json_schema_extra=ADVANCED,
        description="Smallest allowed calibration slope of the challenger. 1 is perfect calibration; a smaller slope "
        "means overconfident predictions.",
    )
    max_slope: float = Field(
        1.25,
        gt=1,
        json_schema_extra=ADVANCED,
        description="Largest allowed calibration slope of the challenger. 1 is perfect calibration; a larger slope "
        "means underconfident predictions.",
    )
    max_bias: float = Field(
        0.02,
        gt=0,
        json_schema_extra=ADVANCED,
        description="Largest allowed difference between the mean prediction and the mean outcome, in either direction. "
        "Measured in probabilities for classification, and in standard deviations of the target for regression.",
    )


class ResourceSettings(Table):
    """Limits on prediction latency and model size, relative to the champion."""

    max_latency_ratio: float = Field(
        1.5,
        gt=1,
        json_schema_extra=ADVANCED,
        description="Largest allowed ratio of the prediction latency of the challenger to that of the champion, "
        "measured on single rows. A challenger with a significantly higher ratio is not promoted, unless its latency is "
        "within latency_budget_ms.",
    )
    latency_budget_ms: float = Field(
        50,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Latency budget in milliseconds: a challenger whose median latency for one row is at most this "
        "passes the latency check, whatever the ratio to the champion is.",
    )
    latency_pairs: int = Field(
        50,
        ge=MIN_LATENCY_PAIRS,
        json_schema_extra=ADVANCED,
        description="Number of single-row predictions that are timed for each model, alternating between champion and "
        f"challenger. Timing stops after 3 seconds in total, but not before {MIN_LATENCY_PAIRS} predictions of each model.",
    )
    max_size_ratio: float = Field(
        2.0,
        gt=1,
        json_schema_extra=ADVANCED,
        description="Largest allowed ratio of the model file size of the challenger to that of the champion. "
        "A challenger with a higher ratio is not promoted, unless its size is within size_budget_mb.",
    )
    size_budget_mb: float = Field(
        10,
        ge=0,
        json_schema_extra=ADVANCED,
        description="Size budget in megabytes: a challenger whose model file is at most this large passes the size check, "
        "whatever the ratio to the champion is.",
    )


class GateSettings(Table):
    """Conditions for promoting a challenger over the champion, evaluated on the same holdout rows."""

    primary_metric: str = Field(
        "",
        description="Metric that decides between challenger and champion: a built-in metric such as brier, the name of a "
        "scikit-learn scorer, or a function of your own as module:function. Empty means log_loss for classification "
        "and mae for regression.",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        json_schema_extra=ADVANCED,
        description="One-sided significance level of the tests: the accepted probability of promoting a challenger that "
        "is not better, or for a non-inferiority rule one that is worse by more than the margin.",
    )
    false_promotions_per_year: float = Field(
        0.1,
        gt=0,
        lt=1,
        json_schema_extra=ADVANCED,
        description="Accepted probability that any challenger within a year is promoted as superior although it is not "
        "better than the champion. The k-th challenger within 365 days since the last promotion as superior is tested at "
        "this probability divided by k (k + 1), at most at gate.alpha: at 5%, 1.7%, 0.8%, 0.5%, and so on.",
    )
    guardrail_alpha: float = Field(
        0.02,
        gt=0,
        lt=0.5,
        json_schema_extra=ADVANCED,
        description="Significance level of all guardrails together (metrics, slices and calibration): the accepted "
        "probability that any of them stops a challenger that is as good as the champion.",
    )
    min_rows: int = Field(
        200,
        ge=2,
        description="Smallest number of holdout rows for a decision of the gate. With fewer rows the verdict is "
        "inconclusive, and the champion stays.",
    )
    margin: float | str | None = Field(
        None,
        description="Smallest difference in the primary metric that matters. Under a non-inferiority rule it is the largest "
        "decline that is accepted. Under the rule superior every significant gain is accepted, however small; if there is "
        "no significant gain, the verdict is keep if the gain is shown to be smaller than the margin, and inconclusive "
        'otherwise. A number in units of the metric, or a percentage of the champion\'s value such as "2%". By default 2% '
        "if a smaller value is better (log_loss, mae; but not brier), and 0.01 for any other metric (accuracy, brier).",
    )
    entity: str = Field(
        "",
        json_schema_extra=ADVANCED,
        description="Column that identifies the entity of a row, such as a customer or a machine. Rows of one entity "
        "are treated as dependent, which widens the confidence bounds. If empty, all rows are treated as independent.",
    )
    anchor: bool = Field(
        True,
        json_schema_extra=ADVANCED,
        description="Whether a challenger under a non-inferiority rule must also be non-inferior to the anchor, the "
        "last champion promoted as superior. Prevents a slow decline over many promotions.",
    )
    floors: dict[str, float] = Field(
        default_factory=dict,
        json_schema_extra=ADVANCED,
        description="Absolute limits by metric name that a challenger must meet, independent of the champion: a minimum "
        "for a score such as roc_auc = 0.6, a maximum for a loss such as log_loss = 0.7.",
    )
    guardrails: tuple[str, ...] | None = Field(
        None,
        json_schema_extra=ADVANCED,
        description="Guardrail metrics, in addition to the primary metric: a challenger is not promoted if its "
        "decline from the champion in one of them is statistically significant and larger than the metric's default "
        "margin (2% if a smaller value is better, as for rmse; 0.01 otherwise). By default roc_auc and accuracy for classification, "
        "rmse for regression. An empty list means no guardrail metrics.",
    )
    smoke_test: bool = Field(
        True,
        json_schema_extra=ADVANCED,
        description="Whether a challenger that passes all other checks is also packaged and served, and its HTTP responses "
        "compared with the predictions stored with the model, before it can get the verdict promote.",
    )
    rules: RulesSettings = RulesSettings()
    slices: SlicesSettings = SlicesSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    resources: ResourceSettings = ResourceSettings()

    @field_validator("margin")
    @classmethod
    def _is_margin(cls, margin: float | str | None) -> float | str | None:
        size = margin_size(margin)[0] if margin is not None else 1
        if not 0 < size < float("inf"):
            raise ValueError('must be a number greater than 0, or a percentage such as "2%"')
        return margin


def margin_size(margin: float | str) -> tuple[float, bool]:
    """Return a margin as a number, and whether it is relative to the champion's value.

    Parameters
    ----------
    margin : float or str
        A number in units of the metric, or a percentage such as ``"2%"``; a space before the sign is allowed.

    Returns
    -------
    size : float
        0.02 for ``"2%"``; NaN if a text is not a percentage.
    relative : bool
    """
    if not isinstance(margin, str):
        return margin, False
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", margin)
    return (float(found[1]) / 100 if found else float("nan")), True


def with_margin(settings: GateSettings, margin: str) -> GateSettings:
    """Return the settings with a different margin.

    Parameters
    ----------
    settings : GateSettings
    margin : str
        A number or a percentage, as given on the command line.

    Raises
    ------
    ConfigError
        If the margin is neither.
    """
    try:
        value: float | str = margin if "%" in margin else float(margin)
        return GateSettings.model_validate({**settings.model_dump(), "margin": value})
    except ValueError as error:
        raise ConfigError(
            f"{margin!r} is not a valid margin", where="--margin", why="a margin must be positive", fix=MARGIN_FIX
        ) from error
