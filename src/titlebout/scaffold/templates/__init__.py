"""The first version of a repository with the user's own table: parameters, model code, its tests; to be edited from then on."""

import json
import re
from pathlib import Path
from string import Template

import tomlkit

from titlebout.core.yaml_text import to_yaml
from titlebout.repository.project import Project
from titlebout.scaffold.columns import Roles
from titlebout.settings.addresses import SETTINGS_FILE
from titlebout.settings.params import PARAMS_FILE

EXAMPLE = "flights-delay"
EXAMPLE_PACKAGE = "flights_delay"
_PACKAGE = ("__init__.py", "features.py", "model.py")
_TESTS = ("conftest.py", "test_features.py", "test_model.py")
_HERE = Path(__file__).parent


def files(project: Project, name: str, package: str, roles: Roles) -> dict[str, str]:
    """Return the text of every file that depends on the table.

    Parameters
    ----------
    project : Project
        A generated repository with the flights example in it.
    name, package : str
        Name of the pipeline, and import name of the team's code.
    roles : Roles

    Returns
    -------
    dict of str to str
        Path, relative to the repository, to text.
    """
    root = project.root
    stages = (project.pipeline_dir / "dvc.yaml").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    return {
        SETTINGS_FILE: _settings((root / SETTINGS_FILE).read_text(encoding="utf-8"), name, package),
        "README.md": re.sub(r"^## The example\n.*?(?=^## )", "", readme, flags=re.DOTALL | re.MULTILINE),
        f"pipelines/{name}/dvc.yaml": stages.replace(EXAMPLE_PACKAGE, package).replace(EXAMPLE, name),
        f"pipelines/{name}/{PARAMS_FILE}": _params(package, roles),
        **_code(name, package, roles),
    }


def _settings(text: str, name: str, package: str) -> str:
    """Return ``titlebout.toml`` about the user's table; comments and order of the keys stay."""
    document = tomlkit.parse(text)
    document["project"] |= {"package": package, "pipeline": name}
    document["checks"]["suite"] = f"expectations/{name}.json"
    document["gate"]["slices"]["columns"].clear()  # those of the example
    return tomlkit.dumps(document)


def _params(package: str, roles: Roles) -> str:
    by_time = {"by": "time", "holdout_days": roles.holdout_days}
    document = {
        "data": {"task": roles.task, "target": roles.target, "time": roles.time, "drop": list(roles.drop)},
        "split": by_time if roles.time else {"by": "hash", "fraction": 0.2},
        "train": {
            "model": f"{package}.model:build_model",
            "seed": 0,
            "hyperparameters": {"learning_rate": 0.06, "max_iter": 120},
        },
    }
    head = "# What changes the model; DVC retrains when a value changes. Policy is in titlebout.toml.\n"
    return head + to_yaml(document)


def _code(name: str, package: str, roles: Roles) -> dict[str, str]:
    """Return the team's package and its tests, to start from."""
    regression = roles.task == "regression"
    values = {
        "pipeline": name,
        "package": package,
        "categorical": _list(roles.categorical),
        "numeric": _list(roles.numeric),
        "estimator": f"HistGradientBoosting{'Regressor' if regression else 'Classifier'}",
        "answer": "the predicted value" if regression else "the probability of each class",
        "loss": '\n        loss="absolute_error",' if regression else "",
        "labels": "np.arange(40.0)" if regression else '["no", "yes"] * 20',
        "method": "predict" if regression else "predict_proba",
        "shape": "(40,)" if regression else "(40, 2)",
    }
    targets = {f"src/{package}": _PACKAGE, "tests": _TESTS}
    return {
        f"{folder}/{file}": Template((_HERE / f"{file}.txt").read_text(encoding="utf-8")).substitute(values)
        for folder, files in targets.items()
        for file in files
    }


def _list(names: tuple[str, ...]) -> str:
    """Return a list of names as Python source, the way the formatter writes it: one name per line."""
    return "[\n" + "".join(f"    {_literal(name)},\n" for name in names) + "]" if names else "[]"


def _literal(text: str) -> str:
    """Return text as a Python string, in the quotes that need fewer escapes."""
    body = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + body.replace(quote, "\\" + quote) + quote
