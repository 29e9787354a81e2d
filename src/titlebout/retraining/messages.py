"""What people are told where there is nothing to merge: in an issue per topic, and on a proposal that time has overtaken.

Titles and bodies depend on nothing but what happened, so that saying the same again changes nothing.
"""

from collections.abc import Iterable

from titlebout.core.markdown import escape, table, truncate
from titlebout.policy.rules import Attempt
from titlebout.retraining.reason import Why

SHOWN_ATTEMPTS = 10
REASON_LIMIT = 200  # characters

_HEADS = {
    "keep": "the champion keeps its title",
    "inconclusive": "no verdict",
    "data_refused": "the data was refused",
}
_MEANS = {
    "keep": "A challenger was trained and lost, so there is nothing to merge. The champion serves on.",
    "inconclusive": "A challenger was trained, and the rows do not suffice to tell whether it is better. The champion serves on.",
    "data_refused": "With what arrived the data would not pass its check, so nothing was trained. The champion serves on.",
}


def lost_topic(pipeline: str) -> str:
    """Return by what the issue about challengers that did not win is known again."""
    return f"retrain {pipeline}"


def data_topic(pipeline: str) -> str:
    """Return by what the issue about refused data is known again."""
    return f"data {pipeline}"


def lost_title(pipeline: str, verdict: str) -> str:
    """Return the title of the issue about a challenger that did not win."""
    return f"Retraining {pipeline}: {_HEADS[verdict]}"


def lost_body(why: Why, rows: int, verdict: str, report: str) -> str:
    """Return the text of that issue: what happened, and the report of the step that ended the attempt.

    Parameters
    ----------
    why : Why
    rows : int
        Number of new rows.
    verdict : {"keep", "inconclusive", "data_refused"}
    report : str
        Markdown.
    """
    opening = f"{_MEANS[verdict]} Why it was tried: **{escape(why)}**, with {rows:,} new rows."
    return "\n".join([opening, "", report, *([why.evidence, ""] if why.evidence else [])])


def with_attempts(body: str, attempts: Iterable[Attempt], run_url: str | None) -> str:
    """Add what was tried before, and where the reports are.

    Parameters
    ----------
    body : str
    attempts : iterable of Attempt
        The oldest first.
    run_url : str or None
        Page of the workflow run.
    """
    newest = list(attempts)[: -SHOWN_ATTEMPTS - 1 : -1]
    rows = [(one.at.short, one.reason.replace("_", " "), one.outcome) for one in newest]
    lines = [body.rstrip(), "", "#### Attempts, the newest first", ""]
    lines += [table(["data up to", "reason", "outcome"], rows)]
    lines += [
        "The loop goes on by itself: this issue is refreshed by the next challenger that does not win, and closed by"
    ]
    lines += ["one that does. What starts an attempt, and how often, is `[policy]` in `titlebout.toml`."]
    return "\n".join([*lines, *(["", f"[Run and reports]({run_url})"] if run_url else [])]) + "\n"


def overtaken(attempt: Attempt, issue_url: str, body: str) -> str:
    """Return the text of a proposal after a later attempt did not win."""
    return (
        f"> [!WARNING]\n> On data up to {attempt.at.short} a challenger was tried again and did not win "
        f"({attempt.outcome}): {issue_url}\n> What follows rests on older data. Close this pull request unless you "
        f"have a reason to merge it.\n\n{body}"
    )


def refused_title(pipeline: str) -> str:
    """Return the title of the issue about refused data."""
    return f"Data for {pipeline} was refused"


def refused_body(reason: str, source: str, report: str) -> str:
    """Return the text of that issue.

    Parameters
    ----------
    reason : str
        Why, in a sentence; may hold names from the data.
    source : str
        Where it arrived.
    report : str
        Markdown of the step that refused it.
    """
    lines = [
        f"What arrived in {escape(source)} is refused: **{escape(truncate(reason, REASON_LIMIT))}**",
        "",
        "As long as it is there nothing is trained on it, no bout is held on it, and neither drift nor the champion's "
        "loss is measured with it. The champion serves on.",
        "",
        report.strip(),
        "",
        "**What to do.** Mend or remove what is named above, at its source. If the data is right and the expectation is "
        "wrong, change the suite in a pull request. The next scheduled run looks again; close this issue then.",
    ]
    return "\n".join(lines) + "\n"
