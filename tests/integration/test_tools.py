"""Each tool of others that a step relies on is installed, can be imported beside the rest, and does its smallest job."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sample

FRAME = pd.DataFrame(
    {"wind": [3.0, 4.5, None, 20.0], "harbour": ["Bodø", "Molde", "Molde", "Bodø"], "late": [0, 0, 1, 1]}
)


def _pandas(folder: Path) -> None:
    FRAME.to_parquet(folder / "a.parquet")

    pd.testing.assert_frame_equal(pd.read_parquet(folder / "a.parquet"), FRAME)


def _sklearn(folder: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    X = FRAME[["wind"]].fillna(9.0)

    assert LogisticRegression(C=1e6).fit(X, FRAME["late"]).predict(X).tolist()[::3] == [0, 1]


def _skops(folder: Path) -> None:
    import skops.io
    from sklearn.preprocessing import StandardScaler

    skops.io.dump(StandardScaler().fit([[0.0], [4.0]]), folder / "scaler.skops")

    assert skops.io.load(folder / "scaler.skops").transform([[4.0]]).tolist() == [[1.0]]


def _great_expectations(folder: Path) -> None:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": FRAME})
    result = batch.validate(gx.expectations.ExpectColumnValuesToNotBeNull(column="wind"))

    assert not result.success
    assert result.result["unexpected_count"] == 1


def _evidently(folder: Path) -> None:
    from evidently import Report
    from evidently.metrics import ValueDrift

    random = np.random.default_rng(0)
    calm, stormy = (pd.DataFrame({"wind": random.normal(mean, 1, 200)}) for mean in (0, 3))
    found = Report([ValueDrift(column="wind", method="ks")]).run(reference_data=calm, current_data=stormy)

    assert found.dict()["metrics"][0]["value"] < 1e-6


def _dvc(folder: Path) -> None:
    sample.git(folder, "init", "--quiet")
    sample.dvc(folder, "init", "--quiet")
    FRAME.to_csv(folder / "a.csv", index=False)
    sample.dvc(folder, "add", "--quiet", "a.csv")

    assert "md5: " in (folder / "a.csv.dvc").read_text()


def _bentoml(folder: Path) -> None:
    import bentoml

    @bentoml.service
    class Greeter:
        """The smallest service."""

        @bentoml.api
        def greet(self, name: str) -> str:
            return f"Ahoy {name}"

    assert Greeter().greet(name="Bodø") == "Ahoy Bodø"
    assert set(Greeter.apis) == {"greet"}


def _cookiecutter(folder: Path) -> None:
    from cookiecutter.main import cookiecutter

    template = folder / "template" / "{{cookiecutter.slug}}"
    template.mkdir(parents=True)
    (folder / "template" / "cookiecutter.json").write_text('{"slug": "ferries"}')
    (template / "README.md").write_text("# {{cookiecutter.slug}}\n")
    cookiecutter(str(folder / "template"), no_input=True, output_dir=str(folder))

    assert (folder / "ferries" / "README.md").read_text() == "# ferries\n"


@pytest.mark.parametrize(
    "job",
    [_pandas, _sklearn, _skops, _great_expectations, _evidently, _dvc, _bentoml, _cookiecutter],
    ids=lambda job: job.__name__.lstrip("_"),
)
# What these tools are warned of by Python and by each other while they are imported.
@pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")  # great_expectations
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")  # evidently
@pytest.mark.filterwarnings("ignore:.*Deprecated in litestar:DeprecationWarning")  # evidently
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # evidently, while it is compiled
@pytest.mark.filterwarnings("ignore:invalid escape sequence:SyntaxWarning")  # the same from Python 3.12 on
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # bentoml
@pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning")  # bentoml
def test_a_tool_does_its_smallest_job(job: Callable[[Path], None], tmp_path: Path) -> None:
    job(tmp_path)
