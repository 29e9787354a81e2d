"""The code generated for a user's table: it parses, is formatted, and quotes column names safely."""

import ast
import tomllib

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from titlebout.scaffold import templates as scaffold_templates
from titlebout.scaffold.columns import ColumnRoles
from titlebout.scaffold.proposal import Proposal

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def roles(*names: str, task: str = "classification", time: str = "") -> ColumnRoles:
    return ColumnRoles(
        task=task,
        target="y",
        time=time,
        drop=(),
        numeric=names,
        categorical=names[:1],
        holdout_days=7,
        types=dict.fromkeys(names, "number"),
        rivals=(),
        notes=(),
    )


@given(text)
def test_any_column_name_survives_as_python_source(name: str) -> None:
    assert ast.literal_eval(scaffold_templates._string_literal(name)) == name


@given(st.lists(text, max_size=3, unique=True))
def test_any_column_names_give_valid_code_that_lists_them(names: list[str]) -> None:
    for path, source in scaffold_templates._code("some-name", "some_name", roles(*names), "log_loss").items():
        tree = ast.parse(source, path)
        if path.endswith("features.py") and "src" in path:
            lists = {
                node.target.id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.AnnAssign)
            }
            assert lists == {"CATEGORICAL": names[:1], "NUMERIC": names}


def test_the_settings_get_what_is_proposed_and_keep_their_comments() -> None:
    example_text = '[project]\n[checks]\n[gate.slices]\ncolumns = ["a"]  # of the example\n[drift]\n[retrain]\n'
    proposal = Proposal(
        loss="poisson", metric="rmse", guardrails=(), min_rows=100, min_new_rows=70, window_days=154, decay_periods=9
    )
    found = scaffold_templates._settings(example_text, "boats", "boats_team", proposal)

    assert "# of the example" in found
    assert tomllib.loads(found) == {
        "project": {"package": "boats_team", "pipeline": "boats"},
        "checks": {"suite": "expectations/boats.json"},
        "gate": {"slices": {"columns": []}, "primary_metric": "rmse", "guardrails": [], "min_rows": 100},
        "drift": {"window_days": 154},
        "retrain": {"min_new_rows": 70},
        "policy": {"decay_periods": 9},
    }


@given(text, st.sampled_from(["classification", "regression"]), st.sampled_from(["", "when"]))
@example("a\x85b", "regression", "")
def test_any_names_survive_in_the_parameters(name: str, task: str, time: str) -> None:
    given_roles = roles(name, task=task, time=time)
    proposal = Proposal(loss="log_loss")
    document = yaml.safe_load(
        scaffold_templates._params("pkg", given_roles.replace(target=name, drop=(name,)), proposal)
    )
    columns = {name: "number"}
    assert document["data"] == {"task": task, "target": name, "time": time, "drop": [name], "columns": columns}
    assert document["split"] == ({"by": "time", "holdout_days": 7} if time else {"by": "hash", "fraction": 0.2})
    in_folds = yaml.safe_load(scaffold_templates._params("pkg", given_roles, proposal.replace(folds=5)))["split"]
    assert in_folds == ({"by": "time", "holdout_days": 7, "folds": 5} if time else {"by": "hash", "folds": 5})
