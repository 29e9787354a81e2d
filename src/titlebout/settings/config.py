"""Policy from ``titlebout.toml`` and parameters from ``params.yaml``: read once, typed, no unknown key.

Policy (sources, gates, thresholds, packaging) can change without a new model; parameters change the model,
so DVC tracks them. No value stands in both.
"""

import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from titlebout.core.errors import ConfigError, NotFoundError
from titlebout.settings.addresses import without_passwords

Rule = Literal["superior", "non-inferior-and-ahead", "non-inferior"]

PARAMS_FILE = "params.yaml"


class _Table(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectSettings(_Table):
    """Who this is."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,62}$", description="Name of the repository and of the service.")
    package: str = Field(pattern=r"^[a-z_][a-z0-9_]*$", description="Import name of the team's code under src/.")
    pipeline: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="The pipeline that commands use by default.")


class ChecksSettings(_Table):
    """What data has to satisfy before anything is trained on it."""

    suite: str = Field(description="Great Expectations suite (JSON), relative to the repository.")


class RulesSettings(_Table):
    """What a challenger has to show, by the reason of its run; any other reason asks for superiority."""

    change: Rule = Field("superior", description="Code, parameters or policy were changed by people.")
    schedule: Rule = Field("superior", description="A retraining that nothing but the calendar asked for.")
    manual: Rule = Field("superior", description="A retraining that a person or another system started.")
    volume: Rule = Field("superior", description="Much new data has arrived.")
    perf_decay: Rule = Field("non-inferior-and-ahead", description="The champion's loss on new labels has grown.")
    follow_up: Rule = Field("non-inferior-and-ahead", description="Some time after a change of the world.")
    drift: Rule = Field("non-inferior-and-ahead", description="New data differs from what the champion has seen.")
    age: Rule = Field("non-inferior", description="The champion is old.")


class SlicesSettings(_Table):
    """Parts of the data in which a challenger must not be worse."""

    columns: tuple[str, ...] = Field(
        (), description="Columns whose values are the slices; many numbers are cut in five."
    )
    min_rows: int = Field(30, ge=10, description="Smaller slices are named but not tested, and pooled.")
    tolerance: float = Field(0.02, ge=0, description="Share by which the loss in a slice may grow.")


class CalibrationSettings(_Table):
    """How far predicted probabilities (or values) may be from what happens, unless the champion is as far."""

    min_slope: float = Field(0.8, gt=0, lt=1, description="Less: overconfident.")
    max_slope: float = Field(1.25, gt=1, description="More: underconfident.")
    bias: float = Field(0.02, gt=0, description="Mean prediction less mean outcome; regression: in its sds.")


class CostSettings(_Table):
    """What a challenger may cost more than the champion in time and size."""

    latency_ratio: float = Field(1.5, gt=1, description="Largest ratio of the median times of an answer.")
    latency_free_ms: float = Field(50, ge=0, description="An answer to one row that is faster is never too slow.")
    latency_pairs: int = Field(50, ge=10, description="Answers of either model that are timed, one after the other.")
    size_ratio: float = Field(2.0, gt=1, description="Largest ratio of the sizes of the weights.")
    size_free_mb: float = Field(10, ge=0, description="Weights that are smaller are never too large.")


class HoldoutSettings(_Table):
    """How often the same holdout rows may decide."""

    tighten_after: int = Field(10, ge=1, description="After so many challengers `tightened_alpha` counts.")
    tightened_alpha: float = Field(0.01, gt=0, lt=0.5, description="Level of the gate from then on.")
    refuse_after: int = Field(30, ge=1, description="After so many challengers nothing is promoted.")


class GateSettings(_Table):
    """When a challenger takes the title."""

    primary: str = Field(
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
    guards: tuple[str, ...] | None = Field(
        None, description="Other metrics that must not get worse; without it roc_auc and accuracy, or rmse."
    )
    serving: bool = Field(
        True, description="Whether a winner is packaged and asked for its golden rows over HTTP before it is promoted."
    )
    rules: RulesSettings = RulesSettings()
    slices: SlicesSettings = SlicesSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    cost: CostSettings = CostSettings()
    holdout: HoldoutSettings = HoldoutSettings()

    @field_validator("margin")
    @classmethod
    def _is_margin(cls, margin: float | str | None) -> float | str | None:
        size = margin_size(margin)[0] if margin is not None else 1
        if not 0 < size < float("inf"):
            raise ValueError('write a number above 0, or a share such as "2 %"')
        return margin


def _positive(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if any(number < 1 for number in numbers):
        raise ValueError("write whole numbers from 1 on")
    return numbers


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


class DriftSettings(_Table):
    """Where current data comes from and when it counts as different from the reference."""

    current: str = Field(
        "incoming",
        description="Where current data arrives: a folder or glob of CSV, parquet or JSONL files, the same in a bucket "
        "(s3://, gs://, https:// ...), or a database (postgresql+psycopg://...). ${NAME} stands for an environment variable.",
    )
    window_days: int = Field(28, ge=1, description="Rows of the last so many days are compared (with a time column).")
    min_rows: int = Field(100, ge=2, description="Fewer rows than this, on either side, are inconclusive.")
    group: tuple[str, ...] = Field(
        (),
        description="Columns that name whom a row is about, when several rows are about one: one row of each is compared. "
        "Empty: what `split.key` in params.yaml names.",
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


class SourcesSettings(_Table):
    """How current data is read and gets its labels; `drift.current` says where it is."""

    query: str = Field("", description="drift.current is a database: the table, or the SELECT, that gives the rows.")
    id: tuple[str, ...] = Field((), description="Columns that name a row; empty: a row is told by all its values.")
    labels: str = Field(
        "",
        description="Where labels arrive when current data comes without: as in drift.current, with the columns of "
        "sources.id and the target. Empty: labels come with the rows.",
    )
    labels_query: str = Field(
        "", description="sources.labels is a database: the table or SELECT that gives the labels."
    )
    late_days: int = Field(
        28, ge=0, description="A row, or its label, may come up to so many days after rows that are newer."
    )
    max_mb: int = Field(2000, ge=1, description="Most that is fetched from a bucket, in megabytes.")
    max_rows: int = Field(10_000_000, ge=1, description="Most rows that are read from a database.")


class RetrainSettings(_Table):
    """What a retraining attempt does and where it goes."""

    min_new_rows: int = Field(500, ge=1, description="Fewer new rows than this are not worth an attempt.")
    base: str = Field("main", description="Branch that pull requests go to.")
    labels: tuple[str, ...] = Field(("retrain",), description="Labels of the pull request.")


class PolicySettings(_Table):
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
        return _positive(periods)


class PackageSettings(_Table):
    """How the champion is packaged."""

    registry: str = Field("", description="Container registry and path, for example ghcr.io/acme; empty: no push.")
    base_image: str = Field(
        "", description="Image that the container image is built on; empty: the slim image of this Python version."
    )


class Settings(_Table):
    """The whole of ``titlebout.toml``."""

    schema_version: Literal[1] = Field(1, description="Form of this file.")
    project: ProjectSettings
    checks: ChecksSettings
    gate: GateSettings = GateSettings()
    drift: DriftSettings = DriftSettings()
    sources: SourcesSettings = SourcesSettings()
    policy: PolicySettings = PolicySettings()
    retrain: RetrainSettings = RetrainSettings()
    package: PackageSettings = PackageSettings()


class DataParams(_Table):
    """The columns with a role."""

    task: Literal["classification", "regression"] = Field(description="Whether the target is a class or a number.")
    target: str = Field(description="Column to predict.")
    time: str = Field("", description="Column that says when a row happened; empty: rows have no order.")
    drop: tuple[str, ...] = Field((), description="Columns that the model must not see (identifiers, leaks).")


class SplitParams(_Table):
    """Which rows are held out: the last days, or a stable share by hash."""

    by: Literal["time", "hash"] = Field(description="The newest rows, or a share of the entities.")
    holdout_days: int = Field(14, ge=1, description="by = time: the last so many days.")
    fraction: float = Field(0.2, gt=0, lt=1, description="by = hash: share of the rows.")
    key: tuple[str, ...] = Field((), description="by = hash: columns that name the entity; empty: the whole row.")
    windows: tuple[int, ...] = Field(
        (),
        description="Candidates, in days, for how far back training rows reach, beside all of them: the longest that is "
        "as good as the best is used. Empty: all rows.",
    )
    window_test_days: int = Field(14, ge=1, description="The newest days of training rows compare the candidates.")

    @field_validator("windows")
    @classmethod
    def _are_days(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        return _positive(windows)


class TrainParams(_Table):
    """Which model is fitted, and with what."""

    model: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function that returns an unfitted pipeline.")
    seed: int = Field(0, description="First argument of that function, for everything that is random.")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of that function.")


class Params(_Table):
    """The whole of a pipeline's ``params.yaml``."""

    data: DataParams
    split: SplitParams
    train: TrainParams


_Model = TypeVar("_Model", bound=BaseModel)


def load_settings(path: Path) -> Settings:
    """Read ``titlebout.toml``.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ConfigError
        If it is not TOML, or a key is unknown, missing or has a value that is not allowed.
    """
    return _load(path, tomllib.loads, Settings)


def load_params(path: Path) -> Params:
    """Read a pipeline's ``params.yaml``; raises what :func:`load_settings` raises.

    Raises
    ------
    ConfigError
        If the values contradict each other.
    """
    params = _load(path, yaml.safe_load, Params)
    if params.split.by == "time" and not params.data.time:
        raise ConfigError(
            "the holdout is split by time, but no time column is named",
            where=f"{path}: data.time",
            fix="name the column in data.time, or set split.by to hash",
        )
    if params.split.windows and not params.data.time:
        raise ConfigError(
            "training windows are in days, but no time column is named",
            where=f"{path}: data.time",
            fix="name the column in data.time, or leave split.windows out",
        )
    return params


def _load(path: Path, parse: Callable[[str], Any], model: type[_Model]) -> _Model:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return model.model_validate(parse(text) or {})
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path.name} is not there",
            where=str(path),
            fix="run titlebout inside a generated repository, or make one: `titlebout new`",
        ) from error
    except ValidationError as error:
        raise _config_error(path, model, error) from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} cannot be read", where=str(path), why=str(error), fix="correct the line, or restore the file"
        ) from error


def _config_error(path: Path, model: type[BaseModel], error: ValidationError) -> ConfigError:
    """Turn one of pydantic's complaints into ours: an unknown key before a missing one, which may be the same misspelt."""
    first = min(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return ConfigError(f"unknown key {key!r}", where=str(path), fix=fix)
    if first["type"] == "missing":
        return ConfigError(
            f"key {key!r} is missing",
            where=str(path),
            fix="add it; every key is in https://github.com/titlebout/titlebout/blob/main/docs/reference/configuration.md",
        )
    if first["type"] == "model_type":
        return ConfigError(
            f"{key or path.name} has no keys", where=str(path), why=f"it is {first['input']!r}", fix="make it a table"
        )
    return ConfigError(
        f"{key}: {first['msg']}",
        where=str(path),
        why=f"it is {without_passwords(repr(first['input']))}",
        fix="correct the value",
    )


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return sorted(model.model_fields)


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of ``titlebout.toml``, for editors."""
    return Settings.model_json_schema()
