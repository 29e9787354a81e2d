"""One pipeline of a generated repository: its paths, settings, parameters and model code."""

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from titlebout.core.errors import ConfigError, NotFoundError, TitleboutError
from titlebout.settings.addresses import SETTINGS_FILE
from titlebout.settings.load import load_params, load_settings
from titlebout.settings.params import PARAMS_FILE, Params
from titlebout.settings.settings import Settings


@dataclass(frozen=True)
class Project:
    """One pipeline of one repository.

    Attributes
    ----------
    root : Path
        Top folder of the repository, which contains ``titlebout.toml``.
    settings : Settings
        Validated content of ``titlebout.toml``.
    pipeline : str
        Name of the folder in ``pipelines/``.
    """

    root: Path
    settings: Settings
    pipeline: str

    @classmethod
    def find(cls, start: Path, pipeline: str | None = None) -> "Project":
        """Return the project that contains `start`.

        Raises
        ------
        NotFoundError
            If neither `start` nor a folder above it has a ``titlebout.toml``, or the pipeline does not exist.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / SETTINGS_FILE).is_file():
                break
        else:
            raise NotFoundError(
                f"{SETTINGS_FILE} not found in this folder or any parent folder",
                where=str(start),
                fix="run the command inside a generated repository, or create one with `titlebout new`",
            )
        settings = load_settings(folder / SETTINGS_FILE)
        project = cls(folder, settings, pipeline or settings.project.pipeline)
        names = sorted(path.name for path in (folder / "pipelines").glob("*") if path.is_dir())
        if project.pipeline not in names:
            raise NotFoundError(
                f"no pipeline {project.pipeline!r}",
                where=str(folder / "pipelines"),
                fix=f"choose one of: {', '.join(names)}" if names else "create a repository with `titlebout new`",
            )
        return project

    @property
    def pipeline_dir(self) -> Path:
        """Folder of ``dvc.yaml``, ``params.yaml``, ``dvc.lock`` and ``champion.dvc``; DVC runs here."""
        return self.root / "pipelines" / self.pipeline

    @property
    def data_dir(self) -> Path:
        """Data tracked in ``data.dvc``: the source of training and holdout rows."""
        return self.root / "data"

    @property
    def model_dir(self) -> Path:
        """Output of the train stage: the challenger."""
        return self.pipeline_dir / "model"

    @property
    def stage_reports(self) -> Path:
        """Results of the DVC stages; committed to git, therefore without timestamps and machine names."""
        return self.pipeline_dir / "reports"

    @property
    def reports(self) -> Path:
        """Results of commands; not committed."""
        return self.root / "reports"

    @property
    def suite_path(self) -> Path:
        """File of the Great Expectations suite."""
        return self.root / self.settings.checks.suite

    @cached_property
    def params(self) -> Params:
        """Validated content of the pipeline's ``params.yaml``."""
        return load_params(self.pipeline_dir / PARAMS_FILE)

    def build_model(self) -> Any:
        """Call the user's model function (``train.model``) and return the unfitted estimator.

        Raises
        ------
        ConfigError
            If the function cannot be imported or called, or does not return an estimator.
        """
        self.add_source_to_path()
        reference = self.params.train.model
        module_name, function_name = reference.split(":")
        with self.team_code(reference):
            function = getattr(importlib.import_module(module_name), function_name)
            estimator = function(seed=self.params.train.seed, **self.params.train.hyperparameters)
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            raise ConfigError(
                f"{reference} returned {type(estimator).__name__}, which has no fit and predict methods",
                where=f"{self.pipeline_dir / PARAMS_FILE}: train.model",
                fix="return an unfitted scikit-learn estimator or pipeline",
            )
        return estimator

    @contextmanager
    def team_code(self, what: str) -> Iterator[None]:
        """Convert exceptions of user code into configuration errors that name the file and line.

        Parameters
        ----------
        what : str
            Description of the operation, the subject of the error message.

        Raises
        ------
        ConfigError
            If the enclosed code raises any other exception.
        TitleboutError
            If the enclosed code raises it; it is passed on unchanged.
        """
        try:
            yield
        except TitleboutError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            user_frames = [frame for frame in frames if Path(frame.filename).is_relative_to(self.root / "src")]
            last = user_frames[-1] if user_frames else None
            place = f"{last.filename}:{last.lineno}" if last else f"{self.pipeline_dir / PARAMS_FILE}: train"
            raise ConfigError(
                f"{what} failed: {type(error).__name__}: {error}",
                where=place,
                why=f"the cause is in src/{self.settings.project.package} or in the parameters passed to it",
                fix="correct the code or the parameters, then run `titlebout train`",
            ) from error

    def add_source_to_path(self) -> None:
        """Put the repository's ``src`` first on the import path, so that a worktree uses its own code, not an installed copy."""
        source = str(self.root / "src")
        if sys.path[0] != source:
            sys.path.insert(0, source)
