"""Policy from ``titlebout.toml`` and parameters from ``params.yaml``: read once, typed, no unknown key.

Policy (sources, gates, thresholds, packaging) can change without a new model; parameters change the model,
so DVC tracks them. No value stands in both.
"""

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from titlebout.core.errors import ConfigError, NotFoundError
from titlebout.settings.addresses import without_passwords
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

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
