"""Holdouts whose truth is known: two models that see the same signal, each with its own noise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from titlebout.core.arrays import FloatArray, IntArray
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.estimates import GroundTruth
from titlebout.settings.gate import GateSettings

CLASSES = ("no", "yes")
SPREAD = 1.3


def sigmoid(logits: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logits))


def pair(positive: FloatArray) -> FloatArray:
    """Probabilities of two classes from those of the second."""
    return np.column_stack([1 - positive, positive])


def classification(
    rows: int = 2000, seed: int = 0, noise: dict[str, float] | None = None, **more: Any
) -> HoldoutPredictions:
    """Holdout predictions in which each model sees the true logit through its own noise, and is as calibrated as possible."""
    noise = {"challenger": 0.5, "champion": 0.5} if noise is None else noise
    random = np.random.default_rng(seed)
    logits = random.normal(0, SPREAD, rows)
    y = (random.random(rows) < sigmoid(logits)).astype(np.int64)
    predicted = {model_name: pair(_answers(logits, sd, random)) for model_name, sd in noise.items()}
    predicted["dummy"] = pair(np.full(rows, 0.5))
    return HoldoutPredictions(GroundTruth("classification", y, CLASSES), predicted, **more)


def _answers(logits: FloatArray, noise: float, random: np.random.Generator) -> FloatArray:
    seen = logits + random.normal(0, noise, len(logits))
    return sigmoid(seen * SPREAD**2 / (SPREAD**2 + noise**2))


def regression(
    rows: int = 2000, seed: int = 0, noise: dict[str, float] | None = None, **more: Any
) -> HoldoutPredictions:
    """Holdout predictions of values; a model's error is its own noise plus irreducible noise of standard deviation 1."""
    noise = {"challenger": 0.5, "champion": 0.5} if noise is None else noise
    random = np.random.default_rng(seed)
    signal = random.normal(0, 3, rows)
    y = signal + random.normal(0, 1, rows)
    predicted = {model_name: signal + random.normal(0, sd, rows) for model_name, sd in noise.items()}
    predicted["dummy"] = np.full(rows, y.mean())
    return HoldoutPredictions(GroundTruth("regression", y), predicted, **more)


def with_answers(predictions: HoldoutPredictions, **predicted: FloatArray | None) -> HoldoutPredictions:
    """The same holdout with other predictions of some models; None removes a model."""
    given = {
        model_name: answers
        for model_name, answers in {**predictions.predicted, **predicted}.items()
        if answers is not None
    }
    return replace(predictions, predicted=given)


def more_sure(predictions: HoldoutPredictions, model_name: str, factor: float) -> FloatArray:
    """The answers of a model, `factor` times as sure."""
    positive = predictions.predicted[model_name][:, 1]
    return pair(sigmoid(factor * np.log(positive / (1 - positive))))


def sliced(predictions: HoldoutPredictions, **columns: Any) -> HoldoutPredictions:
    """The same holdout with slice columns."""
    return replace(predictions, columns=pd.DataFrame(columns))


def grouped(predictions: HoldoutPredictions, entities: IntArray) -> HoldoutPredictions:
    """The same holdout with rows that belong to entities."""
    return replace(predictions, entities=entities)


def gate(**settings: Any) -> GateSettings:
    """Settings of the gate, as they would be read from a file, with the rule non-inferior for age; no reason has it by default."""
    return GateSettings.model_validate({"rules": {"age": "non-inferior"}} | settings)
