"""The rule of trusted types: what estimators are made of, and nothing that runs, reads, writes or connects."""

import importlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from titlebout.core.errors import InconclusiveError, UnsafeError
from titlebout.models import archive
from titlebout.models.own_formats import StoredModel
from titlebout.models.trusted import is_trusted


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.metrics._classification.fbeta_score",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.model_selection._split.TimeSeriesSplit",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.tree._tree.Tree",
        "titlebout.models.own_formats.StoredModel",
        "titlebout.models.selection.OneStandardErrorSearch",
    ],
)
def test_parts_of_estimators_are_trusted(name: str) -> None:
    assert is_trusted(name, "ferries")


@pytest.mark.parametrize(
    "name",
    [
        "antigravity.fly",
        "builtins.eval",
        "builtins.getattr",
        "joblib.memory.Memory",
        "joblib.numpy_pickle.load",
        "lightgbm.basic.Booster",
        "numpy.fromfile",
        "numpy.load",
        "numpy.vectorize",
        "operator.call",
        "operator.methodcaller",
        "pandas.io.pickle.read_pickle",
        "posix.system",
        "scipy.stats._distn_infrastructure.rv_continuous_frozen",  # its shapes are compiled when it is loaded
        "skops.io._persist.load",
        "sklearn",
        "sklearn.base.clone",
        "sklearn.calibration.Parallel",  # only imported there
        "sklearn.callback._scoring_monitor.ScoringMonitor",
        "sklearn.datasets._base.load_files",
        "sklearn.ensemble._forest.threading",
        "sklearn.linear_model.LogisticRegression",  # not the name under which it is defined
        "sklearn.metrics._plot.roc_curve.RocCurveDisplay",
        "sklearn.metrics._scorer.np",
        "sklearn.model_selection._validation.cross_val_score",
        "sklearn.nothing.Nothing",
        "sklearn.tree._tree.DepthFirstTreeBuilder",
        "sklearn.tree._tree.Tree.predict",
        "sklearn.utils._testing.assert_run_python_script_without_output",
        "sklearn.utils.parallel.Parallel",
        "sklearn.utils.parallel._FuncWrapper",
        "titlebout.core.process.run",
        "titlebout.models.own_formats.from_stored",
        "xgboost.core.Booster",
    ],
)
def test_anything_else_is_refused(name: str) -> None:
    assert not is_trusted(name, "ferries")


CODE = """\
import functools
from os import system
from subprocess import run

import pandas as pd
from pandas import read_pickle

execute = system
aliased = functools.partial(system, "true")


def pick(X):
    return X


class Scale:
    def fit(self, X, y=None):
        return self
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The team's package, which imports more than it defines."""
    package = tmp_path / "src" / "liners"
    package.mkdir(parents=True)
    (package / "steps.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    importlib.invalidate_caches()
    return importlib.import_module("liners.steps")


@pytest.mark.usefixtures("team")
def test_a_team_is_trusted_for_what_it_defines_only() -> None:
    trusted = {"pick", "Scale"}
    imported = {"system", "run", "pd", "read_pickle", "execute", "aliased", "functools", "<lambda>", "pick.<locals>.f"}

    assert {name for name in trusted | imported if is_trusted(f"liners.steps.{name}", "liners")} == trusted
    assert not is_trusted("liners.steps.pick", "liner")
    assert is_trusted("liners.steps.no_longer_there", "liners")  # loading it fails


def crafted(node: dict[str, Any]) -> bytes:
    """Return an archive of a transformer, whose function is another node."""
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(FunctionTransformer())))
    schema = json.loads(source.read("schema.json"))
    schema["content"]["content"]["func"] = node
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        out.writestr("schema.json", json.dumps(schema))
    return target.getvalue()


def text(value: object) -> dict[str, Any]:
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def items(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": list(nodes)}


def called(module: str, name: str, *arguments: object) -> dict[str, Any]:
    """Return a node that makes skops call something as it loads."""
    content = items(*map(text, arguments))
    return {"__class__": name, "__module__": module, "__loader__": "ConstructorFromReduceNode", "content": content}


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize(
    "node",
    [
        called("liners.steps", "run", "touch {ran}"),
        called("liners.steps", "system", "touch {ran}"),
        called("liners.steps", "read_pickle", "{ran}"),
        called("sklearn.utils.parallel", "Parallel", 2),
        called("numpy", "load", "{ran}"),
        called("lightgbm.basic", "Booster", None, None, "{ran}"),
        called("titlebout.core.process", "run", ["touch", "{ran}"]),
        {
            "__class__": "methodcaller",
            "__module__": "operator",
            "__loader__": "OperatorFuncNode",
            "attrs": items(text("run")),
        },
        {
            "__class__": "StoredModel",
            "__module__": "titlebout.models.own_formats",
            "__loader__": "MethodNode",
            "content": {"func": "__init__", "obj": called("titlebout.models.own_formats", "StoredModel", "x", "y")},
        },
    ],
    ids=lambda node: f"{node['__module__']}.{node['__class__']}",
)
def test_a_crafted_call_is_refused_before_it_runs(node: dict[str, Any], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    weights = crafted(json.loads(json.dumps(node).replace("{ran}", str(ran))))

    with pytest.raises(UnsafeError, match="types that are not trusted"):
        archive.load(weights, "liners", tmp_path)
    assert not ran.exists()


def test_a_stored_model_of_an_unknown_type_cannot_be_loaded(tmp_path: Path) -> None:
    weights, _ = archive.dump(
        FunctionTransformer(kw_args={"model": StoredModel("os.system", b"true")}), "liners", tmp_path
    )

    with pytest.raises(InconclusiveError, match="cannot be loaded"):
        archive.load(weights, "liners", tmp_path)
