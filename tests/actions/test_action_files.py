"""Each composite Action is inputs -> environment -> one command: nothing more, and nothing that the command lacks."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from action_results import OUTPUTS
from titlebout.cli.commands import cli

ROOT = Path(__file__).parents[2]
ACTIONS = ROOT / ".github" / "actions"
COMMANDS = sorted(OUTPUTS)
# A document for programs, and, where a command never says no, the option that would turn a no into a yes.
# What a workflow cannot use: the job of a result on stdout, and a reviewer's own tools.
REVIEWERS = {
    ("evaluate", "--from-predictions"),
    ("evaluate", "--margin"),
    ("evaluate", "--selftest"),
    ("drift", "--selftest"),
}
NOT_INPUTS = {("package", "--no-fail"), *REVIEWERS, *((name, "--json") for name in COMMANDS)}
ASK_GITHUB = {"retrain", "decide"}
HOSTILE = "a\"; touch PWNED; $(touch PWNED) `touch PWNED` ' ${{ x }}\n::set-output name=verdict::promote"


def load(name: str) -> Any:
    """Return an action file with every scalar as text: YAML would read the key `on` as true."""
    return yaml.load((ACTIONS / name / "action.yml").read_text("utf-8"), Loader=yaml.BaseLoader)


def step(name: str) -> Any:
    (only,) = load(name)["runs"]["steps"]
    return only


def variable(command: str, option: click.Parameter) -> str:
    """Return the environment variable that click itself reads for an option."""
    parent = click.Context(cli, info_name="titlebout", auto_envvar_prefix="TITLEBOUT")
    context = click.Context(cli.commands[command], info_name=command, parent=parent)
    return f"{context.auto_envvar_prefix}_{str(option.name).upper()}"


def run_step(name: str, inputs: dict[str, str], programs: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the action's step as the runner does: bash with the inputs in its environment."""
    values = {key: given["default"] for key, given in load(name)["inputs"].items()} | inputs
    environment = {
        key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], text)
        for key, text in step(name)["env"].items()
    }
    environment |= {"PATH": f"{programs}:{os.defpath}", "HOME": str(folder)}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A program called titlebout that writes its arguments and environment down."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = programs / "titlebout"
    script.write_text('#!/bin/sh\nprintf "%s\\0" "$@" > arguments\nenv -0 > environment\n')
    script.chmod(0o755)
    return programs


def test_there_is_one_action_per_command_and_one_for_setup() -> None:
    assert sorted(path.name for path in ACTIONS.iterdir()) == sorted(["setup", *COMMANDS])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_action_runs_one_command_and_only_that(name: str) -> None:
    assert load(name)["runs"]["using"] == "composite"
    assert step(name)["run"] == f"titlebout {name}"
    assert step(name)["shell"] == "bash"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_an_input_under_the_variable_that_the_command_reads(name: str) -> None:
    options = {
        option.opts[0].removeprefix("--"): variable(name, option)
        for option in cli.commands[name].params
        if (name, option.opts[0]) not in NOT_INPUTS and option.name != "verbose"
    }
    expected = {variable: f"${{{{ inputs.{option} }}}}" for option, variable in options.items()}
    if name in ASK_GITHUB:
        expected["TITLEBOUT_TOKEN"] = "${{ inputs.token }}"
    assert step(name)["env"] == expected
    assert set(load(name)["inputs"]) == {"project", *options} | ({"token"} if name in ASK_GITHUB else set())


@pytest.mark.parametrize("name", COMMANDS)
def test_an_action_runs_in_the_folder_of_the_project(name: str) -> None:
    assert step(name)["working-directory"] == "${{ inputs.project || '.' }}"


def test_every_action_but_the_setup_runs_a_command_with_outputs() -> None:
    assert {path.parent.name for path in ACTIONS.glob("*/action.yml")} == {"setup", *COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_output_is_one_that_the_command_writes(name: str) -> None:
    declared = {key: given["value"] for key, given in load(name)["outputs"].items()}
    assert declared == {key: f"${{{{ steps.run.outputs.{key} }}}}" for key in OUTPUTS[name]}


@pytest.mark.parametrize("name", ["setup", *COMMANDS])
def test_inputs_and_outputs_are_kebab_case_and_explained_in_sentences(name: str) -> None:
    action = load(name)
    for key, given in [*action["inputs"].items(), *action["outputs"].items()]:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", key)
        assert re.match(r"[A-Z\"]", given["description"]), key
        assert given["description"].endswith("."), key
    assert action["description"].endswith(".")
    assert all("default" in given for given in action["inputs"].values())


@pytest.mark.parametrize("name", ["setup", *COMMANDS])
def test_no_expression_reaches_a_shell_and_the_file_stays_short(name: str) -> None:
    assert "${{" not in step(name)["run"]
    assert len((ACTIONS / name / "action.yml").read_text("utf-8").splitlines()) <= 75


@pytest.mark.parametrize("name", COMMANDS)
def test_inputs_arrive_as_they_are_and_nothing_in_them_is_run(name: str, recorder: Path, tmp_path: Path) -> None:
    inputs = {key: f"{HOSTILE} {key}" for key in load(name)["inputs"] if key != "project"}
    assert run_step(name, inputs, recorder, tmp_path).returncode == 0
    assert (tmp_path / "arguments").read_text() == f"{name}\0"
    arrived = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().split("\0") if line)
    assert {arrived[key] for key in step(name)["env"]} == set(inputs.values())
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_default_inputs_are_accepted_by_the_real_command(name: str, tmp_path: Path) -> None:
    ran = run_step(name, {}, Path(sys.executable).parent, tmp_path)
    assert "titlebout.toml" in ran.stderr
    assert ran.returncode == 5


@pytest.mark.parametrize(
    ("name", "key", "complaint"),
    [
        ("check-data", "on", "'--on': 'nonsense' is not one of"),
        ("package", "image", "'--image': 'nonsense' is not a valid boolean"),
        ("evaluate", "only-promotions", "'--only-promotions': 'nonsense' is not a valid boolean"),
        ("retrain", "forge", "'--forge': 'nonsense' is not one of"),
        ("train", "no-fail", "'--no-fail': 'nonsense' is not a valid boolean"),
        ("decide", "schedule", "'--schedule': 'nonsense' is not a valid boolean"),
        ("drift", "no-fail", "'--no-fail': 'nonsense' is not a valid boolean"),
    ],
)
def test_the_real_command_validates_what_an_input_says(name: str, key: str, complaint: str, tmp_path: Path) -> None:
    ran = run_step(name, {key: "nonsense"}, Path(sys.executable).parent, tmp_path)
    assert complaint in ran.stderr
    assert ran.returncode == 2
