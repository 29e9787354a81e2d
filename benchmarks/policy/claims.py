"""Claims about the retraining policy, checked against a run; claims about means allow for their standard error."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from record import Claim

ERRORS = 3  # standard errors by which a mean may be beyond its bound
QUIET = ("nothing", "5 harmless", "6 harmless")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Mean:
    """A mean over worlds and seeds; its standard error is over the seeds of the same worlds, 0 with only one."""

    value: float
    error: float


def mean(rows: Iterable[Row], field: str = "regret") -> Mean:
    """Return the mean over worlds, each with all of its seeds, and its standard error."""
    worlds: dict[str, list[float]] = {}
    for row in rows:
        worlds.setdefault(row["world"], []).append(row[field])
    variances = [float(np.var(found, ddof=1)) / len(found) if len(found) > 1 else 0.0 for found in worlds.values()]
    value = float(np.mean([np.mean(found) for found in worlds.values()]))
    return Mean(value, float(np.sqrt(sum(variances))) / len(worlds))


def of(rows: Sequence[Row], policy: str, variant: str = "", worlds: Iterable[str] | None = None) -> list[Row]:
    """Return the rows of a policy, of all worlds or of some."""
    wanted = None if worlds is None else set(worlds)
    return [
        row
        for row in rows
        if (row["policy"], row["variant"]) == (policy, variant) and (wanted is None or row["world"] in wanted)
    ]


def less(rows: Sequence[Row], others: Sequence[Row], field: str = "regret") -> Mean:
    """Return by how much the first rows have more than the others, world by world and seed by seed."""
    known = {(row["world"], row["seed"]): row[field] for row in others}
    return mean([{**row, field: row[field] - known[row["world"], row["seed"]]} for row in rows], field)


def check(results: Mapping[str, Any]) -> list[Claim]:
    """Return every claim that the results cover."""
    rows = results["years"]
    claims = [_truth(rows), *_cheap(rows), _quiet(rows), _bug(rows), _evidently(results["evidently"])]
    return [claim for claim in claims if claim]


def _truth(rows: Sequence[Row]) -> Claim:
    worst = min((row for row in rows), key=lambda row: row["regret"])
    claim = "no strategy has a smaller loss than the true probabilities"
    return Claim(claim, f"{worst['regret']:.1f} ({worst['policy']}, {worst['world']})", worst["regret"] > 0)


def _cheap(rows: Sequence[Row]) -> Iterable[Claim]:
    ours = of(rows, "titlebout")
    prs = mean(ours, "pull_requests").value
    for other, bound in (("never", 0), ("drift_share", 0), ("every_ungated", 5), ("any_drift", 5), ("every", 5)):
        theirs = of(rows, other)
        found, many = less(ours, theirs), mean(theirs, "pull_requests").value
        extra = f" by more than {bound}" if bound else ""
        claim = f"the mean regret of `titlebout` is not larger than that of `{other}`{extra}"
        figures = f"{found.value:+.1f} (± {found.error:.1f}), with {prs:.1f} pull requests a year instead of {many:.1f}"
        yield Claim(claim, figures, found.value <= bound + ERRORS * found.error)
    most = min(mean(of(rows, other), "pull_requests").value for other in ("every", "any_drift"))
    claim = "`titlebout` opens at most two thirds as many pull requests as `every` and `any_drift`"
    yield Claim(claim, f"{prs:.1f} and {most:.1f}", 3 * prs <= 2 * most)


def _quiet(rows: Sequence[Row]) -> Claim:
    found = of(rows, "titlebout", worlds=QUIET)
    worst = max(found, key=lambda row: row["attempts"])
    claim = "without a relevant change, `titlebout` makes at most 4 attempts a year"
    return Claim(claim, f"{worst['attempts']} ({worst['world']})", worst["attempts"] <= 4)


def _bug(rows: Sequence[Row]) -> Claim:
    ours, theirs = (mean(of(rows, policy, worlds=["data bug"])) for policy in ("titlebout", "every_ungated"))
    claim = "in the year of the data bug, the regret of `every_ungated` is at least twice that of `titlebout`"
    return Claim(claim, f"{theirs.value:.1f} against {ours.value:.1f}", theirs.value >= 2 * ours.value)


def _evidently(found: Row) -> Claim:
    claim = "Evidently's default tests, as computed here, agree with Evidently"
    return Claim(claim, f"{found['agreed']} of {found['samples']}", found["agreed"] == found["samples"])
