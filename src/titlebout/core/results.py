"""Results of the steps: versioned JSON documents, written atomically.

Steps exchange data through these files and do not import each other, so that each step can run as a command, as a DVC
stage and as a step of an Action.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from titlebout.core.errors import DataError, DiskError, ExitCode, NotFoundError

SCHEMA_VERSION: Literal[1] = 1
RESTORE = "restore the file from git or with `dvc pull`, or run the command that writes it again"


class Record(BaseModel):
    """A part of a result: typed, immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; the new values are validated, too."""
        return type(self)(**{**dict(self), **changes})


class StepResult(Record):
    """Fields that the results of all steps share.

    Attributes
    ----------
    schema_version : int
        Version of the format of the document.
    step : str
        Name of the command; the file is ``reports/<step>.json``.
    passed : bool
        True if the workflow can continue.
    reasons : tuple of str
        Sentences for the reader, the most important first.
    """

    # Whether the command writes the result to reports/, as JSON and as Markdown.
    written: ClassVar[bool] = False
    # Outputs of the Action of the command: output name to field or property.
    output_fields: ClassVar[Mapping[str, str]] = {}

    # Whether the report is laid out for a terminal instead of being Markdown.
    laid_out: ClassVar[bool] = False

    schema_version: Literal[1] = SCHEMA_VERSION
    step: str
    passed: bool
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        return ExitCode.OK

    @property
    def report(self) -> str:
        """Path of the Markdown report, relative to the repository."""
        return f"reports/{self.step}.md"

    @property
    def outputs(self) -> dict[str, object]:
        """Values of the outputs of the Action."""
        values = {name: getattr(self, field) for name, field in self.output_fields.items()}
        return {name: "" if value is None else value for name, value in values.items()}

    def to_markdown(self) -> str:
        """Return the report as Markdown, for the job summary, ``reports/<step>.md`` and the terminal.

        Raises
        ------
        NotImplementedError
            If the class does not define a report.
        """
        raise NotImplementedError


Result = TypeVar("Result", bound=StepResult)


def read_result(path: Path, kind: type[Result]) -> Result:
    """Read the result of another step.

    Parameters
    ----------
    path : Path
        JSON file.
    kind : type
        Class of the result.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If it has the result of another step or version, or a field is missing, unknown or malformed.
    """
    command = kind.model_fields["step"].default
    return parse_result(_read(path, f"run `titlebout {command}`, which writes this file"), kind, str(path))


def parse_result(text: str, kind: type[Result], where: str) -> Result:
    """Parse the result in a JSON document. Types are strict: the text "no" is not converted to a boolean.

    Parameters
    ----------
    text : str
        The JSON document.
    kind : type
        Class of the result.
    where : str
        Source of the document, for the error message.

    Raises
    ------
    DataError
        If it is not a valid result of this class.
    """
    try:
        result = kind.model_validate_json(text, strict=True)
        problem = _missing_header_field(result)
    except ValidationError as error:
        problem = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
    if problem is None:
        return result
    name = kind.model_fields["step"].default
    raise DataError(
        f"the JSON document is not a result of `titlebout {name}` in schema version {SCHEMA_VERSION}",
        where=where,
        why=": ".join(filter(None, problem)),
        fix=f"run `titlebout {name}` again with this version of titlebout",
    )


def _missing_header_field(result: StepResult) -> tuple[str, str] | None:
    """Return the problem if `step` or `schema_version` is missing; pydantic does not report it, because they have defaults."""
    missing = {"step", "schema_version"} - result.model_fields_set
    return (min(missing), "Field required") if missing else None


def write_result(path: Path, result: StepResult) -> Path:
    """Write a result as JSON, atomically; see :func:`write_text_atomically` for what it raises."""
    return write_json(path, result.model_dump())


def write_text_atomically(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` so that a reader sees either the old or the new content.

    Raises
    ------
    DiskError
        If the file cannot be written; the old content is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DiskError(
            f"cannot write {path.name}",
            where=str(path),
            why=str(error),
            fix="free some disk space, or check the permissions of the folder",
        ) from error
    return path


def to_json(document: Mapping[str, Any]) -> str:
    """Return strict JSON (no NaN, no Infinity) that ends with a newline."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Write one JSON document atomically; see :func:`write_text_atomically` for what it raises."""
    return write_text_atomically(path, to_json(document))


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If it is not a JSON object.
    """
    try:
        document = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path.name} is not valid JSON", where=str(path), why=str(error), fix=RESTORE) from error
    if not isinstance(document, dict):
        raise DataError(f"{path.name} is not a JSON object", where=str(path), fix=RESTORE)
    return document


def _read(path: Path, missing_fix: str = RESTORE) -> str:
    """Return the text of a file; `missing_fix` is the fix if it does not exist.

    Raises
    ------
    NotFoundError
        If the file does not exist.
    DataError
        If it is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path.name} does not exist", where=str(path), fix=missing_fix) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not valid JSON", where=str(path), why=str(error), fix=RESTORE) from error


def _plain(value: object) -> object:
    """Convert numpy scalars, timestamps and paths to JSON values.

    Raises
    ------
    TypeError
        If the value has another type.
    """
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"a result contains a value of type {type(value).__name__}, which cannot be converted to JSON")
