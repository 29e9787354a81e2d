"""Text of the two tracking issues, and of the warning on a pull request whose evidence is outdated.

The text depends only on the attempt, never on the time of the run, so that publishing it again changes nothing.
"""

from collections.abc import Iterable

from titlebout.core.markdown import escape, table, truncate
from titlebout.policy.rules import Attempt
from titlebout.retraining.reason import AttemptReason

SHOWN_ATTEMPTS = 10
REASON_LIMIT = 200  # characters

_HEADLINES = {
    "keep": "the challenger was not promoted",
    "inconclusive": "the evaluation was inconclusive",
    "data_refused": "the data check failed",
}
_SUMMARIES = {
    "keep": "A challenger was trained and did not pass the gate. There is nothing to merge; the champion stays in "
    "service.",
    "inconclusive": "A challenger was trained, but there are too few rows to decide whether it is better. There is "
    "nothing to merge; the champion stays in service.",
    "data_refused": "The data check failed on the training data with the new rows added, so no model was trained. The "
    "champion stays in service.",
}


def unsuccessful_topic(pipeline: str) -> str:
    """Return the key that identifies the issue about unsuccessful attempts."""
    return f"retrain {pipeline}"


def data_topic(pipeline: str) -> str:
    """Return the key that identifies the issue about refused data."""
    return f"data {pipeline}"


def unsuccessful_title(pipeline: str, verdict: str) -> str:
    """Return the title of the issue about unsuccessful attempts."""
    return f"Retraining {pipeline}: {_HEADLINES[verdict]}"


def unsuccessful_body(reason: AttemptReason, rows: int, verdict: str, report: str) -> str:
    """Return the text of the issue about unsuccessful attempts: the outcome, and the report of the step that ended it.

    Parameters
    ----------
    reason : AttemptReason
        Why the attempt was made.
    rows : int
        Number of new rows.
    verdict : {"keep", "inconclusive", "data_refused"}
        How the attempt ended.
    report : str
        Markdown.
    """
    opening = f"{_SUMMARIES[verdict]} Reason for the attempt: **{escape(reason)}**, with {rows:,} new rows."
    return "\n".join([opening, "", report, *([reason.evidence, ""] if reason.evidence else [])])


def with_attempts(body: str, attempts: Iterable[Attempt], run_url: str | None) -> str:
    """Add the table of attempts, and a link to the workflow run with the reports.

    Parameters
    ----------
    body : str
        Text of the issue so far (Markdown).
    attempts : iterable of Attempt
        The oldest first.
    run_url : str or None
        Page of the workflow run.
    """
    newest = list(attempts)[: -SHOWN_ATTEMPTS - 1 : -1]
    rows = [(attempt.at.short, attempt.reason.replace("_", " "), attempt.outcome) for attempt in newest]
    lines = [body.rstrip(), "", "#### Attempts, newest first", ""]
    lines += [table(["data up to", "reason", "outcome"], rows)]
    lines += [
        "No action is required. The next unsuccessful attempt updates this issue, and the next successful one closes it."
    ]
    lines += ["`[policy]` in `titlebout.toml` sets what triggers an attempt, and how often."]
    return "\n".join([*lines, *(["", f"[Workflow run and reports]({run_url})"] if run_url else [])]) + "\n"


def outdated_body(attempt: Attempt, issue_url: str, body: str) -> str:
    """Return the text of a pull request after a later attempt was unsuccessful."""
    return (
        f"> [!WARNING]\n> A later attempt, on data up to {attempt.at.short}, did not produce a challenger that passes "
        f"the gate ({attempt.outcome}): {issue_url}\n> The results below are based on older data. Close this pull "
        f"request unless you have a reason to merge it.\n\n{body}"
    )


def refused_title(pipeline: str) -> str:
    """Return the title of the issue about refused data."""
    return f"Data for {pipeline} was refused"


def refused_body(reason: str, source: str, report: str) -> str:
    """Return the text of the issue about refused data.

    Parameters
    ----------
    reason : str
        One sentence; may hold names from the data.
    source : str
        Location of the current data.
    report : str
        Markdown of the step that refused it.
    """
    lines = [
        f"The current data in {escape(source)} was refused: **{escape(truncate(reason, REASON_LIMIT))}**",
        "",
        "Until this is resolved, the data is not used: no model is trained or evaluated on it, and drift and the "
        "champion's loss are not measured. The champion stays in service.",
        "",
        report.strip(),
        "",
        "**What to do.** Correct or remove the rows or columns named above at the data source. If the data is right and "
        "the expectation is wrong, change the expectation suite in a pull request. The next scheduled run checks the "
        "data again; close this issue once it passes.",
    ]
    return "\n".join(lines) + "\n"
