"""Parts of a backtest: periods, paired differences, conclusions and the report."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titlebout.backtest.backtest import Plan, cut
from titlebout.backtest.report import BacktestResult, Period, headline, page, paired, summaries, supported
from titlebout.backtest.simulation import STRATEGIES, UNGATED, PeriodOutcome, SimulationResult
from titlebout.core.errors import ConfigError, InconclusiveError
from titlebout.core.html import Link
from titlebout.settings.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "project": {"name": "made-up", "package": "made_up", "pipeline": "made-up"},
        "checks": {"suite": "none.json"},
        "retrain": {"min_new_rows": 50},
    }
)
BY = {strategy.name: strategy for strategy in STRATEGIES}
NASTY = "<script>alert(1)</script> | [x](http://example.org) @all"


def hourly(rows: int, shuffled: bool = False) -> pd.DataFrame:
    frame = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"), "y": np.arange(rows)})
    return frame.sample(frac=1, random_state=0) if shuffled else frame


def simulation(name: str, losses: list[float], rows: int = 100, attempts: int = 0) -> SimulationResult:
    outcomes = [
        PeriodOutcome(name=f"week {at}", rows=rows, loss=loss, decision="attempt" if at < attempts else "nothing")
        for at, loss in enumerate(losses)
    ]
    return SimulationResult(name, tuple(outcomes))


def played(**losses: list[float]) -> BacktestResult:
    attempts = {"never": 0, "every": 6, "titlebout": 2, "any_drift": 4}
    found = summaries([(BY[name], simulation(name, given, attempts=attempts[name])) for name, given in losses.items()])
    periods = tuple(Period(name=outcome.name, rows=outcome.rows) for outcome in found[0].outcomes)
    return BacktestResult(
        passed=True,
        reasons=supported(found, "log_loss"),
        loss="log_loss",
        start_rows=1000,
        label_delay=0,
        periods=periods,
        strategies=found,
    )


@given(
    rows=st.integers(250, 900),  # of which 100 hours are played at least: three periods of 30
    every=st.sampled_from(["", "1d", "30h", "20", "7"]),
    start=st.floats(0.1, 0.6),
)
def test_every_row_is_in_the_start_or_in_exactly_one_period(rows: int, every: str, start: float) -> None:
    known, periods = cut(hourly(rows, shuffled=True), "at", Plan(every=every, start=start), SETTINGS)

    parts = [known, *(part for _, part in periods)]
    assert pd.concat(parts)["y"].tolist() == list(range(rows))  # in order of time, each once
    assert len(known) >= start * rows - 1
    assert len({name for name, _ in periods}) == len(periods) >= 3


def test_all_periods_are_of_one_length_and_end_with_the_newest_row() -> None:
    known, periods = cut(hourly(500), "at", Plan(every="2d", start=0.2), SETTINGS)

    assert {len(part) for _, part in periods} == {48}
    assert periods[-1][1]["y"].iloc[-1] == 499
    assert len(known) == 500 - 48 * len(periods)
    assert periods[0][0] == f"{periods[0][1]['at'].iloc[0]:%Y-%m-%d}"


def test_a_year_that_nanoseconds_do_not_reach_is_in_order() -> None:
    frame = hourly(500)
    frame["at"] = frame["at"].astype("datetime64[us, UTC]").where(frame["y"] > 0, pd.Timestamp("2505-01-01", tz="UTC"))

    assert cut(frame, "at", Plan(every="60", start=0.5), SETTINGS)[1][-1][1]["y"].iloc[-1] == 0


def test_a_period_can_be_a_number_of_rows() -> None:
    for time in ("at", ""):
        _, periods = cut(hourly(500), time, Plan(every="60", start=0.5), SETTINGS)
        assert [len(part) for _, part in periods] == [60] * 4
        assert periods[-1][0] == "rows 441 to 500"


@pytest.mark.parametrize(
    ("rows", "time", "length"),
    [(24 * 100, "at", 7 * 24), (24 * 28, "at", 78), (24 * 1000, "at", 7 * 24), (9000, "", 50), (300, "", 35)],
)
def test_the_default_clock_is_that_of_the_policy_for_a_year(rows: int, time: str, length: int) -> None:
    known, periods = cut(hourly(rows), time, Plan(), SETTINGS)

    assert 6 <= len(periods) <= 52
    assert len(known) == rows - sum(len(part) for _, part in periods)
    assert abs(len(periods[0][1]) - length) <= 1


def test_a_period_without_rows_is_left_out() -> None:
    frame = hourly(500)
    _, periods = cut(frame[(frame["y"] < 300) | (frame["y"] > 400)], "at", Plan(every="1d", start=0.2), SETTINGS)

    assert all(len(part) for _, part in periods)
    assert len(periods) == 13


def test_too_few_periods_are_inconclusive_with_a_fix() -> None:
    with pytest.raises(InconclusiveError, match="the data covers only 2") as caught:
        cut(hourly(500), "at", Plan(every="6d"), SETTINGS)

    assert "--every" in str(caught.value.fix)


@pytest.mark.parametrize(("every", "time"), [("a month", "at"), ("0d", "at"), ("-3", "at"), ("7 d", "at"), ("7d", "")])
def test_a_length_that_cannot_be_used_is_a_usage_error(every: str, time: str) -> None:
    with pytest.raises(ConfigError):
        cut(hourly(500), time, Plan(every=every), SETTINGS)


def test_a_paired_difference_has_the_standard_error_of_a_mean() -> None:
    one, other = [0.5, 0.7, 0.4, 0.6], [0.6, 0.65, 0.55, 0.62]
    found = paired(simulation("a", one).outcomes, simulation("b", other).outcomes)

    difference = np.subtract(one, other)
    assert found.gain == pytest.approx(difference.mean())
    assert found.se == pytest.approx(difference.std(ddof=1) / 2)


def test_periods_that_depend_on_those_before_them_count_less() -> None:
    slow = np.repeat(np.random.default_rng(0).normal(size=6), 10)
    losses = [simulation("a", list(values)).outcomes for values in (slow, np.random.default_rng(1).permutation(slow))]
    zero = simulation("b", [0.0] * 60).outcomes
    in_a_row, shuffled = (paired(one, zero) for one in losses)

    assert in_a_row.gain == pytest.approx(shuffled.gain)
    assert in_a_row.se > 2 * shuffled.se


def test_a_period_of_many_rows_counts_more() -> None:
    one, other = simulation("a", [0.5, 0.7]).outcomes, simulation("b", [0.6, 0.6]).outcomes
    one, other = ((outcomes[0].replace(rows=300), outcomes[1]) for outcomes in (one, other))

    assert paired(one, other).gain == pytest.approx((3 * -0.1 + 0.1) / 4)


def test_significantly_worse_strategies_are_named() -> None:
    base = [0.60, 0.61, 0.59, 0.62, 0.60, 0.61]
    better = [loss - 0.1 + wobble for loss, wobble in zip(base, [0.001, -0.001, 0.002, 0, 0, 0.001], strict=True)]
    same = [loss - 0.1 + wobble for loss, wobble in zip(base, [0, 0.002, -0.001, 0.001, 0, 0.002], strict=True)]
    first, least, caution = played(never=base, every=better, titlebout=same).reasons

    assert first.startswith(
        "'every' has the smallest mean log loss, 0.5055; significantly worse over 6 periods: 'never' (+0.09"
    )
    assert first.endswith("not significantly different: 'titlebout'")
    assert least == "of the strategies that are not significantly worse, 'titlebout' made the fewest attempts: 2"
    assert "one history" in caution


def test_noise_makes_no_significant_difference() -> None:
    noise = [0.5, 0.7, 0.6, 0.4]
    first, least, _ = played(never=noise, every=[0.6, 0.55, 0.7, 0.3]).reasons

    assert "no difference is significant over 4 periods" in first
    assert least.endswith("'never' made the fewest attempts: 0")


def test_equal_losses_make_no_significant_difference() -> None:
    losses = [0.5, 0.7, 0.6, 0.4]

    assert (
        "no difference is significant over 4 periods: the largest is that of 'never' (+0.0000"
        in played(never=losses, every=losses).reasons[0]
    )
    assert played(never=losses).reasons[0] == "'never' has the smallest mean log loss, 0.5500"


def test_a_single_period_has_no_standard_error() -> None:
    result = played(never=[0.5], every=[0.4])

    assert [strategy.se for strategy in result.strategies] == [None, None]
    assert (
        "no difference is significant over 1 period: the largest is that of 'never' (+0.1000, standard error unknown)"
        in result.reasons[0]
    )
    assert "| `every` | 1 | 0 | 0.4000 | -0.1000 |" in result.to_markdown()


def test_the_table_has_a_row_per_strategy() -> None:
    text = played(never=[0.5, 0.7, 0.6], every=[0.4, 0.6, 0.51]).to_markdown()

    assert "3 periods, week 0 to week 2, after a start of 1,000 rows." in text
    assert "| `never` | 0 | 0 | 0.6000 | - | week 1: 0.7000 | 0.0 |" in text
    assert "| `every` | 3 | 0 | 0.5033 | -0.0967 ± 0.0033 | week 1: 0.6000 | 0.0 |" in text


def test_names_from_the_data_are_escaped_on_the_page() -> None:
    result = played(never=[0.5, 0.7, 0.6], titlebout=[0.4, 0.6, 0.5])
    nasty = result.replace(periods=(result.periods[0].replace(name=NASTY, refused=NASTY), *result.periods[1:]))

    whole, text = page(nasty), nasty.to_markdown()
    assert "<script" not in whole
    assert "&lt;script&gt;" in whole
    assert text.count("\\<script\\>") == 3
    assert text.count("\\[x\\](http\\:") == 3


def test_the_headline_has_the_outcome_in_numbers() -> None:
    kept = PeriodOutcome(name="week 0", rows=100, loss=0.5, decision="attempt", verdict="keep")
    won, replaced = kept.replace(verdict="promote"), kept.replace(loss=0.45, verdict=UNGATED)
    idle = kept.replace(loss=0.6, decision="nothing", verdict="")
    runs = {"never": (idle, idle, idle), "every_ungated": (replaced,) * 3, "titlebout": (kept, won, kept)}
    found = summaries([(BY[name], SimulationResult(name, outcomes)) for name, outcomes in runs.items()])
    result = played(never=[0.5, 0.7, 0.6]).replace(strategies=found)

    assert (
        "titlebout: 1 of 3 challengers promoted. Mean log loss 16.7% lower than without retraining, and 11.1% higher than with a "
        "new model every period and no gate, with 2 pull requests fewer (1 instead of 3)."
    ) in page(result)
    one = headline(result.replace(strategies=found[:1]), 3, 1, 0.5)
    assert one == "1 of 3 challengers promoted. Mean log loss 16.7% lower than without retraining."


def test_the_page_says_why_a_challenger_was_not_promoted() -> None:
    result = played(never=[0.5, 0.7, 0.6], titlebout=[0.4, 0.6, 0.5])
    never, ours = result.strategies
    kept = ours.outcomes[0].replace(reason="perf_decay", verdict="keep", cause="guardrail: slices")
    shown = page(result.replace(strategies=(never, ours.replace(outcomes=(kept, *ours.outcomes[1:])))))

    cells = re.findall(r"<td[^>]*>(.*?)</td>", shown.partition("Every challenger")[2])
    assert cells == ["titlebout", "week 0", "perf decay", "kept", "guardrail: slices"]
    assert "Every challenger" not in page(result), "without one there is no table"


def test_the_page_shows_warnings_of_the_data_check_and_leads_to_others() -> None:
    result = played(never=[0.5, 0.7, 0.6])
    first, *others = result.periods
    warned = page(result.replace(periods=(first.replace(warning="1 failed"), *others)), Link("A year", "report.html"))

    assert re.findall(r'data-label="data check">(.*?)<', warned) == ["warning", "passed", "passed"]
    assert '<a href="report.html">A year</a>' in warned


def test_the_page_is_one_file_that_loads_nothing() -> None:
    whole = page(played(never=[0.5, 0.7, 0.6], titlebout=[0.4, 0.6, 0.5]))

    assert whole.count("<svg") == 4  # two figures, each for a wide and for a narrow screen
    for mark in ("src=", 'href="http', "url(http", "<script", "<link", "@import"):
        assert mark not in whole
