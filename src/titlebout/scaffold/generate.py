"""Generate repositories, and replace the flights example with the user's data. The only module that runs cookiecutter.

The data is validated before anything is written. A new repository is generated in a temporary folder and renamed at the
end, so that an error leaves nothing behind.
"""

import keyword
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Literal

from titlebout.checks.suites import scaffold_suite
from titlebout.core.errors import ConfigError, ConflictError, NotFoundError
from titlebout.core.markdown import escape
from titlebout.core.results import StepResult, to_json, write_text_atomically
from titlebout.data.plausible import implausible_tracked
from titlebout.data.tables import table_suffix
from titlebout.repository.dvc import Dvc
from titlebout.repository.dvc_config import default_remote
from titlebout.repository.git import Git
from titlebout.repository.origin import ORIGIN_FILE, VENDORED, Origin, is_pinned, record_vendored
from titlebout.repository.project import Project
from titlebout.scaffold import templates
from titlebout.scaffold.columns import NO_TIME, Choices, ColumnRoles, infer_column_roles
from titlebout.scaffold.larger_repository import fit_in
from titlebout.scaffold.proposal import propose
from titlebout.scaffold.templates import EXAMPLE, EXAMPLE_PACKAGE
from titlebout.settings.params import DataParams

__all__ = ["AdoptResult", "Choices", "NewResult", "Request", "adopt", "new"]

EXAMPLE_TARGET = "late"
EXAMPLE_INCOMING = "incoming/2013-04.parquet"
_FIRST_COMMIT = "git add -A && git commit -m 'First commit'"
_FIRST_CHAMPION_STEPS = (
    "titlebout train && titlebout evaluate && titlebout promote",
    "git add -A && git commit -m 'First champion'",
)
_OWN_DATA_ANSWERS = {"data_file": "", "target": "", "task": "inferred"}  # options of the command, not questions
_BY_COMMAND = {"_next_steps": ""}  # the command initializes git, and prints its own


@dataclass(frozen=True)
class Request:
    """Options of a new repository.

    Attributes
    ----------
    name : str or None
        Name of the project; None for the default of the template.
    output_dir : Path
        Parent folder of the repository.
    data : Path or None
        File with the user's data; None for the flights example.
    given : Choices or None
        What the user says about the columns of the file; None for the flights example.
    answers : mapping of str to str
        Other answers to questions of the template, by name; its defaults for the rest.
    earlier : Path or None
        A ``.titlebout.toml`` whose answers are used where nothing else is given.
    """

    name: str | None
    output_dir: Path
    data: Path | None = None
    given: Choices | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    earlier: Path | None = None


class NewResult(StepResult):
    """Result of `titlebout new`.

    Attributes
    ----------
    path : str
        Top folder of the repository.
    notes : tuple of str
        Decisions about the place in a larger repository and about the columns of the user's data.
    next_steps : tuple of str
        Commands to run next, in order.
    """

    step: Literal["new"] = "new"
    path: str
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        lines = ["### New repository", "", f"{self.path}", *(f"- {escape(note)}" for note in self.notes)]
        return "\n".join([*lines, "", "Next:", "", *(f"    {step}" for step in self.next_steps)]) + "\n"


class AdoptResult(StepResult):
    """Result of `titlebout adopt`.

    Attributes
    ----------
    pipeline, package : str
        Names of the new pipeline and of the Python package of its model.
    roles : ColumnRoles
        Role of each column of the user's data.
    next_steps : tuple of str
        Commands to run next, in order.
    """

    step: Literal["adopt"] = "adopt"
    pipeline: str
    package: str
    roles: ColumnRoles
    next_steps: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        lines = [f"### Your data in pipeline {self.pipeline}", "", *(f"- {escape(note)}" for note in self.reasons)]
        return "\n".join([*lines, "", "Next:", "", *(f"    {step}" for step in self.next_steps)]) + "\n"


def new(request: Request, *, ask: bool = False) -> NewResult:
    """Generate a repository.

    Parameters
    ----------
    request : Request
        Options of the repository.
    ask : bool
        Prompt on the terminal for the answers of the template, and for the time column if there are several.

    Raises
    ------
    ConfigError
        If the answers contradict each other or are not valid for the template.
    ConflictError
        If the folder exists and is not empty.
    """
    own_data = _own_data(request)
    if own_data:
        _, roles = infer_column_roles(*own_data)  # raises before anything is written
        own_data = own_data[0], _ask_time(own_data[1], roles) if ask else own_data[1]
    request.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".titlebout-", dir=request.output_dir) as folder:
        generated = _generate(_template_folder(), _known_answers(request), Path(folder), ask)
        target = request.output_dir.resolve() / generated.name
        _require_free(target)
        if request.earlier and not _scaffold(request.earlier.parent).is_dir():
            _remove_scaffold(generated)
        _init_git(generated, target)
        notes = adopt(generated, *own_data).reasons if own_data else ()
        generated.replace(target)
    placement = fit_in(target)
    steps = (
        step.replace("git add -A", f"git add {placement.added}", 1) for step in _next_steps(target, bool(own_data))
    )
    return NewResult(
        passed=True,
        reasons=(f"generated {target}",),
        path=str(target),
        notes=(*placement.notes, *notes),
        next_steps=(f"cd {shlex.quote(str(target))}", *steps),
    )


def adopt(start: Path, data: Path, given: Choices) -> AdoptResult:
    """Replace the flights example by the user's data.

    Parameters
    ----------
    start : Path
        A folder in a generated repository.
    data : Path
        Parquet, CSV, TSV or JSONL file; it is copied without changes.
    given : Choices
        Column to predict, and what else the user says about the columns.

    Raises
    ------
    ConflictError
        If the flights example was replaced before.
    ConfigError
        If this is not a generated repository, or changes are not committed.
    """
    project = Project.find(start)
    _require_example(project)
    frame, roles = infer_column_roles(data, given)
    name = project.settings.project.name
    package = _package_name(name)
    plausible = frame[~implausible_tracked(frame[roles.time])] if roles.time else frame
    proposal = propose(plausible, roles)
    files = templates.render_team_files(project, name, package, roles, proposal)
    params = DataParams(task=roles.task, target=given.target, time=roles.time, drop=roles.drop)
    files[f"expectations/{name}.json"] = to_json(scaffold_suite(plausible, params, name))
    _remove_example(project.root)
    for path, text in files.items():
        write_text_atomically(project.root / path, text)
    _track_data(project.root, data, name)
    _remove_scaffold(project.root)
    return AdoptResult(
        passed=True,
        reasons=(*roles.notes, *proposal.notes),
        pipeline=name,
        package=package,
        roles=roles,
        next_steps=_next_steps(project.root, own_data=True),
    )


def _own_data(request: Request) -> tuple[Path, Choices] | None:
    """Return the file with the user's data and its columns as the user gave them; None for the flights example.

    Raises
    ------
    ConfigError
        If only one of file and target is given.
    """
    if request.data and request.given:
        return request.data, request.given
    if request.data or request.given:
        raise ConfigError(
            "--data and --target must be used together", fix="set both, for example `--data table.csv --target churned`"
        )
    return None


def _ask_time(given: Choices, roles: ColumnRoles) -> Choices:
    """Ask on the terminal for the column whose times order the rows, if none was given and it is not clear."""
    from cookiecutter.prompt import read_user_choice

    if given.time is not None or roles.is_order_clear:
        return given
    options = [name for name in (roles.time, *roles.rivals, NO_TIME) if name]
    return replace(given, time=read_user_choice("column whose times order the rows", options))


def _template_folder() -> Path:
    """Return the folder of the template: next to the library in a clone, inside the library in a wheel.

    Raises
    ------
    NotFoundError
        If this copy of the library has no template, such as the copy in a generated repository.
    """
    library = Path(__file__).resolve().parents[1]
    for folder in (library / "_template", library.parents[1] / "cookiecutter"):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise NotFoundError(
        "this copy of titlebout does not include the template",
        where=str(library),
        why="the copy in vendor/ of a generated repository contains only the library",
        fix="run `pip install .` in a clone of titlebout, then run the command outside this repository",
    )


def _next_steps(root: Path, own_data: bool) -> tuple[str, ...]:
    """Return the commands after the generation; a storage outside of git needs DVC's support for it, and the objects."""
    last = _FIRST_CHAMPION_STEPS if own_data else ("titlebout doctor",)
    if "://" in default_remote(root):
        # The new lock file starts a training.
        upload = "dvc push" if own_data else "dvc push && titlebout train && dvc push"
        return ("make lock setup && . .venv/bin/activate", upload, _FIRST_COMMIT, *last)
    if not is_pinned(root):
        return ("make lock setup && . .venv/bin/activate", _FIRST_COMMIT, *last)
    return (_FIRST_COMMIT, "make setup && . .venv/bin/activate", *last)


def _known_answers(request: Request) -> dict[str, str]:
    """Return the answers that are known before the questions: those of the request, then those of the earlier repository."""
    origin = Origin.read(request.earlier) if request.earlier else None
    answers = dict(origin.answers) if origin else {}
    if request.earlier and (wheel := request.earlier.parent / answers.get("library", "")).is_file():
        answers["library"] = str(wheel.resolve())
    if request.name:
        answers.pop("project_slug", None)  # follows from the name
        answers["project_name"] = request.name
    answers.update(request.answers)
    if Path(answers.get("library", "")).is_file():
        answers["library"] = str(Path(answers["library"]).resolve())
    return answers


def _generate(template: Path, known: dict[str, str], folder: Path, ask: bool) -> Path:
    """Render the template without the user's cookiecutter settings and replay files.

    Raises
    ------
    ConfigError
        If the template rejects the answers.
    """
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.generate import generate_context, generate_files
    from cookiecutter.prompt import prompt_for_config

    try:
        questions = generate_context(str(template / "cookiecutter.json"), extra_context=known)["cookiecutter"]
        prompted = {key: value for key, value in questions.items() if key not in _OWN_DATA_ANSWERS}
        answers = prompt_for_config({"cookiecutter": prompted}, no_input=not ask) | _OWN_DATA_ANSWERS | _BY_COMMAND
        answers["_repo_dir"] = str(template)  # as cookiecutter itself does; the hook reads it
        return Path(generate_files(str(template), {"cookiecutter": answers}, output_dir=str(folder)))
    except (CookiecutterException, ValueError) as error:  # ValueError: a choice that the template does not have
        raise ConfigError(
            "the template rejected the project name or a different answer",
            why=f"{error}; see the message above",
            fix="choose other answers, for example `titlebout new my-project`",
        ) from error


def _require_free(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(
            f"{target.name} exists and is not empty",
            where=str(target),
            fix="choose a different name or --output-dir, or move that folder away",
        )


def _init_git(folder: Path, target: Path) -> None:
    """Initialize a git repository in a folder that will be moved to `target`, unless a repository will contain it.

    A repository does not contain the folders that it ignores, such as build folders.
    """
    repository = _repository(folder)
    if repository is None or repository.ignored(target):
        Git(folder).run("init", "--quiet", "-b", "main")


def _require_example(project: Project) -> None:
    """Check that only the generated example would be overwritten, and that git can restore every file.

    Raises
    ------
    ConflictError
        If the flights example was replaced before.
    ConfigError
        If this is not a generated repository, or changes are not committed.
    """
    if not (project.root / ORIGIN_FILE).is_file():
        raise ConfigError(
            "this is not a generated repository",
            where=str(project.root),
            fix="generate one with `titlebout new --data FILE --target COLUMN`",
        )
    if project.pipeline != EXAMPLE or project.params.data.target != EXAMPLE_TARGET:
        raise ConflictError(
            "the flights example was already replaced",
            where=str(project.pipeline_dir),
            why="the pipeline in titlebout.toml, or the target in its params.yaml, differs from the example's",
            fix="to use other data, put files into data/ and run `dvc add data`, then edit params.yaml",
        )
    git = Git.find(project.root)
    changed = git.changed_paths() if git.resolve("HEAD") else ()
    if changed:
        raise ConfigError(
            f"{changed[0]} has uncommitted changes",
            where=str(project.root),
            why="this command replaces the example files, and git can restore only committed changes",
            fix="run `git commit` or `git stash` first",
        )


def _repository(folder: Path) -> Git | None:
    try:
        return Git.find(folder)
    except ConfigError:
        return None


def _package_name(name: str) -> str:
    """Return the package name for a project, chosen so that it does not shadow a keyword or an installed package."""
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package in sys.stdlib_module_names or package in packages_distributions()
    return f"{package}_model" if taken else package


def _remove_example(root: Path) -> None:
    for folder in (f"pipelines/{EXAMPLE}", f"src/{EXAMPLE_PACKAGE}", "dvc-remote/files", "data"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for file in (f"expectations/{EXAMPLE}.json", EXAMPLE_INCOMING, "data.dvc"):
        (root / file).unlink(missing_ok=True)


def _remove_scaffold(root: Path) -> None:
    """Remove the modules of `new` and `adopt` from the vendored library: a repository with its own data does not use them."""
    if _scaffold(root).is_dir():
        shutil.rmtree(_scaffold(root))
        record_vendored(root)


def _scaffold(root: Path) -> Path:
    return root / VENDORED / "src" / "titlebout" / "scaffold"


def _track_data(root: Path, data: Path, name: str) -> None:
    """Copy the file into ``data/``, track it with DVC, and push it to the in-tree remote; another one needs credentials."""
    (root / "data").mkdir()
    shutil.copyfile(data, root / "data" / f"{name}{table_suffix(data)}")
    dvc = Dvc(Project.find(root))
    dvc.add_data()
    if dvc.remote_in_tree:
        dvc.push()
