"""Policy from ``titlebout.toml`` and parameters from ``params.yaml``: read once, typed, no unknown key.

Policy (sources, gates, thresholds, packaging) can change without a new model; parameters change the model,
so DVC tracks them. No value stands in both.
"""

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from titlebout.errors import ConfigError, NotFoundError

SETTINGS_FILE = "titlebout.toml"
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


class GateSettings(_Table):
    """When a challenger takes the title."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="Probability of promoting a challenger that is no better.")
    min_rows: int = Field(200, ge=2, description="Fewer holdout rows than this are never enough to decide.")


class DriftSettings(_Table):
    """Where current data comes from and when it counts as different from the reference."""

    current: str = Field("incoming", description="Folder or glob of CSV, parquet or JSONL files that arrive.")
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


class RetrainSettings(_Table):
    """What a retraining attempt does and where it goes."""

    min_new_rows: int = Field(500, ge=1, description="Fewer new rows than this are not worth an attempt.")
    base: str = Field("main", description="Branch that pull requests go to.")
    labels: tuple[str, ...] = Field(("retrain",), description="Labels of the pull request.")


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
        f"{key}: {first['msg']}", where=str(path), why=f"it is {first['input']!r}", fix="correct the value"
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
