"""Why a retraining is attempted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Why:
    """Why a retraining is attempted.

    Attributes
    ----------
    reason : str
        One of :data:`titlebout.core.names.REASONS`; it chooses what the challenger has to show.
    note : str
        More for the reviewer: which columns, whose request. From anyone; escaped here.
    evidence : str
        Markdown of the measurements and the decision that led to it; empty when nobody made any.
    """

    reason: str
    note: str = ""
    evidence: str = ""

    def __str__(self) -> str:
        return f"{self.reason.replace('_', ' ')}{f', {self.note}' if self.note else ''}"
