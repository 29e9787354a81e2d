"""Models of LightGBM, XGBoost and CatBoost, stored in the format of their library, which contains no code.

Inside the model file, the library's model is replaced by a `StoredModel` with its bytes: LightGBM's text, XGBoost's UBJSON
or CatBoost's cbm. Loading replaces it again. These formats are documented and stable between versions of the library,
unlike the state that its objects are pickled with. The libraries are imported only if a model uses them.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_CATBOOST = ("CatBoostClassifier", "CatBoostRegressor")
# Set by training, and different in every run; a model of the same training run must have the same bytes.
_CATBOOST_RUN = ("model_guid", "train_finish_time")


@dataclass
class StoredModel:
    """A model in the format of its library.

    Attributes
    ----------
    type : str
        Module and name of the type that it replaces, a key of `_FORMATS`.
    content : bytes
        The model in the library's own format.
    """

    type: str
    content: bytes


@dataclass(frozen=True)
class _Format:
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]


def to_stored(estimator: Any) -> Any:
    """Return an estimator without what its file cannot contain; the estimator itself is not changed.

    Models with an own format become a `StoredModel`. The distributions of a search, which only ``fit`` samples from,
    become their description: SciPy builds the code of a distribution from text when it loads one. The number of threads of the
    fit, which scikit-learn keeps in a gradient boosting, becomes 1: the same training gives the same bytes on any machine.
    """
    replaced: dict[int, object] = {}
    for part in parts(estimator):
        if _name(part) in _FORMATS:
            replaced[id(part)] = StoredModel(_name(part), _FORMATS[_name(part)].dump(part))
        elif _is_distribution(part):
            replaced[id(part)] = _describe(part)
    if not replaced and not any(map(_has_thread_count, parts(estimator))):
        return estimator
    stored = copy.deepcopy(estimator, replaced)
    for part in filter(_has_thread_count, parts(stored)):
        part.n_threads = 1
    return stored


def from_stored(estimator: Any) -> Any:
    """Return a loaded estimator with the models of `to_stored` in place."""
    stored = [part for part in parts(estimator) if isinstance(part, StoredModel)]
    restored = {id(part): _FORMATS[part.type].load(part.content) for part in stored}
    return copy.deepcopy(estimator, restored) if restored else estimator


def parts(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and every object that it contains, each once: attributes, and items of containers."""
    queue, seen = [estimator], set()
    while queue:
        part = queue.pop()
        if id(part) in seen or isinstance(part, str | bytes | int | float | type | None):
            continue
        seen.add(id(part))
        yield part
        queue.extend(_children(part))


def _children(part: Any) -> Iterator[Any]:
    if _name(part) in _FORMATS or isinstance(part, ModuleType):
        return
    if isinstance(part, dict):
        yield from part.values()
    elif isinstance(part, list | tuple | set | frozenset):
        yield from part
    elif isinstance(part, np.ndarray):
        yield from part.flat if part.dtype == object else ()
    elif not callable(part) or hasattr(part, "get_params"):  # no function; some estimators can be called
        yield from getattr(part, "__dict__", {}).values()


def _has_thread_count(part: Any) -> bool:
    """Return whether scikit-learn keeps the number of threads of a fit in a part, as in the bins of gradient boosting."""
    return type(part).__module__.startswith("sklearn.") and "n_threads" in getattr(part, "__dict__", {})


def _name(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _is_distribution(part: Any) -> bool:
    return type(part).__module__.startswith("scipy.stats.")


def _describe(distribution: Any) -> str:
    name = getattr(getattr(distribution, "dist", distribution), "name", "")
    values = [*getattr(distribution, "args", ()), *getattr(distribution, "kwds", {}).values()]
    return f"{name}({', '.join(map(str, values))})"


def _dump_lightgbm(booster: Any) -> bytes:
    return str(booster.model_to_string()).encode()


def _load_lightgbm(content: bytes) -> Any:
    return import_module("lightgbm").Booster(model_str=content.decode())


def _dump_xgboost(booster: Any) -> bytes:
    return bytes(booster.save_raw(raw_format="ubj"))


def _load_xgboost(content: bytes) -> Any:
    return import_module("xgboost").Booster(model_file=bytearray(content))


def _dump_catboost(model: Any) -> bytes:
    """Return the model as cbm; nothing if it is not fitted, such as the template of a search, which only fit uses."""
    if not model.is_fitted():
        return b""
    model = copy.copy(model)
    for key in _CATBOOST_RUN:
        model.get_metadata()[key] = ""
    with tempfile.TemporaryDirectory(prefix="titlebout-catboost-") as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path), format="cbm")
        return path.read_bytes()


def _catboost_loader(name: str) -> Callable[[bytes], Any]:
    def load(content: bytes) -> Any:
        model = getattr(import_module("catboost"), name)()
        return model.load_model(blob=content) if content else model

    return load


_FORMATS = {
    "lightgbm.basic.Booster": _Format(_dump_lightgbm, _load_lightgbm),
    "xgboost.core.Booster": _Format(_dump_xgboost, _load_xgboost),
    **{f"catboost.core.{name}": _Format(_dump_catboost, _catboost_loader(name)) for name in _CATBOOST},
}
