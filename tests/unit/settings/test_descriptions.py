"""Descriptions of configuration keys: complete, and a few everyday keys among the advanced ones."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from titlebout.settings.load import settings_schema
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings

ROOT = Path(__file__).parents[3]
GENERATED = ROOT / "cookiecutter" / "{{cookiecutter.project_slug}}" / "titlebout.toml"
SHORTEST = 25  # characters
MOST_EVERYDAY = 15  # of titlebout.toml


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a configuration file with its field."""
    for name, field in model.model_fields.items():
        table = table_of(field)
        yield from fields(table, f"{prefix}{name}.") if table else [(f"{prefix}{name}", field)]


def tables(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The table and all tables inside it."""
    yield model
    for table in filter(None, map(table_of, model.model_fields.values())):
        yield from tables(table)


KEYS = {**dict(fields(Settings)), **dict(fields(Params))}
EVERYDAY = {key for key, field in fields(Settings) if field.json_schema_extra != {"advanced": True}}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_full_description(key: str) -> None:
    description = KEYS[key].description or ""

    assert len(description) >= SHORTEST
    assert description.endswith(".")


@pytest.mark.parametrize("table", [*tables(Settings), *tables(Params)], ids=lambda table: table.__name__)
def test_every_table_is_described(table: type[BaseModel]) -> None:
    assert len(table.__doc__ or "") >= SHORTEST


def test_about_fifteen_keys_are_for_everyday_use() -> None:
    assert 10 <= len(EVERYDAY) <= MOST_EVERYDAY


def test_a_required_key_is_never_advanced() -> None:
    assert [key for key, field in KEYS.items() if field.is_required() and field.json_schema_extra] == []


def test_the_generated_settings_show_only_everyday_keys() -> None:
    def keys(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
        for name, value in table.items():
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]

    assert set(keys(tomllib.loads(GENERATED.read_text("utf-8")))) <= EVERYDAY


def test_the_schema_keeps_the_mark_of_advanced_keys() -> None:
    gate = settings_schema()["$defs"]["GateSettings"]["properties"]

    assert gate["alpha"]["advanced"] is True
    assert "advanced" not in gate["margin"]
