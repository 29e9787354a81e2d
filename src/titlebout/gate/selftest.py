"""``titlebout evaluate --selftest``: error rates and power of the whole rule on the project's own holdout.

Two models that are equally good are made from those of the last evaluation: their predictions are exchanged at random,
a whole stretch of time or a whole entity at once, so that neither is better and rows keep their dependence. Without a
champion, the challenger is compared with itself, each time with a little noise. A model that is better or worse by the
margin has its predictions moved toward the true values, or away from them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from titlebout.core.arrays import BoolArray, FloatArray, IntArray
from titlebout.core.errors import ExitCode, InconclusiveError
from titlebout.core.markdown import code, format_number, table
from titlebout.core.results import Record, StepResult
from titlebout.gate.decision import Decision, decide
from titlebout.gate.predictions import HoldoutPredictions
from titlebout.metrics.catalogue import PRIMARY, Metric
from titlebout.metrics.estimates import SMALLEST
from titlebout.metrics.scorers import find_metric
from titlebout.settings.gate import GateSettings, margin_size

RUNS, FEWEST_RUNS = 200, 40
MOST_PREDICTIONS = 4_000_000  # rows times runs; with more rows there are fewer runs
STRETCHES = 24  # of time; fewer are not enough for a test, and more are shorter than the dependence of the rows
NOISE = 0.2  # standard deviation of the log odds, or of values in standard deviations of the errors, without a champion

Truth = Literal["equal", "better", "worse"]
_TRUTHS: tuple[Truth, ...] = ("equal", "better", "worse")
_REASONS = {"superior": "change", "non-inferior-and-ahead": "drift", "non-inferior": "age"}
_TEXTS = {"equal": "exactly as good", "better": "better by the margin", "worse": "worse by the margin"}
_BISECTIONS = 20


class RuleRate(Record):
    """How often challengers of known quality are promoted.

    Attributes
    ----------
    truth : {"equal", "better", "worse"}
        Whether the challenger is as good as the champion, or better or worse by the margin.
    rule : {"superior", "non-inferior-and-ahead", "non-inferior"}
        Rule of the gate.
    runs, promoted, kept : int
        Number of evaluations, and of those with the verdicts *promote* and *keep*; all others are inconclusive.
    rate, low, high : float
        Share of promotions with its exact 95% confidence interval.
    promise : float or None
        Limit of the rate; None where promotions are intended.
    """

    truth: Truth
    rule: str
    runs: int
    promoted: int
    kept: int
    rate: float
    low: float
    high: float
    promise: float | None


class GuardrailCost(Record):
    """How often one guardrail stops challengers.

    Attributes
    ----------
    name : str
        Name of the guardrail.
    equal, better : float
        Share of the challengers that are as good as the champion, or better by the margin, that it stops.
    """

    name: str
    equal: float
    better: float


class RuleRates(Record):
    """Error rates and power of the rules on one holdout, for the first challenger of a year.

    Attributes
    ----------
    rates : tuple of RuleRate
        By rule and quality of the challenger.
    guardrails : tuple of GuardrailCost
        Guardrails that stopped a challenger at least once.
    margin : float
        Gain or loss of the better and the worse challenger, in units of the primary metric.
    """

    rates: tuple[RuleRate, ...]
    guardrails: tuple[GuardrailCost, ...]
    margin: float

    @property
    def broken(self) -> tuple[RuleRate, ...]:
        """Rates that are significantly above their limit: the whole interval is."""
        return tuple(rate for rate in self.rates if rate.promise is not None and rate.low > rate.promise)

    def to_markdown(self) -> str:
        """Return two tables: rates by rule, and guardrails."""
        headers = ["challenger", "rule", "promote", "keep", "inconclusive", "95% interval of promote", "limit"]
        parts = [table(headers, [_row(rate) for rate in self.rates]).rstrip()]
        if self.guardrails:
            costs = [(one.name, _percent(one.equal), _percent(one.better)) for one in self.guardrails]
            parts.append(table(["guardrail", "stops equal ones", "stops better ones"], costs).rstrip())
        else:
            parts.append("No guardrail stopped a challenger that is as good as the champion, or better.")
        return "\n\n".join(parts)


class GateSelftestResult(StepResult):
    """Error rates and power of the gate on the holdout of the last evaluation.

    Attributes
    ----------
    passed : bool
        True if no rate is significantly above its limit.
    verdict : {"kept", "broken"}
        Broken: a rate is significantly above its limit.
    rows, blocks : int
        Number of holdout rows, and of stretches of time, entities or rows whose predictions were exchanged together.
    rates : RuleRates
        Measured rates.
    """

    written: ClassVar[bool] = True
    output_fields: ClassVar[Mapping[str, str]] = {"verdict": "verdict", "report": "report"}

    step: Literal["evaluate-selftest"] = "evaluate-selftest"
    verdict: Literal["kept", "broken"]
    rows: int
    blocks: int
    rates: RuleRates

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        return ExitCode.OK if self.passed else ExitCode.CHALLENGER_LOST

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        lines = [
            f"### Gate selftest: {'no rate is' if self.passed else 'a rate is'} significantly above its limit",
            "The rules decided on simulated challengers of known quality. A limit is exceeded if the whole interval is above it; "
            "an interval that contains the limit, because there were few challengers, shows nothing against the rule.",
            f"Holdout of {format_number(self.rows)} rows, models exchanged in {format_number(self.blocks)} blocks; "
            f"margin {self.rates.margin:.4f}.",
            self.rates.to_markdown(),
        ]
        return "\n\n".join(lines) + "\n"


def selftest(predictions: HoldoutPredictions, settings: GateSettings) -> GateSelftestResult:
    """Measure error rates and power of all rules of the settings on the holdout of an evaluation.

    Parameters
    ----------
    predictions : HoldoutPredictions
        With those of the challenger, and of the champion if there is one.
    settings : GateSettings
        Rules, margin and guardrails.

    Raises
    ------
    InconclusiveError
        If the holdout has too few rows for any verdict, or the primary metric is not defined on it.
    ConfigError
        If a metric or a slice column of the settings does not exist.
    """
    rates = measure_rates(predictions, settings, tuple(_REASONS), RUNS)
    return GateSelftestResult(
        passed=not rates.broken,
        reasons=tuple(_reasons(rates)),
        verdict="broken" if rates.broken else "kept",
        rows=len(predictions.truth.y),
        blocks=len(np.unique(_blocks(predictions))),
        rates=rates,
    )


def measure_rates(
    predictions: HoldoutPredictions, settings: GateSettings, rules: Sequence[str], runs: int, seed: int = 0
) -> RuleRates:
    """Return error rates and power of some rules.

    Parameters
    ----------
    predictions : HoldoutPredictions
    settings : GateSettings
    rules : sequence of str
        Rules to measure, of "superior", "non-inferior-and-ahead" and "non-inferior".
    runs : int
        Challengers of each quality; fewer for a large holdout.
    seed : int
        Of the random exchanges.

    Raises
    ------
    InconclusiveError
        If the holdout has too few rows for any verdict, or the primary metric is not defined on it.
    """
    rows, task = len(predictions.truth.y), predictions.truth.task
    if rows < settings.min_rows:
        raise InconclusiveError(
            f"the holdout has {rows} rows, but gate.min_rows is {settings.min_rows}",
            fix="add data or enlarge the holdout",
        )
    metric = find_metric(settings.primary_metric or PRIMARY[task], task)
    pairs = _Pairs(predictions, metric, settings)
    runs = int(np.clip(MOST_PREDICTIONS // rows, min(FEWEST_RUNS, runs), runs))
    under = settings.model_copy(update={"rules": settings.rules.model_copy(update={v: k for k, v in _REASONS.items()})})
    found: dict[tuple[Truth, str], list[Decision]] = {}
    for truth in _TRUTHS:
        for run in range(runs):
            pair = pairs.draw(np.random.default_rng((seed, run)), truth)
            for rule in rules:
                found.setdefault((truth, rule), []).append(decide(pair, under, _REASONS[rule]))
    costs = {truth: _stopped(found[truth, rules[0]]) for truth in ("equal", "better")}
    return RuleRates(
        rates=tuple(_rate(truth, rule, decisions, settings) for (truth, rule), decisions in found.items()),
        guardrails=tuple(
            GuardrailCost(name=name, equal=costs["equal"].get(name, 0.0), better=costs["better"].get(name, 0.0))
            for name in dict.fromkeys([*costs["equal"], *costs["better"]])
        ),
        margin=pairs.margin,
    )


@dataclass(frozen=True)
class _Pairs:
    """Draws pairs of models of known relative quality."""

    predictions: HoldoutPredictions
    metric: Metric
    settings: GateSettings

    def __post_init__(self) -> None:
        if not np.isfinite(self._value("challenger")):
            raise InconclusiveError("the primary metric is not defined on this holdout", fix="choose another metric")

    @property
    def margin(self) -> float:
        """Margin in units of the metric."""
        metric, given = self.metric, self.settings.margin
        size, relative = (metric.margin, metric.relative) if given is None else margin_size(given)
        return size * abs(self._value("champion" if self._has_champion else "challenger")) if relative else size

    @property
    def _has_champion(self) -> bool:
        return "champion" in self.predictions.predicted

    def draw(self, random: np.random.Generator, truth: Truth) -> HoldoutPredictions:
        """Return the holdout with a champion, and a challenger of the given quality."""
        one, other = self._equal(random)
        if truth != "equal":
            one = self._moved(one, truth)
        dummy = self.predictions.predicted["dummy"]
        return replace(self.predictions, predicted={"challenger": one, "champion": other, "dummy": dummy})

    def _equal(self, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        challenger = self.predictions.predicted["challenger"]
        if not self._has_champion:
            return self._noisy(random, challenger), self._noisy(random, challenger)
        blocks, champion = _blocks(self.predictions), self.predictions.predicted["champion"]
        exchanged: BoolArray = (random.random(int(blocks.max()) + 1) < 0.5)[blocks]
        mask = exchanged[:, np.newaxis] if challenger.ndim == 2 else exchanged
        return np.where(mask, champion, challenger), np.where(mask, challenger, champion)

    def _noisy(self, random: np.random.Generator, given: FloatArray) -> FloatArray:
        """Return predictions with noise that rows of one block share in part, as retrained models do."""
        blocks = _blocks(self.predictions)
        shape = given.shape[1:]
        shared = random.normal(size=(int(blocks.max()) + 1, *shape))[blocks]
        noise: FloatArray = NOISE * np.sqrt(0.5) * (shared + random.normal(size=given.shape))
        if not self.predictions.truth.classes:
            return given + noise * float(np.std(self.predictions.truth.y - given))
        odds = np.clip(given, SMALLEST, 1) * np.exp(noise)
        normalized: FloatArray = odds / odds.sum(axis=1, keepdims=True)
        return normalized

    def _moved(self, given: FloatArray, truth: Truth) -> FloatArray:
        """Return predictions moved toward the true values, or away, until the metric differs by the margin."""
        target = self._truth_values()
        sign = 1 if truth == "better" else -1
        start, margin = self._estimate(given), self.margin

        def shift(share: float) -> FloatArray:
            if not self.predictions.truth.classes:
                return target + (1 - sign * share) * (given - target)
            goal = target if sign > 0 else (1 - target) / max(target.shape[1] - 1, 1)
            return (1 - share) * given + share * goal

        low, high = 0.0, 1.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            moved = abs(self._estimate(shift(middle)) - start)
            low, high = (middle, high) if moved < margin else (low, middle)
        return shift(high)

    def _truth_values(self) -> FloatArray:
        truth = self.predictions.truth
        return np.eye(len(truth.classes))[truth.y] if truth.classes else truth.y.astype(np.float64)

    def _value(self, model: str) -> float:
        return self._estimate(self.predictions.predicted[model])

    def _estimate(self, given: FloatArray) -> float:
        return self.metric.estimate(self.predictions.truth, given, self.predictions.dependence).value


def _blocks(predictions: HoldoutPredictions) -> IntArray:
    """Return the block of every row: a stretch of time, else an entity, else a row of its own."""
    if predictions.times is not None:
        _, position, counts = np.unique(predictions.times, return_inverse=True, return_counts=True)
        stretches = ((np.cumsum(counts) - counts) * STRETCHES // len(position))[position]
        return _numbered(stretches)
    if predictions.entities is not None:
        return _numbered(predictions.entities)
    return np.arange(len(predictions.truth.y), dtype=np.int64)


def _numbered(values: IntArray) -> IntArray:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _rate(truth: Truth, rule: str, decisions: Sequence[Decision], settings: GateSettings) -> RuleRate:
    from scipy.stats import binomtest

    runs, promoted = len(decisions), sum(one.verdict == "promote" for one in decisions)
    interval = binomtest(promoted, runs).proportion_ci(0.95, method="exact")
    promised = truth == "worse" or (truth == "equal" and rule == "superior")
    return RuleRate(
        truth=truth,
        rule=rule,
        runs=runs,
        promoted=promoted,
        kept=sum(one.verdict == "keep" for one in decisions),
        rate=promoted / runs,
        low=interval.low,
        high=interval.high,
        promise=settings.alpha if promised else None,
    )


def _stopped(decisions: Sequence[Decision]) -> dict[str, float]:
    """Return the share of the decisions in which each guardrail prevented a promotion."""
    names = [guard.name for one in decisions for guard in one.guards if guard.status in {"failed", "untested"}]
    return {name: names.count(name) / len(decisions) for name in dict.fromkeys(names)}


def _row(rate: RuleRate) -> tuple[object, ...]:
    return (
        _TEXTS[rate.truth],
        code(rate.rule),
        _percent(rate.rate),
        _percent(rate.kept / rate.runs),
        _percent((rate.runs - rate.promoted - rate.kept) / rate.runs),
        f"{_percent(rate.low)} to {_percent(rate.high)}",
        "" if rate.promise is None else f"at most {_percent(rate.promise)}",
    )


def _reasons(rates: RuleRates) -> Iterator[str]:
    for rate in sorted(rates.rates, key=lambda one: one not in rates.broken):
        limit = "" if rate.promise is None else f" (limit {_percent(rate.promise)})"
        yield f"{rate.rule}: {_percent(rate.rate)} of challengers {_TEXTS[rate.truth]} are promoted{limit}"


def _percent(share: float) -> str:
    return f"{format_number(round(100 * share, 1))}%"
