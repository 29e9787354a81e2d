"""The types that a model file may contain: a rule about where a type is defined and what it is, not a list of types.

skops creates an object of a trusted type without calling its ``__init__``, but a crafted file can also ask for a call of
anything trusted, with arguments of its choice, and a loaded object calls the functions that it contains when it predicts.
So a name is trusted only if nothing that can be done with it runs other code, reads or writes a file, or opens a
connection:

- a class of scikit-learn's subpackages of estimators, splitters, scorers and kernels, written in Python: an instance is
  its attributes. Compiled classes are trusted by name, because their state is memory. ``utils``, ``datasets``,
  ``callback``, ``experimental``, ``externals`` and ``inspection`` are left out: they run jobs, read files and plot.
- a public function of ``sklearn.metrics``, ``feature_selection`` or ``preprocessing``: they compute from arrays
- a class or function that the team's package defines, which the repository already runs. A name that the package only
  imports, such as ``run`` after ``from subprocess import run``, is not its own.
- the scikit-learn interfaces of LightGBM and XGBoost, and the stored form of a model in its library's own format
- a few types and reductions of the standard library, NumPy and SciPy, each by name

The name must be the one under which the type is defined: a name that leads elsewhere is refused. What skops trusts by
default (estimators, primitive types, arrays, NumPy's and SciPy's ufuncs) is not asked for here.
"""

import sys
from functools import lru_cache
from importlib import import_module
from inspect import isfunction
from typing import Any

_SUBPACKAGES = frozenset(
    {
        "_loss",
        "calibration",
        "cluster",
        "compose",
        "covariance",
        "cross_decomposition",
        "decomposition",
        "discriminant_analysis",
        "dummy",
        "ensemble",
        "feature_extraction",
        "feature_selection",
        "frozen",
        "gaussian_process",
        "impute",
        "isotonic",
        "kernel_approximation",
        "kernel_ridge",
        "linear_model",
        "manifold",
        "metrics",
        "mixture",
        "model_selection",
        "multiclass",
        "multioutput",
        "naive_bayes",
        "neighbors",
        "neural_network",
        "pipeline",
        "preprocessing",
        "random_projection",
        "semi_supervised",
        "svm",
        "tree",
    }
)
_FUNCTIONS_OF = ("sklearn.metrics", "sklearn.feature_selection", "sklearn.preprocessing")
# Arrays of nodes and points. skops checks types, not content: numbers out of range can crash the process that predicts.
_COMPILED = frozenset(
    {
        "sklearn.metrics._dist_metrics",
        "sklearn.neighbors._ball_tree",
        "sklearn.neighbors._kd_tree",
        "sklearn.tree._tree",
    }
)
_BUILDERS = frozenset({"TreeBuilder", "DepthFirstTreeBuilder", "BestFirstTreeBuilder"})  # grow a tree; no part of one
_NAMED = frozenset(
    {
        "builtins.object",  # a dtype, in make_column_selector
        "collections.OrderedDict",
        # Harmless by itself: skops lists the function inside a partial as a type of its own.
        "functools.partial",
        "numpy.dtype",
        *(f"numpy.{name}" for name in ("max", "mean", "median", "min", "nan_to_num", "std", "sum", "var")),
        "scipy.interpolate._bsplines.BSpline",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",  # an attribute of BSpline
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.utils.validation.check_array",
        *(f"lightgbm.sklearn.LGBM{task}" for task in ("Classifier", "Regressor")),
        *(f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "Regressor", "RFClassifier", "RFRegressor")),
    }
)


def is_trusted(name: str, package: str) -> bool:
    """Return whether an object of this type, or this function, may be part of a model.

    Parameters
    ----------
    name : str
        Module and name, as skops writes it into a model file. Only modules of scikit-learn and of the team are imported.
    package : str
        Import name of the team's code.
    """
    root = name.partition(".")[0]
    if root == package:
        return _is_defined_by_team(name)
    if root == "sklearn" and name not in _NAMED:
        return _is_part_of_estimators(name)
    return name in _NAMED or name in _own_types()


def _is_defined_by_team(name: str) -> bool:
    """Return whether the team's package defines the name; a name that no longer exists is refused when it is loaded."""
    if "<" in name:  # a lambda or a nested function: "<lambda>", "<locals>"
        return False
    try:
        found = _resolve(name)
    except (ImportError, AttributeError):
        return True
    return _is_named(found, name) and (isinstance(found, type) or isfunction(found))


@lru_cache(maxsize=1024)
def _is_part_of_estimators(name: str) -> bool:
    if "".join(name.split(".")[1:2]) not in _SUBPACKAGES or ".tests." in name or "._plot" in name:
        return False
    try:
        found = _resolve(name)
    except (ImportError, AttributeError):
        return False
    if not _is_named(found, name):
        return False
    if not isinstance(found, type):
        return any(getattr(import_module(module), found.__name__, None) is found for module in _FUNCTIONS_OF)
    return _is_python(found) or (found.__module__ in _COMPILED and found.__name__ not in _BUILDERS)


def _resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _is_named(found: Any, name: str) -> bool:
    return name == f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"


def _is_python(found: type) -> bool:
    return str(sys.modules[found.__module__].__file__).endswith(".py")


def _own_types() -> frozenset[str]:
    # Imported here, because scikit-learn takes a second; a bento contains the modules that this file names.
    from titlebout.models.own_formats import StoredModel
    from titlebout.models.selection import OneStandardErrorSearch

    return frozenset(f"{own.__module__}.{own.__qualname__}" for own in (StoredModel, OneStandardErrorSearch))
