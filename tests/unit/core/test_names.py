"""Settings and workflows use the same names of retraining reasons."""

from pathlib import Path

import yaml

from titlebout.core.names import REASONS
from titlebout.settings.gate import RulesSettings

WORKFLOWS = Path(__file__).parents[3] / "cookiecutter" / "{{cookiecutter.project_slug}}" / ".github" / "workflows"


def test_every_retraining_reason_has_a_gate_rule() -> None:
    assert set(RulesSettings.model_fields) == {"change", *REASONS}


def test_the_retrain_workflow_offers_every_reason() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "retrain.yml").read_text(encoding="utf-8"))
    offered = workflow[True]["workflow_dispatch"]["inputs"]["reason"]["options"]  # YAML 1.1 reads the key `on` as true

    assert offered == list(REASONS)
