"""Reason for a retraining attempt, with the evidence for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AttemptReason:
    """Reason for a retraining attempt.

    Attributes
    ----------
    reason : str
        One of :data:`titlebout.core.names.REASONS`; it selects the gate's rule. Empty for that of the last decision.
    note : str
        Details for the reviewer, such as the drifted columns. Untrusted text: escape it before use.
    evidence : str
        Markdown of the measurements and the decision behind the attempt; empty when there are none.
    run_url : str
        Page of the workflow run that makes the attempt; empty outside of a workflow.
    """

    reason: str
    note: str = ""
    evidence: str = ""
    run_url: str = ""

    def __str__(self) -> str:
        return f"{self.reason.replace('_', ' ')}{f', {self.note}' if self.note else ''}"
