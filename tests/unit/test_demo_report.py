"""The demo's page: the outcome in numbers, why challengers were kept, links to the other pages."""

import re

from demo.report import DemoResult, Period, page
from titlebout.backtest.report import BacktestResult, summaries
from titlebout.backtest.report import Period as Past
from titlebout.backtest.simulation import STRATEGIES, UNGATED, PeriodOutcome, SimulationResult

MONTHS = ("2013-04", "2013-05")


def shown(*periods: Period) -> str:
    runs = []
    for strategy, loss, verdict in (("never", 0.6, ""), ("every_ungated", 0.5, UNGATED)):
        outcomes = [PeriodOutcome(name=name, rows=10, loss=loss, decision="-", verdict=verdict) for name in MONTHS]
        known = next(one for one in STRATEGIES if one.name == strategy)
        runs.append((known, SimulationResult(strategy, tuple(outcomes))))
    past = tuple(Past(name=name, rows=10) for name in MONTHS)
    tested = BacktestResult(
        passed=True,
        reasons=("a",),
        loss="log_loss",
        start_rows=9,
        label_delay=0,
        periods=past,
        strategies=summaries(runs),
    )
    result = DemoResult(
        passed=True, reasons=(), repository="r", page="p", ci="c", periods=periods, log_loss=0.54, backtest=tested
    )
    return page(result, list(periods))


def test_the_page_has_the_outcome_and_the_cause_of_every_keep() -> None:
    month = Period(name=MONTHS[0], rows=10, check="passed", drift="drift", decision="retrain: drift", loss=0.6)
    won, kept = (
        month.replace(verdict="promote"),
        month.replace(name=MONTHS[1], verdict="keep", cause="guardrail: slices"),
    )
    text = shown(won, kept)

    assert "1 of 2 challengers promoted. Mean log loss 10.0% lower than without retraining" in text
    assert "1 pull request fewer (1 instead of 2)" in text
    assert re.findall(r'data-label="verdict">(.*?)<', text) == ["promote", "keep"]
    assert re.findall(r'data-label="why not promoted">(.*?)<', text) == ["-", "guardrail: slices"]
    assert re.findall(r'<a href="(.*?)"', text) == ["backtest.html", "flights-delay/reports/drift.html"]
