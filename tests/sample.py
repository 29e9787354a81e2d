"""A small real repository for tests: 600 ferry crossings, a logistic regression, and an in-tree DVC remote."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from built import LOCK
from titlebout.core import process
from titlebout.repository.dvc_files import folder_digest

NAME = "ferries"
SOURCES = (Path(__file__), LOCK)  # what the repository is made from: this text and the locked tools
OWN_PLACES = (".dvc/tmp", ".dvc/cache", ".git")  # of DVC and git
ROWS = 600  # one crossing every two hours, 50 days; the last 14 days are 168 rows

SETTINGS = """\
schema_version = 1

[project]
name = "ferries"
package = "ferries"
pipeline = "ferries"

[checks]
suite = "expectations/ferries.json"

[gate]
min_rows = 100
smoke_test = false  # tests/integration/serving/test_package.py tests it; here it would take seconds in each evaluation

[gate.slices]
columns = ["harbour"]

[policy]
volume_growth = 0  # a batch is a large share of the few rows of a test

[retrain]
min_new_rows = 50
"""
PARAMS = """\
data:
  task: classification
  target: late
  time: departure
  drop: []
split:
  by: time
  holdout_days: 14
train:
  model: ferries.model:build_model
  seed: 0
  hyperparameters:
    C: 1.0
"""
PIPELINE = """\
stages:
  check-data:
    cmd: titlebout stage check-data --pipeline ferries
    deps: [../../data, ../../expectations/ferries.json]
    params: [data]
    metrics:
      - reports/check-data.json:
          cache: false
  prepare:
    cmd: titlebout stage prepare --pipeline ferries
    deps: [../../data, reports/check-data.json]
    params: [data, split]
    metrics:
      - reports/split.json:
          cache: false
  train:
    cmd: titlebout stage train --pipeline ferries
    deps: [../../data, ../../src/ferries, ../../requirements.lock, reports/split.json]
    params: [data, split, train]
    outs: [model]
  evaluate:
    cmd: titlebout stage evaluate --pipeline ferries
    deps: [../../data, model, reports/split.json]
    metrics:
      - reports/metrics.json:
          cache: false
"""
SUITE = """\
{
  "name": "ferries",
  "expectations": [
    {"type": "expect_table_columns_to_match_set",
     "kwargs": {"column_set": ["departure", "harbour", "wind", "waves", "passengers", "late"], "exact_match": true}},
    {"type": "expect_column_values_to_be_in_type_list",
     "kwargs": {"column": "wind", "type_list": ["int64", "float64"]}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "wind"}},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "late", "value_set": [0, 1]}}
  ]
}
"""
FEATURES = '''\
"""Features of a crossing."""

import pandas as pd


def add_hour(crossings: pd.DataFrame) -> pd.DataFrame:
    """Replace the time of departure by its hour."""
    return crossings.assign(hour=crossings["departure"].dt.hour.astype("float64")).drop(columns="departure")
'''
MODEL = '''\
"""The model: an unfitted scikit-learn pipeline."""

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from ferries.features import add_hour


def build_model(seed: int, C: float) -> Pipeline:
    """Return an unfitted pipeline from raw columns to the probability of a late arrival."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["harbour"]), (numbers, ["wind", "waves", "passengers", "hour"])
    )
    return make_pipeline(FunctionTransformer(add_hour), columns, LogisticRegression(C=C, random_state=seed))
'''
FILES = {
    "titlebout.toml": SETTINGS,
    "requirements.lock": "scikit-learn==1.7.0\n",
    "expectations/ferries.json": SUITE,
    f"pipelines/{NAME}/params.yaml": PARAMS,
    f"pipelines/{NAME}/dvc.yaml": PIPELINE,
    f"src/{NAME}/__init__.py": "",
    f"src/{NAME}/features.py": FEATURES,
    f"src/{NAME}/model.py": MODEL,
    ".gitignore": "__pycache__/\nbuild/\n/reports/\n/data\n/pipelines/*/model\n/pipelines/*/champion\n",
    ".dvcignore": "__pycache__\nbuild\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n    remote = in-tree\n"
    "['remote \"in-tree\"']\n    url = ../dvc-remote\n    verify = true\n",
}


@dataclass(frozen=True)
class CommandResult:
    """Output of a command: its exit code, its document, and its standard error."""

    code: int
    document: dict[str, Any]
    errors: str

    @property
    def error(self) -> dict[str, Any]:
        """The error in the document."""
        return self.document["error"]


Command = Callable[..., CommandResult]
Refused = Callable[..., dict[str, str]]


def crossings(rows: int = ROWS, *, start: str = "2024-03-01", seed: int = 0) -> pd.DataFrame:
    """Return `rows` crossings, two hours apart; wind and waves make them late."""
    generator = np.random.default_rng(seed)
    wind, waves = generator.normal(12, 4, rows), generator.gamma(2, 0.5, rows)
    logit = 0.45 * (wind - 12) + 1.2 * (waves - 1)
    return pd.DataFrame(
        {
            "departure": pd.date_range(start, periods=rows, freq="2h", tz="UTC"),
            "harbour": generator.choice(["Ålesund", "Bodø", "Molde"], rows),
            "wind": wind,
            "waves": np.where(generator.random(rows) < 0.05, np.nan, waves),
            "passengers": generator.integers(20, 400, rows),
            "late": (generator.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64),
        }
    )


def write_settings(root: Path) -> Path:
    """Write only the settings and the parameters; that is enough for `Project.find`."""
    return _write_files(root, ("titlebout.toml", "pipelines/ferries/params.yaml"))


def _write_files(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name], encoding="utf-8")
    return root


def write(root: Path) -> Path:
    """Write the files of the repository and its data."""
    _write_files(root, FILES)
    (root / "data").mkdir()
    crossings().to_parquet(root / "data" / "2024-03.parquet", index=False)
    return root


def write_tracked(root: Path) -> Path:
    """Write the files and the data, with the `data.dvc` that DVC would write; starts neither git nor DVC."""
    data = write(root) / "data"
    files = [path for path in data.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    tracked = {"md5": folder_digest(data), "size": size, "nfiles": len(files), "hash": "md5", "path": "data"}
    (root / "data.dvc").write_text(yaml.safe_dump({"outs": [tracked]}, sort_keys=False), encoding="utf-8")
    return root


def build(root: Path) -> Path:
    """Write the repository, track its data with DVC, and commit it all."""
    write(root)
    git(root, "init", "--quiet", "--initial-branch", "main")
    dvc(root, "add", "--quiet", "data")
    dvc(root, "push", "--quiet")
    commit(root, "First commit")
    return root


def copy(repository: Path, target: Path) -> Path:
    """Copy a repository without what DVC knows about its place."""
    return shutil.copytree(repository, target, symlinks=True, ignore=lambda _folder, names: {"tmp"} & set(names))


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    return process.run(["git", *arguments], cwd=root).stdout.strip()


def dvc(root: Path, *arguments: str) -> str:
    """Run DVC and return what it says."""
    return process.run(["dvc", *arguments], cwd=root).stdout.strip()


def commit(root: Path, message: str) -> str:
    """Commit everything and return the commit's id."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


def edit(path: Path, old: str, new: str) -> None:
    """Replace `old`, which must be there, by `new`."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def files(root: Path) -> dict[str, bytes]:
    """Return every file of a repository with its content, but for what git and DVC keep for themselves and bytecode."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if not name.startswith(OWN_PLACES) and "__pycache__" not in name
    }


def arrives(root: Path, name: str, content: str | bytes | pd.DataFrame) -> None:
    """Put a file into the folder of current data."""
    path = root / "incoming" / name
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
