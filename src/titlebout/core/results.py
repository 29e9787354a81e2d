"""What a step hands over: one versioned JSON document, written whole or not at all.

Steps talk through these files and never import each other, so that every step is a command,
a DVC stage and a step of an Action without glue.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from titlebout.core.errors import DataError, DiskError, NotFoundError

SCHEMA_VERSION = 1
RESTORE = "restore it from git, or run the step that writes it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepResult:
    """What every step says: did it pass, and why.

    Attributes
    ----------
    step : str
        Name of the command (class attribute); the file is ``reports/<step>.json``.
    passed : bool
        True when the workflow may go on.
    reasons : tuple of str
        Sentences for people, the most important first.
    """

    step: ClassVar[str] = ""
    passed: bool
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of this result."""
        return {"schema_version": SCHEMA_VERSION, "step": self.step, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a result from its document; nested records stay plain dictionaries.

        Raises
        ------
        DataError
            If the document is of another step or another schema version, or lacks a key.
        """
        if document.get("step") != cls.step or document.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                f"not a {cls.step} result of schema version {SCHEMA_VERSION}",
                why=f"it says step {document.get('step')!r}, schema version {document.get('schema_version')!r}",
                fix=f"run `titlebout {cls.step}` again with this version of titlebout",
            )
        names = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in document.items() if key in names
        }
        try:
            return cls(**values)
        except TypeError as error:
            fix = f"run `titlebout {cls.step}` again"
            raise DataError(f"a {cls.step} result lacks a key", why=str(error), fix=fix) from error


def write_text_atomically(path: Path, text: str) -> Path:
    """Write ``text`` to ``path`` so that a reader sees the old or the new content, never a part.

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
            f"cannot write {path.name}", where=str(path), why=str(error), fix="free some space or check the permissions"
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
        If there is no such file.
    DataError
        If it is not a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path.name} is not there", where=str(path), fix="run the step that writes it") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not valid JSON", where=str(path), why=str(error), fix=RESTORE) from error
    if not isinstance(document, dict):
        raise DataError(f"{path.name} is not a JSON object", where=str(path), fix=RESTORE)
    return document


def _plain(value: object) -> object:
    """Turn what the field's libraries return (numpy scalars, timestamps, paths) into JSON values.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
