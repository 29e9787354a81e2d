"""Results as Markdown, and as a picture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import simulations
import worlds
from claims import Claim, Row, less, mean, of

from titlebout.backtest.simulation import STRATEGIES

POLICIES = [strategy.name for strategy in STRATEGIES]
OURS = POLICIES[-1]
COLORS = dict(zip(POLICIES, ("#57606a", "#cf222e", "#9a6700", "#8250df", "#bf3989", "#0969da"), strict=True))


def page(results: Mapping[str, Any], claims: Sequence[Claim]) -> str:
    """Return all tables."""
    about, rows = results["about"], results["years"]
    parts = [
        f"{about['seeds']} seeds; {about['minutes']:.0f} minutes of processor time; numpy {about['numpy']}, "
        f"scikit-learn {about['scikit-learn']}, Evidently {about['evidently']}.",
        _claims(claims),
        _regret(rows),
        _reasons(rows),
    ]
    parts.append(_variants(rows, "Other settings", [variant.name for variant in simulations.SETTINGS]))
    if of(rows, OURS, simulations.PARTS[0].name):
        parts.append(_variants(rows, "Ablations", [variant.name for variant in simulations.PARTS]))
    parts += [_flights(results["flights"])] if results["flights"] else []
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _claims(claims: Sequence[Claim]) -> str:
    rows = [(claim.text, claim.worst, "yes" if claim.holds else "**no**") for claim in claims]
    return "### The claims\n\n" + _table(["claim", "least favorable figure", "holds"], rows)


def _regret(rows: Sequence[Row]) -> str:
    names = _worlds(rows)
    descriptions = {world.name: world.description for world in worlds.WORLDS}
    lines = [
        (f"{name}: {descriptions[name]}", *(_cell(of(rows, policy, worlds=[name])) for policy in POLICIES))
        for name in names
    ]
    lines.append((f"**mean of {len(names)}**", *(_cell(of(rows, policy)) for policy in POLICIES)))
    lines.append(("standard error of the mean", *(f"{mean(of(rows, policy)).error:.1f}" for policy in POLICIES)))
    others = [less(of(rows, policy), of(rows, OURS)) for policy in POLICIES[:-1]]
    lines.append((f"minus `{OURS}`", *(f"{one.value:+.1f} ± {one.error:.1f}" for one in others), ""))
    head = ["year", *(f"`{policy}`" for policy in POLICIES)]
    sentence = "Regret, and in parentheses attempts and pull requests a year (for `every_ungated`: replaced models)."
    return f"### Regret, attempts, pull requests\n\n{sentence}\n\n{_table(head, lines)}"


def _cell(rows: Sequence[Row]) -> str:
    figures = [mean(rows, field).value for field in ("regret", "attempts", "pull_requests")]
    return "{:.1f} ({:.1f}/{:.1f})".format(*figures)


def _reasons(rows: Sequence[Row]) -> str:
    """Return how often each reason of titlebout's attempts ended how, per year."""
    ours = of(rows, OURS)
    counted: Counter[str] = Counter()
    for row in ours:
        counted.update(row["ended"])
    verdicts = ("promote", "keep", "inconclusive")
    reasons = sorted(
        {key.partition(":")[0] for key in counted}, key=lambda reason: -sum(_of(counted, reason, verdicts))
    )
    lines = [
        (f"`{reason}`", *(f"{count / len(ours):.2f}" for count in _of(counted, reason, verdicts))) for reason in reasons
    ]
    return f"### Attempts of `{OURS}` by reason and verdict\n\nAttempts a year, mean of all years.\n\n{_table(['reason', *verdicts], lines)}"


def _of(counted: Mapping[str, int], reason: str, verdicts: Iterable[str]) -> list[int]:
    return [counted.get(f"{reason}: {verdict}", 0) for verdict in verdicts]


def _variants(rows: Sequence[Row], heading: str, names: Sequence[str]) -> str:
    simulated = set.intersection(*({(row["world"], row["seed"]) for row in of(rows, OURS, name)} for name in names))
    same = [row for row in rows if (row["world"], row["seed"]) in simulated]
    columns = _worlds(same)
    lines = [
        (
            variant or f"`{OURS}`",
            *(_cell(of(same, OURS, variant, [name])) for name in columns),
            _cell(of(same, OURS, variant)),
        )
        for variant in ("", *names)
    ]
    seeds = len({seed for _, seed in simulated})
    return f"### {heading}\n\n{seeds} seed{'s' * (seeds > 1)}.\n\n{_table(['', *columns, 'mean'], lines)}"


def _flights(rows: Sequence[Row]) -> str:
    lines = [
        (
            f"`{row['policy']}`",
            f"{row['loss']:.4f}",
            f"{row['difference']:+.4f} ± {row['se']:.4f}",
            row["attempts"],
            row["pull_requests"],
        )
        for row in rows
    ]
    head = ["strategy", "mean log loss", "minus `never`", "attempts", "pull requests"]
    return f"### Flights, March to December 2013\n\n{_table(head, lines)}"


def _worlds(rows: Iterable[Row]) -> list[str]:
    known = {row["world"] for row in rows}
    return [world.name for world in worlds.WORLDS if world.name in known]


def picture(rows: Sequence[Row]) -> str:
    """Return an SVG: mean regret over pull requests a year, one point per policy."""
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "titlebout", "font.size": 9}):
        figure = Figure(figsize=(6, 3.4), layout="constrained")
        axes = figure.subplots()
        for policy in POLICIES:
            regret, prs = (mean(of(rows, policy), field) for field in ("regret", "pull_requests"))
            axes.errorbar(prs.value, regret.value, yerr=regret.error, fmt="o", color=COLORS[policy], capsize=3)
            axes.annotate(
                policy, (prs.value, regret.value), textcoords="offset points", xytext=(7, 5), color=COLORS[policy]
            )
        axes.set(xlabel="pull requests a year (without a gate: models replaced)", ylabel="mean regret, log loss x 1000")
        axes.set(xlim=(-1, 62), ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
