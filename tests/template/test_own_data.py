"""A stranger's table in the place of the example: all of it, or nothing."""

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

from generation import Generate, files_of, run

HOSTILE = 'price "net" $(touch PWNED) \' ${{ x }} <img src=x>'


def houses(rows: int = 1500) -> pd.DataFrame:
    """Houses sold over two months; the price follows from area, town and one column with a hostile name."""
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


def fresh(table: Path, folder: Path, *options: str) -> Path:
    ran = titlebout("new", "House prices", "--output-dir", folder, "--data", table, *options, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder / "house-prices"


@pytest.mark.parametrize(("target", "task"), [("price", "regression"), ("expensive", "classification")])
def test_a_table_becomes_a_repository_that_is_green_and_can_train(
    table: Path, tmp_path: Path, target: str, task: str
) -> None:
    project = fresh(table, tmp_path, "--target", target)
    settings = tomllib.loads((project / "titlebout.toml").read_text("utf-8"))
    assert settings["project"] == {"name": "house-prices", "package": "house_prices", "pipeline": "house-prices"}
    assert settings["checks"]["suite"] == "expectations/house-prices.json"
    assert settings["gate"]["slices"] == {"columns": []}
    params = yaml.safe_load((project / "pipelines/house-prices/params.yaml").read_text("utf-8"))
    assert params["data"] == {"task": task, "target": target, "time": "sold", "drop": ["house_id"]}
    assert (project / "data" / "house-prices.csv").read_bytes() == table.read_bytes()
    for command in ("ruff check --no-cache", "ruff format --check --no-cache", "pytest -q -p no:cacheprovider"):
        ran = run(*command.split(), cwd=project, PYTHONPATH=f"{project / 'src'}:{project / 'vendor/titlebout/src'}")
        assert ran.returncode == 0, ran.stdout
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "First", cwd=project)
    for command in ("train", "evaluate", "promote"):
        ran = titlebout(command, "--json", cwd=project)
        assert ran.returncode == 0, ran.stderr
    assert json.loads((project / "reports" / "evaluate.json").read_text())["verdict"] == "promote"
    assert (project / "pipelines/house-prices/champion.dvc").is_file()
    assert not list(tmp_path.rglob("PWNED"))


def test_nothing_of_the_example_is_left(table: Path, tmp_path: Path) -> None:
    project = fresh(table, tmp_path, "--target", "price")
    names = [path.relative_to(project).as_posix() for path in project.rglob("*") if ".git" not in path.parts]
    own = [name for name in names if not name.startswith("vendor/")]
    assert not [name for name in own if "flight" in name or "2013" in name]
    texts = {name: content for name, content in files_of(project).items() if name in own and ".dvc/" not in name}
    assert not [name for name, content in texts.items() if b"flight" in content.lower()]
    assert len(list((project / "dvc-remote").rglob("*.dir"))) == 1


def test_the_data_can_be_restored_from_the_repository_alone(table: Path, tmp_path: Path) -> None:
    project = fresh(table, tmp_path, "--target", "price")
    for folder in ("data", ".dvc/cache"):
        shutil.rmtree(project / folder)
    pulled = run("dvc", "pull", "data.dvc", cwd=project)
    assert pulled.returncode == 0, pulled.stderr
    assert (project / "data" / "house-prices.csv").read_bytes() == table.read_bytes()


BAD_TABLES: dict[str, tuple[bytes, str, int, str]] = {
    "missing": (b"", "y", 5, "not there"),
    "empty": (b"", "y", 65, "empty"),
    "header-only": (b"x,y\n", "y", 65, "no rows"),
    "ragged": (b"x,y\n1,2\n3\n", "y", 65, "line 3 has 1 fields"),
    "utf-16": ("x,y\n1,2\n".encode("utf-16"), "y", 65, "not UTF-8"),
    "no-target": (b"x,y\n1,2\n2,3\n", "z", 5, "no column 'z'"),
    "one-class": (b"x,y\n1,a\n2,a\n", "y", 3, "always 'a'"),
    "null-column": (b"x,w,y\n1,,a\n2,,b\n", "y", 65, "'w' has no values"),
    "null-target": (b"x,y\n1,a\n2,\n3,b\n", "y", 65, "1 missing"),
    "no-ending": (b"x,y\n1,a\n2,b\n", "y", 65, "cannot read"),
}


@pytest.mark.parametrize("name", sorted(BAD_TABLES))
def test_a_table_that_is_refused_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    content, target, code, words = BAD_TABLES[name]
    path = tmp_path / ("table" if name == "no-ending" else "table.csv")
    if name != "missing":
        path.write_bytes(content)
    out = tmp_path / "out"
    ran = titlebout("new", "Some name", "--output-dir", out, "--data", path, "--target", target, cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert words in ran.stderr
    assert "fix: " in ran.stderr
    assert not out.exists() or not list(out.iterdir())


def test_data_without_a_target_is_refused(table: Path, tmp_path: Path) -> None:
    ran = titlebout("new", "Some name", "--output-dir", tmp_path, "--data", table, cwd=tmp_path)
    assert ran.returncode == 2
    assert "--data and --target belong together" in ran.stderr


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "flights-delay" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    ran = titlebout("new", "Flights delay", "--output-dir", tmp_path, "--json", cwd=tmp_path)
    assert ran.returncode == 6
    assert json.loads(ran.stdout)["error"]["type"] == "ConflictError"
    assert [path.name for path in tmp_path.rglob("*")] == ["flights-delay", "mine.txt"]


def test_a_name_that_the_template_refuses_is_a_configuration_error(tmp_path: Path) -> None:
    ran = titlebout("new", "../outside", "--output-dir", tmp_path, cwd=tmp_path)
    assert ran.returncode == 2
    assert "project_name '../outside'" in ran.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "package"), [("Class", "class_model"), ("Pandas", "pandas_model"), ("Json", "json_model")]
)
def test_a_package_hides_nothing_that_can_be_imported(table: Path, tmp_path: Path, name: str, package: str) -> None:
    ran = titlebout(
        *("new", name, "--output-dir", tmp_path, "--data", table, "--target", "price", "--json"), cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / name.lower() / "src" / package / "model.py").is_file()


def test_a_new_repository_inside_another_gets_no_git_of_its_own(tmp_path: Path) -> None:
    run("git", "init", "--quiet", cwd=tmp_path)
    assert titlebout("new", "Inner", "--output-dir", tmp_path / "apps", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "apps" / "inner" / ".git").exists()
    assert (
        titlebout("new", "Outer", "--output-dir", tmp_path.parent / f"{tmp_path.name}-2", cwd=tmp_path).returncode == 0
    )
    assert (tmp_path.parent / f"{tmp_path.name}-2" / "outer" / ".git").is_dir()


def committed(project: Path, folder: Path) -> Path:
    clone = folder / project.name
    shutil.copytree(project, clone)
    run("git", "init", "--quiet", "-b", "main", cwd=clone)
    run("git", "add", "--all", cwd=clone)
    run("git", "commit", "--quiet", "--message", "First", cwd=clone)
    return clone


def test_a_generated_repository_adopts_a_table_once(project: Path, table: Path, tmp_path: Path) -> None:
    clone = committed(project, tmp_path)
    adopted = titlebout("adopt", "--data", table, "--target", "price", "--json", cwd=clone)
    assert adopted.returncode == 0, adopted.stderr
    document: dict[str, Any] = json.loads(adopted.stdout)
    assert document["roles"]["categorical"] == ["town", "expensive"]
    again = titlebout("adopt", "--data", table, "--target", "expensive", cwd=clone)
    assert again.returncode == 6
    assert "is not here any more" in again.stderr


def test_adopting_never_overwrites_what_git_cannot_bring_back(project: Path, table: Path, tmp_path: Path) -> None:
    clone = committed(project, tmp_path)
    (clone / "src" / "flights_delay" / "model.py").write_text("# mine\n")
    before = files_of(clone)
    ran = titlebout("adopt", "--data", table, "--target", "price", cwd=clone)
    assert ran.returncode == 2
    assert "not committed" in ran.stderr
    assert files_of(clone) == before


def test_the_framework_itself_cannot_be_overwritten(framework: Path, table: Path) -> None:
    before = files_of(framework)
    ran = titlebout("adopt", "--data", table, "--target", "price", cwd=framework)
    assert ran.returncode == 2
    assert "not a generated repository" in ran.stderr
    assert files_of(framework) == before


def test_cookiecutter_alone_takes_a_table_too(generate: Generate, table: Path) -> None:
    project = generate(project_name="House prices", data_file=str(table), target="price", task="regression")
    assert (project / "pipelines/house-prices/params.yaml").is_file()
    assert not (project / ".git").exists()
    assert not (project / ".dvc/config.local").exists()
    assert not list(project.rglob("__pycache__"))


def test_cookiecutter_without_our_requirements_says_what_to_run_instead(
    framework: Path, table: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    network = {name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "XDG_", "HTTP"))}
    run("uv", "venv", "--quiet", bare, cwd=tmp_path, **network)
    installed = run("uv", "pip", "install", "--python", bare, "cookiecutter", cwd=tmp_path, **network)
    assert installed.returncode == 0, installed.stderr
    given = (f"data_file={table}", "target=price", "task=regression")
    command = (bare / "bin" / "cookiecutter", framework, "--no-input", "--output-dir", tmp_path / "out")
    ran = run(*command, *given, cwd=tmp_path)
    assert ran.returncode != 0
    assert "run `titlebout new --data`" in ran.stderr
    assert not list((tmp_path / "out").rglob("titlebout.toml"))
