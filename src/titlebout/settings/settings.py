"""The whole of ``titlebout.toml``."""

from typing import Literal

from pydantic import Field

from titlebout.settings.checks import ChecksSettings
from titlebout.settings.drift import DriftSettings
from titlebout.settings.gate import GateSettings
from titlebout.settings.package import PackageSettings
from titlebout.settings.policy import PolicySettings
from titlebout.settings.project import ProjectSettings
from titlebout.settings.retrain import RetrainSettings
from titlebout.settings.sources import SourcesSettings
from titlebout.settings.table import Table


class Settings(Table):
    """Project settings (``titlebout.toml``): everything that can change without training a new model."""

    schema_version: Literal[1] = Field(
        1, description="Version of the format of this file. The only version so far is 1."
    )
    project: ProjectSettings
    checks: ChecksSettings
    gate: GateSettings = GateSettings()
    drift: DriftSettings = DriftSettings()
    sources: SourcesSettings = SourcesSettings()
    policy: PolicySettings = PolicySettings()
    retrain: RetrainSettings = RetrainSettings()
    package: PackageSettings = PackageSettings()
