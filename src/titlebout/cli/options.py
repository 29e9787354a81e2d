"""Options that several commands share."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from titlebout.core.errors import NotFoundError

LICENSES = ("none", "MIT", "Apache-2.0", "BSD-3-Clause")

if TYPE_CHECKING:
    from titlebout.core.results import StepResult
    from titlebout.settings.column_type import ColumnType


def _column_types(
    _context: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> "dict[str, ColumnType]":
    """Parse the values of ``--type``.

    Raises
    ------
    BadParameter
        If a value is not NAME=TYPE.
    """
    from titlebout.settings.column_type import ColumnType

    types = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        try:
            types[name] = ColumnType.parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: the type {error}") from error
        if not equals:
            raise click.BadParameter(f"{value!r} is not NAME=TYPE")
    return types


def template_answers(command: Callable[..., "StepResult"]) -> Callable[..., "StepResult"]:
    """Add the options that are answers to questions of the template; the command gets those that are set, as `answers`."""
    options = (
        click.option(
            "--remote",
            "remote_url",
            metavar="URL",
            help="Storage of data and models, with one of the schemes s3, gs, azure and ssh; by default the repository itself.",
        ),
        click.option("--license", type=click.Choice(LICENSES), help="License of the repository; by default none."),
        click.option(
            "--library",
            metavar="SOURCE",
            help="Where the repository gets titlebout from: vendored (source in vendor/, the default), the path or URL of a "
            "wheel, or a version in a package index.",
        ),
    )

    @functools.wraps(command)
    def with_answers(
        remote_url: str | None,
        license: str | None,  # noqa: A002 - the name of the option
        library: str | None,
        **others: Any,
    ) -> "StepResult":
        given = {"remote_url": remote_url, "license": license, "library": library}
        return command(answers={name: answer for name, answer in given.items() if answer}, **others)

    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), with_answers)


@contextmanager
def scaffold() -> Iterator[None]:
    """Convert a failed import of the modules that generate repositories, which not every vendored library has.

    Raises
    ------
    NotFoundError
        If this copy of the library does not include them.
    ModuleNotFoundError
        If another module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("titlebout."):
            raise
        raise NotFoundError(
            "this copy of titlebout does not include `new` and `adopt`",
            where=str(Path(__file__).parents[1]),
            why="the copy in vendor/ of a repository with its own data contains only what the repository uses",
            fix="run `pip install .` in a clone of titlebout, then run the command outside this repository",
        ) from error


def own_data(*, required: bool) -> Callable[[Callable[..., "StepResult"]], Callable[..., "StepResult"]]:
    """Add the options about the user's data; the command gets them as `data`, a path, and `given`, of class Choices."""
    options = (
        click.option(
            "--data",
            required=required,
            type=click.Path(path_type=Path),
            help="Parquet, CSV, TSV or JSONL file with your data" + ("." if required else "; needs --target."),
        ),
        click.option("--target", required=required, metavar="COLUMN", help="Column of --data to predict."),
        click.option(
            "--task",
            type=click.Choice(["classification", "regression"]),
            help="Prediction task; by default inferred from the values of the target.",
        ),
        click.option(
            "--time",
            metavar="COLUMN",
            help="Column whose times order the rows, or none; by default the column of times that advances with the rows.",
        ),
        click.option(
            "--type",
            "types",
            metavar="COLUMN=TYPE",
            multiple=True,
            callback=_column_types,
            help="Type of a column: number, integer, boolean, text or datetime, which may be followed by its form, for example "
            "'day=datetime %d/%m/%Y'; by default inferred from its values. Repeat for each column.",
        ),
    )

    def add(command: Callable[..., "StepResult"]) -> Callable[..., "StepResult"]:
        @functools.wraps(command)
        def with_choices(
            target: str | None, task: str | None, time: str | None, types: "Mapping[str, ColumnType]", **others: Any
        ) -> "StepResult":
            with scaffold():
                from titlebout.scaffold.generate import Choices

            return command(given=Choices(target, task, time, types) if target else None, **others)

        return functools.reduce(lambda decorated, option: option(decorated), reversed(options), with_choices)

    return add
