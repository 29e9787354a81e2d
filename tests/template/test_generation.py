"""What a user gets: the same bytes by every way, nothing unfinished in it, and nothing at all for answers that are unsafe."""

import configparser
import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import share
from generation import PROGRAMS, ROOT, Generate, files_of, run

# What the root and the example in a generated repository have in common, byte for byte.
SHARED = (
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    ".github/dependabot.yml",
    ".github/zizmor.yml",
    "expectations/flights-delay.json",
    "pipelines/flights-delay/dvc.yaml",
    "pipelines/flights-delay/params.yaml",
    "requirements-serve.in",
    "requirements-serve.lock",
    "requirements.lock",
    "src/flights_delay/__init__.py",
    "src/flights_delay/features.py",
    "src/flights_delay/model.py",
    "titlebout.toml",
)
REMOTES = ["s3://bucket/path", "gs://bucket/path", "azure://container/path", "ssh://user@host/path"]
WRITTEN_BY_HAND = r"\.(ya?ml|toml|md|py|sh|cfg)$|Makefile$|config$"


def own_text(project: Path) -> dict[str, str]:
    """Return the text files of a generated repository that are not the library."""
    return {
        name: content.decode()
        for name, content in files_of(project).items()
        if not name.startswith("vendor/") and re.search(WRITTEN_BY_HAND, name)
    }


@pytest.mark.parametrize("name", SHARED)
def test_the_example_is_the_one_of_the_framework_itself(project: Path, name: str) -> None:
    assert (project / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize(
    "pair", [("actions", ".github/actions"), ("library", "src/titlebout")], ids=lambda pair: pair[0]
)
def test_actions_and_library_travel_whole(project: Path, framework: Path, pair: tuple[str, str]) -> None:
    source = framework / pair[1]
    target = project / (".github/actions" if pair[0] == "actions" else "vendor/titlebout/src/titlebout")
    assert files_of(target) == files_of(source)
    assert (target / "setup" / "setup.sh").is_file() == (pair[0] == "actions")


def test_every_way_to_generate_gives_the_same_bytes(project: Path, framework: Path, tmp_path: Path) -> None:
    address = f"git+{framework.as_uri()}"
    by_git = run("cookiecutter", address, "--no-input", "--output-dir", tmp_path / "git", cwd=tmp_path)
    assert by_git.returncode == 0, by_git.stderr
    by_cruft = run(
        *("cruft", "create", framework.as_uri(), "--directory", "cookiecutter", "--no-input"),
        *("--output-dir", tmp_path / "cruft"),
        cwd=tmp_path,
    )
    assert by_cruft.returncode == 0, by_cruft.stderr
    expected = files_of(project)
    assert files_of(tmp_path / "git" / project.name) == expected
    assert files_of(tmp_path / "cruft" / project.name) == expected


def test_the_repository_names_the_python_it_was_generated_with(project: Path) -> None:
    assert (project / ".python-version").read_text() == "{}.{}\n".format(*sys.version_info)


def test_nothing_of_the_template_or_of_a_machine_is_left(project: Path) -> None:
    for name, text in own_text(project).items():
        found = re.search(r"cookiecutter|\{%|\{\{ (?!\S*github|steps|needs|inputs)|/home/|TODO", text)
        # Expressions of workflows are the one thing in double braces that has to stay.
        assert found is None or (name.startswith(".github/") and found[0] == "{{ "), f"{name}: {found}"


def test_no_link_and_no_leftover_of_python_is_in_it(project: Path) -> None:
    assert not [path for path in project.rglob("*") if path.is_symlink()]
    assert not [name for name in files_of(project) if "__pycache__" in name or name.endswith(".pyc")]


def test_data_and_models_stay_below_a_megabyte(project: Path) -> None:
    payload = [*(project / "dvc-remote").rglob("*"), *(project / "incoming").iterdir()]
    assert 0 < sum(path.stat().st_size for path in payload if path.is_file()) <= 1_000_000


def test_dvc_can_restore_the_data_in_a_clone(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run("cp", "-r", project, clone, cwd=tmp_path)
    run("git", "init", "--quiet", cwd=clone)
    pulled = run("dvc", "pull", "data.dvc", cwd=clone)
    assert pulled.returncode == 0, pulled.stderr
    assert sorted(path.name for path in (clone / "data").iterdir()) == [f"2013-0{month}.parquet" for month in (1, 2, 3)]


def test_lint_is_green_from_the_first_push(project: Path) -> None:
    for command in (("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache")):
        ran = run(*command, cwd=project)
        assert ran.returncode == 0, ran.stdout


def test_the_teams_tests_are_green_from_the_first_push(project: Path) -> None:
    path = f"{project / 'src'}:{project / 'vendor' / 'titlebout' / 'src'}"
    ran = run("pytest", "-q", "-p", "no:cacheprovider", cwd=project, PYTHONPATH=path)
    assert ran.returncode == 0, ran.stdout
    assert "5 passed" in ran.stdout


def test_every_command_that_the_readme_and_makefile_name_exists(project: Path) -> None:
    from titlebout.cli.commands import cli

    named = set()
    for name in ("README.md", "Makefile"):
        named |= set(
            re.findall(r"(?:^|\s|`)titlebout ([a-z][a-z-]+)", (project / name).read_text("utf-8"), re.MULTILINE)
        )
    assert {"doctor", "train", "package", "retrain"} <= named
    assert named <= set(cli.commands)


@pytest.mark.parametrize("url", REMOTES)
def test_the_storage_that_was_named_is_the_remote(generate: Generate, url: str) -> None:
    project = generate(remote_url=url, container_registry="ghcr.io/acme")
    config = configparser.ConfigParser(interpolation=None)
    config.read(project / ".dvc" / "config")
    assert config.sections() == ["core", "'remote \"storage\"'"]
    assert config["core"]["remote"] == "storage"
    assert dict(config["'remote \"storage\"'"]) == {"url": url, "verify": "true"}
    pyproject = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    assert pyproject["dependency-groups"]["storage"] == [f"dvc[{url.partition(':')[0]}]>=3.67,<4"]
    assert tomllib.loads((project / "titlebout.toml").read_text("utf-8"))["package"] == {"registry": "ghcr.io/acme"}
    assert url in (project / "README.md").read_text("utf-8")


def test_with_a_storage_git_has_no_object_and_dvc_pushes_all(generate: Generate) -> None:
    project = generate(remote_url=REMOTES[0])
    assert not (project / "dvc-remote").exists()
    run("git", "add", "--all", cwd=project)
    tracked = run("git", "ls-files", cwd=project).stdout.splitlines()
    assert ".dvc/config" in tracked
    assert not [name for name in tracked if name.startswith(".dvc/cache")]
    run("dvc", "remote", "add", "--local", "--force", "storage", project.parent / "store", cwd=project)
    pushed = run("dvc", "push", cwd=project)
    assert pushed.returncode == 0, pushed.stderr
    (project / ".dvc" / "cache").rename(project.parent / "cache")
    pulled = run("dvc", "pull", "data.dvc", "pipelines/flights-delay/champion.dvc", cwd=project)
    assert pulled.returncode == 0, pulled.stderr


@pytest.mark.parametrize("name", ["MIT", "Apache-2.0", "BSD-3-Clause"])
def test_a_license_has_its_text_with_year_and_holder(framework: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n    name = Åse Björk\n", encoding="utf-8")
    ran = run("cookiecutter", framework, "--no-input", f"license={name}", "-o", tmp_path / "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    project = tmp_path / "out" / "flights-delay"
    text = (project / "LICENSE").read_text("utf-8")
    assert re.search({"MIT": "^MIT License", "Apache-2.0": "^\n +Apache License", "BSD-3-Clause": "^BSD 3"}[name], text)
    assert text.endswith(".\n")
    if name == "Apache-2.0":
        assert text == (ROOT / "LICENSE").read_text("utf-8")
    else:
        assert f"Copyright (c) {datetime.now(UTC).year} Åse Björk" in text
    assert tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["license"] == name
    assert f"{name}, see `LICENSE`." in (project / "README.md").read_text("utf-8")


def test_without_an_answer_there_is_no_license_and_the_readme_says_so(project: Path) -> None:
    assert not (project / "LICENSE").exists()
    assert "This repository has no license: all rights reserved." in (project / "README.md").read_text("utf-8")
    assert "license" not in tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]


def test_a_holder_that_git_does_not_know_is_the_project(generate: Generate) -> None:
    project = generate(license="MIT", project_name="Late trains")
    assert "the authors of Late trains\n" in (project / "LICENSE").read_text("utf-8")


def test_owners_are_an_example_that_matches_files_of_the_repository(project: Path) -> None:
    lines = (project / ".github" / "CODEOWNERS").read_text("utf-8").splitlines()
    assert all(line.startswith("#") for line in lines)
    patterns = [line.removeprefix("# ").split()[0] for line in lines[-2:]]
    assert [bool(list(project.glob(pattern.strip("/")))) for pattern in patterns] == [True, True]


def test_the_hooks_check_a_commit_with_the_programs_of_the_lock(generate: Generate) -> None:
    project = generate()
    (project / ".venv").symlink_to(PROGRAMS.parent)
    run("git", "add", "--all", cwd=project)
    clean = run("pre-commit", "run", "--all-files", cwd=project)
    assert clean.returncode == 0, clean.stdout
    assert "Skipped" not in clean.stdout

    (project / "src" / "flights_delay" / "model.py").write_text("import os\nx = 'one'\n", encoding="utf-8")
    (project / "weights.bin").write_bytes(bytes(1_000_001))
    run("git", "add", "--all", cwd=project)
    refused = run("pre-commit", "run", "--all-files", cwd=project).stdout
    assert [line.split(".")[0] for line in refused.splitlines() if line.endswith("Failed")] == [
        "ruff check", "ruff format", "no file over 1 MB, track it with DVC"
    ]  # fmt: skip
    assert "weights.bin" in refused


def test_the_program_of_the_hooks_has_the_version_of_the_lock(project: Path) -> None:
    locked = re.search(r"^pre-commit==([\d.]+)", (ROOT / "requirements-dev.lock").read_text("utf-8"), re.MULTILINE)
    assert locked
    assert f"\tuvx pre-commit@{locked[1]} install\n" in (project / "Makefile").read_text("utf-8")
    (repository,) = yaml.safe_load((project / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert repository["repo"] == "local", "the programs of .venv"
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == {".venv/bin/ruff", ".venv/bin/python"}


def test_cookiecutter_initializes_git_unless_a_repository_contains_the_folder(framework: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    for folder in (tmp_path / "alone", shop, shop / "build"):
        folder.mkdir()
    run("git", "init", "--quiet", cwd=shop)
    (shop / ".gitignore").write_text("/build/\n", encoding="utf-8")
    for folder in (tmp_path / "alone", shop, shop / "build"):
        ran = run("cookiecutter", framework, "--no-input", "--output-dir", folder, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert ("git add . &&" in ran.stdout) == (folder == shop), "other changes of the shop are not committed"
    assert (tmp_path / "alone" / "flights-delay" / ".git").is_dir()
    assert not (shop / "flights-delay" / ".git").exists()
    assert (shop / "build" / "flights-delay" / ".git").is_dir()


@pytest.mark.parametrize(("schedule", "cron"), [("weekly", "17 3 * * 1"), ("monthly", "17 3 1 * *")])
def test_the_schedule_changes_one_line_and_nothing_else(
    generate: Generate, project: Path, schedule: str, cron: str
) -> None:
    other = generate(schedule=schedule)
    mine, theirs = ((folder / ".github/workflows/drift.yml").read_text("utf-8") for folder in (project, other))
    assert theirs == mine.replace("17 3 * * *", cron) != mine
    changed = {name for name, content in files_of(other).items() if files_of(project)[name] != content}
    assert changed == {".github/workflows/drift.yml", ".titlebout.toml", "README.md"}


def test_another_name_does_not_change_the_trained_example(generate: Generate, project: Path) -> None:
    other = generate(project_name="Prévision des retards")
    assert other.name == "prevision-des-retards"
    assert tomllib.loads((other / "titlebout.toml").read_text("utf-8"))["project"]["name"] == other.name
    changed = {name for name, content in files_of(other).items() if files_of(project).get(name) != content}
    named = {"deploy/compose.yaml", "deploy/kubernetes.yaml", "pyproject.toml", "titlebout.toml", ".titlebout.toml"}
    assert changed == {"README.md", *named}


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"project_slug": "../outside"}, "project_slug"),
        ({"project_slug": "Big"}, "project_slug"),
        ({"project_slug": "ends-"}, "project_slug"),
        ({"project_slug": 'a";touch PWNED;"'}, "project_slug"),
        ({"project_name": 'a "quoted" name', "project_slug": "fine"}, "project_name"),
        ({"project_name": "two\nlines", "project_slug": "fine"}, "project_name"),
        ({"project_name": "\N{PILE OF POO}", "project_slug": "fine"}, "project_name"),
        ({"data_file": "/etc/hostname"}, "must be used together"),
        ({"data_file": "relative.csv", "target": "y"}, "'relative.csv': the file does not exist in /"),
        ({"data_file": "/no/such/file.csv", "target": "y"}, "does not exist"),
        ({"remote_url": "bucket/path"}, "use the form s3://"),
        ({"remote_url": "http://169.254.169.254/"}, "use the form s3://"),
        ({"remote_url": "s3://b\nverify = false"}, "use the form s3://"),
        ({"remote_url": "ssh://user:secret@host/path"}, "remove the password"),
        ({"container_registry": 'ghcr.io/acme" # '}, "container_registry"),
        ({"library": "newest"}, "use vendored, a version such as 0.1.0, or the path or URL of a wheel"),
        ({"library": "0.1.0; touch PWNED"}, "use vendored"),
        ({"library": "other-0.1.0-py3-none-any.whl"}, "use vendored"),
        ({"library": "titlebout-0.1.0-py3-none-any.whl"}, "the file does not exist in /"),
        ({"library": "https://example.org/titlebout-0.1.0-py3-none-any.whl#sha256=12"}, "use vendored"),
        ({"library": "https://example.org/a b/titlebout-0.1.0-py3-none-any.whl"}, "does not exist"),
    ],
)
def test_unsafe_answers_are_refused_in_one_sentence(
    framework: Path, tmp_path: Path, answers: dict[str, str], complaint: str
) -> None:
    given = [f"{key}={value}" for key, value in answers.items()]
    ran = run("cookiecutter", framework, "--no-input", "--output-dir", tmp_path, *given, cwd=tmp_path)
    assert ran.returncode != 0
    (sentence,) = [line for line in ran.stderr.splitlines() if line.startswith("titlebout: ")]
    assert complaint in sentence
    assert not list(tmp_path.rglob("titlebout.toml"))
    assert not list(tmp_path.parent.rglob("PWNED"))


@settings(share(0.5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(min_size=1, max_size=40) | st.from_regex(r"[\w .,&()+:'!-]{1,40}", fullmatch=True),
    registry=st.text(max_size=20) | st.from_regex(r"[a-z0-9.-]{1,9}(/[a-z0-9._-]{1,9})?", fullmatch=True),
)
def test_any_answer_is_refused_or_gives_files_that_can_be_read(
    framework: Path, tmp_path: Path, name: str, registry: str
) -> None:
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.generate import generate_files

    template = framework / "cookiecutter"
    answers = default_answers(template) | {
        "project_name": name,
        "project_slug": "some-name",
        "container_registry": registry,
    }
    try:
        project = Path(
            generate_files(str(template), {"cookiecutter": answers}, str(tmp_path), overwrite_if_exists=True)
        )
    except CookiecutterException:
        return
    for path in [*project.glob("*.toml"), project / "deploy/compose.yaml", project / "deploy/kubernetes.yaml"]:
        text = path.read_text("utf-8")
        assert tomllib.loads(text) if path.suffix == ".toml" else list(yaml.safe_load_all(text))
    assert tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["description"] == name
    assert tomllib.loads((project / "titlebout.toml").read_text("utf-8"))["package"]["registry"] == registry


def default_answers(template: Path) -> dict[str, object]:
    """Return the first choice of every question, and the template's own settings as they are."""
    questions = json.loads((template / "cookiecutter.json").read_text("utf-8"))
    return {
        key: value[0] if isinstance(value, list) and not key.startswith("_") else value
        for key, value in questions.items()
    }


def test_a_working_copy_with_leftovers_generates_none_of_them(framework: Path, project: Path, tmp_path: Path) -> None:
    dirty = tmp_path / "dirty"
    run("cp", "-r", framework, dirty, cwd=tmp_path)
    junk = dirty / "src" / "titlebout" / "__pycache__"
    junk.mkdir(exist_ok=True)
    (junk / "cli.cpython-311.pyc").write_bytes(b"junk")
    ran = run("cookiecutter", dirty, "--no-input", "--output-dir", tmp_path / "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert files_of(tmp_path / "out" / project.name) == files_of(project)


def test_the_wheel_contains_the_template_with_files_instead_of_links(
    framework: Path, project: Path, tmp_path: Path
) -> None:
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=framework)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    run(sys.executable, "-m", "zipfile", "-e", wheel, installed, cwd=tmp_path)
    # The environment's own titlebout is an editable install; what comes first on the path is what is imported.
    ran = subprocess.run(
        [PROGRAMS / "python", "-m", "titlebout", "new", "Flights delay", "--output-dir", tmp_path / "out", "--json"],
        cwd=tmp_path,
        env={"PATH": f"{PROGRAMS}:/usr/bin:/bin", "PYTHONPATH": str(installed), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(json.loads(ran.stdout)["path"]) == tmp_path / "out" / "flights-delay"
    generated = files_of(tmp_path / "out" / "flights-delay")
    assert set(generated) == set(files_of(project))
    # Only a clone knows its commit.
    assert {name for name, content in files_of(project).items() if generated[name] != content} == {".titlebout.toml"}


def test_cookiecutter_ends_with_the_next_steps(framework: Path, tmp_path: Path) -> None:
    ran = run("cookiecutter", framework, "--no-input", "--output-dir", tmp_path, cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-5:] == [
        "",
        "    cd flights-delay",
        "    git add -A && git commit -m 'First commit'",
        "    make setup && . .venv/bin/activate",
        "    titlebout doctor",
    ]
