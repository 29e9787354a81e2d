"""Results as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from claims import Claim

POLICIES = ("ours", "naive", "always", "never")
GUARDS = ("slices", "calibration", "roc_auc", "accuracy", "rmse")

Row = Mapping[str, Any]


def page(results: Mapping[str, Any], claims: Sequence[Claim]) -> str:
    """Return all tables."""
    about = results["about"]
    parts = [
        f"Seed {about['seed']}; {about['minutes']:.0f} minutes of processor time; numpy {about['numpy']}, scikit-learn {about['scikit-learn']}.",
        _claims(claims),
        _type_one(results["type_one"]),
        _end_to_end(results["end_to_end"]),
        _others(results["end_to_end"], results.get("evidently")),
        _agreement(results["agreement"]),
    ]
    if "dependence" in results:
        parts.append(_dependence(results["dependence"]))
    parts += _promises(results)
    if "cross_fitting" in results:
        parts.append(_cross_fitting(results["cross_fitting"]))
    if "times" in results:
        parts.append(_times(results["times"], results["whole"]))
    parts += [_flights(name, found) for name, found in results.get("flights", {}).items()]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _claims(claims: Sequence[Claim]) -> str:
    rows = [(claim.text, claim.worst, "yes" if claim.holds else "**no**") for claim in claims]
    return "### The claims\n\n" + _table(["claim", "least favorable figure", "holds"], rows)


def _type_one(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n"] for row in rows})
    cells: dict[tuple[str, str, str], dict[int, Row]] = {}
    for row in rows:
        cells.setdefault((row["boundary"], row["world"], row["metric"]), {})[row["n"]] = row
    error = ", ".join(
        f"{100 * max(row['error'] for row in rows if row['n'] == n and row['metric'] != 'balanced_accuracy'):.1f}"
        for n in sizes
    )
    lines = [
        (
            "equal" if boundary == "equal" else "worse by the margin",
            world,
            f"`{metric}`",
            *(_percent(by_n[n]["rate"]) if n in by_n else "" for n in sizes),
        )
        for (boundary, world, metric), by_n in sorted(cells.items())
    ]
    head = ["truth", "world", "metric", *(f"{n:,} rows" for n in sizes)]
    reported = f"Percent of simulated evaluations; nominal 5. Monte Carlo errors of at most {error} points, from left to right."
    return f"### Type I error rate by metric\n\n{reported}\n\n{_table(head, lines)}"


def _end_to_end(rows: Sequence[Row]) -> str:
    modes = list(rows[0]["ours"])
    lines = [
        (
            row["truth"],
            f"{row['n']:,}",
            row["repetitions"],
            *(_verdicts(row["ours"][mode]) for mode in modes),
            ", ".join(f"{name} {_percent(row['guards'][name])}" for name in GUARDS if row["guards"].get(name)),
        )
        for row in sorted(rows, key=lambda row: (row["truth"].startswith("values"), row["truth"], row["n"]))
    ]
    head = ["truth", "rows", "evaluations", *modes, "failed guardrails"]
    reported = "Percent of evaluations with each verdict (promote / inconclusive / keep), by rule."
    return f"### The whole rule\n\n{reported}\n\n{_table(head, lines)}"


def _verdicts(found: Mapping[str, float]) -> str:
    return " / ".join(_percent(found.get(verdict, 0.0)) for verdict in ("promote", "inconclusive", "keep"))


def _others(rows: Sequence[Row], evidently: Row | None) -> str:
    lines = [
        (
            row["truth"],
            f"{row['n']:,}",
            _percent(row["ours"]["superior"].get("promote", 0.0)),
            _percent(row["ours"]["non-inferior-and-ahead"].get("promote", 0.0)),
            *(_percent(row["others"][rule]) for rule in ("naive", "gain", "tolerance", "evidently")),
        )
        for row in sorted(rows, key=lambda row: (row["truth"].startswith("values"), row["truth"], row["n"]))
    ]
    head = ["truth", "rows", "superior", "non-inferior and ahead", "naive", "gain ≥ 2%", "loss ≤ 2%", "Evidently"]
    reported = "Percent of the same evaluations that each rule promotes."
    if evidently:
        reported += (
            f" Evidently's default tests were computed by their formula; the library itself gave the same verdict in "
            f"{_percent(evidently['agreed'])}% of {evidently['repetitions']} evaluations of {evidently['n']:,} rows, "
            f"of which {_percent(evidently['passed'])}% passed."
        )
    return f"### Compared with other rules\n\n{reported}\n\n{_table(head, lines)}"


def _dependence(rows: Sequence[Row]) -> str:
    rules = ("ours", "independent rows", "days", "bootstrap", "block bootstrap")
    head = ["series", "group", "rows", "windows", *(f"{rule}, %" for rule in rules), "width of ours"]
    lines = [
        (
            *(row["world"], row["group"], f"{row['n']:,}", row["windows"]),
            *(_percent(row["missed"][rule]) if rule in row["missed"] else "" for rule in rules),
            f"{row['width']['ours']:.2f}",
        )
        for row in rows
    ]
    about = (
        "Percent of lower bounds at a nominal 5% that are above the truth, for two models of which neither is better; the "
        "width is relative to the interval for independent rows. On real series the truth is the mean over all later rows."
    )
    return f"### Rows that depend on each other\n\n{about}\n\n" + _table(head, lines)


def _promises(found: Mapping[str, Any]) -> list[str]:
    guards = [
        (
            *(row["world"], f"{row['n']:,}", row["repetitions"], _percent(row["rate"])),
            ", ".join(f"{name} {_percent(share)}" for name, share in row["guards"].items()),
        )
        for row in found.get("guards", ())
    ]
    weak = [
        (row["world"], f"{row['n']:,}", row["repetitions"], _percent(row["rate"]), _percent(row["promoted"]))
        for row in found.get("weak", ())
    ]
    ratios = [
        (f"`{row['metric']}`", f"{row['n']:,}", row["repetitions"], _percent(row["rate"]), _percent(row["unknown"]))
        for row in found.get("ratios", ())
    ]
    looks = [
        (row["holdout"], row["repetitions"], _percent(row["rate"]), _percent(row["without"]))
        for row in found.get("looks", ())
    ]
    creep = [
        ("yes" if row["anchor"] else "no", row["chains"], _percent(row["mean"]), _percent(row["largest"]))
        for row in found.get("creep", ())
    ]
    firsts = [(f"`{row['metric']}`", row["repetitions"], _percent(row["rate"])) for row in found.get("firsts", ())]
    parts = [
        ("Guardrails and an equal challenger", ["world", "rows", "runs", "stopped, %", "by guardrail, %"], guards),
        (
            "A challenger better by the margin, on weak signal",
            ["world", "rows", "runs", "rejected, %", "promoted by `superior`, %"],
            weak,
        ),
        ("Bounds with one positive in 40", ["metric", "rows", "runs", "wrong on a side, %", "unknown, %"], ratios),
        (
            "A year of weekly challengers that are as good as the champion",
            ["holdout", "years", "any promoted, %", "without a budget, %"],
            looks,
        ),
        (
            "Fifty refreshes, each truly 0.5% worse, under `non-inferior`",
            ["anchor", "chains", "worse in the end, %", "at most, %"],
            creep,
        ),
        ("A constant as the first champion", ["metric", "runs", "promoted, %"], firsts),
    ]
    return [f"### {title}\n\n{_table(head, rows)}" for title, head, rows in parts if rows]


def _cross_fitting(rows: Sequence[Row]) -> str:
    sizes = sorted({row["n"] for row in rows})
    cells: dict[tuple[str, str, str], dict[int, Row]] = {}
    for row in rows:
        cells.setdefault((row["question"], row["learner"], row["target"]), {})[row["n"]] = row
    lines = [
        (
            "a first model of noise" if question == "first" else "a challenger that is not better",
            learner,
            target,
            *(f"{_percent(by_n[n]['rate'])} ± {_percent(by_n[n]['error'])}" if n in by_n else "" for n in sizes),
        )
        for (question, learner, target), by_n in cells.items()
    ]
    head = ["promoted wrongly", "learner", "target", *(f"{n:,} rows" for n in sizes)]
    tables = ", ".join(
        f"{learner} {max(row['repetitions'] for row in rows if row['learner'] == learner)}"
        for learner in dict.fromkeys(row["learner"] for row in rows)
    )
    about = f"Percent of tables, with the Monte Carlo error; five folds. Tables in each cell at most: {tables}."
    return f"### Cross-fitting on small tables\n\n{about}\n\n{_table(head, lines)}"


def _agreement(rows: Sequence[Row]) -> str:
    lines = [
        (
            f"`{row['metric']}`",
            f"{row['n']:,}",
            row["repetitions"],
            _percent(row["agreed"]),
            _percent(row["bootstraps_agreed"]),
            f"{row['width_ratio']:.3f}",
        )
        for row in rows
    ]
    head = ["metric", "rows", "evaluations", "same verdict, %", "two bootstraps agree, %", "width over bootstrap's"]
    return f"### Against a paired bootstrap: verdicts\n\n{_table(head, lines)}"


def _times(rows: Sequence[Row], whole: Row) -> str:
    lines = [
        (
            f"`{row['metric']}`",
            row["bootstrap"],
            f"{row['n']:,}",
            f"{row['closed_ms']:,.1f}",
            f"{row['bootstrap_ms']:,.0f}",
            f"{row['draws_timed']:,}",
            f"{row['ratio']:,.0f}",
        )
        for row in rows
    ]
    head = ["metric", "bootstrap", "rows", "closed form, ms", "1,000 draws, ms", "draws timed", "ratio"]
    reported = (
        f"Medians of {rows[0]['rounds']} alternating rounds; where fewer than 1,000 draws were timed, the time is scaled up. A whole decision "
        f"on {whole['n']:,} rows with {whole['slices']} slices takes {whole['decide_s']:.1f} s, one ROC AUC and one log "
        f"loss of scikit-learn per model {whole['scikit_learn_s']:.1f} s: {whole['ratio']:.1f} times."
    )
    return f"### Against a paired bootstrap: time\n\n{reported}\n\n{_table(head, lines)}"


def _flights(name: str, found: Row) -> str:
    lines = [
        (
            row["month"],
            f"{row['holdout_rows']:,}",
            row["verdict"],
            row["naive"],
            f"{row['gain']:+.4f}",
            f"{row['gain_next_month']:+.4f}",
            f"{row['gain_rest_of_year']:+.4f}",
            *(f"{row['regret'][policy]:.4f}" for policy in POLICIES),
        )
        for row in found["months"]
    ]
    mean = ["mean", *[""] * 6, *(f"{found['mean_regret'][policy]:.4f}" for policy in POLICIES)]
    head = ["month", "holdout rows", "verdict", "naive", "gain on the holdout", "next month", "until December"]
    head += ["regret: ours", "naive", "always promote", "never"]
    reported = f"{found['rows']:,} flights, reason `{found['reason']}`; gains and regrets in log loss."
    return f"### Flights, {name}\n\n{reported}\n\n{_table(head, [*lines, mean])}"
