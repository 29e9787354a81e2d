"""What is claimed about the gate, and whether a run of the measurement bears it out.

Every rate has a Monte Carlo error. A claim about rates fails when one of them is beyond the bound by more than three of
its errors: with a hundred rates, a bound of two errors would fail a sound gate now and then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from record import Claim

ERRORS = 3
# Standard deviation of the width of an interval for independent rows: the factor of 2 is applied in one of ten.
WIDTH_SPREAD = 0.5
WORLDS = ("two classes", "four classes", "values", "two classes, entities", "values, entities")
OF_COUNTS = ("accuracy", "f1", "roc_auc", "average_precision", "balanced_accuracy")
MODES = ("superior", "non-inferior-and-ahead", "non-inferior")

Row = Mapping[str, Any]


def check(results: Mapping[str, Any]) -> list[Claim]:
    """Return every claim that the results can support or refute."""
    claims = [*_type_one(results["type_one"]), *_end_to_end(results["end_to_end"]), *_agreement(results["agreement"])]
    if "dependence" in results:
        claims += _dependence(results["dependence"])
    claims += _promises(results)
    claims += _cross_fitting(results.get("cross_fitting", ()))
    if "times" in results:
        claims += _times(results["times"], results["whole"])
    if "flights" in results:
        claims += [_flights(name, found) for name, found in results["flights"].items()]
    return claims


def _dependence(rows: Sequence[Row]) -> list[Claim]:
    """Bounds written on 29 November, before any run on a series of the judging group.

    Pairs and windows of one series share rows, so that its rate has an unknown error: the claim is about their mean.
    """
    synthetic = [row for row in rows if row["group"] == "synthetic"]
    worst = max(synthetic, key=lambda row: row["missed"]["ours"])
    error = float(np.sqrt(0.05 * 0.95 / (2 * worst["windows"])))
    claims = [
        Claim(
            "synthetic rows that depend on each other: a lower bound is above the truth in at most 7%",
            f"{100 * worst['missed']['ours']:.1f} ± {100 * error:.1f}% ({worst['world']}, {worst['n']:,} rows)",
            worst["missed"]["ours"] <= 0.07 + ERRORS * error,
        )
    ]
    costs = [row for row in synthetic if row["world"] == "independent"]
    cost, windows = max((row["width"]["ours"] - 1, row["windows"]) for row in costs)
    error = WIDTH_SPREAD / float(np.sqrt(windows))
    text = "where rows are independent, their time costs at most 20% in the width of the interval"
    claims.append(Claim(text, f"{100 * cost:.0f} ± {100 * error:.0f}%", cost <= 0.2 + ERRORS * error))
    judged = [row for row in rows if row["group"] == "judging"]
    for n in sorted({row["n"] for row in judged}):
        rate = float(np.mean([row["missed"]["ours"] for row in judged if row["n"] == n]))
        text = f"real series that chose nothing, {n:,} rows: a lower bound is above the truth in at most 7%, on average"
        claims.append(
            Claim(text, f"{100 * rate:.1f}% of {len([row for row in judged if row['n'] == n])} series", rate <= 0.07)
        )
    return claims


def _promises(results: Mapping[str, Any]) -> list[Claim]:
    """Return the claims of the parts that were run."""
    of_parts = {
        "guards": ("an equal challenger is stopped by any guardrail in at most 2%", 0.02, "world"),
        "weak": (
            "on weak signal, a challenger better by the margin is rejected in at most 2% from 2,000 rows",
            0.02,
            "world",
        ),
        "ratios": ("with one positive in 40, bounds of any metric are wrong in at most 7%, or unknown", 0.07, "metric"),
        "looks": (
            "any of 52 equal challengers of a year is promoted as superior in at most 10% of the years",
            0.1,
            "holdout",
        ),
        "firsts": ("the best constant becomes the first champion in at most 5%, whatever the metric", 0.05, "metric"),
    }
    claims = [
        _at_most(text, [row for row in results[part] if part != "weak" or row["n"] >= 2000], bound, key)
        for part, (text, bound, key) in of_parts.items()
        if part in results
    ]
    for row in results.get("creep", ()):
        if row["anchor"]:
            text = "50 refreshes that are each 0.5% worse leave a champion at most 2.5% worse, on average"
            found = f"{100 * row['mean']:.1f}%, at most {100 * row['largest']:.1f}% ({row['chains']} chains)"
            claims.append(Claim(text, found, row["mean"] <= 0.025))
    return claims


def _cross_fitting(rows: Sequence[Row]) -> list[Claim]:
    """Bounds of decision 31, which were written with two errors before the first run."""
    texts = {
        "first": "cross-fitting: a first model of noise is promoted in at most 5% of small tables",
        "superior": "cross-fitting: a challenger that is not better is promoted in at most 5% of small tables",
    }
    parts: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        parts.setdefault((row["question"], row["learner"]), []).append(row)
    return [
        _at_most(f"{texts[question]} ({learner})", found, 0.05, "target", errors=2)
        for (question, learner), found in parts.items()
    ]


def _at_most(text: str, rows: Sequence[Row], bound: float, key: str, errors: int = ERRORS) -> Claim:
    worst = max(rows, key=lambda row: (row["rate"] - bound) / row["error"])
    place = worst[key] if "n" not in worst else f"{worst[key]}, {worst['n']:,} rows"
    return Claim(text, f"{_rate(worst)} ({place})", worst["rate"] <= bound + errors * worst["error"])


def _type_one(rows: Iterable[Row]) -> list[Claim]:
    found = [row for row in rows if row["world"] in WORLDS]
    equal = [
        row for row in found if row["boundary"] == "equal" and not (row["metric"] in OF_COUNTS and row["n"] < 10_000)
    ]
    counts = [row for row in found if row["boundary"] == "equal" and row["metric"] in OF_COUNTS]
    margin = [row for row in found if row["boundary"] == "margin"]
    text = (
        "an equal challenger is shown to be better in 3 to 7% of evaluations at a nominal 5%, for every built-in metric"
    )
    of_counts = "for metrics that few rows can decide, in at most 7%: their bounds are wider where these rows are few"
    at_margin = "a challenger worse by the margin is shown to be non-inferior in 3 to 7% of evaluations"
    return [_between(text, equal), _at_most(of_counts, counts, 0.07, "metric"), _between(at_margin, margin)]


def _between(text: str, rows: list[Row]) -> Claim:
    worst = max(rows, key=lambda row: (abs(row["rate"] - 0.05) - 0.02) / row["error"])
    holds = abs(worst["rate"] - 0.05) <= 0.02 + ERRORS * worst["error"]
    outside = sum(not 0.03 <= row["rate"] <= 0.07 for row in rows)
    reported = (
        f"{_rate(worst)} ({worst['metric']}, {worst['world']}, {worst['n']:,} rows); {outside} of {len(rows)} outside"
    )
    return Claim(text, reported, holds)


def _end_to_end(rows: Iterable[Row]) -> list[Claim]:
    cells = [cell for row in rows for cell in _cells(row)]
    wanted = [
        ("a challenger worse by the margin is promoted in at most 5%", "worse by the margin", "promote", MODES, 0, 0.05),
        ("an equal challenger is promoted in at most 6% by the rule superior", "equal", "promote", MODES[:1], 0, 0.06),
        ("a challenger better by the margin is rejected in at most 2% from 2,000 rows", "better by the margin", "keep", MODES, 2000, 0.02),
        ("a better challenger with a broken slice is promoted in at most 5% from 2,000 rows", "better, broken slice", "promote", MODES, 2000, 0.05),
    ]  # fmt: skip
    claims = []
    for text, truth, verdict, modes, least, bound in wanted:
        fitting = [
            cell
            for cell in cells
            if cell["truth"].removeprefix("values: ") == truth
            and cell["verdict"] == verdict
            and cell["mode"] in modes
            and cell["n"] >= least
        ]
        if fitting:
            worst = max(fitting, key=lambda cell: (cell["rate"] - bound) / cell["error"])
            place = f"{worst['mode']}, {worst['truth']}, {worst['n']:,} rows"
            holds = worst["rate"] <= bound + ERRORS * worst["error"]
            claims.append(Claim(text, f"{_rate(worst)} ({place})", holds))
    return claims


def _cells(row: Row) -> list[dict[str, Any]]:
    return [
        {"truth": row["truth"], "n": row["n"], "mode": mode, "verdict": verdict, **_share(found.get(verdict, 0.0), row)}
        for mode, found in row["ours"].items()
        for verdict in ("promote", "keep")
    ]


def _share(rate: float, row: Row) -> dict[str, float]:
    times = row["repetitions"]
    return {"rate": rate, "error": float(np.sqrt(max(rate * (1 - rate), 1 / times) / times))}


def _agreement(rows: Iterable[Row]) -> list[Claim]:
    by_metric: dict[str, list[Row]] = {}
    for row in rows:
        by_metric.setdefault(row["metric"], []).append(row)
    pooled = []
    for metric, found in by_metric.items():
        times = sum(row["repetitions"] for row in found)
        rate = sum(row["agreed"] * row["repetitions"] for row in found) / times
        pooled.append({"metric": metric, **_share(rate, {"repetitions": times})})
    worst = min(pooled, key=lambda one: one["rate"])
    holds = worst["rate"] >= 0.97 - ERRORS * worst["error"]
    text = "a paired bootstrap of 1,000 draws gives the same verdict in at least 97%"
    return [Claim(text, f"{_rate(worst)} ({worst['metric']})", holds)]


def _times(rows: Iterable[Row], whole: Row) -> list[Claim]:
    worst = min((row for row in rows if row["bootstrap"] != "fast"), key=lambda row: row["ratio"])
    reported = f"{worst['ratio']:,.0f} times ({worst['metric']}, {worst['n']:,} rows)"
    cost = "a whole decision takes at most 5 times one ROC AUC and one log loss of scikit-learn per model"
    return [
        Claim(
            "a bootstrap takes at least 100 times as long, for mean losses and for ROC AUC",
            reported,
            worst["ratio"] >= 100,
        ),
        Claim(cost, f"{whole['ratio']:.1f} times ({whole['n']:,} rows)", whole["ratio"] <= 5),
    ]


def _flights(name: str, found: Row) -> Claim:
    ours, never = (found["mean_regret"][policy] for policy in ("ours", "never"))
    text = f"flights ({name}): the regret of the verdicts is less than half of that of never retraining"
    return Claim(text, f"{ours:.4f} against {never:.4f} log loss a month", ours < never / 2)


def _rate(row: Row) -> str:
    return f"{100 * row['rate']:.1f} ± {100 * row['error']:.1f}%"
