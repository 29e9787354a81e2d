"""A user's own table in place of the example: the repository is complete, or nothing is written."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from generation import files_of, run

HOSTILE = 'price "net" $(touch PWNED) \' ${{ x }} <img src=x>'


def houses(rows: int = 1500) -> pd.DataFrame:
    """Return houses sold over two months; the price depends on area, town and a column with a hostile name."""
    generator = np.random.default_rng(1)
    area, town = generator.normal(120, 30, rows).round(1), generator.choice(["Århus", "Odense", "Vejle"], rows)
    tax = generator.normal(0, 1, rows)
    price = 1000 * area + np.where(town == "Århus", 50_000, 0) + 9_000 * tax + generator.normal(0, 4_000, rows)
    return pd.DataFrame(
        {
            "house_id": generator.permutation(rows),
            "sold": pd.date_range("2024-01-01", periods=rows, freq="h").astype(str),
            "area": area,
            "town": town,
            HOSTILE: tax,
            "price": price.round(),
            "expensive": np.where(price > np.median(price), "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "houses for sale.csv"
    houses().to_csv(path, index=False)
    return path


def titlebout(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "titlebout", *arguments, cwd=cwd)


def new_project(table: Path, folder: Path, *options: str) -> Path:
    completed = titlebout("new", "House prices", "--output-dir", folder, "--data", table, *options, cwd=folder)
    assert completed.returncode == 0, completed.stderr
    return folder / "house-prices"


@pytest.mark.parametrize(
    ("target", "task"),
    [pytest.param("price", "regression", marks=pytest.mark.nightly), ("expensive", "classification")],
)
def test_a_table_becomes_a_repository_that_passes_tests_and_trains(
    table: Path, tmp_path: Path, target: str, task: str
) -> None:
    project = new_project(table, tmp_path, "--target", target)
    settings = tomllib.loads((project / "titlebout.toml").read_text("utf-8"))
    assert settings["project"] == {"name": "house-prices", "package": "house_prices", "pipeline": "house-prices"}
    assert settings["checks"]["suite"] == "expectations/house-prices.json"
    assert settings["gate"]["slices"] == {"columns": []}
    params = yaml.safe_load((project / "pipelines/house-prices/params.yaml").read_text("utf-8"))
    assert params["data"] == {
        "task": task,
        "target": target,
        "time": "sold",
        "drop": ["house_id"],
        "columns": {
            "house_id": "integer",
            "sold": "datetime",
            "area": "number",
            "town": "text",
            HOSTILE: "number",
            "price": "number",
            "expensive": "text",
        },
    }
    assert (project / "data" / "house-prices.csv").read_bytes() == table.read_bytes()
    for command in ("ruff check --no-cache", "ruff format --check --no-cache", "pytest -q -p no:cacheprovider"):
        completed = run(
            *command.split(), cwd=project, PYTHONPATH=f"{project / 'src'}:{project / 'vendor/titlebout/src'}"
        )
        assert completed.returncode == 0, completed.stdout
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "First", cwd=project)
    for command in ("train", "evaluate", "promote"):
        completed = titlebout(command, "--json", cwd=project)
        assert completed.returncode == 0, completed.stderr
    assert json.loads((project / "reports" / "evaluate.json").read_text())["verdict"] == "promote"
    assert (project / "pipelines/house-prices/champion.dvc").is_file()
    assert not list(tmp_path.rglob("PWNED"))


def test_nothing_of_the_example_is_left(table: Path, tmp_path: Path) -> None:
    project = new_project(table, tmp_path, "--target", "price")
    names = [path.relative_to(project).as_posix() for path in project.rglob("*") if ".git" not in path.parts]
    own = [name for name in names if not name.startswith("vendor/")]
    assert not [name for name in own if "flight" in name or "2013" in name]
    texts = {name: content for name, content in files_of(project).items() if name in own and ".dvc/" not in name}
    assert not [name for name, content in texts.items() if b"flight" in content.lower()]
    assert len(list((project / "dvc-remote").rglob("*.dir"))) == 1


def test_the_library_leaves_out_what_generates_repositories(table: Path, project: Path, tmp_path: Path) -> None:
    own = new_project(table, tmp_path, "--target", "price")
    vendored, whole = ("vendor/titlebout/src/titlebout", files_of(project / "vendor/titlebout"))
    left_out = {name for name in whole if name not in files_of(own / "vendor/titlebout")}
    assert left_out == {name for name in whole if "/scaffold/" in name}
    assert left_out
    path = str(own / "vendor/titlebout/src")
    for command in (("doctor", "--library"), ("train", "--help"), ("new", "--help")):
        completed = run(sys.executable, "-m", "titlebout", *command, cwd=own, PYTHONPATH=path)
        assert completed.returncode == 0, completed.stdout + completed.stderr
    for command in (("new", "again"), ("adopt", "--data", str(table), "--target", "price")):
        completed = run(sys.executable, "-m", "titlebout", *command, cwd=own, PYTHONPATH=path)
        assert completed.returncode == 5
        assert "this copy of titlebout does not include `new` and `adopt`" in completed.stderr
        assert "fix: " in completed.stderr
    assert not (own / vendored / "scaffold").exists()


def test_the_data_can_be_restored_from_the_repository_alone(table: Path, tmp_path: Path) -> None:
    project = new_project(table, tmp_path, "--target", "price")
    for folder in ("data", ".dvc/cache"):
        shutil.rmtree(project / folder)
    pulled = run("dvc", "pull", "data.dvc", cwd=project)
    assert pulled.returncode == 0, pulled.stderr
    assert (project / "data" / "house-prices.csv").read_bytes() == table.read_bytes()


BAD_TABLES: dict[str, tuple[bytes, str, int, str]] = {
    "missing": (b"", "y", 5, "does not exist"),
    "empty": (b"", "y", 65, "empty"),
    "header-only": (b"x,y\n", "y", 65, "no rows"),
    "ragged": (b"x,y\n1,2\n3\n", "y", 65, "line 3 has 1 fields"),
    "utf-16": ("x,y\n1,2\n".encode("utf-16"), "y", 65, "not UTF-8"),
    "no-target": (b"x,y\n1,2\n2,3\n", "z", 5, "column 'z' does not exist"),
    "one-class": (b"x,y\n1,a\n2,a\n", "y", 3, "always 'a'"),
    "null-column": (b"x,y\n1,\n2,\n", "y", 65, "the target 'y' has no values"),
    "null-target": (b"x,y\n1,a\n2,\n3,b\n", "y", 65, "1 missing"),
    "no-ending": (b"x,y\n1,a\n2,b\n", "y", 65, "unsupported file type"),
}


@pytest.mark.parametrize("name", sorted(BAD_TABLES))
def test_a_refused_table_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    content, target, code, message = BAD_TABLES[name]
    path = tmp_path / ("table" if name == "no-ending" else "table.csv")
    if name != "missing":
        path.write_bytes(content)
    out = tmp_path / "out"
    completed = titlebout("new", "Some name", "--output-dir", out, "--data", path, "--target", target, cwd=tmp_path)
    assert completed.returncode == code, completed.stderr
    assert message in completed.stderr
    assert "fix: " in completed.stderr
    assert not out.exists() or not list(out.iterdir())


def test_data_without_a_target_is_refused(table: Path, tmp_path: Path) -> None:
    completed = titlebout("new", "Some name", "--output-dir", tmp_path, "--data", table, cwd=tmp_path)
    assert completed.returncode == 2
    assert "--data and --target must be used together" in completed.stderr


def test_a_folder_that_is_not_empty_stays_unchanged(tmp_path: Path) -> None:
    user_file = tmp_path / "flights-delay" / "mine.txt"
    user_file.parent.mkdir()
    user_file.write_text("mine")
    completed = titlebout("new", "Flights delay", "--output-dir", tmp_path, "--json", cwd=tmp_path)
    assert completed.returncode == 6
    assert json.loads(completed.stdout)["error"]["type"] == "ConflictError"
    assert [path.name for path in tmp_path.rglob("*")] == ["flights-delay", "mine.txt"]


def test_an_invalid_project_name_is_a_configuration_error(tmp_path: Path) -> None:
    completed = titlebout("new", "../outside", "--output-dir", tmp_path, cwd=tmp_path)
    assert completed.returncode == 2
    assert "project_name '../outside'" in completed.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "package"), [("Class", "class_model"), ("Pandas", "pandas_model"), ("Json", "json_model")]
)
def test_a_package_name_never_hides_an_installed_module(table: Path, tmp_path: Path, name: str, package: str) -> None:
    completed = titlebout(
        *("new", name, "--output-dir", tmp_path, "--data", table, "--target", "price", "--json"), cwd=tmp_path
    )
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / name.lower() / "src" / package / "model.py").is_file()


def test_a_new_repository_inside_another_has_no_git_folder(tmp_path: Path) -> None:
    run("git", "init", "--quiet", cwd=tmp_path)
    assert titlebout("new", "Inner", "--output-dir", tmp_path / "apps", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "apps" / "inner" / ".git").exists()
    assert (
        titlebout("new", "Outer", "--output-dir", tmp_path.parent / f"{tmp_path.name}-2", cwd=tmp_path).returncode == 0
    )
    assert (tmp_path.parent / f"{tmp_path.name}-2" / "outer" / ".git").is_dir()


def committed_copy(project: Path, folder: Path) -> Path:
    clone = folder / project.name
    shutil.copytree(project, clone)
    run("git", "init", "--quiet", "-b", "main", cwd=clone)
    run("git", "add", "--all", cwd=clone)
    run("git", "commit", "--quiet", "--message", "First", cwd=clone)
    return clone


def test_a_repository_adopts_a_table_only_once(project: Path, table: Path, tmp_path: Path) -> None:
    clone = committed_copy(project, tmp_path)
    adopted = titlebout("adopt", "--data", table, "--target", "price", "--json", cwd=clone)
    assert adopted.returncode == 0, adopted.stderr
    document: dict[str, Any] = json.loads(adopted.stdout)
    assert document["roles"]["categorical"] == ["town", "expensive"]
    second = titlebout("adopt", "--data", table, "--target", "expensive", cwd=clone)
    assert second.returncode == 6
    assert "was already replaced" in second.stderr


def test_adopting_never_overwrites_uncommitted_work(project: Path, table: Path, tmp_path: Path) -> None:
    clone = committed_copy(project, tmp_path)
    (clone / "src" / "flights_delay" / "model.py").write_text("# mine\n")
    before = files_of(clone)
    completed = titlebout("adopt", "--data", table, "--target", "price", cwd=clone)
    assert completed.returncode == 2
    assert "uncommitted changes" in completed.stderr
    assert files_of(clone) == before


def test_the_framework_itself_cannot_be_overwritten(framework: Path, table: Path) -> None:
    before = files_of(framework)
    completed = titlebout("adopt", "--data", table, "--target", "price", cwd=framework)
    assert completed.returncode == 2
    assert "not a generated repository" in completed.stderr
    assert files_of(framework) == before


def test_cookiecutter_alone_accepts_a_table_beside_it_and_infers_the_task(
    framework: Path, table: Path, tmp_path: Path
) -> None:
    options = (f"data_file={table.name}", "target=price", "project_name=House prices")
    command = ("cookiecutter", framework, "--no-input", "--output-dir", tmp_path / "out")
    completed = run(*command, *options, cwd=table.parent, PWD=str(table.parent))
    assert completed.returncode == 0, completed.stderr
    project = tmp_path / "out" / "house-prices"
    assert "task: regression" in (project / "pipelines/house-prices/params.yaml").read_text("utf-8")
    assert "titlebout train && titlebout evaluate && titlebout promote" in completed.stdout
    assert (project / ".git").is_dir()
    assert not list(project.rglob("__pycache__"))


def test_cookiecutter_without_titlebout_installed_prints_the_fix(framework: Path, table: Path, tmp_path: Path) -> None:
    environment = tmp_path / "bare"
    network = {name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "XDG_", "HTTP"))}
    run("uv", "venv", "--quiet", environment, cwd=tmp_path, **network)
    installed = run("uv", "pip", "install", "--python", environment, "cookiecutter", cwd=tmp_path, **network)
    assert installed.returncode == 0, installed.stderr
    options = (f"data_file={table}", "target=price", "task=regression")
    command = (environment / "bin" / "cookiecutter", framework, "--no-input", "--output-dir", tmp_path / "out")
    completed = run(*command, *options, cwd=tmp_path)
    assert completed.returncode != 0
    assert "run `titlebout new --data`" in completed.stderr
    assert not list((tmp_path / "out").rglob("titlebout.toml"))
