"""Model files: skops archives that are read without executing code, with the same bytes for the same model."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from titlebout.core.errors import ConfigError, InconclusiveError, UnsafeError
from titlebout.models.own_formats import from_stored, to_stored
from titlebout.models.trusted import is_trusted


def dump(estimator: Any, package: str, where: Path | str) -> tuple[bytes, tuple[str, ...]]:
    """Return the bytes of an estimator, fitted or not, and the trusted types in it that skops does not trust by default.

    Parameters
    ----------
    estimator : object
        scikit-learn compatible.
    package : str
        Import name of the team's code, whose types may be part of the model.
    where : Path or str
        Place for error messages.

    Raises
    ------
    ConfigError
        If a part of the estimator has a type that cannot be stored.
    UnsafeError
        If it contains types that are not trusted.
    """
    import skops.io

    try:
        weights = normalize(skops.io.dumps(to_stored(estimator)))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise ConfigError(
            "a part of the model cannot be stored",
            where=str(where),
            why=f"{type(error).__name__}: {error}",
            fix="replace this part by one that skops supports, "
            "or by a class of your own package whose attributes are numbers, text, arrays or scikit-learn objects",
        ) from error
    return weights, trusted_types(weights, package, where)


def load(weights: bytes, package: str, where: Path) -> Any:
    """Return the estimator of a model file.

    Parameters
    ----------
    weights : bytes
        Content of the file.
    package : str
        Import name of the team's code, whose types may be part of the model.
    where : Path
        The file, for error messages.

    Raises
    ------
    UnsafeError
        If it contains types that are not trusted, or cannot be read.
    InconclusiveError
        If it needs code or a library that no longer exists.
    """
    import skops.io

    trusted = trusted_types(weights, package, where)
    try:
        return from_stored(skops.io.loads(weights, trusted=list(trusted)))
    except Exception as error:
        raise InconclusiveError(
            "the model cannot be loaded with the current code",
            where=str(where),
            why=f"{type(error).__name__}: {error}",
            fix=f"restore the functions and classes that it uses in src/{package} and the libraries in pyproject.toml, "
            "or check out the commit at which it was trained",
        ) from error


def trusted_types(weights: bytes, package: str, where: Path | str) -> tuple[str, ...]:
    """Return the types in a model file that skops does not trust by default but titlebout does.

    Raises
    ------
    UnsafeError
        If a type is not trusted, or the file cannot be read.
    """
    import skops.io

    try:
        untrusted = skops.io.get_untrusted_types(data=weights)
    except Exception as error:  # a broken or crafted file can raise anything
        raise UnsafeError(
            "the model file cannot be read",
            where=str(where),
            why=f"{type(error).__name__}: {error}",
            fix="restore the file: `dvc checkout --force`",
        ) from error
    refused = sorted(name for name in untrusted if not is_trusted(name, package))
    if refused:
        raise UnsafeError(
            f"the model contains types that are not trusted: {', '.join(refused)}",
            where=str(where),
            why="loading an untrusted type could run arbitrary code",
            fix="use estimators of scikit-learn, LightGBM, XGBoost or CatBoost, and classes and functions that "
            f"src/{package} defines under a name; a lambda has no name. A model of another library: "
            "docs/how-to/use-your-own-model.md",
        )
    return tuple(sorted(untrusted))


def normalize(archive: bytes) -> bytes:
    """Return a skops archive with everything removed that differs between two dumps of the same estimator.

    Identical training must give identical bytes: DVC identifies a model by its content, the gate recognizes the champion
    by its hash, and the tag of a bento is the digest of the weights. ``skops.io.dumps`` is not deterministic. An archive
    is a zip file with ``schema.json`` and one file per array, and differs between processes in three places:

    - ``__id__`` of a node in the schema is ``id()`` of the object, a memory address. The loader uses it only to restore
      shared references, that is, to load equal ids as the same object, so any numbering that keeps equal ids equal and
      distinct ids distinct loads to the same model (:class:`_ObjectNumbers`).
    - Array files are named ``<id>.npy`` after the same addresses, or after a random UUID for raw bytes, and the schema
      refers to them under ``file``. They are renumbered with the schema, so that names and references still agree.
    - The zip directory has the time of writing, in the order of writing. Here all members get the earliest time that
      zip can represent and are sorted by name.

    The archive is also compressed, because skops stores members uncompressed by default. Normalization is idempotent, and
    is tested by loading the result. If skops gets deterministic dumps, this function and :class:`_ObjectNumbers` can go.
    """
    source = zipfile.ZipFile(io.BytesIO(archive))
    numbers = _ObjectNumbers()
    schema = numbers.rename(json.loads(source.read("schema.json")))
    members = {"schema.json": json.dumps(schema, indent=1).encode()}
    members |= {numbers.of_file(name): source.read(name) for name in source.namelist() if name != "schema.json"}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compresslevel=9) as out:
        for name in sorted(members):
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


class _ObjectNumbers:
    """Numbering of the objects in a skops schema by first occurrence, 1, 2, 3, ..., in place of memory addresses.

    Only ``__id__`` and ``file`` entries of the types that skops writes are replaced. An estimator may have parameters
    with these names, but skops stores their values as nodes (mappings), not as a bare integer or string.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, address: str) -> int:
        return self._numbers.setdefault(address, len(self._numbers) + 1)

    def of_file(self, name: str) -> str:
        stem, dot, ending = name.partition(".")
        return f"{self.of(stem)}{dot}{ending}"

    def rename(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.rename(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {key: self._rename_entry(key, item) for key, item in node.items()}

    def _rename_entry(self, key: str, item: Any) -> Any:
        if key == "__id__" and isinstance(item, int):
            return self.of(str(item))
        if key == "file" and isinstance(item, str):
            return self.of_file(item)
        return self.rename(item)
