"""Generate the reference pages from the help texts, settings, Actions, workflows and results.

Run with ``python scripts/make_reference.py`` in the locked environment; with ``--check`` it writes nothing and fails if a
page is out of date. Only text between the marks ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->`` is replaced.
"""

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from titlebout.cli.commands import cli
from titlebout.core import errors
from titlebout.core.results import Record, StepResult
from titlebout.settings.load import settings_schema
from titlebout.settings.params import Params
from titlebout.settings.settings import Settings
from titlebout.settings.table import ADVANCED

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
SCHEMA = REFERENCE / "titlebout.schema.json"
ACTIONS = ROOT / ".github" / "actions"
WORKFLOWS = ROOT / "cookiecutter" / "{{cookiecutter.project_slug}}" / ".github" / "workflows"
WIDTH = 100
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
JSON_TYPES = {
    "str": "text",
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "tuple": "list",
    "dict": "object",
    "None": "null",
}
LIMITS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headers, ["---"] * len(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands() -> dict[str, click.Command]:
    """Return the commands that the help lists, in its order."""
    return {name: command for name, command in cli.commands.items() if not command.hidden}


def command_help() -> str:
    """Return the ``--help`` text of every command."""
    pages = [_help(cli, "titlebout"), *(_help(command, f"titlebout {name}") for name, command in commands().items())]
    return "\n\n".join(pages)


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return f"## {path}\n\n```text\n{command.get_help(context).strip()}\n```"


def settings() -> str:
    """Return every key of ``titlebout.toml``."""
    return _tables(Settings)


def params() -> str:
    """Return every key of ``params.yaml``."""
    return _tables(Params)


def _tables(model: type[BaseModel], prefix: str = "") -> str:
    """Return the keys of a configuration file, one section for each of its tables and the tables inside them."""
    inner = {key: kind for key, field in model.model_fields.items() if (kind := _table_of(field))}
    plain = {key: field for key, field in model.model_fields.items() if key not in inner}
    parts = _everyday_and_advanced(plain, prefix)
    parts += [
        f"### {prefix}{key}\n\n{_plain(kind.__doc__ or '')}\n\n{_tables(kind, f'{prefix}{key}.')}"
        for key, kind in inner.items()
    ]
    return "\n\n".join(parts)


def _everyday_and_advanced(fields: Mapping[str, FieldInfo], prefix: str) -> list[str]:
    """Return a table of the everyday keys and one of the advanced keys, each only if it has a row."""
    advanced = {key: field for key, field in fields.items() if field.json_schema_extra == ADVANCED}
    everyday = {key: field for key, field in fields.items() if key not in advanced}
    parts = [_keys(everyday, prefix)] if everyday else []
    return parts + (["Advanced keys:", _keys(advanced, prefix)] if advanced else [])


def _table_of(field: FieldInfo) -> type[BaseModel] | None:
    kind: Any = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _keys(fields: Mapping[str, FieldInfo], prefix: str) -> str:
    rows = [
        (f"`{prefix}{key}`", _type(field), _default(field), field.description or "") for key, field in fields.items()
    ]
    return table(["key", "type", "default", "meaning"], rows)


def _type(field: FieldInfo) -> str:
    limits = [
        text.format(f"{value:g}")
        for limit in field.metadata
        for name, text in LIMITS.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    pattern = next((f"matches `{limit.pattern}`" for limit in field.metadata if getattr(limit, "pattern", None)), "")
    return ", ".join(filter(None, [_type_name(field.annotation), " and ".join(limits), pattern]))


def _type_name(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inner)
    if origin is UnionType:
        return " or ".join(_type_name(kind) for kind in inner if kind is not NoneType)
    if origin is tuple:
        return "list of whole numbers" if inner[0] is int else f"list of {_type_name(inner[0])}"
    return "table" if origin is dict else TYPES[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else {}
    return f"`{json.dumps(value)}`" if value is not None else "see meaning"


def actions() -> str:
    """Return the inputs, outputs and permissions of every Action."""
    return "\n\n".join(_action(path) for path in sorted(ACTIONS.glob("*/action.yml")))


def _action(path: Path) -> str:
    name, action = path.parent.name, _load(path)
    inputs = [
        (f"`{key}`", f"`{given['default']}`" if given["default"] else "empty", given["description"])
        for key, given in action["inputs"].items()
    ]
    outputs = [(f"`{key}`", given["description"]) for key, given in action["outputs"].items()]
    uses = [(f"`{workflow}`, job `{job}`", permissions) for workflow, job, permissions in _uses(name)]
    parts = [
        f"## {name}",
        action["description"],
        table(["input", "default", "meaning"], inputs),
        table(["output", "meaning"], outputs),
        table(["used in", "with the permissions"], uses),
    ]
    return "\n\n".join(parts)


def _uses(action: str) -> Iterator[tuple[str, str, str]]:
    for path in sorted(WORKFLOWS.glob("*.yml")):
        for job, given in _load(path)["jobs"].items():
            if any(step.get("uses", "") == f"./.github/actions/{action}" for step in given.get("steps", [])):
                yield path.name, job, ", ".join(f"`{scope}: {level}`" for scope, level in given["permissions"].items())


def workflows() -> str:
    """Return triggers, jobs and permissions of every workflow of a generated repository."""
    return "\n\n".join(_workflow(path) for path in sorted(WORKFLOWS.glob("*.yml")))


def _workflow(path: Path) -> str:
    workflow, text = _load(path), path.read_text(encoding="utf-8")
    head = " ".join(line.removeprefix("#").strip() for line in re.match(r"(#.*\n)+", text)[0].splitlines())  # type: ignore[index]
    # A job's own reasons: the same permission has another one in another job.
    sections = dict(re.findall(r"^  ([\w-]+):\n((?:(?:    .*)?\n)+)", text, re.MULTILINE))
    rows = [
        (
            f"`{job}`",
            "<br>".join(_steps(given)),
            "<br>".join(_permissions(given["permissions"], sections[job])),
            given.get("timeout-minutes", "of the called workflow"),
        )
        for job, given in workflow["jobs"].items()
    ]
    jobs = table(["job", "runs", "permissions", "minutes"], rows)
    group = f"Concurrency group `{workflow['concurrency']['group']}`."
    return f"## {path.name}\n\n{head}\n\n{_triggers(workflow['on'])}\n\n{jobs}\n\n{group}"


def _permissions(permissions: Mapping[str, str], section: str) -> list[str]:
    reasons = dict(re.findall(r"^ +([\w-]+: (?:read|write)) # (.+)$", section, re.MULTILINE))
    granted = [f"{scope}: {level}" for scope, level in permissions.items()]
    return [f"`{permission}`: {reasons[permission]}" for permission in granted]


def _triggers(on: Mapping[str, Any]) -> str:
    def detail(given: Any) -> str:
        if isinstance(given, list):
            return ", ".join(f"`{entry['cron']}`" for entry in given)
        filters = {key: value if isinstance(value, list) else list(value) for key, value in (given or {}).items()}
        return "; ".join(f"{key}: {', '.join(f'`{value}`' for value in values)}" for key, values in filters.items())

    return table(["trigger", "only"], [(f"`{name}`", detail(given)) for name, given in on.items()])


def _steps(job: Mapping[str, Any]) -> list[str]:
    if "uses" in job:
        return [f"`{job['uses']}`"]
    used = [step.get("uses", "").partition("@")[0] or step["run"] for step in job["steps"]]
    return [f"`{text.removeprefix('./.github/actions/')}`" for text in used]


def results() -> str:
    """Return every field of the result of every command, with its description in the docstring."""
    order = list(commands())
    kinds = sorted(result_types(), key=lambda kind: (order.index(_command(kind)), step_of(kind)))
    described: set[type[Record]] = set()
    return "\n\n".join(_result(found, described) for found in kinds)


def step_of(kind: type[StepResult]) -> str:
    """Return the name of the step that a result is of."""
    return str(kind.model_fields["step"].default)


def _command(kind: type[StepResult]) -> str:
    """Return the command that a result is of; a selftest is an option of what it tests."""
    return step_of(kind).removesuffix("-selftest")


def result_types() -> list[type[StepResult]]:
    """Return the results of all commands."""
    library = Path(errors.__file__).parents[2]
    for path in sorted((library / "titlebout").rglob("*.py")):
        if "(StepResult)" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(library).with_suffix("").parts))
    kinds = (kind for kind in StepResult.__subclasses__() if kind.__module__.startswith("titlebout."))
    return [kind for kind in kinds if not kind.__name__.startswith("_")]


def _result(kind: type[StepResult], described: set[type[Record]]) -> str:
    """Return the reference of a result, and of its records that are not described above."""
    step = step_of(kind)
    has_action = (ACTIONS / step / "action.yml").is_file()
    outputs = ", ".join(f"`{name}`" for name in kind.output_fields) if has_action else ""
    place = f"`reports/{step}.json`" if kind.written else "Only with `--json`: this command writes no file"
    location = f"{place}. Outputs of its Action: {outputs}." if outputs else f"{place}."
    parts = [f"## {step}", f"{_first_line(kind)} {location}", _fields(kind)]
    for inner in dict.fromkeys(_records(kind)):
        if inner not in described:
            described.add(inner)
            parts += [f"`{inner.__name__}`: {_first_line(inner)}", _fields(inner)]
    return "\n\n".join(parts)


def _records(kind: type[Record]) -> Iterator[type[Record]]:
    """Yield the nested records of a result, without results of other commands, which have their own sections."""
    for field in kind.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, Record) and not issubclass(part, StepResult):
                yield part
                yield from _records(part)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)


def _fields(kind: type[Record]) -> str:
    """Return a table of the fields of a record, without the common fields of all results.

    Raises
    ------
    LookupError
        If a field is missing from the docstring.
    """
    documented = attributes(kind)
    names = kind.model_fields.keys() - StepResult.model_fields.keys()
    missing = names - {name for entry, *_ in documented for name in entry}
    if missing:
        raise LookupError(f"the docstring of {kind.__name__} does not describe {', '.join(sorted(missing))}")
    rows = [
        (", ".join(f"`{name}`" for name in entry), _json_types(types), meaning) for entry, types, meaning in documented
    ]
    return table(["field", "type", "meaning"], rows)


def attributes(kind: type) -> list[tuple[list[str], str, str]]:
    """Return names, types and meaning of every entry in the numpydoc section Attributes of a class."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes\n----------\n")[2].split("\n\n")[0]
    entries = re.findall(r"^(\S[^:\n]*) : (.+)\n?((?: .*\n?)*)", section, re.MULTILINE)
    return [(names.split(", "), types, _plain(meaning)) for names, types, meaning in entries]


def _json_types(types: str) -> str:
    """Translate a Python type into JSON terms."""
    if types.startswith("{"):
        return ", ".join(f"`{value}`" for value in types.strip("{}").split(", "))
    return re.sub(r"\w+", lambda word: JSON_TYPES.get(word[0], word[0]), types)


def _plain(docstring: str) -> str:
    """Return text of a docstring as Markdown on one line."""
    return re.sub(r":\w+:`(?:[\w.]+\.)?(\w+)`", r"`\1`", " ".join(docstring.split())).replace("``", "`")


def error_types() -> str:
    """Return a table of the values of ``type`` in a ``--json`` error."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TitleboutError)]
    rows = [
        (f"`{kind.__name__}`", str(int(kind.exit_code)), _first_line(kind))
        for kind in kinds
        if kind is not errors.TitleboutError
    ]
    return table(["type", "exit code", "meaning"], sorted(rows, key=lambda row: int(row[1])))


def _first_line(kind: type) -> str:
    return _plain(inspect.cleandoc(kind.__doc__ or "").splitlines()[0])


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


PARTS: dict[str, Callable[[], str]] = {
    "commands": command_help,
    "settings": settings,
    "params": params,
    "actions": actions,
    "workflows": workflows,
    "results": results,
    "errors": error_types,
}


def fill(text: str) -> str:
    """Return a page with its generated parts replaced."""

    def part(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n\n{PARTS[found[1]]()}\n\n<!-- end of {found[1]} -->"

    return re.sub(r"<!-- generated: (\w+) -->.*?<!-- end of \1 -->", part, text, flags=re.DOTALL)


def pages() -> dict[Path, str]:
    """Return the expected content of every generated file."""
    generated = {path: fill(path.read_text(encoding="utf-8")) for path in sorted(REFERENCE.glob("*.md"))}
    return generated | {SCHEMA: json.dumps(settings_schema(), indent=2) + "\n"}


def main() -> None:
    """Write the pages, or with ``--check`` list those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    check = parser.parse_args().check
    stale = {
        path: text for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if check and stale:
        names = ", ".join(path.relative_to(ROOT).as_posix() for path in stale)
        sys.exit(f"out of date: {names}; run `python scripts/make_reference.py`")
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
