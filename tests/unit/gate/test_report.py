"""The gate's report: one screen for every verdict, safe Markdown, pictures that say what the numbers say."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from titlebout.core.arrays import FloatArray
from titlebout.core.results import to_json
from titlebout.data.holdout import Holdout
from titlebout.gate.decision import GuardrailResult, decide
from titlebout.gate.evaluate import EvaluationFacts, _decide, _result
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.gate.report import EvaluateResult, draw
from titlebout.metrics.estimates import GroundTruth
from titlebout.settings.gate import GateSettings, SlicesSettings

SETTINGS = GateSettings(min_rows=100, slices=SlicesSettings(columns=("harbour",)))
HOLDOUT = Holdout(rows=900, fingerprint="f" * 64, start="2024-04-06T00:00", end="2024-04-19T22:00", uses=1)
FACTS = EvaluationFacts(
    reason="drift",
    challenger="0123456789abcdef",
    champion="fedcba9876543210",
    challenger_md5="c0ffee.dir",
    champion_md5="decaf.dir",
    promotion_requested=True,
    anchor_missing="",
    latency_ms={"challenger": 2.0, "champion": 3.0},
    size_bytes={"challenger": 2000, "champion": 3000},
    holdout=HOLDOUT,
    guards=(),
)


def predictions(
    noise: dict[str, float], harbours: tuple[str, ...] = ("north", "south"), rows: int = 900
) -> HoldoutPredictions:
    """Models that see the truth through noise of their own; the dummy sees nothing."""
    random = np.random.default_rng(1)
    logit = random.normal(0, 1.5, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)

    def answers(amount: float) -> FloatArray:
        late = 1 / (1 + np.exp(-(logit + random.normal(0, amount, rows)) / (1 + amount**2 / 4)))
        return np.column_stack([1 - late, late])

    predicted = {model_name: answers(amount) for model_name, amount in noise.items()} | {
        "dummy": np.full((rows, 2), 0.5)
    }
    return HoldoutPredictions(
        GroundTruth("classification", y, (0, 1)), predicted, pd.DataFrame({"harbour": np.resize(harbours, rows)})
    )


def result(noise: dict[str, float], reason: str = "drift", **facts: Any) -> EvaluateResult:
    about = FACTS.replace(reason=reason, **facts)
    if "champion" not in noise:
        about = about.replace(champion="")
    return _result(about, decide(predictions(noise), SETTINGS, reason, about.holdout.uses), passed=True)


def test_a_reviewer_reads_the_verdict_the_evidence_and_what_to_do_next() -> None:
    text = result({"challenger": 0.3, "champion": 1.2}).to_markdown()

    assert text.startswith("### Gate: promote\n\n**The challenger is significantly better than the champion: log")
    assert "Rule for **drift**: the challenger must be better" in text
    for expected in (
        "| metric (better ↓ or ↑) | champion | challenger | dummy | gain | 90% interval |",
        "| **log\\_loss ↓** | ",
        "gain of the margin",
        "| ✓ | calibration |",
        "Slices: 2 not worse",
        "    predicted  ▁",
        "| challenger right |",
        "900 rows, 2024-04-06 to 2024-04-19",
        "Significance level 0.05, one-sided.",
        "Challenger `0123456789ab`, champion `fedcba987654`",
        "--from-predictions reports/evaluate/predictions.parquet",
    ):
        assert expected in text
    assert len(text.splitlines()) < 60


def test_a_slice_that_got_worse_is_named_in_red_with_its_numbers() -> None:
    one = predictions({"challenger": 0.3, "champion": 1.2})
    worse = one.predicted["challenger"].copy()
    south = (one.columns["harbour"] == "south").to_numpy()
    worse[south] = np.roll(worse[south], 1, axis=0)
    broken = HoldoutPredictions(one.truth, {**one.predicted, "challenger": worse}, one.columns)
    text = _result(FACTS, decide(broken, SETTINGS, "change"), passed=False).to_markdown()

    assert text.startswith("### Gate: keep the champion")
    assert "Slices: significantly worse in 1 slice: harbour = south" in text
    assert "| `harbour = south` | 450 |" in text
    assert "| worse |" in text


def test_the_level_of_a_further_challenger_is_explained() -> None:
    text = result({"challenger": 0.3, "champion": 1.2}, "change", holdout=HOLDOUT.replace(uses=3)).to_markdown()

    assert (
        "Significance level 0.0083, one-sided: challenger 3 of the last 365 days since a promotion as superior." in text
    )


@pytest.mark.parametrize("entity", ["", "customer"])
def test_rows_that_depend_on_each_other_are_reported_as_fewer(entity: str) -> None:
    one = predictions({"challenger": 0.3, "champion": 1.2})
    random, rows = np.random.default_rng(0), len(one.truth.y)
    units = random.integers(0, 12, rows)
    shocks = np.repeat(random.normal(0, 1, 90), rows // 90) if not entity else random.normal(0, 1, 12)[units]
    given_ = one.predicted["challenger"].copy()
    moved = 1 / (1 + np.exp(-(np.log(given_[:, 1] / given_[:, 0]) + 3 * shocks)))
    changed = {**one.predicted, "challenger": np.column_stack([1 - moved, moved])}
    made = HoldoutPredictions(
        one.truth,
        changed,
        one.columns,
        units if entity else None,
        entity=entity,
        times=None if entity else np.arange(rows),
    )
    found = _result(FACTS, decide(made, SETTINGS, "change"), passed=True)

    assert found.power is not None
    assert found.power.dependence == (entity or "time")
    assert found.power.effective_rows < 0.8 * rows
    text = found.to_markdown()
    worth = f"they are worth {found.power.effective_rows:,} independent ones. It resolves a gain of"
    assert worth in text
    assert ("which depend on each other over time" in text) == (not entity)
    assert ("of which those with the same `customer` depend on each other" in text) == bool(entity)


def test_the_first_model_is_compared_with_the_dummy_model() -> None:
    first = result({"challenger": 0.3})
    text = first.to_markdown()

    assert (first.reason, first.rule, first.champion_score, first.gain) == ("first", "first", None, None)
    assert "There is no champion yet" in text
    assert ", no champion yet. Holdout: " in text
    assert "Rule for **first**: the challenger must be significantly better than the dummy model" in text
    assert "| metric (better ↓ or ↑) | challenger | dummy | gain | 90% interval |" in text


@pytest.mark.parametrize(
    ("verdict", "completed"), [("unchanged", "### Gate: nothing to decide"), ("promote", "### Gate: promote")]
)
def test_a_verdict_without_an_evaluation_is_one_sentence(verdict: str, completed: str, tmp_path: Path) -> None:
    short = EvaluateResult(
        passed=True,
        reasons=("a former champion",),
        verdict=verdict,
        reason="none",
        metric="log_loss",
        challenger="0",
        challenger_md5="0",
    )

    assert short.to_markdown() == f"{completed}\n\n**A former champion.**\n"
    assert draw(tmp_path, short) == ()


def test_words_of_others_stay_words() -> None:
    detail = result({"challenger": 0.3, "champion": 1.2}, reason="<script>@everyone | `x`")
    text = detail.to_markdown()

    assert "<script>" not in text
    assert "@everyone" not in text


def test_the_former_champion_that_beats_both_is_named_for_a_roll_back() -> None:
    noise = {"challenger": 1.4, "champion": 1.5, "anchor": 0.1}
    facts = FACTS.replace(anchor="abcdef0123456789")
    kept = _result(facts, _decide(predictions(noise), SETTINGS, facts), passed=False)
    equal = {**noise, "anchor": 1.5}

    assert kept.verdict != "promote"
    assert kept.reasons[-1].endswith("the former champion abcdef012345: consider rolling back to it")
    assert "anchor `abcdef012345`" in kept.to_markdown()
    assert "rolling back" not in str(_decide(predictions(equal), SETTINGS, facts).reasons)


def test_a_result_is_strict_json_with_everything_the_report_shows() -> None:
    document = json.loads(to_json(result({"challenger": 0.3, "champion": 1.2, "anchor": 1.0}).model_dump()))

    assert document["step"] == "evaluate"
    assert {guard["name"] for guard in document["guards"]} == {"roc_auc", "accuracy", "slices", "calibration"}
    assert document["over_anchor"]["lower"] < document["over_anchor"]["gain"] < document["over_anchor"]["upper"]
    assert {one["level"] for one in document["slices"]} == {"north", "south"}
    assert document["metrics"][0]["role"] == "primary"
    assert document["gain_lower"] == document["metrics"][0]["lower"]


def test_a_guard_that_fails_afterwards_leads_the_reasons() -> None:
    won = decide(predictions({"challenger": 0.3, "champion": 1.2}), SETTINGS, "change")
    text = _result(
        FACTS,
        won.with_guardrails([GuardrailResult(name="serving", status="failed", detail="it answers otherwise")]),
        passed=False,
    ).to_markdown()

    assert text.startswith(
        "### Gate: keep the champion\n\n**Serving: it answers otherwise.**\n\n- The challenger is significantly better"
    )


def words(path: Path) -> str:
    return " ".join(ET.parse(path).getroot().itertext())


def test_the_pictures_show_metrics_slices_and_both_calibrations(tmp_path: Path) -> None:
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / "old.svg").write_text("<svg/>")
    one = result({"challenger": 0.3, "champion": 1.2})
    drawn = draw(tmp_path, one)
    once = [path.read_bytes() for path in drawn]

    assert sorted(path.name for path in (tmp_path / "evaluate").iterdir()) == ["calibration.svg", "gains.svg"]
    assert all(
        word in words(drawn[0])
        for word in (
            "log_loss",
            "roc_auc",
            "harbour = north (450 rows)",
            "% of its value",
            "better",
            "margin",
            "Gain of the",
        )
    )
    assert all(
        word in words(drawn[1]) for word in ("challenger", "champion", "predicted probability", "Calibration, in ten")
    )
    assert [path.read_bytes() for path in draw(tmp_path, one)] == once


@pytest.mark.parametrize(
    ("needed", "sentence"),
    [
        (901, "Detecting a gain of the margin (0.0100) with 80% power takes 901 rows."),
        (900, "A gain of the margin (0.0100) is detected with at least 80% power."),
        (1, "A gain of the margin (0.0100) is detected with at least 80% power."),
    ],
)
def test_rows_are_only_asked_for_beyond_those_of_the_holdout(needed: int, sentence: str) -> None:
    one = result({"challenger": 0.3, "champion": 1.2})
    assert one.power is not None

    assert sentence in one.replace(margin=0.01, power=one.power.replace(rows=900, needed=needed)).to_markdown()
