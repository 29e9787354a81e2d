"""Results of the commands that have a composite Action: what they write to a workflow is declared there."""

from titlebout.checks.check import CheckResult
from titlebout.core.results import StepResult
from titlebout.drift.report import DriftResult
from titlebout.gate.report import EvaluateResult
from titlebout.retraining.decide import DecideResult
from titlebout.retraining.retrain import RetrainResult
from titlebout.serving.package import PackageResult
from titlebout.training.train import TrainResult

_CLASSES: tuple[type[StepResult], ...] = (
    CheckResult,
    DecideResult,
    DriftResult,
    EvaluateResult,
    PackageResult,
    RetrainResult,
    TrainResult,
)
OUTPUTS = {kind.model_fields["step"].default: tuple(kind.output_fields) for kind in _CLASSES}
