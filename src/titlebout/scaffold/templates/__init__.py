"""Render the files of a new repository for the user's own table: parameters, model code and its tests."""

import json
import re
from pathlib import Path
from string import Template

import tomlkit

from titlebout.core.yaml_text import to_yaml
from titlebout.repository.project import Project
from titlebout.scaffold.columns import ColumnRoles
from titlebout.scaffold.proposal import Proposal
from titlebout.scaffold.templates.models import STARTER_MODELS
from titlebout.settings.addresses import SETTINGS_FILE
from titlebout.settings.params import PARAMS_FILE, SplitParams

EXAMPLE = "flights-delay"
EXAMPLE_PACKAGE = "flights_delay"
_PACKAGE = ("__init__.py", "features.py", "model.py")
_TESTS = ("conftest.py", "test_features.py", "test_model.py")
_PREDICTIONS = {
    "log_loss": "the probability of each class",
    "absolute_error": "the median",
    "squared_error": "the mean",
    "poisson": "the mean",
}
_HERE = Path(__file__).parent


def render_team_files(
    project: Project, name: str, package: str, roles: ColumnRoles, proposal: Proposal
) -> dict[str, str]:
    """Return the content of every file that depends on the table.

    Parameters
    ----------
    project : Project
        A generated repository with the flights example.
    name, package : str
        Name of the pipeline, and import name of the team's code.
    roles : ColumnRoles
        Roles of the columns of the table.
    proposal : Proposal
        Loss, metric and holdout.

    Returns
    -------
    dict of str to str
        Path, relative to the repository, to text.
    """
    root = project.root
    stages = (project.pipeline_dir / "dvc.yaml").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    return {
        SETTINGS_FILE: _settings((root / SETTINGS_FILE).read_text(encoding="utf-8"), name, package, proposal),
        "README.md": re.sub(r"^## The example\n.*?(?=^## )", "", readme, flags=re.DOTALL | re.MULTILINE),
        f"pipelines/{name}/dvc.yaml": stages.replace(EXAMPLE_PACKAGE, package).replace(EXAMPLE, name),
        f"pipelines/{name}/{PARAMS_FILE}": _params(package, roles, proposal),
        **_code(name, package, roles, proposal.loss),
    }


def _settings(text: str, name: str, package: str, proposal: Proposal) -> str:
    """Return ``titlebout.toml`` for the user's table, with the comments and the order of keys preserved."""
    document = tomlkit.parse(text)
    document["project"] |= {"package": package, "pipeline": name}
    document["checks"]["suite"] = f"expectations/{name}.json"
    document["gate"]["slices"]["columns"].clear()  # columns of the example
    if proposal.metric:
        document["gate"]["primary_metric"] = proposal.metric
    if proposal.guardrails is not None:
        document["gate"]["guardrails"] = list(proposal.guardrails)
    if proposal.min_rows:
        document["gate"]["min_rows"] = proposal.min_rows
    document["retrain"]["min_new_rows"] = proposal.min_new_rows
    if proposal.window_days:
        document["drift"]["window_days"] = proposal.window_days
    if proposal.decay_periods:
        document["policy"] = {"decay_periods": proposal.decay_periods}
    return tomlkit.dumps(document)


def _params(package: str, roles: ColumnRoles, proposal: Proposal) -> str:
    split: dict[str, object] = {"by": "time", "holdout_days": roles.holdout_days} if roles.time else {"by": "hash"}
    if proposal.folds > 1:
        split["folds"] = proposal.folds
    elif not roles.time:
        split["fraction"] = SplitParams(by="hash").fraction
    document = {
        "data": {
            "task": roles.task,
            "target": roles.target,
            "time": roles.time,
            "drop": list(roles.drop),
            "columns": dict(roles.types),
        },
        "split": split,
        "train": {
            "model": f"{package}.model:build_model",
            "seed": 0,
            "hyperparameters": {
                "regularization": list(STARTER_MODELS[proposal.loss].regularization),
                "learning_rate": 0.06,
                "max_iter": 120,
                "max_leaf_nodes": [4, 15],
            },
        },
    }
    header = "# Parameters of the model; DVC trains again if a value changes. The configuration of the loop is in titlebout.toml.\n"
    return header + to_yaml(document)


def _code(name: str, package: str, roles: ColumnRoles, loss: str) -> dict[str, str]:
    """Return a first version of the team's package and its tests."""
    regression = roles.task == "regression"
    substitutions = {
        "pipeline": name,
        "package": package,
        "categorical": _list_literal(roles.categorical),
        "numeric": _list_literal(roles.numeric),
        "prediction": _PREDICTIONS[loss],
        "labels": "np.arange(40.0)" if regression else '["no", "yes"] * 20',
        "method": "predict" if regression else "predict_proba",
        "shape": "(40,)" if regression else "(40, 2)",
        **STARTER_MODELS[loss].substitutions(loss),
    }
    targets = {f"src/{package}": _PACKAGE, "tests": _TESTS}
    return {
        f"{folder}/{file}": Template((_HERE / f"{file}.txt").read_text(encoding="utf-8")).substitute(substitutions)
        for folder, files in targets.items()
        for file in files
    }


def _list_literal(names: tuple[str, ...]) -> str:
    """Return a list of names as formatted Python source, one name per line."""
    return "[\n" + "".join(f"    {_string_literal(name)},\n" for name in names) + "]" if names else "[]"


def _string_literal(text: str) -> str:
    """Return a Python string literal of the text, in the quotes that need fewer escapes."""
    body = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + body.replace(quote, "\\" + quote) + quote
