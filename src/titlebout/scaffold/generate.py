"""New repositories, and the user's own table in the place of the example; the only module that runs cookiecutter.

What can be wrong with a table is found before anything is written. A new repository is made under another name and
renamed at the end, so that a refusal leaves nothing behind.
"""

import keyword
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

from titlebout.checks.suites import scaffold_suite
from titlebout.core.errors import ConfigError, ConflictError, NotFoundError
from titlebout.core.markdown import escape
from titlebout.core.results import StepResult, to_json, write_text_atomically
from titlebout.repository.dvc import Dvc
from titlebout.repository.git import Git
from titlebout.repository.project import Project
from titlebout.scaffold import templates
from titlebout.scaffold.columns import ColumnRoles, infer_column_roles
from titlebout.scaffold.templates import EXAMPLE, EXAMPLE_PACKAGE
from titlebout.settings.params import DataParams

EXAMPLE_TARGET = "late"
EXAMPLE_INCOMING = "incoming/2013-03.parquet"
_FIRST_STEPS = ("git add -A && git commit -m 'First commit'", "make setup && . .venv/bin/activate")
_OWN_STEPS = (
    "titlebout train && titlebout evaluate && titlebout promote",
    "git add -A && git commit -m 'First champion'",
)
_OWN_TABLE = {"data_file": "", "target": "", "task": "classification"}  # asked by the command, not by the template


@dataclass(frozen=True)
class Request:
    """What a new repository shall be.

    Attributes
    ----------
    name : str or None
        Name of the project; None takes the template's.
    output_dir : Path
        Folder to generate into.
    data : Path or None
        The user's own table; None for the flights example.
    target, task : str or None
        Column to predict, and ``classification`` or ``regression``; an empty task is told by the target.
    """

    name: str | None
    output_dir: Path
    data: Path | None = None
    target: str | None = None
    task: str | None = None


class NewResult(StepResult):
    """What was generated.

    Attributes
    ----------
    path : str
        Top folder of the repository.
    notes : tuple of str
        What was decided about the columns of the user's own table.
    next_steps : tuple of str
        Commands, in order.
    """

    step: Literal["new"] = "new"
    path: str
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Return the report for people as Markdown."""
        lines = ["### New repository", "", f"{self.path}", *(f"- {escape(note)}" for note in self.notes)]
        return "\n".join([*lines, "", "Next:", "", *(f"    {step}" for step in self.next_steps)]) + "\n"


class AdoptResult(StepResult):
    """What became of the user's table.

    Attributes
    ----------
    pipeline, package : str
        Their new names.
    roles : ColumnRoles
    """

    step: Literal["adopt"] = "adopt"
    pipeline: str
    package: str
    roles: ColumnRoles

    def to_markdown(self) -> str:
        """Return the report for people as Markdown."""
        lines = [f"### Your data in pipeline {self.pipeline}", "", *(f"- {escape(note)}" for note in self.reasons)]
        return "\n".join([*lines, "", "Next:", "", *(f"    {step}" for step in (*_FIRST_STEPS, *_OWN_STEPS))]) + "\n"


def new(request: Request, *, ask: bool = False) -> NewResult:
    """Generate a repository.

    Parameters
    ----------
    request : Request
    ask : bool
        Ask the template's questions on the terminal.

    Raises
    ------
    ConfigError
        If the answers contradict each other or the template refuses them.
    ConflictError
        If the folder exists and is not empty.
    """
    own = _own_table(request)
    if own:
        infer_column_roles(*own)
    request.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".titlebout-", dir=request.output_dir) as folder:
        generated = _generate(_template_folder(), request.name, Path(folder), ask)
        target = request.output_dir.resolve() / generated.name
        _require_free(target)
        _init_git(generated)
        notes = adopt(generated, *own).reasons if own else ()
        generated.replace(target)
    steps = (f"cd {shlex.quote(str(target))}", *_FIRST_STEPS, *(_OWN_STEPS if own else ("titlebout doctor",)))
    return NewResult(passed=True, reasons=(f"generated {target}",), path=str(target), notes=notes, next_steps=steps)


def adopt(start: Path, data: Path, target: str, task: str | None) -> AdoptResult:
    """Put the user's own table in the place of the flights example.

    Parameters
    ----------
    start : Path
        A folder in a generated repository.
    data : Path
        CSV, parquet or JSONL file; it is copied as it is.
    target : str
        Column to predict.
    task : {"classification", "regression"} or None
        None is told by the target.

    Raises
    ------
    ConflictError
        If the example is not there any more, or files were changed and not committed.
    """
    project = Project.find(start)
    _require_example(project)
    frame, roles = infer_column_roles(data, target, task)
    name = project.settings.project.name
    package = _package_name(name)
    files = templates.render_team_files(project, name, package, roles)
    params = DataParams(task=roles.task, target=target, time=roles.time, drop=roles.drop)
    files[f"expectations/{name}.json"] = to_json(scaffold_suite(frame, params, name))
    _remove_example(project.root)
    for path, text in files.items():
        write_text_atomically(project.root / path, text)
    _take_data(project.root, data, name)
    return AdoptResult(passed=True, reasons=roles.notes, pipeline=name, package=package, roles=roles)


def _own_table(request: Request) -> tuple[Path, str, str | None] | None:
    """Return the user's table, its target and its task; None for the example.

    Raises
    ------
    ConfigError
        If a table is given without its target, or a target without its table.
    """
    if request.data and request.target:
        return request.data, request.target, request.task
    if request.data or request.target:
        raise ConfigError(
            "--data and --target belong together", fix="name both, for example `--data table.csv --target churned`"
        )
    return None


def _template_folder() -> Path:
    """Return the template: beside the library in a clone, inside it in an installed wheel.

    Raises
    ------
    NotFoundError
        If this copy of the library has none, as the one in a generated repository.
    """
    library = Path(__file__).resolve().parents[1]
    for folder in (library / "_template", library.parents[1] / "cookiecutter"):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise NotFoundError(
        "this copy of titlebout has no template",
        where=str(library),
        why="the copy in a generated repository leaves it out",
        fix="run the command with an installed titlebout, or `cookiecutter <address of titlebout>`",
    )


def _generate(template: Path, name: str | None, folder: Path, ask: bool) -> Path:
    """Fill the template in without touching the user's cookiecutter settings and replays.

    Raises
    ------
    ConfigError
        If the template refuses the answers.
    """
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.generate import generate_context, generate_files
    from cookiecutter.prompt import prompt_for_config

    given = {"project_name": name} if name else {}
    questions = generate_context(str(template / "cookiecutter.json"), extra_context=given)["cookiecutter"]
    asked = {key: value for key, value in questions.items() if key not in _OWN_TABLE}
    try:
        answers = {**prompt_for_config({"cookiecutter": asked}, no_input=not ask), **_OWN_TABLE}
        return Path(generate_files(str(template), {"cookiecutter": answers}, output_dir=str(folder)))
    except CookiecutterException as error:
        raise ConfigError(
            "the template refuses these answers",
            why=f"{error}; the sentence above says which",
            fix="choose other answers, for example `titlebout new my-project`",
        ) from error


def _require_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(
            f"{target.name} exists and is not empty",
            where=str(target),
            fix="choose another name or --output-dir, or move that folder away",
        )


def _init_git(folder: Path) -> None:
    """Make a git repository, unless the folder lies in one already."""
    if _repository(folder) is None:
        Git(folder).run("init", "--quiet", "-b", "main")


def _require_example(project: Project) -> None:
    """Refuse to overwrite anything but the example as it was generated, in a repository that git can restore.

    Raises
    ------
    ConflictError
        If the example is not there any more.
    ConfigError
        If this is not a generated repository, or changes were not committed.
    """
    if not (project.root / "vendor" / "titlebout").is_dir():
        raise ConfigError(
            "this is not a generated repository", where=str(project.root), fix="make one: `titlebout new --data FILE`"
        )
    if project.pipeline != EXAMPLE or project.params.data.target != EXAMPLE_TARGET:
        raise ConflictError(
            "the flights example is not here any more",
            where=str(project.pipeline_dir),
            why="your own data has taken its place already",
            fix="put new files into data/ and run `dvc add data`, or edit params.yaml",
        )
    git = _repository(project.root)
    changed = git.changed_paths() if git and git.resolve("HEAD") else ()
    if changed:
        raise ConfigError(
            f"{changed[0]} has changes that are not committed",
            where=str(project.root),
            why="the example's files are replaced, and git could not bring your changes back",
            fix="run `git commit` or `git stash` first",
        )


def _repository(folder: Path) -> Git | None:
    try:
        return Git.find(folder)
    except ConfigError:
        return None


def _package_name(name: str) -> str:
    """Return the import name for a project, one that hides nothing that is installed."""
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package in sys.stdlib_module_names or package in packages_distributions()
    return f"{package}_model" if taken else package


def _remove_example(root: Path) -> None:
    for folder in (f"pipelines/{EXAMPLE}", f"src/{EXAMPLE_PACKAGE}", "dvc-remote/files", "data"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for file in (f"expectations/{EXAMPLE}.json", EXAMPLE_INCOMING, "data.dvc"):
        (root / file).unlink(missing_ok=True)


def _take_data(root: Path, data: Path, name: str) -> None:
    """Copy the table as it is into ``data/``, track it and put it into the DVC remote."""
    (root / "data").mkdir()
    shutil.copyfile(data, root / "data" / f"{name}{data.suffix.lower()}")
    with _dvc_without_git(root):
        dvc = Dvc(Project.find(root))
        dvc.add_data()
        dvc.push()


@contextmanager
def _dvc_without_git(root: Path) -> Iterator[None]:
    """Let DVC work in a folder that is no git repository yet, as one that cookiecutter just made."""
    local = root / ".dvc" / "config.local"
    if _repository(root) or local.exists():
        yield
        return
    local.write_text("[core]\n    no_scm = true\n", encoding="utf-8")
    try:
        yield
    finally:
        local.unlink()
