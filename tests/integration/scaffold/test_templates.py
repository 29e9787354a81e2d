"""The code that is written for any table has the formatter's layout."""

from titlebout.core.process import run
from titlebout.scaffold import templates as scaffold_templates
from titlebout.scaffold.columns import ColumnRoles
from titlebout.scaffold.templates.models import STARTER_MODELS


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


def test_the_formatter_has_nothing_to_change(tmp_path: object) -> None:
    names = ["plain", 'two "words"', "it's", "both ' and \"", "back\\slash", "größe\n\t", ""]
    for loss in STARTER_MODELS:
        task = "classification" if loss == "log_loss" else "regression"
        for path, source in scaffold_templates._code("some-name", "some_name", roles(*names, task=task), loss).items():
            file = tmp_path / path.rpartition("/")[2]  # type: ignore[operator]
            file.write_text(source, encoding="utf-8")
            command = ["ruff", "format", "--check", "--no-cache", "--isolated", "--line-length", "120", str(file)]
            assert run(command, check=False).returncode == 0, source
