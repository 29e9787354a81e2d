"""Table ``[gate]`` of ``titlebout.toml`` and the tables inside it."""

import re
from typing import Literal

from pydantic import Field, field_validator

from titlebout.core.errors import ConfigError
from titlebout.settings.table import Table

Rule = Literal["superior", "non-inferior-and-ahead", "non-inferior"]


class RulesSettings(Table):
    """What a challenger has to show, by the reason of its run; any other reason asks for superiority."""

    change: Rule = Field("superior", description="Code, parameters or policy were changed by people.")
    schedule: Rule = Field("superior", description="A retraining that nothing but the calendar asked for.")
    manual: Rule = Field("superior", description="A retraining that a person or another system started.")
    volume: Rule = Field("superior", description="Much new data has arrived.")
    perf_decay: Rule = Field("non-inferior-and-ahead", description="The champion's loss on new labels has grown.")
    follow_up: Rule = Field("non-inferior-and-ahead", description="Some time after a change of the world.")
    drift: Rule = Field("non-inferior-and-ahead", description="New data differs from what the champion has seen.")
    age: Rule = Field("non-inferior", description="The champion is old.")


class SlicesSettings(Table):
    """Parts of the data in which a challenger must not be worse."""

    columns: tuple[str, ...] = Field(
        (), description="Columns whose values are the slices; many numbers are cut in five."
    )
    min_rows: int = Field(30, ge=10, description="Smaller slices are named but not tested, and pooled.")
    tolerance: float = Field(0.02, ge=0, description="Share by which the loss in a slice may grow.")


class CalibrationSettings(Table):
    """How far predicted probabilities (or values) may be from what happens, unless the champion is as far."""

    min_slope: float = Field(0.8, gt=0, lt=1, description="Less: overconfident.")
    max_slope: float = Field(1.25, gt=1, description="More: underconfident.")
    max_bias: float = Field(0.02, gt=0, description="Mean prediction less mean outcome; regression: in its sds.")


class ResourceSettings(Table):
    """What a challenger may cost more than the champion in time and size."""

    max_latency_ratio: float = Field(1.5, gt=1, description="Largest ratio of the median times of an answer.")
    latency_budget_ms: float = Field(50, ge=0, description="An answer to one row that is faster is never too slow.")
    latency_pairs: int = Field(50, ge=10, description="Answers of either model that are timed, one after the other.")
    max_size_ratio: float = Field(2.0, gt=1, description="Largest ratio of the sizes of the weights.")
    size_budget_mb: float = Field(10, ge=0, description="Weights that are smaller are never too large.")


class HoldoutSettings(Table):
    """How often the same holdout rows may decide."""

    tighten_after: int = Field(10, ge=1, description="After so many challengers `tightened_alpha` counts.")
    tightened_alpha: float = Field(0.01, gt=0, lt=0.5, description="Level of the gate from then on.")
    refuse_after: int = Field(30, ge=1, description="After so many challengers nothing is promoted.")


class GateSettings(Table):
    """When a challenger takes the title."""

    primary_metric: str = Field(
        "",
        description="Metric that decides: a built-in one, a scorer of scikit-learn, or module:function; "
        "empty: log_loss or mae.",
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Probability of promoting a challenger that is no better.")
    min_rows: int = Field(200, ge=2, description="Fewer holdout rows than this are never enough to decide.")
    margin: float | str | None = Field(
        None,
        description="Smallest gain worth a promotion, and largest loss of a refresh: in units of the metric, or as "
        '"2 %" of the champion\'s value; without it 2 % of a loss, 0.01 of a rate.',
    )
    entity: str = Field(
        "", description="Column whose rows belong together (customers, machines); empty: each row alone."
    )
    anchor: bool = Field(
        True, description="A refresh must also be no worse than the last model that won by superiority."
    )
    floors: dict[str, float] = Field(
        default_factory=dict, description="Worst value that each metric may have, whoever the champion is."
    )
    guardrails: tuple[str, ...] | None = Field(
        None, description="Other metrics that must not get worse; without it roc_auc and accuracy, or rmse."
    )
    smoke_test: bool = Field(
        True, description="Whether a winner is packaged and asked for its golden rows over HTTP before it is promoted."
    )
    rules: RulesSettings = RulesSettings()
    slices: SlicesSettings = SlicesSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    resources: ResourceSettings = ResourceSettings()
    holdout: HoldoutSettings = HoldoutSettings()

    @field_validator("margin")
    @classmethod
    def _is_margin(cls, margin: float | str | None) -> float | str | None:
        size = margin_size(margin)[0] if margin is not None else 1
        if not 0 < size < float("inf"):
            raise ValueError('write a number above 0, or a share such as "2 %"')
        return margin


def margin_size(margin: float | str) -> tuple[float, bool]:
    """Return the number in a margin, NaN when there is none, and whether it is a share of the champion's value."""
    if not isinstance(margin, str):
        return margin, False
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", margin)
    return (float(found[1]) / 100 if found else float("nan")), True


def with_margin(settings: GateSettings, margin: str) -> GateSettings:
    """Return the settings with another margin, a number or a share.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    try:
        value: float | str = margin if "%" in margin else float(margin)
        return GateSettings.model_validate({**settings.model_dump(), "margin": value})
    except ValueError as error:
        raise ConfigError(
            f"{margin!r} is not a margin", fix='write a number above 0, or a share such as "2 %"'
        ) from error
