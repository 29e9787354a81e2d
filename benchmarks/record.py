"""What the measurements have in common: claims, where results go, and how a run ends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


@dataclass(frozen=True)
class Claim:
    """A sentence, the figure that speaks most against it, and whether it holds."""

    text: str
    worst: str
    holds: bool


def write(folder: Path, results: Mapping[str, Any], text: str) -> None:
    """Write results and tables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "tables.md").write_text(text, encoding="utf-8")


def into_page(page: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put tables between two marks of a page."""
    begin, end = marks
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(before + begin + "\n" + text + "\n" + end + rest.partition(end)[2], encoding="utf-8")


def table(found: Sequence[Claim]) -> list[str]:
    """Return the lines of a Markdown table of claims."""
    rows = [f"| {claim.text} | {claim.worst} | {'yes' if claim.holds else '**no**'} |" for claim in found]
    return ["| claim | measured | holds |", "| --- | --- | --- |", *rows]


def conclude(found: Sequence[Claim]) -> int:
    """Print every claim, and return the exit code: 1 when one does not hold."""
    for claim in found:
        print(f"{'holds' if claim.holds else 'DOES NOT HOLD'}: {claim.text}: {claim.worst}")
    return 0 if all(claim.holds for claim in found) else 1
