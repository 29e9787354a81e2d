"""A generated repository as the steps see it: where its files are, its policy, its parameters, its own code."""

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
        Top folder of the repository, the one with ``titlebout.toml``.
    settings : Settings
    pipeline : str
    """

    root: Path
    settings: Settings
    pipeline: str

    @classmethod
    def find(cls, start: Path, pipeline: str | None = None) -> "Project":
        """Return the project that `start` lies in.

        Raises
        ------
        NotFoundError
            If no folder above `start` has a ``titlebout.toml``, or the pipeline does not exist.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / SETTINGS_FILE).is_file():
                break
        else:
            raise NotFoundError(
                f"no {SETTINGS_FILE} here or in any folder above",
                where=str(start),
                fix="go into a generated repository, or make one: `titlebout new`",
            )
        settings = load_settings(folder / SETTINGS_FILE)
        project = cls(folder, settings, pipeline or settings.project.pipeline)
        have = sorted(p.name for p in (folder / "pipelines").glob("*") if p.is_dir())
        if project.pipeline not in have:
            raise NotFoundError(
                f"no pipeline {project.pipeline!r}",
                where=str(folder / "pipelines"),
                fix=f"choose one of: {', '.join(have)}" if have else "make a repository with `titlebout new`",
            )
        return project

    @property
    def pipeline_dir(self) -> Path:
        """Folder of ``dvc.yaml``, ``params.yaml``, ``dvc.lock`` and ``champion.dvc``; DVC runs here."""
        return self.root / "pipelines" / self.pipeline

    @property
    def data_dir(self) -> Path:
        """The tracked data (``data.dvc``): what models are trained and held out on."""
        return self.root / "data"

    @property
    def model_dir(self) -> Path:
        """The challenger, as the train stage wrote it."""
        return self.pipeline_dir / "model"

    @property
    def stage_reports(self) -> Path:
        """Results of the DVC stages; in git, so free of times and machine names."""
        return self.pipeline_dir / "reports"

    @property
    def reports(self) -> Path:
        """Results of commands; not in git."""
        return self.root / "reports"

    @property
    def suite_path(self) -> Path:
        """The Great Expectations suite."""
        return self.root / self.settings.checks.suite

    @property
    def retrain_branch(self) -> str:
        """The one branch that retraining refreshes."""
        return f"retrain/{self.pipeline}"

    @cached_property
    def params(self) -> Params:
        """The pipeline's parameters."""
        return load_params(self.pipeline_dir / PARAMS_FILE)

    def build_model(self) -> Any:
        """Call the team's function and return its unfitted estimator.

        Raises
        ------
        ConfigError
            If the function cannot be imported or called, or does not return an estimator.
        """
        self.import_code()
        reference = self.params.train.model
        module_name, function_name = reference.split(":")
        with self.team_code(reference):
            function = getattr(importlib.import_module(module_name), function_name)
            estimator = function(seed=self.params.train.seed, **self.params.train.hyperparameters)
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            raise ConfigError(
                f"{reference} returned {type(estimator).__name__}, which has no fit and predict",
                where=f"{self.pipeline_dir / PARAMS_FILE}: train.model",
                fix="return an unfitted scikit-learn estimator or pipeline",
            )
        return estimator

    @contextmanager
    def team_code(self, what: str) -> Iterator[None]:
        """Tell a failure of the team's own code as theirs, with its place there.

        Raises
        ------
        ConfigError
            If the code inside fails.
        TitleboutError
            If it fails with an error of ours: that is passed on.
        """
        try:
            yield
        except TitleboutError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if Path(frame.filename).is_relative_to(self.root / "src")]
            place = f"{own[-1].filename}:{own[-1].lineno}" if own else f"{self.pipeline_dir / PARAMS_FILE}: train"
            raise ConfigError(
                f"{what} failed: {type(error).__name__}: {error}",
                where=place,
                why=f"it is the code in src/{self.settings.project.package} or the parameters it was given",
                fix="correct it there; `titlebout train` runs it again",
            ) from error

    def import_code(self) -> None:
        """Put the repository's own ``src`` first on the import path: in a worktree its code counts, not an installed copy."""
        source = str(self.root / "src")
        if sys.path[0] != source:
            sys.path.insert(0, source)
